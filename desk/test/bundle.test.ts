// The built application: what the first load weighs, and that nothing in it needs another host or a weaker policy.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build } from "vite";

const root = join(import.meta.dirname, "..");
const dist = mkdtempSync(join(tmpdir(), "desk-bundle."));
const firstLoadBytesMax = 120 * 1024;
const pageBytesMax = 160 * 1024;

interface Chunk {
  file: string;
  src?: string;
  isEntry?: boolean;
  imports?: string[];
  css?: string[];
}

beforeAll(async () => {
  await build({ root, mode: "production", logLevel: "error", build: { outDir: dist, emptyOutDir: true } });
}, 120_000);
afterAll(() => rmSync(dist, { recursive: true, force: true }));

const manifest = () => JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8")) as Record<string, Chunk>;
const zipped = (file: string) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;

// All files that loading a chunk fetches.
function filesOf(chunks: Record<string, Chunk>, key: string, seen = new Set<string>()): Set<string> {
  const chunk = chunks[key];
  if (!chunk || seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const css of chunk.css ?? []) seen.add(css);
  for (const next of chunk.imports ?? []) filesOf(chunks, next, seen);
  return seen;
}

describe("the bundle", () => {
  it("loads at most 120 KB gzipped at first: page, styles, frame, overview and charts", () => {
    const chunks = manifest();
    const files = new Set(["index.html", "mark.svg"]);
    for (const key of ["index.html", "src/pages/dashboard.tsx", "src/ui/plot.ts"]) {
      expect(chunks, key).toHaveProperty([key]);
      filesOf(chunks, key, files);
    }
    const total = [...files].reduce((sum, file) => sum + zipped(file), 0);
    console.log(`first load: ${(total / 1024).toFixed(1)} KB gzipped in ${files.size} files`);
    expect(total).toBeLessThanOrEqual(firstLoadBytesMax);
  });

  it("has no page that needs more than 160 KB gzipped together with the frame", () => {
    const chunks = manifest();
    const pages = Object.keys(chunks).filter((key) => key.startsWith("src/pages/"));
    expect(pages.length).toBeGreaterThan(10);
    for (const page of pages) {
      const total = [...filesOf(chunks, page, filesOf(chunks, "index.html"))].reduce((sum, file) => sum + zipped(file), 0);
      expect(total, page).toBeLessThanOrEqual(pageBytesMax);
    }
  });

  it("has no inline script or style, and no file of another host", () => {
    const html = readFileSync(join(dist, "index.html"), "utf8");
    expect(html).not.toMatch(/<script(?![^>]*src=)/);
    expect(html).not.toMatch(/<style|style=|onload=|https?:\/\//);
  });

  it("evaluates no text as code, and fetches nothing from elsewhere", () => {
    for (const name of readdirSync(join(dist, "assets")).filter((file) => file.endsWith(".js"))) {
      const text = readFileSync(join(dist, "assets", name), "utf8");
      expect(text, name).not.toMatch(/\beval\(|new Function\(|\bFunction\("/);
      expect(text, name).not.toMatch(/(fetch|import|WebSocket|EventSource|XMLHttpRequest)\(\s*["'`](https?|wss?):/);
    }
    expect(existsSync(join(dist, "mark.svg"))).toBe(true);
  });
});
