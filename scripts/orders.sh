#!/usr/bin/env bash
# The order experiment: a fresh dev node, a seller (web3.js), a buyer (ethers) and a device, over JSON-RPC only.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/client-packages.sh"
exec "$root/scripts/with-dev-node.sh" node "$root/scripts/orders.mjs"
