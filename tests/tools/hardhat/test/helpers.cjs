// Each of hardhat-network-helpers' calls, against the node's own chain.

const { expect } = require("chai");
const { ethers, network } = require("hardhat");
const helpers = require("@nomicfoundation/hardhat-network-helpers");
const { mine, mineUpTo, takeSnapshot, time } = helpers;

const latest = () => ethers.provider.getBlock("latest");
const someAddress = () => ethers.Wallet.createRandom().address;

async function deployClock() {
  const clock = await ethers.deployContract("Clock");
  await clock.waitForDeployment();
  return { clock, block: await latest() };
}

// What a transaction saw, as the event tells it.
async function seen(sent) {
  const { logs } = await (await sent).wait();
  const [, number, timestamp, baseFeePerGas, random, miner] = logs[0].args;
  return { number, timestamp, baseFeePerGas, random, miner };
}

describe("helpers", () => {
  // Whatever a test does to the chain is undone after it.
  let restorer;
  beforeEach(async () => {
    restorer = await takeSnapshot();
  });
  afterEach(() => restorer.restore());

  describe("blocks and time", () => {
    it("mine adds blocks, some seconds apart", async () => {
      const before = await latest();
      await mine();
      expect(await time.latestBlock()).to.equal(before.number + 1);
      const first = await latest();
      await mine(10, { interval: 60 });
      const last = await latest();
      expect(last.number).to.equal(first.number + 10);
      const ninth = await ethers.provider.getBlock(last.number - 1);
      expect(last.timestamp - ninth.timestamp).to.equal(60);
      expect(last.parentHash).to.equal(ninth.hash);
      expect(last.timestamp - first.timestamp).to.be.within(9 * 60, 10 * 60 + 5);
      await mineUpTo(last.number + 200);
      expect(await time.latestBlock()).to.equal(last.number + 200);
    });

    it("time moves on by seconds, and to a moment", async () => {
      const { clock } = await deployClock();
      const begun = await time.latest();
      expect(await time.increase(3_600)).to.equal(begun + 3_600);
      await time.increaseTo(begun + 86_400);
      expect(await time.latest()).to.equal(begun + 86_400);
      const { timestamp } = await seen(clock.look());
      expect(timestamp).to.be.within(begun + 86_400, begun + 86_460);
    });

    it("the next block gets the named time exactly, and calls see it not yet", async () => {
      const { clock } = await deployClock();
      const moment = (await time.latest()) + 1_000;
      await time.setNextBlockTimestamp(moment);
      expect(await time.latest()).to.be.below(moment);
      expect((await seen(clock.look())).timestamp).to.equal(moment);
    });

    it("a time before the head's is refused", async () => {
      const now = await time.latest();
      const error = await time.setNextBlockTimestamp(now - 1).then(() => null, (reason) => reason);
      expect(error?.message).to.match(/timestamp/i);
    });

    it("automine off collects transactions in the pool, and mine puts them into one block", async () => {
      const [sender] = await ethers.getSigners();
      await network.provider.send("evm_setAutomine", [false]);
      try {
        const before = await latest();
        const nonce = await sender.getNonce();
        const sent = [];
        for (let i = 0; i < 3; i++) sent.push(await sender.sendTransaction({ to: someAddress(), value: 1n, nonce: nonce + i }));
        expect((await latest()).hash).to.equal(before.hash);
        expect(await sender.getNonce("pending")).to.equal(nonce + 3);
        await mine();
        const block = await latest();
        expect(block.transactions).to.deep.equal(sent.map(({ hash }) => hash));
      } finally {
        await network.provider.send("evm_setAutomine", [true]);
      }
    });

    it("a dropped transaction is not mined", async () => {
      const [sender] = await ethers.getSigners();
      await network.provider.send("evm_setAutomine", [false]);
      try {
        const { hash } = await sender.sendTransaction({ to: someAddress(), value: 1n });
        await helpers.dropTransaction(hash);
        await mine();
        expect(await ethers.provider.getTransaction(hash)).to.equal(null);
        expect((await latest()).transactions).to.deep.equal([]);
      } finally {
        await network.provider.send("evm_setAutomine", [true]);
      }
    });
  });

  describe("the next block's other fields", () => {
    it("base fee, beneficiary, randomness and gas limit are those that were set", async () => {
      const { clock } = await deployClock();
      const miner = someAddress();
      await helpers.setNextBlockBaseFeePerGas(7_000_000_000n);
      await helpers.setCoinbase(miner);
      // Anvil does not know this one.
      if (!process.env.DRAWBRIDGE_OTHER_NODE) await helpers.setPrevRandao(123_456_789n);
      const sent = await clock.look({ maxFeePerGas: 20_000_000_000n, maxPriorityFeePerGas: 1n, gasLimit: 200_000 });
      const event = await seen(Promise.resolve(sent));
      expect(event.baseFeePerGas).to.equal(7_000_000_000n);
      expect(event.miner).to.equal(miner);
      if (!process.env.DRAWBRIDGE_OTHER_NODE) expect(event.random).to.equal(123_456_789n);
      const { number } = await latest();
      expect((await ethers.provider.getBlock(number)).baseFeePerGas).to.equal(7_000_000_000n);
      await helpers.setBlockGasLimit(12_345_678);
      await mine();
      expect((await latest()).gasLimit).to.equal(12_345_678n);
    });
  });

  describe("accounts", () => {
    it("balance, nonce, code and storage are set", async () => {
      const { clock } = await deployClock();
      const address = someAddress();
      await helpers.setBalance(address, ethers.parseEther("7"));
      expect(await ethers.provider.getBalance(address)).to.equal(ethers.parseEther("7"));
      await helpers.setNonce(address, 41);
      expect(await ethers.provider.getTransactionCount(address)).to.equal(41);
      await helpers.setCode(address, await ethers.provider.getCode(clock));
      await helpers.setStorageAt(address, 0, 17n);
      expect(BigInt(await helpers.getStorageAt(address, 0))).to.equal(17n);
      const copy = clock.attach(address);
      expect(await copy.count()).to.equal(17n);
      await (await copy.look()).wait();
      expect(await copy.count()).to.equal(18n);
      expect(await clock.count()).to.equal(0n);
    });

    it("what was set is the chain's state: it is there in later blocks, and not in earlier ones", async () => {
      const address = someAddress();
      const before = await latest();
      await helpers.setBalance(address, 5n);
      await mine(3);
      expect(await ethers.provider.getBalance(address)).to.equal(5n);
      expect(await ethers.provider.getBalance(address, before.number - 1)).to.equal(0n);
      const proof = await network.provider.send("eth_getProof", [address, [], "latest"]);
      expect(BigInt(proof.balance)).to.equal(5n);
    });

    it("an impersonated account sends without a key, a contract too, and no longer when that ends", async () => {
      const { clock } = await deployClock();
      for (const address of [someAddress(), clock.target]) {
        await helpers.impersonateAccount(address);
        await helpers.setBalance(address, ethers.parseEther("1"));
        const signer = await ethers.getSigner(address);
        const receipt = await (await clock.connect(signer).look()).wait();
        expect(receipt.from).to.equal(address);
        expect(receipt.logs[0].args[0]).to.equal(address);
        const found = await ethers.provider.getTransaction(receipt.hash);
        expect(found.from).to.equal(address);
        await helpers.stopImpersonatingAccount(address);
        const error = await clock.connect(signer).look().then(() => null, (reason) => reason);
        expect(error, "it can still send").to.be.an("error");
      }
    });
  });

  describe("snapshots", () => {
    it("a snapshot brings everything back, several times and nested", async () => {
      const [sender] = await ethers.getSigners();
      const address = someAddress();
      const before = { block: await latest(), nonce: await sender.getNonce() };
      const outer = await takeSnapshot();
      await (await sender.sendTransaction({ to: address, value: 1n })).wait();
      const inner = await takeSnapshot();
      const { hash } = await (await sender.sendTransaction({ to: address, value: 2n })).wait();
      await inner.restore();
      expect(await ethers.provider.getBalance(address)).to.equal(1n);
      expect(await ethers.provider.getTransactionReceipt(hash)).to.equal(null);
      for (let round = 0; round < 3; round++) {
        await outer.restore();
        expect((await latest()).hash).to.equal(before.block.hash);
        expect(await sender.getNonce()).to.equal(before.nonce);
        expect(await ethers.provider.getBalance(address)).to.equal(0n);
        await (await sender.sendTransaction({ to: address, value: 3n })).wait();
      }
      const error = await inner.restore().then(() => null, (reason) => reason);
      expect(error, "a snapshot after the restored one is gone").to.be.an("error");
    });

    it("time goes back with the snapshot", async () => {
      const begun = await time.latest();
      const snapshot = await takeSnapshot();
      await time.increase(1_000_000);
      await snapshot.restore();
      await mine();
      expect(await time.latest()).to.be.within(begun, begun + 600);
    });
  });

  describe("console", () => {
    it("a contract that logs runs, as a call and as a transaction", async () => {
      const { clock } = await deployClock();
      await clock.say.staticCall("planks", 17);
      const receipt = await (await clock.say("planks", 17)).wait();
      expect(receipt.status).to.equal(1);
      expect(await clock.count()).to.equal(1n);
    });
  });
});
