// Hostile attempts on the device path: impostor contracts, replayed, expired, forged and foreign codes, sales that are not settled, stale shadows,
// revoked certificates, another's topics and client id, a lying node behind the proxy. None may open a lock; each good code opens it
// once, and parts that are killed in mid-scan come back within five seconds without opening twice.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { request } from "node:https";
import { Warehouse } from "./orders-parts.mjs";
import { account, buyer, deepEnough, deployRegistry, freshSale, impostorSale, jobOf, makeCode, managed, operator, pause } from "./orders-sales.mjs";
import { printTable, providerOf, refusalOf, saleAbi, scan, stranger } from "./orders-sales.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { Contract } = require("ethers");

const attempts = Number(process.env.HOSTILE_ATTEMPTS ?? 200);
const good = Number(process.env.HOSTILE_GOOD ?? 10);
let seed = Number(process.env.HOSTILE_SEED ?? 1) >>> 0 || 1;
const settled = "2";
const resumeMsMax = 5_000;

// A number below `below`, the same ones for the same seed (xorshift32).
function random(below) {
  seed ^= seed << 13;
  seed >>>= 0;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  seed >>>= 0;
  return seed % below;
}

const now = () => Math.floor(Date.now() / 1000);

// Each kind makes a code that must open nothing.
function hostileKinds({ warehouse, provider, registry, used, sold, unsold, impostor }) {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
  const forge = (code) => {
    const place = 3 + random(code.length - 3);
    const other = [...alphabet].filter((character) => character !== code[place])[random(alphabet.length - 1)];
    return code.slice(0, place) + other + code.slice(place + 1);
  };
  return {
    "an impostor's contract": () => makeCode(warehouse, impostor),
    "a code that was used": () => used[random(used.length)],
    "an expired code": () => makeCode(warehouse, sold, { notAfter: now() - 1 - random(1_000_000) }),
    "a code that counts too long": () => makeCode(warehouse, sold, { notAfter: now() + 700 + random(1_000_000) }),
    "a forged code": async () => forge(await makeCode(warehouse, sold)),
    "a stranger's code": () => makeCode(warehouse, sold, { signer: stranger }),
    "another device's code": () => makeCode(warehouse, sold, { device: `dock-${2 + random(9)}` }),
    "an item that is not sold": () => makeCode(warehouse, unsold),
    "an item that was collected": () => makeCode(warehouse, used.contracts[random(used.contracts.length)]),
    "a contract that is none": () => makeCode(warehouse, account(6 + random(3)).address),
    "a plain code": () => `${sold},${buyer.address}`,
    "noise": () => Array.from({ length: random(500) }, () => alphabet[random(alphabet.length)]).join(""),
    "a sale that is not settled": async () => {
      const contract = await freshSale(provider, registry, { buy: false });
      const code = await makeCode(warehouse, contract);
      await new Contract(contract, saleAbi, managed(buyer, provider)).buy({ value: 1000n });
      return code;
    },
  };
}

async function goodOnes(warehouse, provider, registry, device) {
  const used = Object.assign([], { contracts: [] });
  const times = [];
  for (let done = 0; done < good; done += 1) {
    const contract = await freshSale(provider, registry);
    await deepEnough(provider, await provider.getBlockNumber(), settled);
    const code = await makeCode(warehouse, contract);
    const before = warehouse.opened().length;
    const { text, at, scannedAt } = await scan(device, code);
    assert.match(text, /^opened /, `good code ${done + 1}`);
    assert.equal(warehouse.opened().length, before + 1, "one open");
    times.push(at - scannedAt);
    used.push(code);
    used.contracts.push(contract);
  }
  return { used, times };
}

async function hostileCodes(warehouse, device, kinds) {
  const counts = new Map();
  const before = warehouse.opened().length;
  const names = Object.keys(kinds);
  for (let done = 0; done < attempts; done += 1) {
    const name = names[done < names.length ? done : random(names.length)];
    const code = await kinds[name]();
    // A scanner that types nothing, or white space, types no code.
    if (code.trim() === "") continue;
    const { text } = await scan(device, code);
    assert.match(text, /^refused /, `${name}: ${code}`);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.equal(warehouse.opened().length, before, "no hostile code opens");
  return counts;
}

// Asks the data API for an update of dock-1's shadow, with somebody's certificate.
function updateShadow(warehouse, who, state) {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", port: warehouse.api, host: "localhost", path: "/things/dock-1/shadow?name=lock", ...warehouse.identity(who) };
    const asking = request(options, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    asking.on("error", reject);
    asking.end(JSON.stringify({ state }));
  });
}

