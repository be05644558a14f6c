// The node behind this page, and what is known of its chain at this moment.

import { batch, computed, signal } from "@preact/signals";
import { asError, blameOf } from "../rpc/error";
import { Feed, type FeedState, type Subscription } from "../rpc/feed";
import { HttpCaller } from "../rpc/http";
import type { BlockJson, HeaderJson, Hex } from "../rpc/types";

export interface Block {
  number: number;
  hash: Hex;
  parentHash: Hex;
  timestamp: number;
  miner: Hex;
  difficulty: bigint;
  gasUsed: bigint;
  gasLimit: bigint;
  baseFee: bigint;
  // How many transactions it has; a header alone does not say.
  transactions?: number;
}

export interface Reorganisation {
  depth: number;
  ancestor: number;
  dropped: { number: Hex; hash: Hex }[];
  added: { number: Hex; hash: Hex }[];
  transactions: Hex[];
  // When this page heard of it, in milliseconds since 1970.
  heard: number;
}

// How many blocks the desk keeps for charts and lists.
export const recentMax = 300;
const recentAtFirst = 100;
const reorganisationsMax = 50;
// How often a node without WebSocket is asked for its head.
const pollMs = 2_000;

const root = typeof location === "undefined" ? "http://127.0.0.1:8545/" : new URL("/", location.href).href;

export const feedState = signal<FeedState>("connecting");
const answers = signal(true);

// Whether the node asks for an API key, and the one that the person gave; it stays until the browser's window is closed.
export const keyWanted = signal(false);
let key = session("key");

export const caller = new HttpCaller(
  root,
  (answered, status) => {
    answers.value = answered;
    keyWanted.value = status === 401;
  },
  undefined,
  () => key,
);

export function showKey(given: string): void {
  key = given.trim();
  try {
    sessionStorage.setItem("drawbridge.key", key);
  } catch {
    // Then it is asked for again after the page is loaded anew.
  }
  location.reload();
}

function session(name: string): string {
  try {
    return sessionStorage.getItem(`drawbridge.${name}`) ?? "";
  } catch {
    return "";
  }
}

export const call = <T>(method: string, ...params: unknown[]): Promise<T> => caller.call<T>(method, ...params);

export const feed = new Feed(
  () => new URL(key ? `/${encodeURIComponent(key)}` : "/ws", root).href.replace(/^http/, "ws"),
  (state) => {
    feedState.value = state;
  },
);
export const subscribe = <T>(subscription: Subscription<T>): (() => void) => feed.subscribe(subscription);

// What the person at the desk must know of the connection.
export const connection = computed<"live" | "polling" | "connecting" | "offline">(() => {
  if (feedState.value === "live") return "live";
  if (!answers.value) return "offline";
  return head.value === null ? "connecting" : "polling";
});

export const head = signal<Block | null>(null);
// The newest blocks, newest first, without gaps.
export const recent = signal<Block[]>([]);
export const reorganisations = signal<Reorganisation[]>([]);
export const chainId = signal<number | null>(null);
export const clientVersion = signal("");
// Grows when all that is shown must be read again: the feed began anew, or the node came back.
export const generation = signal(0);
// The second that it is.
export const now = signal(Date.now() / 1000);

export function blockOf(json: HeaderJson & { transactions?: unknown[] }): Block {
  return {
    number: Number(json.number),
    hash: json.hash,
    parentHash: json.parentHash,
    timestamp: Number(json.timestamp),
    miner: json.miner,
    difficulty: BigInt(json.difficulty),
    gasUsed: BigInt(json.gasUsed),
    gasLimit: BigInt(json.gasLimit),
    baseFee: BigInt(json.baseFeePerGas ?? 0),
    ...(json.transactions ? { transactions: json.transactions.length } : {}),
  };
}

export const quantity = (value: number | bigint): Hex => `0x${value.toString(16)}`;

// Blocks from `newest` downwards, at most `count`. A node with an index answers in one call.
export async function blocksFrom(newest: number, count: number): Promise<Block[]> {
  const wanted = Math.max(0, Math.min(count, newest + 1));
  const numbers = Array.from({ length: wanted }, (_, index) => newest - index);
  const found = await Promise.all(numbers.map((at) => call<BlockJson | null>("eth_getBlockByNumber", quantity(at), false)));
  return found.filter((block) => block !== null).map(blockOf);
}

// Lays a block on the newest ones, or takes it away. `null` where the two do not join, so that they must be read again.
export function laidOn(blocks: Block[], block: Block, removed: boolean): Block[] | null {
  const top = blocks[0];
  if (removed) return top?.hash === block.hash ? blocks.slice(1) : blocks.some(({ hash }) => hash === block.hash) ? null : blocks;
  if (blocks.some(({ hash }) => hash === block.hash)) return blocks;
  if (top && top.hash !== block.parentHash) return null;
  return [block, ...blocks].slice(0, recentMax);
}

