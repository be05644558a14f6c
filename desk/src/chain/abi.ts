// What bytes mean, by the ABIs that this desk knows: those that ship with the node, and those that somebody uploaded in this browser.

import type { Abi, AbiEvent, AbiFunction, AbiParameter } from "viem";
import { decodeAbiParameters, decodeErrorResult, decodeEventLog, decodeFunctionData, toEventSelector, toFunctionSelector, toFunctionSignature } from "viem/utils";
import { abi as registryAbi } from "../../../contracts/artifacts/OrderRegistry.json";
import { abi as saleAbi } from "../../../contracts/artifacts/SaleOrder.json";
import { abi as tokenAbi } from "../../../contracts/artifacts/Token.json";
import { keep, kept, keptKeys } from "../lib/keep";
import { InputError } from "../rpc/error";
import type { Hex, LogJson } from "../rpc/types";

export type { Abi, AbiEvent, AbiFunction, AbiParameter };

export interface Described {
  name: string;
  abi: Abi;
}

export interface Value {
  name: string;
  type: string;
  value: unknown;
}

export interface Decoded {
  name: string;
  values: Value[];
  // Which ABI it was read by.
  by: string;
}

export const sale: Described = { name: "SaleOrder", abi: saleAbi as Abi };
export const registry: Described = { name: "OrderRegistry", abi: registryAbi as Abi };
const token: Described = { name: "ERC-20 token", abi: tokenAbi as Abi };
const shipped = [sale, registry, token];
// An ABI of more text than this is refused: browsers keep about five million characters for a page.
const textMax = 400_000;

const keyOf = (address: string) => `abi.${address.toLowerCase()}`;

export const abiOf = (address: string): Described | undefined => kept<Described>(keyOf(address));
export const setAbi = (address: string, described: Described | undefined): boolean => keep(keyOf(address), described);
export const described = (): [string, Described][] =>
  keptKeys("abi.").flatMap((key) => {
    const value = kept<Described>(key);
    return value ? [[key.slice(4), value] as [string, Described]] : [];
  });

// All ABIs, that of the address first.
export function candidates(address?: string | null): Described[] {
  const own = address ? abiOf(address) : undefined;
  return [...(own ? [own] : []), ...shipped, ...described().map(([, value]) => value)];
}

// Reads an ABI: a JSON array, or what a compiler writes (an object with `abi`).
export function readAbi(text: string, name: string): Described {
  const want = "Upload the JSON file that your compiler wrote (solc, Hardhat, Foundry), or paste its `abi` array.";
  if (text.length > textMax) throw new InputError(`The ABI has ${text.length} characters; at most ${textMax} are kept.`, "Upload the `abi` array alone, without bytecode and sources.");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new InputError("This is no JSON.", want);
  }
  const holder = parsed as { abi?: unknown; contractName?: unknown; name?: unknown };
  const abi = Array.isArray(parsed) ? parsed : holder?.abi;
  const isEntry = (entry: unknown) => typeof entry === "object" && entry !== null && typeof (entry as { type?: unknown }).type === "string";
  if (!Array.isArray(abi) || abi.length === 0 || !abi.every(isEntry)) throw new InputError("There is no ABI in this JSON.", want);
  try {
    for (const entry of abi as Abi) {
      if (entry.type === "function") toFunctionSelector(entry);
      if (entry.type === "event") toEventSelector(entry);
    }
  } catch (error) {
    throw new InputError(`An entry of the ABI cannot be read: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`, want);
  }
  const own = holder.contractName ?? holder.name;
  return { name: name.trim() || (typeof own === "string" ? own : "") || "Contract", abi: abi as Abi };
}

export const functionsOf = (abi: Abi): AbiFunction[] => abi.filter((entry): entry is AbiFunction => entry.type === "function");
export const eventsOf = (abi: Abi): AbiEvent[] => abi.filter((entry): entry is AbiEvent => entry.type === "event");
export const signatureOf = (entry: AbiFunction): string => toFunctionSignature(entry);

function named(inputs: readonly AbiParameter[], args: unknown): Value[] {
  const at = (input: AbiParameter, index: number): unknown =>
    Array.isArray(args) ? args[index] : typeof args === "object" && args !== null ? (args as Record<string, unknown>)[input.name ?? String(index)] : undefined;
  return inputs.map((input, index) => ({ name: input.name || `#${index}`, type: input.type, value: at(input, index) }));
}