// Desired states that nobody scanned, that are over, or that another device wrote.
async function shadows(warehouse, { used, sold }) {
  const before = warehouse.opened();
  const desire = (job, code) => ({ desired: { lock: "open", job, until: now() + 60, code, released: now() } });
  const photographed = await makeCode(warehouse, sold);
  const job = /^job +(0x[0-9a-f]{64})$/m.exec(warehouse.run("code", "read", photographed))[1];
  const cases = [
    ["an old job", "bridge", desire(before.at(-1), used.at(-1)), 200],
    ["a code that was not scanned here", "bridge", desire(job, photographed), 200],
    ["open, and no job", "bridge", { desired: { lock: "open" } }, 200],
    ["another device's certificate", "dock-2", desire(before.at(-1), used.at(-1)), 403],
  ];
  const rows = [];
  for (const [name, who, state, expected] of cases) {
    assert.equal(await updateShadow(warehouse, who, state), expected, name);
    await pause(300);
    rows.push([`shadow: ${name}`, expected === 200 ? "written, nothing opens" : "refused"]);
  }
  assert.equal(await updateShadow(warehouse, "bridge", { desired: null }), 200);
  assert.deepEqual(warehouse.opened(), before, "no shadow opens a lock by itself");
  return rows;
}

// Devices that the broker must not let in: their codes are good, and nothing opens.
async function identities(warehouse, provider, registry, https) {
  const rows = [];
  const tries = [
    ["another's client id", { name: "dock-1", own: "intruder", of: "dock-2" }, () => {}],
    ["a revoked certificate", { name: "dock-2" }, () => warehouse.run("device", "revoke", "dock-2", "--datadir", warehouse.data)],
  ];
  for (const [name, who, prepare] of tries) {
    prepare();
    const contract = await freshSale(provider, registry);
    await deepEnough(provider, await provider.getBlockNumber(), settled);
    const device = warehouse.device(registry, settled, https, who);
    const code = await makeCode(warehouse, contract, { device: who.name, notAfter: now() + 4 });
    const { text } = await scan(device, code);
    assert.match(refusalOf(text) ?? text, /not carried out in time/, name);
    assert.deepEqual(warehouse.opened(who.own ?? who.name), [], name);
    await device.stop();
    rows.push([name, "refused by the broker, nothing opens"]);
  }
  return rows;
}

