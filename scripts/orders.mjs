// The order experiment, over JSON-RPC only, on the node that DRAWBRIDGE_URL names.
//
// A seller (web3.js) puts an item on the chain as a SaleOrder, a buyer (ethers) pays for it and gets a code, and a device reads
// codes and asks the chain whether to open. Every value is checked; the first that is off ends the run with exit code 1.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { Web3 } = require("web3");
const { Contract, JsonRpcProvider, formatEther, getAddress, isError, parseEther } = require("ethers");

const url = process.env.DRAWBRIDGE_URL;
const artifact = JSON.parse(readFileSync(new URL("../contracts/artifacts/SaleOrder.json", import.meta.url), "utf8"));
const item = { make: "drone", model: "alpha", year: 2019n, serialNumber: "4AA6", priceWei: parseEther("50") };

const gasCostOf = ({ gasUsed, gasPrice }) => gasUsed * gasPrice;
const ether = (wei) => `${formatEther(wei)} ETH`;

// Returns three accounts of the node that earn nothing by mining, so that their wallets change by what they do alone.
async function chooseAccounts(provider) {
  const coinbase = await provider.send("eth_coinbase", []).catch(() => null);
  const all = (await provider.send("eth_accounts", [])).map(getAddress);
  const chosen = all.filter((address) => address.toLowerCase() !== coinbase?.toLowerCase());
  assert.ok(chosen.length >= 3, `the node has ${all.length} unlocked accounts, at least 3 besides the coinbase are needed`);
  return chosen;
}

async function sell(seller) {
  const web3 = new Web3(url);
  const before = await web3.eth.getBalance(seller);
  const deployment = new web3.eth.Contract(artifact.abi).deploy({ data: artifact.bytecode, arguments: Object.values(item) });
  let receipt;
  const order = await deployment.send({ from: seller }).on("receipt", (mined) => {
    receipt = mined;
  });
  const after = await web3.eth.getBalance(seller);
  const block = await web3.eth.getBlock(receipt.blockHash);

  assert.equal(receipt.status, 1n, "the deployment succeeded");
  assert.equal(getAddress(receipt.contractAddress), getAddress(order.options.address), "the receipt names the contract");
  assert.equal(block.number, receipt.blockNumber, "the block is found by its hash");
  assert.equal(before - after, receipt.gasUsed * receipt.effectiveGasPrice, "the deployment cost the seller exactly its gas");
  assert.equal(await order.methods.isSold().call(), false, "nothing is sold yet");
  const { buyer, owner, sold, ...told } = await order.methods.getItem().call();
  for (const [name, value] of Object.entries(item)) assert.equal(told[name], value, `the contract keeps ${name}`);
  assert.deepEqual([sold, getAddress(owner), BigInt(buyer)], [false, seller, 0n], "the item is the seller's");
  return { contract: getAddress(order.options.address), receipt, block, before, after };
}

async function purchase(provider, contract, { seller, buyer, stranger }) {
  const order = new Contract(contract, artifact.abi, await provider.getSigner(buyer));
  const { priceWei } = await order.getItem();
  const [buyerBefore, sellerBefore] = [await provider.getBalance(buyer), await provider.getBalance(seller)];
  const receipt = await (await order.buy({ value: priceWei })).wait();
  const [buyerAfter, sellerAfter] = [await provider.getBalance(buyer), await provider.getBalance(seller)];
  const block = await provider.getBlock(receipt.blockHash);

  assert.equal(receipt.status, 1, "the purchase succeeded");
  assert.equal(priceWei, item.priceWei, "the price on the chain is the seller's");
  assert.equal(buyerBefore - buyerAfter, priceWei + gasCostOf(receipt), "the purchase cost the buyer exactly price and gas");
  assert.equal(sellerAfter - sellerBefore, priceWei, "the purchase gave the seller exactly the price");
  assert.equal(await provider.getBalance(contract), 0n, "the contract kept nothing");
  const { sold, owner, buyer: recorded } = await order.getItem();
  assert.deepEqual([sold, owner, recorded], [true, buyer, buyer], "the item is the buyer's");
  assert.deepEqual([...receipt.logs[0].args], [seller, buyer, priceWei], "the sale is logged");
  const again = await order.connect(provider).buy.staticCall({ value: priceWei, from: stranger }).catch((error) => error);
  assert.equal(again.revert?.name, "AlreadySold", "nothing is sold twice");
  return { code: `${contract},${buyer}`, sold: await order.isSold(), receipt, block, buyerBefore, buyerAfter, sellerAfter };
}

// What a device does with the text that it has read. No contract at the address means not verified.
async function verify(provider, code) {
  const [contract, claimant] = code.split(",").map(getAddress);
  try {
    return await new Contract(contract, artifact.abi, provider).verifyOwnership(claimant);
  } catch (error) {
    if (isError(error, "BAD_DATA")) return false;
    throw error;
  }
}

function printTable(title, rows) {
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${title}\n${"-".repeat(title.length)}`);
  for (const [name, value] of rows) console.log(`${name.padEnd(width)}  ${value}`);
}

async function run() {
  assert.ok(url, "DRAWBRIDGE_URL is not set; run scripts/orders.sh");
  const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1, pollingInterval: 50 });
  const [seller, buyer, stranger] = await chooseAccounts(provider);

  const sale = await sell(seller);
  printTable("Seller", [
    ["make", item.make],
    ["model", item.model],
    ["year", item.year],
    ["serial number", item.serialNumber],
    ["price", ether(item.priceWei)],
    ["seller", seller],
    ["previous block hash", sale.block.parentHash],
    ["block hash", sale.receipt.blockHash],
    ["contract address", sale.contract],
    ["wallet before", ether(sale.before)],
    ["wallet after", ether(sale.after)],
    ["gas", `${sale.receipt.gasUsed} at ${sale.receipt.effectiveGasPrice} wei`],
  ]);

  const bought = await purchase(provider, sale.contract, { seller, buyer, stranger });
  printTable("Buyer", [
    ["buyer", buyer],
    ["previous block hash", bought.block.parentHash],
    ["block hash", bought.receipt.blockHash],
    ["sold", bought.sold],
    ["code content", bought.code],
    ["wallet before", ether(bought.buyerBefore)],
    ["wallet after", ether(bought.buyerAfter)],
    ["gas", `${bought.receipt.gasUsed} at ${bought.receipt.gasPrice} wei`],
    ["seller's wallet after", ether(bought.sellerAfter)],
  ]);

  const readings = [
    ["valid data set", bought.code, true],
    ["invalid data set: a stranger", `${sale.contract},${stranger}`, false],
    ["invalid data set: the seller", `${sale.contract},${seller}`, false],
    ["invalid data set: no contract", `${stranger},${buyer}`, false],
  ];
  const rows = [];
  for (const [name, code, expected] of readings) {
    const verified = await verify(provider, code);
    assert.equal(verified, expected, `device: ${name}`);
    rows.push([name, `${code}  ${verified ? "verified" : "not verified"}`]);
  }
  printTable("Device", rows);
  console.log("\nEvery value is as it must be.");
  provider.destroy();
}

try {
  await run();
} catch (error) {
  console.error(`\norders: FAILED: ${error.message}\n${error.stack}`);
  process.exit(1);
}
