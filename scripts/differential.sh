#!/usr/bin/env bash
# Runs random transactions on this node and on another one, and compares receipts, state and traces.
#
#   scripts/differential.sh TRANSACTIONS SEED [ARGUMENT…]
#
# DRAWBRIDGE_BIN names the node program, DRAWBRIDGE_OTHER_NODE the URL of another node (default: Anvil is started). With
# DRAWBRIDGE_SKIP_WITHOUT_ANVIL=1 nothing is run where Anvil cannot be had, and that is no failure.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
release=${CARGO_TARGET_DIR:-$root/target}/release
bin=${DRAWBRIDGE_BIN:-$release/drawbridge}
transactions=$1
seed=$2
shift 2

if [ -n "${DRAWBRIDGE_OTHER_NODE:-}" ]; then
  other=(--other "$DRAWBRIDGE_OTHER_NODE")
elif anvil=$("$root/scripts/anvil.sh"); then
  other=(--anvil "$anvil")
elif [ "${DRAWBRIDGE_SKIP_WITHOUT_ANVIL:-}" = 1 ]; then
  echo "SKIPPED: differential execution needs another node: Anvil cannot be installed here, and DRAWBRIDGE_OTHER_NODE names none"
  exit 0
else
  exit 3
fi

# The node takes its own settings from DRAWBRIDGE_ variables, so those of the tests stay away from it.
exec env -u DRAWBRIDGE_BIN -u DRAWBRIDGE_OTHER_NODE -u DRAWBRIDGE_CACHE -u DRAWBRIDGE_SKIP_WITHOUT_ANVIL \
  "$release/drawbridge-bench" differential --node "$bin" "${other[@]}" --transactions "$transactions" --seed "$seed" "$@"
