#!/bin/sh
# Builds every fuzz target and runs each for so many seconds: run.sh SECONDS [TARGET...]
#
# Needs only stable Rust, a C++ compiler (for libFuzzer itself) and Python 3. What the fuzzer finds out is kept in
# target/corpus, and an input that breaks a target in target/artifacts.
set -eu

seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- engine_packet payload_v3 payload_v4 socket_packet msgpack session

# With a target given, cargo leaves build scripts and macros without instrumentation.
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="$PWD/target"
export RUSTFLAGS="--cfg fuzzing \
-Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --release --target "$host"
python3 seeds.py ../../../tests/vectors target/seeds
mkdir -p target/artifacts

failed=0
for name in "$@"; do
  mkdir -p "target/corpus/$name"
  log="target/$name.log"
  if "target/$host/release/$name" "target/corpus/$name" "target/seeds/$name" \
    -max_total_time="$seconds" -max_len=1024 -rss_limit_mb=512 -malloc_limit_mb=64 -timeout=5 \
    -print_final_stats=1 -artifact_prefix="target/artifacts/$name-" >"$log" 2>&1
  then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz $name: ok, $runs runs"
  else
    failed=1
    tail -n 30 "$log"
    echo "fuzz $name: FAILED, see core/protocol/fuzz/$log"
  fi
done
exit $failed
