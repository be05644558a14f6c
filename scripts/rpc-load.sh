#!/usr/bin/env bash
# Reads over JSON-RPC from this node and from another one, in one run: requests per second, p50 and p99, over 1 and 32 connections.
#
#   scripts/rpc-load.sh [ARGUMENT…]     the arguments go to `compare --reads`
#
# DRAWBRIDGE_BIN names the node program, DRAWBRIDGE_OTHER_NODE the URL of the other node (default: Anvil is started). With
# DRAWBRIDGE_SKIP_WITHOUT_ANVIL=1 this node is measured alone where Anvil cannot be had.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
release=${CARGO_TARGET_DIR:-$root/target}/release
bin=${DRAWBRIDGE_BIN:-$release/drawbridge}

other=()
if [ -n "${DRAWBRIDGE_OTHER_NODE:-}" ]; then
  other=(--other "$DRAWBRIDGE_OTHER_NODE")
elif anvil=$("$root/scripts/anvil.sh"); then
  other=(--anvil "$anvil")
elif [ "${DRAWBRIDGE_SKIP_WITHOUT_ANVIL:-}" != 1 ]; then
  exit 3
fi

# The node takes its own settings from DRAWBRIDGE_ variables, so those of the tests stay away from it.
exec env -u DRAWBRIDGE_BIN -u DRAWBRIDGE_OTHER_NODE -u DRAWBRIDGE_CACHE -u DRAWBRIDGE_SKIP_WITHOUT_ANVIL \
  "$release/drawbridge-bench" compare --node "$bin" "${other[@]}" --reads "$@"
