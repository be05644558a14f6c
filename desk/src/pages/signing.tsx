// Signing: wallets, keys of this page, and the node's accounts.

import { useState } from "preact/hooks";
import { useTask } from "../lib/load";
import { download } from "../lib/files";
import { percent } from "../lib/units";
import { InputError } from "../rpc/error";
import { addNetwork, active, bringToChain, choose, connect, nodeAccounts, walletAccounts, wallets, type Account as Signer, type Wallet } from "../signing/accounts";
import { addFile, files, forget, hold, keyOf, lock, opened } from "../signing/keys";
import type { Keystore } from "../signing/keystore";
import { chainId } from "../state/node";
import { Account, Act, Badge, Card, Choice, Copy, Doing, Facts, Field, Notice, Page } from "../ui/parts";
import { useSigners } from "../ui/who";
import { Balance } from "../ui/balance";

const keystore = () => import("../signing/keystore");
const passwordMin = 8;

export default function Signing() {
  useSigners();
  const account = active.value;
  return (
    <Page title="Signing" lead="Who signs what you send. Private keys never leave this browser.">
      <Card title="Now">
        {account ? (
          <Facts
            rows={[
              ["Account", <><Account at={account.address} whole /> <Copy text={account.address} what="the address" /></>],
              ["Kept in", account.name],
              ["Balance", <Balance at={account.address} />],
            ]}
          />
        ) : (
          <p class="empty">Nobody yet. Choose one of the ways below.</p>
        )}
      </Card>
      <div class="columns">
        <Wallets />
        <Keys />
        {nodeAccounts.value.length > 0 && (
          <Card title="The node's accounts" note="On a development chain the node signs for these. Everybody knows their keys: use them for trying out only.">
            <Accounts list={nodeAccounts.value} name="node" />
          </Card>
        )}
      </div>
    </Page>
  );
}

function Accounts({ list, name }: { list: Signer[]; name: string }) {
  return (
    <ul class="options">
      {list.map((account) => (
        <li key={account.address}>
          <label>
            <input type="radio" name={`account-${name}`} checked={active.value?.address === account.address && active.value.kind === account.kind} onChange={() => choose(account)} />
            <span>
              <code>{account.address}</code> <span class="muted">{account.name}</span>
            </span>
          </label>
        </li>
      ))}
    </ul>
  );
}

function Wallets() {
  const task = useTask();
  const [done, setDone] = useState("");
  const act = (word: string, work: (wallet: Wallet) => Promise<void>, wallet: Wallet) =>
    task.run(async (say) => {
      setDone("");
      say(`Confirm in ${wallet.name} …`);
      await work(wallet);
      setDone(word);
    });
  return (
    <Card title="Wallet" note="An extension of this browser, such as MetaMask or Rabby. It asks you before it signs.">
      {wallets.value.length === 0 && <p class="empty">No wallet is in this browser. Install one and load this page again, or use a key file.</p>}
      {wallets.value.map((wallet) => (
        <div key={wallet.id} class="actions">
          {wallet.icon && <img src={wallet.icon} alt="" width="24" height="24" />}
          <strong>{wallet.name}</strong>
          <button type="button" disabled={task.running} onClick={() => act("Connected.", connect, wallet)}>
            Connect
          </button>
          <button type="button" disabled={task.running} onClick={() => act(`${wallet.name} knows this network now.`, addNetwork, wallet)}>
            Add this network (chain id {chainId.value ?? "…"})
          </button>
          <button type="button" disabled={task.running} onClick={() => act("The wallet is on this network.", bringToChain, wallet)}>
            Switch to it
          </button>
        </div>
      ))}
      {walletAccounts.value.length > 0 && <Accounts list={walletAccounts.value} name="wallet" />}
      {done && !task.running && !task.error && <Notice kind="good">{done}</Notice>}
      <Doing task={task} />
    </Card>
  );
}

function Keys() {
  const known = Object.entries(files.value) as [`0x${string}`, Keystore][];
  const [way, setWay] = useState<"" | "create" | "import">("");
  return (
    <Card title="Key in this page" note="A Web3 keystore file, encrypted with your password, that you keep. Without file and password the key is lost; nobody can restore it.">
      {known.map(([address, file]) => (
        <Known key={address} address={address} file={file} />
      ))}
      <div class="actions">
        <button type="button" aria-expanded={way === "create"} onClick={() => setWay(way === "create" ? "" : "create")}>
          Create a key
        </button>
        <button type="button" aria-expanded={way === "import"} onClick={() => setWay(way === "import" ? "" : "import")}>
          Import a keystore file
        </button>
      </div>
      {way === "create" && <Create done={() => setWay("")} />}
      {way === "import" && <Import done={() => setWay("")} />}
    </Card>
  );
}

