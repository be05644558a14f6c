// One device: its certificates, its shadows live with an editor, and what it opened.

import { useEffect, useState } from "preact/hooks";
import { useLoad, useTask } from "../lib/load";
import { to } from "../lib/router";
import { count, instant } from "../lib/units";
import { InputError, RpcError } from "../rpc/error";
import { useDeviceEvents, type Certificate, type Device as DeviceObject } from "../state/devices";
import { call } from "../state/node";
import { useShadow, type Change, type Section } from "../state/shadow";
import { CertificateState, Connected, Openings } from "../ui/devices";
import { Age, Card, Choice, Doing, Facts, Moment, Notice, Page, Show, Table, useSlices } from "../ui/parts";

export default function Device({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const name = parts[0] ?? "";
  const device = useLoad(() => call<DeviceObject>("device_get", name), [name]);
  useDeviceEvents(device.reload);
  return (
    <Page title={name} lead={device.data && <Connected is={device.data.connected} />} actions={<a class="button" href={to("devices")}>All devices</a>}>
      <Show of={device} what="the device">
        {(data) => (
          <>
            <Card>
              <Facts
                rows={[
                  ["Kind", data.role === "service" ? "service: may use all shadows" : data.role === "custom" ? "device with a policy of its own" : "device"],
                  ["May write", data.writes === "both" ? "desired and reported" : `${data.writes} only`],
                  ["Added", <Moment at={data.addedAt} />],
                ]}
              />
            </Card>
            <Certificates device={data} reload={device.reload} />
          </>
        )}
      </Show>
      <Shadows name={name} wanted={query.get("shadow")} />
      <Openings device={name} />
    </Page>
  );
}

function Certificates({ device, reload }: { device: DeviceObject; reload(): void }) {
  const task = useTask();
  const [sure, setSure] = useState<string | null>(null);
  const { rows, bar } = useSlices(device.certificates, 10);
  const revoke = (id: string) =>
    task.run(async (say) => {
      say("Revoking …");
      await call("device_revoke", device.name, id);
      setSure(null);
      reload();
    });
  const action = (certificate: Certificate) => {
    if (certificate.state !== "active" && certificate.state !== "inactive" && certificate.state !== "replaced") return "–";
    if (sure !== certificate.id) {
      return (
        <button type="button" class="small danger" onClick={() => setSure(certificate.id)}>
          Revoke …
        </button>
      );
    }
    return (
      <span class="actions">
        <button type="button" class="small danger" disabled={task.running} onClick={() => revoke(certificate.id)}>
          Revoke for ever
        </button>
        <button type="button" class="small" onClick={() => setSure(null)}>
          Keep
        </button>
      </span>
    );
  };
  return (
    <Card title="Certificates" note="A device with a revoked certificate is cut off at once, and never comes back with it.">
      <Table
        caption={`Certificates of ${device.name}`}
        rows={rows}
        keyOf={({ id }) => id}
        empty={`None. Make one with: drawbridge device rotate ${device.name}`}
        columns={[
          { name: "State", cell: (certificate) => <CertificateState certificate={certificate} /> },
          { name: "Ends", cell: ({ expiresAt, revokedAt, retiresAt }) => (revokedAt ? <>revoked <Age at={revokedAt} /></> : retiresAt ? <>taken until {instant(retiresAt)}</> : <span class="number">{instant(expiresAt)}</span>) },
          { name: "Made", cell: ({ issuedAt }) => <span class="number">{instant(issuedAt).slice(0, 10)}</span>, spare: true },
          { name: "SHA-256", cell: ({ id }) => <code title={id}>{id.slice(0, 12)}…</code>, spare: true },
          { name: "Serial number", cell: ({ serial }) => <code title={serial}>{serial.slice(0, 12)}</code>, spare: true },
          { name: "Action", cell: action },
        ]}
      />
      {bar}
      <Doing task={task} />
    </Card>
  );
}

const classic = "(classic)";

function Shadows({ name, wanted }: { name: string; wanted: string | null }) {
  const names = useLoad(() => call<string[]>("device_shadows", name), [name]);
  const [shown, setShown] = useState(wanted ?? "lock");
  const known = new Set([...(names.data ?? []), "lock", classic]);
  return (
    <Card title="Shadow">
      <Choice label="Which one" value={shown} onChange={setShown} options={[...known].map((each) => [each, each === classic ? "the classic, unnamed one" : each])} />
      <Shadow key={shown} name={name} shadow={shown === classic ? null : shown} />
    </Card>
  );
}

const pretty = (section: Section | null | undefined) => (section && Object.keys(section).length > 0 ? JSON.stringify(section, null, 2) : "nothing");

function Shadow({ name, shadow }: { name: string; shadow: string | null }) {
  const followed = useShadow(name, shadow);
  const [latest] = followed.changes;
  // A shadow older than the history the node keeps is read as it is.
  const now = useLoad(() => call<Omit<Change, "name" | "shadow" | "deleted">>("device_getShadow", name, shadow).catch((error: RpcError) => (String(error.data).includes("404") || /No shadow/.test(error.message) ? null : Promise.reject(error))), [name, shadow]);
  const document = latest ?? now.data ?? null;
  const { rows, bar } = useSlices(followed.changes, 10);
  if (!document || latest?.deleted) {
    return (
      <>
        {now.error ? <Notice kind="warn">The shadow cannot be read: {now.error.message}</Notice> : <p class="empty">There is no such shadow{latest?.deleted ? " any more" : " yet"}. It begins with the first update.</p>}
        <Editor name={name} shadow={shadow} version={latest?.version ?? null} state={{}} />
      </>
    );
  }
  const { state, version, timestamp } = document;
  const same = !state.delta || Object.keys(state.delta).length === 0;
  return (
    <>
      <p role="status">
        Version <strong class="number">{count(version)}</strong>, changed <Age at={timestamp} />. {same ? "The device has what is desired." : "The device has not reported all that is desired."}
      </p>
      <div class="columns">
        <div>
          <h3>Desired</h3>
          <pre tabIndex={0}>{pretty(state.desired)}</pre>
        </div>
        <div>
          <h3>Reported</h3>
          <pre tabIndex={0}>{pretty(state.reported)}</pre>
        </div>
        <div>
          <h3>Delta</h3>
          <pre tabIndex={0}>{pretty(state.delta)}</pre>
        </div>
      </div>
      <Editor name={name} shadow={shadow} version={version} state={state} />
      <h3>Changes</h3>
      <Table
        caption="Changes of the shadow, newest first"
        rows={rows}
        keyOf={(change) => String(change.version)}
        empty="The node keeps no earlier versions of it."
        columns={[
          { name: "Version", cell: (change) => <span class="number">{count(change.version)}</span> },
          { name: "When", cell: (change) => <Age at={change.timestamp} /> },
          { name: "Desired", cell: (change) => (change.deleted ? "deleted" : <span class="why"><code>{brief(change.state.desired)}</code></span>) },
          { name: "Reported", cell: (change) => <span class="why"><code>{brief(change.state.reported)}</code></span> },
          { name: "Delta", cell: (change) => <code>{change.state.delta ? Object.keys(change.state.delta).join(", ") || "–" : "–"}</code>, spare: true },
        ]}
      />
      {bar}
    </>
  );
}

// A section in one line; long values are cut.
const brief = (section: Section | null | undefined) =>
  section
    ? Object.entries(section)
        .map(([key, value]) => `${key}: ${JSON.stringify(value).replace(/^"(.{18}).+"$/, "$1…").replace(/^"|"$/g, "")}`)
        .join(", ") || "–"
    : "–";

function Editor({ name, shadow, version, state }: { name: string; shadow: string | null; version: number | null; state: Change["state"] }) {
  const [part, setPart] = useState<"desired" | "reported">("desired");
  const [text, setText] = useState("{}");
  const [based, setBased] = useState(version);
  const [open, setOpen] = useState(false);
  const task = useTask();
  const [done, setDone] = useState("");
  useEffect(() => {
    if (!open) setBased(version);
  }, [version, open]);
  const begin = (which: "desired" | "reported") => {
    setPart(which);
    setText(JSON.stringify(state[which] ?? {}, null, 2));
    setBased(version);
    setOpen(true);
    setDone("");
    task.clear();
  };
  const save = (event: Event) => {
    event.preventDefault();
    void task.run(async (say) => {
      let section: unknown;
      try {
        section = JSON.parse(text);
      } catch (error) {
        throw new InputError(`This is no JSON: ${(error as Error).message}`, "Write names and values in quotes, such as {\"lock\": \"closed\"}.");
      }
      if (section !== null && (typeof section !== "object" || Array.isArray(section))) throw new InputError("The section must be an object or null.", "Put braces around it.");
      say("Updating the shadow …");
      // What was there and was taken out of the text is removed.
      const before = state[part] ?? {};
      const removed = section === null ? {} : Object.fromEntries(Object.keys(before).filter((key) => !(key in (section as object))).map((key) => [key, null]));
      const update = section === null ? null : { ...removed, ...(section as object) };
      try {
        await call("device_updateShadow", name, shadow, { state: { [part]: update }, ...(based !== null && version !== null ? { version: based } : {}) });
      } catch (error) {
        if (error instanceof RpcError && (String(error.data).includes("409") || /conflict/i.test(error.message))) throw new InputError("The shadow changed while you edited it.", "Close the editor, look at the new version, and edit that.");
        throw error;
      }
      setOpen(false);
      setDone("The shadow has a new version.");
    });
  };
  if (!open) {
    return (
      <>
        <div class="actions">
          <button type="button" onClick={() => begin("desired")}>
            Edit what is desired
          </button>
          <button type="button" onClick={() => begin("reported")}>
            Edit what is reported
          </button>
        </div>
        {done && <Notice kind="good">{done}</Notice>}
      </>
    );
  }
  return (
    <form class="form" onSubmit={save}>
      <div class="field">
        <label for="section">
          {part === "desired" ? "Desired" : "Reported"}, based on version {based ?? 0}
        </label>
        <textarea id="section" value={text} onInput={(event) => setText(event.currentTarget.value)} spellcheck={false} />
        <p class="hint">JSON. A name that you take out is removed; null removes the whole section. A lock opens only for a release on the chain, whatever stands here.</p>
      </div>
      <div class="actions">
        <button type="submit" class="main" disabled={task.running}>
          Update
        </button>
        <button type="button" onClick={() => setOpen(false)}>
          Close
        </button>
      </div>
      <Doing task={task} />
    </form>
  );
}
