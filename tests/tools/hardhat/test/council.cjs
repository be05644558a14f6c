// OpenZeppelin's Governor with votes and a timelock: a decision from proposal to execution.

const { expect } = require("chai");
const { ethers } = require("hardhat");
const { loadFixture, mine, mineUpTo, setBalance, time } = require("@nomicfoundation/hardhat-network-helpers");

const delaySeconds = 2 * 86_400;
const State = { pending: 0n, active: 1n, canceled: 2n, defeated: 3n, succeeded: 4n, queued: 5n, expired: 6n, executed: 7n };
const [Against, For] = [0, 1];

async function council() {
  const [deployer, one, two, small, receiver] = await ethers.getSigners();
  const shares = await ethers.deployContract("Shares", [1_000n]);
  await shares.waitForDeployment();
  const timelock = await ethers.deployContract("TimelockController", [delaySeconds, [], [ethers.ZeroAddress], deployer]);
  await timelock.waitForDeployment();
  const governor = await ethers.deployContract("Council", [shares, timelock]);
  await governor.waitForDeployment();
  await (await timelock.grantRole(await timelock.PROPOSER_ROLE(), governor)).wait();
  await (await timelock.grantRole(await timelock.CANCELLER_ROLE(), governor)).wait();
  await (await timelock.renounceRole(await timelock.DEFAULT_ADMIN_ROLE(), deployer)).wait();
  for (const [holder, amount] of [[one, 300n], [two, 200n], [small, 39n]]) {
    await (await shares.transfer(holder, amount)).wait();
    await (await shares.connect(holder).delegate(holder)).wait();
  }
  await setBalance(timelock.target, ethers.parseEther("10"));
  const description = "Pay the ferryman";
  const proposal = [[receiver.address], [ethers.parseEther("4")], ["0x"]];
  const descriptionHash = ethers.id(description);
  await (await governor.connect(one).propose(...proposal, description)).wait();
  const id = await governor.hashProposal(...proposal, descriptionHash);
  return { governor, timelock, shares, one, two, small, receiver, proposal, descriptionHash, id };
}

async function openVote({ governor, id }) {
  await mineUpTo((await governor.proposalSnapshot(id)) + 1n);
  expect(await governor.state(id)).to.equal(State.active);
}

async function closeVote({ governor, id }) {
  await mineUpTo((await governor.proposalDeadline(id)) + 1n);
}

describe("a council", () => {
  it("decides, waits, and pays from its timelock", async () => {
    const all = await loadFixture(council);
    const { governor, timelock, one, two, receiver, proposal, descriptionHash, id } = all;
    expect(await governor.state(id)).to.equal(State.pending);
    await expect(governor.connect(one).castVote(id, For)).to.be.revertedWithCustomError(governor, "GovernorUnexpectedProposalState");
    await openVote(all);
    await expect(governor.connect(one).castVote(id, For)).to.emit(governor, "VoteCast").withArgs(one.address, id, For, 300n, "");
    await (await governor.connect(two).castVoteWithReason(id, Against, "too dear")).wait();
    await expect(governor.connect(one).castVote(id, For)).to.be.revertedWithCustomError(governor, "GovernorAlreadyCastVote");
    await closeVote(all);
    expect(await governor.state(id)).to.equal(State.succeeded);

    await expect(governor.execute(...proposal, descriptionHash)).to.be.revertedWithCustomError(governor, "GovernorUnexpectedProposalState");
    await expect(governor.queue(...proposal, descriptionHash)).to.emit(timelock, "CallScheduled");
    expect(await governor.state(id)).to.equal(State.queued);
    await expect(governor.execute(...proposal, descriptionHash)).to.be.revertedWithCustomError(timelock, "TimelockUnexpectedOperationState");
    await time.increase(delaySeconds);
    const execution = governor.execute(...proposal, descriptionHash);
    await expect(execution).to.changeEtherBalances([timelock, receiver], [-proposal[1][0], proposal[1][0]]);
    expect(await governor.state(id)).to.equal(State.executed);
  });

  it("rejects what the majority is against, and what too few have voted on", async () => {
    for (const votes of [[["one", Against], ["two", For]], [["small", For]]]) {
      const all = await loadFixture(council);
      await openVote(all);
      for (const [name, choice] of votes) await (await all.governor.connect(all[name]).castVote(all.id, choice)).wait();
      await closeVote(all);
      expect(await all.governor.state(all.id)).to.equal(State.defeated);
    }
  });

  it("counts votes as they were when the vote began", async () => {
    const all = await loadFixture(council);
    const { governor, shares, one, two, id } = all;
    await openVote(all);
    const begun = await governor.proposalSnapshot(id);
    await (await shares.connect(one).transfer(two, 300n)).wait();
    await mine();
    expect([await shares.getVotes(one), await shares.getVotes(two)]).to.deep.equal([0n, 500n]);
    expect([await shares.getPastVotes(one, begun), await shares.getPastVotes(two, begun)]).to.deep.equal([300n, 200n]);
    await expect(governor.connect(two).castVote(id, For)).to.emit(governor, "VoteCast").withArgs(two.address, id, For, 200n, "");
  });

  it("a proposal is withdrawn by who made it, before the vote", async () => {
    const { governor, one, two, proposal, descriptionHash, id } = await loadFixture(council);
    await expect(governor.connect(two).cancel(...proposal, descriptionHash)).to.be.revertedWithCustomError(governor, "GovernorUnableToCancel");
    await (await governor.connect(one).cancel(...proposal, descriptionHash)).wait();
    expect(await governor.state(id)).to.equal(State.canceled);
  });
});
