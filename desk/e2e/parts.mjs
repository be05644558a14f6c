// What the stories are played with: browsers, windows that note every fault, calls to nodes, and a camera that sees a picture.

import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { PNG } from "pngjs";
import { freePort } from "../../scripts/orders-parts.mjs";

// The machine may be busy with other work: what a person waits for may take so long.
export const patienceMs = 60_000;
export const desktop = { width: 1280, height: 800 };
export const phone = { width: 390, height: 844 };

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let id = 0;
export async function call(url, method, ...params) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params }) });
  const { result, error } = await response.json();
  if (error) throw Object.assign(new Error(`${method}: ${error.message}`), error);
  return result;
}

export async function until(what, holds, ms = patienceMs) {
  for (const end = Date.now() + ms; ; await pause(50)) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

export async function mined(url, hash) {
  return until(`a receipt of ${hash}`, () => call(url, "eth_getTransactionReceipt", hash));
}

// Vite in place of the node's own pages, for work on the desk without building the node.
export async function preview(url, begin) {
  const port = await freePort();
  const folder = join(import.meta.dirname, "..");
  const child = spawn(join(folder, "node_modules/.bin/vite"), ["preview", "--host", "127.0.0.1", "--port", String(port), "--strictPort"], { cwd: folder, env: { ...process.env, DRAWBRIDGE_URL: url }, stdio: "ignore" });
  begin(child);
  const at = `http://127.0.0.1:${port}/desk/`;
  await until("Vite's preview", () => fetch(at).then(({ ok }) => ok, () => false));
  return at;
}

export const launch = (...more) => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage", ...more] });

// A window of its own, as another person has it. Everything that goes wrong in it is noted, and so is every request to another host.
export async function open(browser, desk, { viewport = desktop, colorScheme = "light", init, ...more } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce", ...more });
  context.setDefaultTimeout(patienceMs);
  if (init) await context.addInitScript(...(Array.isArray(init) ? init : [init]));
  const page = await context.newPage();
  const faults = [];
  const expected = [];
  const fault = (text) => {
    if (!expected.some((words) => words.test(text))) faults.push(text);
  };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && fault(`console: ${message.text()}`));
  page.on("pageerror", (error) => fault(`script: ${error.stack ?? error.message}`));
  page.on("request", (request) => {
    const { host, protocol } = new URL(request.url());
    if (/^(https?|wss?):$/.test(protocol) && host !== new URL(desk).host) fault(`a request to another host: ${request.url()}`);
  });
  const to = async (path) => {
    await page.goto(`${desk}#/${path}`);
    await page.locator("main h1").waitFor();
  };
  return { context, page, faults, expect: (words) => expected.push(words), to, close: () => context.close() };
}

// A film of one picture as a camera would see it: the code in the middle, gray around it.
export function film(png, file) {
  const picture = PNG.sync.read(readFileSync(png));
  const [width, height] = [640, 480];
  const side = 400;
  const luma = Buffer.alloc(width * height, 190);
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const at = (Math.floor((y * picture.height) / side) * picture.width + Math.floor((x * picture.width) / side)) * 4;
      luma[(top + y) * width + left + x] = picture.data[at] > 127 ? 235 : 16;
    }
  }
  const chroma = Buffer.alloc((width * height) / 2, 128);
  const frames = Array.from({ length: 3 }, () => [Buffer.from("FRAME\n"), luma, chroma]).flat();
  writeFileSync(file, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420jpeg\n`), ...frames]));
}

// Chooses who signs, by the account's address.
export async function sign(page, address) {
  const who = page.locator("#who");
  await who.waitFor();
  const value = await until(`the account ${address} in the list`, () => who.locator("option").evaluateAll((options, wanted) => options.map(({ value }) => value).find((each) => each.endsWith(wanted)), address.toLowerCase()));
  await who.selectOption(value);
}
