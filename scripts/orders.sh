#!/usr/bin/env bash
# The order experiment with real parts: node with its broker, nginx, bridge, device and lock; seller (web3.js) and buyer (ethers).
#
# DRAWBRIDGE_BIN names the program. ORDERS_RUNS is the number of timed runs (default 20), ORDERS_SETTLED how many blocks deep a sale and a
# release must be (default 2), ORDERS_PERIOD the time between blocks (default 100ms). ORDERS_P99_MS, where it is given, is what the highest
# hundredth may take beyond the settling of the block, in milliseconds; without it the figure is printed alone.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/client-packages.sh"
export DRAWBRIDGE_BIN=${DRAWBRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/drawbridge}
exec node "$root/scripts/orders.mjs"
