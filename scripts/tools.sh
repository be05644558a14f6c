#!/usr/bin/env bash
# Runs Foundry, Hardhat and Truffle against a fresh dev node: their own suites in tests/tools. Any failure makes the exit code non-zero.
#
#   scripts/tools.sh [--here] [foundry|hardhat|truffle…]
#
# DRAWBRIDGE_BIN names the node program; --here takes the running node of DRAWBRIDGE_URL. Programs and packages are kept in the user's
# cache directory.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
run_seconds_max=600

if [ "${1:-}" != --here ]; then
  # The deterministic deployer comes in a transaction of the time before chain ids.
  export DRAWBRIDGE_RPC_ALLOW_UNPROTECTED_TXS=true
  exec "$root/scripts/with-dev-node.sh" "$root/scripts/tools.sh" --here "$@"
fi
shift
[ "$#" -gt 0 ] || set -- foundry hardhat truffle

TOOLS_CAST=$("$root/scripts/foundry.sh" cast)
TOOLS_FORGE=$("$root/scripts/foundry.sh" forge)
export TOOLS_CAST TOOLS_FORGE
tools=$("$root/scripts/tool-packages.sh")
cd "$tools"

failed=0
for suite in "$@"; do
  echo "== $suite"
  case $suite in
    foundry) timeout "$run_seconds_max" node --test --test-reporter=spec foundry.test.mjs || failed=1 ;;
    hardhat) (cd hardhat && timeout "$run_seconds_max" ../node_modules/.bin/hardhat --network drawbridge test) || failed=1 ;;
    truffle)
      # Compiled on its own, so that it is kept for the next run.
      (cd truffle && node_modules/.bin/truffle compile >compile.log &&
        timeout "$run_seconds_max" node_modules/.bin/truffle test --network drawbridge) || failed=1
      ;;
    *)
      echo "tools: no suite $suite: foundry, hardhat and truffle are there" >&2
      exit 2
      ;;
  esac
done
exit "$failed"
