// Collecting: the gate's view. A code is read, checked as the device will check it, and handed to the device; the lock opens.

import { useEffect, useState } from "preact/hooks";
import { jobOf, looks, read, signerOf, type Code } from "../chain/code";
import { isAddress, isOrder, readContract, readOrder, registryAddress, saleEvents } from "../chain/sales";
import { sale } from "../chain/abi";
import { timelineOf, type Scan } from "../chain/timeline";
import { keep, kept } from "../lib/keep";
import { useLoad, useTask } from "../lib/load";
import { to } from "../lib/router";
import { scanFile } from "../lib/scan";
import { asError, InputError } from "../rpc/error";
import type { Hex } from "../rpc/types";
import { call, chainId, methods, subscribe } from "../state/node";
import { useShadow, type Change } from "../state/shadow";
import { Camera } from "../ui/camera";
import { titleOf } from "../ui/order";
import { Busy, Card, Choice, Doing, Notice, Page, Problem, Show } from "../ui/parts";
import { Steps } from "../ui/steps";

const pictureBytesMax = 20 * 1024 * 1024;

export default function Collect({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const order = parts[0];
  return order ? <OfOrder key={order} order={order} /> : <Gate given={query.get("code")} />;
}

function OfOrder({ order }: { order: string }) {
  const found = useLoad(() => readOrder(order), [order], "live");
  const text = kept<{ text: string }>(`code.${order.toLowerCase()}`)?.text;
  return (
    <Page title={found.data ? `${titleOf(found.data)}: time line` : "Time line"} actions={<a class="button" href={to(`buy/${order}`)}>The order</a>}>
      <Show of={found} what="the order">
        {(data) => <Life order={data.address} scan={scanOf(text)} />}
      </Show>
    </Page>
  );
}

function scanOf(text: string | undefined): Scan | undefined {
  try {
    const code = text === undefined ? null : read(text);
    return code?.form === "safe" ? { job: jobOf(code.release), device: code.release.device, notAfter: code.release.notAfter } : undefined;
  } catch {
    return undefined;
  }
}

function Life({ order, scan }: { order: Hex; scan?: Scan }) {
  const events = useLoad(() => saleEvents(order), [order], "live");
  const released = events.data?.find(({ name }) => name === "Released");
  const device = (released?.values.device as string | undefined) ?? scan?.device ?? null;
  const shadow = useShadow(device, "lock");
  return (
    <Card title="Time line" note={shadow.error && device ? `The shadow of ${device} cannot be read here (${shadow.error.message}); the chain's part is complete all the same.` : undefined}>
      <Show of={events} what="what happened">
        {(data) => <Steps steps={timelineOf(data, shadow.changes, scan)} />}
      </Show>
    </Card>
  );
}

interface Scanned {
  text: string;
  at: number;
  // It came by a link, not by somebody who stands here: it is handed over only when that is confirmed.
  linked?: boolean;
}

function Gate({ given }: { given: string | null }) {
  const [camera, setCamera] = useState(false);
  const [scanned, setScanned] = useState<Scanned | null>(given ? { text: given, at: Date.now() / 1000, linked: true } : null);
  const [gate, setGate] = useState(kept<string>("gate") ?? "");
  const [block, setBlock] = useState(kept<string>("block") ?? "safe");
  const picture = useTask();
  const devices = useLoad(() => call<{ items: { name: string; role: string }[] }>("device_list").then(({ items }) => items.filter(({ role }) => role === "device").map(({ name }) => name)), []);
  const take = (text: string) => {
    setCamera(false);
    setScanned({ text, at: Date.now() / 1000 });
  };
  const choose = (input: HTMLInputElement) => {
    const file = input.files?.[0];
    input.value = "";
    if (!file) return;
    void picture.run(async (say) => {
      say("Looking for a code in the picture …");
      if (file.size > pictureBytesMax) throw new InputError("The picture is larger than 20 MiB.", "Choose a smaller one.");
      const text = await scanFile(file).catch(() => {
        throw new InputError("This is no picture that the browser reads.", "Choose a PNG or JPEG file.");
      });
      if (!text) throw new InputError("There is no QR code in this picture.", "Choose one in which the whole code is sharp and has a white edge.");
      take(text);
    });
  };
  const typed = (event: SubmitEvent) => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget as HTMLFormElement).get("code") ?? "").trim();
    if (text) take(text);
  };
  return (
    <Page title="Collect" lead="The gate's view: scan the buyer's code. It is checked on the chain and handed to the device, whose lock opens.">
      <div class="columns">
        <Card title="Scan">
          {camera ? (
            <Camera found={take} stop={() => setCamera(false)} />
          ) : (
            <>
              <div class="actions">
                <button type="button" class="main" onClick={() => (setScanned(null), setCamera(true))}>
                  Scan with the camera
                </button>
              </div>
              <div class="field">
                <label for="picture">Or choose a picture of the code</label>
                <input id="picture" type="file" accept="image/*" onChange={(event) => choose(event.currentTarget)} />
              </div>
              <form class="field" onSubmit={typed}>
                <label for="code">Or type what a hand scanner reads</label>
                <div class="with-unit">
                  <input id="code" name="code" type="text" autocomplete="off" spellcheck={false} />
                  <button type="submit">Check</button>
                </div>
              </form>
              <Doing task={picture} />
            </>
          )}
          {(devices.data?.length ?? 0) > 0 && (
            <Choice
              label="This gate's device"
              value={gate}
              onChange={(name) => (setGate(name), keep("gate", name || undefined))}
              options={[["", "any: the code names it"], ...(devices.data ?? []).map((name): [string, string] => [name, name])]}
              hint="Codes for another device are refused here."
            />
          )}
          <Choice label="The block that counts" value={block} onChange={(name) => (setBlock(name), keep("block", name))} options={blocks} hint="Sales in later blocks are waited for. The device has a setting of its own (--settled)." />
        </Card>
        {scanned ? <Checked key={`${scanned.at}${gate}${block}`} scanned={scanned} gate={gate} block={block} /> : <Card title="Lock"><Lock open={false} text="Closed. No code was scanned." /></Card>}
      </div>
    </Page>
  );
}

