#!/usr/bin/env bash
# Judges netwright with the ONNX checker, ONNX Runtime and the reference evaluator, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/interop/prepare.sh
cargo build --release --quiet --package netwright-cli
judge() { target/interop/venv/bin/python "tests/interop/$1.py" target/release/netwright; }
# Hostile files keep one core busy for minutes; the others are judged beside them.
judge hostile >target/interop/hostile.log 2>&1 &
hostile=$!
for name in families emitted corpus shared_cache unfuse report backend traps; do
    judge "$name"
done
outcome=0
wait "$hostile" || outcome=$?
cat target/interop/hostile.log
exit "$outcome"
