// How an experiment with real parts runs: in a warehouse of its own, what it finds printed as tables, and an exit code at the end.

import assert from "node:assert/strict";
import { Warehouse } from "./orders-parts.mjs";

export function printTable(title, rows) {
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${title}\n${"-".repeat(title.length)}`);
  for (const [name, value] of rows) console.log(`${name.padEnd(width)}  ${value}`);
}

// Runs `experiment` in a new warehouse and ends the process: with 1 where something is not as it must be, after the last lines of every part.
export async function perform(name, experiment) {
  const warehouse = new Warehouse();
  try {
    assert.ok(process.env.DRAWBRIDGE_BIN, `DRAWBRIDGE_BIN is not set; run scripts/${name}.sh`);
    await experiment(warehouse);
  } catch (error) {
    for (const part of warehouse.parts) console.error(`\nThe end of what ${part.name} said:\n${part.tail()}`);
    console.error(`\n${name}: FAILED: ${error.message}\n${error.stack}`);
    process.exitCode = 1;
  }
  await warehouse.stop();
  // A connection that a killed part has left half open must not keep this program from ending.
  process.exit();
}
