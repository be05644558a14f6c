#!/usr/bin/env bash
# Runs real clients (ethers, viem, web3.js, web3.py) against a fresh dev node. Any failure makes the exit code non-zero.
#
# DRAWBRIDGE_BIN names the node program. The Python environment is kept in the user's cache directory.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
clients=$root/tests/clients
cache=${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge
venv=$cache/clients-venv
run_seconds_max=600

"$root/scripts/client-packages.sh"

if ! cmp -s "$clients/requirements.txt" "$venv/requirements.txt"; then
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$clients/requirements.txt"
  cp "$clients/requirements.txt" "$venv/requirements.txt"
fi

run_clients() {
  local failed=0
  (cd "$clients" && CLIENTS_PYTHON=$venv/bin/python timeout "$run_seconds_max" node --test --test-concurrency=1 --test-reporter=spec ./*.test.mjs) || failed=1
  timeout "$run_seconds_max" "$venv/bin/python" "$clients/web3py_test.py" || failed=1
  return "$failed"
}

if [ "${1:-}" = --here ]; then
  run_clients
else
  exec "$root/scripts/with-dev-node.sh" "$root/scripts/clients.sh" --here
fi
