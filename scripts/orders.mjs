// The order experiment with real parts, over JSON-RPC, MQTT and HTTPS only.
//
// A seller (web3.js) puts an item on the chain through an OrderRegistry, a buyer (ethers) pays for it and signs a code, a device at the gate
// reads the code's picture and asks the chain through nginx, the bridge records the release, and the lock opens. Every value is
// checked; the first that is off ends the run with exit code 1.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { perform, printTable } from "./experiment.mjs";
import { memory, pause } from "./orders-parts.mjs";
import { buyer, deepEnough, deployRegistry, freshSale, impostorSale, jobOf, makeCode, operator, providerOf } from "./orders-sales.mjs";
import { makeWalletCode, refusalOf, registryArtifact, saleAbi, scan, seller, stranger, walletSale } from "./orders-sales.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { Web3 } = require("web3");
const { Contract, formatEther, getAddress, parseEther } = require("ethers");

const runs = Number(process.env.ORDERS_RUNS ?? 20);
const settled = process.env.ORDERS_SETTLED ?? "2";
const period = process.env.ORDERS_PERIOD ?? "100ms";
// What the highest hundredth may take beyond the settling of the block; a busy machine is no failure, so it is one only where it is asked for.
const workMsTarget = 250;
const workMsMax = process.env.ORDERS_P99_MS ? Number(process.env.ORDERS_P99_MS) : Infinity;
const deviceKibMax = 20 * 1024;

const item = { make: "drone", model: "alpha", year: 2019n, serialNumber: "4AA6", priceWei: parseEther("50") };
const ether = (wei) => `${formatEther(wei)} ETH`;
const gasCostOf = ({ gasUsed, gasPrice }) => gasUsed * gasPrice;

// The seller's part, by web3.js and the node's unlocked account.
async function sell(url, registry) {
  const web3 = new Web3(url);
  const before = await web3.eth.getBalance(seller.address);
  const made = await new web3.eth.Contract(registryArtifact.abi, registry).methods.createOrder(...Object.values(item)).send({ from: seller.address });
  const contract = getAddress(made.events.OrderCreated.returnValues.order);
  const order = new web3.eth.Contract(saleAbi, contract);
  const named = await order.methods.setOperator(operator.address).send({ from: seller.address });
  const after = await web3.eth.getBalance(seller.address);
  const block = await web3.eth.getBlock(made.blockHash);
  const cost = [made, named].map((receipt) => receipt.gasUsed * receipt.effectiveGasPrice).reduce((sum, part) => sum + part);
  assert.equal(before - after, cost, "the order cost the seller exactly its gas");
  const { buyer: nobody, owner, sold, ...told } = await order.methods.getItem().call();
  for (const [name, value] of Object.entries(item)) assert.equal(told[name], value, `the contract keeps ${name}`);
  assert.deepEqual([sold, getAddress(owner), BigInt(nobody)], [false, seller.address, 0n], "the item is the seller's");
  return { contract, receipt: made, block, before, after };
}

async function purchase(provider, contract) {
  const order = new Contract(contract, saleAbi, buyer.connect(provider));
  const { priceWei } = await order.getItem();
  const [buyerBefore, sellerBefore] = [await provider.getBalance(buyer.address), await provider.getBalance(seller.address)];
  const receipt = await (await order.buy({ value: priceWei })).wait();
  const [buyerAfter, sellerAfter] = [await provider.getBalance(buyer.address), await provider.getBalance(seller.address)];
  assert.equal(buyerBefore - buyerAfter, priceWei + gasCostOf(receipt), "the purchase cost the buyer exactly price and gas");
  assert.equal(sellerAfter - sellerBefore, priceWei, "the purchase gave the seller exactly the price");
  const { sold, owner, buyer: recorded } = await order.getItem();
  assert.deepEqual([sold, owner, recorded], [true, buyer.address, buyer.address], "the item is the buyer's");
  return { sold, receipt, block: await provider.getBlock(receipt.blockHash), buyerBefore, buyerAfter, sellerAfter };
}

// Notes when each block was first seen.
function watchBlocks(provider) {
  const seen = new Map();
  let going = true;
  const watching = (async () => {
    for (let last = -1; going; await pause(5)) {
      const number = await provider.getBlockNumber();
      if (number > last) seen.set(number, performance.now());
      for (let skipped = last + 1; last >= 0 && skipped < number; skipped += 1) seen.set(skipped, performance.now());
      last = Math.max(last, number);
    }
  })();
  return { seen, stop: () => ((going = false), watching) };
}

