// The reverse proxy for real: login, limits, balancing, failover, WebSocket, and retries of reads alone, in front of live nodes and of
// servers that break.

import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent } from "node:https";
import { createRequire } from "node:module";
import { perform, printTable } from "./experiment.mjs";
import { ask as askOver, freePort, inNodesPlace, pause, until, waitMsMax } from "./orders-parts.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const WebSocket = require("ws");

const login = `Basic ${Buffer.from("dock-1:open sesame").toString("base64")}`;
const call = (method, ...params) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
const wide = ["--rate", "100000", "--burst", "100000", "--connections", "1000"];

// Asks the proxy, and returns status and text of its answer.
const ask = (port, ca, { path = "/", method = "POST", body = call("eth_chainId"), headers = { authorization: login }, agent } = {}) =>
  askOver({ port, path, method, ca, agent, headers: { "content-type": "application/json", ...headers } }, method === "POST" ? body : undefined);

// A server in a node's place that notes requests, and answers or breaks the connection once it has read one.
async function upstream(answers) {
  const seen = [];
  const { port, close } = await inNodesPlace((body) => (seen.push(body), answers ? '{"jsonrpc":"2.0","id":1,"result":"0x1"}' : null));
  return { port, seen, close };
}

async function doors(ca, port) {
  const rows = [
    ["no login", await ask(port, ca, { headers: {} }), 401],
    ["a wrong password", await ask(port, ca, { headers: { authorization: `Basic ${Buffer.from("dock-1:guess").toString("base64")}` } }), 401],
    ["a login", await ask(port, ca), 200],
    ["a read", await ask(port, ca, { path: "/read" }), 200],
    ["GET", await ask(port, ca, { method: "GET" }), 403],
    ["another path", await ask(port, ca, { path: "/admin" }), 404],
    ["the proxy's health, without a login", await ask(port, ca, { path: "/healthz", method: "GET", headers: {} }), 200],
    ["128 KiB", await ask(port, ca, { body: " ".repeat(127 * 1024) + call("eth_chainId") }), 200],
    ["more than 128 KiB", await ask(port, ca, { body: " ".repeat(128 * 1024) + call("eth_chainId") }), 413],
  ];
  for (const [name, { status }, expected] of rows) assert.equal(status, expected, name);
  await assert.rejects(ask(port, undefined), /certificate/, "the proxy's certificate is the warehouse's own");
  return rows.map(([name, { status }]) => [name, status]);
}

const nodeThatAnswers = async (ca, port, path) => JSON.parse((await ask(port, ca, { path, body: call("admin_datadir") })).text).result;

// Two live nodes: both are asked; one is killed under load, and no request fails.
async function failover(warehouse, nodes, ca) {
  const { port } = await warehouse.proxyOf(nodes.map(({ http }) => http), "two-nodes", ...wide);
  const answered = new Set();
  for (let at = 0; at < 20; at += 1) answered.add(await nodeThatAnswers(ca, port, "/"));
  assert.equal(answered.size, 2, "both nodes are asked");
  const statuses = [];
  let going = true;
  const load = ["/read", "/read", "/", "/"].map(async (path) => {
    while (going) statuses.push([path, (await ask(port, ca, { path })).status]);
  });
  await pause(100);
  await nodes[0].part.stop("SIGKILL");
  const before = statuses.length;
  await until("100 requests more are answered", () => statuses.length >= before + 100, 10);
  going = false;
  await Promise.all(load);
  const failed = statuses.filter(([path, status]) => path === "/read" && status !== 200);
  assert.deepEqual(failed, [], "no read fails when a node is killed");
  const lost = statuses.filter(([, status]) => status !== 200).length;
  // A request that was sent when its node died has no answer, and is not sent again: it may have been carried out. So it is with one that was
  // sent on a connection whose end nginx had not seen yet.
  assert.ok(lost <= 4, `${lost} other requests failed: at most those that were under way`);
  nodes[0].part = await warehouse.killAndRestart(nodes[0].part, nodes[0].http);
  const again = new Set();
  await until("the node is back", async () => again.add(await nodeThatAnswers(ca, port, "/")).size === 2, 0);
  return [["both of two nodes answer", 20], ["one killed under load", `${statuses.length} requests, no read lost, ${lost} others`], ["the node is back", "asked again"]];
}

