import { defineConfig } from "vitest/config";

// The node's own headers, so that what a strict policy forbids fails in development too.
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; " +
  "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const node = process.env.DRAWBRIDGE_URL ?? "http://127.0.0.1:8545";

// In development alone: calls and the WebSocket at `/` go to a node elsewhere, as from a page of its own.
const proxy = {
  "^/(ws)?$": {
    target: node,
    ws: true,
    changeOrigin: true,
    rewrite: () => "/",
    configure: (server: { on(event: string, listener: (request: { removeHeader(name: string): void }) => void): void }) => {
      server.on("proxyReq", (request) => request.removeHeader("origin"));
      server.on("proxyReqWs", (request) => request.removeHeader("origin"));
    },
  },
};

export default defineConfig({
  base: "/desk/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    manifest: true,
  },
  server: { proxy },
  preview: { proxy, headers: { "content-security-policy": policy } },
  test: { include: ["test/**/*.test.ts"] },
});
