// The nodes of the network as this one sees them, who mines, and what is final.

import { useEffect, useState } from "preact/hooks";
import { useLoad } from "../lib/load";
import { count, number, percent, span } from "../lib/units";
import type { Hex } from "../rpc/types";
import { call, head, methods, recent, subscribe } from "../state/node";
import { Account, Age, Badge, BlockLink, Card, Copy, Facts, Notice, Page, Show, Table, useSlices } from "../ui/parts";

interface Peer {
  id: string;
  name: string;
  enode: string;
  network: { remoteAddress: string; inbound: boolean; trusted: boolean; static: boolean };
  drawbridge?: { headNumber: number | null; finalized: number | null; clockOffsetMs: number | null; roles: string[] | null; points: number; latencyMs: number | null };
  refused?: string;
}

interface NodeInfo {
  id: string;
  name: string;
  multiaddrs?: string[];
  protocols: { eth: { genesis: Hex; network: number } };
}

interface Finality {
  latest: { number: Hex };
  safe: { number: Hex };
  finalized: { number: Hex };
  safeDepth: Hex;
  finalityDepth: Hex;
}

interface Miner {
  address: Hex;
  blocks: number;
  share: number;
}

// Who mined of late, by share of the work.
async function miners(): Promise<Miner[]> {
  if ((await methods()).has("drawbridge_series")) {
    return (await call<{ miners: Miner[] }>("drawbridge_series", { blocks: 256, points: 1 })).miners;
  }
  const work = new Map<Hex, { blocks: number; difficulty: bigint }>();
  for (const { miner, difficulty, number: at } of recent.value) {
    if (at === 0) continue;
    const before = work.get(miner) ?? { blocks: 0, difficulty: 0n };
    work.set(miner, { blocks: before.blocks + 1, difficulty: before.difficulty + difficulty });
  }
  const whole = [...work.values()].reduce((sum, { difficulty }) => sum + difficulty, 0n);
  return [...work].map(([address, { blocks, difficulty }]) => ({ address, blocks, share: whole > 0n ? Number(difficulty) / Number(whole) : 0 })).sort((a, b) => b.share - a.share);
}

export default function Cluster() {
  const peers = useLoad(() => call<Peer[]>("admin_peers"), [], "live");
  const own = useLoad(() => call<NodeInfo>("admin_nodeInfo"), []);
  const finality = useLoad(() => call<Finality>("drawbridge_finality"), [], "live");
  const shares = useLoad(miners, [], "live");
  const [events, setEvents] = useState<{ type: string; peer: string; error?: string; at: number }[]>([]);
  useEffect(
    () =>
      subscribe<{ type: string; peer: string; error?: string }>({
        method: "admin_subscribe",
        kind: "peerEvents",
        item: (event) => {
          setEvents((before) => [{ ...event, at: Date.now() / 1000 }, ...before].slice(0, 20));
          peers.reload();
        },
      }),
    [],
  );
  return (
    <Page title="Cluster" lead="The nodes of this network as the one behind this page sees them.">
      <Card title="Finality">
        <Show of={finality} what="finality">
          {({ latest, safe, finalized, safeDepth, finalityDepth }) => (
            <Facts
              rows={[
                ["Newest block", <BlockLink at={number(latest.number)} />],
                ["Safe", <><BlockLink at={number(safe.number)} />, {count(number(safeDepth))} blocks below the newest</>],
                ["Final", <><BlockLink at={number(finalized.number)} />, {count(number(finalityDepth))} blocks below the newest: nothing up to it is reorganised any more</>],
              ]}
            />
          )}
        </Show>
      </Card>
      <Card title="Peers">
        <Show of={peers} what="the peers">
          {(all) => <Peers all={all} />}
        </Show>
      </Card>
      <Card title="Miners" note="Share of the work in the newest 256 blocks.">
        <Show of={shares} what="the miners">
          {(rows) => <Miners all={rows} />}
        </Show>
      </Card>
      <Card title="This node">
        <Show of={own} what="this node">
          {({ id, name, multiaddrs, protocols }) => (
            <Facts
              rows={[
                ["Version", name],
                ["Peer id", id ? <><code>{id}</code> <Copy text={id} what="the peer id" /></> : "it runs alone"],
                multiaddrs?.[0] ? ["Address", <><code>{multiaddrs[0]}</code> <Copy text={multiaddrs[0]} what="the address" /></>] : null,
                ["Genesis block", <code>{protocols.eth.genesis}</code>],
                ["Network id", count(protocols.eth.network)],
              ]}
            />
          )}
        </Show>
      </Card>
      {events.length > 0 && (
        <Card title="Comings and goings" note="Since this page was opened.">
          <Table
            caption="Peers that came and went"
            rows={events}
            keyOf={({ at, peer, type }) => `${at}${peer}${type}`}
            empty=""
            columns={[
              { name: "When", cell: ({ at }) => <Age at={at} /> },
              { name: "Peer", cell: ({ peer }) => <code>{peer.slice(-10)}</code> },
              { name: "What", cell: ({ type, error }) => (type === "add" ? <Badge kind="good">came</Badge> : <><Badge kind="warn">went</Badge> {error}</>) },
            ]}
          />
        </Card>
      )}
    </Page>
  );
}