let reading: Promise<void> | null = null;

// Reads the newest blocks anew.
export function readRecent(): Promise<void> {
  reading ??= (async () => {
    try {
      const newest = blockOf(await call<BlockJson>("eth_getBlockByNumber", "latest", false));
      const blocks = await blocksFrom(newest.number, recentAtFirst);
      batch(() => {
        recent.value = blocks;
        head.value = blocks[0] ?? newest;
      });
    } catch (error) {
      if (blameOf(error) !== "offline") console.warn("desk: the newest blocks cannot be read:", asError(error).message);
    } finally {
      reading = null;
    }
  })();
  return reading;
}

// Items that come in one burst are laid down together, so that a chain of many blocks a second does not redraw the page as often.
let burst: (HeaderJson & { removed?: boolean })[] = [];

function layBurst(): void {
  const items = burst;
  burst = [];
  let blocks: Block[] | null = recent.value;
  for (const item of items) {
    const block = blockOf(item);
    blocks = blocks && laidOn(blocks, block, item.removed === true);
  }
  if (blocks === null || blocks.length === 0) return void readRecent();
  batch(() => {
    recent.value = blocks;
    head.value = blocks[0] ?? null;
  });
}

function takeHead(item: HeaderJson & { removed?: boolean }): void {
  burst.push(item);
  if (burst.length === 1) setTimeout(layBurst, 100);
}

// Where no WebSocket is to be had: asks for the head, and reads the newest blocks anew only where it does not join on.
async function poll(): Promise<void> {
  if (chainId.value === null) void introduce();
  try {
    const newest = await call<BlockJson>("eth_getBlockByNumber", "latest", false);
    if (newest.hash === head.value?.hash) return;
    if (recent.value[0]?.hash === newest.parentHash) takeHead(newest);
    else await readRecent();
  } catch {
    // The header says that the node is away.
  }
}

async function introduce(): Promise<void> {
  try {
    const [id, version] = await Promise.all([call<Hex>("eth_chainId"), call<string>("web3_clientVersion")]);
    if (chainId.value !== null && chainId.value !== Number(id)) location.reload();
    chainId.value = Number(id);
    clientVersion.value = version;
  } catch {
    // The header says that the node is away; it is asked again when it is back.
  }
}

// The genesis hash tells a development chain that was started anew from the one that was there before.
let genesis: Hex | null = null;
async function recognise(): Promise<void> {
  const first = await call<BlockJson | null>("eth_getBlockByNumber", "0x0", false).catch(() => null);
  if (first && genesis && first.hash !== genesis) {
    recent.value = [];
    reorganisations.value = [];
  }
  genesis = first?.hash ?? genesis;
}

export function start(): void {
  subscribe<HeaderJson & { removed?: boolean }>({
    kind: "newHeads",
    cursor: true,
    item: takeHead,
    began: (anew) => {
      // It may be another version of the node that came back.
      offered = null;
      void introduce();
      void recognise();
      if (anew || recent.value.length === 0) {
        void readRecent().then(() => {
          generation.value += 1;
        });
      } else {
        generation.value += 1;
      }
    },
  });
  subscribe<Omit<Reorganisation, "heard" | "depth" | "ancestor"> & { depth: Hex; ancestor: Hex }>({
    kind: "reorg",
    item: ({ depth, ancestor, ...rest }) => {
      const heard: Reorganisation = { ...rest, depth: Number(depth), ancestor: Number(ancestor), heard: Date.now() };
      reorganisations.value = [heard, ...reorganisations.value].slice(0, reorganisationsMax);
    },
  });
  feed.start();
  addEventListener("online", () => feed.hurry());
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && feed.hurry());
  setInterval(() => {
    now.value = Date.now() / 1000;
  }, 1000);
  setInterval(() => feedState.value !== "live" && void poll(), pollMs);
  void introduce();
  void readRecent();
}

// The methods that the node knows and offers here; the desk does without where one is missing.
let offered: Promise<Set<string>> | null = null;
export function methods(): Promise<Set<string>> {
  offered ??= Promise.all([call<{ methods: { name: string }[] }>("rpc_discover"), call<Record<string, string>>("rpc_modules")])
    .then(([{ methods }, modules]) => new Set(methods.map(({ name }) => name).filter((name) => (name.split("_")[0] ?? "") in modules)))
    .catch(() => {
      offered = null;
      return new Set<string>();
    });
  return offered;
}
