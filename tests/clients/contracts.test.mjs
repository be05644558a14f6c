// The rules of the sale and of the registry, and Solidity's own behaviour, by ethers against a running dev node.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Contract, ContractFactory, Interface, JsonRpcProvider, Wallet, ZeroAddress, id, keccak256, sha256, ripemd160, toUtf8Bytes, zeroPadValue } from "ethers";
import { accounts, artifact, httpUrl, link } from "./node.mjs";

const provider = new JsonRpcProvider(httpUrl, undefined, { cacheTimeout: -1, pollingInterval: 50 });
const [seller, buyer, stranger] = [4, 5, 6].map((index) => new Wallet(accounts[index].privateKey, provider));
const item = ["drone", "alpha", 2019n, "4AA6"];

async function deploy(name, parameters = [], libraries = {}) {
  const built = artifact(name);
  const contract = await new ContractFactory(built.abi, link(built, libraries), seller).deploy(...parameters);
  return contract.waitForDeployment();
}

const artifactAt = (name, address) => new Contract(address, artifact(name).abi, seller);

const mined = async (sending) => (await sending).wait();

// Every custom error of the contracts below, since ethers decodes no errors of a transaction that was refused at its estimate.
const errors = new Interface(
  ["SaleOrder", "OrderRegistry", "Planks", "Transient", "DelegateTarget", "Token"].flatMap((name) =>
    artifact(name).abi.filter(({ type }) => type === "error"),
  ),
);

// Returns name and arguments of the error with which a call or an estimate failed, null when it failed without data.
async function revertOf(promise) {
  const error = await promise.then(() => assert.fail("no failure"), (reason) => reason);
  assert.equal(error.code, "CALL_EXCEPTION", String(error));
  if (error.data === "0x") return null;
  const { name, args } = errors.parseError(error.data);
  return [name, ...args];
}

after(() => provider.destroy());

describe("a sale", () => {
  test("pays the seller exactly the price", async () => {
    const order = await deploy("SaleOrder", [...item, 500n]);
    const before = await provider.getBalance(seller.address);
    await mined(order.connect(buyer).buy({ value: 500n }));
    assert.equal(await provider.getBalance(seller.address), before + 500n);
    assert.equal(await provider.getBalance(await order.getAddress()), 0n);
    const { sold, owner, buyer: bought } = await order.getItem();
    assert.deepEqual([sold, owner, bought], [true, buyer.address, buyer.address]);
  });

  test("belongs to nobody by verification before it is sold", async () => {
    const order = await deploy("SaleOrder", [...item, 500n]);
    for (const claimant of [seller.address, buyer.address, ZeroAddress]) {
      assert.equal(await order.verifyOwnership(claimant), false, claimant);
    }
  });

  test("is verified for the buyer alone once it is sold", async () => {
    const order = await deploy("SaleOrder", [...item, 500n]);
    await mined(order.connect(buyer).buy({ value: 500n }));
    assert.equal(await order.verifyOwnership(buyer.address), true);
    for (const claimant of [seller.address, stranger.address, await order.getAddress(), ZeroAddress]) {
      assert.equal(await order.verifyOwnership(claimant), false, claimant);
    }
  });

  test("refuses too little, too much, the seller, a second purchase and plain ether", async () => {
    const order = await deploy("SaleOrder", [...item, 500n]);
    assert.deepEqual(await revertOf(order.connect(buyer).buy({ value: 499n })), ["WrongPrice", 499n, 500n]);
    assert.deepEqual(await revertOf(order.connect(buyer).buy({ value: 501n })), ["WrongPrice", 501n, 500n]);
    assert.deepEqual(await revertOf(order.buy({ value: 500n })), ["SellerCannotBuy"]);
    await mined(order.connect(buyer).buy({ value: 500n }));
    assert.deepEqual(await revertOf(order.connect(stranger).buy({ value: 500n })), ["AlreadySold", buyer.address]);
    assert.deepEqual(await revertOf(order.connect(buyer).buy({ value: 500n })), ["AlreadySold", buyer.address]);
    assert.equal(await revertOf(buyer.sendTransaction({ to: await order.getAddress(), value: 1n })), null);
  });

  test("fails as a whole when the seller refuses the ether", async () => {
    const stubborn = await deploy("StubbornSeller", [1n, 500n]);
    const order = artifactAt("SaleOrder", await stubborn.order());
    assert.deepEqual(await revertOf(order.connect(buyer).buy({ value: 500n })), ["PaymentRefused"]);
    assert.equal(await order.isSold(), false);
  });

  test("is already sold for a seller that calls back while it is paid", async () => {
    const stubborn = await deploy("StubbornSeller", [2n, 500n]);
    const order = artifactAt("SaleOrder", await stubborn.order());
    await mined(order.connect(buyer).buy({ value: 500n }));
    assert.equal(await stubborn.refusal(), order.interface.getError("AlreadySold").selector);
    assert.equal(await order.verifyOwnership(buyer.address), true);
    assert.equal(await provider.getBalance(await stubborn.getAddress()), 500n);
  });
});

