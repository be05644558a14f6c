// viem 2 against a running dev node.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  BaseError,
  ContractFunctionRevertedError,
  InsufficientFundsError,
  MethodNotFoundRpcError,
  NonceTooLowError,
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  http,
  numberToHex,
  parseEther,
  recoverMessageAddress,
  recoverTypedDataAddress,
  webSocket,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { accounts, artifact, httpUrl, result, soon, wsUrl } from "./node.mjs";

const chain = defineChain({
  id: Number(await result("eth_chainId")),
  name: "Drawbridge",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [httpUrl], webSocket: [wsUrl] } },
});
const client = createPublicClient({ chain, transport: http(), cacheTime: 0, pollingInterval: 50 });
const [seller, buyer] = [7, 8].map((index) => privateKeyToAccount(accounts[index].privateKey));
const [sellerWallet, buyerWallet] = [seller, buyer].map((account) => createWalletClient({ account, chain, transport: http() }));

async function receiptOf(hash) {
  return client.waitForTransactionReceipt({ hash, timeout: 15_000 });
}

async function deploy(name, args = []) {
  const { abi, bytecode } = artifact(name);
  const { contractAddress } = await receiptOf(await sellerWallet.deployContract({ abi, bytecode, args }));
  return { address: contractAddress, abi };
}

async function failureOf(promise, kind) {
  const error = await promise.then(() => assert.fail("no failure"), (reason) => reason);
  assert.ok(error instanceof BaseError, String(error));
  const cause = error.walk((inner) => inner instanceof kind);
  assert.ok(cause, `${kind.name} is not among the causes of ${error}`);
  return cause;
}

describe("blocks, transactions and receipts", () => {
  test("every shape parses, with the values that were sent", async () => {
    const value = parseEther("0.5");
    const { address } = privateKeyToAccount(generatePrivateKey());
    const before = await client.getBalance({ address: buyer.address });
    const receipt = await receiptOf(await buyerWallet.sendTransaction({ to: address, value }));
    assert.equal(receipt.status, "success");
    assert.equal(receipt.type, "eip1559");
    assert.equal(receipt.gasUsed, 21_000n);
    assert.equal(receipt.from.toLowerCase(), buyer.address.toLowerCase());
    assert.deepEqual(receipt.logs, []);
    assert.equal(await client.getBalance({ address }), value);
    const fee = receipt.gasUsed * receipt.effectiveGasPrice;
    assert.equal(await client.getBalance({ address: buyer.address }), before - value - fee);

    const block = await client.getBlock({ blockNumber: receipt.blockNumber, includeTransactions: true });
    assert.equal(block.hash, receipt.blockHash);
    assert.match(block.stateRoot, /^0x[0-9a-f]{64}$/);
    assert.match(block.logsBloom, /^0x[0-9a-f]{512}$/);
    assert.match(block.nonce, /^0x[0-9a-f]{16}$/);
    assert.ok(typeof block.difficulty === "bigint" && typeof block.size === "bigint");
    assert.deepEqual(block.uncles, []);
    const transaction = block.transactions[receipt.transactionIndex];
    assert.deepEqual(transaction, await client.getTransaction({ hash: receipt.transactionHash }));
    assert.equal(transaction.typeHex, "0x2");
    assert.equal(transaction.value, value);
    assert.equal(transaction.chainId, chain.id);
    assert.deepEqual(transaction, await client.getTransaction({ blockHash: block.hash, index: receipt.transactionIndex }));
    assert.equal(await client.getBlockTransactionCount({ blockHash: block.hash }), block.transactions.length);
    assert.equal(await client.getTransactionConfirmations({ hash: receipt.transactionHash }) >= 1n, true);
  });

  test("legacy, access-list and fee-market transactions keep their types", async () => {
    const gasPrice = await client.getGasPrice();
    const accessList = [{ address: seller.address, storageKeys: [numberToHex(1, { size: 32 })] }];
    for (const fields of [{ type: "legacy", gasPrice }, { type: "eip2930", gasPrice, accessList }, { type: "eip1559", accessList }]) {
      const hash = await sellerWallet.sendTransaction({ to: buyer.address, value: 1n, ...fields });
      const receipt = await receiptOf(hash);
      const transaction = await client.getTransaction({ hash });
      assert.deepEqual([receipt.type, transaction.type], [fields.type, fields.type]);
      if (fields.accessList) assert.deepEqual(transaction.accessList.map(({ storageKeys }) => storageKeys), [accessList[0].storageKeys]);
    }
  });

  test("an account delegates to a contract by a set-code transaction, and takes it back", async () => {
    const target = await deploy("DelegateTarget");
    const authority = privateKeyToAccount(generatePrivateKey());
    const authorityWallet = createWalletClient({ account: authority, chain, transport: http() });
    const authorization = await authorityWallet.signAuthorization({ contractAddress: target.address, executor: seller });
    const data = encodeFunctionData({ abi: target.abi, functionName: "increase", args: [6n] });
    const hash = await sellerWallet.sendTransaction({ to: authority.address, data, authorizationList: [authorization] });
    const receipt = await receiptOf(hash);
    assert.deepEqual([receipt.status, receipt.type, receipt.logs.length], ["success", "eip7702", 1]);
    const transaction = await client.getTransaction({ hash });
    assert.equal(transaction.authorizationList[0].address.toLowerCase(), target.address.toLowerCase());
    assert.equal(await client.getCode({ address: authority.address }), `0xef0100${target.address.slice(2).toLowerCase()}`);
    assert.equal(await client.getTransactionCount({ address: authority.address }), 1);
    assert.equal(await client.readContract({ ...target, address: authority.address, functionName: "count" }), 6n);

    const zero = `0x${"00".repeat(20)}`;
    const clearing = await authorityWallet.signAuthorization({ contractAddress: zero, executor: seller });
    await receiptOf(await sellerWallet.sendTransaction({ to: seller.address, authorizationList: [clearing] }));
    assert.equal(await client.getCode({ address: authority.address }), undefined);
  });

  test("many reads travel in one batch", async () => {
    const batching = createPublicClient({ chain, transport: http(httpUrl, { batch: { wait: 10 } }) });
    const balances = await Promise.all(accounts.map(({ address }) => batching.getBalance({ address, blockNumber: 0n })));
    assert.deepEqual(balances, accounts.map(() => parseEther("100")));
  });

  test("the fee history has a price per block and one more, and the estimates cover the base fee", async () => {
    await receiptOf(await sellerWallet.sendTransaction({ to: buyer.address, value: 1n }));
    const history = await client.getFeeHistory({ blockCount: 2, rewardPercentiles: [10, 50, 90] });
    assert.equal(history.baseFeePerGas.length, 3);
    assert.equal(history.gasUsedRatio.length, 2);
    assert.deepEqual(history.reward.map((row) => row.length), [3, 3]);
    const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
    assert.ok(maxFeePerGas >= history.baseFeePerGas.at(-1) + maxPriorityFeePerGas);
  });
});

