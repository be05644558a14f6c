// The tree of branches: which blocks the chain has, and which lost.

import { useState } from "preact/hooks";
import { layout, type Fork, type Row } from "../chain/forks";
import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { count, metric, number } from "../lib/units";
import type { BlockJson, Hex } from "../rpc/types";
import { blockOf, call, methods, recent, reorganisations } from "../state/node";
import { Account, Age, BlockLink, Card, Choice, Notice, Page, Show, Table, useSlices } from "../ui/parts";

interface ForkJson {
  number: Hex;
  hash: Hex;
  parentHash: Hex;
  timestamp: Hex;
  miner: Hex;
  difficulty: Hex;
  totalDifficulty: Hex;
  transactions: Hex;
  canonical: boolean;
}

async function read(depth: number): Promise<Fork[]> {
  if ((await methods()).has("drawbridge_forks")) {
    const { blocks } = await call<{ blocks: ForkJson[] }>("drawbridge_forks", depth);
    return blocks.map((block) => ({
      ...block,
      number: number(block.number),
      timestamp: number(block.timestamp),
      difficulty: BigInt(block.difficulty),
      totalDifficulty: BigInt(block.totalDifficulty),
      transactions: number(block.transactions),
    }));
  }
  // Without the node's list: the newest blocks, and what reorganisations dropped since this page was opened.
  const chain = recent.value.slice(0, depth).map((block): Fork => ({ ...block, canonical: true }));
  const dropped = await Promise.all(reorganisations.value.flatMap((moved) => moved.dropped).map(({ hash }) => call<BlockJson | null>("eth_getBlockByHash", hash, false)));
  const known = new Set(chain.map(({ hash }) => hash));
  return [...chain, ...dropped.filter((block) => block !== null && !known.has(block.hash)).map((block): Fork => ({ ...blockOf(block as BlockJson), canonical: false }))];
}

export default function Forks() {
  const [depth, setDepth] = useState("64");
  const forks = useLoad(() => read(Number(depth)), [depth], "live");
  return (
    <Page title="Forks" lead="All branches that the node knows near the head. Blocks beside the chain lost: their transactions count only where the chain has them too.">
      <div class="form">
        <Choice label="Depth" value={depth} onChange={setDepth} options={["64", "128", "256"].map((blocks) => [blocks, `${blocks} blocks`])} />
      </div>
      <Show of={forks} what="the branches">
        {(blocks) => {
          const orphans = blocks.filter(({ canonical }) => !canonical);
          return (
            <>
              <Card title="Tree">
                {orphans.length === 0 && <Notice kind="good">There is one branch: no block lost in the last {count(Number(depth))} heights.</Notice>}
                <Tree blocks={blocks} />
              </Card>
              <Orphans orphans={orphans} />
            </>
          );
        }}
      </Show>
      <Reorganisations />
    </Page>
  );
}

const [rowHeight, laneWidth, left, edge] = [28, 170, 80, 14];

function Tree({ blocks }: { blocks: Fork[] }) {
  const { rows, lanes } = layout(blocks);
  const y = new Map<number, number>();
  rows.forEach((row, index) => row.kind === "blocks" && y.set(row.number, index * rowHeight + edge));
  const x = (lane: number) => left + lane * laneWidth;
  const at = new Map(rows.flatMap((row) => (row.kind === "blocks" ? row.places.map(({ block, lane }) => [block.hash, { lane, height: row.number }] as const) : [])));
  const lines = rows.flatMap((row) =>
    row.kind === "blocks"
      ? row.places.flatMap(({ block, lane }) => {
          const parent = at.get(block.parentHash);
          const [from, below] = [y.get(row.number) ?? 0, parent ? y.get(parent.height) : undefined];
          // Where the parent is within a gap, the line goes down to it.
          const end = below ?? from + rowHeight;
          return rows.at(-1) === row && !parent ? [] : [<path key={block.hash} d={`M${x(lane)} ${from}C${x(lane)} ${(from + end) / 2} ${x(parent?.lane ?? lane)} ${(from + end) / 2} ${x(parent?.lane ?? lane)} ${end}`} fill="none" stroke={block.canonical ? "var(--good)" : "var(--bad)"} stroke-width={block.canonical ? 3 : 2} stroke-dasharray={block.canonical ? undefined : "5 4"} />];
        })
      : [],
  );
  return (
    <div class="table forks" role="region" aria-label="Tree of branches" tabIndex={0}>
      <svg width={left + lanes * laneWidth} height={rows.length * rowHeight + edge} role="group" aria-label="Blocks by height, the chain at the left, lost branches beside it">
        {lines}
        {rows.map((row, index) => (
          <RowShown key={row.kind === "gap" ? `gap ${row.to}` : row.number} row={row} y={index * rowHeight + edge} x={x} />
        ))}
      </svg>
    </div>
  );
}

