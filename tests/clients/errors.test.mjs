// The JSON-RPC door as clients rely on it: error codes and texts that libraries match, limits, and the pace of the dev chain.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Interface, Transaction, Wallet, parseEther } from "ethers";
import { accounts, artifact, httpUrl, otherNode, post, request, result } from "./node.mjs";

const sender = new Wallet(accounts[8].privateKey);
const to = accounts[7].address;
const chainId = BigInt(await result("eth_chainId"));
const hex = (value) => `0x${BigInt(value).toString(16)}`;
const selectorOf = (name, method) => new Interface(artifact(name).abi).getFunction(method).selector;
const unknownHash = `0x${"ab".repeat(32)}`;

async function price() {
  return BigInt(await result("eth_gasPrice")) * 2n + 10n;
}

// Signs a legacy transfer that would be accepted, with some fields changed.
async function raw(changes = {}, wallet = sender) {
  const nonce = Number(await result("eth_getTransactionCount", [wallet.address, "pending"]));
  return wallet.signTransaction({ type: 0, chainId, to, value: 1n, gasLimit: 21_000n, gasPrice: await price(), nonce, ...changes });
}

async function sendRaw(changes, wallet) {
  return request("eth_sendRawTransaction", [await raw(changes, wallet)]);
}

async function mined(hash) {
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline) {
    const receipt = await result("eth_getTransactionReceipt", [hash]);
    if (receipt !== null) return receipt;
  }
  return assert.fail(`${hash} has not been mined within 15 s`);
}

async function deploy(name) {
  const hash = await result("eth_sendTransaction", [{ from: sender.address, data: artifact(name).bytecode }]);
  return (await mined(hash)).contractAddress;
}

function assertError({ error }, code, message) {
  assert.ok(error, "the request succeeded");
  assert.match(error.message, message);
  assert.equal(error.code, code, error.message);
}

describe("refused requests", { skip: otherNode }, () => {
  test("text that is not JSON is a parse error", async () => {
    assertError(await post('{"jsonrpc":"2.0","id":1,'), -32700, /parse/i);
  });

  const wrong = [
    ["no method", { jsonrpc: "2.0", id: 1 }, -32600, /invalid/i],
    ["an empty batch", [], -32600, /./],
    ["an unknown method", { jsonrpc: "2.0", id: 1, method: "eth_fly" }, -32601, /^the method eth_fly does not exist\/is not available$/],
    ["a short address", { jsonrpc: "2.0", id: 1, method: "eth_getBalance", params: ["0x12", "latest"] }, -32602, /^invalid argument 0: /],
    ["a word as block", { jsonrpc: "2.0", id: 1, method: "eth_getBalance", params: [to, "newest"] }, -32602, /^invalid argument 1: /],
    ["no parameters", { jsonrpc: "2.0", id: 1, method: "eth_getBalance", params: [] }, -32602, /^missing value for required argument 0$/],
    ["parameters by name", { jsonrpc: "2.0", id: 1, method: "eth_getBalance", params: { address: to } }, -32602, /./],
    ["bytes of odd length", { jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params: ["0x123"] }, -32602, /./],
    ["an unknown filter", { jsonrpc: "2.0", id: 1, method: "eth_getFilterChanges", params: ["0xdeadbeef"] }, -32000, /^filter not found$/],
    ["state of a future block", { jsonrpc: "2.0", id: 1, method: "eth_getBalance", params: [to, "0x3b9aca00"] }, -32000, /^header not found$/],
    ["state of an unknown block", { jsonrpc: "2.0", id: 1, method: "eth_getBalance", params: [to, { blockHash: unknownHash }] }, -32000, /header.*not found/],
    ["a subscription over HTTP", { jsonrpc: "2.0", id: 1, method: "eth_subscribe", params: ["newHeads"] }, -32601, /^notifications not supported$/],
    ["logs of a range upside down", { jsonrpc: "2.0", id: 1, method: "eth_getLogs", params: [{ fromBlock: "0x2", toBlock: "0x1" }] }, -32602, /^invalid block range params$/],
    ["logs by hash and range", { jsonrpc: "2.0", id: 1, method: "eth_getLogs", params: [{ blockHash: unknownHash, fromBlock: "0x1" }] }, -32602, /^invalid argument 0: cannot specify both BlockHash and FromBlock\/ToBlock, choose one or the other$/],
    ["an account that nobody has", { jsonrpc: "2.0", id: 1, method: "eth_sendTransaction", params: [{ from: `0x${"12".repeat(20)}`, to }] }, -32000, /^unknown account$/],
  ];
  for (const [name, body, code, message] of wrong) {
    test(`${name}: ${code}`, async () => assertError(await post(body), code, message));
  }

  test("an id of any kind comes back as it was sent", async () => {
    for (const id of [0, 7, "seven", null]) {
      const answer = await post({ jsonrpc: "2.0", id, method: "eth_chainId", params: [] });
      assert.equal(answer.id, id);
      assert.equal(answer.result, hex(chainId));
    }
  });

  test("a batch of more than a thousand requests is refused as a whole", async () => {
    const batch = Array.from({ length: 1_001 }, (_, id) => ({ jsonrpc: "2.0", id, method: "eth_chainId", params: [] }));
    const answer = await post(batch);
    const { error } = Array.isArray(answer) ? answer[0] : answer;
    assert.equal(error.code, -32600);
    assert.match(error.message, /batch/);
  });

  test("a body beyond the limit is refused, and the node goes on", async () => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "web3_sha3", params: [`0x${"00".repeat(20 << 20)}`] });
    const status = await fetch(httpUrl, { method: "POST", headers: { "content-type": "application/json" }, body }).then(
      (response) => response.status,
      () => 0, // The node may close the connection before it has read the whole body.
    );
    assert.ok([0, 200, 413].includes(status), `status ${status}`);
    assert.equal(await result("eth_chainId"), hex(chainId));
  });

  test("an empty GET request is answered, for health checks", async () => {
    assert.equal((await fetch(httpUrl)).status, 200);
  });
});

