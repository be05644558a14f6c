#!/usr/bin/env bash
# Hostile attempts on the device path with real parts: none may open a lock; good codes open it once each; parts are killed in mid-scan.
#
# DRAWBRIDGE_BIN names the program. HOSTILE_ATTEMPTS is the number of hostile attempts (default 200), HOSTILE_GOOD that of good codes
# (default 10), HOSTILE_SEED chooses their order (default 1), HOSTILE_GATES says at how many devices at a time (default: by the good codes,
# at most 24).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/client-packages.sh"
export DRAWBRIDGE_BIN=${DRAWBRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/drawbridge}
exec node "$root/scripts/hostile.mjs"