describe("contracts", () => {
  const price = parseEther("1");
  const item = ["drone", "alpha", 2019, "4AA6", price];

  test("an order is simulated, bought, verified and found in the logs", async () => {
    const order = await deploy("SaleOrder", item);
    const { request } = await client.simulateContract({ ...order, account: buyer, functionName: "buy", value: price });
    const receipt = await receiptOf(await buyerWallet.writeContract(request));
    const verify = (claimant, options = {}) => client.readContract({ ...order, functionName: "verifyOwnership", args: [claimant], ...options });
    assert.equal(await verify(buyer.address), true);
    assert.equal(await verify(seller.address), false);
    assert.equal(await verify(buyer.address, { blockNumber: receipt.blockNumber - 1n }), false);
    const item8 = await client.readContract({ ...order, functionName: "getItem" });
    assert.deepEqual(item8.slice(0, 7), ["drone", "alpha", 2019, "4AA6", price, true, buyer.address]);

    const [sold] = await client.getContractEvents({ ...order, eventName: "OrderSold", args: { buyer: buyer.address }, fromBlock: 0n });
    assert.equal(sold.transactionHash, receipt.transactionHash);
    assert.deepEqual(sold.args, { seller: seller.address, buyer: buyer.address, priceWei: price });
  });

  test("a filter gives each log once", async () => {
    const events = await deploy("Events");
    const fromBlock = await client.getBlockNumber();
    const filter = await client.createContractEventFilter({ ...events, eventName: "Plain", fromBlock });
    const emit = async (value) => receiptOf(await sellerWallet.writeContract({ ...events, functionName: "plain", args: [value] }));
    await emit(1n);
    await emit(2n);
    const values = (logs) => logs.map(({ args }) => args.value);
    assert.deepEqual(values(await client.getFilterChanges({ filter })), [1n, 2n]);
    assert.deepEqual(values(await client.getFilterChanges({ filter })), []);
    await emit(3n);
    assert.deepEqual(values(await client.getFilterChanges({ filter })), [3n]);
    assert.deepEqual(values(await client.getFilterLogs({ filter })), [1n, 2n, 3n]);
    assert.equal(await client.uninstallFilter({ filter }), true);
    await assert.rejects(client.getFilterChanges({ filter }), /filter not found/);
  });

  test("a call can run on a state that never was", async () => {
    const token = await deploy("Token", [0n]);
    const { deployedBytecode } = artifact("Reverts");
    const rich = await client.call({
      account: buyer, to: seller.address, value: parseEther("1000"),
      stateOverride: [{ address: buyer.address, balance: parseEther("2000") }],
    });
    assert.equal(rich.data, undefined);
    const elsewhere = `0x${"77".repeat(20)}`;
    const read = client.readContract({
      address: elsewhere, abi: artifact("Reverts").abi, functionName: "writes",
      stateOverride: [{ address: elsewhere, code: deployedBytecode, stateDiff: [{ slot: numberToHex(0, { size: 32 }), value: numberToHex(99, { size: 32 }) }] }],
    });
    assert.equal(await read, 99n);
    assert.equal(await client.readContract({ ...token, functionName: "totalSupply" }), 0n);
  });

  test("storage is read by slot", async () => {
    const target = await deploy("DelegateTarget");
    await receiptOf(await sellerWallet.writeContract({ ...target, functionName: "increase", args: [3n] }));
    assert.equal(BigInt(await client.getStorageAt({ address: target.address, slot: "0x0" })), 3n);
  });

  test("an unlocked account of the node sends and signs", async () => {
    const account = accounts[9].address;
    const wallet = createWalletClient({ account, chain, transport: http() });
    assert.ok((await wallet.getAddresses()).includes(account));
    const receipt = await receiptOf(await wallet.sendTransaction({ to: seller.address, value: 3n }));
    assert.equal(receipt.from.toLowerCase(), account.toLowerCase());
    const signature = await wallet.signMessage({ message: "open" });
    assert.equal(await recoverMessageAddress({ message: "open", signature }), account);
    const data = {
      domain: { name: "Drawbridge", version: "1" },
      types: { Door: [{ name: "number", type: "uint256" }, { name: "secret", type: "bytes4" }] },
      primaryType: "Door",
      message: { number: 2n ** 200n, secret: "0x01020304" },
    };
    assert.equal(await recoverTypedDataAddress({ ...data, signature: await wallet.signTypedData(data) }), account);
  });
});