function RowShown({ row, y, x }: { row: Row; y: number; x(lane: number): number }) {
  if (row.kind === "gap") {
    return (
      <text x={0} y={y + 4}>
        {`… ${count(row.to - row.from + 1)} blocks …`}
      </text>
    );
  }
  return (
    <>
      <text x={0} y={y + 4}>
        {count(row.number)}
      </text>
      {row.places.map(({ block, lane }) => (
        <a key={block.hash} href={to(`block/${block.hash}`)} aria-label={`${block.canonical ? "Block" : "Lost block"} ${block.number}, ${block.hash.slice(0, 12)}…`}>
          <circle cx={x(lane)} cy={y} r={6} fill={block.canonical ? "var(--good)" : "var(--bad)"} />
          <text x={x(lane) + 12} y={y + 4} text-decoration="underline">
            {block.hash.slice(0, 12)}…
          </text>
        </a>
      ))}
    </>
  );
}

function Orphans({ orphans }: { orphans: Fork[] }) {
  const { rows, bar } = useSlices([...orphans].sort((a, b) => b.number - a.number), 20);
  return (
    <Card title="Lost blocks">
      <Table
        caption="Blocks that are not on the chain"
        rows={rows}
        keyOf={({ hash }) => hash}
        empty="None."
        columns={[
          { name: "Block", cell: ({ number: at, hash }) => <BlockLink at={at} hash={hash} /> },
          { name: "Hash", cell: ({ hash }) => <a class="hash" href={to(`block/${hash}`)}>{hash.slice(0, 12)}…</a> },
          { name: "Age", cell: ({ timestamp }) => <Age at={timestamp} /> },
          { name: "Miner", cell: ({ miner }) => <Account at={miner} />, spare: true },
          { name: "Difficulty", cell: ({ difficulty }) => <span class="number">{metric(Number(difficulty), "H")}</span>, right: true, spare: true },
          { name: "Transactions", cell: ({ transactions }) => <span class="number">{transactions === undefined ? "–" : `${count(transactions)} tx`}</span>, right: true },
        ]}
      />
      {bar}
    </Card>
  );
}

function Reorganisations() {
  const { rows, bar } = useSlices(reorganisations.value, 20);
  return (
    <Card title="Reorganisations" note="Since this page was opened.">
      <Table
        caption="Reorganisations, newest first"
        rows={rows}
        keyOf={({ heard, ancestor }) => `${heard} ${ancestor}`}
        empty="None."
        columns={[
          { name: "When", cell: ({ heard }) => <Age at={heard / 1000} /> },
          { name: "Depth", cell: ({ depth }) => <span class="number">{count(depth)} blocks undone</span> },
          { name: "Instead", cell: ({ added }) => <span class="number">{count(added.length)} blocks</span>, spare: true },
          { name: "After block", cell: ({ ancestor }) => <BlockLink at={ancestor} /> },
          { name: "Back to the pool", cell: ({ transactions }) => <span class="number">{count(transactions.length)} tx</span>, right: true },
        ]}
      />
      {bar}
    </Card>
  );
}
