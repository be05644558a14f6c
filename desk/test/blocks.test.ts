import { describe, expect, it } from "vitest";
import { seriesOf } from "../src/pages/dashboard";
import { laidOn, type Block } from "../src/state/node";

// Blocks are drawn as letters of a branch and a number: `B3` is the third block, on branch B.
const block = (name: string, parent: string, timestamp = 0): Block => ({
  number: Number(name.slice(1)),
  hash: `0x${name}`,
  parentHash: `0x${parent}`,
  timestamp,
  miner: "0x",
  difficulty: 100n,
  gasUsed: 50n,
  gasLimit: 100n,
  baseFee: 0n,
});
const chain = [block("A3", "A2"), block("A2", "A1"), block("A1", "A0")];
const names = (blocks: Block[] | null) => blocks?.map(({ hash }) => hash.slice(2)).join(" ");

describe("the newest blocks", () => {
  it("grow at the top", () => expect(names(laidOn(chain, block("A4", "A3"), false))).toBe("A4 A3 A2 A1"));
  it("take the same block once", () => expect(names(laidOn(chain, block("A3", "A2"), false))).toBe("A3 A2 A1"));
  it("lose a removed block", () => expect(names(laidOn(chain, block("A3", "A2"), true))).toBe("A2 A1"));
  it("do not mind the removal of what they do not hold", () => expect(names(laidOn(chain, block("B9", "B8"), true))).toBe("A3 A2 A1"));
  it("follow a reorganisation step by step", () => {
    const undone = laidOn(laidOn(chain, block("A3", "A2"), true) ?? [], block("A2", "A1"), true) ?? [];
    expect(names(laidOn(laidOn(undone, block("B2", "A1"), false) ?? [], block("B3", "B2"), false))).toBe("B3 B2 A1");
  });
  it("are read anew where a block does not join", () => expect(laidOn(chain, block("A9", "A8"), false)).toBeNull());
  it("are read anew where one from their middle is removed", () => expect(laidOn(chain, block("A2", "A1"), true)).toBeNull());
});

describe("the charts", () => {
  const blocks = Array.from({ length: 30 }, (_, index) => block(`A${index}`, `A${index - 1}`, index * 2)).reverse();
  it("count no time from the genesis block", () => expect(seriesOf(blocks)[0]?.points[0]?.[0]).toBe(2));
  it("show the mean time between blocks", () => expect(seriesOf(blocks)[0]?.points.at(-1)).toEqual([29, 2]));
  it("show hashes and gas per second", () => {
    expect(seriesOf(blocks)[2]?.points.at(-1)).toEqual([29, 50]);
    expect(seriesOf(blocks)[3]?.points.at(-1)).toEqual([29, 25]);
  });
  it("are empty without blocks", () => expect(seriesOf([]).every(({ points }) => points.length === 0)).toBe(true));
});
