// What an ABI made of bytes.

import type { ComponentChildren } from "preact";
import { decodeInput, decodeLog, textOf, type Decoded, type Value } from "../chain/abi";
import { count } from "../lib/units";
import type { Hex, LogJson } from "../rpc/types";
import { Account, Copy, Ether } from "./parts";

// Contracts here name an amount in wei so.
const amount = /wei$/i;

export function Shown({ type, value, name = "" }: { type: string; value: unknown; name?: string }): ComponentChildren {
  if (typeof value === "bigint" && amount.test(name)) return <Ether wei={value} />;
  if (type === "address" && typeof value === "string") return <Account at={value} whole />;
  if (typeof value === "bigint") return <span class="number" title={value.toString()}>{count(value)}</span>;
  if (typeof value === "number") return <span class="number">{value < 10_000 ? value : count(value)}</span>;
  return <code>{textOf(value)}</code>;
}

export const Values = ({ values }: { values: Value[] }) => (
  <dl class="facts">
    {values.map(({ name, type, value }) => (
      <div key={name}>
        <dt>
          {name} <span class="muted">({type})</span>
        </dt>
        <dd>
          <Shown type={type} value={value} name={name} />
        </dd>
      </div>
    ))}
  </dl>
);

export const Call = ({ decoded }: { decoded: Decoded }) => (
  <>
    <p>
      <code>{decoded.name}</code> <span class="muted">by the ABI {decoded.by}</span>
    </p>
    {decoded.values.length > 0 && <Values values={decoded.values} />}
  </>
);

export function Input({ input, to }: { input: Hex; to: string | null }) {
  const decoded = to === null ? undefined : decodeInput(input, to);
  const size = (input.length - 2) / 2;
  return (
    <>
      {decoded ? <Call decoded={decoded} /> : <p class="muted">{to === null ? "Code of a new contract." : `No ABI that this desk knows has the function ${input.slice(0, 10)}. Upload the contract's ABI on its page.`}</p>}
      <details>
        <summary>Raw input, {count(size)} bytes</summary>
        <pre>{input}</pre>
        <Copy text={input} what="the raw input" />
      </details>
    </>
  );
}

export function Log({ log }: { log: LogJson }) {
  const decoded = decodeLog(log);
  return (
    <div class="log">
      <h3>
        Log {count(Number(log.logIndex))} of <Account at={log.address} />
      </h3>
      {decoded ? <Call decoded={decoded} /> : <p class="muted">No ABI that this desk knows has this event. Upload the contract's ABI on its page.</p>}
      <details>
        <summary>Topics and data</summary>
        <pre>{[...log.topics.map((topic, index) => `topic ${index}: ${topic}`), `data: ${log.data}`].join("\n")}</pre>
      </details>
    </div>
  );
}
