// All blocks, newest first.

import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { count } from "../lib/units";
import { blocksFrom, head } from "../state/node";
import { Account, Age, BlockLink, Busy, Card, Gas, Gwei, Page, Pager, Show, Table } from "../ui/parts";

const size = 25;

export default function Blocks({ query }: { query: URLSearchParams }) {
  const height = head.value?.number;
  if (height === undefined) return <Page title="Blocks"><Busy note="Waiting for the node …" /></Page>;
  const asked = query.get("from");
  const from = asked !== null && /^\d+$/.test(asked) ? Math.min(Number(asked), height) : height;
  return <List key={asked ?? "newest"} from={from} newest={asked === null} height={height} />;
}

function List({ from, newest, height }: { from: number; newest: boolean; height: number }) {
  const blocks = useLoad(() => blocksFrom(newest ? (head.peek()?.number ?? from) : from, size), [from === height && newest ? "newest" : from], newest ? "live" : "once");
  const newer = from + size >= height ? to("blocks") : to("blocks", { from: from + size });
  return (
    <Page title="Blocks" lead={newest ? "New blocks come in at the top." : undefined}>
      <Card>
        <Show of={blocks} what="the blocks">
          {(rows) => (
            <Table
              caption="Blocks, newest first"
              rows={rows}
              keyOf={({ hash }) => hash}
              empty="There is no block here."
              columns={[
                { name: "Block", cell: ({ number, hash }) => <BlockLink at={number} hash={hash} /> },
                { name: "Age", cell: ({ timestamp }) => <Age at={timestamp} /> },
                { name: "Transactions", cell: ({ transactions }) => <span class="number">{count(transactions ?? 0)} tx</span>, right: true },
                { name: "Gas", cell: ({ gasUsed, gasLimit }) => <Gas used={gasUsed} of={gasLimit} />, right: true },
                { name: "Base fee", cell: ({ baseFee }) => <Gwei wei={baseFee} />, right: true, spare: true },
                { name: "Miner", cell: ({ miner }) => <Account at={miner} />, spare: true },
                { name: "Hash", cell: ({ hash }) => <a class="hash" href={to(`block/${hash}`)}>{hash.slice(0, 12)}…</a>, spare: true },
              ]}
            />
          )}
        </Show>
        <Pager newer={newest ? undefined : newer} older={from - size >= 0 ? to("blocks", { from: from - size }) : undefined} note={`${count(height + 1)} blocks`} />
      </Card>
    </Page>
  );
}
