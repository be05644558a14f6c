#!/usr/bin/env bash
# Runs Foundry, Hardhat and Truffle against dev nodes: their own suites in tests/tools. Any failure makes the exit code non-zero.
#
#   scripts/tools.sh [foundry|hardhat|truffle…]          all suites at once, each against a fresh node of its own
#   scripts/tools.sh --here [foundry|hardhat|truffle…]   one after the other against the running node of DRAWBRIDGE_URL
#
# DRAWBRIDGE_BIN names the node program. Programs and packages are kept in the user's cache directory.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
run_seconds_max=600
start=$root/scripts/with-dev-node.sh
if [ "${1:-}" = --here ]; then
  start=
  shift
fi
[ "$#" -gt 0 ] || set -- foundry hardhat truffle
for suite in "$@"; do
  case $suite in
    foundry | hardhat | truffle) ;;
    *)
      echo "tools: no suite $suite: foundry, hardhat and truffle are there" >&2
      exit 2
      ;;
  esac
done

TOOLS_CAST=$("$root/scripts/foundry.sh" cast)
TOOLS_FORGE=$("$root/scripts/foundry.sh" forge)
export TOOLS_CAST TOOLS_FORGE
tools=$("$root/scripts/tool-packages.sh")
# Foundry's suite publishes a transaction of the time before chain ids.
export DRAWBRIDGE_RPC_ALLOW_UNPROTECTED_TXS=true

run() { # run SUITE
  local limit="timeout $run_seconds_max"
  case $1 in
    foundry) cd "$tools" && $start $limit node --test --test-concurrency=1 --test-reporter=spec foundry.test.mjs docs.test.mjs ;;
    hardhat) cd "$tools/hardhat" && $start $limit ../node_modules/.bin/hardhat test --network drawbridge ;;
    truffle)
      # Compiled on its own, so that it is kept for the next run.
      cd "$tools/truffle" && $limit node_modules/.bin/truffle compile >compile.log &&
        $start $limit node_modules/.bin/truffle test --network drawbridge
      ;;
  esac
}

pids=()
for suite in "$@"; do
  if [ -n "$start" ]; then
    (run "$suite") >"$tools/$suite.log" 2>&1 &
    pids+=($!)
  fi
done
failed=0
for suite in "$@"; do
  echo "== $suite"
  if [ -n "$start" ]; then
    wait "${pids[0]}" || failed=1
    pids=("${pids[@]:1}")
    cat "$tools/$suite.log"
  else
    (run "$suite") || failed=1
  fi
done
exit "$failed"
