// The running parts of the order experiment, each a process of its own in one temporary folder: node, broker, nginx, bridge, device.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { request } from "node:https";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

const startMsMax = 60_000;
// How long anything may take that is waited for.
export const waitMsMax = 60_000;
// Lines of a part that are kept at least.
const linesKept = 4_000;
const program = process.env.DRAWBRIDGE_BIN;
// The device alone, beside the program.
const deviceProgram = join(dirname(program ?? ""), "drawbridge-device");

export const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Waits until `holds` says so, asked every so many milliseconds, and fails with `what` where it never does.
export async function until(what, holds, every = 20) {
  for (const end = Date.now() + waitMsMax; !(await holds()); await pause(every)) assert.ok(Date.now() < end, `waited ${waitMsMax} ms until ${what}`);
}

// Sends a request over HTTPS and returns status and text of the answer.
export function ask(options, body) {
  return new Promise((resolve, reject) => {
    const asking = request({ host: "localhost", ...options }, (response) => {
      let text = "";
      response.on("data", (part) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode, text }));
      response.on("error", reject);
    });
    asking.on("error", reject);
    asking.setTimeout(waitMsMax, () => asking.destroy(new Error(`no answer of port ${options.port} within ${waitMsMax} ms`)));
    asking.end(body);
  });
}

// A server in a node's place: it says what `answer` makes of a request's body, or breaks the connection off where that is null.
export async function inNodesPlace(answer) {
  const give = async (asked, response) => {
    let body = "";
    for await (const part of asked) body += part;
    const text = await answer(body);
    if (text === null) asked.socket.destroy();
    else response.setHeader("content-type", "application/json").end(text);
  };
  const server = createHttpServer((asked, response) => void give(asked, response).catch(() => asked.socket.destroy())).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: server.address().port, close: () => (server.closeAllConnections(), server.close()) };
}

// Waits until something listens on a port, or fails with the process that should.
async function listens(port, part) {
  for (const end = Date.now() + startMsMax; Date.now() < end; await pause(10)) {
    if (part.child.exitCode !== null) throw new Error(`${part.name} ended with ${part.child.exitCode}:\n${part.tail()}`);
    const socket = connect(port, "127.0.0.1");
    const open = await Promise.race([once(socket, "connect").then(() => true), once(socket, "error").then(() => false)]).catch(() => false);
    socket.destroy();
    if (open) return;
  }
  throw new Error(`${part.name} does not listen on ${port}:\n${part.tail()}`);
}

// A process, its lines, and who waits for them. One with workers of its own is killed with them, as a group.
class Part {
  constructor(name, command, args, folder, isGroup) {
    [this.name, this.command, this.args, this.isGroup] = [name, command, args, isGroup];
    // The latest lines, and the count of all that there were.
    [this.lines, this.count] = [[], 0];
    this.waiting = new Set();
    const environment = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("DRAWBRIDGE_")));
    environment.PATH += ":/usr/sbin";
    this.child = spawn(command, args, { cwd: folder, env: environment, stdio: ["pipe", "pipe", "pipe"], detached: isGroup });
    const log = createWriteStream(join(folder, `${name}.log`), { flags: "a" });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on("line", (text) => {
        const line = { at: performance.now(), text };
        this.lines.push(line);
        this.count += 1;
        if (this.lines.length > 2 * linesKept) this.lines.splice(0, linesKept);
        log.write(`${text}\n`);
        for (const look of [...this.waiting]) look(line);
      });
    }
    this.ended = once(this.child, "exit");
  }

  tail() {
    return this.lines.slice(-20).map(({ text }) => text).join("\n");
  }

  // Resolves with the first line for which `matches` holds, of those that come and of those that came after the first `skipped`.
  line(matches, what, { skipped = 0, ms = 30_000 } = {}) {
    const dropped = this.count - this.lines.length;
    const found = this.lines.slice(Math.max(0, skipped - dropped)).find(({ text }) => matches(text));
    if (found) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const stop = (settle, value) => {
        clearTimeout(timer);
        this.waiting.delete(look);
        settle(value);
      };
      const look = (line) => matches(line.text) && stop(resolve, line);
      const timer = setTimeout(() => stop(reject, new Error(`${this.name}: no ${what} within ${ms} ms:\n${this.tail()}`)), ms);
      this.waiting.add(look);
    });
  }

  // Resolves when the part, a client of the broker, says that it is connected.
  connected() {
    return this.line((text) => text.includes("connected to the broker"), "connection");
  }

  async stop(signal = "SIGTERM") {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(this.isGroup ? -this.child.pid : this.child.pid, signal);
    await this.ended;
  }
}