describe("a release", () => {
  const now = async () => BigInt((await provider.getBlock("latest")).timestamp);
  const nonce = "0x000102030405060708090a0b0c0d0e0f";
  const types = {
    Release: [
      { name: "buyer", type: "address" },
      { name: "device", type: "string" },
      { name: "nonce", type: "bytes16" },
      { name: "notAfter", type: "uint64" },
    ],
  };

  async function sold() {
    const order = await deploy("SaleOrder", [...item, 500n]);
    await mined(order.connect(buyer).buy({ value: 500n }));
    return order;
  }

  async function signed(order, { signer = buyer, buyerAddress = buyer.address, device = "dock-1", chainId, notAfter } = {}) {
    const domain = {
      name: "Drawbridge",
      version: "1",
      chainId: chainId ?? (await provider.getNetwork()).chainId,
      verifyingContract: await order.getAddress(),
    };
    const message = { buyer: buyerAddress, device, nonce, notAfter: notAfter ?? (await now()) + 600n };
    const signature = await signer.signTypedData(domain, types, message);
    return [message.device, message.nonce, message.notAfter, signature];
  }

  test("is recorded once, with who collected, when, where and the nonce's hash", async () => {
    const order = await sold();
    assert.deepEqual([...(await order.getRelease())].slice(0, 4), [`0x${"0".repeat(64)}`, ZeroAddress, 0n, 0n]);
    const code = await signed(order);
    const receipt = await mined(order.release(...code));
    const { job, collectedBy, releasedAt, openedAt, nonceHash, releasedBy, signed: bySignature, device } = await order.getRelease();
    assert.equal(job, await order.releaseDigest(...code.slice(0, 3)));
    assert.deepEqual(
      [collectedBy, releasedAt, openedAt, nonceHash, releasedBy, bySignature, device],
      [buyer.address, await now(), 0n, keccak256(nonce), seller.address, true, "dock-1"],
    );
    assert.deepEqual([...order.interface.parseLog(receipt.logs[0]).args], [buyer.address, job, seller.address, "dock-1", nonceHash, true]);
    assert.deepEqual(await revertOf(order.release(...code)), ["AlreadyReleased", job]);
    assert.deepEqual(await revertOf(order.release(...(await signed(order, { device: "dock-2" })))), ["AlreadyReleased", job]);
    assert.deepEqual(await revertOf(order.releasePlain("dock-1", nonce, code[2])), ["AlreadyReleased", job]);
    assert.equal(await order.verifyOwnership(buyer.address), true);
  });

  test("needs the buyer's signature over this chain, contract, device, nonce and time", async () => {
    const [order, other] = [await sold(), await sold()];
    const [device, , notAfter, signature] = await signed(order);
    const wrong = ["WrongSignature"];
    assert.deepEqual(await revertOf(order.release("dock-2", nonce, notAfter, signature)), wrong);
    assert.deepEqual(await revertOf(order.release(device, `0x${"11".repeat(16)}`, notAfter, signature)), wrong);
    assert.deepEqual(await revertOf(order.release(device, nonce, notAfter + 1n, signature)), wrong);
    assert.deepEqual(await revertOf(other.release(device, nonce, notAfter, signature)), wrong);
    assert.deepEqual(await revertOf(order.release(...(await signed(order, { signer: stranger })))), wrong);
    assert.deepEqual(await revertOf(order.release(...(await signed(order, { chainId: 1n })))), wrong);
    for (const bytes of ["0x", signature.slice(0, -2), `${signature}00`, `0x${"00".repeat(65)}`]) {
      assert.deepEqual(await revertOf(order.release(device, nonce, notAfter, bytes)), wrong, bytes);
    }
    const order256 = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const s = (order256 - BigInt(`0x${signature.slice(66, 130)}`)).toString(16).padStart(64, "0");
    const twin = `${signature.slice(0, 66)}${s}${signature.endsWith("1b") ? "1c" : "1b"}`;
    assert.deepEqual(await revertOf(order.release(device, nonce, notAfter, twin)), wrong, "the signature's twin");
  });

  test("needs the assent of a buyer that is a contract wallet (EIP-1271)", async () => {
    const wallet = await deploy("Wallet", [buyer.address, stranger.address]);
    const [order, address] = [await deploy("SaleOrder", [...item, 500n]), await wallet.getAddress()];
    await mined(buyer.sendTransaction({ to: address, value: 500n }));
    await mined(wallet.execute(await order.getAddress(), 500n, order.interface.encodeFunctionData("buy")));
    assert.equal(await order.verifyOwnership(address), true);
    const by = async (signer) => signed(order, { signer, buyerAddress: address });
    const [[device, , notAfter, first], [, , , second]] = [await by(buyer), await by(stranger)];
    const wrong = ["WrongSignature"];
    for (const signature of [first, second, `${second}${first.slice(2)}`, "0x"]) {
      assert.deepEqual(await revertOf(order.release(device, nonce, notAfter, signature)), wrong, "both owners sign, in order");
    }
    const both = `${first}${second.slice(2)}`;
    assert.deepEqual(await revertOf(order.release("dock-2", nonce, notAfter, both)), wrong);
    for (const answer of [2, 3, 4]) {
      await mined(wallet.setAnswer(answer));
      assert.deepEqual(await revertOf(order.release(device, nonce, notAfter, both)), wrong, `answer ${answer}`);
    }
    await mined(wallet.setAnswer(0));
    await mined(order.release(device, nonce, notAfter, both));
    const { collectedBy, signed: bySignature } = await order.getRelease();
    assert.deepEqual([collectedBy, bySignature], [address, true]);
  });

  test("is for the seller and its operator to record, after the sale and in time", async () => {
    const unsold = await deploy("SaleOrder", [...item, 500n]);
    const later = (await now()) + 600n;
    assert.deepEqual(await revertOf(unsold.releasePlain("dock-1", nonce, later)), ["NotSold"]);
    assert.deepEqual(await revertOf(unsold.connect(stranger).setOperator(stranger.address)), ["NotSeller"]);
    const order = await sold();
    const code = await signed(order);
    for (const account of [stranger, buyer]) {
      assert.deepEqual(await revertOf(order.connect(account).release(...code)), ["NotOperator"]);
      assert.deepEqual(await revertOf(order.connect(account).releasePlain(...code.slice(0, 3))), ["NotOperator"]);
    }
    const past = (await now()) - 1n;
    assert.deepEqual(await revertOf(order.release(...(await signed(order, { notAfter: past })))), ["CodeExpired", past]);
    await mined(order.setOperator(stranger.address));
    await mined(order.connect(stranger).release(...code));
    assert.equal((await order.getRelease()).releasedBy, stranger.address);
  });

  test("of a plain code says that nobody signed", async () => {
    const order = await sold();
    await mined(order.releasePlain("dock-1", nonce, (await now()) + 600n));
    const { collectedBy, signed: bySignature, device } = await order.getRelease();
    assert.deepEqual([collectedBy, bySignature, device], [buyer.address, false, "dock-1"]);
  });

  test("ends with the opening, recorded once by the operator", async () => {
    const order = await sold();
    const none = `0x${"0".repeat(64)}`;
    assert.deepEqual(await revertOf(order.recordOpening(none)), ["NotReleased", none]);
    await mined(order.release(...(await signed(order))));
    const { job } = await order.getRelease();
    assert.deepEqual(await revertOf(order.recordOpening(id("another"))), ["NotReleased", job]);
    assert.deepEqual(await revertOf(order.connect(stranger).recordOpening(job)), ["NotOperator"]);
    const receipt = await mined(order.recordOpening(job));
    assert.deepEqual([...order.interface.parseLog(receipt.logs[0]).args], [buyer.address, job, "dock-1"]);
    assert.equal((await order.getRelease()).openedAt, await now());
    assert.deepEqual(await revertOf(order.recordOpening(job)), ["AlreadyOpened"]);
  });
});

