#!/usr/bin/env node
// The compiler that npm ships, for Foundry: reads the compiler's standard JSON from the standard input, as `solc --standard-json` does.
// It takes no files, so that everything compiled here has come with the project or by npm.

const { readFileSync } = require("node:fs");
const solc = require("solc");

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc.cjs: only --version and --standard-json are understood\n");
  process.exitCode = 2;
}
