#!/usr/bin/env bash
# The reverse proxy for real: Debian's nginx with the configuration that `drawbridge proxy nginx` writes, in front of live nodes.
#
# DRAWBRIDGE_BIN names the program.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/client-packages.sh"
export DRAWBRIDGE_BIN=${DRAWBRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/drawbridge}
exec node "$root/scripts/proxy.mjs"