export function decodeInput(input: Hex, address?: string | null): Decoded | undefined {
  if (input.length < 10) return undefined;
  for (const { name, abi } of candidates(address)) {
    try {
      const { functionName, args } = decodeFunctionData({ abi, data: input });
      const selector = input.slice(0, 10);
      const entry = functionsOf(abi).find((each) => each.name === functionName && toFunctionSelector(each) === selector);
      if (entry) return { name: functionName, values: named(entry.inputs, args), by: name };
    } catch {
      // Another ABI may know it.
    }
  }
  return undefined;
}

export function decodeLog(log: Pick<LogJson, "address" | "topics" | "data">): Decoded | undefined {
  const [first, ...rest] = log.topics;
  if (!first) return undefined;
  for (const { name, abi } of candidates(log.address)) {
    try {
      const entry = eventsOf(abi).find((each) => toEventSelector(each) === first && each.inputs.filter(({ indexed }) => indexed).length === rest.length);
      if (!entry) continue;
      const { args } = decodeEventLog({ abi: [entry], data: log.data, topics: [first, ...rest] });
      return { name: entry.name, values: named(entry.inputs, args), by: name };
    } catch {
      // Another ABI may know it.
    }
  }
  return undefined;
}

const panics: Record<string, string> = {
  "0x1": "an assertion failed", "0x11": "a number overflowed", "0x12": "division by zero", "0x21": "no such enum value", "0x22": "damaged byte array",
  "0x31": "pop of an empty array", "0x32": "no such array element", "0x41": "too much memory", "0x51": "call of an unset function",
};

// Why a call reverted, in words.
export function decodeRevert(data: unknown, address?: string | null): string | undefined {
  if (typeof data !== "string" || !/^0x[0-9a-f]*$/i.test(data)) return undefined;
  if (data === "0x") return "the contract gave no reason";
  if (data.startsWith("0x08c379a0")) {
    try {
      return String(decodeAbiParameters([{ type: "string" }], `0x${data.slice(10)}`)[0]);
    } catch {
      return undefined;
    }
  }
  if (data.startsWith("0x4e487b71")) {
    const code = `0x${BigInt(`0x${data.slice(10) || "0"}`).toString(16)}`;
    return `panic ${code}: ${panics[code] ?? "unknown"}`;
  }
  for (const { abi } of candidates(address)) {
    try {
      const { errorName, args, abiItem } = decodeErrorResult({ abi, data: data as Hex });
      const inputs = (abiItem as { inputs?: readonly AbiParameter[] }).inputs ?? [];
      return `${errorName}(${named(inputs, args).map(({ name, value }) => `${name}: ${textOf(value)}`).join(", ")})`;
    } catch {
      // Another ABI may know it.
    }
  }
  return undefined;
}

// A value of any ABI type as text.
export function textOf(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map(textOf).join(", ")}]`;
  if (typeof value === "object" && value !== null) return `{${Object.entries(value).map(([key, part]) => `${key}: ${textOf(part)}`).join(", ")}}`;
  return String(value);
}

// Reads what somebody typed as a value of an ABI type.
export function valueOf(parameter: AbiParameter, text: string): unknown {
  const { type } = parameter;
  const where = parameter.name || type;
  const word = text.trim();
  if (type.endsWith("]") || type.startsWith("tuple")) {
    try {
      return shaped(JSON.parse(word));
    } catch {
      throw new InputError(`${where}: no JSON.`, `Write ${type} as JSON, such as ["0x…", "12"]: numbers in quotes.`);
    }
  }
  if (type === "bool") {
    if (!/^(true|false)$/.test(word)) throw new InputError(`${where}: neither true nor false.`, "Choose one of the two.");
    return word === "true";
  }
  if (/^u?int/.test(type)) {
    if (!/^-?(\d+|0x[0-9a-f]+)$/i.test(word)) throw new InputError(`${where}: “${word}” is no whole number.`, "Write it in decimal, or in hexadecimal with 0x.");
    return BigInt(word);
  }
  if (type === "address" && !/^0x[0-9a-f]{40}$/i.test(word)) throw new InputError(`${where}: “${word}” is no address.`, "An address is 0x and 40 hexadecimal digits.");
  if (/^bytes/.test(type) && !/^0x([0-9a-f]{2})*$/i.test(word)) throw new InputError(`${where}: no bytes.`, "Write bytes as 0x and two hexadecimal digits each.");
  return type === "string" ? text : word;
}

const shaped = (value: unknown): unknown => (typeof value === "number" ? BigInt(value) : Array.isArray(value) ? value.map(shaped) : value);