// A node that says yes to everything, and whose proofs are those of another order, or changed.
function liar(url, state) {
  const yes = `0x${"0".repeat(63)}1`;
  const server = createServer((asked, response) => {
    let body = "";
    asked.on("data", (part) => (body += part));
    asked.on("end", async () => {
      const answer = async ({ id, method, params }) => {
        let result = method === "eth_chainId" ? "0x539" : yes;
        if (method === "drawbridge_ownershipProof") result = await lie(url, params, state);
        return { jsonrpc: "2.0", id, result };
      };
      const asking = JSON.parse(body);
      const answers = Array.isArray(asking) ? await Promise.all(asking.map(answer)) : await answer(asking);
      response.setHeader("content-type", "application/json").end(JSON.stringify(answers));
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function lie(url, [order, registry, anchor, depth], state) {
  const prove = async (of) => {
    const body = { jsonrpc: "2.0", id: 1, method: "drawbridge_ownershipProof", params: [of, registry, anchor, depth] };
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    return (await response.json()).result;
  };
  const [true_, other] = [await prove(order), await prove(state.sold)];
  const lies = [
    () => other,
    () => ({ ...true_, order: other.order }),
    () => ({ ...true_, order: { ...true_.order, slots: true_.order.slots.map((slot, at) => (at === 0 ? { ...slot, value: buyer.address } : slot)) } }),
    () => ({ ...true_, headers: true_.headers.slice(0, 1), witnesses: [] }),
    () => ({ ...true_, headers: true_.headers.slice(1), witnesses: [] }),
    () => ({ ...true_, registry: { ...true_.registry, slots: [{ ...true_.registry.slots[0], value: "0x1" }] }, order: { ...other.order, nodes: true_.order.nodes } }),
    () => true,
  ];
  state.told += 1;
  return lies[state.told % lies.length]();
}

async function lyingNode(warehouse, provider, registry, { sold, unsold, impostor }) {
  const state = { sold, told: 0 };
  const server = await liar(warehouse.url, state);
  const { port } = await warehouse.proxy(server.address().port, "liar");
  const genesis = (await provider.getBlock(0)).hash;
  const proofs = ["--verify-proof", `0:${genesis}`, "--difficulty-min", "1"];
  const device = warehouse.device(registry, settled, port, { name: "dock-1", own: "deceived", of: "dock-1" }, ...proofs);
  const count = Math.max(7, Math.floor(attempts / 20));
  for (let done = 0; done < count; done += 1) {
    const { text } = await scan(device, await makeCode(warehouse, done % 2 === 0 ? unsold : impostor));
    assert.match(text, /^refused /, `lie ${done}`);
  }
  assert.deepEqual(warehouse.opened("deceived"), [], "no lie opens");
  await device.stop();
  server.close();
  return [["a lying node behind the proxy", `${count} lies refused, ${state.told} of them proofs`]];
}

// With proofs demanded and an honest node the lock opens.
async function provenOpen(warehouse, provider, registry, https) {
  const genesis = (await provider.getBlock(0)).hash;
  const contract = await freshSale(provider, registry);
  await deepEnough(provider, await provider.getBlockNumber(), settled);
  const proofs = ["--verify-proof", `0:${genesis}`, "--difficulty-min", "1"];
  const device = warehouse.device(registry, settled, https, { name: "dock-1", own: "proving", of: "dock-1" }, ...proofs);
  const { text } = await scan(device, await makeCode(warehouse, contract));
  assert.match(text, /^opened /, "a proven sale opens");
  assert.deepEqual(warehouse.opened("proving"), [jobOf(text)]);
  await device.stop();
}

// Kills a part just after a good code was shown, starts it again, and waits for the lock.
async function kills(warehouse, provider, registry, device, parts) {
  const rows = [];
  for (const [name, ports, ms] of [["proxy", [], 0], ["bridge", [], 0], ["bridge", [], 60], ["node", [warehouse.http, warehouse.mqtt], 0], ["node", [warehouse.http, warehouse.mqtt], 60]]) {
    const contract = await freshSale(provider, registry);
    await deepEnough(provider, await provider.getBlockNumber(), settled);
    const before = warehouse.opened();
    const scanning = scan(device, await makeCode(warehouse, contract));
    await pause(ms);
    parts[name] = await warehouse.killAndRestart(parts[name], ...(name === "proxy" ? [parts.https] : ports));
    const back = performance.now();
    const { text, at } = await scanning;
    assert.match(text, /^opened /, `${name} was killed`);
    assert.deepEqual(warehouse.opened(), [...before, jobOf(text)], "it opens once");
    const took = at - back;
    assert.ok(took < resumeMsMax, `${name}: resumed after ${took.toFixed(0)} ms`);
    rows.push([`${name} killed ${ms} ms after the scan`, `opened once, ${Math.max(0, took).toFixed(0)} ms after it was back`]);
  }
  return rows;
}

async function run() {
  assert.ok(process.env.DRAWBRIDGE_BIN, "DRAWBRIDGE_BIN is not set; run scripts/hostile.sh");
  console.log(`seed ${seed}`);
  const warehouse = new Warehouse();
  try {
    warehouse.certificates();
    const parts = { node: await warehouse.node("50ms") };
    const proxy = await warehouse.proxy();
    [parts.proxy, parts.https] = [proxy.part, proxy.port];
    const provider = providerOf(warehouse.url);
    const registry = await deployRegistry(provider);
    parts.bridge = await warehouse.bridge(registry, operator.address, settled);
    const device = warehouse.device(registry, settled, parts.https);
    await device.line((text) => text.includes("connected to the broker"), "connection");

    const [sold, unsold, impostor] = [await freshSale(provider, registry), await freshSale(provider, registry, { buy: false }), await impostorSale(provider)];
    const { used, times } = await goodOnes(warehouse, provider, registry, device);
    const world = { warehouse, provider, registry, used, sold, unsold, impostor };
    const counts = await hostileCodes(warehouse, device, hostileKinds(world));
    printTable("Hostile codes, refused", [...counts].map(([name, count]) => [name, count]));
    const rows = [...(await shadows(warehouse, world)), ...(await identities(warehouse, provider, registry, parts.https))];
    await device.stop();
    rows.push(...(await lyingNode(warehouse, provider, registry, world)));
    printTable("Other attempts", rows);
    await provenOpen(warehouse, provider, registry, parts.https);
    const again = warehouse.device(registry, settled, parts.https);
    await again.line((text) => text.includes("connected to the broker"), "connection");
    printTable("Killed in mid-scan", await kills(warehouse, provider, registry, again, parts));
    const opens = warehouse.opened();
    assert.equal(new Set(opens).size, opens.length, "no job opened twice");
    times.sort((a, b) => a - b);
    console.log(`\n${good} good codes: one open each, median ${times[times.length >> 1].toFixed(0)} ms; ${[...counts.values()].reduce((a, b) => a + b)} hostile codes: no open.`);
    provider.destroy();
  } catch (error) {
    for (const part of warehouse.parts) console.error(`\nThe end of what ${part.name} said:\n${part.tail()}`);
    throw error;
  } finally {
    await warehouse.stop();
  }
}

try {
  await run();
  // A connection that a killed part has left half open must not keep this program from ending.
  process.exit(0);
} catch (error) {
  console.error(`\nhostile: FAILED: ${error.message}\n${error.stack}`);
  process.exit(1);
}
