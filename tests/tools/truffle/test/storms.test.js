// How failures look to Truffle's contract objects and to web3 1, and the clean room between two contract blocks.

const { BN, expectRevert } = require("@openzeppelin/test-helpers");
const { expect } = require("chai");

const Storms = artifacts.require("Storms");
const Tickets = artifacts.require("Tickets");

const failureOf = (promise) => promise.then(() => expect.fail("it succeeded"), (error) => error);

contract("Storms", ([captain, passenger]) => {
  it("a transaction that the estimate refuses says why", async () => {
    const storms = await Storms.deployed();
    await expectRevert(storms.turnBack({ from: passenger }), "Storms: the river is too high");
    await expectRevert.unspecified(storms.turnBackSilently({ from: passenger }));
    // What a failed assert was before panics had codes.
    if (!process.env.DRAWBRIDGE_OTHER_NODE) await expectRevert.assertion(storms.sink({ from: passenger }));
    const called = await failureOf(storms.turnBack.call({ from: passenger }));
    expect(called.message).to.include("Storms: the river is too high");
  });

  it("a transaction that fails in its block has a receipt, and its reason is found", async () => {
    const storms = await Storms.deployed();
    const error = await failureOf(storms.turnBack({ from: passenger, gas: 100000 }));
    expect(error.receipt.status).to.equal(false);
    expect(error.reason).to.equal("Storms: the river is too high");
    expect(await storms.writes()).to.be.bignumber.equal(new BN(0));
  });

  it("web3's own contract object sends and reads", async () => {
    const { abi, bytecode } = Tickets;
    const tickets = await new web3.eth.Contract(abi).deploy({ data: bytecode }).send({ from: captain, gas: 3000000 });
    await tickets.methods.mint(passenger, "5").send({ from: captain, gas: 200000 });
    expect(await tickets.methods.balanceOf(passenger).call()).to.equal("5");
    const [event] = await tickets.getPastEvents("Transfer", { fromBlock: 0, filter: { to: passenger } });
    expect(event.returnValues.value).to.equal("5");
  });
});

// Truffle gives each block the state that the migrations left, by evm_snapshot and evm_revert.
for (const round of ["first", "second"]) {
  contract(`Clean room, the ${round} time`, ([captain]) => {
    it("begins with no ticket minted, and mints one", async () => {
      const tickets = await Tickets.deployed();
      expect(await tickets.totalSupply()).to.be.bignumber.equal(new BN(0));
      await tickets.mint(captain, 1, { from: captain });
      expect(await tickets.totalSupply()).to.be.bignumber.equal(new BN(1));
    });
  });
}

contract("The calls of test chains", ([captain, passenger]) => {
  let requests = 0;
  const send = (method, ...params) =>
    new Promise((resolve, reject) => {
      const request = { jsonrpc: "2.0", id: (requests += 1), method, params };
      web3.currentProvider.send(request, (error, answer) => {
        if (error || answer.error) reject(error || new Error(answer.error.message));
        else resolve(answer.result);
      });
    });

  it("a snapshot is reverted to once", async () => {
    const { number, hash } = await web3.eth.getBlock("latest");
    const before = await web3.eth.getBalance(passenger);
    const snapshot = await send("evm_snapshot");
    await web3.eth.sendTransaction({ from: captain, to: passenger, value: 5 });
    expect(await web3.eth.getBlockNumber()).to.equal(number + 1);
    expect(await send("evm_revert", snapshot)).to.equal(true);
    expect((await web3.eth.getBlock("latest")).hash).to.equal(hash);
    expect(await web3.eth.getBalance(passenger)).to.equal(before);
    const again = await send("evm_revert", snapshot).catch(() => false);
    expect(again).to.equal(false);
  });

  it("time is increased for the next block and those after it", async () => {
    const { timestamp } = await web3.eth.getBlock("latest");
    await send("evm_increaseTime", 86400);
    await send("evm_mine");
    await send("evm_mine");
    const later = (await web3.eth.getBlock("latest")).timestamp;
    expect(later - timestamp).to.be.within(86400, 86400 + 600);
  });
});
