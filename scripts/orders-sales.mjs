// What the order experiment and the hostile attempts share: accounts, sales, codes, and how a code is shown to a device.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { until } from "./orders-parts.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { Contract, ContractFactory, HDNodeWallet, JsonRpcProvider, Mnemonic, NonceManager } = require("ethers");
const { concat, getBytes, hexlify, randomBytes, toBeHex, toUtf8Bytes } = require("ethers");

// A device answers at the latest when the code's time is over.
const answerMsMax = 310_000;

export const artifactOf = (name) => JSON.parse(readFileSync(new URL(`../contracts/artifacts/${name}.json`, import.meta.url), "utf8"));
export const [saleAbi, registryArtifact] = [artifactOf("SaleOrder").abi, artifactOf("OrderRegistry")];

// The accounts of the development chain, whose mnemonic everybody knows.
const words = Mnemonic.fromPhrase("test test test test test test test test test test test junk");
export const account = (index) => HDNodeWallet.fromMnemonic(words, `m/44'/60'/0'/0/${index}`);
export const [seller, buyer, stranger, operator] = [1, 2, 3, 4].map(account);

const releaseTypes = {
  Release: [
    { name: "buyer", type: "address" },
    { name: "device", type: "string" },
    { name: "nonce", type: "bytes16" },
    { name: "notAfter", type: "uint64" },
  ],
};

const messageOf = (named, device, notAfter) => ({ buyer: named, device, nonce: hexlify(randomBytes(16)), notAfter: notAfter ?? Math.floor(Date.now() / 1000) + 300 });
const sign = (signer, chainId, contract, message) =>
  signer.signTypedData({ name: "Drawbridge", version: "1", chainId, verifyingContract: contract }, releaseTypes, message);

// A code that a buyer's wallet signs; the program puts it together and draws it.
export async function makeCode(warehouse, contract, { signer = buyer, named = signer.address, device = "dock-1", chainId = 1337, notAfter, png } = {}) {
  const message = messageOf(named, device, notAfter);
  const signature = await sign(signer, chainId, contract, message);
  const text = codeText("T1:", chainId, contract, message, signature);
  if (png) {
    const made = warehouse.run(
      ...["code", "make", "--contract", contract, "--chain-id", String(chainId), "--device", device, "--buyer", signer.address],
      ...["--nonce", message.nonce, "--not-after", String(message.notAfter), "--signature", signature, "--png", png],
    );
    assert.equal(made.trim(), text, "the program writes the code as it is written here");
  }
  return text;
}

// A code of a contract wallet, signed by these owners; the program puts it together too.
export async function makeWalletCode(warehouse, contract, wallet, owners, { device = "dock-1" } = {}) {
  const message = messageOf(wallet, device);
  const signature = concat(await Promise.all(owners.map((owner) => sign(owner, 1337, contract, message))));
  const made = warehouse.run(
    ...["code", "make", "--contract", contract, "--chain-id", "1337", "--device", device, "--buyer", wallet],
    ...["--nonce", message.nonce, "--not-after", String(message.notAfter), "--wallet-signature", signature],
  );
  const text = codeText("T2:", 1337, contract, message, signature);
  assert.equal(made.trim(), text, "the program writes the code as it is written here");
  return text;
}

// The characters of a code.
export const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

// The text of a code, by docs/devices.md: a second implementation, which must agree with the program's.
function codeText(prefix, chainId, contract, { buyer, device, nonce, notAfter }, signature) {
  const number = (value) => toBeHex(value, 8);
  const name = toUtf8Bytes(device);
  const bytes = getBytes(concat([number(chainId), contract, buyer, number(notAfter), nonce, toBeHex(name.length, 1), name, signature]));
  let text = prefix;
  for (let at = 0; at < bytes.length; at += 2) {
    const pair = at + 1 < bytes.length;
    const value = pair ? bytes[at] * 256 + bytes[at + 1] : bytes[at];
    text += alphabet[value % 45] + alphabet[Math.floor(value / 45) % 45] + (pair ? alphabet[Math.floor(value / 2025)] : "");
  }
  return text;
}

// Waits until a block is as deep as the device demands.
export const deepEnough = (provider, block, settled) =>
  until(`block ${block} is ${settled} deep`, async () => (await provider.getBlockNumber()) >= block + Number(settled));

export const jobOf = (text) => /job=(0x[0-9a-f]{64})/.exec(text)?.[1];
export const refusalOf = (text) => /reason=(.*)$/.exec(text)?.[1];

// Shows a code to the running device and returns its line about it.
export async function scan(device, code) {
  const skipped = device.count;
  const at = performance.now();
  device.child.stdin.write(`${code}\n`);
  const line = await device.line((text) => /^(opened|refused) /.test(text), "answer to a code", { skipped, ms: answerMsMax });
  return { ...line, scannedAt: at };
}

// A sale of a cheap item, bought by the buyer.
export async function freshSale(provider, registry, { buy = true } = {}) {
  const [place, pay] = [managed(seller, provider), managed(buyer, provider)];
  const made = await (await new Contract(registry, registryArtifact.abi, place).createOrder("drone", "beta", 2020n, hexlify(randomBytes(4)), 1000n)).wait();
  const contract = made.logs.map((log) => new Contract(registry, registryArtifact.abi).interface.parseLog(log)).find((log) => log?.name === "OrderCreated").args.order;
  await (await new Contract(contract, saleAbi, place).setOperator(operator.address)).wait();
  if (buy) await (await new Contract(contract, saleAbi, pay).buy({ value: 1000n })).wait();
  return contract;
}

const managers = new Map();
export function managed(wallet, provider) {
  if (!managers.has(wallet.address)) managers.set(wallet.address, new NonceManager(wallet.connect(provider)));
  return managers.get(wallet.address);
}

// The very code of an order, deployed by a stranger: it answers as an order would, and no registry knows it. It costs one wei.
export async function deployImpostor(provider) {
  const artifact = artifactOf("SaleOrder");
  const contract = await new ContractFactory(artifact.abi, artifact.bytecode, managed(stranger, provider)).deploy("drone", "beta", 2020n, "1", 1n);
  return (await contract.waitForDeployment()).getAddress();
}

// An impostor that the buyer paid.
export async function impostorSale(provider) {
  const contract = await deployImpostor(provider);
  await (await new Contract(contract, saleAbi, managed(buyer, provider)).buy({ value: 1n })).wait();
  return contract;
}

// A contract wallet of two owners that bought an item.
export async function walletSale(provider, registry, owners) {
  const artifact = artifactOf("Wallet");
  const wallet = await new ContractFactory(artifact.abi, artifact.bytecode, managed(stranger, provider)).deploy(...owners.map(({ address }) => address));
  const address = await (await wallet.waitForDeployment()).getAddress();
  const contract = await freshSale(provider, registry, { buy: false });
  await (await managed(buyer, provider).sendTransaction({ to: address, value: 1000n })).wait();
  const purchase = new Contract(contract, saleAbi).interface.encodeFunctionData("buy");
  await (await wallet.execute(contract, 1000n, purchase)).wait();
  return { contract, wallet: address };
}

// A client of a node that asks often enough for short block times.
export const providerOf = (url) => new JsonRpcProvider(url, undefined, { cacheTimeout: -1, pollingInterval: 20 });

export async function deployRegistry(provider) {
  const factory = new ContractFactory(registryArtifact.abi, registryArtifact.bytecode, managed(account(5), provider));
  return (await (await factory.deploy()).waitForDeployment()).getAddress();
}
