import { describe, expect, it } from "vitest";
import { asError, blameOf, InputError, remedyOf, RpcError } from "../src/rpc/error";
import { Feed, type FeedState } from "../src/rpc/feed";
import { HttpCaller } from "../src/rpc/http";

interface Sent {
  id: number;
  method: string;
  params: unknown[];
}

const answering = (answer: (request: Sent) => unknown, seen: Sent[][] = []): typeof fetch =>
  (async (_url: unknown, init: RequestInit) => {
    const body = JSON.parse(String(init.body)) as Sent | Sent[];
    const requests = Array.isArray(body) ? body : [body];
    seen.push(requests);
    const replies = requests.map((request) => ({ jsonrpc: "2.0", id: request.id, ...(answer(request) as object) }));
    return new Response(JSON.stringify(Array.isArray(body) ? replies.reverse() : replies[0]));
  }) as typeof fetch;

describe("calls over HTTP", () => {
  it("of one moment travel together and get each its own answer, in whatever order they come", async () => {
    const seen: Sent[][] = [];
    const caller = new HttpCaller("/", undefined, answering(({ method }) => ({ result: method.toUpperCase() }), seen));
    expect(await Promise.all([caller.call("a", 1, undefined), caller.call("b")])).toEqual(["A", "B"]);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.map(({ params }) => params)).toEqual([[1], []]);
  });

  it("more than a hundred travel in several batches", async () => {
    const seen: Sent[][] = [];
    const caller = new HttpCaller("/", undefined, answering(({ params }) => ({ result: params[0] }), seen));
    const results = await Promise.all(Array.from({ length: 250 }, (_, index) => caller.call<number>("x", index)));
    expect(results).toEqual(Array.from({ length: 250 }, (_, index) => index));
    expect(seen.map((batch) => batch.length)).toEqual([100, 100, 50]);
  });

  it("an error keeps its code and data, and spares the others", async () => {
    const caller = new HttpCaller("/", undefined, answering(({ method }) => (method === "bad" ? { error: { code: 3, message: "execution reverted", data: "0x01" } } : { result: 1 })));
    const [bad, good] = await Promise.allSettled([caller.call("bad"), caller.call("good")]);
    expect(good).toEqual({ status: "fulfilled", value: 1 });
    expect(bad).toMatchObject({ reason: { code: 3, data: "0x01", method: "bad" } });
  });

  it("a node that is away is told from one that refuses", async () => {
    const heard: boolean[] = [];
    const away = new HttpCaller("/", (answered) => heard.push(answered), () => Promise.reject(new TypeError("failed")));
    await expect(away.call("x")).rejects.toMatchObject({ code: 0 });
    const closed = new HttpCaller("/", (answered) => heard.push(answered), () => Promise.resolve(new Response("no key", { status: 401 })));
    await expect(closed.call("x")).rejects.toMatchObject({ code: 401 });
    expect(heard).toEqual([false, true]);
  });

  it("show the key that the person gave", async () => {
    const keys: unknown[] = [];
    const fetcher = ((_url: unknown, init: RequestInit) => (keys.push(new Headers(init.headers).get("x-api-key")), answering(() => ({ result: 1 }))("", init))) as typeof fetch;
    let key = "";
    const caller = new HttpCaller("/", undefined, fetcher, () => key);
    await caller.call("x");
    key = "secret";
    await caller.call("x");
    expect(keys).toEqual([null, "secret"]);
  });
});

describe("errors", () => {
  const cases: [unknown, string][] = [
    [new RpcError(0, "away"), "offline"],
    [new RpcError(-32601, "no method"), "missing"],
    [new RpcError(3, "execution reverted"), "revert"],
    [asError({ code: 4001, message: "User rejected" }), "rejected"],
    [new RpcError(401, "no key"), "denied"],
    [new InputError("wrong", "do it"), "input"],
    [new Error("x"), "other"],
  ];
  for (const [error, blame] of cases) {
    it(`${blame} is told, and what to do`, () => {
      expect(blameOf(error)).toBe(blame);
      expect(remedyOf(error)).toMatch(/\w/);
    });
  }
});

// A socket in the test's hands.
class Socket {
  readyState = 0;
  sent: Sent[] = [];
  onopen?: () => void;
  onclose?: () => void;
  onmessage?: (event: { data: string }) => void;
  send(text: string) {
    this.sent.push(JSON.parse(text) as Sent);
  }
  close() {
    this.readyState = 3;
    this.onclose?.();
  }
  open() {
    this.readyState = 1;
    this.onopen?.();
  }
  say(value: unknown) {
    this.onmessage?.({ data: JSON.stringify(value) });
  }
  answer(result: unknown) {
    this.say({ id: this.sent.at(-1)?.id, result });
  }
  item(subscription: string, result: unknown) {
    this.say({ method: "eth_subscription", params: { subscription, result } });
  }
}

describe("a feed", () => {
  const start = () => {
    const sockets: Socket[] = [];
    const states: FeedState[] = [];
    const items: unknown[] = [];
    const begun: boolean[] = [];
    const feed = new Feed(() => "ws://x", (state) => states.push(state), () => {
      const socket = new Socket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    });
    const stop = feed.subscribe<unknown>({ kind: "newHeads", cursor: true, item: (item) => items.push(item), began: (anew) => begun.push(anew) });
    feed.start();
    sockets[0]?.open();
    return { feed, sockets, states, items, begun, stop, socket: sockets[0] as Socket };
  };

  it("asks for cursors, and goes on by the last one after a break", () => {
    const { feed, sockets, socket, items, begun, states } = start();
    expect(socket.sent[0]?.params).toEqual(["newHeads", { cursor: null }]);
    socket.answer("0x1");
    socket.item("0x1", { number: 1, cursor: "0xaa" });
    socket.close();
    feed.hurry();
    const next = sockets[1] as Socket;
    next.open();
    expect(next.sent[0]?.params).toEqual(["newHeads", { cursor: "0xaa" }]);
    next.answer("0x2");
    next.item("0x2", { number: 2, cursor: "0xbb" });
    expect(items).toEqual([{ number: 1, cursor: "0xaa" }, { number: 2, cursor: "0xbb" }]);
    expect(begun).toEqual([false, false]);
    expect(states).toEqual(["connecting", "live", "waiting", "connecting", "live"]);
    feed.stop();
  });

  it("begins anew where the node does not know the cursor any more, and says so", () => {
    const { feed, sockets, socket, begun } = start();
    socket.answer("0x1");
    socket.item("0x1", { cursor: "0xaa" });
    socket.close();
    feed.hurry();
    const next = sockets[1] as Socket;
    next.open();
    next.say({ id: next.sent[0]?.id, error: { code: -32000, message: "unknown cursor" } });
    expect(next.sent[1]?.params).toEqual(["newHeads", { cursor: null }]);
    next.answer("0x9");
    expect(begun).toEqual([false, true]);
    feed.stop();
  });

  it("keeps items that overtake the answer to the subscription", () => {
    const { feed, socket, items } = start();
    socket.item("0x7", { number: 1 });
    expect(items).toEqual([]);
    socket.answer("0x7");
    expect(items).toEqual([{ number: 1 }]);
    feed.stop();
  });

  it("ends a subscription at the node", () => {
    const { feed, socket, stop } = start();
    socket.answer("0x1");
    stop();
    expect(socket.sent.at(-1)).toMatchObject({ method: "eth_unsubscribe", params: ["0x1"] });
    feed.stop();
  });

  it("has one connection at a time", () => {
    const { feed, sockets } = start();
    feed.hurry();
    expect(sockets).toHaveLength(1);
    feed.stop();
  });
});