function Checked({ scanned, gate, block }: { scanned: Scanned; gate: string; block: string }) {
  let code: Code;
  try {
    code = read(scanned.text);
  } catch (thrown) {
    return (
      <Card title="Refused">
        <Problem error={thrown} />
        <Lock open={false} text="The lock stays closed." />
      </Card>
    );
  }
  return <Verified code={code} scanned={scanned} gate={gate} block={block} />;
}

interface Check {
  name: string;
  fine: boolean;
  problem: string;
}

// Which block counts at this gate; the device has a setting of its own.
const blocks: [string, string][] = [["safe", "safe: deep enough for most"], ["finalized", "finalized: can never be undone"], ["latest", "latest: for one node that mines alone"]];

// What the device will ask too, at a block that counts.
async function verify(code: Code, gate: string, block: string): Promise<Check[]> {
  const id = chainId.value ?? Number(await call<Hex>("eth_chainId"));
  const { contract, buyer } = code.form === "safe" ? code.release : code;
  const checks: Check[] = looks(code, id, Math.floor(Date.now() / 1000));
  if (code.form === "safe") {
    checks.push({ name: "The buyer signed the code", fine: (await signerOf(code.release, code.signature)) === code.release.buyer, problem: "the signature is another account's: the code is forged" });
    if (gate) checks.push({ name: `The code is for this gate (${gate})`, fine: code.release.device === gate, problem: `it is for ${code.release.device}: go there` });
  }
  const registry = await registryAddress();
  const [known, owns, order] = await Promise.all([
    registry ? isOrder(registry, contract, block).catch(() => false) : null,
    readContract<boolean>(sale.abi, contract, "verifyOwnership", [buyer], block).catch((error: unknown) => {
      if ((error as { code?: number }).code === 0) throw error;
      return false;
    }),
    readOrder(contract).catch(() => null),
  ]);
  if (known !== null) checks.push({ name: "A registry that is trusted here created the order", fine: known, problem: "it knows no such order at a settled block: the contract may be an impostor, or its block is too new" });
  checks.push({ name: "The buyer owns the item, at a settled block", fine: owns, problem: "nobody of this name bought it, or the sale is not deep enough yet: wait some blocks and scan again" });
  checks.push({ name: "The item is not released yet", fine: order !== null && order.release === null, problem: order?.release ? `it was released at ${order.release.device}` : "there is no order at this address" });
  return checks;
}

type Handed = { state: "asked" } | { state: "opened"; detail: string } | { state: "refused"; reason: string };

interface ScanEvent {
  event: string;
  name?: string;
  status?: "opened" | "refused";
  job?: Hex;
  reason?: string;
  openedMs?: number;
}

// Hands the code to the device, which checks it by itself. A node without such a way asks for the release in the shadow, as the device does.
async function handOver(code: Code, device: string, text: string): Promise<void> {
  if (code.form === "plain" || (await methods()).has("device_scan")) {
    await call("device_scan", device, text);
    return;
  }
  const { notAfter } = code.release;
  const desired = { lock: "open", job: jobOf(code.release), until: notAfter, code: text, released: null, rejected: null };
  await call("device_updateShadow", device, "lock", { state: { desired } });
}

