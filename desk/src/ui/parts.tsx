// The small parts that every page is made of.

import type { ComponentChildren, ComponentProps } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { remedyOf } from "../rpc/error";
import { link, to } from "../lib/router";
import type { Loaded, Task } from "../lib/load";
import { age, ether, gwei, instant, percent, count, short } from "../lib/units";
import { now } from "../state/node";

type Children = { children?: ComponentChildren };

export function Page({ title, lead, actions, children }: { title: string; lead?: ComponentChildren; actions?: ComponentChildren } & Children) {
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => {
    document.title = `${title} · Drawbridge`;
  }, [title]);
  return (
    <>
      <header class="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead && <p class="lead">{lead}</p>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

export function Card({ title, note, actions, children, wide }: { title?: string; note?: ComponentChildren; actions?: ComponentChildren; wide?: boolean } & Children) {
  const id = useId();
  return (
    <section class={wide ? "card wide" : "card"} aria-labelledby={title ? id : undefined}>
      {title && (
        <div class="card-head">
          <h2 id={id}>{title}</h2>
          {actions && <div class="actions">{actions}</div>}
        </div>
      )}
      {note && <p class="note">{note}</p>}
      {children}
    </section>
  );
}

// What went wrong, and what to do.
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const text = error instanceof Error ? error.message : String(error);
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{text}</strong>
      </p>
      <p>{remedyOf(error)}</p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Notice({ kind = "info", children }: { kind?: "info" | "good" | "warn" } & Children) {
  return (
    <div class={`notice ${kind}`} role={kind === "warn" ? "alert" : "status"}>
      {children}
    </div>
  );
}

export function Busy({ note }: { note: string }) {
  return (
    <p class="busy" role="status">
      <span class="spinner" aria-hidden="true" /> {note}
    </p>
  );
}

// What a page shows of what it reads: the data, that it is being read, or why not.
export function Show<T>({ of, what, children }: { of: Loaded<T>; what: string; children: (data: T) => ComponentChildren }) {
  if (of.data !== undefined) {
    return (
      <>
        {of.error && <Problem error={of.error} retry={of.reload} />}
        {children(of.data)}
      </>
    );
  }
  return of.error ? <Problem error={of.error} retry={of.reload} /> : <Busy note={`Reading ${what} …`} />;
}

export function Doing({ task }: { task: Task }) {
  if (task.error) return <Problem error={task.error} />;
  return task.running ? <Busy note={task.note || "Working …"} /> : null;
}

// The main button of a form, and what becomes of its task. It submits the form unless it is given something to do.
export function Act({ task, act, disabled = false, children }: { task: Task; act?(): void; disabled?: boolean; children: ComponentChildren }) {
  return (
    <>
      <div class="actions">
        <button type={act ? "button" : "submit"} class="main" disabled={task.running || disabled} onClick={act}>
          {children}
        </button>
      </div>
      <Doing task={task} />
    </>
  );
}

export const Ether = ({ wei }: { wei: bigint }) => (
  <span class="number" title={`${count(wei)} wei`}>
    {ether(wei)}
  </span>
);
export const Gwei = ({ wei }: { wei: bigint }) => (
  <span class="number" title={`${count(wei)} wei`}>
    {gwei(wei)}
  </span>
);
export const Gas = ({ used, of }: { used: bigint; of?: bigint }) => (
  <span class="number">
    {count(used)} gas{of !== undefined && of > 0n && ` (${percent(Number(used) / Number(of))} of ${count(of)})`}
  </span>
);

export function Age({ at }: { at: number }) {
  // Beyond what a date can hold.
  if (!Number.isFinite(at) || Math.abs(at) > 8.64e12) return <span class="muted">at an unknown time</span>;
  return (
    <time class="number" dateTime={new Date(at * 1000).toISOString()} title={instant(at)}>
      {age(at, now.value)}
    </time>
  );
}

export const Moment = ({ at }: { at: number }) => (
  <span class="number">
    {instant(at)} (<Age at={at} />)
  </span>
);

export const Account = ({ at, whole, name }: { at: string; whole?: boolean; name?: string }) => (
  <a class="hash" href={to(`account/${at}`)} title={at}>
    {name ?? (whole ? at : short(at))}
  </a>
);
export const Tx = ({ hash, whole }: { hash: string; whole?: boolean }) => (
  <a class="hash" href={to(`tx/${hash}`)} title={hash}>
    {whole ? hash : short(hash)}
  </a>
);
export const BlockLink = ({ at, hash }: { at: number; hash?: string }) => (
  <a class="number" href={to(`block/${hash ?? at}`)}>
    {count(at)}
  </a>
);

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      if (!navigator.clipboard) throw new Error("no clipboard");
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      setDone("Select and copy it by hand: the browser gives its clipboard to https pages alone");
    }
    setTimeout(() => setDone(""), 4000);
  };
  return (
    <>
      <button type="button" class="small" onClick={copy} aria-label={`Copy ${what}`}>
        Copy
      </button>
      <span role="status" class="muted">
        {done && ` ${done}`}
      </span>
    </>
  );
}