describe("failures", () => {
  let reverts;
  let panics;

  before(async () => {
    reverts = await deploy("Reverts");
    panics = await deploy("Panics");
  });

  const named = [
    ["withReason", [], { reason: "the bridge is up" }],
    ["withUnicodeReason", [], { reason: "die Brücke ist offen ⛔" }],
    ["withPlainError", [], { errorName: "Plain", args: undefined }],
    ["withDetailedError", [5n], { errorName: "Detailed", args: [buyer.address, 5n, "seventeen planks"] }],
  ];
  for (const [functionName, args, expected] of named) {
    test(`${functionName} is decoded from a simulation and from an estimate`, async () => {
      const call = { ...reverts, account: buyer, functionName, args };
      for (const attempt of [client.simulateContract, client.estimateContractGas]) {
        const { reason, data } = await failureOf(attempt(call), ContractFunctionRevertedError);
        if (expected.reason) assert.equal(reason, expected.reason);
        else assert.deepEqual([data.errorName, data.args], [expected.errorName, expected.args]);
      }
    });
  }

  const codes = [["assertion", [false], 1n], ["subtract", [1n, 2n], 0x11n], ["divide", [1n, 0n], 0x12n], ["plankAt", [0n], 0x32n]];
  for (const [functionName, args, code] of codes) {
    test(`panic ${numberToHex(code)} is decoded`, async () => {
      const reverted = await failureOf(client.simulateContract({ ...panics, functionName, args }), ContractFunctionRevertedError);
      assert.deepEqual([reverted.data.errorName, reverted.data.args], ["Panic", [code]]);
    });
  }

  test("a mined failure has the status reverted", async () => {
    const receipt = await receiptOf(await buyerWallet.writeContract({ ...reverts, functionName: "withReason", gas: 100_000n }));
    assert.equal(receipt.status, "reverted");
  });

  test("a used nonce, missing funds and an unknown method have viem's own errors", async () => {
    await failureOf(buyerWallet.sendTransaction({ to: seller.address, nonce: 0, gas: 21_000n }), NonceTooLowError);
    const poor = createWalletClient({ account: privateKeyToAccount(generatePrivateKey()), chain, transport: http() });
    await failureOf(poor.sendTransaction({ to: seller.address, value: 1n, gas: 21_000n }), InsufficientFundsError);
    await failureOf(client.request({ method: "eth_noSuchMethod" }, { retryCount: 0 }), MethodNotFoundRpcError);
  });
});

describe("subscriptions over WebSocket", () => {
  test("new heads, contract events and pending transactions arrive", async () => {
    const socket = createPublicClient({ chain, transport: webSocket(wsUrl) });
    const events = await deploy("Events");
    const next = {};
    const came = Object.fromEntries(["block", "log", "pending"].map((kind) => [kind, new Promise((resolve) => { next[kind] = resolve; })]));
    const failed = (error) => assert.fail(error);
    const stops = [
      socket.watchBlocks({ onBlock: next.block, onError: failed }),
      socket.watchContractEvent({ ...events, eventName: "Indexed", onLogs: next.log, onError: failed }),
      socket.watchPendingTransactions({ onTransactions: next.pending, onError: failed, batch: false }),
    ];
    await new Promise((resolve) => setImmediate(resolve));
    await socket.getChainId();

    const hash = await sellerWallet.writeContract({ ...events, functionName: "withIndexes", args: [8n, false, 9n] });
    const receipt = await receiptOf(hash);
    const [block, logs, pending] = await soon(Promise.all([came.block, came.log, came.pending]), "a head, a log and a pending transaction");
    assert.equal(block.number, receipt.blockNumber);
    assert.equal(block.hash, receipt.blockHash);
    assert.deepEqual(logs.map(({ args }) => args), [{ from: seller.address, id: 8n, flag: false, value: 9n }]);
    assert.deepEqual(pending, [hash]);
    for (const stop of stops) stop();
    (await socket.transport.getRpcClient()).close();
  });
});
