// A sale from the offer to the open lock, with seller and buyer each at their own window, and what must not open.

import assert from "node:assert/strict";
import { join } from "node:path";
import { call, film, sign, until } from "./parts.mjs";
import { buyer, operator, seller } from "./world.mjs";

async function fill(page, item) {
  for (const [label, value] of Object.entries(item)) await page.getByLabel(label, { exact: true }).fill(value);
}

export async function offer(page, item) {
  await fill(page, item);
  await page.getByRole("button", { name: "Sign and put up for sale" }).click();
  await page.getByRole("heading", { name: "It is for sale" }).waitFor();
  const share = page.locator("a[href*='#/buy/'][href*='registry=']").first();
  const href = await share.getAttribute("href");
  // The warehouse is named in a second transaction.
  await page.getByText("still being named").waitFor({ state: "detached" });
  assert.match(href, /^#\/buy\/0x[0-9a-f]{40}\?registry=0x[0-9a-f]{40}$/);
  return { href, order: /0x[0-9a-f]{40}/.exec(href)[0] };
}

export async function makeCode(page, device) {
  await page.getByLabel("Device", { exact: true }).fill(device);
  await page.getByRole("button", { name: "Sign and make the code" }).click();
  await page.getByRole("heading", { name: "Your code" }).waitFor();
  return page.locator("[data-code]").getAttribute("data-code");
}

async function useRegistry(page, registry) {
  await page.getByLabel("Address of the registry").fill(registry);
  await page.getByRole("button", { name: "Use this registry" }).click();
  await page.getByRole("heading", { name: "The item" }).waitFor();
}

const item = { Make: "drone", Model: "alpha", Year: "2019", "Serial number": "4AA6", Price: "50", "Warehouse account": operator };

export const stories = {
  "a seller deploys the registry": {
    needed: true,
    async story({ world, told, window }) {
      const { page, to } = await window();
      await to("sell");
      await sign(page, seller);
      await page.getByRole("button", { name: "Deploy a new registry" }).click();
      await page.getByRole("heading", { name: "The item" }).waitFor();
      told.registry = await page.evaluate(() => JSON.parse(localStorage.getItem("drawbridge.registry")));
      assert.equal(BigInt(await call(world.url, "eth_getTransactionCount", told.registry, "latest")), 1n);
      await world.gate(told.registry);
    },
  },

  "seller and buyer at two windows: sell, buy, code, camera, open lock": {
    needed: true,
    async story({ world, told, window, browser_, shots }) {
      const at = await window();
      await at.to("sell");
      await useRegistry(at.page, told.registry);
      await sign(at.page, seller);
      // A form with mistakes says so and sends nothing.
      await at.page.getByRole("button", { name: "Sign and put up for sale" }).click();
      await at.page.getByText("Fill in the make.").waitFor();

      const other = await window();
      const wallet = async (account) => BigInt(await call(world.url, "eth_getBalance", account, "latest"));
      const sold = await offer(at.page, item);
      await at.page.screenshot({ path: join(shots, "sell-desktop.png") });
      told.order = sold.order;
      await other.to(sold.href.slice(2));
      await other.page.getByRole("heading", { name: "drone alpha (2019)" }).waitFor();
      await other.page.getByText("The registry that the link names knows this order").waitFor();
      await sign(other.page, buyer);
      // The seller's list is live: the sale shows there without a reload.
      await at.page.getByRole("row", { name: /drone alpha.*for sale/ }).waitFor();
      const before = await wallet(seller);
      await other.page.getByRole("button", { name: /^Pay 50 ETH/ }).click();
      await at.page.getByRole("row", { name: /drone alpha.*sold/ }).waitFor();
      assert.equal((await wallet(seller)) - before, 50n * 10n ** 18n, "the seller has the price");

      await other.page.getByRole("heading", { name: "Code for the gate" }).waitFor();
      const text = await makeCode(other.page, "dock-1");
      await other.page.screenshot({ path: join(shots, "buy-desktop.png"), fullPage: true });
      const download = other.page.waitForEvent("download");
      await other.page.getByRole("button", { name: "Download as PNG" }).click();
      const png = join(world.folder, "desk-code.png");
      await (await download).saveAs(png);
      const read = world.run("code", "read", png);
      assert.match(read, /safe, signed by the buyer/, "the program reads the picture");
      const job = /job\s+(0x[0-9a-f]{64})/.exec(read)[1];
      assert.equal(world.run("code", "read", text).includes(job), true, "picture and text are the same code");
      await other.page.getByText("settled", { exact: true }).waitFor();

      const picture = join(world.folder, "camera.y4m");
      film(png, picture);
      const camera = await browser_("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${picture}`);
      const gate = await window({ permissions: ["camera"] }, camera);
      await gate.to("sell");
      await useRegistry(gate.page, told.registry);
      await gate.to("collect");
      await gate.page.getByRole("button", { name: "Scan with the camera" }).click();
      await gate.page.getByText(/The lock of dock-1 (is open|opened)/).waitFor();
      await until("the lock's own note", () => world.opened("dock-1").includes(job));
      await gate.page.locator(".steps li:not(.done)").waitFor({ state: "detached" });
      const steps = await gate.page.locator(".steps strong").allInnerTexts();
      assert.deepEqual(steps, ["Created by the seller", "Mined", "Warehouse named", "Sold", "Code made", "Scanned", "Desired in the shadow", "Delta to the device", "Released on the chain", "Lock opened", "Reported on the chain"]);
      await gate.page.screenshot({ path: join(shots, "collect-desktop.png"), fullPage: true });
      // Seller and buyer see it too.
      await at.page.getByRole("row", { name: /drone alpha.*collected/ }).waitFor();
      await other.page.getByText("The item was collected at the device dock-1").waitFor();
      Object.assign(told, { code: text, png, job });
    },
  },

  "a used code, another gate's code and a torn code open nothing": {
    async story({ world, told, window }) {
      const { page, to } = await window();
      await to("sell");
      await useRegistry(page, told.registry);
      const opened = world.opened("dock-1").length;
      const show = async (code) => {
        await to("collect");
        await page.getByLabel("Or type what a hand scanner reads").fill(code);
        await page.getByRole("button", { name: "Check" }).click();
      };
      await to("collect");
      await page.getByLabel("Or choose a picture of the code").setInputFiles(told.png);
      await page.getByText(/it was released at dock-1/).waitFor();
      await page.getByText("The lock stays closed.").waitFor();
      await show(told.code.slice(0, -4));
      await page.getByText(/The code is damaged/).waitFor();
      await show("hello");
      await page.getByText(/neither T1:… nor two addresses/).waitFor();
      await show(`${told.order},${buyer}`);
      await page.getByText(/a plain code carries no signature/).waitFor();
      const changed = told.code.slice(0, -1) + (told.code.endsWith("0") ? "1" : "0");
      await show(changed);
      await page.getByText(/the code is forged|The code is damaged|another account/).first().waitFor();
      assert.equal(world.opened("dock-1").length, opened, "nothing opened");
    },
  },

  "a contract that no registry knows is warned of": {
    async story({ world, told, window }) {
      const { encodeDeployData } = await import("viem");
      const { artifact, rich } = await import("./world.mjs");
      const { abi, bytecode } = artifact("SaleOrder");
      const data = encodeDeployData({ abi, bytecode, args: ["drone", "fake", 2020, "1", 1n] });
      const { mined } = await import("./parts.mjs");
      const receipt = await mined(world.url, await call(world.url, "eth_sendTransaction", { from: rich, data, gas: "0x4c4b40" }));
      const { page, to } = await window();
      await to(`buy/${receipt.contractAddress}?registry=${told.registry}`);
      await page.getByText("The registry does not know this contract").waitFor();
      await to("buy/0x0000000000000000000000000000000000000001");
      await page.getByText(/is no sales order|no contract of this kind/).waitFor();
    },
  },
};
