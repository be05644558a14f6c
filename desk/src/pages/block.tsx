// One block, of any branch.

import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { bytes, count, metric, number } from "../lib/units";
import { InputError } from "../rpc/error";
import type { BlockJson, Hex, TransactionJson } from "../rpc/types";
import { call, head, quantity } from "../state/node";
import { Account, Badge, BlockLink, Card, Ether, Facts, Gas, Gwei, Moment, Notice, Page, Show, Table, Tx, useSlices } from "../ui/parts";

type Found = { block: BlockJson<TransactionJson>; canonical: Hex | null; safe: number; finalized: number };

async function find(id: string): Promise<Found> {
  const byHash = /^0x[0-9a-f]{64}$/i.test(id);
  if (!byHash && !/^\d{1,15}$/.test(id) && !/^(latest|safe|finalized|earliest)$/.test(id)) throw new InputError(`“${id}” is no block.`, "Search for a number or a hash of 64 hexadecimal digits.");
  const wanted = byHash ? id : /^\d/.test(id) ? quantity(Number(id)) : id;
  const block = await call<BlockJson<TransactionJson> | null>(byHash ? "eth_getBlockByHash" : "eth_getBlockByNumber", wanted, true);
  if (!block) throw new InputError(`This node has no block ${id}.`, `Its newest is ${count(head.value?.number ?? 0)}. Check the number, or ask another node.`);
  const [same, finality] = await Promise.all([
    call<{ hash: Hex } | null>("eth_getHeaderByNumber", block.number),
    call<{ safe: { number: Hex }; finalized: { number: Hex } }>("drawbridge_finality").catch(() => null),
  ]);
  return { block, canonical: same?.hash ?? null, safe: number(finality?.safe.number), finalized: number(finality?.finalized.number) };
}

export default function Block({ parts }: { parts: string[] }) {
  const id = parts[0] ?? "latest";
  const found = useLoad(() => find(id), [id], "live");
  if (found.data) return <Known {...found.data} />;
  return (
    <Page title={`Block ${id.slice(0, 12)}`}>
      <Show of={found} what="the block">
        {() => null}
      </Show>
    </Page>
  );
}

function Known({ block, canonical, safe, finalized }: Found) {
  const at = number(block.number);
  const isCanonical = canonical === block.hash;
  const slices = useSlices(block.transactions, 25);
  return (
    <Page
      title={`Block ${count(at)}`}
      lead={isCanonical ? at <= finalized ? <Badge kind="good">final</Badge> : at <= safe ? <Badge kind="good">safe</Badge> : <Badge kind="warn">may still be reorganised</Badge> : <Badge kind="bad">orphan: not on the chain</Badge>}
      actions={
        <>
          {at > 0 && <a class="button" href={to(`block/${block.parentHash}`)}>← Parent</a>}
          <a class="button" href={to(`block/${at + 1}`)}>Next →</a>
        </>
      }
    >
      {!isCanonical && (
        <Notice kind="warn">
          This block left the chain in a reorganisation, or never was on it. {canonical && <>The chain has <a href={to(`block/${canonical}`)}>another block {count(at)}</a>.</>} Its transactions count only where another block has them.
        </Notice>
      )}
      <Card title="Transactions">
        <Table
          caption={`Transactions of block ${at}`}
          rows={slices.rows}
          keyOf={({ hash }) => hash}
          empty="This block has no transactions."
          columns={[
            { name: "Hash", cell: ({ hash }) => <Tx hash={hash} /> },
            { name: "From", cell: ({ from }) => <Account at={from} /> },
            { name: "To", cell: (tx) => (tx.to ? <Account at={tx.to} /> : "new contract") },
            { name: "Value", cell: ({ value }) => <Ether wei={BigInt(value)} />, right: true },
          ]}
        />
        {slices.bar}
      </Card>
      <Card title="Header">
        <Facts
          rows={[
            ["Hash", <code>{block.hash}</code>],
            ["Parent", <a class="hash" href={to(`block/${block.parentHash}`)}>{block.parentHash}</a>],
            ["Time", <Moment at={number(block.timestamp)} />],
            ["Miner", <Account at={block.miner} whole />],
            ["Gas", <Gas used={BigInt(block.gasUsed)} of={BigInt(block.gasLimit)} />],
            block.baseFeePerGas ? ["Base fee per gas", <Gwei wei={BigInt(block.baseFeePerGas)} />] : null,
            ["Difficulty", <span class="number" title={BigInt(block.difficulty).toString()}>{metric(Number(block.difficulty), "H")}</span>],
            block.totalDifficulty ? ["Total difficulty", <span class="number">{metric(Number(block.totalDifficulty), "H")}</span>] : null,
            block.size ? ["Size", bytes(number(block.size))] : null,
            ["Extra data", <code>{block.extraData}</code>],
            ["Nonce", <code>{block.nonce}</code>],
            ["Mix hash", <code>{block.mixHash}</code>],
            ["State root", <code>{block.stateRoot}</code>],
            ["Transactions root", <code>{block.transactionsRoot}</code>],
            ["Receipts root", <code>{block.receiptsRoot}</code>],
            ["Number", <BlockLink at={at} />],
          ]}
        />
      </Card>
    </Page>
  );
}
