// From what somebody wants to a mined transaction, with a word on every step.

import { decodeRevert } from "../chain/abi";
import { count, short } from "../lib/units";
import { asError, InputError, RpcError } from "../rpc/error";
import type { Hex, HeaderJson, ReceiptJson } from "../rpc/types";
import { call, chainId, head, quantity } from "../state/node";
import { bringToChain, type Account } from "./accounts";
import { keyOf } from "./keys";
import type { TypedData } from "./signer";

export interface Wanted {
  to?: Hex;
  data?: Hex;
  value?: bigint;
}

type Say = (note: string) => void;

// A refusal of a contract, in words.
export function inWords(thrown: unknown, to?: string | null): Error {
  const error = asError(thrown);
  if (!(error instanceof RpcError) || error.code !== 3) return error;
  const reason = decodeRevert(error.data, to);
  return new RpcError(3, reason ? `the contract refuses: ${reason}` : error.message, error.data, error.method);
}

async function onlyChain(): Promise<number> {
  const id = chainId.value ?? Number(await call<Hex>("eth_chainId"));
  return id;
}

export async function send(account: Account, wanted: Wanted, say: Say): Promise<Hex> {
  const { to, data } = wanted;
  const value = wanted.value ?? 0n;
  const request = { from: account.address, ...(to ? { to } : {}), ...(data ? { data } : {}), value: quantity(value) };
  say("Asking the node what it will cost …");
  let gas: bigint;
  try {
    gas = BigInt(await call<Hex>("eth_estimateGas", request));
  } catch (thrown) {
    throw inWords(thrown, to);
  }
  // A little more than the estimate, for what may change until it is mined.
  gas = (gas * 12n) / 10n;
  const whole = { ...request, gas: quantity(gas) };
  if (account.kind === "wallet") {
    const { wallet } = account;
    if (!wallet) throw new InputError("The wallet is gone.", "Connect it again under Signing.");
    await bringToChain(wallet);
    say(`Confirm in ${wallet.name} …`);
    try {
      return (await wallet.provider.request({ method: "eth_sendTransaction", params: [whole] })) as Hex;
    } catch (thrown) {
      throw inWords(thrown, to);
    }
  }
  if (account.kind === "node") {
    say("The node signs and sends …");
    return call<Hex>("eth_sendTransaction", whole);
  }
  const key = keyOf(account.address);
  if (!key) throw new InputError("The key is locked.", "Open it with its password under Signing, then try again.");
  say("Signing in this page …");
  const [id, nonce, tip, block, { signTransaction }] = await Promise.all([
    onlyChain(),
    call<Hex>("eth_getTransactionCount", account.address, "pending"),
    call<Hex>("eth_maxPriorityFeePerGas"),
    call<HeaderJson>("eth_getBlockByNumber", "latest", false),
    import("./signer"),
  ]);
  const maxPriorityFeePerGas = BigInt(tip);
  const maxFeePerGas = BigInt(block.baseFeePerGas ?? 0) * 2n + maxPriorityFeePerGas;
  const raw = await signTransaction(key, { chainId: id, nonce: Number(nonce), to, data, value, gas, maxFeePerGas, maxPriorityFeePerGas });
  say("Sending …");
  return call<Hex>("eth_sendRawTransaction", raw);
}

const pause = (ms: number) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    let first = true;
    const stop = head.subscribe(() => !first && done());
    first = false;
    function done() {
      clearTimeout(timer);
      stop();
      resolve();
    }
  });

// How long a transaction may wait before the person is told that it still waits and may look elsewhere.
const patienceMs = 10 * 60_000;

export async function mined(hash: Hex, say: Say, to?: string | null): Promise<ReceiptJson> {
  const begun = Date.now();
  say(`Sent as ${short(hash)}; waiting for a block …`);
  for (;;) {
    const receipt = await call<ReceiptJson | null>("eth_getTransactionReceipt", hash).catch((error: unknown) => {
      if ((error as RpcError).code === 0) return null;
      throw error;
    });
    if (receipt) {
      if (receipt.status === "0x1") return receipt;
      const output = await call<Hex>("ots_getTransactionError", hash).catch(() => "0x");
      throw new RpcError(3, `it was mined in block ${count(Number(receipt.blockNumber))} and failed: ${decodeRevert(output, to) ?? "the contract refused"}`);
    }
    const waited = Date.now() - begun;
    if (waited > 3_000) {
      const explained = await call<{ status: string; reason?: string; reasons?: { text: string }[] }>("txpool_explain", hash).catch(() => null);
      if (explained?.status === "dropped") throw new RpcError(-32000, `the pool dropped it: ${explained.reason ?? "no reason is known"}`);
      const reason = explained?.reasons?.[0]?.text;
      say(`Sent as ${short(hash)}; waiting for a block for ${count(Math.round(waited / 1000))} s${reason ? `: ${reason}` : " …"}`);
    }
    if (waited > patienceMs) throw new InputError(`It waits for a block for ${Math.round(patienceMs / 60_000)} minutes.`, `See transaction ${hash} under Pool; it may still be mined.`);
    await pause(1_000);
  }
}

export async function sendAndWait(account: Account, wanted: Wanted, say: Say): Promise<ReceiptJson> {
  return mined(await send(account, wanted, say), say, wanted.to);
}

export async function signTypedData(account: Account, data: TypedData, say: Say): Promise<Hex> {
  const fields = [
    { name: "name", type: "string" },
    { name: "version", type: "string" },
    { name: "chainId", type: "uint256" },
    { name: "verifyingContract", type: "address" },
  ];
  const whole = { ...data, types: { EIP712Domain: fields, ...data.types } };
  const text = JSON.stringify(whole, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
  if (account.kind === "wallet" && account.wallet) {
    await bringToChain(account.wallet);
    say(`Confirm in ${account.wallet.name} …`);
    try {
      return (await account.wallet.provider.request({ method: "eth_signTypedData_v4", params: [account.address, text] })) as Hex;
    } catch (thrown) {
      throw asError(thrown);
    }
  }
  if (account.kind === "node") {
    say("The node signs …");
    return call<Hex>("eth_signTypedData_v4", account.address, JSON.parse(text) as unknown);
  }
  const key = keyOf(account.address);
  if (!key) throw new InputError("The key is locked.", "Open it with its password under Signing, then try again.");
  say("Signing in this page …");
  return (await import("./signer")).signTypedData(key, data);
}
