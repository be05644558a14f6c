#!/usr/bin/env bash
# Runs all measurements and prints their figures: the parts by themselves, then whole nodes, Anvil beside this one.
#
# DRAWBRIDGE_BIN names the node program, DRAWBRIDGE_CACHE the directory where Anvil is kept. Arguments go to `compare`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
release=${CARGO_TARGET_DIR:-$root/target}/release
bin=${DRAWBRIDGE_BIN:-$release/drawbridge}

for program in "$bin" "$release/drawbridge-bench"; do
  if [ ! -x "$program" ]; then
    echo "bench: $program is not there: run \`make build\`" >&2
    exit 2
  fi
done

anvil=$("$root/scripts/anvil.sh")

echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1); $(date -u +%F)"
echo
"$release/drawbridge-bench" measure
"$release/drawbridge-bench" compare --node "$bin" --anvil "$anvil" "$@"
(cd "$root" && cargo bench --workspace --locked --bench parts -- --noplot)
