// ethers 6 against a running dev node.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Contract,
  ContractFactory,
  Interface,
  JsonRpcProvider,
  NonceManager,
  Wallet,
  WebSocketProvider,
  getCreateAddress,
  isError,
  parseEther,
  toUtf8Bytes,
  verifyMessage,
  verifyTypedData,
} from "ethers";
import { accounts, artifact, httpUrl, otherNode, soon, wsUrl } from "./node.mjs";

const provider = new JsonRpcProvider(httpUrl, undefined, { cacheTimeout: -1, pollingInterval: 50 });
const [seller, buyer, stranger] = [0, 1, 2].map((index) => new Wallet(accounts[index].privateKey, provider));

async function deploy(name, parameters = [], signer = seller) {
  const { abi, bytecode } = artifact(name);
  const contract = await new ContractFactory(abi, bytecode, signer).deploy(...parameters);
  await contract.waitForDeployment();
  return contract;
}

const placeOrder = (priceWei = parseEther("1")) => deploy("SaleOrder", ["drone", "alpha", 2019n, "4AA6", priceWei]);

after(() => provider.destroy());

describe("blocks, transactions and receipts", () => {
  test("ether moves by exactly the value and the gas, and every shape parses", async () => {
    const value = parseEther("0.25");
    const recipient = Wallet.createRandom().address;
    const balanceBefore = await provider.getBalance(buyer.address);

    const sent = await buyer.sendTransaction({ to: recipient, value });
    const receipt = await sent.wait();

    assert.equal(receipt.status, 1);
    assert.equal(receipt.type, 2);
    assert.equal(receipt.gasUsed, 21_000n);
    assert.equal(receipt.hash, sent.hash);
    assert.equal(receipt.contractAddress, null);
    assert.equal(await provider.getBalance(recipient), value);
    assert.equal(await provider.getBalance(buyer.address), balanceBefore - value - receipt.fee);
    assert.equal(await provider.getBalance(recipient, receipt.blockNumber - 1), 0n);

    const block = await provider.getBlock(receipt.blockNumber, true);
    assert.equal(block.hash, receipt.blockHash);
    assert.equal(block.prefetchedTransactions[receipt.index].hash, sent.hash);
    assert.equal((await provider.getBlock(block.hash)).number, block.number);
    assert.equal((await provider.getBlock(block.number - 1)).hash, block.parentHash);
    assert.ok(block.gasUsed >= 21_000n && block.gasUsed <= block.gasLimit);
    assert.ok(block.timestamp > 1_600_000_000);

    const found = await provider.getTransaction(sent.hash);
    assert.equal(found.from, buyer.address);
    assert.equal(found.to, recipient);
    assert.equal(found.value, value);
    assert.equal(found.blockHash, receipt.blockHash);
    assert.equal(found.signature.serialized.length, 132);
  });

  test("unknown blocks, transactions and receipts are null", async () => {
    const unknown = `0x${"12".repeat(32)}`;
    assert.equal(await provider.getBlock(1_000_000_000), null);
    assert.equal(await provider.getBlock(unknown), null);
    assert.equal(await provider.getTransaction(unknown), null);
    assert.equal(await provider.getTransactionReceipt(unknown), null);
  });

  test("each block tag names a block", async () => {
    for (const tag of ["earliest", "latest", "pending", "safe", "finalized"]) {
      const block = await provider.getBlock(tag);
      assert.ok(block !== null && block.number >= 0, tag);
    }
  });

  test("legacy, access-list, fee-market and set-code transactions are mined with their types", async () => {
    const { gasPrice, maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData();
    const accessList = [{ address: buyer.address, storageKeys: [`0x${"00".repeat(32)}`] }];
    const target = await deploy("DelegateTarget");
    const authority = new Wallet(Wallet.createRandom().privateKey, provider);
    const authorization = await authority.authorize({ address: await target.getAddress(), nonce: 0 });
    const requests = [
      { type: 0, gasPrice },
      { type: 1, gasPrice, accessList },
      { type: 2, maxFeePerGas, maxPriorityFeePerGas, accessList },
      { type: 4, maxFeePerGas, maxPriorityFeePerGas, authorizationList: [authorization] },
    ];
    for (const fields of requests) {
      const receipt = await (await seller.sendTransaction({ to: authority.address, value: 1n, ...fields })).wait();
      const found = await provider.getTransaction(receipt.hash);
      assert.equal(receipt.status, 1);
      assert.equal(receipt.type, fields.type);
      assert.equal(found.type, fields.type);
      assert.equal(receipt.gasPrice, found.gasPrice);
      assert.deepEqual(found.accessList, fields.type === 0 ? null : (fields.accessList ?? []), `type ${fields.type}`);
    }

    const code = await provider.getCode(authority.address);
    assert.equal(code.toLowerCase(), `0xef0100${(await target.getAddress()).slice(2).toLowerCase()}`);
    const delegated = target.attach(authority.address).connect(seller);
    await (await delegated.increase(5n)).wait();
    assert.equal(await delegated.count(), 5n);
    assert.equal(await target.count(), 0n);
  });

  test("many requests in one batch are answered each in its place", async () => {
    const batching = new JsonRpcProvider(httpUrl, undefined, { batchStallTime: 20, batchMaxCount: 100 });
    const balances = await Promise.all(accounts.flatMap(({ address }) => [
      batching.getBalance(address, 0),
      batching.getTransactionCount(address, 0),
    ]));
    assert.deepEqual(balances, accounts.flatMap(() => [parseEther("100"), 0]));
    batching.destroy();
  });

  test("the fee data follow the head's base fee", async () => {
    const { gasPrice, maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData();
    const { baseFeePerGas } = await provider.getBlock("latest");
    assert.equal(maxFeePerGas, baseFeePerGas * 2n + maxPriorityFeePerGas);
    assert.ok(gasPrice >= maxPriorityFeePerGas);
  });
});

describe("nonces", () => {
  test("the pending nonce counts what is queued in order, and all of it is mined", async () => {
    const first = await provider.getTransactionCount(stranger.address, "pending");
    const manager = new NonceManager(stranger);
    const sent = await Promise.all([1n, 2n, 3n].map((value) => manager.sendTransaction({ to: buyer.address, value })));
    const receipts = await Promise.all(sent.map((transaction) => transaction.wait()));
    assert.deepEqual(receipts.map(({ status }) => status), [1, 1, 1]);
    assert.deepEqual(sent.map(({ nonce }) => nonce).sort(), [first, first + 1, first + 2]);
    assert.equal(await provider.getTransactionCount(stranger.address, "pending"), first + 3);
    assert.equal(await provider.getTransactionCount(stranger.address, "latest"), first + 3);
  });

  test("a transaction behind a gap waits, can only be replaced for a higher fee, and follows when the gap closes", async () => {
    const nonce = await provider.getTransactionCount(stranger.address);
    const { maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData();
    const fees = { maxFeePerGas: maxFeePerGas * 2n + 100n, maxPriorityFeePerGas: maxPriorityFeePerGas + 100n };
    const waiting = await stranger.sendTransaction({ to: buyer.address, value: 1n, nonce: nonce + 1, ...fees });
    assert.equal(await provider.getTransactionReceipt(waiting.hash), null);
    assert.equal((await provider.getTransaction(waiting.hash)).blockHash, null);
    assert.equal(await provider.getTransactionCount(stranger.address, "pending"), nonce);

    await assert.rejects(
      stranger.sendTransaction({ to: buyer.address, value: 2n, nonce: nonce + 1, ...fees }),
      (error) => isError(error, "REPLACEMENT_UNDERPRICED"),
    );
    const dearer = { maxFeePerGas: fees.maxFeePerGas * 2n, maxPriorityFeePerGas: fees.maxPriorityFeePerGas * 2n };
    const replacing = await stranger.sendTransaction({ to: buyer.address, value: 3n, nonce: nonce + 1, ...dearer });
    await (await stranger.sendTransaction({ to: buyer.address, value: 4n, nonce })).wait();
    const receipt = await provider.waitForTransaction(replacing.hash, 1, 15_000);
    assert.equal(receipt.status, 1);
    assert.equal(await provider.getTransaction(waiting.hash), null);
  });

  test("a used nonce and missing funds have ethers' own error codes", async () => {
    await assert.rejects(stranger.sendTransaction({ to: buyer.address, nonce: 0 }), (error) => isError(error, "NONCE_EXPIRED"));
    const poor = new Wallet(Wallet.createRandom().privateKey, provider);
    await assert.rejects(
      poor.sendTransaction({ to: buyer.address, value: parseEther("1"), gasLimit: 21_000n }),
      (error) => isError(error, "INSUFFICIENT_FUNDS"),
    );
  });

  test("an unknown method has the code of an unsupported operation", { skip: otherNode }, async () => {
    await assert.rejects(provider.send("eth_noSuchMethod", []), (error) => isError(error, "UNSUPPORTED_OPERATION"));
  });
});

describe("contracts", () => {
  test("a deployed order tells its item and is bought with its events", async () => {
    const price = parseEther("1.5");
    const order = await placeOrder(price);
    const receipt = await order.deploymentTransaction().wait();
    assert.equal(receipt.contractAddress, getCreateAddress({ from: seller.address, nonce: order.deploymentTransaction().nonce }));
    assert.equal(await provider.getCode(receipt.contractAddress, receipt.blockNumber - 1), "0x");
    assert.deepEqual((await order.getItem()).toObject(), {
      make: "drone", model: "alpha", year: 2019n, serialNumber: "4AA6", priceWei: price,
      sold: false, owner: seller.address, buyer: `0x${"00".repeat(20)}`,
    });

    const purchase = await (await order.connect(buyer).buy({ value: price })).wait();
    assert.equal(purchase.logs.length, 1);
    assert.equal(purchase.logs[0].eventName, "OrderSold");
    assert.deepEqual([...purchase.logs[0].args], [seller.address, buyer.address, price]);
    assert.equal(await order.isSold(), true);
    assert.equal(await order.isSold({ blockTag: purchase.blockNumber - 1 }), false);
    assert.equal(await order.verifyOwnership(buyer.address), true);
    assert.equal(await order.verifyOwnership(seller.address), false);

    const [sold] = await order.queryFilter(order.filters.OrderSold(null, buyer.address), receipt.blockNumber, "latest");
    assert.equal(sold.transactionHash, purchase.hash);
    assert.deepEqual(await order.queryFilter(order.filters.OrderSold(null, stranger.address), receipt.blockNumber), []);
    assert.equal((await order.queryFilter("*", receipt.blockNumber)).length, 2);
  });

  test("an unlocked account of the node deploys, calls and signs", async () => {
    const signer = await provider.getSigner(accounts[3].address);
    const token = await deploy("Token", [1000n], signer);
    const receipt = await (await token.transfer(buyer.address, 10n)).wait();
    assert.equal(receipt.from, accounts[3].address);
    assert.equal(await token.balanceOf(buyer.address), 10n);

    const message = "Brücke 17";
    assert.equal(verifyMessage(message, await signer.signMessage(message)), accounts[3].address);
    const legacy = await provider.send("eth_sign", [accounts[3].address, `0x${Buffer.from(toUtf8Bytes(message)).toString("hex")}`]);
    assert.equal(verifyMessage(message, legacy), accounts[3].address);

    const domain = { name: "Drawbridge", chainId: (await provider.getNetwork()).chainId, verifyingContract: await token.getAddress() };
    const types = { Order: [{ name: "buyer", type: "Person" }, { name: "doors", type: "uint16[]" }], Person: [{ name: "wallet", type: "address" }] };
    const value = { buyer: { wallet: buyer.address }, doors: [7n, 17n] };
    const typed = await signer.signTypedData(domain, types, value);
    assert.equal(verifyTypedData(domain, types, value, typed), accounts[3].address);
  });

  test("getLogs selects by address, topic alternatives and block hash", async () => {
    const events = await deploy("Events");
    const address = await events.getAddress();
    const plain = await (await events.plain(1n)).wait();
    const indexed = await (await events.withIndexes(7n, true, 9n)).wait();
    const secret = await (await events.secret(1n, 2n, 3n, 4n)).wait();
    const bare = await (await events.bare(5n)).wait();
    const fromBlock = plain.blockNumber;
    const hashes = async (filter) => (await provider.getLogs(filter)).map(({ transactionHash }) => transactionHash);
    const topic = (name) => events.interface.getEvent(name).topicHash;
    const word = (value) => `0x${value.toString(16).padStart(64, "0")}`;

    assert.deepEqual(await hashes({ address, fromBlock }), [plain, indexed, secret, bare].map(({ hash }) => hash));
    assert.deepEqual(await hashes({ address, fromBlock, topics: [[topic("Plain"), topic("Indexed")]] }), [plain.hash, indexed.hash]);
    assert.deepEqual(await hashes({ address, fromBlock, topics: [null, null, word(7)] }), [indexed.hash]);
    assert.deepEqual(await hashes({ address, fromBlock, topics: [word(1), word(2), word(3), word(4)] }), [secret.hash]);
    assert.deepEqual(await hashes({ address, blockHash: bare.blockHash }), [bare.hash]);
    assert.deepEqual(await hashes({ address, fromBlock, toBlock: fromBlock }), [plain.hash]);
    const [log] = await provider.getLogs({ address, blockHash: bare.blockHash });
    assert.deepEqual([...log.topics], []);
    assert.equal(log.removed, false);
  });
});

describe("failures", () => {
  const cases = [
    { name: "a reason", call: ["withReason"], check: { reason: "the bridge is up" } },
    { name: "a long reason", call: ["withLongReason"], check: { reason: /^a reason that is longer .* three words of memory$/ } },
    { name: "a reason in Unicode", call: ["withUnicodeReason"], check: { reason: "die Brücke ist offen ⛔" } },
    { name: "an empty reason", call: ["withEmptyReason"], check: { reason: "" } },
    { name: "no data", call: ["withoutReason"], check: { data: "0x" } },
    { name: "a plain custom error", call: ["withPlainError"], check: { revert: ["Plain"] } },
    { name: "a detailed custom error", call: ["withDetailedError", 17n], check: { revert: ["Detailed", buyer.address, 17n, "seventeen planks"] } },
    { name: "a custom error in require", call: ["requireError", false], check: { revert: ["Plain"] } },
  ];
  const panics = [
    ["assertion", [false], 0x01n], ["subtract", [1n, 2n], 0x11n], ["divide", [1n, 0n], 0x12n], ["toSide", [2n], 0x21n],
    ["readBroken", [], 0x22n], ["pop", [], 0x31n], ["plankAt", [0n], 0x32n], ["allocate", [2n ** 64n], 0x41n], ["callNothing", [], 0x51n],
  ];
  let reverts;
  let panicking;

  before(async () => {
    reverts = (await deploy("Reverts")).connect(buyer);
    panicking = (await deploy("Panics")).connect(buyer);
  });

  function checkRevert(error, { reason, data, revert }) {
    assert.ok(isError(error, "CALL_EXCEPTION"), String(error));
    if (reason instanceof RegExp) assert.match(error.reason, reason);
    else if (reason !== undefined) assert.equal(error.reason, reason);
    if (data !== undefined) assert.equal(error.data, data);
    if (revert !== undefined) assert.deepEqual([error.revert.name, ...error.revert.args], revert);
    return true;
  }

  for (const { name, call: [method, ...parameters], check } of cases) {
    test(`a call and a gas estimate decode ${name}`, async () => {
      await assert.rejects(reverts[method].staticCall(...parameters), (error) => checkRevert(error, check));
      // At an estimate ethers decodes reasons and panics itself, and leaves custom errors to the contract's interface.
      await assert.rejects(reverts[method].estimateGas(...parameters), (error) => {
        if (!check.revert) return checkRevert(error, check);
        const { name: errorName, args } = reverts.interface.parseError(error.data);
        assert.deepEqual([errorName, ...args], check.revert);
        return true;
      });
    });
  }

  for (const [method, parameters, code] of panics) {
    test(`panic 0x${code.toString(16).padStart(2, "0")} is decoded`, async () => {
      const check = (error) => checkRevert(error, { revert: ["Panic", Number(code)] });
      await assert.rejects(panicking[method].staticCall(...parameters), check);
      await assert.rejects(panicking[method].estimateGas(...parameters), check);
    });
  }

  test("a mined failure has status 0, keeps the fee, and undoes its writes", async () => {
    const balanceBefore = await provider.getBalance(buyer.address);
    const sent = await reverts.withReason({ gasLimit: 100_000n });
    const error = await sent.wait().then(() => assert.fail("the transaction succeeded"), (reason) => reason);
    assert.ok(isError(error, "CALL_EXCEPTION"));
    assert.equal(error.receipt.status, 0);
    assert.deepEqual(error.receipt.logs, []);
    assert.equal(await provider.getBalance(buyer.address), balanceBefore - error.receipt.fee);
    assert.equal(await reverts.writes(), 0n);
  });

  test("a failing deployment is refused by the estimate with its reason", async () => {
    await assert.rejects(deploy("RevertsOnCreation", [0n]), (error) => checkRevert(error, { reason: "day zero" }));
    const { abi } = artifact("RevertsOnCreation");
    await assert.rejects(deploy("RevertsOnCreation", [3n]), (error) => {
      const { name, args } = new Interface(abi).parseError(error.data);
      assert.deepEqual([name, ...args], ["NotToday", 3n]);
      return true;
    });
    assert.notEqual(await provider.getCode(await (await deploy("RevertsOnCreation", [7n])).getAddress()), "0x");
  });

  test("the sale's own errors reach the buyer", async () => {
    const order = (await placeOrder(100n)).connect(buyer);
    await assert.rejects(order.buy.staticCall({ value: 99n }), (error) => checkRevert(error, { revert: ["WrongPrice", 99n, 100n] }));
    await assert.rejects(order.buy({ value: 101n }), (error) => {
      const { name, args } = order.interface.parseError(error.data);
      assert.deepEqual([name, ...args], ["WrongPrice", 101n, 100n]);
      return true;
    });
    const ofSeller = order.connect(seller).buy.staticCall({ value: 100n });
    await assert.rejects(ofSeller, (error) => checkRevert(error, { revert: ["SellerCannotBuy"] }));
  });
});

describe("subscriptions over WebSocket", () => {
  let socket;

  // The provider begins and ends subscriptions in the background: their answers are kept here.
  const answers = { eth_subscribe: [], eth_unsubscribe: [] };

  before(() => {
    socket = new WebSocketProvider(wsUrl);
    const send = socket.send.bind(socket);
    socket.send = (method, params) => {
      const answer = send(method, params);
      answers[method]?.push(answer);
      return answer;
    };
  });
  after(() => socket.destroy());

  async function answered(method, count) {
    while (answers[method].length < count) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all(answers[method]);
  }

  test("new heads, logs and pending transactions arrive", async () => {
    const events = await deploy("Events");
    const listening = new Contract(await events.getAddress(), events.interface, socket);
    const logs = [];
    const heads = [];
    const pending = [];
    let allCame;
    let transactionHash;
    const everything = new Promise((resolve) => {
      allCame = resolve;
    });
    const note = (list, entry) => {
      list.push(entry);
      if (logs.length === 1 && heads.length > 0 && pending.includes(transactionHash)) allCame();
    };
    await listening.on("Indexed", (from, id, flag, value, payload) => note(logs, [from, id, flag, value, payload.log.blockNumber]));
    await socket.on("block", (number) => note(heads, number));
    await socket.on("pending", (hash) => note(pending, hash));
    await soon(answered("eth_subscribe", 3), "three subscriptions");

    const sent = await events.withIndexes(1n, true, 42n);
    transactionHash = sent.hash;
    const receipt = await sent.wait();
    note([], null);
    await soon(everything, "a head, a log and a pending transaction");
    assert.deepEqual(logs[0], [seller.address, 1n, true, 42n, receipt.blockNumber]);
    assert.ok(heads.includes(receipt.blockNumber), `heads ${heads}`);
    await listening.removeAllListeners();
    await socket.removeAllListeners();
    await soon(answered("eth_unsubscribe", 3), "the end of three subscriptions");
  });
});
