// Selling: an item becomes a contract on the chain.

import { useState } from "preact/hooks";
import { createdOrder, creation, isAddress, naming, nodeSettings, type NewOrder } from "../chain/sales";
import { keep, kept } from "../lib/keep";
import { useLoad, useTask } from "../lib/load";
import { link, to } from "../lib/router";
import { parseEther } from "../lib/units";
import type { Hex } from "../rpc/types";
import { active } from "../signing/accounts";
import { sendAndWait } from "../signing/send";
import { Orders } from "../ui/orders";
import { Account, Act, BlockLink, Busy, Card, Copy, Ether, Facts, Field, Notice, Page, Problem, Tx } from "../ui/parts";
import { Qr } from "../ui/qr";
import { RegistryChoice, useRegistry } from "../ui/registry";
import { signer, Who } from "../ui/who";

const textMax = 200;
const empty = { make: "", model: "", year: "", serialNumber: "", price: "", operator: "" };
type Form = typeof empty;

// What is wrong with a form, by field.
export function problemsOf(form: Form): Partial<Record<keyof Form, string>> {
  const problems: Partial<Record<keyof Form, string>> = {};
  for (const [key, name] of [["make", "make"], ["model", "model"], ["serialNumber", "serial number"]] as const) {
    if (form[key].trim() === "") problems[key] = `Fill in the ${name}.`;
    else if (form[key].length > textMax) problems[key] = `At most ${textMax} characters.`;
  }
  if (!/^\d{4}$/.test(form.year.trim())) problems.year = "A year has four digits, such as 2019.";
  const price = parseEther(form.price);
  if (price === null) problems.price = "Write an amount in ether, such as 50 or 0.25, with at most 18 decimals.";
  if (form.operator.trim() !== "" && !isAddress(form.operator.trim())) problems.operator = "An address is 0x and 40 hexadecimal digits; leave it empty where you release by yourself.";
  return problems;
}

const orderOf = (form: Form): NewOrder => ({
  make: form.make.trim(),
  model: form.model.trim(),
  year: Number(form.year),
  serialNumber: form.serialNumber.trim(),
  priceWei: parseEther(form.price) ?? 0n,
});

export default function Sell({ query }: { query: URLSearchParams }) {
  const registry = useRegistry();
  if (registry.data === undefined) return <Page title="Sell">{registry.error ? <Problem error={registry.error} retry={registry.reload} /> : <Busy note="Looking for the registry …" />}</Page>;
  return (
    <Page title="Sell" lead="Put an item up for sale. The contract pays you the moment somebody buys.">
      {registry.data === null && (
        <Card title="Who you are">
          <Who role="You sign as" />
        </Card>
      )}
      {registry.data === null ? <RegistryChoice at={null} changed={registry.reload} /> : <Offer registry={registry.data} changed={registry.reload} />}
      {registry.data && <Mine registry={registry.data} before={query.get("before")} />}
    </Page>
  );
}

interface Made {
  order: Hex;
  block: number;
  tx: Hex;
  item: NewOrder;
  // The operator could not be named.
  unnamed?: string;
}

function Offer({ registry, changed }: { registry: Hex; changed(): void }) {
  const settings = useLoad(nodeSettings, []);
  const [form, setForm] = useState<Form>({ ...empty, operator: kept<string>("operator") ?? "" });
  const [tried, setTried] = useState(false);
  const [made, setMade] = useState<Made>();
  const task = useTask();
  const suggested = settings.data?.operator ?? "";
  const filled = { ...form, operator: form.operator || suggested };
  const problems = problemsOf(filled);
  const field = (key: keyof Form) => ({ value: key === "operator" ? filled.operator : form[key], problem: tried ? problems[key] : undefined, onInput: ({ currentTarget }: { currentTarget: HTMLInputElement }) => setForm({ ...form, [key]: currentTarget.value }) });
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(problems).length > 0) return;
    void task.run(async (say) => {
      const account = signer();
      const item = orderOf(filled);
      const operator = filled.operator.trim().toLowerCase() as Hex | "";
      const receipt = await sendAndWait(account, creation(registry, item), (note) => say(operator ? `1 of 2, the order: ${note}` : note));
      const order = createdOrder(receipt, registry);
      const done: Made = { order, block: Number(receipt.blockNumber), tx: receipt.transactionHash, item };
      setMade(done);
      keep("operator", operator || undefined);
      if (operator) {
        try {
          await sendAndWait(account, naming(order, operator), (note) => say(`2 of 2, who may release it: ${note}`));
        } catch (thrown) {
          setMade({ ...done, unnamed: operator });
          throw thrown;
        }
      }
      setForm({ ...empty, operator });
      setTried(false);
    });
  };
  const share = made && to(`buy/${made.order}`, { registry });
  return (
    <>
      <Card title="The item">
        <form class="form" onSubmit={submit} noValidate>
          <Who role="You sell as" />
          <div class="pair">
            <Field label="Make" hint="Who made it" {...field("make")} />
            <Field label="Model" hint="What it is called" {...field("model")} />
            <Field label="Year" hint="Model year" inputMode="numeric" {...field("year")} />
            <Field label="Serial number" hint="Of this one item" {...field("serialNumber")} />
          </div>
          <Field label="Price" unit="ETH" hint="The buyer pays exactly this; nobody can change it later." inputMode="decimal" {...field("price")} />
          <Field label="Warehouse account" hint="May record that the item is handed out, besides you: your warehouse's bridge. Empty: nobody." {...field("operator")} />
          {tried && Object.keys(problems).length > 0 && <Notice kind="warn">Correct the marked fields.</Notice>}
          <Act task={task}>Sign and put up for sale</Act>
        </form>
        <RegistryChoice at={registry} changed={changed} />
      </Card>
      {made && share && (
        <Card title="It is for sale">
          <Notice kind="good">
            Block <BlockLink at={made.block} /> holds the order.{task.running && " The warehouse account is still being named."}
          </Notice>
          {made.unnamed && <Notice kind="warn">The warehouse account could not be named. Until you name it under the contract's “setOperator”, only you can release the item.</Notice>}
          <Facts
            rows={[
              ["Item", `${made.item.make} ${made.item.model} (${made.item.year}), ${made.item.serialNumber}`],
              ["Price", <Ether wei={made.item.priceWei} />],
              ["Contract", <><Account at={made.order} whole /> <Copy text={made.order} what="the contract's address" /></>],
              ["Transaction", <Tx hash={made.tx} whole />],
              ["Page to share", <><a href={share}>{link(share)}</a> <Copy text={link(share)} what="the link" /></>],
            ]}
          />
          <Qr text={link(share)} label={`QR code with the link to the order ${made.order}`} />
        </Card>
      )}
    </>
  );
}

function Mine({ registry, before }: { registry: Hex; before: string | null }) {
  const seller = active.value?.address;
  return seller ? <Orders title="Your orders" what="your orders" empty="You put nothing up for sale yet." registry={registry} seller={seller} page="sell" before={before} /> : null;
}