// A node that breaks once it was asked: a read goes to the next one, anything else does not.
async function retries(warehouse, ca) {
  const [broken, whole] = [await upstream(false), await upstream(true)];
  const { port } = await warehouse.proxyOf([broken.port, whole.port], "broken", ...wide);
  const reads = [];
  for (let at = 0; at < 10; at += 1) reads.push((await ask(port, ca, { path: "/read", body: call("eth_call", at) })).status);
  assert.deepEqual(reads, Array(10).fill(200), "every read is answered");
  assert.ok(broken.seen.length >= 1, "the broken node was asked too");
  // It is left alone for some time after a failure.
  const [sent, statuses] = [[], []];
  const send = async () => {
    sent.push(call("eth_sendRawTransaction", `0x${sent.length}`));
    statuses.push((await ask(port, ca, { body: sent.at(-1) })).status);
    return statuses.at(-1) !== 200;
  };
  await until("the broken node is asked again", send, 50);
  assert.equal(statuses.at(-1), 502, "a write that a node broke off is an error");
  for (const body of sent) {
    const times = [...broken.seen, ...whole.seen].filter((seen) => seen === body).length;
    assert.equal(times, 1, "each write is sent to one node, once");
  }
  broken.close();
  whole.close();
  return [["a read that a node breaks off", "answered by the other"], ["a write that a node breaks off", "502, sent once"]];
}

async function rates(warehouse, node, ca) {
  const { port } = await warehouse.proxyOf([node.http], "rate", "--rate", "1", "--burst", "4", "--connections", "1000");
  const agent = new Agent({ keepAlive: true, ca });
  const began = Date.now();
  const statuses = (await Promise.all(Array.from({ length: 20 }, () => ask(port, ca, { agent })))).map(({ status }) => status);
  agent.destroy();
  const passed = statuses.filter((status) => status === 200).length;
  const refilled = Math.ceil((Date.now() - began) / 1000);
  assert.ok(passed >= 5 && passed <= 5 + refilled, `5 requests pass at once, not ${passed}`);
  assert.equal(statuses.filter((status) => status === 429).length, 20 - passed, "the others are too many");
  return ["20 requests at once, 1 a second and 4 more allowed", `${passed} answered, ${20 - passed} refused with 429`];
}

const open = (port, ca) => new WebSocket(`wss://localhost:${port}/ws`, { ca, headers: { authorization: login }, handshakeTimeout: waitMsMax });

async function connections(warehouse, node, ca) {
  const { port } = await warehouse.proxyOf([node.http], "connections", "--rate", "100000", "--burst", "100000", "--connections", "2");
  const held = [open(port, ca), open(port, ca)];
  // Whichever opens first.
  await Promise.all(held.map((socket) => once(socket, "open")));
  const { status } = await ask(port, ca);
  assert.equal(status, 429, "a third connection is too many");
  for (const socket of held) socket.terminate();
  await until("a connection that ended makes room", async () => (await ask(port, ca)).status === 200);
  return ["two connections of an address allowed, two WebSockets held", "the third refused with 429"];
}

// Subscribes over WebSocket, and returns what comes: an array that grows.
async function heads(port, ca) {
  const socket = open(port, ca);
  await once(socket, "open");
  const came = [];
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    if (message.method === "eth_subscription") came.push(Number(message.params.result.number));
  });
  socket.send(call("eth_subscribe", "newHeads"));
  await until("blocks are told of over WebSocket", () => came.length >= 3, 10);
  return { socket, came };
}

async function websockets(warehouse, nodes, ca) {
  const { port } = await warehouse.proxyOf(nodes.map(({ http }) => http), "websockets", ...wide);
  const [refused] = await once(new WebSocket(`wss://localhost:${port}/ws`, { ca }), "unexpected-response").then(([, response]) => [response.statusCode]);
  assert.equal(refused, 401, "no WebSocket without a login");
  const subscribed = [await heads(port, ca), await heads(port, ca)];
  const closed = subscribed.map(({ socket }) => new Promise((resolve) => socket.on("close", resolve)));
  // The two went to the two nodes; one of them loses its node, and finds the other when it connects again.
  await nodes[0].part.stop("SIGKILL");
  await Promise.race(closed);
  const again = await heads(port, ca);
  nodes[0].part = await warehouse.killAndRestart(nodes[0].part, nodes[0].http);
  for (const { socket } of [...subscribed, again]) socket.terminate();
  return [["new blocks over WebSocket", `${subscribed[0].came.length} and more`], ["its node killed", "closed; connected to the other node again"]];
}

await perform("proxy", async (warehouse) => {
  warehouse.certificates();
  const { ca } = warehouse.identity("dock-1");
  const nodes = [await warehouse.chain("node-a", "100ms", "--datadir", "a"), await warehouse.chain("node-b", "100ms", "--datadir", "b")];
  const absent = await freePort();
  const { port } = await warehouse.proxyOf([absent, nodes[0].http], "doors", "--rate", "1000", "--burst", "1000");
  printTable("Doors", await doors(ca, port));
  printTable("Nodes", [...(await failover(warehouse, nodes, ca)), ...(await retries(warehouse, ca))]);
  printTable("Limits", [await rates(warehouse, nodes[1], ca), await connections(warehouse, nodes[1], ca)]);
  printTable("WebSocket", await websockets(warehouse, nodes, ca));
  console.log("\nThe proxy does what it must.");
});
