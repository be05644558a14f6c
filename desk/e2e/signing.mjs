// The three ways to sign: a wallet, a key of the page, the node's accounts (which the orders' stories use).

import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toFunctionSelector } from "viem";
import { call, mined, sign, until } from "./parts.mjs";
import { offer } from "./orders.mjs";
import { injectWallet } from "./wallet.mjs";
import { operator, rich, seller, walletOwner } from "./world.mjs";

const password = "correct horse battery";

async function forSale({ window, told }, serial, price = "1") {
  const { page, to, close } = await window();
  await to("sell");
  await page.getByLabel("Address of the registry").fill(told.registry);
  await page.getByRole("button", { name: "Use this registry" }).click();
  await sign(page, seller);
  const made = await offer(page, { Make: "drone", Model: "beta", Year: "2020", "Serial number": serial, Price: price, "Warehouse account": operator });
  await close();
  return made;
}

export const stories = {
  "a wallet is found, brought to the network, buys and signs a code": {
    async story(stage) {
      const { window, world } = stage;
      const { href } = await forSale(stage, "W1");
      const at = await window({ init: [injectWallet, { account: walletOwner, name: "Test Wallet" }] });
      const { page, to } = at;
      await to("signing");
      await page.getByRole("button", { name: "Connect", exact: true }).click();
      await page.getByText("Connected.").waitFor();
      await page.getByRole("button", { name: /Add this network/ }).click();
      await page.getByText("knows this network now").waitFor();
      const added = await page.evaluate(() => globalThis.walletRequests.find(({ method }) => method === "wallet_addEthereumChain").params[0]);
      assert.equal(Number(added.chainId), Number(await call(world.url, "eth_chainId")), "the wallet is told this chain's id");
      assert.equal(added.rpcUrls[0], new URL("/", world.desk).href);
      assert.deepEqual(added.nativeCurrency, { name: "Ether", symbol: "ETH", decimals: 18 });
      await to(href.slice(2));
      await page.getByRole("button", { name: /^Pay 1 ETH/ }).waitFor();
      await page.evaluate(() => (globalThis.walletDeclines = true));
      await page.getByRole("button", { name: /^Pay 1 ETH/ }).click();
      await page.getByText("You declined in your wallet").waitFor();
      await page.evaluate(() => (globalThis.walletDeclines = false));
      await page.getByRole("button", { name: /^Pay 1 ETH/ }).click();
      await page.getByLabel("Device", { exact: true }).fill("dock-1");
      await page.getByRole("button", { name: "Sign and make the code" }).click();
      await page.getByRole("heading", { name: "Your code" }).waitFor();
      const read = world.run("code", "read", await page.locator("[data-code]").getAttribute("data-code"));
      assert.match(read.toLowerCase(), new RegExp(`buyer\\s+${walletOwner}`), "the wallet's account signed");
    },
  },

  "a key is created, exported, forgotten, imported, and sells": {
    async story({ window, world, told }) {
      const { page, to } = await window();
      await to("signing");
      await page.getByRole("button", { name: "Create a key" }).click();
      await page.getByLabel("New password").fill(password);
      await page.getByLabel("The same again").fill("other");
      await page.getByRole("button", { name: "Create and download the file" }).click();
      await page.getByText("The two passwords differ").waitFor();
      await page.getByLabel("The same again").fill(password);
      await page.getByLabel("Strength").selectOption("light");
      const download = page.waitForEvent("download");
      await page.getByRole("button", { name: "Create and download the file" }).click();
      const file = join(world.folder, "desk-key.json");
      const made = await download;
      assert.match(made.suggestedFilename(), /^UTC--.*--[0-9a-f]{40}$/);
      await made.saveAs(file);
      const keystore = JSON.parse(readFileSync(file, "utf8"));
      const address = `0x${keystore.address}`;
      assert.deepEqual([keystore.version, keystore.crypto.kdf, keystore.crypto.kdfparams.n], [3, "scrypt", 4096]);
      await page.getByText("signs now").waitFor();
      const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage }));
      assert.ok(kept.includes(keystore.crypto.ciphertext), "the encrypted file is kept");

      const exported = page.waitForEvent("download");
      await page.getByRole("button", { name: "Export the file" }).click();
      assert.deepEqual(JSON.parse(readFileSync(await (await exported).path(), "utf8")), keystore, "the export is the file");
      await page.getByRole("button", { name: "Forget …" }).click();
      await page.getByRole("button", { name: /Yes, forget it/ }).click();
      await page.getByText("signs now").waitFor({ state: "detached" });
      assert.equal(await page.evaluate(() => localStorage.getItem("drawbridge.keys")), null, "nothing of it is left");

      await page.getByRole("button", { name: "Import a keystore file" }).click();
      await page.getByLabel("Keystore file").setInputFiles(file);
      await page.getByLabel("Its password").fill("wrong");
      await page.getByRole("button", { name: "Open and import" }).click();
      await page.getByText("Wrong password").waitFor();
      await page.getByLabel("Its password").fill(password);
      await page.getByRole("button", { name: "Open and import" }).click();
      await page.getByText("signs now").waitFor();

      await mined(world.url, await call(world.url, "eth_sendTransaction", { from: rich, to: address, value: "0xde0b6b3a7640000" }));
      await to("sell");
      await page.getByLabel("Address of the registry").fill(told.registry);
      await page.getByRole("button", { name: "Use this registry" }).click();
      const { order } = await offer(page, { Make: "drone", Model: "gamma", Year: "2021", "Serial number": "K1", Price: "2", "Warehouse account": "" });
      const owner = await call(world.url, "eth_call", { to: order, data: toFunctionSelector("seller()") }, "latest");
      assert.equal(`0x${owner.slice(26)}`, address, "the key of the page is the seller");
      // A page that is loaded again has the file, and not the key.
      await page.reload();
      await to("signing");
      await page.getByText("locked", { exact: true }).waitFor();
    },
  },

  "a keystore file that the node made is opened": {
    async story({ window, world }) {
      const folder = join(world.folder, "accounts");
      const words = join(world.folder, "words");
      writeFileSync(words, `${password}\n`);
      world.run("account", "new", "--datadir", folder, "--password", words, "--lightkdf");
      const store = join(folder, "keystore");
      const [name] = readdirSync(store);
      const { page, to } = await window();
      await to("signing");
      await page.getByRole("button", { name: "Import a keystore file" }).click();
      await page.getByLabel("Keystore file").setInputFiles(join(store, name));
      await page.getByLabel("Its password").fill(password);
      await page.getByRole("button", { name: "Open and import" }).click();
      await page.getByText("signs now").waitFor();
      const address = JSON.parse(readFileSync(join(store, name), "utf8")).address;
      await until("the account on the page", async () => (await page.locator("main").innerText()).toLowerCase().includes(address.toLowerCase().replace(/^0x/, "")));
    },
  },
};
