#!/usr/bin/env bash
# Checks that the crate `proof` compiles for a controller without an operating system, in a target directory of its own.
set -euo pipefail

cd "$(dirname "$0")/.."
target=thumbv7em-none-eabi
install_seconds_max=120

installed() {
  rustup target list --installed 2>/dev/null | grep -qx "$target"
}

if ! installed && ! { command -v rustup >/dev/null && timeout "$install_seconds_max" rustup target add "$target" >/dev/null 2>&1; }; then
  echo "no-std: skipped: the target $target is not here, and \`rustup target add $target\` cannot install it"
  exit 0
fi
cargo check --quiet --locked --package proof --lib --target "$target" \
  --target-dir "${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge/no-std"
echo "no-std: proof compiles for $target"
