// The code that a buyer shows at a device, as docs/devices.md writes it: the safe form `T1:` and Base45, and the plain form.

import { bytesToHex, concat, getAddress, hashTypedData, hexToBytes, isAddress, numberToHex, recoverAddress, size, stringToHex } from "viem/utils";
import type { Hex } from "../rpc/types";
import type { TypedData } from "../signing/signer";
import { InputError } from "../rpc/error";

export interface Release {
  chainId: number;
  contract: Hex;
  buyer: Hex;
  device: string;
  // 16 bytes that no other code has.
  nonce: Hex;
  // The last second in which the code counts, in seconds since 1970.
  notAfter: number;
}

export type Code = { form: "safe"; release: Release; signature: Hex } | { form: "plain"; contract: Hex; buyer: Hex };

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
const textMax = 400;
const deviceMax = 64;
const headBytes = 8 + 20 + 20 + 8 + 16 + 1;
const signatureBytes = 65;

export function base45(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 2) {
    const second = bytes[at + 1];
    const value = second === undefined ? (bytes[at] ?? 0) : (bytes[at] ?? 0) * 256 + second;
    text += (alphabet[value % 45] ?? "") + (alphabet[Math.floor(value / 45) % 45] ?? "");
    if (second !== undefined) text += alphabet[Math.floor(value / 2025)] ?? "";
  }
  return text;
}

// Reads Base45 (RFC 9285); `null` where it is none.
export function fromBase45(text: string): Uint8Array | null {
  const digits = [...text.toUpperCase()].map((letter) => alphabet.indexOf(letter));
  if (digits.includes(-1) || digits.length % 3 === 1) return null;
  const bytes: number[] = [];
  for (let at = 0; at < digits.length; at += 3) {
    const [a = 0, b = 0, c] = digits.slice(at, at + 3);
    const value = a + b * 45 + (c ?? 0) * 2025;
    if (value > (c === undefined ? 0xff : 0xffff)) return null;
    if (c !== undefined) bytes.push(value >> 8);
    bytes.push(value & 0xff);
  }
  return Uint8Array.from(bytes);
}

export function write(code: Code): string {
  if (code.form === "plain") return `${getAddress(code.contract)},${getAddress(code.buyer)}`;
  const { release, signature } = code;
  const name = stringToHex(release.device);
  const word = (value: number) => numberToHex(value, { size: 8 });
  const parts = [word(release.chainId), release.contract, release.buyer, word(release.notAfter), release.nonce, numberToHex(size(name), { size: 1 }), name, signature];
  return `T1:${base45(hexToBytes(concat(parts)))}`;
}

const again = "Hold the code flat and well lit before the camera, or ask the buyer to show it again.";

export function read(text: string): Code {
  const word = text.trim();
  if (word.length > textMax) throw new InputError(`A code has at most ${textMax} characters, this text has ${word.length}.`, again);
  if (/^T1:/i.test(word)) return readSafe(word.slice(3));
  const match = /^(0x)?([0-9a-f]{40})[,;/ ]?(0x)?([0-9a-f]{40})$/i.exec(word);
  if (!match || (match[1] === undefined) !== (match[3] === undefined)) throw new InputError("This is no code of a sale: neither T1:… nor two addresses.", again);
  const [contract, buyer] = [`0x${match[2]}` as Hex, `0x${match[4]}` as Hex];
  for (const address of [contract, buyer]) {
    const digits = address.slice(2);
    const mixed = digits !== digits.toLowerCase() && digits !== digits.toUpperCase();
    if (mixed && !isAddress(address)) throw new InputError(`The checksum of ${address} is wrong: a character was misread.`, again);
  }
  return { form: "plain", contract: contract.toLowerCase() as Hex, buyer: buyer.toLowerCase() as Hex };
}

function readSafe(text: string): Code {
  const damaged = (problem: string) => new InputError(`The code is damaged: ${problem}.`, again);
  const bytes = fromBase45(text);
  if (!bytes) throw damaged("it is not Base45");
  if (bytes.length < headBytes + signatureBytes) throw damaged("it is too short");
  const hex = (from: number, to: number) => bytesToHex(bytes.slice(from, to));
  const nameBytes = bytes[headBytes - 1] ?? 0;
  if (bytes.length !== headBytes + nameBytes + signatureBytes) throw damaged("its length is wrong");
  const device = new TextDecoder().decode(bytes.slice(headBytes, headBytes + nameBytes));
  if (nameBytes > deviceMax || !/^[a-zA-Z0-9:_-]+$/.test(device)) throw damaged("its device has no valid name");
  const [chainId, notAfter] = [BigInt(hex(0, 8)), BigInt(hex(48, 56))];
  if (chainId > BigInt(Number.MAX_SAFE_INTEGER) || notAfter > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged("a number in it is too large");
  const release = { chainId: Number(chainId), contract: hex(8, 28), buyer: hex(28, 48), notAfter: Number(notAfter), nonce: hex(56, 72), device };
  return { form: "safe", release, signature: hex(headBytes + nameBytes, bytes.length) };
}

// What the buyer signs (EIP-712).
export function typedData({ chainId, contract, buyer, device, nonce, notAfter }: Release): TypedData {
  return {
    domain: { name: "Drawbridge", version: "1", chainId, verifyingContract: contract },
    types: {
      Release: [
        { name: "buyer", type: "address" },
        { name: "device", type: "string" },
        { name: "nonce", type: "bytes16" },
        { name: "notAfter", type: "uint64" },
      ],
    },
    primaryType: "Release",
    message: { buyer, device, nonce, notAfter },
  };
}

// The name of the job everywhere: on the chain, in the shadow, in the device's log.
export const jobOf = (release: Release): Hex => hashTypedData(typedData(release) as never);

export async function signerOf(release: Release, signature: Hex): Promise<Hex | null> {
  try {
    return (await recoverAddress({ hash: jobOf(release), signature })).toLowerCase() as Hex;
  } catch {
    return null;
  }
}

export const newNonce = (): Hex => bytesToHex(crypto.getRandomValues(new Uint8Array(16)));

// What a device checks before it asks the chain; each with the words of its refusal.
export function looks(code: Code, chain: number, now: number): { name: string; fine: boolean; problem: string }[] {
  if (code.form === "plain") return [{ name: "The buyer signed the code", fine: false, problem: "a plain code carries no signature: everybody who reads the chain can write it. Devices take it only with --static-codes" }];
  const { release } = code;
  return [
    { name: `The code is for this chain (${release.chainId})`, fine: release.chainId === chain, problem: `this chain has the id ${chain}` },
    { name: "The code is not expired", fine: release.notAfter >= now, problem: "ask the buyer to make a new one" },
  ];
}
