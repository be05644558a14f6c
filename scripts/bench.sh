#!/usr/bin/env bash
# Runs all measurements and prints their figures: the parts by themselves, then whole nodes, Anvil beside this one.
#
# DRAWBRIDGE_BIN names the node program, DRAWBRIDGE_CACHE the directory where Anvil is kept. Arguments go to `compare`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
release=${CARGO_TARGET_DIR:-$root/target}/release
bin=${DRAWBRIDGE_BIN:-$release/drawbridge}
cache=${DRAWBRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge}
anvil_version=1.7.1

for program in "$bin" "$release/measure" "$release/compare"; do
  if [ ! -x "$program" ]; then
    echo "bench: $program is not there: run \`make build\`" >&2
    exit 2
  fi
done

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-amd64 ;;
  Linux-aarch64) platform=linux-arm64 ;;
  Darwin-arm64) platform=darwin-arm64 ;;
  Darwin-x86_64) platform=darwin-amd64 ;;
  *)
    echo "bench: there is no Anvil for this platform" >&2
    exit 2
    ;;
esac
# The package of the platform holds the program itself; the one above it only a launcher.
package=@foundry-rs/anvil-$platform
anvil=$cache/anvil/node_modules/$package/bin/anvil
if ! "$anvil" --version 2>/dev/null | grep -q "$anvil_version"; then
  mkdir -p "$cache/anvil"
  npm install --prefix "$cache/anvil" --no-save --no-audit --no-fund --silent "$package@$anvil_version"
fi

echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1); $(date -u +%F)"
echo
"$release/measure"
"$release/compare" --node "$bin" --anvil "$anvil" "$@"
(cd "$root" && cargo bench --workspace --locked --bench parts -- --noplot)
