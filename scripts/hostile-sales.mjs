// Sales by the hundred: transactions of the node's unlocked accounts, sent and looked at in batches.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pause, until } from "./orders-parts.mjs";
import { account, buyer, operator, registryArtifact, saleAbi, seller } from "./orders-sales.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { Interface, getAddress, hexlify, randomBytes, toBeHex } = require("ethers");

const registryInterface = new Interface(registryArtifact.abi);
const saleInterface = new Interface(saleAbi);
const created = registryInterface.getEvent("OrderCreated").topicHash;
const priceWei = 1000n;
// So few that blocks are not full, or the base fee would rise with each of them.
const together = 12;
const gas = { create: "0x1e8480", call: "0x30d40", pay: "0x5208" };

// Calls many methods in one request, and returns their results in order.
export async function ask(url, calls) {
  const body = calls.map(([method, ...params], id) => ({ jsonrpc: "2.0", id, method, params }));
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const answers = await response.json();
  assert.ok(Array.isArray(answers), `no batch: ${JSON.stringify(answers)}`);
  const results = new Map(answers.map(({ id, result, error }) => [id, { result, error }]));
  return calls.map(([method], id) => {
    const { result, error } = results.get(id);
    assert.equal(error, undefined, `${method}: ${error?.message}`);
    return result;
  });
}

export const askOne = async (url, ...call) => (await ask(url, [call]))[0];
export const headOf = async (url) => Number(await askOne(url, "eth_blockNumber"));
export const deep = (url, block, depth) => until(`block ${block} is ${depth} deep`, async () => (await headOf(url)) >= block + depth);

// Sends transactions, and returns their receipts once all are mined; each must succeed.
export async function sendAll(url, transactions) {
  const receipts = [];
  for (let from = 0; from < transactions.length; from += 100) {
    const hashes = await ask(url, transactions.slice(from, from + 100).map((transaction) => ["eth_sendTransaction", transaction]));
    receipts.push(...(await receiptsOf(url, hashes)));
  }
  return receipts;
}

async function receiptsOf(url, hashes) {
  for (;;) {
    const receipts = await ask(url, hashes.map((hash) => ["eth_getTransactionReceipt", hash]));
    if (receipts.every((receipt) => receipt !== null)) {
      for (const receipt of receipts) assert.equal(receipt.status, "0x1", "the transaction succeeds");
      return receipts;
    }
    await pause(20);
  }
}

// What buys an item.
export const purchase = (contract, from = buyer.address) => ({
  from,
  to: contract,
  data: saleInterface.encodeFunctionData("buy"),
  value: toBeHex(priceWei),
  gas: gas.call,
});

// A transfer of nothing to oneself.
export const nothing = (from, more) => ({ from, to: from, value: "0x0", gas: gas.pay, ...more });

// Orders of the registry; the operator may release them.
export async function placeOrders(url, registry, count) {
  const orders = [];
  for (let from = 0; from < count; from += together) {
    const some = Math.min(together, count - from);
    const create = () => registryInterface.encodeFunctionData("createOrder", ["drone", "beta", 2020n, hexlify(randomBytes(4)), priceWei]);
    const made = await sendAll(url, Array.from({ length: some }, () => ({ from: seller.address, to: registry, data: create(), gas: gas.create })));
    const logs = made.map(({ logs }) => logs.find(({ topics }) => topics[0] === created));
    const contracts = logs.map(({ topics }) => getAddress(`0x${topics[1].slice(26)}`));
    const data = saleInterface.encodeFunctionData("setOperator", [operator.address]);
    await sendAll(url, contracts.map((to) => ({ from: seller.address, to, data, gas: gas.call })));
    orders.push(...contracts);
  }
  return orders;
}

// Orders that a buyer paid for, and that are so many blocks deep.
export async function settledSales(url, registry, count, depth) {
  const orders = await placeOrders(url, registry, count);
  const receipts = await sendAll(url, orders.map((order) => purchase(order)));
  const block = Math.max(...receipts.map(({ blockNumber }) => Number(blockNumber)));
  await deep(url, block, depth);
  return orders;
}

// Makes sales ahead of those who take them, a bounded number.
export class Stock {
  constructor(url, registry, total, depth) {
    Object.assign(this, { url, registry, depth, left: total, ready: [], waiting: [], problem: null });
    for (let worker = 0; worker < 2; worker += 1) void this.work();
  }

  async work() {
    try {
      while (this.left > 0) {
        const some = Math.min(together, this.left);
        this.left -= some;
        for (const sale of await settledSales(this.url, this.registry, some, this.depth)) this.put(sale);
        while (this.ready.length > 8 * together) await pause(20);
      }
    } catch (problem) {
      this.problem = problem;
      for (const { reject } of this.waiting) reject(problem);
    }
  }

  put(sale) {
    const first = this.waiting.shift();
    if (first) first.resolve(sale);
    else this.ready.push(sale);
  }

  take() {
    if (this.ready.length > 0) return Promise.resolve(this.ready.shift());
    if (this.problem) return Promise.reject(this.problem);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }
}

// The account that pays, and then pays somewhere else.
export const cheater = account(6);
