#!/usr/bin/env bash
# Starts a fresh dev node in a temporary directory, runs a command with DRAWBRIDGE_URL and DRAWBRIDGE_WS_URL set, stops the node.
#
#   scripts/with-dev-node.sh COMMAND [ARGUMENT…]
#
# DRAWBRIDGE_BIN names the program (default: the release build). Exits as the command does.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${DRAWBRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/drawbridge}
start_seconds_max=60

if [ ! -x "$bin" ]; then
  echo "with-dev-node: $bin is not there: run \`cargo build --release\`, or set DRAWBRIDGE_BIN" >&2
  exit 2
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/drawbridge-dev.XXXXXX")
node_pid=

stop() {
  local code=$?
  trap - EXIT
  if [ -n "$node_pid" ]; then
    kill "$node_pid" 2>/dev/null || true
    wait "$node_pid" 2>/dev/null || true
  fi
  if [ "$code" -ne 0 ] && [ -s "$work/node.log" ]; then
    echo "with-dev-node: exit code $code; the end of the node's output:" >&2
    tail -n 40 "$work/node.log" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
export DRAWBRIDGE_URL="http://127.0.0.1:$port"
export DRAWBRIDGE_WS_URL="ws://127.0.0.1:$port"

# The node takes its own settings from DRAWBRIDGE_ variables, so those of the tests stay away from it.
env -u DRAWBRIDGE_URL -u DRAWBRIDGE_WS_URL -u DRAWBRIDGE_BIN -u DRAWBRIDGE_OTHER_NODE -u DRAWBRIDGE_CACHE \
  "$bin" --dev --datadir "$work/data" --http.port "$port" >"$work/node.log" 2>&1 &
node_pid=$!

answers() {
  curl --silent --fail --max-time 2 --noproxy '*' -H 'content-type: application/json' \
    --data '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}' "$DRAWBRIDGE_URL" 2>/dev/null | grep -q '"result"'
}

deadline=$((SECONDS + start_seconds_max))
until answers; do
  if ! kill -0 "$node_pid" 2>/dev/null; then
    echo "with-dev-node: the node ended before it answered" >&2
    exit 3
  fi
  if [ "$SECONDS" -ge "$deadline" ]; then
    echo "with-dev-node: no answer from $DRAWBRIDGE_URL within $start_seconds_max s" >&2
    exit 3
  fi
  sleep 0.05
done

"$@"
