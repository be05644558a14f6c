#!/usr/bin/env bash
# Prints the path of Anvil's program; see foundry.sh.
exec "$(dirname "$0")/foundry.sh" anvil
