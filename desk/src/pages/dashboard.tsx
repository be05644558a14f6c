// The overview: how the chain does at this moment.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { count, metric, number, percent, span } from "../lib/units";
import type { Hex } from "../rpc/types";
import { call, head, methods, recent, reorganisations, type Block } from "../state/node";
import { Chart, type Series } from "../ui/chart";
import { Account, Age, BlockLink, Card, Choice, Gas, Notice, Page, Problem, Table } from "../ui/parts";

interface Status {
  pool?: { pending: Hex; queued: Hex };
  peers?: Hex;
  hashRate?: Hex;
  mining?: boolean;
  syncing?: false | { currentBlock: Hex; highestBlock: Hex };
  safe?: Hex;
  finalized?: Hex;
  targetMs?: number;
  fixedDifficulty?: bigint;
}

interface NodeStatus {
  pool: { pending: Hex; queued: Hex };
  peers: Hex;
  hashRate: Hex;
  mining: boolean;
  syncing: Status["syncing"];
  safe: { number: Hex };
  finalized: { number: Hex };
  pow: { difficulty: { fixed?: Hex; targetMs?: Hex } };
}

// The node's own summary, or what the usual methods tell.
export async function readStatus(): Promise<Status> {
  if ((await methods()).has("drawbridge_status")) {
    const { safe, finalized, pow, ...rest } = await call<NodeStatus>("drawbridge_status");
    const { targetMs, fixed } = pow.difficulty;
    return { ...rest, safe: safe.number, finalized: finalized.number, ...(targetMs ? { targetMs: Number(targetMs) } : {}), ...(fixed ? { fixedDifficulty: BigInt(fixed) } : {}) };
  }
  const maybe = <T,>(method: string) => call<T>(method).catch(() => undefined);
  const [pool, peers, hashRate, mining, syncing, finality] = await Promise.all([
    maybe<Status["pool"]>("txpool_status"),
    maybe<Hex>("net_peerCount"),
    maybe<Hex>("eth_hashrate"),
    maybe<boolean>("eth_mining"),
    maybe<Status["syncing"]>("eth_syncing"),
    maybe<{ safe: { number: Hex }; finalized: { number: Hex } }>("drawbridge_finality"),
  ]);
  return { pool, peers, hashRate, mining, syncing, safe: finality?.safe.number, finalized: finality?.finalized.number };
}

const meanOf = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
// Over how many blocks the figures are taken: the time stamps are whole seconds.
const window = 20;

// The seconds between two blocks, over some blocks before each.
function meanTimes(blocks: Block[]): [number, number][] {
  return blocks.slice(1).map((block, index) => {
    const from = blocks[Math.max(0, index + 1 - window)] ?? block;
    return [block.number, (block.timestamp - from.timestamp) / Math.max(1, block.number - from.number)];
  });
}

export function seriesOf(newestFirst: Block[]): Series[] {
  // The genesis block's time is the chain file's, so no time is counted from it.
  const blocks = newestFirst.filter(({ number }) => number > 0).reverse();
  const times = new Map(meanTimes(blocks));
  const rate = (value: (block: Block) => number) => blocks.slice(1).map((block): [number, number] => [block.number, value(block) / Math.max(times.get(block.number) ?? 1, 0.05)]);
  const seconds = (value: number) => span(value);
  return [
    { title: `Block time, mean of ${window}`, unit: "s", show: seconds, points: [...times] },
    { title: "Difficulty", unit: "hashes", show: (value) => metric(value, "H"), points: blocks.map(({ number, difficulty }) => [number, Number(difficulty)]) },
    { title: "Hash rate of the network", unit: "H/s", show: (value) => metric(value, "H/s"), points: rate(({ difficulty }) => Number(difficulty)) },
    { title: "Gas per second", unit: "gas/s", show: (value) => metric(value, "gas/s"), points: rate(({ gasUsed }) => Number(gasUsed)) },
  ];
}

interface Columns {
  number: number[];
  blockTimeMs: (number | null)[];
  difficulty: Hex[];
  hashRate: (Hex | number | null)[];
  gasPerSecond: (number | null)[];
}

// Charts over more blocks than the page holds, from the node.
async function longSeries(blocks: number): Promise<Series[]> {
  const { columns } = await call<{ columns: Columns }>("drawbridge_series", { blocks, points: 256 });
  const points = (values: (Hex | number | null)[], scale = 1) =>
    columns.number.flatMap((at, index): [number, number][] => {
      const value = values[index];
      return value === null || value === undefined ? [] : [[number(at), number(value) / scale]];
    });
  const [time, difficulty, rate, gas] = seriesOf([]);
  if (!time || !difficulty || !rate || !gas) return [];
  return [
    { ...time, title: "Block time", points: points(columns.blockTimeMs, 1000) },
    { ...difficulty, points: points(columns.difficulty) },
    { ...rate, points: points(columns.hashRate) },
    { ...gas, points: points(columns.gasPerSecond) },
  ];
}

