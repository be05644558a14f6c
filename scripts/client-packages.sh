#!/usr/bin/env bash
# Installs the web3 libraries from npm that the client tests and the order experiment use, when they are not there yet.
set -euo pipefail

cd "$(dirname "$0")/../tests/clients"
stamp=node_modules/.installed-lock
if ! cmp -s package-lock.json "$stamp"; then
  npm ci --silent
  cp package-lock.json "$stamp"
fi