export class Warehouse {
  constructor() {
    this.folder = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), "drawbridge-orders."));
    // Started by root, nginx reads the logins as another user.
    chmodSync(this.folder, 0o755);
    this.parts = [];
    this.data = join(this.folder, "node");
  }

  run(...args) {
    return execFileSync(program, args, { cwd: this.folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  begin(name, command, args, isGroup = false) {
    const part = new Part(name, command, args, this.folder, isGroup);
    this.parts.push(part);
    return part;
  }

  // The authority of the warehouse, and certificates for its devices and for services such as the bridge.
  certificates(devices = ["dock-1"], services = ["bridge"]) {
    this.run("device", "ca", "init", "--datadir", this.data, "--hosts", "localhost,127.0.0.1");
    for (const [name, ...more] of [...devices.map((name) => [name]), ...services.map((name) => [name, "--service"])]) {
      this.run("device", "add", name, ...more, "--datadir", this.data, "--out", join(this.folder, name));
    }
    this.ca = join(this.data, "devices", "ca.pem");
  }

  // Certificate and key of a device.
  identity(name) {
    const file = (end) => readFileSync(join(this.folder, name, `${name}.${end}`));
    return { cert: file("pem"), key: file("key"), ca: readFileSync(this.ca) };
  }

  // A node on a development chain that mines a block every so often, or for each transaction where no period is given.
  async chain(name, period, ...more) {
    const http = await freePort();
    const node = ["--dev", ...(period ? ["--dev.period", period] : []), "--http.port", String(http), "--ipcdisable", ...more];
    const part = this.begin(name, program, node);
    await listens(http, part);
    return { part, http, url: `http://127.0.0.1:${http}` };
  }

  // The node with its broker in one process.
  async node(period) {
    [this.mqtt, this.api] = [await freePort(), await freePort()];
    const broker = ["--mqtt", "--mqtt.port", String(this.mqtt), "--mqtt.httpsport", String(this.api)];
    const { part, http, url } = await this.chain("node", period, "--datadir", this.data, ...broker);
    await listens(this.mqtt, part);
    [this.http, this.url] = [http, url];
    return part;
  }

  // The broker with the shadow service in a process of its own.
  async ownBroker() {
    [this.mqtt, this.api] = [await freePort(), await freePort()];
    const ports = ["--mqtt.port", String(this.mqtt), "--mqtt.httpsport", String(this.api)];
    const part = this.begin("broker", program, ["device", "serve", "--datadir", this.data, ...ports]);
    await listens(this.mqtt, part);
    await listens(this.api, part);
    return part;
  }

  // Mosquitto as the broker, and the shadow service as its client.
  async mosquitto() {
    this.mqtt = await freePort();
    const [acl, config] = [join(this.folder, "mosquitto.acl"), join(this.folder, "mosquitto.conf")];
    const everything = ["shadow-service", "bridge"].map((name) => `user ${name}\ntopic readwrite $aws/things/#\ntopic readwrite drawbridge/#\n`);
    writeFileSync(acl, `${everything.join("")}pattern readwrite $aws/things/%u/shadow/#\n`);
    const files = { cafile: "ca.pem", certfile: "server.pem", keyfile: "server.key", crlfile: "crl.pem" };
    const lines = Object.entries(files).map(([word, file]) => `${word} ${join(this.data, "devices", file)}`);
    lines.unshift("per_listener_settings true", `listener ${this.mqtt} 127.0.0.1`);
    lines.push("require_certificate true", "use_identity_as_username true", `acl_file ${acl}`, "set_tcp_nodelay true");
    // Started by root, Mosquitto would give up the right to read the key.
    if (process.getuid() === 0) lines.push("user root");
    writeFileSync(config, `${lines.join("\n")}\n`);
    const broker = this.begin("mosquitto", "mosquitto", ["-c", config]);
    await listens(this.mqtt, broker);
    const service = this.begin("shadows", program, [
      ...["device", "serve", "--datadir", join(this.folder, "shadows"), "--broker", `localhost:${this.mqtt}`],
      ...this.identityFlags("shadow-service"),
    ]);
    await service.connected();
    return { broker, service };
  }

  // Ends a part as a power cut would, and starts it again in the same way.
  async killAndRestart(part, ...ports) {
    await part.stop("SIGKILL");
    const again = this.begin(part.name, part.command, part.args, part.isGroup);
    for (const port of ports) await listens(port, again);
    return again;
  }

  // nginx before a node, and before a second one that is not there, so that failover is at work too.
  async proxy(node = this.http, name = "proxy") {
    return this.proxyOf([await freePort(), node], name, "--rate", "100000", "--burst", "100000", "--connections", "1000");
  }

  async proxyOf(nodes, name, ...limits) {
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(this.folder, "dock-1.password"), "open sesame\n");
    const hash = execFileSync("openssl", ["passwd", "-apr1", "open sesame"], { encoding: "utf8" }).trim();
    writeFileSync(join(folder, "logins"), `dock-1:${hash}\n`);
    const https = await freePort();
    const config = this.run(
      ...["proxy", "nginx", "--listen", `127.0.0.1:${https}`, "--nodes", nodes.map((port) => `127.0.0.1:${port}`).join(",")],
      ...["--certificate", join(this.data, "devices", "server.pem"), "--certificate-key", join(this.data, "devices", "server.key")],
      ...["--logins", join(folder, "logins"), ...limits, "--standalone", folder],
    );
    writeFileSync(join(folder, "nginx.conf"), config);
    const part = this.begin("nginx", "nginx", ["-p", folder, "-e", join(folder, "error.log"), "-c", join(folder, "nginx.conf")], true);
    await listens(https, part);
    return { part, port: https };
  }

  identityFlags(name) {
    const file = (end) => join(this.folder, name, `${name}.${end}`);
    return ["--broker.ca", this.ca, "--broker.cert", file("pem"), "--broker.key", file("key")];
  }

  broker(name, of = name) {
    return ["--broker", `mqtts://localhost:${this.mqtt}`, ...this.identityFlags(of)];
  }

  async bridge(registry, account, settled, outbox = "outbox") {
    const part = this.begin("bridge", program, [
      ...["device", "bridge", ...this.broker("bridge"), "--rpc.url", this.url, "--chain-id", "1337", "--registry", registry],
      ...["--settled", settled, "--account", account, "--account-of-node", "--things", "dock-1"],
      ...["--outbox", join(this.folder, outbox), "--log.format", "json"],
    ]);
    await part.connected();
    return part;
  }

  // A device at a proxy's port. `own` names its files, `of` the device whose certificate it shows.
  device(registry, settled, https, { name = "dock-1", own = name, of = name } = {}, ...more) {
    return this.begin(`device-${own}`, deviceProgram, [
      ...["--name", name, ...this.broker(name, of), "--chain-id", "1337", "--registry", registry],
      ...["--rpc.url", `https://localhost:${https}/read`, "--rpc.ca", this.ca],
      ...["--rpc.user", "dock-1", "--rpc.password", join(this.folder, "dock-1.password"), "--settled", settled],
      ...["--actuator", `simulated:${this.lock(own)}`, "--open-time", "100ms", "--journal", join(this.folder, `${own}.journal`), ...more],
    ]);
  }

  lock(own = "dock-1") {
    return join(this.folder, `${own}.lock`);
  }

  // The jobs for which a lock opened, as it noted itself.
  opened(own) {
    return this.movements(own).filter(({ position }) => position === "open").map(({ job }) => job);
  }

  // What a lock did, as it noted itself: {position, job}.
  movements(own) {
    try {
      const lines = readFileSync(this.lock(own), "utf8").trim().split("\n");
      return lines.map((line) => line.split(" ")).map(([position, job]) => ({ position, job }));
    } catch (error) {
      if (error.code === "ENOENT") return [];
      throw error;
    }
  }

  async stop() {
    for (const part of this.parts.reverse()) await part.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Resident memory of a process, now and at its highest, in KiB.
export function memory(part) {
  const status = readFileSync(`/proc/${part.child.pid}/status`, "utf8");
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]);
  return { now: field("VmRSS"), highest: field("VmHWM") };
}
