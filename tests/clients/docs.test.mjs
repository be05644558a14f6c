// The snippets of docs/clients.md for client libraries, as they stand but for the port.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { httpUrl } from "./node.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs/clients.md"), "utf8");
const secondsMax = 120;

// Inside the project, so that packages are found.
mkdirSync(new URL("node_modules", import.meta.url), { recursive: true });
const folder = mkdtempSync(fileURLToPath(new URL("node_modules/.docs-", import.meta.url)));
after(() => rmSync(folder, { recursive: true }));

const interpreters = { js: process.execPath, python: process.env.CLIENTS_PYTHON || "python3" };
const snippets = [...page.matchAll(/^```(js|python) ([\w.]+)\n([^]*?)^```$/gm)];

describe("docs/clients.md", () => {
  test("has a snippet for each library", () => {
    assert.deepEqual(snippets.map(([, , name]) => name), ["ethers.mjs", "viem.mjs", "web3.mjs", "web3_py.py"]);
  });

  for (const [, language, name, text] of snippets) {
    test(`${name} prints what it says`, () => {
      const expected = [...text.matchAll(/(?:\/\/|#) prints (.*)$/gm)].map(([, line]) => line);
      assert.notEqual(expected.length, 0);
      const path = join(folder, name);
      writeFileSync(path, text.replaceAll("http://127.0.0.1:8545", httpUrl));
      const environment = { ...process.env, NO_COLOR: "1" };
      const run = spawnSync(interpreters[language], [path], { cwd: root, env: environment, encoding: "utf8", timeout: secondsMax * 1000 });
      assert.equal(run.status, 0, `${run.error ?? ""}${run.stderr}`);
      assert.deepEqual(run.stdout.trim().split("\n"), expected);
    });
  }
});

describe("pages of other origins", () => {
  test("are let in by a development chain, as Remix asks", async () => {
    const origin = "https://remix.ethereum.org";
    const asking = { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" };
    const preflight = await fetch(httpUrl, { method: "OPTIONS", headers: asking });
    assert.equal(preflight.status, 200);
    assert.ok(["*", origin].includes(preflight.headers.get("access-control-allow-origin")));
    assert.match(preflight.headers.get("access-control-allow-methods"), /POST/);
    assert.match(preflight.headers.get("access-control-allow-headers"), /content-type|\*/i);
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_accounts", params: [] });
    const answer = await fetch(httpUrl, { method: "POST", headers: { origin, "content-type": "application/json" }, body });
    assert.ok(["*", origin].includes(answer.headers.get("access-control-allow-origin")));
    assert.ok((await answer.json()).result.length >= 10);
  });
});
