// Hostile attempts on the device path: impostor contracts, replayed, expired, forged and foreign codes, sales that are not settled or that
// a heavier branch takes away, stale shadows, revoked certificates, another's topics and client id, a lying node behind the proxy. None may
// open a lock; each good code opens one once, and parts that are killed in mid-scan come back within five seconds without opening twice.

import assert from "node:assert/strict";
import { perform, printTable } from "./experiment.mjs";
import { Gate, hostileKinds, showCodes } from "./hostile-codes.mjs";
import { lyingNode, patientDepth, provenOpen, unsettledSales } from "./hostile-chain.mjs";
import { kills, killsBehindMosquitto } from "./hostile-kills.mjs";
import { attackBroker, attacksCount, updateShadow } from "./hostile-mqtt.mjs";
import { Stock, placeOrders, purchase, settledSales, sendAll } from "./hostile-sales.mjs";
import { deployImpostor, deployRegistry, makeCode, operator, providerOf } from "./orders-sales.mjs";

const attempts = Number(process.env.HOSTILE_ATTEMPTS ?? 200);
const good = Number(process.env.HOSTILE_GOOD ?? 10);
const gatesCount = Number(process.env.HOSTILE_GATES ?? Math.max(2, Math.min(24, Math.floor(good / 4))));
const firstSeed = Number(process.env.HOSTILE_SEED ?? 1) >>> 0 || 1;
const period = "50ms";
const settled = "2";

// Numbers below `below`, the same ones for the same seed (xorshift32).
function generator(seed) {
  return (below) => {
    seed ^= seed << 13;
    seed >>>= 0;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    seed >>>= 0;
    return seed % below;
  };
}

const began = performance.now();
const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
// A line now and then, so that a long run shows that it goes on.
function teller() {
  let [done, last] = [0, performance.now()];
  return (more = 1) => {
    done += more;
    if (performance.now() - last < 30_000) return;
    last = performance.now();
    console.log(`${seconds()} s: ${done} codes and attempts`);
  };
}

async function setUp(warehouse) {
  const names = Array.from({ length: gatesCount }, (_, at) => `dock-${at + 1}`);
  warehouse.certificates([...names, "patient", "deceived", "proving", "shadowed", "behind", "intruder", "revoked"], ["bridge", "shadow-service"]);
  warehouse.run("device", "revoke", "revoked", "--datadir", warehouse.data);
  const broker = await warehouse.ownBroker();
  const { part: node, http, url } = await warehouse.chain("node", period, "--datadir", `${warehouse.folder}/chain`);
  [warehouse.http, warehouse.url] = [http, url];
  const proxy = await warehouse.proxy();
  const provider = providerOf(url);
  const registry = await deployRegistry(provider);
  const impostor = await deployImpostor(provider);
  provider.destroy();
  const bridge = await warehouse.bridge(registry, operator.address, settled);
  const gate = (name, depth = settled) => new Gate(name, warehouse.device(registry, depth, proxy.port, { name }, "--open-time", "20ms"));
  const gates = names.map((name) => gate(name));
  const [patient, shadowed] = [gate("patient", String(patientDepth)), gate("shadowed")];
  for (const { device } of [...gates, patient, shadowed]) await device.connected();
  await sendAll(url, [{ ...purchase(impostor), value: "0x1" }]);
  const [sold] = await settledSales(url, registry, 1, Number(settled));
  const [unsold] = await placeOrders(url, registry, 1);
  const parts = {
    broker: { part: broker, ports: [warehouse.mqtt, warehouse.api] },
    node: { part: node, ports: [http] },
    proxy: { part: proxy.part, ports: [proxy.port] },
    bridge: { part: bridge, ports: [], isClient: true },
  };
  return { warehouse, url, https: proxy.port, registry, impostor, bridge, gates, patient, shadowed, sold, unsold, parts, settled };
}

