// Drawbridge's own contracts in a Hardhat project, and a script that deploys them.

const { expect } = require("chai");
const { execFileSync } = require("node:child_process");
const { ethers, network } = require("hardhat");
const { loadFixture } = require("@nomicfoundation/hardhat-network-helpers");

const price = ethers.parseEther("1.5");

async function sale() {
  const [seller, buyer, stranger] = await ethers.getSigners();
  const order = await ethers.deployContract("SaleOrder", ["drone", "alpha", 2019, "4AA6", price]);
  await order.waitForDeployment();
  return { order, seller, buyer, stranger };
}

describe("a sale", () => {
  it("pays the seller and belongs to the buyer", async () => {
    const { order, seller, buyer, stranger } = await loadFixture(sale);
    const purchase = order.connect(buyer).buy({ value: price });
    await expect(purchase).to.changeEtherBalances([buyer, seller], [-price, price]);
    await expect(purchase).to.emit(order, "OrderSold").withArgs(seller.address, buyer.address, price);
    expect([await order.verifyOwnership(buyer), await order.verifyOwnership(stranger)]).to.deep.equal([true, false]);
    await expect(order.connect(stranger).buy({ value: price })).to.be.revertedWithCustomError(order, "AlreadySold").withArgs(buyer.address);
  });

  it("refuses the seller and a wrong price", async () => {
    const { order, buyer } = await loadFixture(sale);
    await expect(order.buy({ value: price })).to.be.revertedWithCustomError(order, "SellerCannotBuy");
    await expect(order.connect(buyer).buy({ value: price - 1n }))
      .to.be.revertedWithCustomError(order, "WrongPrice").withArgs(price - 1n, price);
    await expect(order.connect(buyer).verifyOwnership(buyer)).to.eventually.equal(false);
  });

  it("a market is opened by the script", async () => {
    const hardhat = require.resolve("hardhat/internal/cli/cli.js");
    const parameters = [hardhat, "--network", network.name, "run", "--no-compile", "scripts/open-market.cjs"];
    const market = JSON.parse(execFileSync(process.execPath, parameters, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));
    const registry = await ethers.getContractAt("OrderRegistry", market.registry);
    expect(await registry.isOrder(market.order)).to.equal(true);
    const order = await ethers.getContractAt("RegisteredSaleOrder", market.order);
    expect(await order.seller()).to.equal(market.seller);
  });
});
