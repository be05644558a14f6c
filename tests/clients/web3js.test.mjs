// web3.js 4 against a running dev node, through the node's unlocked accounts, as scripts of the geth era do.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Web3, WebSocketProvider } from "web3";
import { accounts, artifact, httpUrl, otherNode, post, result, soon, wsUrl } from "./node.mjs";

const web3 = new Web3(httpUrl);
const [seller, buyer, stranger] = [1, 2, 3].map((index) => accounts[index].address);
const price = web3.utils.toWei("1", "ether");
const item = ["drone", "alpha", 2019, "4AA6", price];

async function deploy(name, parameters = [], from = seller) {
  const { abi, bytecode } = artifact(name);
  return new web3.eth.Contract(abi).deploy({ data: bytecode, arguments: parameters }).send({ from });
}

async function failureOf(promise) {
  return Promise.resolve(promise).then(() => assert.fail("no failure"), (reason) => reason);
}

// The error that carries the revert data, wherever web3.js has wrapped it.
function innermost(error) {
  let inner = error;
  while (inner.innerError ?? inner.cause) inner = inner.innerError ?? inner.cause;
  return inner;
}

describe("blocks, transactions and receipts", () => {
  test("ether moves by exactly the value and the gas", async () => {
    const recipient = web3.eth.accounts.create().address;
    const before = await web3.eth.getBalance(buyer);
    const receipt = await web3.eth.sendTransaction({ from: buyer, to: recipient, value: price });
    assert.equal(receipt.status, 1n);
    assert.equal(receipt.gasUsed, 21_000n);
    assert.equal(await web3.eth.getBalance(recipient), BigInt(price));
    assert.equal(await web3.eth.getBalance(buyer), before - BigInt(price) - receipt.gasUsed * receipt.effectiveGasPrice);

    const block = await web3.eth.getBlock(receipt.blockNumber, true);
    assert.equal(block.hash, receipt.blockHash);
    assert.equal(block.transactions[Number(receipt.transactionIndex)].hash, receipt.transactionHash);
    assert.equal((await web3.eth.getBlock(block.hash)).number, block.number);
    assert.equal(await web3.eth.getBlockTransactionCount(block.hash), BigInt(block.transactions.length));
    assert.equal(await web3.eth.getBlockUncleCount(block.hash), 0n);
    const found = await web3.eth.getTransaction(receipt.transactionHash);
    assert.equal(found.blockHash, receipt.blockHash);
    assert.equal(found.value, BigInt(price));
    assert.equal((await web3.eth.getTransactionFromBlock(block.hash, 0)).hash, block.transactions[0].hash);
  });

  test("each account-signed transaction type is mined", async () => {
    const { address } = web3.eth.accounts.wallet.add(accounts[4].privateKey)[0];
    const gasPrice = await web3.eth.getGasPrice();
    const accessList = [{ address: buyer, storageKeys: [`0x${"00".repeat(32)}`] }];
    const fees = { maxFeePerGas: gasPrice * 2n + 1n, maxPriorityFeePerGas: 1n };
    for (const fields of [{ type: "0x0", gasPrice }, { type: "0x1", gasPrice, accessList }, { type: "0x2", accessList, ...fees }]) {
      const receipt = await web3.eth.sendTransaction({ from: address, to: buyer, value: 1, gas: 40_000, ...fields });
      assert.equal(receipt.status, 1n);
      assert.equal((await web3.eth.getTransaction(receipt.transactionHash)).type, BigInt(fields.type));
    }
    web3.eth.accounts.wallet.clear();
  });

  test("the node says who and what it is", async () => {
    assert.equal(await web3.eth.getChainId(), BigInt(await result("eth_chainId")));
    assert.equal(await web3.eth.net.getId(), BigInt(await result("net_version")));
    assert.equal(await web3.eth.net.isListening(), true);
    assert.equal(await web3.eth.isSyncing(), false);
    assert.match(await web3.eth.getNodeInfo(), otherNode ? /./ : /^(anvil-compatible\/)?drawbridge\/v?\d/i);
    const known = (await web3.eth.getAccounts()).map((address) => address.toLowerCase());
    assert.ok(accounts.every(({ address }) => known.includes(address.toLowerCase())));
    assert.equal(await result("web3_sha3", ["0x"]), web3.utils.keccak256("0x"));
  });

  test("a batch answers in the order of its requests", async () => {
    const batch = new web3.BatchRequest();
    const balances = accounts.map(({ address }, id) => batch.add({ jsonrpc: "2.0", id: id + 1, method: "eth_getBalance", params: [address, "0x0"] }));
    await batch.execute();
    assert.deepEqual(await Promise.all(balances), accounts.map(() => web3.utils.toHex(100n * 10n ** 18n)));
  });

  test("a batch holds failures beside results", async () => {
    const requests = [["eth_chainId", []], ["eth_noSuchMethod", []], ["eth_getBalance", ["0x12", "latest"]], ["eth_blockNumber", []]];
    const answers = await post(requests.map(([method, params], id) => ({ jsonrpc: "2.0", id, method, params })));
    const byId = new Map(answers.map((answer) => [answer.id, answer]));
    assert.deepEqual([0, 1, 2, 3].map((id) => byId.get(id).error?.code), [undefined, -32601, -32602, undefined]);
  });

  test("the fee history and the fee data parse", async () => {
    await web3.eth.sendTransaction({ from: buyer, to: seller, value: 1 });
    const history = await web3.eth.getFeeHistory(2, "latest", [25, 75]);
    assert.equal(history.baseFeePerGas.length, 3);
    assert.equal(history.gasUsedRatio.length, 2);
    assert.deepEqual(history.reward.map((row) => row.length), [2, 2]);
    const { baseFeePerGas } = await web3.eth.getBlock("latest");
    assert.ok((await web3.eth.calculateFeeData()).maxFeePerGas >= baseFeePerGas);
  });

  test("transactions sent at once by one account get nonces in a row", { skip: otherNode }, async () => {
    const before = await web3.eth.getTransactionCount(stranger, "pending");
    const hashes = [1, 2, 3].map((value) => result("eth_sendTransaction", [{ from: stranger, to: buyer, value: web3.utils.toHex(value) }]));
    const sent = await Promise.all(hashes);
    assert.equal(new Set(sent).size, 3);
    assert.equal(await web3.eth.getTransactionCount(stranger, "pending"), before + 3n);
  });
});

