// Reading and writing a contract by its ABI, and the upload of one.

import { useId, useState } from "preact/hooks";
import { encodeFunctionData } from "viem/utils";
import { readAbi, setAbi, signatureOf, valueOf, type Abi, type AbiFunction } from "../chain/abi";
import { readContract } from "../chain/sales";
import { useTask } from "../lib/load";
import { parseEther } from "../lib/units";
import { InputError } from "../rpc/error";
import type { Hex } from "../rpc/types";
import { sendAndWait } from "../signing/send";
import { Shown } from "./decoded";
import { Card, Choice, Doing, Field, Notice, Tx } from "./parts";
import { signer, Who } from "./who";

export function AbiUpload({ address, done }: { address?: string; done(address: string): void }) {
  const id = useId();
  const task = useTask();
  const [at, setAt] = useState(address ?? "");
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const choose = (input: HTMLInputElement) => {
    const file = input.files?.[0];
    if (!file) return;
    void task.run(async () => {
      if (file.size > 20_000_000) throw new InputError("The file is larger than 20 MB.", "Choose the compiler's output of one contract.");
      const content = await file.text();
      const read = readAbi(content.length > 300_000 ? JSON.stringify((JSON.parse(content) as { abi?: unknown }).abi ?? []) : content, "");
      setText(JSON.stringify(read.abi));
      setName(name || (read.name === "Contract" ? file.name.replace(/\.json$/, "") : read.name));
    });
  };
  const save = (event: Event) => {
    event.preventDefault();
    void task.run(async () => {
      if (!/^0x[0-9a-f]{40}$/i.test(at.trim())) throw new InputError("This is no address.", "The contract's address is 0x and 40 hexadecimal digits.");
      const described = readAbi(text, name);
      if (!setAbi(at.trim(), described)) throw new InputError("This browser keeps nothing more for the desk.", "Remove ABIs that you do not need, or allow the page to keep data.");
      setText("");
      setName("");
      done(at.trim().toLowerCase());
    });
  };
  return (
    <form class="form" onSubmit={save}>
      {!address && <Field label="Contract" value={at} onInput={(event) => setAt(event.currentTarget.value)} hint="Its address" autocomplete="off" />}
      <Field label="Name" value={name} onInput={(event) => setName(event.currentTarget.value)} hint="How the desk calls it" autocomplete="off" />
      <div class="field">
        <label for={`${id}-file`}>ABI file</label>
        <input id={`${id}-file`} type="file" accept="application/json,.json,.abi" onChange={(event) => choose(event.currentTarget)} />
      </div>
      <div class="field">
        <label for={`${id}-text`}>Or the ABI as text</label>
        <textarea id={`${id}-text`} value={text} onInput={(event) => setText(event.currentTarget.value)} spellcheck={false} />
      </div>
      <div class="actions">
        <button type="submit" disabled={text.trim() === ""}>
          Keep the ABI
        </button>
      </div>
      <Doing task={task} />
    </form>
  );
}

export function Functions({ address, title, list, writes }: { address: Hex; title: string; list: AbiFunction[]; writes: boolean }) {
  if (list.length === 0) return null;
  return (
    <Card title={title} note={writes ? "Each of these is a transaction that costs gas." : "Reading costs nothing."}>
      {writes && <Who role="You sign as" />}
      {list.map((entry) => (
        <One key={signatureOf(entry)} address={address} entry={entry} writes={writes} />
      ))}
    </Card>
  );
}

function One({ address, entry, writes }: { address: Hex; entry: AbiFunction; writes: boolean }) {
  const [texts, setTexts] = useState<string[]>(entry.inputs.map(({ type }) => (type === "bool" ? "false" : "")));
  const [value, setValue] = useState("");
  const [result, setResult] = useState<unknown>();
  const [mined, setMined] = useState<Hex>();
  const task = useTask();
  const payable = entry.stateMutability === "payable";
  const run = (event: Event) => {
    event.preventDefault();
    void task.run(async (say) => {
      setResult(undefined);
      setMined(undefined);
      const args = entry.inputs.map((input, index) => valueOf(input, texts[index] ?? ""));
      if (!writes) {
        say("Asking the contract …");
        setResult(await readContract([entry] as Abi, address, entry.name, args));
        return;
      }
      const wei = payable && value.trim() !== "" ? parseEther(value) : 0n;
      if (wei === null) throw new InputError("The value is no amount of ether.", "Write it such as 0.5.");
      const data = encodeFunctionData({ abi: [entry] as Abi, functionName: entry.name, args } as never);
      const receipt = await sendAndWait(signer(), { to: address, data, value: wei }, say);
      setMined(receipt.transactionHash);
    });
  };
  const change = (index: number, text: string) => setTexts(texts.map((old, at) => (at === index ? text : old)));
  const outputs = entry.outputs.length === 1 ? [result] : Array.isArray(result) ? (result as unknown[]) : [];
  return (
    <details>
      <summary>
        <code>{signatureOf(entry)}</code>
      </summary>
      <form class="form" onSubmit={run}>
        {entry.inputs.map((input, index) =>
          input.type === "bool" ? (
            <Choice key={index} label={input.name || `Argument ${index + 1}`} hint="bool" value={texts[index] ?? "false"} onChange={(text) => change(index, text)} options={[["false", "false"], ["true", "true"]]} />
          ) : (
            <Field key={index} label={input.name || `Argument ${index + 1}`} hint={input.type} value={texts[index] ?? ""} onInput={(event) => change(index, event.currentTarget.value)} autocomplete="off" />
          ),
        )}
        {writes && payable && <Field label="Value" unit="ETH" hint="Sent with the call" value={value} onInput={(event) => setValue(event.currentTarget.value)} inputMode="decimal" />}
        <div class="actions">
          <button type="submit" class={writes ? "main" : ""} disabled={task.running}>
            {writes ? "Sign and send" : "Read"}
          </button>
        </div>
        <Doing task={task} />
        {!task.running && result !== undefined && (
          <dl class="facts">
            {entry.outputs.map((output, index) => (
              <div key={index}>
                <dt>
                  {output.name || (entry.outputs.length === 1 ? "answer" : `answer ${index + 1}`)} <span class="muted">({output.type})</span>
                </dt>
                <dd>
                  <Shown type={output.type} value={outputs[index]} name={output.name} />
                </dd>
              </div>
            ))}
          </dl>
        )}
        {mined && (
          <Notice kind="good">
            Mined: <Tx hash={mined} />
          </Notice>
        )}
      </form>
    </details>
  );
}
