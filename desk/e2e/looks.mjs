// How every page looks and is used: on a phone and at a desk, light and dark, by keyboard, with axe's rules; and what the node says about it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { desktop, open, phone, until } from "./parts.mjs";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

// Every page, with what shows that it is complete.
const pagesOf = ({ registry, order }, transaction) => [
  ["overview", "", ".uplot canvas"],
  ["sell", "sell", "form"],
  ["buy", "buy", "form"],
  ["order", `buy/${order}`, ".facts"],
  ["collect", "collect", "form"],
  ["time-line", `collect/${order}`, ".steps .done"],
  ["signing", "signing", ".options"],
  ["blocks", "blocks", "tbody tr"],
  ["block", "block/1", ".facts"],
  ["transaction", `tx/${transaction}`, ".facts"],
  ["contract", `account/${registry}?view=contract`, "details"],
  ["account", `account/${registry}`, "tbody tr"],
  ["contracts", "contracts", "form"],
  ["pool", "pool", ".figures"],
  ["forks", "forks", ".forks svg"],
  ["cluster", "cluster", ".facts"],
  ["devices", "devices", "tbody tr"],
  ["device", "device/dock-1", ".facts"],
];

async function serious(page) {
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} – ${failureSummary?.split("\n")[1]?.trim()}`).join(" | ")}`);
}

async function judge({ world, told, browser, shots }, viewport, colorScheme) {
  const found = [];
  // The policy forbids axe's script, as it should; here alone it is passed by.
  const { page, faults, to, close } = await open(browser, world.desk, { viewport, colorScheme, bypassCSP: true });
  await page.goto(world.desk);
  await page.evaluate((registry) => localStorage.setItem("drawbridge.registry", JSON.stringify(registry)), told.registry);
  await page.reload();
  await page.addScriptTag({ path: axe });
  const transaction = await page.evaluate(async (address) => {
    const ask = { jsonrpc: "2.0", id: 1, method: "eth_getLogs", params: [{ address, fromBlock: "0x0" }] };
    const answer = await fetch("/", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(ask) });
    return (await answer.json()).result[0].transactionHash;
  }, told.registry);
  for (const [name, path, complete] of pagesOf(told, transaction)) {
    await to(path);
    await page.locator(`main ${complete}`).first().waitFor();
    found.push(...(await serious(page)).map((fault) => `${name}: ${fault}`));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) found.push(`${name}: the page is ${wide} px wider than the window`);
    if (viewport === phone && ["overview", "order", "sell", "time-line"].includes(name)) await page.screenshot({ path: join(shots, `${name}-phone.png`), fullPage: name !== "overview" });
  }
  assert.deepEqual(faults, []);
  assert.deepEqual(found, []);
  await close();
}

export const stories = {
  "axe finds no serious fault on any page, light, at a desk": { story: (stage) => judge(stage, desktop, "light") },
  "axe finds no serious fault on any page, dark, on a phone": { story: (stage) => judge(stage, phone, "dark") },

  "every page is reached and left by the keyboard": {
    async story({ window }) {
      const { page, to } = await window();
      await to("");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the page");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
      await page.getByRole("link", { name: "Blocks", exact: true }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Blocks" }).waitFor();
      await until("a new page has the focus", async () => (await page.evaluate(() => document.activeElement.tagName)) === "MAIN");
      await until("a new page's title", async () => (await page.title()) === "Blocks · Drawbridge");
      await page.goBack();
      await page.getByRole("heading", { name: "Overview" }).waitFor();
      // Whatever has the focus shows it.
      for (let step = 0; step < 30; step += 1) {
        await page.keyboard.press("Tab");
        const seen = await page.evaluate(() => {
          const at = document.activeElement;
          return at === document.body || getComputedStyle(at).outlineStyle !== "none";
        });
        assert.ok(seen, `step ${step}: the focus shows`);
      }
    },
  },

  "the menu opens on a phone, and the colours can be chosen": {
    async story({ window }) {
      const { page, to } = await window({ viewport: phone });
      await to("");
      const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const light = await ground();
      await page.getByRole("button", { name: "Menu" }).click();
      await page.getByLabel("Colours").selectOption("dark");
      assert.notEqual(await ground(), light);
      await page.getByRole("link", { name: "Pool" }).click();
      await page.getByRole("heading", { name: "Pool" }).waitFor();
      await page.reload();
      assert.notEqual(await ground(), light, "the choice stays");
    },
  },

  "the node forbids scripts, styles and connections that are not its own": {
    async story({ world, window }) {
      const response = await fetch(world.desk);
      const policy = response.headers.get("content-security-policy") ?? "";
      assert.match(policy, /default-src 'none'/);
      assert.match(policy, /script-src 'self'/);
      assert.doesNotMatch(policy, /'unsafe-inline'|'unsafe-eval'|https?:|\*/);
      const { page, to, expect } = await window();
      expect(/Content Security Policy|violates/);
      await to("");
      const inline = await page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "globalThis.ran = true";
        document.head.append(script);
        return globalThis.ran === true;
      });
      assert.equal(inline, false, "a script within the page does not run");
    },
  },

  "a page that does not exist says so": {
    async story({ window }) {
      const { page, to } = await window();
      await to("nothing/here");
      await page.getByText("There is no page “nothing”").waitFor();
      await to("block/99999999");
      await page.getByText("This node has no block 99999999").waitFor();
      await to("account/0x12");
      await page.getByText("is no address").first().waitFor();
    },
  },
};
