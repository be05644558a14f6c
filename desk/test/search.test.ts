import { describe, expect, it } from "vitest";
import { placeOf, to } from "../src/lib/router";
import { read } from "../src/lib/search";

const hash = `0x${"ab".repeat(32)}`;
const address = `0x${"cd".repeat(20)}`;

describe("a search", () => {
  const cases: [string, ReturnType<typeof read>][] = [
    ["12", { page: "#/block/12" }],
    ["1,234", { page: "#/block/1234" }],
    ["007", { page: "#/block/7" }],
    ["0x10", { page: "#/block/16" }],
    ["latest", { page: "#/block/latest" }],
    [address.toUpperCase().replace("X", "x"), { page: `#/account/${address}` }],
    [address.slice(2), { page: `#/account/${address}` }],
    [` ${hash} `, { hash }],
    [hash.slice(2).toUpperCase(), { hash }],
  ];
  for (const [text, expected] of cases) it(`for ${text.slice(0, 14)} leads to the right place`, () => expect(read(text)).toEqual(expected));
  for (const text of ["", "0x", "hello", `${address}0`, hash.slice(0, -1)]) {
    it(`for “${text.slice(0, 12)}” says what is wrong`, () => expect(read(text)).toHaveProperty("problem"));
  }
});

describe("an address of a page", () => {
  it("is read as it was written", () => {
    const place = placeOf(to("blocks", { from: 12, page: undefined, word: "a&b c" }));
    expect(place.parts).toEqual(["blocks"]);
    expect(Object.fromEntries(place.query)).toEqual({ from: "12", word: "a&b c" });
  });
  it("with a broken escape is still a page", () => expect(placeOf("#/device/%zz").parts).toEqual(["device", "%zz"]));
});
