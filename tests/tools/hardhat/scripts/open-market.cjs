// Deploys a registry and lets the second account place an order: `hardhat run scripts/open-market.cjs`.

const { ethers } = require("hardhat");

async function main() {
  const [, seller] = await ethers.getSigners();
  const registry = await ethers.deployContract("OrderRegistry");
  await registry.waitForDeployment();
  const placed = await registry.connect(seller).createOrder("drone", "alpha", 2019, "4AA6", ethers.parseEther("1"));
  const { logs } = await placed.wait();
  const order = logs.map((log) => registry.interface.parseLog(log)).find((event) => event?.name === "OrderCreated").args.order;
  console.log(JSON.stringify({ registry: registry.target, order, seller: seller.address }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
