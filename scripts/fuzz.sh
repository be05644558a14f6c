#!/usr/bin/env bash
# Runs libFuzzer on each kind of message for some seconds: fuzz.sh SECONDS SEED TARGET_DIR. What it finds is written to network/fuzz/artifacts, and
# what it has learnt is kept beside the compiled targets for the next time.
set -euo pipefail
seconds=$1 seed=$2 target=$3
cd "$(dirname "$0")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge/tools
version=0.13.2

if ! command -v cargo-fuzz >/dev/null 2>&1; then
  export PATH=$PATH:$tools/bin
  if ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "fuzz: installing cargo-fuzz $version"
    cargo install cargo-fuzz --version "$version" --locked --root "$tools"
  fi
fi
# The same versions as everywhere else, and the RocksDB that is compiled already: it is not what is fuzzed.
cp Cargo.lock network/fuzz/Cargo.lock
rocksdb=$(find "$target/release/build" -path '*librocksdb-sys-*/out/librocksdb.a' 2>/dev/null | head -1)
if [ -n "$rocksdb" ]; then
  export ROCKSDB_LIB_DIR=${rocksdb%/*} ROCKSDB_STATIC=1
fi
# The checks of memory (AddressSanitizer) would need a nightly compiler; there is no unsafe code here.
flags=(--sanitizer none --target-dir "$target/fuzz")
corpus=$target/fuzz/corpus
"$target/release/examples/fuzz_corpus" "$corpus" 500 "$seed"
status=0
for kind in request response blocks transactions; do
  echo "fuzz: $kind"
  cargo fuzz run --fuzz-dir network/fuzz "${flags[@]}" "$kind" "$corpus/$kind" -- \
    -max_total_time="$seconds" -seed="$seed" -max_len=65536 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 || status=1
done
exit $status