describe("contracts", () => {
  test("an order is deployed, estimated, bought, verified and found in the past events", async () => {
    const order = await deploy("SaleOrder", item);
    const buy = order.methods.buy();
    const gas = await buy.estimateGas({ from: buyer, value: price });
    const receipt = await buy.send({ from: buyer, value: price, gas });
    assert.ok(receipt.gasUsed <= gas);
    assert.deepEqual(
      ["seller", "buyer", "priceWei"].map((name) => receipt.events.OrderSold.returnValues[name]),
      [seller, buyer, BigInt(price)],
    );
    assert.equal(await order.methods.verifyOwnership(buyer).call(), true);
    assert.equal(await order.methods.verifyOwnership(stranger).call(), false);
    const { make, model, year, serialNumber, priceWei, sold, owner } = await order.methods.getItem().call();
    assert.deepEqual([make, model, year, serialNumber, priceWei, sold, owner], ["drone", "alpha", 2019n, "4AA6", BigInt(price), true, buyer]);

    const past = await order.getPastEvents("OrderSold", { filter: { buyer }, fromBlock: receipt.blockNumber, toBlock: "latest" });
    assert.deepEqual(past.map(({ transactionHash }) => transactionHash), [receipt.transactionHash]);
    assert.equal((await web3.eth.getPastLogs({ address: order.options.address, fromBlock: "earliest" })).length, 2);
    assert.equal(await web3.eth.getCode(order.options.address, receipt.blockNumber).then((code) => code.length > 100), true);
  });

  test("filters of logs, blocks and pending transactions give each entry once", async () => {
    const events = await deploy("Events");
    const address = events.options.address;
    const logs = await web3.eth.createNewFilter({ address, fromBlock: "latest" });
    const blocks = await web3.eth.createNewBlockFilter();
    const pending = await web3.eth.createNewPendingTransactionFilter();
    const receipt = await events.methods.plain(77).send({ from: seller });

    const [log, ...others] = await web3.eth.getFilterChanges(logs);
    assert.deepEqual([log.transactionHash, others.length], [receipt.transactionHash, 0]);
    assert.ok((await result("eth_getFilterChanges", [web3.utils.toHex(blocks)])).includes(receipt.blockHash));
    assert.ok((await result("eth_getFilterChanges", [web3.utils.toHex(pending)])).includes(receipt.transactionHash));
    assert.deepEqual(await web3.eth.getFilterChanges(logs), []);
    for (const filter of [logs, blocks, pending]) assert.equal(await web3.eth.uninstallFilter(filter), true);
    assert.equal(await web3.eth.uninstallFilter(logs), false);
    assert.match((await failureOf(web3.eth.getFilterChanges(logs))).message, /filter not found/);
  });
});

