// Foundry against a running dev node: `forge script`, `forge create`, `forge test` on a fork of the node's chain, and `cast`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Contract, Transaction, Wallet, getCreateAddress, hexlify, parseEther, randomBytes, toBeHex } from "ethers";
import { accounts, cast, castJson, foundry, foundryOutput, otherNode, provider, url } from "./node.mjs";

const [seller, buyer, third] = accounts;
const price = parseEther("0.5");
const market = {};

after(() => provider.destroy());

// Broadcasts the script that opens a market; later tests look at what it left on the chain.
before(async () => {
  const parameters = ["script", "script/Market.s.sol:Market", "--rpc-url", url, "--broadcast", "--slow"];
  const output = foundryOutput("forge", parameters);
  assert.match(output, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
  const { chainId } = await provider.getNetwork();
  const path = new URL(`foundry/broadcast/Market.s.sol/${chainId}/run-latest.json`, import.meta.url);
  Object.assign(market, JSON.parse(readFileSync(path, "utf8")));
  for (const [name, { value }] of Object.entries(market.returns)) market[name] = value;
});

describe("forge", () => {
  test("a script's transactions are all mined, in order, from both senders", async () => {
    assert.equal(market.libraries.length, 1, "the linked library");
    assert.equal(market.pending.length, 0);
    assert.deepEqual(market.receipts.map(({ status }) => status), market.transactions.map(() => "0x1"));
    assert.deepEqual(market.receipts.map(({ transactionHash }) => transactionHash), market.transactions.map(({ hash }) => hash));
    const senders = market.transactions.map(({ transaction }) => transaction.from);
    assert.deepEqual([...new Set(senders)], [seller, buyer].map(({ address }) => address.toLowerCase()));
    for (const { hash, transaction } of market.transactions) {
      const found = await provider.getTransaction(hash);
      assert.equal(found.nonce, Number(transaction.nonce));
      assert.ok(found.blockNumber !== null);
    }
  });

  test("what the script deployed works: registry, sale, tokens and the linked contract", async () => {
    const order = new Contract(market.order, ["function verifyOwnership(address) view returns (bool)"], provider);
    assert.equal(await order.verifyOwnership(buyer.address), true);
    const credit = new Contract(market.credit, ["function balanceOf(address) view returns (uint256)"], provider);
    assert.equal(await credit.balanceOf(third.address), 400n);
    const keys = new Contract(market.keys, ["function ownerOf(uint256) view returns (address)"], provider);
    assert.equal(await keys.ownerOf(1), buyer.address);
    cast("send", market.linked, "add(uint256)", 17, "--private-key", third.privateKey);
    cast("send", market.linked, "add(uint256)", 5, "--private-key", third.privateKey);
    assert.equal(cast("call", market.linked, "longest()(uint256)"), "17");
  });

  test("tests on a fork of the chain pass", async () => {
    const blockOf = (index) => Number(market.receipts.at(index).blockNumber);
    const isSale = ({ function: name }) => name === "buy()";
    const environment = {
      MARKET_REGISTRY: market.registry,
      MARKET_ORDER: market.order,
      MARKET_CREDIT: market.credit,
      MARKET_KEYS: market.keys,
      MARKET_BLOCK: blockOf(0),
      MARKET_SOLD_BLOCK: blockOf(market.transactions.findIndex(isSale)),
    };
    const head = await provider.getBlockNumber();
    const output = foundryOutput("forge", ["test", "--fork-url", url, "--json"], { environment });
    const [results] = Object.values(JSON.parse(output)).map((suite) => suite.test_results);
    assert.equal(Object.keys(results).length, 4);
    for (const [name, { status, reason }] of Object.entries(results)) assert.equal(status, "Success", `${name}: ${reason}`);
    assert.equal(await provider.getBlockNumber(), head, "a fork leaves the chain alone");
  });

  test("forge create deploys with a key and with an account that the node holds", async () => {
    const contract = "src/Goods.sol:Credit";
    for (const signer of [["--private-key", third.privateKey], ["--unlocked", "--from", third.address]]) {
      const nonce = await provider.getTransactionCount(third.address);
      const parameters = ["create", contract, "--rpc-url", url, "--broadcast", "--json", ...signer];
      const output = foundryOutput("forge", [...parameters, "--constructor-args", third.address, 77]);
      const { deployedTo, deployer } = JSON.parse(output);
      assert.equal(deployedTo.toLowerCase(), getCreateAddress({ from: third.address, nonce }).toLowerCase());
      assert.equal(deployer.toLowerCase(), third.address.toLowerCase());
      assert.equal(cast("call", deployedTo, "totalSupply()(uint256)"), "77");
    }
  });
});

describe("cast reads", () => {
  test("the chain, its head and its fees", async () => {
    const head = await provider.getBlock("latest");
    assert.equal(cast("chain-id"), "1337");
    assert.equal(cast("block-number"), String(head.number));
    assert.equal(cast("block", head.number, "--field", "hash"), head.hash);
    assert.equal(cast("block", "latest", "--field", "baseFeePerGas"), String(head.baseFeePerGas));
    assert.match(cast("age", head.number), new RegExp(`${new Date(head.timestamp * 1000).getUTCFullYear()}`));
    assert.equal((await provider.getBlock(Number(cast("find-block", head.timestamp)))).timestamp, head.timestamp);
    assert.ok(BigInt(cast("gas-price")) > 0n);
    assert.ok(BigInt(cast("base-fee")) >= 0n);
    assert.equal(cast("client"), await provider.send("web3_clientVersion", []));
    const { transactions } = castJson("block", "latest", "--full");
    assert.equal(transactions.length, head.transactions.length);
  });

  test("accounts, code and storage", async () => {
    const { address } = buyer;
    assert.equal(cast("balance", address), String(await provider.getBalance(address)));
    assert.equal(cast("balance", address, "--block", 0), String(parseEther("100")));
    assert.equal(cast("nonce", address), String(await provider.getTransactionCount(address)));
    assert.equal(cast("code", market.credit), await provider.getCode(market.credit));
    assert.equal(cast("codesize", market.credit), String((await provider.getCode(market.credit)).length / 2 - 1));
    assert.match(cast("codehash", market.credit), /^0x[0-9a-f]{64}$/);
    const slot = foundryOutput("cast", ["index", "address", third.address, 0]);
    assert.equal(BigInt(cast("storage", market.credit, slot)), 400n);
    const proof = castJson("proof", market.credit, slot);
    assert.equal(BigInt(proof.storageProof[0].value), 400n);
    assert.ok(proof.accountProof.length > 0);
  });

  test("transactions, receipts and logs", async () => {
    const [{ hash }] = market.transactions;
    const receipt = await provider.getTransactionReceipt(hash);
    assert.equal(cast("tx", hash, "blockNumber"), String(receipt.blockNumber));
    assert.equal(castJson("tx", hash).hash, hash);
    assert.equal(cast("receipt", hash, "gasUsed"), String(receipt.gasUsed));
    assert.match(cast("tx", hash, "--raw"), /^0x0[0-4]/);
    const event = "OrderSold(address indexed seller, address indexed buyer, uint256 priceWei)";
    const logs = castJson("logs", "--from-block", 0, "--address", market.order, event, seller.address);
    assert.equal(logs.length, 1);
    assert.equal(BigInt(logs[0].data), price);
    assert.equal(castJson("logs", "--from-block", 0, "--address", market.order, event, third.address).length, 0);
  });

  test("calls, estimates and access lists, with the node's own reasons", () => {
    const call = ["transfer(address,uint256)(bool)", third.address, 1];
    assert.equal(cast("call", market.credit, ...call, "--from", buyer.address), "true");
    assert.ok(Number(cast("estimate", market.credit, ...call, "--from", buyer.address)) > 21_000);
    const list = castJson("access-list", market.credit, ...call, "--from", buyer.address);
    assert.ok(list.accessList.some(({ address }) => address.toLowerCase() === market.credit.toLowerCase()));
    const { status, stderr } = foundry("cast", ["call", market.credit, "transfer(address,uint256)", third.address, 5_000, "--from", buyer.address, "--rpc-url", url]);
    assert.notEqual(status, 0);
    // ERC20InsufficientBalance(address,uint256,uint256)
    assert.match(stderr, /execution reverted[^]*0xe450d38c/);
    const overridden = cast("call", market.credit, "totalSupply()(uint256)", "--override-code", `${market.credit}:0x602a60005260206000f3`);
    assert.equal(overridden, "42");
    assert.match(cast("call", market.credit, ...call, "--from", buyer.address, "--trace"), /transfer|a9059cbb/);
  });

  test("cast run executes a mined transaction again", () => {
    const { hash } = market.transactions.find(({ function: name }) => name === "buy()");
    const output = cast("run", hash, "--quick");
    assert.match(output, /Transaction successfully executed/);
    assert.match(output, new RegExp(market.order.slice(2), "i"));
  });
});

describe("cast writes", () => {
  test("a transfer, with a key and with an account that the node holds", async () => {
    const to = hexlify(randomBytes(20));
    const key = ["--private-key", third.privateKey];
    assert.equal(BigInt(castJson("send", to, "--value", "1ether", ...key).status), 1n);
    assert.equal(BigInt(castJson("send", to, "--value", "1ether", "--legacy", ...key).type), 0n);
    assert.equal(BigInt(castJson("send", to, "--value", "1ether", "--unlocked", "--from", third.address).status), 1n);
    assert.equal(await provider.getBalance(to), parseEther("3"));
  });

  test("a refused transaction says why in the node's words", () => {
    const send = (...parameters) => foundry("cast", ["send", ...parameters, "--rpc-url", url]);
    const poor = Wallet.createRandom().privateKey;
    const unfunded = send(third.address, "--value", "1ether", "--gas-limit", 21_000, "--private-key", poor);
    assert.match(unfunded.stderr, /insufficient funds for gas \* price \+ value/i);
    const used = send(buyer.address, "--nonce", 0, "--private-key", third.privateKey);
    assert.match(used.stderr, /nonce too low/i);
    assert.ok(unfunded.status !== 0 && used.status !== 0);
  });

  test("signed transactions are made apart and published, and again it is known", async () => {
    const to = hexlify(randomBytes(20));
    const raw = cast("mktx", to, "--value", 5, "--private-key", third.privateKey);
    const receipt = JSON.parse(cast("publish", raw));
    assert.equal(BigInt(receipt.status), 1n);
    assert.equal(await provider.getBalance(to), 5n);
    const { status, stderr } = foundry("cast", ["publish", raw, "--rpc-url", url]);
    assert.notEqual(status, 0);
    assert.match(stderr, /nonce too low|already known/i);
  });

  test("an authorization sets an account's code", async () => {
    const wallet = Wallet.createRandom();
    cast("send", wallet.address, "--value", "1ether", "--private-key", third.privateKey);
    cast("send", third.address, "--auth", market.credit, "--private-key", wallet.privateKey);
    assert.equal((await provider.getCode(wallet.address)).toLowerCase(), `0xef0100${market.credit.slice(2).toLowerCase()}`);
  });

  test("the deterministic deployer is published once, and create2 goes through it", async () => {
    // The raw transaction that https://github.com/Arachnid/deterministic-deployment-proxy publishes: the same on every chain.
    const deployer = "0x4e59b44847b379578588920cA78FbF26c0B4956C";
    if ((await provider.getCode(deployer)) === "0x") {
      const raw =
        "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe" +
        "03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222" +
        "222222222222a02222222222222222222222222222222222222222222222222222222222222222";
      cast("send", Transaction.from(raw).from, "--value", "0.01ether", "--private-key", third.privateKey);
      cast("publish", raw);
    }
    const initCode = "0x69602a60005260206000f3600052600a6016f3";
    const salt = hexlify(randomBytes(32));
    cast("send", deployer, salt + initCode.slice(2), "--private-key", third.privateKey);
    const args = ["create2", "--deployer", deployer, "--salt", salt, "--init-code", initCode];
    const address = /0x[0-9a-fA-F]{40}/.exec(foundryOutput("cast", args))[0];
    assert.equal(cast("call", address, "0x"), toBeHex(42, 32));
  });
});

describe("cast rpc", () => {
  test("raw calls pass through, and an unknown method is an error", { skip: otherNode }, () => {
    assert.equal(cast("rpc", "net_version"), '"1337"');
    const { status, stderr } = foundry("cast", ["rpc", "eth_noSuchMethod", "--rpc-url", url]);
    assert.notEqual(status, 0);
    assert.match(stderr, /-32601[^]*eth_noSuchMethod does not exist/);
  });

  test("the pool is shown", () => {
    const status = castJson("tx-pool", "status");
    assert.equal(BigInt(status.pending ?? status.Pending) >= 0n, true);
  });
});