export default function Dashboard() {
  const [range, setRange] = useState("recent");
  const offered = useLoad(() => methods().then((names) => names.has("drawbridge_series")), []);
  const long = useLoad(() => (range === "recent" ? Promise.resolve(null) : longSeries(Number(range))), [range], "live");
  const status = useLoad(readStatus, [], "live");
  const block = head.value;
  const blocks = recent.value;
  const series = useMemo(() => seriesOf(blocks), [blocks]);
  const last = (index: number) => series[index]?.points.at(-1)?.[1];
  const data = status.data ?? {};
  const reorgs = reorganisations.value;
  const mean = last(0);
  return (
    <Page
      title="Overview"
      actions={
        offered.data && <Choice label="Charts over" value={range} onChange={setRange} options={[["recent", "the newest blocks"], ["1024", "1,024 blocks"], ["4096", "4,096 blocks"]]} />
      }
    >
      {data.syncing && (
        <Notice kind="warn">
          The node is catching up: block {count(number(data.syncing.currentBlock))} of {count(number(data.syncing.highestBlock))}. What is shown is not the newest yet.
        </Notice>
      )}
      <dl class="figures">
        <Figure name="Height" value={block ? <a href={to(`block/${block.number}`)}>{count(block.number)}</a> : "–"} note={block ? <Age at={block.timestamp} /> : ""} />
        <Figure
          name="Block time"
          value={mean === undefined ? "–" : span(mean)}
          note={data.targetMs ? `target ${span(data.targetMs / 1000)}` : data.fixedDifficulty !== undefined ? "difficulty is fixed, no target" : `mean of ${window} blocks`}
        />
        <Figure name="Difficulty" value={block ? metric(Number(block.difficulty), "H") : "–"} note={`network ${metric(last(2) ?? 0, "H/s")}`} />
        <Figure name="This node" value={metric(number(data.hashRate), "H/s")} note={data.mining === undefined ? "" : data.mining ? "it mines" : "it does not mine"} />
        <Figure name="Gas" value={metric(meanOf(series[3]?.points.slice(-window).map(([, value]) => value) ?? []), "gas/s")} note={block ? `${Math.round((Number(block.gasUsed) / Number(block.gasLimit)) * 100)} % of the newest block` : ""} />
        <Figure
          name="Pool"
          value={data.pool ? <a href={to("pool")}>{count(number(data.pool.pending))} tx</a> : "–"}
          note={data.pool ? `${count(number(data.pool.queued))} wait for an earlier nonce` : "not offered: txpool"}
        />
        <Figure name="Peers" value={data.peers ? <a href={to("cluster")}>{count(number(data.peers))} peers</a> : "–"} note={data.finalized ? `final up to block ${count(number(data.finalized))}` : ""} />
        <Figure name="Reorganisations" value={<a href={to("forks")}>{count(reorgs.length)}</a>} note={reorgs[0] ? <>last {count(reorgs[0].depth)} deep, <Age at={reorgs[0].heard / 1000} /></> : "since this page was opened"} />
      </dl>
      {long.error && <Problem error={long.error} retry={long.reload} />}
      <div class="columns">
        {(long.data ?? series).map((each) => (
          <Card key={each.title}>
            <Chart {...each} />
          </Card>
        ))}
      </div>
      <Card title="Newest blocks" actions={<a href={to("blocks")}>All blocks</a>}>
        <Table
          caption="Newest blocks"
          rows={blocks.slice(0, 10)}
          keyOf={({ hash }) => hash}
          empty="No block yet. A development chain mines its first block with the first transaction."
          columns={[
            { name: "Block", cell: ({ number, hash }) => <BlockLink at={number} hash={hash} /> },
            { name: "Age", cell: ({ timestamp }) => <Age at={timestamp} /> },
            { name: "Miner", cell: ({ miner }) => <Account at={miner} />, spare: true },
            { name: "Gas", cell: ({ gasUsed }) => <Gas used={gasUsed} />, right: true },
            { name: "Full", cell: ({ gasUsed, gasLimit }) => <span class="number">{percent(Number(gasUsed) / Number(gasLimit))}</span>, right: true, spare: true },
          ]}
        />
      </Card>
    </Page>
  );
}

function Figure({ name, value, note }: { name: string; value: ComponentChildren; note: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value}
        <small>{note}</small>
      </dd>
    </div>
  );
}
