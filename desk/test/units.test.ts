import { describe, expect, it } from "vitest";
import { age, bytes, decimal, ether, metric, parseEther, percent, short, span } from "../src/lib/units";

const check = <I, O>(name: string, of: (input: I) => O, cases: [I, O][]) =>
  describe(name, () => {
    for (const [input, expected] of cases) it(`${String(input)} reads ${String(expected)}`, () => expect(of(input)).toBe(expected));
  });

check("ether", ether, [
  [0n, "0 ETH"],
  [1n, "1 wei"],
  [999_999_999n, "999,999,999 wei"],
  [1_500_000_000n, "1.5 gwei"],
  [10n ** 18n, "1 ETH"],
  [1_234_567n * 10n ** 17n, "123,456.7 ETH"],
  [-5n * 10n ** 17n, "-0.5 ETH"],
]);
check("parseEther", parseEther, [
  ["1", 10n ** 18n],
  ["0.000000000000000001", 1n],
  ["1,5", 15n * 10n ** 17n],
  [" 50 ", 50n * 10n ** 18n],
  ["", null],
  ["-1", null],
  ["1e3", null],
  ["0.0000000000000000001", null],
]);
check("span", span, [
  [0, "0 s"],
  [0.012, "12 ms"],
  [1.25, "1.3 s"],
  [59, "59 s"],
  [61, "1 min 1 s"],
  [3600, "1 h"],
  [90_061, "1 d 1 h"],
  [-61, "-1 min 1 s"],
]);
check("bytes", bytes, [
  [1, "1 byte"],
  [2048, "2.0 KiB"],
  [3 * 1024 * 1024, "3.0 MiB"],
]);
check("percent", percent, [
  [0, "0 %"],
  [0.004, "0.4 %"],
  [0.5, "50 %"],
]);

describe("numbers", () => {
  it("decimal keeps every digit and no zero too many", () => {
    expect(decimal(123_450n, 4)).toBe("12.345");
    expect(decimal(1n, 18)).toBe("0.000000000000000001");
    expect(decimal(0n, 18)).toBe("0");
  });
  it("a metric amount has three digits and its prefix", () => {
    expect(metric(1_234_567, "H/s")).toBe("1.23 MH/s");
    expect(metric(12, "H")).toBe("12 H");
    expect(metric(Number.POSITIVE_INFINITY, "H")).toBe("– H");
  });
  it("ages count from now, and a clock that is behind shows no negative age", () => {
    expect(age(100, 100.5)).toBe("just now");
    expect(age(100, 40)).toBe("just now");
    expect(age(100, 165)).toBe("1 min 5 s ago");
  });
  it("ether read back is what was written", () => {
    for (const wei of [0n, 1n, 10n ** 18n, 123_456_789_012_345_678_901n]) expect(parseEther(decimal(wei, 18))).toBe(wei);
  });
  it("long hexadecimal texts are cut in the middle", () => {
    expect(short("0x1234567890abcdef1234")).toBe("0x123456…ef1234");
    expect(short("0x1234")).toBe("0x1234");
  });
});
