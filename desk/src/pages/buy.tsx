// Buying: look at an order, pay it, and make the code that opens the gate.

import { useState } from "preact/hooks";
import { jobOf, newNonce, typedData, write, type Release } from "../chain/code";
import { isAddress, isOrder, purchase, readOrder, type Order } from "../chain/sales";
import { download } from "../lib/files";
import { keep, kept } from "../lib/keep";
import { useLoad, useTask } from "../lib/load";
import { go, link, to } from "../lib/router";
import { instant } from "../lib/units";
import { InputError } from "../rpc/error";
import type { Hex } from "../rpc/types";
import { active } from "../signing/accounts";
import { sendAndWait, signTypedData } from "../signing/send";
import { call, chainId, now } from "../state/node";
import { OrderFacts, titleOf } from "../ui/order";
import { Orders } from "../ui/orders";
import { Act, Badge, Busy, Card, Choice, Copy, Ether, Field, Notice, Page, Show } from "../ui/parts";
import { png, Qr } from "../ui/qr";
import { RegistryChoice, useRegistry } from "../ui/registry";
import { signer, Who } from "../ui/who";

export default function Buy({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const address = parts[0];
  return address ? <One key={address} address={address} named={query.get("registry")} /> : <All before={query.get("before")} />;
}

function All({ before }: { before: string | null }) {
  const registry = useRegistry();
  const [problem, setProblem] = useState("");
  const open = (event: SubmitEvent) => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget as HTMLFormElement).get("order") ?? "").trim();
    const address = /0x[0-9a-f]{40}/i.exec(text)?.[0];
    if (!address) return setProblem("This holds no address. Paste the seller's link, or the contract's address: 0x and 40 digits.");
    const given = /[?&]registry=(0x[0-9a-f]{40})/i.exec(text)?.[1];
    go(to(`buy/${address.toLowerCase()}`, { registry: given }));
  };
  return (
    <Page title="Buy" lead="Open an order by the seller's link or its address, or choose one that is for sale.">
      <Card title="Open an order">
        <form class="form" onSubmit={open} noValidate>
          <Field label="Link or address" name="order" hint="What the seller gave you" problem={problem || undefined} autocomplete="off" />
          <div class="actions">
            <button type="submit" class="main">
              Open
            </button>
          </div>
        </form>
      </Card>
      {registry.data === undefined ? <Busy note="Looking for the registry …" /> : registry.data === null ? <RegistryChoice at={null} changed={registry.reload} /> : <Orders title="Orders of the registry" what="the orders" empty="Nothing was put up for sale yet." registry={registry.data} seller={null} page="buy" before={before} />}
    </Page>
  );
}

// How deep a sale stands: settled where the safe block knows it too.
async function look(address: string, registry: Hex | null) {
  const order = await readOrder(address);
  const [known, safe] = await Promise.all([registry ? isOrder(registry, address).catch(() => false) : null, readOrder(address, "safe").catch(() => null)]);
  return { order, known, settled: order.sold && safe?.sold === true && safe.buyer === order.buyer };
}