describe("the registry", () => {
  test("creates orders whose seller is the caller, and knows its own", async () => {
    const registry = await deploy("OrderRegistry");
    const receipt = await mined(registry.connect(seller).createOrder(...item, 700n));
    const created = receipt.logs.map((log) => registry.interface.parseLog(log)).find((log) => log?.name === "OrderCreated");
    const order = artifactAt("RegisteredSaleOrder", created.args.order);
    assert.deepEqual([...created.args], [await order.getAddress(), seller.address, 0n, "4AA6", 700n]);
    assert.equal(await order.seller(), seller.address);
    assert.equal(await registry.isOrder(await order.getAddress()), true);

    const before = await provider.getBalance(seller.address);
    await mined(order.connect(buyer).buy({ value: 700n }));
    assert.equal(await provider.getBalance(seller.address), before + 700n);
    assert.equal(await order.verifyOwnership(buyer.address), true);
    assert.deepEqual(await revertOf(order.connect(seller).buy({ value: 700n })), ["AlreadySold", buyer.address]);
  });

  test("lists all orders and each seller's, and nothing beyond", async () => {
    const registry = await deploy("OrderRegistry");
    await mined(registry.connect(seller).createOrder(...item, 1n));
    await mined(registry.connect(stranger).createOrder(...item, 2n));
    await mined(registry.connect(seller).createOrder(...item, 3n));
    const all = await Promise.all([0n, 1n, 2n].map((index) => registry.orderAt(index)));
    assert.equal(await registry.orderCount(), 3n);
    assert.equal(await registry.orderCountOf(seller.address), 2n);
    assert.deepEqual(
      [await registry.orderOfAt(seller.address, 0n), await registry.orderOfAt(seller.address, 1n), await registry.orderOfAt(stranger.address, 0n)],
      [all[0], all[2], all[1]],
    );
    assert.deepEqual(await revertOf(registry.orderAt(3n)), ["NoSuchOrder", 3n, 3n]);
    assert.deepEqual(await revertOf(registry.orderOfAt(buyer.address, 0n)), ["NoSuchOrder", 0n, 0n]);
  });

  test("does not know an order that somebody deployed in a seller's name", async () => {
    const registry = await deploy("OrderRegistry");
    const foreign = await deploy("RegisteredSaleOrder", [stranger.address, ...item, 700n]);
    assert.equal(await registry.isOrder(await foreign.getAddress()), false);
    assert.equal(await registry.isOrder(seller.address), false);
  });

  test("deploys the same code as the seller itself would", async () => {
    const registry = await deploy("OrderRegistry");
    await mined(registry.createOrder(...item, 700n));
    const direct = await deploy("SaleOrder", [...item, 700n]);
    assert.equal(await provider.getCode(await registry.orderAt(0n)), await provider.getCode(await direct.getAddress()));
  });
});

