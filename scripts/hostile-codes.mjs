// Hostile codes that a scanner reads: each kind with the words of its refusal.

import assert from "node:assert/strict";
import { account, alphabet, buyer, jobOf, makeCode, refusalOf, scan, stranger } from "./orders-sales.mjs";

const now = () => Math.floor(Date.now() / 1000);

function forge(code, random) {
  const place = 3 + random(code.length - 3);
  const other = [...alphabet].filter((character) => character !== code[place])[random(alphabet.length - 1)];
  return code.slice(0, place) + other + code.slice(place + 1);
}

// A scanner that types nothing, or white space, types no code.
function noise(random) {
  const text = Array.from({ length: 1 + random(500) }, () => alphabet[random(alphabet.length)]).join("");
  return text.trim() === "" ? "?" : text;
}

// name → [what makes a code for a gate that has opened before, how its refusal reads]
export function hostileKinds({ warehouse, random, sold, unsold, impostor }) {
  const one = (list) => list[random(list.length)];
  const code = (gate, contract, more) => makeCode(warehouse, contract, { device: gate.name, ...more });
  const another = (gate) => `${gate.name}${random(9)}`;
  return {
    "an impostor's contract": [(gate) => code(gate, impostor), /no order of a registry/],
    "a code that was used": [(gate) => one(gate.used), /used before|expired/],
    "an expired code": [(gate) => code(gate, sold, { notAfter: now() - 1 - random(1_000_000) }), /expired/],
    "a code that counts too long": [(gate) => code(gate, sold, { notAfter: now() + 700 + random(1_000_000) }), /counts for/],
    "a forged code": [async (gate) => forge(await code(gate, sold), random), /signature|damaged|no device name/],
    "a stranger's code": [(gate) => code(gate, sold, { signer: stranger }), /owns the item/],
    "the buyer's name, a stranger's signature": [(gate) => code(gate, sold, { signer: stranger, named: buyer.address }), /not the buyer's/],
    "another device's code": [(gate) => code(gate, sold, { device: another(gate) }), /for the device/],
    "another chain's code": [(gate) => code(gate, sold, { chainId: 1 + random(1000) }), /for chain/],
    "an item that is not sold": [(gate) => code(gate, unsold), /owns the item/],
    "an item that was collected": [(gate) => code(gate, one(gate.collected)), /released before/],
    "a contract that is none": [(gate) => code(gate, account(6 + random(3)).address), /no order of a registry/],
    "a plain code": [() => `${sold},${buyer.address}`, /without the buyer's signature/],
    noise: [() => noise(random), /neither|characters|damaged/],
  };
}

// A device, and what it opened for.
export class Gate {
  constructor(name, device) {
    Object.assign(this, { name, device, used: [], collected: [], jobs: [], times: [] });
  }

  // Shows a code that must open the lock, once.
  async open(warehouse, contract) {
    const code = await makeCode(warehouse, contract, { device: this.name });
    const { text, at, scannedAt } = await scan(this.device, code);
    assert.match(text, /^opened /, `a good code at ${this.name}`);
    this.jobs.push(jobOf(text));
    this.times.push(at - scannedAt);
    this.used.push(code);
    this.collected.push(contract);
    return jobOf(text);
  }

  async refuse(name, code, refusal) {
    const { text } = await scan(this.device, code);
    assert.match(refusalOf(text) ?? text, refusal, `${name}: ${code}`);
  }
}

// Shows good and hostile codes at all gates at the same time, in an order that the seed chooses; each gate begins with a good one.
// Returns how many of each kind were refused.
export async function showCodes({ warehouse, stock, gates, good, attempts, kinds, random, told }) {
  const [names, counts] = [Object.keys(kinds), new Map(Object.keys(kinds).map((name) => [name, 0]))];
  let [goodLeft, hostileLeft] = [good - gates.length, attempts];
  assert.ok(goodLeft >= 0, "each gate needs a good code");
  const next = () => {
    if (goodLeft + hostileLeft === 0) return null;
    if (random(goodLeft + hostileLeft) < goodLeft) return (goodLeft -= 1), "good";
    hostileLeft -= 1;
    return names[(attempts - hostileLeft) % names.length];
  };
  const work = async (gate) => {
    await gate.open(warehouse, await stock.take());
    for (let kind = next(); kind !== null; kind = next()) {
      if (kind === "good") {
        await gate.open(warehouse, await stock.take());
      } else {
        const [make, refusal] = kinds[kind];
        await gate.refuse(kind, await make(gate), refusal);
        counts.set(kind, counts.get(kind) + 1);
      }
      told();
    }
  };
  await Promise.all(gates.map(work));
  return counts;
}
