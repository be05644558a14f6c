#!/usr/bin/env bash
# The desk in a real browser, against a real node with its broker, a bridge and a device with a lock: sales, wallets, keys, explorer, devices.
#
#   scripts/desk-e2e.sh [NAME…]      # all stories, or those whose names contain one of the words
#
# DRAWBRIDGE_BIN names the program, which must have the desk built in. CHROMIUM names the browser (default: Debian's chromium, installed where it
# is missing and that is possible). DESK_SCREENSHOTS names a folder for screenshots (default: target/desk-screenshots; docs/screenshots renews those of
# the README). DESK_LANES is how many stories are told at a time (default 2). DESK_E2E_PREVIEW=1 serves the desk from desk/dist by Vite instead
# of by the node.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
DESK_REQUIRED=1 "$root/scripts/desk.sh"
if [ -x "$root/scripts/node-path.sh" ] && found=$("$root/scripts/node-path.sh" 2>/dev/null); then PATH=$found:$PATH; fi

export DRAWBRIDGE_BIN=${DRAWBRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/drawbridge}
if [ ! -x "$DRAWBRIDGE_BIN" ]; then
  echo "desk-e2e: $DRAWBRIDGE_BIN is not there: run \`make build\`, or set DRAWBRIDGE_BIN" >&2
  exit 2
fi

browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$browser" ]; then
  if [ "$(id -u)" -eq 0 ]; then
    as_root=()
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "desk-e2e: no Chromium here, and installing it needs root: run \`sudo apt-get install chromium\`, or name a browser in CHROMIUM" >&2
    exit 1
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "desk-e2e: no Chromium here, and no apt-get: install Chromium, or name a browser in CHROMIUM" >&2
    exit 1
  fi
  echo "desk-e2e: installing chromium"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  browser=$(command -v chromium)
fi
export CHROMIUM=$browser
export DESK_SCREENSHOTS=${DESK_SCREENSHOTS:-${CARGO_TARGET_DIR:-$root/target}/desk-screenshots}
exec node "$root/desk/e2e/run.mjs" "$@"