// Desired states that nobody scanned, or that are over, written by the bridge itself.
async function staleShadows({ warehouse, url, registry, shadowed, sold, random }, each, told) {
  const job = await shadowed.open(warehouse, (await settledSales(url, registry, 1, Number(settled)))[0]);
  const now = Math.floor(Date.now() / 1000);
  const desire = (of, code) => ({ desired: { lock: "open", job: of, until: now + 60, code, released: now } });
  const photographed = await makeCode(warehouse, sold, { device: shadowed.name });
  const unseen = /^job +(0x[0-9a-f]{64})$/m.exec(warehouse.run("code", "read", photographed))[1];
  const states = [desire(job, shadowed.used[0]), desire(unseen, photographed), { desired: { lock: "open", job: null, code: null } }, { desired: { released: now } }];
  for (let done = 0; done < each; done += 1) {
    const status = await updateShadow(warehouse, "bridge", shadowed.name, states[random(states.length)]);
    assert.equal(status, 200, "the bridge may write the shadow");
    told();
  }
  assert.equal(await updateShadow(warehouse, "bridge", shadowed.name, { desired: null }), 200);
  // Messages come in order: what was desired before this code was seen before it opens.
  const last = await shadowed.open(warehouse, (await settledSales(url, registry, 1, Number(settled)))[0]);
  assert.deepEqual(warehouse.opened(shadowed.name), [job, last], "no shadow opens a lock by itself");
  return new Map([["a stale shadow", each]]);
}

function checkOpens({ warehouse, gates, patient, shadowed }) {
  for (const { name, jobs } of [...gates, patient, shadowed]) {
    assert.deepEqual(warehouse.opened(name), jobs, `${name} opened for its good codes, once each, and for nothing else`);
    assert.equal(new Set(jobs).size, jobs.length, `${name}: no job opened twice`);
  }
}

async function attack(world) {
  const { gates, random } = world;
  const kinds = hostileKinds(world);
  // Those of the broker, unsettled and reorganised sales, lies, stale shadows, and codes.
  const kindsCount = Object.keys(kinds).length + attacksCount + 4;
  const each = Math.max(1, Math.floor(attempts / kindsCount));
  const codes = Math.max(attempts - each * (attacksCount + 4), Object.keys(kinds).length);
  const told = teller();
  const victims = [...gates.map(({ name }) => name), "shadowed"];
  const hasty = gates.slice(0, 4);
  const counts = [...(await Promise.all([unsettledSales({ ...world, gates: hasty }, each, told), lyingNode(world, each, told)]))];
  console.log(`${seconds()} s: the chain's part is done`);
  const stock = new Stock(world.url, world.registry, good, Number(settled));
  const showing = showCodes({ ...world, stock, good, attempts: codes, kinds, random, told });
  const others = [attackBroker({ ...world, victims }, each, told), staleShadows(world, each, told)];
  counts.push(...(await Promise.all([showing, ...others])));
  console.log(`${seconds()} s: the codes are shown`);
  return counts.flatMap((some) => [...some]);
}

await perform("hostile", async (warehouse) => {
  console.log(`seed ${firstSeed}, ${gatesCount} gates`);
  const world = { ...(await setUp(warehouse)), random: generator(firstSeed) };
  console.log(`${seconds()} s: everything runs`);
  const counts = await attack(world);
  checkOpens(world);
  printTable("Hostile attempts, refused", counts.map(([name, count]) => [name, String(count).padStart(6)]));
  await provenOpen(world);
  printTable("Killed in mid-scan", await kills(world, world.gates[0]));
  printTable("Killed in mid-scan, behind Mosquitto", await killsBehindMosquitto(world));
  const times = world.gates.flatMap((gate) => gate.times).sort((a, b) => a - b);
  const hostile = counts.reduce((sum, [, count]) => sum + count, 0);
  console.log(`\n${times.length} good codes: one open each, median ${times[times.length >> 1].toFixed(0)} ms; ${hostile} hostile attempts: no open.`);
  console.log(`${seconds()} s in all`);
});
