#!/usr/bin/env bash
# AWS's device SDKs (Python, JavaScript) against the shadow service: behind the embedded broker, and behind Mosquitto. Then the service
# is killed under load, and every update that it accepted must be there. Any failure makes the exit code non-zero.
#
# DRAWBRIDGE_BIN names the program; DEVICE_KILLS is how often it is killed. The SDKs are kept in the user's cache directory.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${DRAWBRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/drawbridge}
tests=$root/tests/devices
cache=${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge
venv=$cache/devices-venv
npm_dir=$cache/devices-npm
run_seconds_max=300
start_seconds_max=30

if [ ! -x "$bin" ]; then
  echo "devices: $bin is not there: run \`cargo build --release\`, or set DRAWBRIDGE_BIN" >&2
  exit 2
fi

mkdir -p "$cache"
if ! cmp -s "$tests/requirements.txt" "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$tests/requirements.txt"
  cp "$tests/requirements.txt" "$venv/requirements.txt"
fi
if ! cmp -s "$tests/package-lock.json" "$npm_dir/.installed-lock"; then
  rm -rf "$npm_dir"
  mkdir -p "$npm_dir"
  cp "$tests/package.json" "$tests/package-lock.json" "$npm_dir"
  (cd "$npm_dir" && npm ci --silent)
  cp "$tests/package-lock.json" "$npm_dir/.installed-lock"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/drawbridge-devices.XXXXXX")
pids=()

stop_all() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  pids=()
}

finish() {
  local code=$?
  trap - EXIT
  stop_all
  if [ "$code" -ne 0 ]; then
    echo "devices: exit code $code; the end of the logs:" >&2
    tail -n 20 "$work"/*.log >&2 || true
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The programs take their own settings from DRAWBRIDGE_ variables.
unset DRAWBRIDGE_BIN
device() {
  "$bin" device "$@" --datadir "$work/data"
}

# wait_for FILE TEXT: until a log has a text.
wait_for() {
  local deadline=$((SECONDS + start_seconds_max))
  until grep -q "$2" "$1" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "devices: no \"$2\" in $1 within $start_seconds_max s" >&2
      exit 3
    fi
    sleep 0.05
  done
}

device ca init >/dev/null
device add sdk-thing --out "$work/sdk" >/dev/null
device add shadow-service --service --out "$work/service" >/dev/null

export DEVICE_HOST=localhost DEVICE_THING=sdk-thing DEVICE_NODE_MODULES=$npm_dir/node_modules
export DEVICE_CA=$work/sdk/ca.pem DEVICE_CERT=$work/sdk/sdk-thing.pem DEVICE_KEY=$work/sdk/sdk-thing.key

run_sdks() {
  echo "== $1"
  timeout "$run_seconds_max" "$venv/bin/python" "$tests/python_sdk_test.py"
  timeout "$run_seconds_max" node --test --test-reporter=spec "$tests/javascript_sdk.test.mjs"
}

DEVICE_PORT=$(free_port)
export DEVICE_PORT
"$bin" device serve --datadir "$work/data" --mqtt.port "$DEVICE_PORT" --mqtt.https=false --color never 2>"$work/embedded.log" &
pids+=($!)
wait_for "$work/embedded.log" "MQTT over TLS"
run_sdks "the embedded broker"
stop_all

DEVICE_PORT=$(free_port)
cat >"$work/mosquitto.acl" <<EOF
user shadow-service
topic readwrite \$aws/things/#
pattern readwrite \$aws/things/%u/shadow/#
EOF
cat >"$work/mosquitto.conf" <<EOF
per_listener_settings true
listener $DEVICE_PORT 127.0.0.1
cafile $work/data/devices/ca.pem
certfile $work/data/devices/server.pem
keyfile $work/data/devices/server.key
crlfile $work/data/devices/crl.pem
require_certificate true
use_identity_as_username true
acl_file $work/mosquitto.acl
max_packet_size 262144
set_tcp_nodelay true
EOF
# Started by root, Mosquitto would give up the right to read the key.
[ "$(id -u)" -ne 0 ] || echo "user root" >>"$work/mosquitto.conf"
PATH=$PATH:/usr/sbin mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
pids+=($!)
"$bin" device serve --datadir "$work/behind" --color never --broker "localhost:$DEVICE_PORT" --broker.ca "$work/service/ca.pem" \
  --broker.cert "$work/service/shadow-service.pem" --broker.key "$work/service/shadow-service.key" 2>"$work/behind.log" &
pids+=($!)
wait_for "$work/behind.log" "connected to the broker"
run_sdks "Mosquitto, with the shadow service as its client"
stop_all

echo "== killed under load"
DRAWBRIDGE_BIN=$bin DEVICE_DATADIR=$work/data timeout "$run_seconds_max" \
  env -u DRAWBRIDGE_URL "$venv/bin/python" "$tests/kill_test.py"
echo "devices: all passed"
