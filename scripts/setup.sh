#!/usr/bin/env bash
# Installs the system packages that building and testing need, where they are missing. Does nothing where all are there.
set -euo pipefail

missing=()
need() { # need PACKAGE TEST…
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] || ldconfig -p | grep -q 'libclang[-.0-9]*\.so' || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*'
}
# The node's own packages need no more than a C and C++ compiler and libclang (RocksDB's bindings).
need build-essential sh -c 'command -v cc && command -v c++ && command -v make'
need pkg-config command -v pkg-config
need libclang-dev has_libclang
# For the desk, the browser application; without them the program is built without it.
wished=()
command -v node >/dev/null 2>&1 || wished+=(nodejs)
command -v npm >/dev/null 2>&1 || wished+=(npm)
if [ "${1:-}" = all ]; then
  # For the tests and the order experiment: web clients from npm and PyPI, the desk and its browser.
  missing+=("${wished[@]}")
  wished=()
  need chromium sh -c 'command -v chromium || command -v chromium-browser || command -v google-chrome'
  # The broker that the shadow service is tried behind, beside its own.
  need mosquitto sh -c 'PATH=$PATH:/usr/sbin command -v mosquitto'
  need curl command -v curl
  need zstd command -v zstd
  # For the order experiment: the proxy, and its password file.
  need nginx-light sh -c 'command -v nginx || [ -x /usr/sbin/nginx ]'
  need openssl command -v openssl
  need python3 command -v python3
  # For the test network in namespaces, which is skipped where they cannot be made.
  need iproute2 command -v ip
  need nftables command -v nft
  need python3-venv python3 -c 'import venv, ensurepip'
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: no cargo: install the Rust toolchain (1.94.1 or newer) by rustup, then run this again" >&2
  exit 1
fi
may_install=yes
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  may_install=
fi
if [ "${#wished[@]}" -gt 0 ]; then
  if [ -n "$may_install" ] && command -v apt-get >/dev/null 2>&1; then
    missing+=("${wished[@]}")
  else
    echo "setup: without ${wished[*]} the program is built without the desk, its browser application" >&2
  fi
fi
if [ "${#missing[@]}" -gt 0 ]; then
  if [ -z "$may_install" ]; then
    echo "setup: these packages are missing, and installing them needs root: ${missing[*]}" >&2
    echo "setup: run \`sudo apt-get install ${missing[*]}\`, then run this again" >&2
    exit 1
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: no apt-get here: install what corresponds to these Debian packages: ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ "${1:-}" = all ]; then
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  if [ "$major" -lt 18 ]; then
    echo "setup: Node.js $(node --version) is too old for the web clients: install 18 or newer" >&2
    exit 1
  fi
  # nextest runs each test in a process of its own; built once where the machine has none.
  if ! cargo nextest --version >/dev/null 2>&1; then
    echo "setup: building cargo-nextest (some minutes, once)"
    cargo install --quiet --locked cargo-nextest
  fi
fi
