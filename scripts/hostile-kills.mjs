// Parts that are killed in mid-scan: the lock stays closed while one is missing, and opens once, soon after it is back.

import assert from "node:assert/strict";
import { settledSales } from "./hostile-sales.mjs";
import { pause } from "./orders-parts.mjs";
import { jobOf, makeCode, operator, scan } from "./orders-sales.mjs";

const resumeMsMax = 5_000;
// When after the scan the part is killed.
const momentsMs = [0, 60];

// Kills a part just after a good code was shown, starts it again, and waits for the lock.
async function kill(world, gate, name, ms) {
  const { warehouse, url, registry, parts } = world;
  const [contract] = await settledSales(url, registry, 1, 2);
  const before = warehouse.opened(gate.name);
  const scanning = scan(gate.device, await makeCode(warehouse, contract, { device: gate.name }));
  await pause(ms);
  await restart(warehouse, parts[name]);
  const back = performance.now();
  const { text, at } = await scanning;
  assert.match(text, /^opened /, `${name} was killed`);
  assert.deepEqual(warehouse.opened(gate.name), [...before, jobOf(text)], "it opens once");
  const took = at - back;
  assert.ok(took < resumeMsMax, `${name}: resumed after ${took.toFixed(0)} ms`);
  const when = took < 0 ? "before it was back" : `${took.toFixed(0)} ms after it was back`;
  return [`${name} killed ${ms} ms after the scan`, `opened once, ${when}`];
}

async function killAll(world, gate, names) {
  const rows = [];
  for (const name of names) {
    for (const ms of momentsMs) rows.push(await kill(world, gate, name, ms));
  }
  return rows;
}

// While a part is missing nothing opens: a code that is shown meanwhile is refused when its time is over.
async function missing(world, gate, name) {
  const { warehouse, url, registry, parts } = world;
  const [contract] = await settledSales(url, registry, 1, 2);
  const before = warehouse.opened(gate.name);
  await parts[name].part.stop("SIGKILL");
  const notAfter = Math.floor(Date.now() / 1000) + 1;
  const { text } = await scan(gate.device, await makeCode(warehouse, contract, { device: gate.name, notAfter }));
  assert.match(text, /not carried out in time|its time is over|expired/, `nothing opens without ${name}`);
  assert.deepEqual(warehouse.opened(gate.name), before);
  await restart(warehouse, parts[name]);
  return [`no ${name} while the code counts`, "refused, nothing opens"];
}

async function restart(warehouse, entry) {
  entry.part = await warehouse.killAndRestart(entry.part, ...entry.ports);
  if (entry.isClient) await entry.part.connected();
}

// Node, broker, proxy and bridge are processes of their own.
export async function kills(world, gate) {
  const names = ["broker", "node", "proxy", "bridge"];
  const rows = await killAll(world, gate, names);
  for (const name of names) rows.push(await missing(world, gate, name));
  return rows;
}

// The same with Mosquitto as the broker, and the shadow service as a process of its own.
export async function killsBehindMosquitto(world) {
  const { warehouse, registry, parts, https, settled } = world;
  await parts.bridge.part.stop();
  const { broker, service } = await warehouse.mosquitto();
  parts.Mosquitto = { part: broker, ports: [warehouse.mqtt] };
  parts["the shadow service"] = { part: service, ports: [], isClient: true };
  await warehouse.bridge(registry, operator.address, settled, "outbox-mosquitto");
  const device = warehouse.device(registry, settled, https, { name: "behind" });
  await device.connected();
  return killAll(world, { name: "behind", device }, ["Mosquitto", "the shadow service"]);
}
