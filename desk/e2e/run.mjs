// Tells the stories one after the other, each in windows of its own, and ends with exit code 1 at the first that does not go as it must.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, open } from "./parts.mjs";
import { stories as chain } from "./chain.mjs";
import { stories as devices } from "./devices.mjs";
import { stories as looks } from "./looks.mjs";
import { stories as orders } from "./orders.mjs";
import { stories as signing } from "./signing.mjs";
import { World } from "./world.mjs";

const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.some((word) => name.includes(word));
const shots = process.env.DESK_SCREENSHOTS ?? "target/desk-screenshots";
const lanes = Number(process.env.DESK_LANES ?? 2);

async function tell(name, story, world, browser) {
  const windows = [];
  const begun = performance.now();
  const more = [];
  const stage = {
    world,
    browser,
    // What a story leaves for those after it.
    told: world.told,
    shots,
    async window(options = {}, of = browser) {
      const window = await open(of, world.desk, options);
      windows.push(window);
      return window;
    },
    async browser_(...flags) {
      const another = await launch(...flags);
      more.push(another);
      return another;
    },
  };
  try {
    await story(stage);
    const faults = windows.flatMap(({ faults }) => faults);
    assert.deepEqual(faults, [], "nothing went wrong in any window");
    console.log(`  ok   ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    for (const [index, { page, faults }] of windows.entries()) {
      const file = join(world.folder, `failed-${index}.png`);
      const kept = process.env.DESK_FAILED ?? "";
      await page.screenshot({ path: kept ? join(kept, `failed-${index}.png`) : file, fullPage: true }).catch(() => {});
      console.error(`window ${index} at ${page.url()}; faults: ${JSON.stringify(faults, null, 1)}`);
      console.error(await page.locator("main").innerText({ timeout: 2000 }).catch(() => "no page"));
    }
    throw Object.assign(error, { message: `${name}: ${error.message}` });
  } finally {
    for (const window of windows) await window.close().catch(() => {});
    for (const each of more) await each.close().catch(() => {});
  }
}

const world = new World();
world.told = {};
let browser;
try {
  mkdirSync(shots, { recursive: true });
  await world.begin_();
  browser = await launch();
  const all = Object.entries({ ...orders, ...signing, ...chain, ...devices, ...looks });
  // Some make what others need, and some disturb others.
  const first = all.filter(([, { needed }]) => needed);
  const others = all.filter(([name, { needed }]) => !needed && isWanted(name));
  const alone = others.filter(([, { alone }]) => alone);
  const together = others.filter(([, { alone }]) => !alone);
  const queue = [...together];
  const lane = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      try {
        await tell(next[0], next[1].story, world, browser);
      } catch (error) {
        queue.length = 0;
        throw error;
      }
    }
  };
  for (const [name, { story }] of first) await tell(name, story, world, browser);
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane));
  const failed = ends.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  for (const [name, { story }] of alone) await tell(name, story, world, browser);
  console.log(`desk: ${first.length + others.length} stories in a real browser went as they must`);
} catch (error) {
  for (const part of world.parts) console.error(`\nThe end of what ${part.name} said:\n${part.tail()}`);
  console.error(`\ndesk-e2e: FAILED: ${error.message}\n${error.stack}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
  await world.stop();
}
