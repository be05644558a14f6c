// Web3 keystore files, version 3: a private key under a password. Pure JavaScript, since browsers give WebCrypto to https pages alone.

import { ctr } from "@noble/ciphers/aes";
import { pbkdf2Async } from "@noble/hashes/pbkdf2";
import { scryptAsync } from "@noble/hashes/scrypt";
import { sha256 } from "@noble/hashes/sha2";
import { keccak_256 } from "@noble/hashes/sha3";
import { bytesToHex, concatBytes, hexToBytes, randomBytes, utf8ToBytes } from "@noble/hashes/utils";
import { privateKeyToAddress } from "viem/accounts";
import { InputError } from "../rpc/error";
import type { Hex } from "../rpc/types";

export interface Keystore {
  version: 3;
  id: string;
  address: string;
  crypto: {
    cipher: string;
    ciphertext: string;
    cipherparams: { iv: string };
    kdf: string;
    kdfparams: { dklen: number; salt: string; n?: number; r?: number; p?: number; c?: number; prf?: string };
    mac: string;
  };
}

// scrypt's cost: that of geth's files, and that of its --lightkdf.
export const costs = { standard: { n: 262_144, r: 8, p: 1 }, light: { n: 4_096, r: 8, p: 6 } };
// A file that wants more memory or time than this is not opened here.
const memoryBytesMax = 1 << 30;
const scryptWorkMax = 1 << 24;
const roundsMax = 10_000_000;

export const addressOf = (key: Uint8Array): Hex => privateKeyToAddress(`0x${bytesToHex(key)}`).toLowerCase() as Hex;

export type Progress = (share: number) => void;

export async function encrypt(key: Uint8Array, password: string, cost: { n: number; r: number; p: number }, progress: Progress = () => {}): Promise<Keystore> {
  const [salt, iv] = [randomBytes(32), randomBytes(16)];
  const derived = await scryptAsync(utf8ToBytes(password.normalize("NFKC")), salt, { N: cost.n, r: cost.r, p: cost.p, dkLen: 32, maxmem: memoryBytesMax * 2, onProgress: progress });
  const ciphertext = ctr(derived.slice(0, 16), iv).encrypt(key);
  return {
    version: 3,
    id: uuid(),
    address: addressOf(key).slice(2),
    crypto: {
      cipher: "aes-128-ctr",
      ciphertext: bytesToHex(ciphertext),
      cipherparams: { iv: bytesToHex(iv) },
      kdf: "scrypt",
      kdfparams: { dklen: 32, n: cost.n, r: cost.r, p: cost.p, salt: bytesToHex(salt) },
      mac: bytesToHex(keccak_256(concatBytes(derived.slice(16, 32), ciphertext))),
    },
  };
}

export async function decrypt(file: Keystore, password: string, progress: Progress = () => {}): Promise<Uint8Array> {
  const { crypto } = file;
  if (crypto.cipher !== "aes-128-ctr") throw new InputError(`The file is locked by ${crypto.cipher}, which the desk does not know.`, "Export it again with aes-128-ctr, as geth and all wallets do.");
  const derived = await derive(crypto, utf8ToBytes(password.normalize("NFKC")), progress);
  const ciphertext = hexToBytes(crypto.ciphertext);
  if (bytesToHex(keccak_256(concatBytes(derived.slice(16, 32), ciphertext))) !== crypto.mac.replace(/^0x/, "").toLowerCase()) {
    throw new InputError("Wrong password, or the file is damaged.", "Type the password again; capitals count.");
  }
  const key = ctr(derived.slice(0, 16), hexToBytes(crypto.cipherparams.iv)).decrypt(ciphertext);
  if (key.length !== 32) throw new InputError("The file holds no key of 32 bytes.", "Choose another file.");
  return key;
}

async function derive({ kdf, kdfparams }: Keystore["crypto"], password: Uint8Array, progress: Progress): Promise<Uint8Array> {
  const salt = hexToBytes(kdfparams.salt);
  const { dklen, n = 0, r = 0, p = 0, c = 0, prf } = kdfparams;
  const remedy = "Export the key again with the usual settings of geth.";
  if (dklen < 32 || dklen > 64) throw new InputError(`The file derives ${dklen} bytes; 32 are needed.`, remedy);
  if (kdf === "scrypt") {
    if (n < 2 || (n & (n - 1)) !== 0 || r < 1 || p < 1 || 128 * n * r > memoryBytesMax || n * r * p > scryptWorkMax) throw new InputError("The file's scrypt settings are out of bounds.", remedy);
    return scryptAsync(password, salt, { N: n, r, p, dkLen: dklen, maxmem: memoryBytesMax * 2, onProgress: progress });
  }
  if (kdf === "pbkdf2" && prf === "hmac-sha256") {
    if (c < 1 || c > roundsMax) throw new InputError("The file's pbkdf2 settings are out of bounds.", remedy);
    return pbkdf2Async(sha256, password, salt, { c, dkLen: dklen });
  }
  throw new InputError(`The file derives its key by ${kdf}, which the desk does not know.`, remedy);
}

// Reads a keystore file; older ones write `Crypto`.
export function readKeystore(text: string): Keystore {
  const remedy = "Choose the JSON file that geth, Drawbridge or your wallet exported (its name often begins with UTC--).";
  let file: Record<string, unknown>;
  try {
    file = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new InputError("This is no keystore file: no JSON.", remedy);
  }
  const crypto = (file?.crypto ?? file?.Crypto) as Keystore["crypto"] | undefined;
  if (Number(file?.version) !== 3) throw new InputError("This is no keystore file of version 3.", remedy);
  const hex = (value: unknown) => typeof value === "string" && /^(0x)?([0-9a-f]{2})+$/i.test(value);
  if (!crypto?.kdfparams || !hex(crypto.ciphertext) || !hex(crypto.cipherparams?.iv) || !hex(crypto.mac) || !hex(crypto.kdfparams.salt)) throw new InputError("The keystore file lacks a part.", remedy);
  const plain = (value: string) => value.replace(/^0x/, "").toLowerCase();
  return {
    version: 3,
    id: String(file.id ?? ""),
    address: plain(String(file.address ?? "")),
    crypto: {
      ...crypto,
      ciphertext: plain(crypto.ciphertext),
      mac: plain(crypto.mac),
      cipherparams: { iv: plain(crypto.cipherparams.iv) },
      kdfparams: { ...crypto.kdfparams, salt: plain(crypto.kdfparams.salt) },
    },
  };
}

// A private key as people write it.
export function readKey(text: string): Uint8Array {
  const match = /^(?:0x)?([0-9a-f]{64})$/i.exec(text.trim());
  if (!match?.[1]) throw new InputError("This is no private key.", "A key is 64 hexadecimal digits, with or without 0x.");
  const key = hexToBytes(match[1].toLowerCase());
  try {
    addressOf(key);
  } catch {
    throw new InputError("This number is no private key of secp256k1.", "Check for missing or wrong digits.");
  }
  return key;
}

export function newKey(): Uint8Array {
  for (;;) {
    const key = randomBytes(32);
    try {
      addressOf(key);
      return key;
    } catch {
      // One number in 2^127 is none; draw again.
    }
  }
}

// The name that geth gives such a file.
export const fileName = (address: string, at: Date): string => `UTC--${at.toISOString().replace(/:/g, "-").replace("Z", "000000Z")}--${address.replace(/^0x/, "")}`;

function uuid(): string {
  const bytes = randomBytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytesToHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