describe("refused transactions", { skip: otherNode }, () => {
  const cases = [
    ["a used nonce", { nonce: 0 }, /^nonce too low: next nonce \d+, tx nonce 0$/],
    ["more than the balance", { value: parseEther("1000000") }, /^insufficient funds for gas \* price \+ value: balance \d+, tx cost \d+, overshot \d+$/],
    ["gas below the intrinsic cost", { gasLimit: 20_999n }, /^intrinsic gas too low: gas 20999, minimum needed 21000$/],
    ["another chain", { chainId: 999_999n }, /^(invalid sender|invalid chain id for signer: have 999999 want \d+)$/],
    ["no chain id", { chainId: 0n }, /^only replay-protected \(EIP-155\) transactions allowed over RPC$/],
    ["data beyond 128 KiB", { data: `0x${"01".repeat(140_000)}`, gasLimit: 10_000_000n }, /^oversized data/],
  ];
  for (const [name, changes, message] of cases) {
    test(`${name} is refused in geth's words`, async () => {
      await mined(await result("eth_sendRawTransaction", [await raw()]));
      assertError(await sendRaw(changes), -32000, message);
    });
  }

  test("gas beyond the block's limit is refused in geth's words", async () => {
    const { gasLimit } = await result("eth_getBlockByNumber", ["latest", false]);
    assertError(await sendRaw({ gasLimit: BigInt(gasLimit) + 1n }), -32000, /exceeds block gas limit|transaction gas limit too high/);
  });

  test("a waiting transaction is known when it comes again", async () => {
    const nonce = Number(await result("eth_getTransactionCount", [sender.address, "pending"])) + 1;
    const waiting = await raw({ nonce });
    const hash = await result("eth_sendRawTransaction", [waiting]);
    assert.equal(hash, Transaction.from(waiting).hash);
    assertError(await request("eth_sendRawTransaction", [waiting]), -32000, /^already known$/);
    assertError(await sendRaw({ nonce, value: 2n }), -32000, /^replacement transaction underpriced$/);
    const { queued } = await result("txpool_status");
    assert.ok(BigInt(queued) >= 1n);
    await result("eth_sendRawTransaction", [await raw()]);
    assert.equal((await mined(hash)).status, "0x1");
  });

  test("blobs are refused, for there is no place where their data would be kept", async () => {
    const fields = { type: 3, chainId, to, nonce: 0, gasLimit: 21_000n, maxFeePerGas: 1n, maxPriorityFeePerGas: 1n, maxFeePerBlobGas: 1n };
    const signed = await sender.signTransaction({ ...fields, blobVersionedHashes: [`0x01${"00".repeat(31)}`] });
    const { error } = await request("eth_sendRawTransaction", [signed]);
    assert.match(error.message, /blob|transaction type not supported/);
  });

  test("bytes that are no transaction are refused", async () => {
    for (const bytes of ["0x", "0x00", "0xc0", "0x02c0", "0x7f01", `0x${"f8".repeat(40)}`]) {
      assert.ok((await request("eth_sendRawTransaction", [bytes])).error, bytes);
    }
  });
});