export const CopyLink = ({ address, what }: { address: string; what: string }) => <Copy text={link(address)} what={what} />;

// Names and values, as a description list.
export function Facts({ rows }: { rows: ([string, ComponentChildren] | false | null | undefined)[] }) {
  return (
    <dl class="facts">
      {rows.filter((row): row is [string, ComponentChildren] => Boolean(row)).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export interface Column<T> {
  name: string;
  cell(row: T): ComponentChildren;
  // Numbers stand at the right.
  right?: boolean;
  // Left out on a phone.
  spare?: boolean;
}

export function Table<T>({ caption, columns, rows, keyOf, empty }: { caption: string; columns: Column<T>[]; rows: T[]; keyOf(row: T): string; empty: ComponentChildren }) {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  const style = ({ right, spare }: Column<T>) => [right && "right", spare && "spare"].filter(Boolean).join(" ") || undefined;
  return (
    <div class="table" role="region" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" class={style(column)}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column) => (
                <td key={column.name} class={style(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// Links to the pages before and after.
export function Pager({ newer, older, note, words = ["Newer", "Older"] }: { newer?: string; older?: string; note?: ComponentChildren; words?: [string, string] }) {
  const [back, on] = [`← ${words[0]}`, `${words[1]} →`];
  return (
    <nav class="pager" aria-label="Pages of this list">
      {newer ? <a href={newer}>{back}</a> : <span class="muted">{back}</span>}
      {note && <span class="muted">{note}</span>}
      {older ? <a href={older}>{on}</a> : <span class="muted">{on}</span>}
    </nav>
  );
}

// Cuts a list that is known whole into pages.
export function useSlices<T>(all: T[], size: number): { rows: T[]; bar: ComponentChildren } {
  const [wanted, setPage] = useState(0);
  const last = Math.max(0, Math.ceil(all.length / size) - 1);
  const page = Math.min(wanted, last);
  const bar = last > 0 && (
    <nav class="pager" aria-label="Pages of this list">
      <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
        ← Before
      </button>
      <span class="muted">
        {count(page * size + 1)}–{count(Math.min(all.length, (page + 1) * size))} of {count(all.length)}
      </span>
      <button type="button" disabled={page === last} onClick={() => setPage(page + 1)}>
        Next →
      </button>
    </nav>
  );
  return { rows: all.slice(page * size, (page + 1) * size), bar };
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  problem?: string;
  unit?: string;
  value?: string;
  secret?: boolean;
  name?: string;
  required?: boolean;
  maxLength?: number;
  placeholder?: string;
  autocomplete?: "off" | "on" | "new-password" | "current-password";
  inputMode?: "text" | "numeric" | "decimal";
  list?: string;
  onInput?: ComponentProps<"input">["onInput"];
}

export function Field({ label, hint, problem, unit, secret, list, ...input }: FieldProps) {
  const id = useId();
  const shared = { ...input, id, "aria-invalid": problem ? ("true" as const) : undefined, "aria-describedby": `${id}-hint` };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class="with-unit">
        {secret ? <input {...shared} type="password" /> : <input {...shared} type="text" list={list} spellcheck={false} />}
        {unit && <span class="unit">{unit}</span>}
      </div>
      <p id={`${id}-hint`} class={problem ? "hint wrong" : "hint"}>
        {problem ?? hint}
      </p>
    </div>
  );
}

export function Choice({ label, hint, value, options, onChange }: { label: string; hint?: ComponentChildren; value: string; options: [string, string][]; onChange(value: string): void }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
      <p class="hint">{hint}</p>
    </div>
  );
}

export const Badge = ({ kind = "plain", children }: { kind?: "plain" | "good" | "warn" | "bad" } & Children) => <span class={`badge ${kind}`}>{children}</span>;
