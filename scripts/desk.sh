#!/usr/bin/env bash
# Builds the desk, the browser application in desk/, into desk/dist, from where the node embeds it. Does nothing where that is up to date.
#
#   scripts/desk.sh          # installs the pinned packages where they are missing, and builds
#   scripts/desk.sh test     # also checks the types and runs the unit tests
#
# Without Node.js 20.19 or newer it says so and ends well: the node is then built without the desk, and serves a page that says how to add it.
# DESK_REQUIRED=1 makes that an error; the tests demand it by themselves.
set -euo pipefail

[ "${1:-}" != test ] || DESK_REQUIRED=1
root=$(cd "$(dirname "$0")/.." && pwd)
desk=$root/desk
# Two builds at a time would write the same files.
exec 9>"$desk/.lock"
flock 9

without() {
  echo "desk: $1: the node is built without the desk; install Node.js 20.19 or newer (https://nodejs.org or your distribution), then run scripts/desk.sh" >&2
  [ -z "${DESK_REQUIRED:-}" ] || exit 1
  exit 0
}
if [ -x "$root/scripts/node-path.sh" ] && found=$("$root/scripts/node-path.sh" 2>/dev/null); then PATH=$found:$PATH; fi
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || without "no Node.js or no npm here"
node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
  without "Node.js $(node --version) is too old"

# Packages: installed anew when the lock file changed.
wanted=$(sha256sum "$desk/package-lock.json" | cut -d' ' -f1)
if [ "$(cat "$desk/node_modules/.drawbridge-lock" 2>/dev/null || true)" != "$wanted" ]; then
  echo "desk: installing the packages of desk/package-lock.json"
  (cd "$desk" && npm ci --no-audit --no-fund --loglevel=error) || {
    echo "desk: npm ci failed; a registry must be reachable once (npm config get registry)" >&2
    [ -z "${DESK_REQUIRED:-}" ] || exit 1
    exit 0
  }
  echo "$wanted" >"$desk/node_modules/.drawbridge-lock"
fi

# The build: made anew when a source changed.
inputs=$(cd "$root" && find desk/src desk/public desk/index.html desk/vite.config.ts desk/package-lock.json desk/tsconfig.json contracts/artifacts -type f -print0 |
  sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
if [ "$(cat "$desk/dist/.built-from" 2>/dev/null || true)" != "$inputs" ] || [ ! -f "$desk/dist/index.html" ]; then
  echo "desk: building desk/dist"
  (cd "$desk" && node_modules/.bin/vite build --logLevel warn)
  echo "$inputs" >"$desk/dist/.built-from"
fi

if [ "${1:-}" = test ]; then
  (cd "$desk" && node_modules/.bin/tsc --noEmit && node_modules/.bin/vitest run --reporter=dot)
fi
