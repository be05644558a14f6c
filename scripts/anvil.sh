#!/usr/bin/env bash
# Prints the path of Anvil's program, after installing its npm package into the user's cache where it is not there yet.
#
# DRAWBRIDGE_CACHE names the directory where it is kept. Exits with 3 where it cannot be had.
set -euo pipefail

cache=${DRAWBRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge}
version=1.7.1

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-amd64 ;;
  Linux-aarch64) platform=linux-arm64 ;;
  Darwin-arm64) platform=darwin-arm64 ;;
  Darwin-x86_64) platform=darwin-amd64 ;;
  *)
    echo "anvil: there is no Anvil for this platform" >&2
    exit 3
    ;;
esac
# The package of the platform holds the program itself; the one above it only a launcher.
package=@foundry-rs/anvil-$platform
anvil=$cache/anvil/node_modules/$package/bin/anvil
if ! "$anvil" --version 2>/dev/null | grep -q "$version"; then
  mkdir -p "$cache/anvil"
  if ! npm install --prefix "$cache/anvil" --no-save --no-audit --no-fund --silent "$package@$version" >&2 ||
    ! "$anvil" --version >/dev/null 2>&1; then
    echo "anvil: $package@$version cannot be installed by npm" >&2
    exit 3
  fi
fi
echo "$anvil"
