// A Truffle project against a Drawbridge node in development: the node holds the accounts and signs.

const { dirname } = require("node:path");
const { hostname, port } = new URL(process.env.DRAWBRIDGE_URL || "http://127.0.0.1:8545");

module.exports = {
  networks: {
    drawbridge: { host: hostname, port: Number(port), network_id: "*" },
  },
  mocha: { timeout: 60000 },
  compilers: {
    // The folder of the compiler that npm has installed; a version such as "0.5.16" has Truffle fetch it.
    solc: { version: dirname(require.resolve("solc")), settings: { optimizer: { enabled: true, runs: 200 } } },
  },
};
