#!/usr/bin/env bash
# Installs Foundry, Hardhat and Truffle from npm for the suites in tests/tools, into the user's cache, when they are not there yet; then
# puts the suites and the contracts beside them. Prints the directory.
#
# DRAWBRIDGE_CACHE names the directory of the cache. What the tools compile stays there from one run to the next.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
suites=$root/tests/tools
tools=${DRAWBRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge}/tools

install() { # install FROM TO: what a lock file names; optional packages of other platforms are left out
  if ! cmp -s "$1/package-lock.json" "$2/.installed-lock"; then
    mkdir -p "$2"
    cp "$1/package.json" "$1/package-lock.json" "$2"
    (cd "$2" && npm ci --silent "${@:3}" >&2)
    cp "$1/package-lock.json" "$2/.installed-lock"
  fi
}
install "$suites" "$tools"
# Truffle's database and native helpers are optional and need compilers; its tests use neither.
install "$suites/truffle" "$tools/truffle" --omit=optional --ignore-scripts

# The suites are copied over an older copy of theirs; node_modules and what was compiled stay.
copy() { # copy FROM TO: the files of one directory in place of those there
  rm -rf "$2"
  mkdir -p "$2"
  cp -p "$1"/* "$2"
}
cp -p "$suites"/*.mjs "$suites"/*.cjs "$root/docs/clients.md" "$tools"
for suite in foundry hardhat truffle; do
  mkdir -p "$tools/$suite"
  find "$suites/$suite" -maxdepth 1 -type f ! -name 'package*.json' -exec cp -p {} "$tools/$suite" \;
  for folder in "$suites/$suite"/*/; do
    copy "${folder%/}" "$tools/$suite/$(basename "$folder")"
  done
done
mkdir -p "$tools/foundry/src/sale" "$tools/foundry/src/samples" "$tools/hardhat/contracts/sale"
cp -p "$root"/contracts/*.sol "$tools/foundry/src/sale"
cp -p "$root"/contracts/test/{LibraryUser,Planks}.sol "$tools/foundry/src/samples"
cp -p "$root"/contracts/*.sol "$tools/hardhat/contracts/sale"
# Foundry looks for packages in the project's own directory.
ln -sfn ../node_modules "$tools/foundry/node_modules"
echo "$tools"
