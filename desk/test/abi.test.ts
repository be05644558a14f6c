import { encodeErrorResult, encodeEventTopics, encodeFunctionData } from "viem/utils";
import { describe, expect, it } from "vitest";
import { decodeInput, decodeLog, decodeRevert, readAbi, registry, sale, textOf, valueOf } from "../src/chain/abi";
import { timelineOf } from "../src/chain/timeline";
import type { SaleEvent } from "../src/chain/sales";
import { withChange, type Change } from "../src/state/shadow";
import { problemsOf } from "../src/pages/sell";
import type { Hex } from "../src/rpc/types";

const a = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const job: Hex = `0x${"11".repeat(32)}`;

describe("bytes by the shipped ABIs", () => {
  it("a call is named with its arguments", () => {
    const data = encodeFunctionData({ abi: registry.abi, functionName: "createOrder", args: ["drone", "alpha", 2019, "4AA6", 50n] } as never);
    expect(decodeInput(data)).toMatchObject({ name: "createOrder", by: "OrderRegistry", values: [{ name: "make", value: "drone" }, { value: "alpha" }, { value: 2019 }, { value: "4AA6" }, { name: "priceWei", value: 50n }] });
    expect(decodeInput("0xdeadbeef")).toBeUndefined();
    expect(decodeInput("0x")).toBeUndefined();
  });
  it("a log is named with its arguments, indexed ones too", () => {
    const topics = encodeEventTopics({ abi: sale.abi, eventName: "OperatorNamed", args: { operator: a } } as never) as Hex[];
    expect(decodeLog({ address: a, topics, data: "0x" })).toMatchObject({ name: "OperatorNamed", values: [{ name: "operator", value: a }] });
    expect(decodeLog({ address: a, topics: [job], data: "0x" })).toBeUndefined();
  });
  it("a refusal says why", () => {
    expect(decodeRevert(encodeErrorResult({ abi: sale.abi, errorName: "WrongPrice", args: [1n, 2n] } as never))).toBe("WrongPrice(sentWei: 1, priceWei: 2)");
    expect(decodeRevert(encodeErrorResult({ abi: [{ type: "error", name: "Error", inputs: [{ type: "string" }] }], errorName: "Error", args: ["no"] } as never))).toBe("no");
    expect(decodeRevert(`0x4e487b71${"11".padStart(64, "0")}`)).toBe("panic 0x11: a number overflowed");
    expect(decodeRevert("0x")).toBe("the contract gave no reason");
    expect(decodeRevert("0x12345678")).toBeUndefined();
    expect(decodeRevert(undefined)).toBeUndefined();
  });
});

describe("an uploaded ABI", () => {
  const entry = { type: "function", name: "f", inputs: [], outputs: [], stateMutability: "view" };
  it("is an array, or what a compiler writes", () => {
    expect(readAbi(JSON.stringify([entry]), "Mine")).toMatchObject({ name: "Mine", abi: [entry] });
    expect(readAbi(JSON.stringify({ contractName: "Box", abi: [entry], bytecode: "0x" }), "")).toMatchObject({ name: "Box" });
  });
  it("that is none is refused with what to do", () => {
    for (const text of ["", "{", "[]", "{}", "[1]", '[{"name":"x"}]', "null"]) expect(() => readAbi(text, ""), text).toThrow();
    expect(() => readAbi(`[${" ".repeat(400_000)}]`, "")).toThrow(/characters/);
  });
});

describe("what somebody types for a type", () => {
  const cases: [string, string, unknown][] = [
    ["uint256", "12", 12n],
    ["int8", "-3", -3n],
    ["uint256", "0xff", 255n],
    ["bool", "true", true],
    ["address", a, a],
    ["bytes4", "0x12345678", "0x12345678"],
    ["string", " a ", " a "],
    ["uint256[]", '["1", 2]', ["1", 2n]],
  ];
  for (const [type, text, expected] of cases) it(`${type} ${text} is read`, () => expect(valueOf({ name: "x", type }, text)).toEqual(expected));
  for (const [type, text] of [["uint256", "1.5"], ["bool", "yes"], ["address", "0x12"], ["bytes", "0x1"], ["uint256[]", "1,2"]] as const) {
    it(`${type} ${text} is refused`, () => expect(() => valueOf({ name: "x", type }, text)).toThrow(/x/));
  }
  it("values are written as text", () => expect(textOf([1n, { a: "0x", b: [true] }])).toBe("[1, {a: 0x, b: [true]}]"));
});

describe("the time line of an order", () => {
  const event = (name: string, at: number, values: Record<string, unknown> = {}): SaleEvent => ({ name, at, block: at, tx: "0x", values });
  const change = (version: number, desired: object, reported: object, delta: object): Change =>
    ({ name: "dock-1", shadow: "lock", version, timestamp: version * 10, state: { desired, reported, delta }, deleted: false }) as Change;
  const states = (steps: ReturnType<typeof timelineOf>) => steps.map(({ name, state }) => `${state} ${name}`).join(", ");

  it("of a fresh order waits for a buyer", () => {
    expect(states(timelineOf([event("OrderPlaced", 1)], []))).toMatch(/^done Created.*done Mined, now Sold, todo Code made/);
  });
  it("of a collected item is done to the end, each step with its time", () => {
    const events = [event("OrderPlaced", 1), event("OperatorNamed", 2), event("OrderSold", 3), event("Released", 6, { job, device: "dock-1" }), event("Opened", 8)];
    const wanted = { lock: "open", job };
    const changes = [change(1, wanted, {}, wanted), change(2, wanted, { lock: "open", job }, {})].reverse();
    const steps = timelineOf(events, changes, { job, device: "dock-1", scannedAt: 5 });
    expect(steps.every(({ state }) => state === "done")).toBe(true);
    expect(steps.map(({ name }) => name)).toHaveLength(11);
    expect(steps.find(({ name }) => name === "Lock opened")?.at).toBe(20);
  });
  it("of a refused code says where it ended and why", () => {
    const steps = timelineOf([event("OrderPlaced", 1), event("OrderSold", 3)], [], { job, device: "dock-1", scannedAt: 5, refused: "used before" });
    expect(steps.find(({ state }) => state === "failed")).toMatchObject({ name: "Desired in the shadow", detail: "used before" });
  });
  it("takes no notice of another job in the shadow", () => {
    const other = change(1, { lock: "open", job: `0x${"22".repeat(32)}` }, {}, { lock: "open" });
    expect(timelineOf([event("OrderSold", 3)], [other], { job, device: "dock-1" }).find(({ name }) => name === "Desired in the shadow")?.state).not.toBe("done");
  });
  it("changes lie newest first, each version once", () => {
    const [one, two] = [change(1, {}, {}, {}), change(2, {}, {}, {})];
    expect([two, one, two].reduce(withChange, [] as Change[]).map(({ version }) => version)).toEqual([2, 1]);
  });
});

describe("the form of an order", () => {
  const good = { make: "drone", model: "alpha", year: "2019", serialNumber: "4AA6", price: "50", operator: "" };
  it("that is filled in has no problem", () => expect(problemsOf(good)).toEqual({}));
  const bad: [keyof typeof good, string][] = [["make", " "], ["year", "19"], ["serialNumber", ""], ["price", "-1"], ["price", "1e18"], ["operator", "0x1"], ["model", "x".repeat(201)]];
  for (const [key, value] of bad) it(`with ${key} “${value.slice(0, 8)}” says so there`, () => expect(Object.keys(problemsOf({ ...good, [key]: value }))).toEqual([key]));
});
