// Subscriptions over one WebSocket that comes back by itself. A feed with a cursor goes on exactly where it ended, also when the node
// or the network was away: the node tells what was missed, removals first.

const pauseMsMin = 250;
const pauseMsMax = 5_000;
const pulseMs = 15_000;
const answerMsMax = 10_000;

export type FeedState = "connecting" | "live" | "waiting" | "closed";

export interface Subscription<T> {
  // The method, such as `eth_subscribe`; that which ends it follows from its name.
  method?: string;
  kind: string;
  option?: Record<string, unknown> | boolean;
  // Asks for cursors and goes on by the last one.
  cursor?: boolean;
  item(item: T): void;
  // The feed begins anew: after a break without a cursor, or where the node does not know the cursor. What was shown must be read again.
  began?(anew: boolean): void;
  // The node does not offer this feed.
  refused?(message: string): void;
}

interface Held extends Subscription<unknown> {
  id?: string;
  at?: string;
  broken: boolean;
}

interface Reply {
  id?: number;
  result?: unknown;
  error?: { code: number; message: string };
  params?: { subscription: string; result: unknown };
}

export type SocketMaker = (url: string) => WebSocket;

export class Feed {
  private socket?: WebSocket;
  private readonly held = new Set<Held>();
  private readonly pending = new Map<number, (reply: Reply) => void>();
  // Items can overtake the answer that names their subscription.
  private early: { subscription: string; result: unknown }[] = [];
  private nextId = 1;
  private pauseMs = pauseMsMin;
  private timer?: ReturnType<typeof setTimeout>;
  private pulse?: ReturnType<typeof setInterval>;
  private started = false;

  constructor(
    private readonly url: () => string,
    private readonly changed: (state: FeedState) => void,
    private readonly make: SocketMaker = (at) => new WebSocket(at),
  ) {}

  start(): void {
    if (this.started) return;
    this.started = true;
    this.connect();
  }

  stop(): void {
    this.started = false;
    clearTimeout(this.timer);
    clearInterval(this.pulse);
    this.socket?.close();
    this.changed("closed");
  }

  // Tries again at once, such as when the computer is online again.
  hurry(): void {
    if (!this.started || this.socket) return;
    clearTimeout(this.timer);
    this.connect();
  }

  subscribe<T>(subscription: Subscription<T>): () => void {
    const held: Held = { ...(subscription as Subscription<unknown>), broken: false };
    this.held.add(held);
    if (this.socket?.readyState === 1) this.ask(held);
    return () => {
      this.held.delete(held);
      if (held.id !== undefined && this.socket?.readyState === 1) {
        this.send((held.method ?? "eth_subscribe").replace("_subscribe", "_unsubscribe"), [held.id], () => {});
      }
    };
  }

  private connect(): void {
    this.changed("connecting");
    let socket: WebSocket;
    try {
      socket = this.make(this.url());
    } catch {
      return this.again();
    }
    this.socket = socket;
    socket.onopen = () => {
      this.changed("live");
      for (const held of this.held) this.ask(held);
      this.pulse = setInterval(() => this.beat(socket), pulseMs);
    };
    socket.onmessage = ({ data }) => this.hear(String(data));
    socket.onclose = () => {
      if (this.socket === socket) this.again();
    };
  }

  private again(): void {
    clearInterval(this.pulse);
    this.socket = undefined;
    this.early = [];
    this.pending.clear();
    for (const held of this.held) {
      held.id = undefined;
      held.broken = true;
    }
    if (!this.started) return;
    this.changed("waiting");
    this.timer = setTimeout(() => this.connect(), this.pauseMs);
    this.pauseMs = Math.min(this.pauseMs * 2, pauseMsMax);
  }

  // A connection whose other end is gone says nothing; one that does not answer in time is closed.
  private beat(socket: WebSocket): void {
    const late = setTimeout(() => {
      socket.close();
      if (this.socket === socket) this.again();
    }, answerMsMax);
    this.send("net_version", [], () => clearTimeout(late));
  }

  private ask(held: Held): void {
    const option = held.cursor ? { ...(typeof held.option === "object" ? held.option : {}), cursor: held.at ?? null } : held.option;
    const params = option === undefined ? [held.kind] : [held.kind, option];
    this.send(held.method ?? "eth_subscribe", params, ({ result, error }) => {
      if (!this.held.has(held)) return;
      if (error) {
        if (held.at === undefined) return held.refused?.(error.message);
        // The node does not know the cursor any more: begin anew.
        held.at = undefined;
        return this.ask(held);
      }
      this.pauseMs = pauseMsMin;
      held.id = String(result);
      const anew = held.broken && held.at === undefined;
      held.broken = false;
      held.began?.(anew);
      const early = this.early.filter(({ subscription }) => subscription === held.id);
      this.early = this.early.filter(({ subscription }) => subscription !== held.id);
      for (const item of early) this.hand(held, item.result);
    });
  }

  private send(method: string, params: unknown[], done: (reply: Reply) => void): void {
    const id = this.nextId++;
    this.pending.set(id, done);
    this.socket?.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
  }

  private hear(text: string): void {
    let reply: Reply;
    try {
      reply = JSON.parse(text) as Reply;
    } catch {
      return;
    }
    if (reply.params) {
      const { subscription, result } = reply.params;
      const held = [...this.held].find(({ id }) => id === String(subscription));
      if (held) this.hand(held, result);
      else if (this.early.length < 1000) this.early.push({ subscription: String(subscription), result });
    } else if (reply.id !== undefined) {
      const done = this.pending.get(reply.id);
      this.pending.delete(reply.id);
      done?.(reply);
    }
  }

  private hand(held: Held, item: unknown): void {
    const cursor = (item as { cursor?: unknown } | null)?.cursor;
    if (held.cursor && typeof cursor === "string") held.at = cursor;
    held.item(item);
  }
}
