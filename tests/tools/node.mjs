// The node under test, its development accounts, and Foundry's programs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { HDNodeWallet, JsonRpcProvider, Mnemonic } from "ethers";

export const url = process.env.DRAWBRIDGE_URL;
if (!url) throw new Error("DRAWBRIDGE_URL is not set; run scripts/tools.sh, or name a running dev node");

// Set when another node is put in Drawbridge's place for comparison: skips what only Drawbridge promises.
export const otherNode = Boolean(process.env.DRAWBRIDGE_OTHER_NODE) && "another node stands in Drawbridge's place";

export const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1, pollingInterval: 50 });

const mnemonic = Mnemonic.fromPhrase("test test test test test test test test test test test junk");
export const accounts = Array.from({ length: 10 }, (_, index) => {
  const { address, privateKey } = HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${index}`);
  return { address, privateKey };
});

const secondsMax = 240;
// Where scripts/foundry.sh has put them.
const programs = { cast: process.env.TOOLS_CAST || "cast", forge: process.env.TOOLS_FORGE || "forge" };

// Runs one of Foundry's programs to its end and returns {status, stdout, stderr}.
export function foundry(name, parameters, { environment = {} } = {}) {
  const { status, signal, stdout, stderr, error } = spawnSync(programs[name], parameters.map(String), {
    cwd: fileURLToPath(new URL("./foundry", import.meta.url)),
    env: { ...process.env, FOUNDRY_DISABLE_NIGHTLY_WARNING: "1", NO_COLOR: "1", ...environment },
    encoding: "utf8",
    timeout: secondsMax * 1000,
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) throw error;
  assert.equal(signal, null, `${name} was ended by ${signal}`);
  return { status, stdout: stdout.trim(), stderr: stderr.trim() };
}

// The same for a run that has to succeed; returns what it printed.
export function foundryOutput(name, parameters, options) {
  const { status, stdout, stderr } = foundry(name, parameters, options);
  assert.equal(status, 0, `${name} ${parameters.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
}

export function cast(...parameters) {
  return foundryOutput("cast", [...parameters, "--rpc-url", url]);
}

export function castJson(...parameters) {
  return JSON.parse(cast(...parameters, "--json"));
}
