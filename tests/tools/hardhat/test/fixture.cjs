// Fixtures of hardhat-network-helpers: run once, then loaded from their snapshots, in any order.

const { expect } = require("chai");
const { ethers } = require("hardhat");
const { loadFixture, time } = require("@nomicfoundation/hardhat-network-helpers");

describe("fixtures", () => {
  const runs = { plain: 0, later: 0 };

  async function plain() {
    runs.plain += 1;
    const clock = await ethers.deployContract("Clock");
    await clock.waitForDeployment();
    return { clock, head: await ethers.provider.getBlock("latest") };
  }

  async function later() {
    runs.later += 1;
    const { clock } = await loadFixture(plain);
    await (await clock.look()).wait();
    await time.increase(86_400);
    return { clock, head: await ethers.provider.getBlock("latest") };
  }

  for (const [fixture, count] of [[plain, 0n], [plain, 0n], [later, 1n], [later, 1n], [plain, 0n]]) {
    it(`${fixture.name} starts from its own state`, async () => {
      const { clock, head } = await loadFixture(fixture);
      expect(await clock.count()).to.equal(count);
      expect((await ethers.provider.getBlock("latest")).hash).to.equal(head.hash);
      await (await clock.look()).wait();
      expect(await clock.count()).to.equal(count + 1n);
      expect((await ethers.provider.getBlock("latest")).timestamp).to.be.within(head.timestamp, head.timestamp + 600);
    });
  }

  it("each fixture ran once", () => expect(runs).to.deep.equal({ plain: 1, later: 1 }));
});