// The shadow's life, as the bridge saw it.
function lifeOfShadow(bridge) {
  const entries = bridge.lines.map(({ text }) => (text.startsWith("{") ? JSON.parse(text) : {}));
  const fields = entries.map((entry) => entry.fields ?? entry).filter((entry) => (entry.message ?? "") === "shadow");
  return fields.map(({ version, desired, reported }) => [`version ${version}`, `desired ${desired}, reported ${reported}`]);
}

async function story(warehouse, provider, registry, https) {
  const sale = await sell(warehouse.url, registry);
  printTable("Seller", [
    ["make", item.make],
    ["model", item.model],
    ["year", item.year],
    ["serial number", item.serialNumber],
    ["price", ether(item.priceWei)],
    ["seller", seller.address],
    ["previous block hash", sale.block.parentHash],
    ["block hash", sale.receipt.blockHash],
    ["contract address", sale.contract],
    ["wallet before", ether(sale.before)],
    ["wallet after", ether(sale.after)],
    ["gas", `${sale.receipt.gasUsed} at ${sale.receipt.effectiveGasPrice} wei`],
  ]);

  const bought = await purchase(provider, sale.contract);
  const png = join(warehouse.folder, "code.png");
  const code = await makeCode(warehouse, sale.contract, { png });
  printTable("Buyer", [
    ["buyer", buyer.address],
    ["previous block hash", bought.block.parentHash],
    ["block hash", bought.receipt.blockHash],
    ["sold", bought.sold],
    ["code content", code],
    ["wallet before", ether(bought.buyerBefore)],
    ["wallet after", ether(bought.buyerAfter)],
    ["gas", `${bought.receipt.gasUsed} at ${bought.receipt.gasPrice} wei`],
    ["seller's wallet after", ether(bought.sellerAfter)],
  ]);
  await deepEnough(provider, bought.receipt.blockNumber, settled);

  const bridge = await warehouse.bridge(registry, operator.address, settled);
  const camera = warehouse.device(registry, settled, https, {}, "--picture", png);
  const line = await camera.line((text) => /^(opened|refused) /.test(text), "answer to the picture");
  assert.match(line.text, /^opened /, `the buyer's picture opens the lock: ${line.text}`);
  await camera.ended;
  const job = jobOf(line.text);
  await bridge.line((text) => text.includes("\"recorded\"") && text.includes(job), "opening on the chain");
  return { contract: sale.contract, code, job, bridge };
}

// What the chain keeps of the release.
async function fact(provider, { contract, job }) {
  const release = await new Contract(contract, saleAbi, provider).getRelease();
  assert.deepEqual([release.job, release.collectedBy, release.device, release.signed], [job, buyer.address, "dock-1", true]);
  assert.ok(release.openedAt >= release.releasedAt && release.releasedAt > 0n, "the opening follows the release");
  printTable("On the chain", [
    ["job", release.job],
    ["collected by", release.collectedBy],
    ["at device", release.device],
    ["released", new Date(Number(release.releasedAt) * 1000).toISOString()],
    ["opened", new Date(Number(release.openedAt) * 1000).toISOString()],
    ["recorded by", release.releasedBy],
  ]);
}

