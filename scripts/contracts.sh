#!/usr/bin/env bash
# Compiles the contracts with the pinned solc and compares the result with the artifacts that are checked in.
set -euo pipefail
cd "$(dirname "$0")/../contracts"
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  npm ci --silent
  cp package-lock.json node_modules/.installed-lock
fi
exec node build.mjs --check
