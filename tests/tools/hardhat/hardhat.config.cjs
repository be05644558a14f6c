// A Hardhat project against a Drawbridge node in development.

require("@nomicfoundation/hardhat-ethers");
require("@nomicfoundation/hardhat-chai-matchers");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

const version = "0.8.37";

// The compiler that npm has installed, so that Hardhat fetches none.
subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }, _, original) => {
  if (solcVersion !== version) return original();
  const { version: longVersion } = require("solc/package.json");
  return { version, longVersion, compilerPath: require.resolve("solc/soljson.js"), isSolcJs: true };
});

/** @type import("hardhat/config").HardhatUserConfig */
module.exports = {
  defaultNetwork: "drawbridge",
  networks: {
    drawbridge: {
      url: process.env.DRAWBRIDGE_URL || "http://127.0.0.1:8545",
      chainId: 1337,
      // "remote": the node signs with its own accounts. A list of keys, or {mnemonic}, has Hardhat sign.
      accounts: "remote",
    },
  },
  solidity: { version, settings: { evmVersion: "osaka", optimizer: { enabled: true, runs: 200 } } },
  mocha: { timeout: 60_000 },
};
