// Attempts at the broker itself, by a client that keeps to no rules: a revoked certificate, another's client id, another's topics.

import assert from "node:assert/strict";
import { Agent } from "node:https";
import { connect } from "node:tls";
import { ask } from "./orders-parts.mjs";

const answerMsMax = 60_000;
const [CONNACK, PUBACK, SUBACK] = [2, 4, 9];

const text = (value) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

// A packet of MQTT 3.1.1: its first byte, the length of the rest in groups of seven bits, and the rest.
function packet(first, ...parts) {
  const rest = Buffer.concat(parts);
  const length = [];
  for (let left = rest.length; ; left >>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  return Buffer.concat([Buffer.from([first, ...length]), rest]);
}

// A connection whose packets are read one after the other; `null` once it is closed.
class Client {
  constructor(port, identity) {
    [this.bytes, this.isClosed, this.wake] = [Buffer.alloc(0), false, () => {}];
    this.socket = connect({ port, host: "127.0.0.1", servername: "localhost", ...identity });
    this.socket.on("data", (more) => ((this.bytes = Buffer.concat([this.bytes, more])), this.wake()));
    this.socket.on("error", () => {});
    this.socket.on("close", () => ((this.isClosed = true), this.wake()));
  }

  // The packets that are asked of the broker here are shorter than 128 bytes.
  async next() {
    const end = Date.now() + answerMsMax;
    for (;;) {
      const length = this.bytes.length > 1 ? 2 + this.bytes[1] : Infinity;
      if (this.bytes.length >= length) {
        const [whole, rest] = [this.bytes.subarray(0, length), this.bytes.subarray(length)];
        this.bytes = rest;
        return { type: whole[0] >> 4, body: whole.subarray(2) };
      }
      if (this.isClosed) return null;
      assert.ok(Date.now() < end, "the broker neither answers nor closes the connection");
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, answerMsMax);
        this.wake = () => (clearTimeout(timer), resolve());
      });
    }
  }

  async introduce(clientId) {
    this.socket.write(packet(0x10, text("MQTT"), Buffer.from([4, 2, 0, 60]), text(clientId)));
    return this.next();
  }

  publish(topic, payload) {
    this.socket.write(packet(0x32, text(topic), Buffer.from([0, 1]), Buffer.from(payload)));
    return this.next();
  }

  subscribe(filter) {
    this.socket.write(packet(0x82, Buffer.from([0, 1]), text(filter), Buffer.from([1])));
    return this.next();
  }

  async end() {
    this.socket.destroy();
    while (!this.isClosed) await new Promise((resolve) => (this.wake = resolve));
  }
}

const isAccepted = (answer) => answer?.type === CONNACK && answer.body[1] === 0;

async function revoked({ warehouse, random, victims }) {
  const client = new Client(warehouse.mqtt, warehouse.identity("revoked"));
  const name = random(2) === 0 ? "revoked" : victims[random(victims.length)];
  assert.equal(isAccepted(await client.introduce(name)), false, "a revoked certificate does not get in");
  await client.end();
}

async function othersId({ warehouse, random, victims }) {
  const client = new Client(warehouse.mqtt, warehouse.identity("intruder"));
  const answer = await client.introduce(victims[random(victims.length)]);
  assert.equal(isAccepted(answer), false, "another's client id does not get in");
  await client.end();
}

// Publishes to a device's topics: what the bridge desires, what the device reports, and what the service answers.
async function othersTopic({ warehouse, random, victims }) {
  const victim = victims[random(victims.length)];
  const until = Math.floor(Date.now() / 1000) + 60;
  const job = `0x${"07".repeat(32)}`;
  const open = { lock: "open", job, until, code: "T1:0", released: until };
  const shadow = `$aws/things/${victim}/shadow/name/lock`;
  const tries = [
    [`${shadow}/update`, { state: { desired: open } }],
    [`${shadow}/update`, { state: { reported: open } }],
    [`${shadow}/update`, { state: null }],
    [`${shadow}/update/delta`, { version: 1_000_000, state: open }],
    [`${shadow}/update/accepted`, { state: { desired: open }, version: 1_000_000 }],
    [`${shadow}/delete`, {}],
    [`$aws/things/${victim}/shadow/update`, { state: { desired: open } }],
    [`drawbridge/${victim}/lock`, open],
    [`drawbridge/alarms/${victim}`, open],
  ];
  const [topic, content] = tries[random(tries.length)];
  const client = new Client(warehouse.mqtt, warehouse.identity("intruder"));
  assert.equal(isAccepted(await client.introduce("intruder")), true, "the intruder is a device too");
  const answer = await client.publish(topic, JSON.stringify(content));
  assert.equal(answer, null, `a message to ${topic} ends the connection`);
  await client.end();
}

async function othersNews({ warehouse, random, victims }) {
  const victim = victims[random(victims.length)];
  const filters = ["update/delta", "update/accepted", "update/documents", "get/accepted", "#"].map((rest) => `$aws/things/${victim}/shadow/name/lock/${rest}`);
  filters.push("#", "+/+/+", "$aws/things/+/shadow/name/lock/update/delta", `drawbridge/${victim}/#`, "drawbridge/#");
  const filter = filters[random(filters.length)];
  const client = new Client(warehouse.mqtt, warehouse.identity("intruder"));
  assert.equal(isAccepted(await client.introduce("intruder")), true, "the intruder is a device too");
  const answer = await client.subscribe(filter);
  assert.ok(answer === null || (answer.type === SUBACK && answer.body[2] === 0x80), `a subscription to ${filter} is denied`);
  await client.end();
}

const agents = new Map();

// Asks the data API for an update of a device's lock shadow, with somebody's certificate, and returns the status of its answer.
export async function updateShadow(warehouse, who, thing, state) {
  if (!agents.has(who)) agents.set(who, new Agent({ keepAlive: true, maxSockets: 1, ...warehouse.identity(who) }));
  const path = `/things/${thing}/shadow?name=lock`;
  return (await ask({ method: "POST", port: warehouse.api, path, agent: agents.get(who) }, JSON.stringify({ state }))).status;
}

async function othersShadow({ warehouse, random, victims }) {
  const state = { desired: { lock: "open", job: `0x${"07".repeat(32)}` } };
  assert.equal(await updateShadow(warehouse, "intruder", victims[random(victims.length)], state), 403, "another's shadow over HTTPS");
}

// The intruder has one name, and so one connection at a time: its attempts on topics follow each other.
const attacks = [
  { "a revoked certificate": revoked },
  { "another's client id": othersId },
  { "a message to another's topic": othersTopic, "a subscription to another's topic": othersNews },
  { "another's shadow over HTTPS": othersShadow },
];
export const attacksCount = attacks.flatMap(Object.keys).length;

// Tries each attack so many times, beside whatever else goes on. Returns how many of each kind were refused.
export async function attackBroker(world, each, told) {
  const counts = new Map();
  const carryOut = async (tries) => {
    for (let done = 0; done < each; done += 1) {
      for (const [name, attack] of Object.entries(tries)) {
        await attack(world);
        counts.set(name, (counts.get(name) ?? 0) + 1);
        told();
      }
    }
  };
  await Promise.all(attacks.map(carryOut));
  return counts;
}