// A clock that is further off than this makes blocks wait; one more than 15 s ahead has its blocks held.
const clockMsMax = 2_000;
const lagMax = 2;

// `Drawbridge/node2/v0.1.0/linux-x86_64/rustc1.95.0` is node2 with its version; other clients' names stay whole.
const nameOf = (name: string): string => /^Drawbridge\/((?:[^/]+\/)?v[^/]+)/.exec(name)?.[1]?.replace("/", " ") ?? name;

function Peers({ all }: { all: Peer[] }) {
  const ours = all.filter(({ refused }) => refused === undefined);
  const refused = all.filter((peer) => peer.refused !== undefined);
  const height = head.value?.number ?? 0;
  const { rows, bar } = useSlices(ours, 25);
  return (
    <>
      <Table
        caption="Peers"
        rows={rows}
        keyOf={({ id }) => id}
        empty="No peers. A node alone mines its own chain; add others by their addresses (docs/network.md)."
        columns={[
          { name: "Node", cell: ({ id, name }) => <><code title={id}>…{id.slice(-8)}</code> <span class="muted" title={name}>{nameOf(name)}</span></> },
          { name: "Latency", cell: ({ drawbridge }) => <span class="number">{drawbridge?.latencyMs == null ? "–" : `${count(drawbridge.latencyMs)} ms`}</span>, right: true },
          {
            name: "Height",
            cell: ({ drawbridge }) => {
              if (drawbridge?.headNumber == null) return "–";
              const lag = height - drawbridge.headNumber;
              return (
                <span class="number">
                  {count(drawbridge.headNumber)} {lag > lagMax ? <Badge kind="warn">{count(lag)} blocks behind</Badge> : lag < -lagMax ? <Badge kind="warn">{count(-lag)} blocks ahead</Badge> : ""}
                </span>
              );
            },
            right: true,
          },
          {
            name: "Clock",
            cell: ({ drawbridge }) => {
              const offset = drawbridge?.clockOffsetMs;
              if (offset == null) return "–";
              const text = `${offset >= 0 ? "+" : ""}${span(offset / 1000)}`;
              return Math.abs(offset) > clockMsMax ? <Badge kind="bad">{text}: set its clock</Badge> : <span class="number">{text}</span>;
            },
            right: true,
          },
          { name: "Does", cell: ({ drawbridge }) => drawbridge?.roles?.join(", ") || "–", spare: true },
          { name: "Faults", cell: ({ drawbridge }) => <span class="number">{count(drawbridge?.points ?? 0)} of 100 points</span>, right: true, spare: true },
          { name: "Connection", cell: ({ network }) => [network.inbound ? "it called" : "we called", network.trusted && "trusted", network.static && "kept"].filter(Boolean).join(", "), spare: true },
        ]}
      />
      {bar}
      {refused.length > 0 && (
        <>
          <Notice kind="warn">{refused.length === 1 ? "One node was" : `${count(refused.length)} nodes were`} refused of late. The reason says what to set right.</Notice>
          <Table
            caption="Refused nodes"
            rows={refused.slice(0, 50)}
            keyOf={({ id, enode }) => id + enode}
            empty=""
            columns={[
              { name: "Node", cell: ({ id, network }) => <>{id && <code title={id}>…{id.slice(-8)}</code>} <span class="muted">{network.remoteAddress}</span></> },
              { name: "Why", cell: (peer) => <span class="why">{peer.refused}</span> },
            ]}
          />
        </>
      )}
    </>
  );
}

function Miners({ all }: { all: Miner[] }) {
  const { rows, bar } = useSlices(all, 25);
  const largest = all[0];
  return (
    <>
      {largest && all.length > 1 && largest.share > 0.5 && <Notice kind="warn">One miner does {percent(largest.share)} of the work. Whoever has more than half can rewrite blocks that are not final.</Notice>}
      <Table
        caption="Miners by share of the work"
        rows={rows}
        keyOf={({ address }) => address}
        empty="No block was mined yet."
        columns={[
          { name: "Miner", cell: ({ address }) => <Account at={address} /> },
          { name: "Blocks", cell: ({ blocks }) => <span class="number">{count(number(blocks))} blocks</span>, right: true },
          { name: "Share of the work", cell: ({ share }) => <span class="number">{percent(share)}</span>, right: true },
        ]}
      />
      {bar}
    </>
  );
}
