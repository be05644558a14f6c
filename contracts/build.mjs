// Builds the Solidity sources into artifacts/NAME.json, one per contract, with the settings recorded.
//
//   node build.mjs           writes the artifacts
//   node build.mjs --check   rebuilds in memory and compares; exits with 1 on any difference
//
// The output depends on the sources and on the pinned compiler alone: no time, no path of this machine.

import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const artifactsDir = join(here, "artifacts");

const settings = {
  evmVersion: "osaka",
  optimizer: { enabled: true, runs: 200 },
  // No hash of the sources in the bytecode: a comment may change without changing what is deployed.
  metadata: { bytecodeHash: "none" },
  viaIR: false,
};

// The test contracts show deprecated behaviour on purpose: 5159 is the deprecation of selfdestruct.
const expectedWarnings = new Map([["5159", /^test\/SelfDestruct\.sol$/]]);

function readSources() {
  const sources = {};
  for (const folder of ["", "test/"]) {
    for (const file of readdirSync(join(here, folder)).sort()) {
      if (!file.endsWith(".sol")) continue;
      const path = `${folder}${file}`;
      sources[path] = { content: readFileSync(join(here, path), "utf8") };
    }
  }
  return sources;
}

function compile(sources) {
  const outputSelection = {
    "*": {
      "*": [
        "abi",
        "evm.bytecode.object",
        "evm.bytecode.linkReferences",
        "evm.deployedBytecode.object",
        "evm.deployedBytecode.linkReferences",
      ],
    },
  };
  const input = { language: "Solidity", sources, settings: { ...settings, outputSelection } };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const findings = (output.errors ?? []).filter(
    ({ errorCode, sourceLocation }) => !expectedWarnings.get(errorCode)?.test(sourceLocation?.file ?? ""),
  );
  if (findings.length > 0) {
    throw new Error(findings.map((finding) => finding.formattedMessage).join("\n"));
  }
  return output.contracts;
}

// Returns file name ⇒ text of every artifact. Abstract contracts have no bytecode and get none.
function artifactsOf(contracts) {
  const artifacts = new Map();
  for (const [sourceName, inFile] of Object.entries(contracts)) {
    const names = Object.keys(inFile);
    if (names.length !== 1 || sourceName.split("/").at(-1) !== `${names[0]}.sol`) {
      throw new Error(`${sourceName}: holds ${names.join(", ")}; one contract per file, named like it`);
    }
    const [contractName] = names;
    const { abi, evm } = inFile[contractName];
    if (evm.bytecode.object === "") continue;
    const fileName = `${contractName}.json`;
    if (artifacts.has(fileName)) throw new Error(`${sourceName}: another contract has the same name`);
    const artifact = {
      contractName,
      sourceName,
      abi,
      bytecode: `0x${evm.bytecode.object}`,
      deployedBytecode: `0x${evm.deployedBytecode.object}`,
      linkReferences: evm.bytecode.linkReferences,
      deployedLinkReferences: evm.deployedBytecode.linkReferences,
      compiler: solc.version(),
      settings,
    };
    artifacts.set(fileName, `${JSON.stringify(artifact, null, 2)}\n`);
  }
  return artifacts;
}

function readArtifacts() {
  const artifacts = new Map();
  for (const file of readdirSync(artifactsDir).sort()) {
    artifacts.set(file, readFileSync(join(artifactsDir, file), "utf8"));
  }
  return artifacts;
}

// Names the first field that differs, since whole artifacts are long.
function describeDifference(fileName, checkedIn, rebuilt) {
  if (checkedIn === undefined) return `${fileName}: not checked in`;
  if (rebuilt === undefined) return `${fileName}: checked in, but no source gives it`;
  let old;
  try {
    old = JSON.parse(checkedIn);
  } catch (error) {
    return `${fileName}: not JSON: ${error.message}`;
  }
  const fresh = JSON.parse(rebuilt);
  const keys = [...new Set([...Object.keys(old), ...Object.keys(fresh)])];
  const differing = keys.filter((key) => JSON.stringify(old[key]) !== JSON.stringify(fresh[key]));
  return `${fileName}: ${differing.length > 0 ? differing.join(", ") : "white space or order"} differs from a rebuild`;
}

function check(rebuilt) {
  const checkedIn = readArtifacts();
  const files = [...new Set([...checkedIn.keys(), ...rebuilt.keys()])].sort();
  const differences = files
    .filter((file) => checkedIn.get(file) !== rebuilt.get(file))
    .map((file) => describeDifference(file, checkedIn.get(file), rebuilt.get(file)));
  if (differences.length > 0) {
    console.error(`contracts/artifacts is not what solc ${solc.version()} makes of the sources:`);
    for (const difference of differences) console.error(`  ${difference}`);
    console.error("Run `npm ci && node build.mjs` in contracts/ and commit the result.");
    process.exit(1);
  }
  console.log(`contracts: ${files.length} artifacts equal a rebuild with solc ${solc.version()}`);
}

function write(rebuilt) {
  rmSync(artifactsDir, { recursive: true, force: true });
  mkdirSync(artifactsDir);
  for (const [file, text] of rebuilt) writeFileSync(join(artifactsDir, file), text);
  console.log(`contracts: wrote ${rebuilt.size} artifacts with solc ${solc.version()}`);
}

try {
  const checking = process.argv.slice(2).includes("--check");
  const rebuilt = artifactsOf(compile(readSources()));
  if (checking) check(rebuilt);
  else write(rebuilt);
} catch (error) {
  console.error(`contracts: ${error.message}`);
  process.exit(1);
}
