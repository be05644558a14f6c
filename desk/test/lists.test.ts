import { describe, expect, it } from "vitest";
import { layout, type Fork } from "../src/chain/forks";
import { methodOf, type Row } from "../src/pages/account";
import { flatten } from "../src/pages/pool";
import { current, daysLeft, jobsOf, mayCome, type Certificate, type Device, type Opening } from "../src/state/devices";

// Chains are drawn: `A: 1 2 3 / B: 2 3` is a chain A and a branch B that left it after block 1.
function draw(text: string): Fork[] {
  return text.split(" / ").flatMap((part, index) => {
    const [name = "", heights = ""] = part.split(": ");
    return heights.split(" ").map((height, at): Fork => {
      const number = Number(height);
      const parent = at === 0 && index > 0 ? "A" : name;
      return { number, hash: `0x${name}${number}`, parentHash: `0x${parent}${number - 1}`, timestamp: 0, miner: "0x", difficulty: 1n, canonical: index === 0 };
    });
  });
}
const shown = (text: string) =>
  layout(draw(text))
    .rows.map((row) => (row.kind === "gap" ? `…${row.to - row.from + 1}` : row.places.map(({ block, lane }) => `${block.hash.slice(2)}@${lane}`).join(" ")))
    .join(", ");

describe("the tree of branches", () => {
  it("has the chain in lane 0 and a lost branch beside it", () => expect(shown("A: 1 2 3 / B: 2 3")).toBe("A3@0 B3@1, A2@0 B2@1, A1@0"));
  it("gives overlapping branches lanes of their own, and takes a lane up again below", () => {
    expect(shown("A: 1 2 3 4 5 / B: 4 / C: 4 5")).toBe("A5@0 C5@1, A4@0 C4@1 B4@2, A3@0, A2@0, A1@0");
    expect(layout(draw("A: 1 2 3 4 5 6 7 8 9 / B: 2 / C: 8")).lanes).toBe(2);
  });
  it("leaves plain heights out", () => {
    const chain = Array.from({ length: 30 }, (_, index) => index + 1).join(" ");
    expect(shown(`A: ${chain}`)).toBe("A30@0, A29@0, A28@0, A27@0, A26@0, …25");
    expect(shown(`A: ${chain} / B: 10`)).toBe("A30@0, A29@0, A28@0, A27@0, A26@0, …13, A12@0, A11@0, A10@0 B10@1, A9@0, A8@0, …7");
  });
  it("of no blocks is empty", () => expect(layout([])).toEqual({ rows: [], lanes: 1 }));
});

const certificate = (state: Certificate["state"], expiresAt: number): Certificate => ({ id: `${state}${expiresAt}`, serial: "", state, issuedAt: 0, expiresAt, retiresAt: null, revokedAt: null });
const device = (...certificates: Certificate[]): Device => ({ name: "dock-1", role: "device", writes: "both", addedAt: 0, connected: true, certificates });

describe("a device", () => {
  it("is judged by its active certificate that ends last", () => {
    expect(current(device(certificate("revoked", 9), certificate("active", 5), certificate("active", 7)))?.expiresAt).toBe(7);
    expect(current(device(certificate("revoked", 9), certificate("expired", 5)))?.state).toBe("revoked");
    expect(current(device())).toBeUndefined();
  });
  it("may come with an active certificate alone", () => {
    expect(mayCome(device(certificate("active", 1)))).toBe(true);
    expect(mayCome(device(certificate("revoked", 1), certificate("replaced", 1)))).toBe(false);
  });
  it("has whole days left", () => expect([daysLeft(certificate("active", 86_400 * 3), 1), daysLeft(certificate("active", 0), 1)]).toEqual([2, -1]));
});

describe("openings", () => {
  const event = (kind: Opening["event"], job: string): Opening => ({ event: kind, job: `0x${job}`, device: "dock-1", order: "0x", buyer: "0x", hash: "0x", blockNumber: 1, timestamp: 1, logIndex: 0 });
  it("are grouped by their job, newest first", () => {
    const jobs = jobsOf([event("opened", "b"), event("released", "b"), event("released", "a")]);
    expect(jobs.map(({ job, released, opened }) => [job, released !== undefined, opened !== undefined])).toEqual([["0xb", true, true], ["0xa", true, false]]);
  });
});

describe("a transaction in a list", () => {
  const row = (part: Partial<Row>): Row => ({ hash: "0x", blockNumber: "0x1", from: "0x", to: "0x", value: "0x0", ...part });
  it("is named by what it asked for", () => {
    expect(methodOf(row({ to: null }))).toBe("creation");
    expect(methodOf(row({ input: "0x" }))).toBe("transfer");
    expect(methodOf(row({ method: null }))).toBe("transfer");
    expect(methodOf(row({ method: "0x12345678" }))).toBe("0x12345678");
    expect(methodOf(row({ input: "0xa6f2ae3a" }))).toBe("buy");
  });
});

describe("the pool", () => {
  it("lists ready transactions before those that wait for a nonce", () => {
    const tx = (nonce: string) => ({ hash: `0x${nonce}`, nonce: `0x${nonce}` }) as never;
    const all = flatten({ pending: { "0xa": { 0: tx("0"), 1: tx("1") } }, queued: { "0xb": { 7: tx("7") } } });
    expect(all.map(({ tx: { hash }, queued }) => [hash, queued])).toEqual([["0x0", false], ["0x1", false], ["0x7", true]]);
  });
});
