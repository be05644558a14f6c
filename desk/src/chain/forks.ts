// The tree of all known blocks near the head, laid out in rows (heights, newest first) and lanes (branches, the chain in lane 0).

import type { Hex } from "../rpc/types";

export interface Fork {
  number: number;
  hash: Hex;
  parentHash: Hex;
  timestamp: number;
  miner: Hex;
  difficulty: bigint;
  totalDifficulty?: bigint;
  transactions?: number;
  canonical: boolean;
}

export type Row = { kind: "blocks"; number: number; places: { block: Fork; lane: number }[] } | { kind: "gap"; from: number; to: number };

export interface Layout {
  rows: Row[];
  lanes: number;
}

// How many plain heights are drawn around a fork, and at the top.
const around = 2;
const top = 5;

export function layout(blocks: Fork[]): Layout {
  const byHash = new Map(blocks.map((block) => [block.hash, block]));
  const heights = [...new Set(blocks.map(({ number }) => number))].sort((a, b) => b - a);
  const lanes = new Map<Hex, number>();
  // Each branch that left the chain has a lane from its tip down to where it left; a lane is free again below that.
  const taken: { lane: number; low: number; high: number }[] = [];
  const tips = blocks.filter((block) => !block.canonical && !blocks.some((other) => !other.canonical && other.parentHash === block.hash));
  for (const tip of tips.sort((a, b) => b.number - a.number)) {
    const branch: Fork[] = [];
    for (let at: Fork | undefined = tip; at && !at.canonical && !lanes.has(at.hash); at = byHash.get(at.parentHash)) {
      branch.push(at);
      lanes.set(at.hash, -1);
    }
    const low = (branch.at(-1)?.number ?? tip.number) - 1;
    let lane = 1;
    while (taken.some((other) => other.lane === lane && other.low <= tip.number && other.high >= low)) lane += 1;
    taken.push({ lane, low, high: tip.number });
    for (const { hash } of branch) lanes.set(hash, lane);
  }
  const forked = new Set(blocks.filter(({ canonical }) => !canonical).map(({ number }) => number));
  const shown = (height: number, index: number) => index < top || [...Array(2 * around + 1).keys()].some((offset) => forked.has(height + offset - around));
  const rows: Row[] = [];
  heights.forEach((height, index) => {
    if (!shown(height, index)) {
      const last = rows.at(-1);
      if (last?.kind === "gap") last.from = height;
      else rows.push({ kind: "gap", from: height, to: height });
      return;
    }
    const places = blocks.filter(({ number }) => number === height).map((block) => ({ block, lane: lanes.get(block.hash) ?? 0 }));
    rows.push({ kind: "blocks", number: height, places: places.sort((a, b) => a.lane - b.lane) });
  });
  return { rows, lanes: 1 + Math.max(0, ...taken.map(({ lane }) => lane)) };
}
