// Sales on the chain: reading orders, and what a person can ask of them.

import { decodeFunctionResult, encodeFunctionData, toEventSelector } from "viem/utils";
import { keep, kept } from "../lib/keep";
import { InputError } from "../rpc/error";
import type { Hex, LogJson, ReceiptJson } from "../rpc/types";
import { inWords, type Wanted } from "../signing/send";
import { call, methods, quantity } from "../state/node";
import { decodeLog, eventsOf, registry, sale, type Abi } from "./abi";

export interface ReleaseRecord {
  job: Hex;
  collectedBy: Hex;
  releasedAt: number;
  openedAt: number;
  releasedBy: Hex;
  signed: boolean;
  device: string;
}

export interface Order {
  address: Hex;
  make: string;
  model: string;
  year: number;
  serialNumber: string;
  priceWei: bigint;
  sold: boolean;
  seller: Hex;
  owner: Hex;
  buyer: Hex;
  operator: Hex;
  release: ReleaseRecord | null;
}

export const zero: Hex = `0x${"0".repeat(40)}`;
const lower = (text: string) => text.toLowerCase() as Hex;
export const isAddress = (text: string): text is Hex => /^0x[0-9a-f]{40}$/i.test(text);

export async function readContract<T>(abi: Abi, to: string, functionName: string, args: unknown[] = [], block: string = "latest"): Promise<T> {
  const data = encodeFunctionData({ abi, functionName, args } as never);
  try {
    const result = await call<Hex>("eth_call", { to, data }, block);
    if (result === "0x") throw new InputError(`There is no contract of this kind at ${to}.`, "Check the address, and that it is of this chain.");
    return decodeFunctionResult({ abi, functionName, data: result } as never) as T;
  } catch (thrown) {
    throw inWords(thrown, to);
  }
}

export async function readOrder(address: string, block?: string): Promise<Order> {
  if (!isAddress(address)) throw new InputError(`“${address}” is no address.`, "An order's address is 0x and 40 hexadecimal digits; ask the seller for the link.");
  const ask = <T>(name: string) => readContract<T>(sale.abi, address, name, [], block);
  type Item = [string, string, number, string, bigint, boolean, Hex, Hex];
  type Release = [Hex, Hex, number, number, Hex, Hex, boolean, string];
  const [item, seller, operator, release] = await Promise.all([ask<Item>("getItem"), ask<Hex>("seller"), ask<Hex>("operator"), ask<Release>("getRelease")]).catch((error: unknown) => {
    if (error instanceof InputError || (error as { code?: number }).code === 0) throw error;
    throw new InputError(`At ${address} is no sales order.`, "Check the address; ask the seller for the link.");
  });
  const [make, model, year, serialNumber, priceWei, sold, owner, buyer] = item;
  const [job, collectedBy, releasedAt, openedAt, , releasedBy, signed, device] = release;
  return {
    address: lower(address),
    ...{ make, model, year: Number(year), serialNumber, priceWei, sold },
    ...{ seller: lower(seller), owner: lower(owner), buyer: lower(buyer), operator: lower(operator) },
    release: BigInt(job) === 0n ? null : { job, collectedBy: lower(collectedBy), releasedAt: Number(releasedAt), openedAt: Number(openedAt), releasedBy: lower(releasedBy), signed, device },
  };
}

// The registry that counts here: the one that the person set, or the first that the node is told of.
export async function registryAddress(): Promise<Hex | null> {
  const own = kept<Hex>("registry");
  if (own) return own;
  return (await nodeSettings()).registry;
}

export const setRegistry = (address: Hex | undefined): boolean => keep("registry", address);

// What the node's operator set for orders.
export async function nodeSettings(): Promise<{ registry: Hex | null; operator: Hex | null; devices: boolean; dev: boolean }> {
  if (!(await methods()).has("drawbridge_status")) return { registry: null, operator: null, devices: false, dev: false };
  const status = await call<{ registries?: Hex[]; operator?: Hex | null; devices?: boolean; dev?: boolean }>("drawbridge_status");
  return { registry: status.registries?.[0] ?? null, operator: status.operator ?? null, devices: status.devices ?? false, dev: status.dev ?? false };
}

export async function checkRegistry(address: string): Promise<number> {
  if (!isAddress(address)) throw new InputError(`“${address}” is no address.`, "An address is 0x and 40 hexadecimal digits.");
  return Number(await readContract<bigint>(registry.abi, address, "orderCount"));
}

