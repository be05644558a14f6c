const Storms = artifacts.require("Storms");
const Tickets = artifacts.require("Tickets");

module.exports = async (deployer, network, [captain]) => {
  await deployer.deploy(Storms);
  await deployer.deploy(Tickets, { from: captain });
};
