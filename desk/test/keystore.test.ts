import { describe, expect, it } from "vitest";
import { addressOf, costs, decrypt, encrypt, fileName, newKey, readKey, readKeystore, type Keystore } from "../src/signing/keystore";

const cheap = { n: 2, r: 8, p: 1 };
const password = "correct horse battery staple";

describe("a keystore file", () => {
  it("gives its key back for the password alone", async () => {
    const key = newKey();
    const file = readKeystore(JSON.stringify(await encrypt(key, password, cheap)));
    expect(await decrypt(file, password)).toEqual(key);
    expect(`0x${file.address}`).toBe(addressOf(key));
    await expect(decrypt(file, `${password} `)).rejects.toThrow(/Wrong password/);
  });

  it("shows how far it is", async () => {
    const shares: number[] = [];
    await encrypt(newKey(), password, { n: 1024, r: 8, p: 1 }, (share) => shares.push(share));
    expect(shares.at(-1)).toBe(1);
  });

  it("with a changed byte is not opened", async () => {
    const file = await encrypt(newKey(), password, cheap);
    const flipped = (file.crypto.ciphertext[0] === "0" ? "1" : "0") + file.crypto.ciphertext.slice(1);
    await expect(decrypt({ ...file, crypto: { ...file.crypto, ciphertext: flipped } }, password)).rejects.toThrow(/damaged/);
  });

  it("of older programs, with Crypto and 0x, is read", async () => {
    const { crypto, ...rest } = await encrypt(newKey(), password, cheap);
    const old = readKeystore(JSON.stringify({ ...rest, address: `0x${rest.address.toUpperCase()}`, Crypto: { ...crypto, mac: `0x${crypto.mac.toUpperCase()}` } }));
    expect(old.address).toBe(rest.address);
    await expect(decrypt(old, password)).resolves.toHaveLength(32);
  });

  it("under pbkdf2 is opened", async () => {
    const made = await encrypt(newKey(), password, cheap);
    // The same key under the other derivation, made here from the parts.
    const { pbkdf2 } = await import("@noble/hashes/pbkdf2");
    const { sha256 } = await import("@noble/hashes/sha2");
    const { keccak_256 } = await import("@noble/hashes/sha3");
    const { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } = await import("@noble/hashes/utils");
    const { ctr } = await import("@noble/ciphers/aes");
    const key = await decrypt(made, password);
    const salt = hexToBytes("ab".repeat(32));
    const derived = pbkdf2(sha256, utf8ToBytes(password), salt, { c: 10, dkLen: 32 });
    const ciphertext = ctr(derived.slice(0, 16), hexToBytes(made.crypto.cipherparams.iv)).encrypt(key);
    const crypto: Keystore["crypto"] = { ...made.crypto, ciphertext: bytesToHex(ciphertext), kdf: "pbkdf2", kdfparams: { dklen: 32, c: 10, prf: "hmac-sha256", salt: bytesToHex(salt) }, mac: bytesToHex(keccak_256(concatBytes(derived.slice(16, 32), ciphertext))) };
    expect(await decrypt({ ...made, crypto }, password)).toEqual(key);
  });

  it("that wants too much memory or too many rounds is refused, not tried", async () => {
    const file = await encrypt(newKey(), password, cheap);
    const greedy: Partial<Keystore["crypto"]["kdfparams"]>[] = [{ n: 2 ** 24 }, { r: 2 ** 23 }, { p: 2 ** 24 }, { n: 3 }, { n: 0 }, { dklen: 16 }];
    for (const params of greedy) {
      await expect(decrypt({ ...file, crypto: { ...file.crypto, kdfparams: { ...file.crypto.kdfparams, ...params } } }, password)).rejects.toThrow(/bounds|bytes/);
    }
    await expect(decrypt({ ...file, crypto: { ...file.crypto, kdf: "argon2" } }, password)).rejects.toThrow(/argon2/);
    await expect(decrypt({ ...file, crypto: { ...file.crypto, cipher: "aes-128-cbc" } }, password)).rejects.toThrow(/aes-128-cbc/);
  });

  it("that is none is refused in words", () => {
    for (const text of ["", "{}", "[]", '{"version":1}', '{"version":3}', '{"version":3,"crypto":{"kdfparams":{},"ciphertext":"zz"}}']) expect(() => readKeystore(text), text).toThrow(/keystore/);
  });

  it("costs what geth's files cost", () => expect(costs).toEqual({ standard: { n: 262_144, r: 8, p: 1 }, light: { n: 4_096, r: 8, p: 6 } }));
  it("is named as geth names it", () => expect(fileName("0xab", new Date(0))).toBe("UTC--1970-01-01T00-00-00.000000000Z--ab"));
});

describe("a private key", () => {
  it("is read with and without 0x", () => {
    const key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    expect(addressOf(readKey(` 0x${key} `))).toBe("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    expect(readKey(key.toUpperCase())).toEqual(readKey(key));
  });
  it("out of range or malformed is refused", () => {
    for (const text of ["", "0x1", "0".repeat(64), "f".repeat(64)]) expect(() => readKey(text), text).toThrow();
  });
});
