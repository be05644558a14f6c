// Sales that do not stand: a block that is not deep enough yet, a heavier branch in which the buyer paid somewhere else, and nodes that lie.

import assert from "node:assert/strict";
import { join } from "node:path";
import { inNodesPlace, until } from "./orders-parts.mjs";
import { buyer, jobOf, makeCode, refusalOf, scan } from "./orders-sales.mjs";
import { ask, askOne, cheater, deep, headOf, nothing, placeOrders, purchase, settledSales } from "./hostile-sales.mjs";

// How deep a sale must be for the device that is shown those that are not: far above what is mined until the miner stops, and
// below the finalized depth of the development chain, 64.
export const patientDepth = 40;
// Sales that one branch takes away: as many as one block holds.
const branchSales = 150;
// How long codes count that the branch makes worthless while they are carried out.
const carriedOutSeconds = 6;

// A second node with the same genesis. It mines where it is told to, and takes over what the first one has.
class Branch {
  constructor(warehouse, url) {
    Object.assign(this, { warehouse, url, other: null, files: 0 });
  }

  async start() {
    this.other = (await this.warehouse.chain("other-node", null, "--datadir", join(this.warehouse.folder, "other"))).url;
  }

  // Brings the blocks of one node that the other lacks over in a file.
  async carry(from, to, first) {
    const file = join(this.warehouse.folder, `branch-${(this.files += 1)}.rlp`);
    await askOne(from, "admin_exportChain", file, first, await headOf(from));
    await askOne(to, "admin_importChain", file);
    const [here, there] = [await askOne(from, "eth_getBlockByNumber", "latest", false), await askOne(to, "eth_getBlockByNumber", "latest", false)];
    assert.equal(there.hash, here.hash, "both nodes have one head");
  }

  // On the second node the cheater spends the same nonces on nothing, in a heavier branch.
  async outrun(nonce, count) {
    const spent = Array.from({ length: count }, (_, at) => nothing(cheater.address, { nonce: `0x${(nonce + at).toString(16)}`, maxFeePerGas: "0x2540be400" }));
    await ask(this.other, spent.map((transaction) => ["eth_sendTransaction", transaction]));
    await until("all is spent", async () => Number(await askOne(this.other, "eth_getTransactionCount", cheater.address, "latest")) >= nonce + count);
    for (let head = await headOf(this.url); (await headOf(this.other)) <= head; ) {
      const before = await headOf(this.other);
      await ask(this.other, [["eth_sendTransaction", nothing(buyer.address)]]);
      await until("another block is mined", async () => (await headOf(this.other)) !== before, 5);
    }
  }
}

// The cheater buys items; a patient device is shown codes for them before they are deep enough, hasty gates while they just are. Then a heavier
// branch comes in which it bought none of them. Returns what was refused.
async function onceReorganised({ warehouse, url, registry, branch, patient, gates, bridge }, count) {
  const orders = await placeOrders(url, registry, count + gates.length);
  await deep(url, await headOf(url), patientDepth);
  await askOne(url, "miner_stop");
  const fork = await headOf(url);
  await branch.carry(url, branch.other, (await headOf(branch.other)) + 1);
  const nonce = Number(await askOne(url, "eth_getTransactionCount", cheater.address, "latest"));
  const bought = await ask(url, orders.map((order) => ["eth_sendTransaction", purchase(order, cheater.address)]));
  await askOne(url, "miner_start");
  await until("all is bought", async () => (await askOne(url, "eth_getTransactionReceipt", bought.at(-1))) !== null, 5);
  await deep(url, await headOf(url), 2);
  await askOne(url, "miner_stop");
  const first = Number((await askOne(url, "eth_getTransactionReceipt", bought[0])).blockNumber);
  assert.ok((await headOf(url)) < first + patientDepth, "the sales are not settled for the patient device");

  const codes = await Promise.all(orders.slice(0, count).map((order) => makeCode(warehouse, order, { signer: cheater, device: patient.name })));
  for (const code of codes) await patient.refuse("a sale that is not settled", code, /owns the item/);
  const underway = await Promise.all(gates.map((gate, at) => beginAt(warehouse, bridge, gate, orders[count + at])));

  await branch.outrun(nonce, orders.length);
  await branch.carry(branch.other, url, fork + 1);
  assert.equal(await askOne(url, "eth_getTransactionReceipt", bought[0]), null, "the sale is gone");
  await askOne(url, "miner_start");
  await deep(url, await headOf(url), patientDepth);
  for (const code of codes) await patient.refuse("a sale that was reorganised away", code, /owns the item/);
  for (const [scanning] of underway) assert.match(refusalOf((await scanning).text) ?? "", /not carried out in time/, "reorganised while it was carried out");
}