// Codes that must open nothing, each with the words of its refusal.
async function hostileScans(warehouse, provider, registry, device, told) {
  const bought = await freshSale(provider, registry);
  const unsold = await freshSale(provider, registry, { buy: false });
  const impostor = await impostorSale(provider);
  const shared = await walletSale(provider, registry, [buyer, stranger]);
  await deepEnough(provider, await provider.getBlockNumber(), settled);
  const past = Math.floor(Date.now() / 1000) - 10;
  const good = await makeCode(warehouse, bought);
  const forged = `${good.slice(0, -4)}${good.at(-4) === "0" ? "1" : "0"}${good.slice(-3)}`;
  const walletCode = (owners) => makeWalletCode(warehouse, shared.contract, shared.wallet, owners);
  const cases = [
    ["valid data set", good, null],
    ["the same code again", good, "used before"],
    ["another code for the same item", await makeCode(warehouse, bought), "released before"],
    ["the story's code", told.code, "used before"],
    ["a stranger's code", await makeCode(warehouse, bought, { signer: stranger }), "owns the item"],
    ["the seller's code", await makeCode(warehouse, unsold, { signer: seller }), "owns the item"],
    ["an item that is not sold", await makeCode(warehouse, unsold), "owns the item"],
    ["an impostor's contract", await makeCode(warehouse, impostor), "no order of a registry"],
    ["no contract", await makeCode(warehouse, stranger.address), "no order of a registry"],
    ["another device's code", await makeCode(warehouse, unsold, { device: "dock-2" }), "for the device dock-2"],
    ["an expired code", await makeCode(warehouse, unsold, { notAfter: past }), "expired"],
    ["a forged code", forged, "signature|damaged"],
    ["a plain code", `${bought},${buyer.address}`, "without the buyer's signature"],
    ["no code", "hello", "neither a safe code"],
    ["a wallet's code, one owner's signature missing", await walletCode([buyer]), "does not take the signature"],
    ["a wallet's code, an owner's signature twice", await walletCode([buyer, buyer]), "does not take the signature"],
    ["valid data set of a contract wallet", await walletCode([buyer, stranger]), null],
    ["another code of that wallet", await walletCode([buyer, stranger]), "released before"],
  ];
  const rows = [];
  for (const [name, code, refusal] of cases) {
    const before = warehouse.opened().length;
    const { text } = await scan(device, code);
    const opens = warehouse.opened().length - before;
    if (refusal === null) assert.match(text, /^opened /, name);
    else assert.match(refusalOf(text) ?? text, new RegExp(refusal), name);
    assert.equal(opens, refusal === null ? 1 : 0, name);
    rows.push([refusal === null ? name : `invalid data set: ${name}`, refusal === null ? "opened" : `refused: ${refusalOf(text)}`]);
  }
  printTable("Device", rows);
}

// Many sales first, then one scan after the other.
async function timedRuns(warehouse, provider, registry, device, bridge) {
  const contracts = [];
  for (let done = 0; done < runs; done += 20) {
    contracts.push(...(await Promise.all(Array.from({ length: Math.min(20, runs - done) }, () => freshSale(provider, registry)))));
  }
  await deepEnough(provider, await provider.getBlockNumber(), settled);
  const blocks = watchBlocks(provider);
  const times = [];
  for (const contract of contracts) {
    const code = await makeCode(warehouse, contract);
    const answer = await scan(device, code);
    assert.match(answer.text, /^opened /, `run ${times.length + 1}`);
    const job = jobOf(answer.text);
    const sent = bridge.lines.find(({ text }) => text.includes("release sent") && text.includes(job));
    const [event] = await new Contract(contract, saleAbi, provider).queryFilter("Released");
    const settledAt = blocks.seen.get(event.blockNumber + Number(settled));
    const total = answer.at - answer.scannedAt;
    times.push({ total, work: sent.at - answer.scannedAt + Math.max(0, answer.at - settledAt) });
  }
  await blocks.stop();
  const of = (pick, share) => times.map(pick).sort((a, b) => a - b)[Math.min(times.length - 1, Math.ceil(times.length * share) - 1)];
  const row = (pick) => `median ${of(pick, 0.5).toFixed(0)} ms, p99 ${of(pick, 0.99).toFixed(0)} ms`;
  printTable(`Scan to open, ${times.length} runs, blocks every ${period}, ${settled} deep`, [
    ["whole", row(({ total }) => total)],
    ["beyond settling", row(({ work }) => work)],
    ["target", `p99 beyond settling under ${workMsTarget} ms: ${of(({ work }) => work, 0.99) < workMsTarget ? "met" : "missed"}`],
  ]);
  assert.ok(of(({ work }) => work, 0.99) < workMsMax, `p99 beyond settling is under ${workMsMax} ms`);
  return times.length;
}

await perform("orders", async (warehouse) => {
  warehouse.certificates();
  await warehouse.node(period);
  const { port: https } = await warehouse.proxy();
  const provider = providerOf(warehouse.url);
  const registry = await deployRegistry(provider);

  const told = await story(warehouse, provider, registry, https);
  await fact(provider, told);
  printTable("Life of the shadow", lifeOfShadow(told.bridge));
  const device = warehouse.device(registry, settled, https);
  await device.connected();
  await hostileScans(warehouse, provider, registry, device, told);
  const timed = await timedRuns(warehouse, provider, registry, device, told.bridge);
  const { now, highest } = memory(device);
  printTable("Device process", [["resident", `${(now / 1024).toFixed(1)} MiB, at most ${(highest / 1024).toFixed(1)} MiB`]]);
  assert.ok(highest < deviceKibMax, "the device is small");
  const opens = warehouse.opened();
  assert.equal(new Set(opens).size, opens.length, "no job opened twice");
  assert.equal(opens.length, timed + 3, "each good code opened once, and nothing else did");
  provider.destroy();
  console.log("\nEvery value is as it must be.");
});
