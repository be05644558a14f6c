#!/usr/bin/env bash
# Prints the folder of a Node.js that is new enough for the desk's tools: the system's own, or one that npm fetches into the user's cache.
set -euo pipefail

wanted=20.19.0
fetched=22
cache=${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge/node

is_new_enough() { # is_new_enough NODE
  local version
  version=$("$1" --version 2>/dev/null) && [ "$(printf '%s\n' "$wanted" "${version#v}" | sort -V | head -n 1)" = "$wanted" ]
}

if own=$(command -v node) && is_new_enough "$own"; then
  dirname "$own"
  exit 0
fi
if ! is_new_enough "$cache/node_modules/node/bin/node"; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "node-path: Node.js $wanted or newer is needed, and there is no npm to fetch it with" >&2
    exit 1
  fi
  mkdir -p "$cache"
  npm install --silent --no-audit --no-fund --prefix "$cache" "node@$fetched" >&2
fi
if ! is_new_enough "$cache/node_modules/node/bin/node"; then
  echo "node-path: Node.js $wanted or newer is needed, and npm could not fetch it: install it from your system's packages" >&2
  exit 1
fi
echo "$cache/node_modules/node/bin"