describe("failed calls", { skip: otherNode }, () => {
  test("a revert has code 3, the reason in its message, and its data as a string", async () => {
    const address = await deploy("Reverts");
    for (const method of ["eth_call", "eth_estimateGas"]) {
      const { error } = await request(method, [{ to: address, data: selectorOf("Reverts", "withReason") }]);
      assert.equal(error.code, 3);
      assert.equal(error.message, "execution reverted: the bridge is up");
      assert.match(error.data, /^0x08c379a0[0-9a-f]+$/);
    }
  });

  test("an estimate that no gas suffices for says so", async () => {
    const address = await deploy("Reverts");
    const { error } = await request("eth_estimateGas", [{ to: address, data: selectorOf("Reverts", "endless"), gas: "0x186a0" }]);
    assert.equal(error.code, -32000);
    assert.match(error.message, /^(gas required exceeds allowance \(100000\)|out of gas)/);
  });

  test("an invalid opcode and an empty gas tank are named", async () => {
    const address = await deploy("Reverts");
    const invalid = await request("eth_call", [{ to: address, data: selectorOf("Reverts", "invalidOpcode") }, "latest"]);
    assertError(invalid, -32000, /invalid opcode/);
    const endless = await request("eth_call", [{ to: address, data: selectorOf("Reverts", "endless"), gas: "0x186a0" }, "latest"]);
    assertError(endless, -32000, /out of gas/);
  });

  test("a transfer beyond the balance cannot be called nor estimated", async () => {
    const poor = Wallet.createRandom().address;
    for (const method of ["eth_call", "eth_estimateGas"]) {
      assertError(await request(method, [{ from: poor, to, value: "0x1" }]), -32000, /insufficient funds/);
    }
  });
});

describe("the dev chain", () => {
  test("suggests a gas price that calls, estimates and transactions can pay, while the base fee falls", async () => {
    for (let round = 0; round < 5; round++) {
      await mined(await result("eth_sendRawTransaction", [await raw()]));
      const transaction = { from: sender.address, to, value: "0x1", gasPrice: await result("eth_gasPrice") };
      assert.equal(await result("eth_call", [transaction, "latest"]), "0x");
      assert.equal(await result("eth_estimateGas", [transaction]), "0x5208");
      assert.equal((await mined(await result("eth_sendTransaction", [transaction]))).status, "0x1");
    }
  });

  test("mines a transaction within 200 ms of its submission", async () => {
    const times = [];
    for (let round = 0; round < 5; round++) {
      const signed = await raw();
      const start = performance.now();
      await mined(await result("eth_sendRawTransaction", [signed]));
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    assert.ok(times[2] <= 200, `median of ${times.map((time) => time.toFixed(0)).join(", ")} ms`);
  });
});
