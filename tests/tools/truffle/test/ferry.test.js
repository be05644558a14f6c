// A sale over time with the helpers of its era: OpenZeppelin 2, @openzeppelin/test-helpers, Truffle's contract objects, web3 1.

const { BN, balance, ether, expectEvent, expectRevert, time } = require("@openzeppelin/test-helpers");
const { expect } = require("chai");

const Ferry = artifacts.require("Ferry");
const Locker = artifacts.require("Locker");
const Tickets = artifacts.require("Tickets");

contract("Ferry", ([captain, passenger, other, treasury]) => {
  const rate = new BN(10);
  const cap = ether("3");
  const goal = ether("2");
  let opening;
  let closing;
  let tickets;
  let ferry;

  beforeEach(async () => {
    opening = (await time.latest()).add(time.duration.weeks(1));
    closing = opening.add(time.duration.weeks(1));
    tickets = await Tickets.new({ from: captain });
    ferry = await Ferry.new(opening, closing, rate, treasury, cap, goal, tickets.address, { from: captain });
    await tickets.addMinter(ferry.address, { from: captain });
    await tickets.renounceMinter({ from: captain });
  });

  it("sells nothing before it opens and after it closes", async () => {
    expect(await ferry.isOpen()).to.equal(false);
    await expectRevert(ferry.send(ether("1"), { from: passenger }), "TimedCrowdsale: not open");
    await time.increaseTo(closing.addn(1));
    expect(await ferry.hasClosed()).to.equal(true);
    await expectRevert(ferry.buyTokens(passenger, { value: ether("1"), from: passenger }), "TimedCrowdsale: not open");
  });

  it("sells for ether while it is open, with its event", async () => {
    await time.increaseTo(opening);
    const receipt = await ferry.buyTokens(other, { value: ether("1"), from: passenger });
    expectEvent(receipt, "TokensPurchased", { purchaser: passenger, beneficiary: other, value: ether("1"), amount: ether("10") });
    await expectEvent.inTransaction(receipt.tx, tickets, "Transfer", { to: other, value: ether("10") });
    expect(await tickets.balanceOf(other)).to.be.bignumber.equal(ether("10"));
    expect(await ferry.weiRaised()).to.be.bignumber.equal(ether("1"));
  });

  it("stops at its cap", async () => {
    await time.increaseTo(opening);
    await ferry.send(cap.sub(new BN(1)), { from: passenger });
    await expectRevert(ferry.send(new BN(2), { from: passenger }), "CappedCrowdsale: cap exceeded");
    await ferry.send(new BN(1), { from: passenger });
    expect(await ferry.capReached()).to.equal(true);
  });

  it("pays the treasury when the goal is reached", async () => {
    await time.increaseTo(opening);
    await ferry.send(goal, { from: passenger });
    const tracker = await balance.tracker(treasury);
    await expectRevert(ferry.finalize({ from: other }), "FinalizableCrowdsale: not closed");
    await time.increaseTo(closing.addn(1));
    expectEvent(await ferry.finalize({ from: other }), "CrowdsaleFinalized");
    expect(await tracker.delta()).to.be.bignumber.equal(goal);
    await expectRevert(ferry.claimRefund(passenger), "RefundableCrowdsale: goal reached");
  });

  it("pays back when it is not", async () => {
    await time.increaseTo(opening);
    await ferry.send(goal.sub(new BN(1)), { from: passenger });
    await time.increaseTo(closing.addn(1));
    await ferry.finalize({ from: other });
    const tracker = await balance.tracker(passenger);
    await ferry.claimRefund(passenger, { from: other });
    expect(await tracker.delta()).to.be.bignumber.equal(goal.sub(new BN(1)));
  });

  it("a locker opens at its moment", async () => {
    const coins = await Tickets.new({ from: captain });
    const moment = (await time.latest()).add(time.duration.years(1));
    const locker = await Locker.new(coins.address, passenger, moment, { from: captain });
    await coins.mint(locker.address, 7, { from: captain });
    await expectRevert(locker.release(), "TokenTimelock: current time is before release time");
    await time.increaseTo(moment.subn(600));
    await expectRevert(locker.release(), "TokenTimelock: current time is before release time");
    await time.increase(time.duration.hours(1));
    await locker.release();
    expect(await coins.balanceOf(passenger)).to.be.bignumber.equal(new BN(7));
  });
});