function Known({ address, file }: { address: `0x${string}`; file: Keystore }) {
  const task = useTask();
  const [password, setPassword] = useState("");
  const [sure, setSure] = useState(false);
  const isOpen = opened.value.includes(address);
  const open = (event: Event) => {
    event.preventDefault();
    void task.run(async (say) => {
      const { decrypt, addressOf } = await keystore();
      const key = await decrypt(file, password, (share) => say(`Opening the file: ${percent(share)}`));
      if (addressOf(key) !== address) throw new InputError("The file holds the key of another account than it names.", "Import it again.");
      hold(address, key);
      setPassword("");
    });
  };
  const save = async () => download(JSON.stringify(file), (await keystore()).fileName(address, new Date()));
  return (
    <fieldset>
      <legend>
        <code>{address.slice(0, 10)}…{address.slice(-6)}</code> {isOpen ? <Badge kind="good">open</Badge> : <Badge>locked</Badge>}
      </legend>
      <p>
        <Account at={address} whole />
      </p>
      {isOpen ? (
        <div class="actions">
          {active.value?.address === address && active.value.kind === "key" ? (
            <Badge kind="good">signs now</Badge>
          ) : (
            <button type="button" class="main" onClick={() => keyOf(address) && choose({ kind: "key", address })}>
              Sign with it
            </button>
          )}
          <button type="button" onClick={() => lock(address)}>
            Lock
          </button>
        </div>
      ) : (
        <form class="form" onSubmit={open}>
          <Field label={`Password of ${address.slice(0, 10)}…`} secret value={password} onInput={(event) => setPassword(event.currentTarget.value)} autocomplete="current-password" hint="It opens the key until this page is closed." />
          <div class="actions">
            <button type="submit" class="main" disabled={task.running || password === ""}>
              Open
            </button>
          </div>
        </form>
      )}
      <div class="actions">
        <button type="button" onClick={() => void save()}>
          Export the file
        </button>
        {sure ? (
          <>
            <button type="button" class="danger" onClick={() => forget(address)}>
              Yes, forget it: I have the file
            </button>
            <button type="button" onClick={() => setSure(false)}>
              Keep it
            </button>
          </>
        ) : (
          <button type="button" class="danger" onClick={() => setSure(true)}>
            Forget …
          </button>
        )}
      </div>
      <Doing task={task} />
    </fieldset>
  );
}

type Cost = "standard" | "light";
const costChoices: [string, string][] = [["standard", "standard: 256 MiB, some seconds"], ["light", "light: 4 MiB, for small devices"]];

function Stay({ stays, change }: { stays: boolean; change(stays: boolean): void }) {
  return (
    <p>
      <label>
        <input type="checkbox" checked={stays} onChange={(event) => change(event.currentTarget.checked)} /> Keep the encrypted file in this browser too
      </label>
    </p>
  );
}

function Create({ done }: { done(): void }) {
  const task = useTask();
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [cost, setCost] = useState<Cost>("standard");
  const [stays, setStays] = useState(true);
  const create = (event: Event) => {
    event.preventDefault();
    void task.run(async (say) => {
      if (password.length < passwordMin) throw new InputError(`The password has fewer than ${passwordMin} characters.`, "Take a longer one, such as four unrelated words.");
      if (password !== again) throw new InputError("The two passwords differ.", "Type the same twice.");
      say("Drawing a key …");
      const { costs, encrypt, fileName, newKey, addressOf } = await keystore();
      const key = newKey();
      const file = await encrypt(key, password, costs[cost], (share) => say(`Encrypting: ${percent(share)}`));
      download(JSON.stringify(file), fileName(file.address, new Date()));
      addFile(file, stays);
      hold(addressOf(key), key);
      done();
    });
  };
  return (
    <form class="form" onSubmit={create}>
      <Field label="New password" secret value={password} onInput={(event) => setPassword(event.currentTarget.value)} autocomplete="new-password" hint={`At least ${passwordMin} characters`} />
      <Field label="The same again" secret value={again} onInput={(event) => setAgain(event.currentTarget.value)} autocomplete="new-password" />
      <Choice label="Strength" value={cost} onChange={(value) => setCost(value as Cost)} options={costChoices} hint="How much work one guess at the password costs" />
      <Stay stays={stays} change={setStays} />
      <Act task={task}>Create and download the file</Act>
    </form>
  );
}

function Import({ done }: { done(): void }) {
  const task = useTask();
  const [file, setFile] = useState<Keystore>();
  const [password, setPassword] = useState("");
  const [stays, setStays] = useState(true);
  const choice = (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    setFile(undefined);
    if (!chosen) return;
    void task.run(async () => {
      if (chosen.size > 100_000) throw new InputError("The file is too large for a keystore.", "Choose the JSON file of one key; it has about 500 bytes.");
      setFile((await keystore()).readKeystore(await chosen.text()));
    });
  };
  const open = (event: Event) => {
    event.preventDefault();
    if (!file) return;
    void task.run(async (say) => {
      const { decrypt, addressOf } = await keystore();
      const key = await decrypt(file, password, (share) => say(`Opening the file: ${percent(share)}`));
      const address = addressOf(key);
      addFile({ ...file, address: address.slice(2) }, stays);
      hold(address, key);
      done();
    });
  };
  return (
    <form class="form" onSubmit={open}>
      <div class="field">
        <label for="keystore">Keystore file</label>
        <input id="keystore" type="file" accept="application/json,.json" onChange={(event) => choice(event.currentTarget)} />
        <p class="hint">{file ? `It names the account ${file.address ? `0x${file.address}` : "not"}.` : "JSON of geth, Drawbridge or a wallet"}</p>
      </div>
      <Field label="Its password" secret value={password} onInput={(event) => setPassword(event.currentTarget.value)} autocomplete="current-password" />
      <Stay stays={stays} change={setStays} />
      <Act task={task} disabled={!file}>
        Open and import
      </Act>
    </form>
  );
}
