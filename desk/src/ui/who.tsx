// Who signs what the page sends; with the way to choose.

import { useEffect } from "preact/hooks";
import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { InputError } from "../rpc/error";
import type { Hex } from "../rpc/types";
import { accounts, active, choose, lookForWallets, readNodeAccounts, type Account as Signer } from "../signing/accounts";
import { keyOf, opened } from "../signing/keys";
import { call, generation } from "../state/node";
import { Account, Ether, Notice } from "./parts";

export function useSigners(): void {
  useEffect(() => {
    lookForWallets();
    void readNodeAccounts();
  }, [generation.value]);
}

// The account that signs, or the way to one.
export function Who({ role }: { role: string }) {
  useSigners();
  const account = active.value;
  const all = accounts.value;
  const balance = useLoad(async () => (account ? BigInt(await call<Hex>("eth_getBalance", account.address, "latest")) : null), [account?.address], "live");
  if (all.length === 0) {
    return (
      <Notice kind="warn">
        Nobody signs yet. <a href={to("signing")}>Connect a wallet or open a key</a>, then come back here.
      </Notice>
    );
  }
  const locked = account?.kind === "key" && !opened.value.includes(account.address);
  return (
    <div class="field">
      <label for="who">{role}</label>
      <select id="who" value={account ? `${account.kind} ${account.address}` : ""} onChange={({ currentTarget: { value } }) => choose(all.find((each) => `${each.kind} ${each.address}` === value))}>
        <option value="" disabled>
          Choose an account
        </option>
        {all.map((each) => (
          <option key={`${each.kind} ${each.address}`} value={`${each.kind} ${each.address}`}>
            {each.address} ({each.name})
          </option>
        ))}
      </select>
      <p class="hint">
        {account ? (
          <>
            <Account at={account.address} /> has {balance.data === undefined || balance.data === null ? "…" : <Ether wei={balance.data} />}.{" "}
          </>
        ) : (
          "Choose who signs. "
        )}
        {locked ? <strong><a href={to("signing")}>Open its key with the password first.</a></strong> : <a href={to("signing")}>Other ways to sign</a>}
      </p>
    </div>
  );
}

export function signer(): Signer {
  const account = active.value;
  if (!account) throw new InputError("No account signs yet.", "Choose one above, or connect a wallet under Signing.");
  if (account.kind === "key" && !keyOf(account.address)) throw new InputError("The key of this account is locked.", "Open it with its password under Signing.");
  return account;
}