export const isOrder = (registryAt: string, order: string, block?: string): Promise<boolean> => readContract<boolean>(registry.abi, registryAt, "isOrder", [order], block);

// Orders of a registry, newest first, of one seller or of all; `before` is the position before which the page begins.
export async function listOrders(registryAt: string, seller: string | null, before: number | null, size: number): Promise<{ orders: (Order & { index: number })[]; count: number; next: number | null }> {
  const [countName, atName, own] = seller ? ["orderCountOf", "orderOfAt", [seller]] : ["orderCount", "orderAt", []];
  const count = Number(await readContract<bigint>(registry.abi, registryAt, countName as string, own as unknown[]));
  const end = Math.min(before ?? count, count);
  const start = Math.max(0, end - size);
  const indexes = Array.from({ length: end - start }, (_, index) => end - 1 - index);
  const addresses = await Promise.all(indexes.map((index) => readContract<Hex>(registry.abi, registryAt, atName as string, [...(own as unknown[]), BigInt(index)])));
  const orders = await Promise.all(addresses.map(async (address, at) => ({ ...(await readOrder(address)), index: indexes[at] ?? 0 })));
  return { orders, count, next: start > 0 ? start : null };
}

export interface NewOrder {
  make: string;
  model: string;
  year: number;
  serialNumber: string;
  priceWei: bigint;
}

export const creation = (registryAt: Hex, { make, model, year, serialNumber, priceWei }: NewOrder): Wanted => ({
  to: registryAt,
  data: encodeFunctionData({ abi: registry.abi, functionName: "createOrder", args: [make, model, year, serialNumber, priceWei] } as never),
});

export const naming = (order: Hex, operator: Hex): Wanted => ({ to: order, data: encodeFunctionData({ abi: sale.abi, functionName: "setOperator", args: [operator] } as never) });

export const purchase = (order: Hex, priceWei: bigint): Wanted => ({ to: order, data: encodeFunctionData({ abi: sale.abi, functionName: "buy", args: [] } as never), value: priceWei });

export async function registryDeployment(): Promise<Wanted> {
  const { bytecode } = await import("../../../contracts/artifacts/OrderRegistry.json");
  return { data: bytecode as Hex };
}

// The order that a transaction of a registry made.
export function createdOrder(receipt: ReceiptJson, registryAt: Hex): Hex {
  for (const log of receipt.logs) {
    if (lower(log.address) !== lower(registryAt)) continue;
    const decoded = decodeLog(log);
    const order = decoded?.name === "OrderCreated" && decoded.values.find(({ name }) => name === "order")?.value;
    if (typeof order === "string") return lower(order);
  }
  throw new InputError("The transaction was mined, but the registry made no order.", "Check that the registry's address is that of an OrderRegistry.");
}

export interface SaleEvent {
  name: string;
  at: number;
  block: number;
  tx: Hex;
  values: Record<string, unknown>;
}

const topicOf = (name: string): Hex => {
  const entry = eventsOf(sale.abi).find((each) => each.name === name);
  if (!entry) throw new Error(`the sale has no event ${name}`);
  return toEventSelector(entry);
};

export const releasedTopic = (): Hex => topicOf("Released");
export const openedTopic = (): Hex => topicOf("Opened");

// What the chain says happened to an order, oldest first.
export async function saleEvents(order: string): Promise<SaleEvent[]> {
  const logs = await call<LogJson[]>("eth_getLogs", { address: order, fromBlock: "0x0", toBlock: "latest" });
  const times = new Map<string, number>();
  for (const { blockNumber, blockTimestamp } of logs) if (blockTimestamp) times.set(blockNumber, Number(blockTimestamp));
  const missing = [...new Set(logs.map(({ blockNumber }) => blockNumber))].filter((block) => !times.has(block));
  const found = await Promise.all(missing.map((block) => call<{ timestamp: Hex } | null>("eth_getBlockByNumber", quantity(BigInt(block)), false)));
  missing.forEach((block, index) => times.set(block, Number(found[index]?.timestamp ?? 0)));
  return logs.flatMap((log) => {
    const decoded = decodeLog(log);
    if (!decoded) return [];
    const values = Object.fromEntries(decoded.values.map(({ name, value }) => [name, value]));
    return [{ name: decoded.name, at: times.get(log.blockNumber) ?? 0, block: Number(log.blockNumber), tx: log.transactionHash, values }];
  });
}
