import jsqr from "jsqr";
import { describe, expect, it } from "vitest";
import { base45, fromBase45, jobOf, looks, newNonce, read, signerOf, write, type Code, type Release } from "../src/chain/code";
import { signTypedData } from "../src/signing/signer";
import { typedData } from "../src/chain/code";
import { readKey } from "../src/signing/keystore";
import { modules } from "../src/ui/qr";

const release: Release = {
  chainId: 1337,
  contract: "0x5fbdb2315678afecb367f032d93f642f64180aa3",
  buyer: "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
  device: "dock-1",
  nonce: "0x000102030405060708090a0b0c0d0e0f",
  notAfter: 1_900_000_000,
};
// A development account's well-known key: that of the buyer above.
const key = readKey("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");
// What `drawbridge code make` prints for this release, and `drawbridge code read` for its job.
const ofTheProgram =
  "T1:000000000WT0T4CWNM--A AMRUMKGU+KR.TCJTCNF1%R761Q64NP50QL5X%BHKJJW7VSVKUI000000BEEESM100KB0*M0DY0W016C1PN1:Y1G 0U3EWOD4C6GC3%VN.7JT401A0DGRQWNQ1GM61/:1/ R*CO.94VDJY5D7E24 H2I9E K3WTKTH*8DHCB5JJ:73Z O2/05H45ASF2F+5I$73";
const job = "0xbff4920927e33d65b87e137a8ba31c3731c692fbbbc76da74745a7c94e0e6571";
const signed = async (): Promise<Code & { form: "safe" }> => ({ form: "safe", release, signature: await signTypedData(key, typedData(release)) });

describe("a safe code", () => {
  it("is written as the program writes it", async () => expect(write(await signed())).toBe(ofTheProgram));
  it("is read back as it was, in capitals or not", async () => {
    expect(read(ofTheProgram)).toEqual(await signed());
    expect(read(`  ${ofTheProgram.toLowerCase()}\n`)).toEqual(await signed());
  });
  it("names its job as the program and the contract do", () => expect(jobOf(release)).toBe(job));
  it("is signed by its buyer, and a change of one field shows", async () => {
    const { signature } = await signed();
    expect(await signerOf(release, signature)).toBe(release.buyer);
    for (const change of [{ device: "dock-2" }, { notAfter: 1_900_000_001 }, { chainId: 1 }, { nonce: newNonce() }]) {
      expect(await signerOf({ ...release, ...change }, signature)).not.toBe(release.buyer);
    }
  });
  it("that is cut, changed or empty is refused with what to do", () => {
    for (const text of ["T1:", "T1:ABC", ofTheProgram.slice(0, -1), ofTheProgram.slice(0, -3), `${ofTheProgram}000`, ofTheProgram.replace("T1:0", "T1:ä")]) {
      expect(() => read(text), text).toThrow(/damaged/);
    }
    expect(() => read("x".repeat(401))).toThrow(/at most 400/);
    expect(() => read("hello")).toThrow(/no code/);
  });
  it("is checked for chain and time", () => {
    const code: Code = { form: "safe", release, signature: "0x" };
    const fine = (chain: number, now: number) => looks(code, chain, now).map((check) => check.fine);
    expect(fine(1337, release.notAfter)).toEqual([true, true]);
    expect(fine(1, release.notAfter + 1)).toEqual([false, false]);
  });
});

describe("a plain code", () => {
  const { contract, buyer } = release;
  const expected = { form: "plain", contract, buyer };
  it("is read with and without a sign between the two, with and without 0x", () => {
    for (const between of [",", ";", "/", " ", ""]) expect(read(`${contract}${between}${buyer}`)).toEqual(expected);
    expect(read(contract.slice(2) + buyer.slice(2))).toEqual(expected);
    expect(read(write({ form: "plain", contract, buyer }))).toEqual(expected);
  });
  it("with one 0x alone, or a wrong checksum, is refused", () => {
    expect(() => read(`${contract},${buyer.slice(2)}`)).toThrow(/no code/);
    expect(() => read(write({ form: "plain", contract, buyer }).replace("FbDB", "fbDB"))).toThrow(/checksum/);
  });
});

describe("Base45", () => {
  it("gives back all bytes", () => {
    for (let length = 0; length < 40; length += 1) {
      const bytes = Uint8Array.from({ length }, (_, index) => (index * 89 + length * 31) % 256);
      expect(fromBase45(base45(bytes))).toEqual(bytes);
    }
  });
  it("is that of RFC 9285", () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(base45(bytes("AB"))).toBe("BB8");
    expect(base45(bytes("Hello!!"))).toBe("%69 VD92EX0");
    expect(base45(bytes("base-45"))).toBe("UJCLQE7W581");
  });
  it("refuses what no bytes give", () => {
    for (const text of [":::", "::", "A", "AAAA", "a!0"]) expect(fromBase45(text), text).toBeNull();
  });
});

describe("the picture of a code", () => {
  it("has 49 modules a side, and a decoder reads it back", () => {
    const rows = modules(ofTheProgram);
    expect(rows.length).toBe(49);
    const [scale, edge] = [4, 16];
    const size = rows.length * scale + 2 * edge;
    const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
    rows.forEach((row, y) =>
      row.forEach((dark, x) => {
        if (!dark) return;
        for (let dy = 0; dy < scale; dy += 1) for (let dx = 0; dx < scale; dx += 1) pixels.fill(0, ((edge + y * scale + dy) * size + edge + x * scale + dx) * 4, ((edge + y * scale + dy) * size + edge + x * scale + dx) * 4 + 3);
      }),
    );
    expect(jsqr(pixels, size, size)?.data).toBe(ofTheProgram);
  });
});