function One({ address, named }: { address: string; named: string | null }) {
  const own = useRegistry();
  const registry = own.data ?? (named && isAddress(named) ? (named as Hex) : null);
  const found = useLoad(() => look(address, registry), [address, registry], "live");
  const task = useTask();
  return (
    <Page title={found.data ? titleOf(found.data.order) : "Order"} actions={<a class="button no-print" href={to(`collect/${address}`)}>Time line</a>}>
      <Show of={found} what="the order">
        {({ order, known, settled }) => (
          <>
            {known === false && (
              <Notice kind="warn">
                The registry does not know this contract. Anybody can write a contract that looks like an order: devices will not open for it, and your ether may be lost. Ask the seller for another link.
              </Notice>
            )}
            {known === null && <Notice kind="warn">No registry is set here, so nothing tells whether this is a true order. Open the seller's whole link, or set the registry under Sell.</Notice>}
            {known === true && own.data === null && <Notice>The registry that the link names knows this order. Whether devices trust that registry only your operator can say.</Notice>}
            <Card>
              <OrderFacts order={order} />
            </Card>
            {order.sold ? <Bought order={order} settled={settled} /> : <Pay order={order} task={task} reload={found.reload} />}
          </>
        )}
      </Show>
    </Page>
  );
}

function Pay({ order, task, reload }: { order: Order; task: ReturnType<typeof useTask>; reload(): void }) {
  const account = active.value;
  const own = account?.address === order.seller;
  const pay = () =>
    task.run(async (say) => {
      await sendAndWait(signer(), purchase(order.address, order.priceWei), say);
      reload();
    });
  return (
    <Card title="Pay">
      <div class="form">
        <Who role="You buy as" />
        {own && <Notice kind="warn">You are the seller. Choose another account to buy.</Notice>}
        <Act task={task} act={pay} disabled={!account || own}>
          Pay <Ether wei={order.priceWei} /> and own it
        </Act>
      </div>
    </Card>
  );
}

interface Kept {
  text: string;
  release: Release;
}

function Bought({ order, settled }: { order: Order; settled: boolean }) {
  const account = active.value;
  const mine = account?.address === order.buyer;
  const [code, setCode] = useState<Kept | undefined>(kept<Kept>(`code.${order.address}`));
  const stale = code !== undefined && (code.release.buyer !== order.buyer || code.release.notAfter < now.value);
  if (order.release) {
    return (
      <Notice kind="good">
        {order.release.openedAt ? "The item was collected" : "The item is released"} at the device {order.release.device}. <a href={to(`collect/${order.address}`)}>See the whole time line.</a>
      </Notice>
    );
  }
  return (
    <>
      <Card title="Yours" actions={settled ? <Badge kind="good">settled</Badge> : <Badge kind="warn">not settled yet</Badge>}>
        {settled ? <p>The sale is deep enough in the chain that devices act on it.</p> : <Busy note="The sale is on the chain; devices wait some blocks more until it cannot be undone." />}
        {!mine && (
          <div class="form">
            <Notice kind="warn">The code must be signed by the buyer, {order.buyer}. Choose that account to make one.</Notice>
            <Who role="You sign as" />
          </div>
        )}
      </Card>
      {mine && <Make order={order} made={(made) => (keep(`code.${order.address}`, made), setCode(made))} />}
      {code && !stale && <Shown order={order} code={code} />}
      {code && stale && <Notice kind="warn">The last code expired on {instant(code.release.notAfter)}. Make a new one.</Notice>}
    </>
  );
}

const deviceName = /^[a-zA-Z0-9:_-]{1,64}$/;

function Make({ order, made }: { order: Order; made(code: Kept): void }) {
  const [device, setDevice] = useState(kept<string>("device") ?? "");
  const [minutes, setMinutes] = useState("9");
  const task = useTask();
  const devices = useLoad(() => call<{ items: { name: string; role: string }[] }>("device_list").then(({ items }) => items.filter(({ role }) => role === "device").map(({ name }) => name), () => [] as string[]), []);
  const make = () =>
    task.run(async (say) => {
      if (!deviceName.test(device)) throw new InputError("The device has no name yet.", "It stands at the gate, such as dock-1: letters, digits, - and _.");
      const id = chainId.value;
      if (id === null) throw new InputError("The node is away.", "Wait until it is back.");
      const release: Release = { chainId: id, contract: order.address, buyer: order.buyer, device, nonce: newNonce(), notAfter: Math.floor(Date.now() / 1000) + Number(minutes) * 60 };
      const signature = await signTypedData(signer(), typedData(release), say);
      keep("device", device);
      made({ text: write({ form: "safe", release, signature }), release });
    });
  return (
    <Card title="Code for the gate" note="It is bound to you, to one device, and to a time. It opens once; a photograph of it opens nothing afterwards.">
      <div class="form">
        <div class="pair">
          <Field label="Device" hint="Its name stands at the gate" value={device} list="devices" onInput={(event) => setDevice(event.currentTarget.value)} autocomplete="off" />
          <Choice label="Good for" value={minutes} onChange={setMinutes} hint="Then you can make another. Devices refuse codes that count for longer than they allow, usually 10 minutes." options={[["3", "3 minutes"], ["9", "9 minutes"], ["60", "1 hour"], ["1440", "1 day"]]} />
        </div>
        <datalist id="devices">
          {devices.data?.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <Act task={task} act={make}>
          Sign and make the code
        </Act>
      </div>
    </Card>
  );
}

function Shown({ order, code }: { order: Order; code: Kept }) {
  const [form, setForm] = useState("safe");
  const plain = write({ form: "plain", contract: order.address, buyer: order.buyer });
  const text = form === "plain" ? plain : code.text;
  const save = async () => download(await png(text), `code-${order.address.slice(0, 10)}-${form}.png`);
  return (
    <Card
      title="Your code"
      actions={
        <>
          <button type="button" onClick={() => print()}>
            Print
          </button>
          <button type="button" onClick={() => void save()}>
            Download as PNG
          </button>
        </>
      }
    >
      <Qr text={text} label={`QR code of the ${form} code for ${titleOf(order)}`} />
      <p>
        {titleOf(order)}, device <strong>{code.release.device}</strong>, good until <span class="number">{instant(code.release.notAfter)}</span>
      </p>
      <p class="muted">
        Job <code>{jobOf(code.release)}</code>
      </p>
      <details class="no-print">
        <summary>The code as text</summary>
        <pre data-code={text}>{text}</pre>
        <Copy text={text} what="the code" />
      </details>
      <div class="no-print form">
        <Choice
          label="Form"
          value={form}
          onChange={setForm}
          options={[["safe", "safe: signed by you"], ["plain", "plain: contract and buyer"]]}
          hint={form === "plain" ? "Everybody who reads the chain can write the plain form; only devices with --static-codes take it." : "Devices take this form."}
        />
        <p>
          Page of the time line: <a href={to(`collect/${order.address}`)}>{link(to(`collect/${order.address}`))}</a>
        </p>
      </div>
    </Card>
  );
}