describe("Solidity", () => {
  test("links a library whose code runs on the user's storage", async () => {
    const library = await deploy("Planks");
    const user = await deploy("LibraryUser", [], { Planks: await library.getAddress() });
    assert.deepEqual(await revertOf(user.longest()), ["PileIsEmpty"]);
    const receipt = await mined(user.add(12n));
    assert.equal(receipt.logs[0].address, await user.getAddress());
    assert.equal(receipt.logs[0].topics[0], library.interface.getEvent("PlankAdded").topicHash);
    await mined(user.add(30n));
    await mined(user.add(7n));
    assert.equal(await user.longest(), 30n);
  });

  test("create2 deploys at the predicted address, once", async () => {
    const factory = await deploy("Create2");
    const salt = id("bridge");
    const predicted = await factory.predict(salt, 17n);
    assert.equal(await provider.getCode(predicted), "0x");
    const receipt = await mined(factory.deploy(salt, 17n));
    assert.equal(receipt.logs[0].args.account, predicted);
    const created = artifactAt("Created", predicted);
    assert.equal(await created.value(), 17n);
    assert.equal(await created.creator(), await factory.getAddress());
    const again = await factory.deploy(salt, 17n, { gasLimit: 500_000n });
    const failure = await again.wait().catch((error) => error.receipt);
    assert.equal(failure.status, 0);
  });

  test("transient storage lasts for one transaction, across its inner calls", async () => {
    const transient = await deploy("Transient");
    await mined(transient.count(5n));
    assert.equal(await transient.counted(), 5n);
    await mined(transient.count(3n));
    assert.equal(await transient.counted(), 3n);
    assert.equal(await transient.current(), 0n);
    assert.deepEqual(await revertOf(transient.reenter()), ["Locked"]);
    assert.equal(await transient.guarded.staticCall(), true);
  });

  test("PUSH0, MCOPY and CLZ compute", async () => {
    const opcodes = await deploy("Opcodes");
    assert.equal(await opcodes.pushZero.staticCall(), 42n);
    const word = id("word");
    assert.equal(await opcodes.memoryCopy(word), word);
    const zeros = await Promise.all([0n, 1n, 1n << 255n, 0xffn].map((value) => opcodes.leadingZeros(value)));
    assert.deepEqual(zeros, [256n, 255n, 0n, 248n]);
  });

  test("the block's opcodes agree with the block's fields", async () => {
    const opcodes = await deploy("Opcodes");
    const { number } = await provider.getBlock("latest");
    const block = await provider.send("eth_getBlockByNumber", [`0x${number.toString(16)}`, false]);
    const seen = await opcodes.environment({ blockTag: number });
    assert.equal(seen.number, BigInt(block.number));
    assert.equal(seen.timestamp, BigInt(block.timestamp));
    assert.equal(seen.prevrandao, BigInt(block.mixHash));
    assert.equal(seen.gasLimit, BigInt(block.gasLimit));
    assert.equal(seen.coinbase.toLowerCase(), block.miner.toLowerCase());
    assert.equal(seen.chainId, (await provider.getNetwork()).chainId);
    assert.equal(seen.parentHash, block.parentHash);
    assert.equal(seen.blobBaseFee, 1n);
  });

  test("the first precompiled contracts answer", async () => {
    const opcodes = await deploy("Opcodes");
    const hash = id("ticket");
    const { v, r, s } = buyer.signingKey.sign(hash);
    const text = toUtf8Bytes("drawbridge");
    const { signer, sha, ripemd, copied } = await opcodes.precompiles(hash, v, r, s);
    assert.deepEqual([signer, sha, ripemd, copied], [buyer.address, sha256(text), ripemd160(text), true]);
  });

  test("delegatecall runs foreign code on its own storage, as its own self", async () => {
    const target = await deploy("DelegateTarget");
    const proxy = await deploy("Delegate");
    const data = target.interface.encodeFunctionData("increase", [4n]);
    const receipt = await mined(proxy.run(await target.getAddress(), data, { value: 9n }));
    const { args } = target.interface.parseLog(receipt.logs[0]);
    assert.deepEqual([...args], [await proxy.getAddress(), seller.address, 9n, 4n]);
    assert.deepEqual([await proxy.count(), await target.count()], [4n, 0n]);
    const tooLarge = target.interface.encodeFunctionData("increase", [1001n]);
    assert.deepEqual(await revertOf(proxy.run.staticCall(await target.getAddress(), tooLarge)), ["CountTooLarge", 1001n]);
  });

  test("selfdestruct sends the ether, and removes only a contract of the same transaction", async () => {
    const heir = Wallet.createRandom().address;
    const old = await deploy("SelfDestruct", [{ value: 50n }]);
    await mined(old.destroy(heir));
    assert.equal(await provider.getBalance(heir), 50n);
    assert.equal(await provider.getBalance(await old.getAddress()), 0n);
    assert.equal(await old.alive(), 1n);

    const factory = await deploy("SelfDestructs");
    await mined(factory.createAndDestroy(heir, { value: 25n }));
    assert.equal(await provider.getBalance(heir), 75n);
    assert.equal(await provider.getCode(await factory.last()), "0x");
    assert.equal(await provider.getTransactionCount(await factory.last()), 0);
  });

  test("a log of a failed inner call is gone, and an indexed string is its hash", async () => {
    const events = await deploy("Events");
    const receipt = await mined(events.lostAndKept(1n, 2n));
    assert.deepEqual(receipt.logs.map(({ args }) => args.value), [2n]);
    const [log] = (await mined(events.withText("plank", "0x1234"))).logs;
    assert.equal(log.topics[1], keccak256(toUtf8Bytes("plank")));
    assert.deepEqual([log.args.plain, log.args.data], ["plank", "0x1234"]);
    const many = await mined(events.many(100n));
    assert.deepEqual(many.logs.map(({ args }) => Number(args.value)), Array.from({ length: 100 }, (_, index) => index));
    const base = many.logs[0].index;
    assert.deepEqual(many.logs.map(({ index }) => index - base), Array.from({ length: 100 }, (_, index) => index));
  });

  test("a caught failure keeps its data", async () => {
    const reverts = await deploy("Reverts");
    const panics = await deploy("Panics");
    const inner = (method, parameters = []) => reverts.interface.encodeFunctionData(method, parameters);
    const kinds = await Promise.all([
      reverts.catching(inner("withLongReason")),
      reverts.catching(inner("withDetailedError", [3n])),
      reverts.catching(inner("withoutReason")),
    ]);
    assert.deepEqual(kinds.map(({ kind }) => kind), [1n, 3n, 3n]);
    assert.equal(kinds[2].data, "0x");
    const error = await reverts.bubbling().catch((reason) => reason);
    assert.deepEqual([...error.revert.args], [await reverts.getAddress(), 7n, "seventeen planks"]);
    assert.equal(await panics.add(1n, 2n), 3n);
  });

  test("invalid opcodes, endless loops and a full stack fail without revert data", async () => {
    const reverts = await deploy("Reverts");
    const recursion = await deploy("Recursion");
    const failures = [
      reverts.invalidOpcode({ gasLimit: 100_000n }),
      reverts.endless({ gasLimit: 100_000n }),
      recursion.sum(5_000n),
    ];
    for (const failure of failures) {
      await assert.rejects(failure, (error) => error.data == null || error.data === "0x");
    }
    assert.equal(await recursion.sum(100n), 5050n);
  });

  test("an invalid opcode in a transaction burns all of its gas", async () => {
    const reverts = await deploy("Reverts");
    const data = reverts.interface.encodeFunctionData("invalidOpcode");
    const sent = await seller.sendTransaction({ to: await reverts.getAddress(), data, gasLimit: 90_000n });
    const { receipt } = await sent.wait().catch((error) => error);
    assert.deepEqual([receipt.status, receipt.gasUsed], [0, 90_000n]);
  });

  test("deep message calls go as far as the gas, 63 parts of 64 at each level", async () => {
    const recursion = await deploy("Recursion");
    const depth = await recursion.descend(1_200n, { gasLimit: 10_000_000n });
    assert.ok(depth > 100n && depth < 1_024n, `depth ${depth}`);
    assert.equal(await recursion.descend(50n), 50n);
  });

  test("an ERC-20 token keeps its books", async () => {
    const token = await deploy("Token", [1_000n]);
    await mined(token.transfer(buyer.address, 300n));
    assert.deepEqual(await revertOf(token.connect(buyer).transfer(seller.address, 301n)), ["InsufficientBalance", buyer.address, 300n, 301n]);
    await mined(token.approve(stranger.address, 100n));
    await mined(token.connect(stranger).transferFrom(seller.address, stranger.address, 60n));
    assert.deepEqual(
      await Promise.all([seller, buyer, stranger].map(({ address }) => token.balanceOf(address))),
      [640n, 300n, 60n],
    );
    assert.equal(await token.allowance(seller.address, stranger.address), 40n);
    const slot = keccak256(`0x${zeroPadValue(buyer.address, 32).slice(2)}${"00".repeat(32)}`);
    assert.equal(BigInt(await provider.getStorage(await token.getAddress(), slot)), 300n);
  });
});