describe("signing and accounts", () => {
  test("eth_sign and personal_sign give the account's signature", async () => {
    const message = web3.utils.utf8ToHex("open the gate");
    for (const signature of [await web3.eth.sign(message, seller), await result("personal_sign", [message, seller])]) {
      const text = typeof signature === "string" ? signature : signature.signature;
      assert.equal(web3.eth.accounts.recover("open the gate", text), seller);
    }
  });

  test("personal accounts are made, imported, unlocked, used and locked", { skip: otherNode }, async () => {
    const password = "seventeen planks";
    const fresh = await web3.eth.personal.newAccount(password);
    const raw = web3.eth.accounts.create();
    assert.equal((await web3.eth.personal.importRawKey(raw.privateKey, password)).toLowerCase(), raw.address.toLowerCase());
    const listed = (await web3.eth.personal.getAccounts()).map((address) => address.toLowerCase());
    assert.ok([fresh, raw.address].every((address) => listed.includes(address.toLowerCase())));

    await web3.eth.sendTransaction({ from: seller, to: fresh, value: price });
    const locked = innermost(await failureOf(web3.eth.sendTransaction({ from: fresh, to: seller, value: 1, gas: 21_000 })));
    assert.match(locked.message, /authentication needed: password or unlock/);
    const wrong = innermost(await failureOf(web3.eth.personal.unlockAccount(fresh, "sixteen planks", 30)));
    assert.match(wrong.message, /could not decrypt key with given password/);

    assert.equal(await web3.eth.personal.unlockAccount(fresh, password, 30), true);
    assert.equal((await web3.eth.sendTransaction({ from: fresh, to: seller, value: 1 })).status, 1n);
    assert.equal(await web3.eth.personal.lockAccount(fresh), true);
    const hash = await web3.eth.personal.sendTransaction({ from: fresh, to: seller, value: "0x1", gas: "0x5208" }, password);
    assert.match(hash, /^0x[0-9a-f]{64}$/);

    const message = web3.utils.utf8ToHex("open the gate");
    const signature = await web3.eth.personal.sign(message, fresh, password);
    assert.equal((await web3.eth.personal.ecRecover(message, signature)).toLowerCase(), fresh.toLowerCase());
  });
});

describe("failures", () => {
  let reverts;
  let panics;

  before(async () => {
    reverts = await deploy("Reverts");
    panics = await deploy("Panics");
  });

  test("a call decodes a reason and a custom error", async () => {
    const reason = innermost(await failureOf(reverts.methods.withReason().call({ from: buyer })));
    assert.match(`${reason.message} ${reason.reason ?? ""}`, /the bridge is up/);
    const custom = innermost(await failureOf(reverts.methods.withDetailedError(5).call({ from: buyer })));
    assert.equal(custom.errorName, "Detailed");
    assert.deepEqual([custom.errorArgs.caller, custom.errorArgs.amount, custom.errorArgs.text], [buyer, 5n, "seventeen planks"]);
  });

  test("a call hands out the panic's data", async () => {
    for (const [method, parameters, code] of [["assertion", [false], 0x01], ["subtract", [1, 2], 0x11], ["divide", [1, 0], 0x12], ["plankAt", [0], 0x32]]) {
      const error = innermost(await failureOf(panics.methods[method](...parameters).call({ from: buyer })));
      assert.equal(error.data, `0x4e487b71${code.toString(16).padStart(64, "0")}`, method);
    }
  });

  test("an estimate fails with the reason", async () => {
    const error = await failureOf(reverts.methods.withReason().estimateGas({ from: buyer }));
    assert.match(`${error.message} ${innermost(error).message}`, /the bridge is up/);
  });

  test("a mined failure is an error with a receipt of status 0", async () => {
    const error = await failureOf(reverts.methods.withReason().send({ from: buyer, gas: 100_000, checkRevertBeforeSending: false }));
    assert.equal(error.receipt.status, 0n);
  });
});

describe("subscriptions over WebSocket", () => {
  // A provider that reconnects would come back after a server that ends connections without a closing frame.
  const socket = new Web3(new WebSocketProvider(wsUrl, {}, { autoReconnect: false, delay: 0, maxAttempts: 1 }));
  after(() => socket.currentProvider.disconnect());

  test("new heads, logs and pending transactions arrive", async () => {
    const events = await deploy("Events");
    const heads = await socket.eth.subscribe("newHeads");
    const logs = await socket.eth.subscribe("logs", { address: events.options.address });
    const pending = await socket.eth.subscribe("pendingTransactions");
    const first = (subscription) => new Promise((resolve, reject) => {
      subscription.once("data", resolve);
      subscription.once("error", reject);
    });
    const all = Promise.all([heads, logs, pending].map(first));
    const receipt = await events.methods.withIndexes(3, true, 4).send({ from: seller });
    const [head, log, hash] = await soon(all, "a head, a log and a pending transaction");
    assert.equal(web3.utils.toHex(head.number), web3.utils.toHex(receipt.blockNumber));
    assert.equal(head.hash ?? receipt.blockHash, receipt.blockHash);
    assert.equal(log.transactionHash, receipt.transactionHash);
    assert.equal(hash, receipt.transactionHash);
    for (const subscription of [heads, logs, pending]) await subscription.unsubscribe();
  });
});