function Verified({ code, scanned, gate, block }: { code: Code; scanned: Scanned; gate: string; block: string }) {
  const { contract } = code.form === "safe" ? code.release : code;
  const device = code.form === "safe" ? code.release.device : gate || null;
  const job = code.form === "safe" ? jobOf(code.release) : null;
  // Asked again with each block until all is well; what held when the code was handed over stays on the page.
  const asked = useLoad(() => verify(code, gate, block), [scanned.text, gate, block], "live");
  const [passed, setPassed] = useState<Check[]>();
  const checks = passed ? { ...asked, data: passed, error: undefined } : asked;
  const shadow = useShadow(device, "lock");
  const [handed, setHanded] = useState<Handed | null>(null);
  const fine = checks.data?.every((check) => check.fine) ?? false;
  // A plain code is for the device to judge; the desk hands it over where the person here says so.
  const mayTry = fine || (code.form === "plain" && (checks.data?.slice(1).every((check) => check.fine) ?? false));
  const hand = () => {
    if (!device) return;
    setPassed(checks.data);
    setHanded({ state: "asked" });
    handOver(code, device, scanned.text).catch((thrown: unknown) => setHanded({ state: "refused", reason: asError(thrown).message }));
  };

  useEffect(() => {
    if (!device) return;
    return subscribe<ScanEvent>({
      method: "device_subscribe",
      kind: "devices",
      item: ({ event, name, status, reason, openedMs, ...rest }) => {
        if (event !== "scan" || name !== device || (job && rest.job && rest.job !== job)) return;
        if (status === "opened") setHanded({ state: "opened", detail: openedMs ? ` ${openedMs} ms after the scan` : "" });
        if (status === "refused") setHanded({ state: "refused", reason: reason ?? "no reason given" });
      },
    });
  }, [device, job]);

  useEffect(() => {
    if (fine && code.form === "safe" && !scanned.linked) hand();
  }, [fine]);

  const says = shadow.changes.map((change) => of(change, job)).find((word) => word !== null) ?? null;
  const opened = says === "open" || handed?.state === "opened";
  const refused = handed?.state === "refused" ? handed.reason : says !== null && says !== "open" ? says.rejected : undefined;
  const scan: Scan | undefined = job && device ? { job, device, scannedAt: scanned.at, notAfter: code.form === "safe" ? code.release.notAfter : undefined, refused } : undefined;
  return (
    <>
      <Card title="Checks">
        <Show of={checks} what="the chain">
          {(rows) => (
            <ul class="checks">
              {rows.map(({ name, fine: yes, problem }) => (
                <li key={name}>
                  <span class={yes ? "yes" : "no"} aria-hidden="true">
                    {yes ? "✓" : "✗"}
                  </span>
                  <span class={yes ? "" : "no"}>{yes ? name : `${name}: no – ${problem}`}</span>
                </li>
              ))}
            </ul>
          )}
        </Show>
        {opened ? (
          <Lock open text={`The lock of ${device} is open${handed?.state === "opened" ? handed.detail : ""}.`} />
        ) : (
          <Lock open={false} text={checks.data && !fine ? "The lock stays closed." : refused ? "The lock stays closed." : "Closed."} />
        )}
        {mayTry && handed === null && device && (scanned.linked || code.form === "plain") && (
          <div class="actions">
            <button type="button" class="main" onClick={hand}>
              The buyer is here: hand the code to {device}
            </button>
          </div>
        )}
        {refused && !opened && <Problem error={new InputError(`The device refuses: ${refused}`, "Ask the buyer for a new code, or see the device under Devices.")} />}
        {!opened && !refused && handed?.state === "asked" && <Busy note={`${device} has the code; the release is being recorded on the chain …`} />}
        {opened && <Notice kind="good">Hand the item out. The opening is recorded on the chain by itself.</Notice>}
      </Card>
      <div class="wide">
        <Life order={isAddress(contract) ? (contract.toLowerCase() as Hex) : contract} scan={scan} />
      </div>
    </>
  );
}

// What a state of the shadow says of a job.
function of({ state }: Change, job: Hex | null): "open" | { rejected: string } | null {
  const reported = state.reported;
  if (job === null || reported?.job !== job) return null;
  if (reported.lock === "open") return "open";
  return typeof reported.rejected === "string" ? { rejected: reported.rejected } : null;
}

function Lock({ open, text }: { open: boolean; text: string }) {
  return (
    <div class={open ? "lock open" : "lock"} role="status">
      <svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2">
        <rect x="4" y="11" width="16" height="10" rx="2" fill="currentColor" stroke="none" />
        <path d={open ? "M8 11V7a4 4 0 0 1 7.5-2" : "M8 11V7a4 4 0 0 1 8 0v4"} />
      </svg>
      <span>{text}</span>
    </div>
  );
}