// Shows a good code, and waits until the bridge has sent the release. Returns who awaits the answer, in an array: it is not awaited here.
async function beginAt(warehouse, bridge, gate, order) {
  const notAfter = Math.floor(Date.now() / 1000) + carriedOutSeconds;
  const skipped = bridge.count;
  const scanning = scan(gate.device, await makeCode(warehouse, order, { signer: cheater, device: gate.name, notAfter }));
  const sent = ({ text }) => text.includes("release sent") && text.includes(order);
  await Promise.race([bridge.line((text) => sent({ text }), "release", { skipped }), scanning.then(({ text }) => assert.fail(`too early: ${text}`))]);
  return [scanning];
}

// Shows `each` sales that are not settled, and then were reorganised away, and some that were while they were carried out.
export async function unsettledSales(world, each, told) {
  const { url, registry, warehouse, patient } = world;
  const branch = new Branch(warehouse, url);
  await branch.start();
  const carriedOut = world.gates.length;
  for (let done = 0; done < each; done += branchSales) {
    const some = Math.min(branchSales, each - done);
    await onceReorganised({ ...world, branch, gates: done === 0 ? world.gates : [] }, some);
    told(2 * some);
  }
  // What the device waited for: the same kind of sale opens its lock once it is deep enough.
  await patient.open(warehouse, (await settledSales(url, registry, 1, patientDepth))[0]);
  return new Map([
    ["a sale that is not settled", each],
    ["a sale that was reorganised away", each],
    ["a sale that was reorganised while carried out", carriedOut],
  ]);
}

// A node that says yes to everything, and whose proofs are those of another order, or changed.
function liar(url, state) {
  const yes = `0x${"0".repeat(63)}1`;
  const answer = async ({ id, method, params }) => {
    let result = method === "eth_chainId" ? "0x539" : yes;
    if (method === "drawbridge_ownershipProof") result = await lie(url, params, state);
    return { jsonrpc: "2.0", id, result };
  };
  return inNodesPlace(async (body) => {
    const asking = JSON.parse(body);
    return JSON.stringify(Array.isArray(asking) ? await Promise.all(asking.map(answer)) : await answer(asking));
  });
}

async function lie(url, [order, registry, anchor, depth], state) {
  const prove = (of) => ["drawbridge_ownershipProof", of, registry, anchor, depth];
  const [true_, other] = await ask(url, [prove(order), prove(state.sold)]);
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

// The blocks that a device takes on trust: not far back, so that proofs are short.
const proofFlags = async (url) => {
  const number = Math.max(0, (await headOf(url)) - 10);
  const { hash } = await askOne(url, "eth_getBlockByNumber", `0x${number.toString(16)}`, false);
  return ["--verify-proof", `${number}:${hash}`, "--difficulty-min", "1"];
};

// Lies after which the device is told a later block.
const liesPerDevice = 250;

export async function lyingNode({ warehouse, url, registry, sold, unsold, impostor }, each, told) {
  const state = { sold, told: 0 };
  const server = await liar(url, state);
  const { port } = await warehouse.proxy(server.port, "liar");
  for (let done = 0; done < each; ) {
    const device = warehouse.device(registry, "2", port, { name: "deceived" }, ...(await proofFlags(url)));
    for (const end = Math.min(each, done + liesPerDevice); done < end; done += 1) {
      const { text } = await scan(device, await makeCode(warehouse, done % 2 === 0 ? unsold : impostor, { device: "deceived" }));
      assert.match(text, /^refused /, `lie ${done}`);
      told();
    }
    await device.stop();
  }
  assert.ok(state.told >= each, "each lie was a proof");
  assert.deepEqual(warehouse.opened("deceived"), [], "no lie opens");
  server.close();
  return new Map([["a lying node behind the proxy", each]]);
}

// With proofs demanded and an honest node the lock opens.
export async function provenOpen({ warehouse, url, registry, https }) {
  const flags = await proofFlags(url);
  const [contract] = await settledSales(url, registry, 1, 2);
  const device = warehouse.device(registry, "2", https, { name: "proving" }, ...flags);
  const { text } = await scan(device, await makeCode(warehouse, contract, { device: "proving" }));
  assert.match(text, /^opened /, "a proven sale opens");
  assert.deepEqual(warehouse.opened("proving"), [jobOf(text)]);
  await device.stop();
}
