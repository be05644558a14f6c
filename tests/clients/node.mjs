// The node under test: where it listens, the dev accounts, the contracts, and JSON-RPC without any client library.

import { readFileSync } from "node:fs";
import { HDNodeWallet, Mnemonic } from "ethers";

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run scripts/clients.sh, or name a running dev node`);
  return value;
}

export const httpUrl = required("DRAWBRIDGE_URL");
export const wsUrl = process.env.DRAWBRIDGE_WS_URL || httpUrl.replace(/^http/, "ws");

// Set when another node is put in Drawbridge's place for comparison: skips what only Drawbridge promises.
export const otherNode = Boolean(process.env.DRAWBRIDGE_OTHER_NODE) && "another node stands in Drawbridge's place";

// The ten accounts of the dev chain: {address, privateKey}.
const mnemonic = Mnemonic.fromPhrase("test test test test test test test test test test test junk");
export const accounts = Array.from({ length: 10 }, (_, index) => {
  const { address, privateKey } = HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${index}`);
  return { address, privateKey };
});

export function artifact(name) {
  const url = new URL(`../../contracts/artifacts/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8"));
}

// Fills the placeholders of library addresses into an artifact's bytecode.
export function link({ bytecode, linkReferences }, addresses) {
  let linked = bytecode.slice(2);
  for (const libraries of Object.values(linkReferences)) {
    for (const [library, places] of Object.entries(libraries)) {
      const address = addresses[library].slice(2).toLowerCase();
      for (const { start, length } of places) {
        linked = linked.slice(0, start * 2) + address + linked.slice((start + length) * 2);
      }
    }
  }
  return `0x${linked}`;
}

export async function post(body) {
  const response = await fetch(httpUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return response.json();
}

// Returns the whole response object, error or result.
export function request(method, params = []) {
  return post({ jsonrpc: "2.0", id: 1, method, params });
}

export async function result(method, params = []) {
  const response = await request(method, params);
  if (response.error) throw new Error(`${method}: ${JSON.stringify(response.error)}`);
  return response.result;
}

// Rejects when an awaited event has not come, so that a lost notification fails by its name.
export function soon(promise, what, timeoutMs = 15_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} has not come within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
