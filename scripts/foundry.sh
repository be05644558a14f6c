#!/usr/bin/env bash
# Prints the path of one of Foundry's programs, after installing its npm package into the user's cache where it is not there yet.
#
#   scripts/foundry.sh anvil|cast|forge
#
# DRAWBRIDGE_CACHE names the directory where it is kept. Exits with 3 where it cannot be had.
set -euo pipefail

tool=${1:?usage: foundry.sh anvil|cast|forge}
cache=${DRAWBRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge}
version=1.7.1

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-amd64 ;;
  Linux-aarch64) platform=linux-arm64 ;;
  Darwin-arm64) platform=darwin-arm64 ;;
  Darwin-x86_64) platform=darwin-amd64 ;;
  *)
    echo "$tool: Foundry has no programs for this platform" >&2
    exit 3
    ;;
esac
# The package of the platform holds the program itself; the one above it only a launcher.
package=@foundry-rs/$tool-$platform
program=$cache/$tool/node_modules/$package/bin/$tool
if ! "$program" --version 2>/dev/null | grep -q "$version"; then
  mkdir -p "$cache/$tool"
  if ! npm install --prefix "$cache/$tool" --no-save --no-audit --no-fund --silent "$package@$version" >&2 ||
    ! "$program" --version >/dev/null 2>&1; then
    echo "$tool: $package@$version cannot be installed by npm" >&2
    exit 3
  fi
fi
echo "$program"
