// The world of the stories: a node with its broker on a chain that mines by itself, a registry, a bridge, and a device whose lock notes what it
// does. It stands until the last story is told.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Warehouse } from "../../scripts/orders-parts.mjs";
import { call, mined, preview } from "./parts.mjs";

export const settled = "2";
// The first accounts of a development chain, which the node signs for.
export const [rich, seller, buyer, walletOwner, operator, stranger, waiting] = [
  "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
  "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
  "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
  "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
  "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
  "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
  "0x976ea74026e726554db657fa54763abd0c3a0aa9",
];

export const artifact = (name) => JSON.parse(readFileSync(new URL(`../../contracts/artifacts/${name}.json`, import.meta.url), "utf8"));

export class World extends Warehouse {
  async begin_() {
    this.certificates();
    const node = await this.node("150ms");
    this.nodePart = node;
    this.previews = [];
    this.desk = process.env.DESK_E2E_PREVIEW ? await preview(this.url, (child) => this.previews.push(child)) : `${this.url}/desk/`;
    const html = await fetch(this.desk).then((response) => response.text());
    if (!html.includes('id="desk"')) throw new Error(`${this.desk} serves no desk: build it by scripts/desk.sh and the program after it`);
  }

  // Bridge and device, once the registry is known.
  async gate(registry) {
    this.bridgePart = await this.bridge(registry, operator, settled);
    this.devicePart = await this.deskDevice("dock-1", registry);
  }

  async deskDevice(name, registry) {
    const program = join(dirname(process.env.DRAWBRIDGE_BIN), "drawbridge-device");
    const part = this.begin(`device-${name}`, program, [
      ...["--name", name, ...this.broker(name), "--chain-id", "1337", "--registry", registry, "--rpc.url", this.url, "--settled", settled],
      ...["--actuator", `simulated:${this.lock(name)}`, "--open-time", "1s", "--journal", join(this.folder, `${name}.journal`), "--desk"],
    ]);
    await part.line((text) => text.includes("connected to the broker"), "connection");
    return part;
  }

  async deploy(name, ...args) {
    const { bytecode } = artifact(name);
    const hash = await call(this.url, "eth_sendTransaction", { from: rich, data: bytecode + args.join(""), gas: "0x4c4b40" });
    const { status, contractAddress } = await mined(this.url, hash);
    if (status !== "0x1") throw new Error(`${name} was not deployed`);
    return contractAddress;
  }

  async stop() {
    for (const child of this.previews ?? []) child.kill();
    await super.stop();
  }
}
