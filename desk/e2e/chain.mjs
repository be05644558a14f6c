// The explorer: blocks, transactions, contracts, the pool, a chain with a reorganisation, and a node that goes away and comes back.

import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeFunctionData } from "viem";
import { freePort } from "../../scripts/orders-parts.mjs";
import { call, mined, open, pause, preview, sign, until } from "./parts.mjs";
import { artifact, rich, seller, stranger, waiting } from "./world.mjs";

const transfer = (from, to, more = {}) => ({ from, to, value: "0xde0b6b3a7640000", ...more });

export const stories = {
  "the overview is live, and the search finds blocks, transactions and accounts": {
    async story({ world, window, shots }) {
      const { page, to } = await window();
      await to("");
      const height = page.locator(".figures dd a").first();
      const before = await height.innerText();
      await page.locator(".uplot canvas").first().waitFor();
      await until("a higher chain", async () => (await height.innerText()) !== before);
      await page.screenshot({ path: join(shots, "overview-desktop.png") });
      const receipt = await mined(world.url, await call(world.url, "eth_sendTransaction", transfer(rich, stranger)));
      const search = async (text) => {
        await page.getByLabel("Search by block number").fill(text);
        await page.getByRole("button", { name: "Search" }).click();
      };
      await search(receipt.transactionHash);
      await page.getByRole("heading", { name: "Transaction", exact: true }).waitFor();
      await page.getByText("done", { exact: true }).waitFor();
      await search(receipt.blockHash);
      await page.getByRole("heading", { name: `Block ${Number(receipt.blockNumber).toLocaleString("en-US")}` }).waitFor();
      await search(stranger);
      await page.getByRole("cell", { name: "1 ETH" }).first().waitFor();
      await search(String(Number(receipt.blockNumber)));
      await page.getByRole("cell", { name: "1 ETH" }).first().waitFor();
      await search("0x12zz");
      await page.getByText(/is no block number, no hash/).waitFor();
      await to("blocks");
      await page.getByRole("link", { name: "Older →" }).click();
      await page.getByRole("link", { name: "← Newer" }).waitFor();
    },
  },

  "a transaction shows its decoded input, logs, calls, and why it failed": {
    async story({ world, told, window }) {
      const { page, to } = await window();
      const sale = artifact("SaleOrder").abi;
      const logs = await call(world.url, "eth_getLogs", { address: told.registry, fromBlock: "0x0" });
      await to(`tx/${logs[0].transactionHash}`);
      await page.getByText("createOrder").first().waitFor();
      await page.getByText("4AA6").first().waitFor();
      await page.getByText("OrderCreated").waitFor();
      await page.getByRole("button", { name: "Trace the calls" }).click();
      await page.locator(".tree .badge", { hasText: "create" }).waitFor();
      // Buying what is sold fails; its gas is given, so that it is mined all the same.
      const data = encodeFunctionData({ abi: sale, functionName: "buy" });
      const failed = await mined(world.url, await call(world.url, "eth_sendTransaction", { from: stranger, to: told.order, data, value: "0x1", gas: "0x30d40" }));
      assert.equal(failed.status, "0x0");
      await to(`tx/${failed.transactionHash}`);
      await page.getByText("failed: reverted").waitFor();
      await page.getByText(/AlreadySold\(buyer: 0x/).first().waitFor();
      await to(`tx/0x${"12".repeat(32)}`);
      await page.getByText(/knows neither a block nor a transaction/).waitFor();
    },
  },

  "a contract is read and written by an uploaded ABI": {
    async story({ world, window }) {
      const { page, to } = await window();
      const { abi, bytecode } = artifact("Events");
      const address = await world.deploy("Events");
      assert.ok(bytecode.length > 2);
      await to("contracts");
      await page.getByLabel("Contract", { exact: true }).fill(address);
      await page.getByLabel("Or the ABI as text").fill("{}");
      await page.getByRole("button", { name: "Keep the ABI" }).click();
      await page.getByText("There is no ABI in this JSON").waitFor();
      await page.getByLabel("ABI file").setInputFiles(new URL("../../contracts/artifacts/Events.json", import.meta.url).pathname);
      await page.getByRole("button", { name: "Keep the ABI" }).click();
      await page.getByRole("heading", { name: "Contract", exact: true }).waitFor();
      await page.getByText("Events", { exact: true }).first().waitFor();
      assert.ok(abi.length > 0);
      await to("contracts");
      await page.getByRole("cell", { name: "Events", exact: true }).waitFor();

      const token = await world.deploy("Token", "3e8".padStart(64, "0"));
      await to(`account/${token}?view=contract`);
      await page.getByRole("heading", { name: "ABI", exact: true }).waitFor();
      await page.getByLabel("Name", { exact: true }).fill("Planks");
      await page.getByLabel("Or the ABI as text").fill(JSON.stringify(artifact("Token").abi));
      await page.getByRole("button", { name: "Keep the ABI" }).click();
      await page.getByRole("heading", { name: "Read", exact: true }).waitFor();
      await page.getByText("totalSupply()").click();
      await page.locator("details[open]").getByRole("button", { name: "Read" }).click();
      await page.locator("details[open] dd").first().waitFor();
      await page.locator("summary", { hasText: "approve(address,uint256)" }).click();
      await sign(page, rich);
      const form = page.locator("details", { hasText: "approve(address,uint256)" });
      await form.getByRole("textbox").nth(0).fill(seller);
      await form.getByRole("textbox").nth(1).fill("1.5");
      await form.getByRole("button", { name: "Sign and send" }).click();
      await form.getByText(/is no whole number/).waitFor();
      await form.getByRole("textbox").nth(1).fill("12");
      await form.getByRole("button", { name: "Sign and send" }).click();
      await form.getByText("Mined:").waitFor();
      await to(`account/${token}?view=events`);
      await page.getByText("Approval").first().waitFor();
    },
  },

  "the pool says why a transaction waits": {
    async story({ world, window }) {
      const { page, to } = await window();
      await to("pool");
      const nonce = Number(await call(world.url, "eth_getTransactionCount", waiting, "latest"));
      const hash = await call(world.url, "eth_sendTransaction", transfer(waiting, rich, { nonce: `0x${(nonce + 1).toString(16)}`, gas: "0x5208", gasPrice: "0x77359400" }));
      await page.getByText(/1 earlier nonces are missing/).waitFor();
      await to(`tx/${hash}`);
      await page.getByText("not mined yet").waitFor();
      await page.getByText(/earlier nonces are missing/).waitFor();
      // The missing one comes: both are mined, and the page says so by itself.
      await call(world.url, "eth_sendTransaction", transfer(waiting, rich, { nonce: `0x${nonce.toString(16)}`, gas: "0x5208", gasPrice: "0x77359400" }));
      await page.getByText("done", { exact: true }).waitFor();
    },
  },

  "a reorganisation is seen live: lost blocks, the tree, and a page that says orphan": {
    async story({ world, browser, shots }) {
      // Two chains of the same beginning; the longer one is then imported where the shorter one was mined.
      const node = async (name) => {
        const port = await freePort();
        const part = world.begin(name, process.env.DRAWBRIDGE_BIN, ["--dev", "--datadir", join(world.folder, name), "--http.port", String(port), "--ipcdisable"]);
        const url = `http://127.0.0.1:${port}`;
        await until(`${name} answers`, () => call(url, "eth_chainId").catch(() => null));
        return { part, url };
      };
      const [short, long] = [await node("short"), await node("long")];
      const fill = async ({ url }, blocks, to) => {
        for (let done = 0; done < blocks; done += 1) await mined(url, await call(url, "eth_sendTransaction", transfer(rich, to)));
      };
      await fill(short, 4, seller);
      await fill(long, 7, stranger);
      const file = join(world.folder, "long.rlp");
      await call(long.url, "admin_exportChain", file);
      const desk = process.env.DESK_E2E_PREVIEW ? await preview(short.url, (child) => world.previews.push(child)) : `${short.url}/desk/`;
      const { page, faults, to, close } = await open(browser, desk);
      const lost = await call(short.url, "eth_getBlockByNumber", "0x4", false);
      await to(`block/${lost.hash}`);
      await page.getByText("may still be reorganised").waitFor();
      await call(short.url, "admin_importChain", file);
      await page.getByText("orphan: not on the chain").waitFor();
      await page.getByText(/The chain has/).waitFor();
      await page.getByRole("link", { name: "Forks" }).click();
      await page.getByRole("cell", { name: "4 blocks undone" }).waitFor();
      const orphans = page.getByRole("region", { name: "Blocks that are not on the chain" });
      await until("four lost blocks", async () => (await orphans.locator("tbody tr").count()) === 4);
      assert.equal(await page.locator(".forks a[aria-label^='Lost block']").count(), 4);
      await page.screenshot({ path: join(shots, "forks-desktop.png"), fullPage: true });
      await page.getByRole("link", { name: "Overview" }).click();
      await page.getByText(/4 deep/).waitFor();
      const head = await call(short.url, "eth_getBlockByNumber", "latest", false);
      await until("the new chain on the page", async () => (await page.locator(".figures dd a").first().innerText()) === Number(head.number).toLocaleString("en-US"));
      assert.deepEqual(faults, []);
      await close();
      await short.part.stop();
      await long.part.stop();
    },
  },

  "a node that is killed and comes back: the page says so, reconnects and catches up": {
    alone: true,
    async story({ world, window }) {
      const at = await window();
      at.expect(/ERR_CONNECTION_REFUSED|WebSocket connection|Failed to load resource|status of 5\d\d/);
      const { page, to } = at;
      await to("blocks");
      await page.locator("tbody tr").first().waitFor();
      const before = Number(await call(world.url, "eth_blockNumber"));
      await world.nodePart.stop("SIGKILL");
      await page.getByText("The node is away; trying again").waitFor();
      await pause(500);
      const again = world.begin("node", world.nodePart.command, world.nodePart.args);
      world.nodePart = again;
      await page.locator(".connection.live").waitFor();
      const first = page.locator("tbody tr a").first();
      await until("blocks that came after the break", async () => Number((await first.innerText()).replace(/,/g, "")) > before + 3);
      // Without gaps: every block between is there.
      const numbers = (await page.locator("tbody tr td:first-child").allInnerTexts()).map((text) => Number(text.replace(/,/g, "")));
      numbers.forEach((number, index) => index > 0 && assert.equal(number, numbers[index - 1] - 1, "no gap in the list"));
      await to("");
      await page.locator(".uplot canvas").first().waitFor();
      await world.bridgePart.line((text) => text.includes("connected to the broker"), "connection of the bridge");
    },
  },
};
