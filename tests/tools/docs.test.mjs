// The snippets of docs/clients.md for tools: excerpts are those of the projects here, and the commands are run as they stand.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { url } from "./node.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const page = readFileSync(join(here, "clients.md"), "utf8");
const snippets = [...page.matchAll(/^```(\w+) (\S+)\n([^]*?)^```$/gm)];
const secondsMax = 240;

describe("docs/clients.md", () => {
  test("shows the settings of the projects that run here", () => {
    const excerpts = snippets.filter(([, , name]) => name.startsWith("tests/tools/"));
    assert.deepEqual([...new Set(excerpts.map(([, , name]) => name.split("/")[2]))], ["hardhat", "foundry", "truffle"]);
    for (const [, , name, text] of excerpts) {
      const file = readFileSync(join(here, name.replace("tests/tools/", "")), "utf8");
      assert.ok(file.includes(text), `${name} does not have\n${text}`);
    }
  });

  test("has commands for Foundry that work one after the other", () => {
    const [[, , , text]] = snippets.filter(([, language, name]) => language === "sh" && name === "foundry");
    const programs = [process.env.TOOLS_CAST, process.env.TOOLS_FORGE].filter(Boolean).map(dirname);
    const environment = { ...process.env, NO_COLOR: "1", PATH: [...programs, process.env.PATH].join(":") };
    const run = spawnSync("bash", ["-eu", "-c", text.replaceAll("http://127.0.0.1:8545", url)], {
      cwd: join(here, "foundry"), env: environment, encoding: "utf8", timeout: secondsMax * 1000,
    });
    assert.equal(run.status, 0, `${run.error ?? ""}${run.stdout}${run.stderr}`);
    assert.match(run.stdout, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/);
    assert.match(run.stdout, /Deployed to: 0x/);
  });
});
