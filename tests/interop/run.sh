#!/usr/bin/env bash
# Judges netwright with the ONNX checker, ONNX Runtime and the reference evaluator, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/interop/prepare.sh
# The list of kernels is that of the installed package.
target/interop/venv/bin/python tests/interop/kernels.py --check
# At once, so that what the packages have in common is compiled once.
cargo build --release --quiet --workspace --bins --test rewrites
judge() { target/interop/venv/bin/python "tests/interop/$1.py" target/release/netwright; }
# Hostile files and traps keep one core busy for minutes; the others are judged beside them.
beside() { judge hostile && judge traps; }
beside >target/interop/beside.log 2>&1 &
beside=$!
for name in user_models families emitted second_judge judging corpus masks contrib shared_cache cached layouts unfuse narrow precision sources quantized report attention surgery backend progress runs_in; do
    judge "$name"
done
cargo test --release --quiet --workspace --test rewrites -- --ignored
# Models that are generated, and those of them that once were optimized wrongly, judged for three targets.
ORT_DYLIB_PATH=$(find target/interop/venv/ -name 'libonnxruntime.so.*' | sort | tail -1)
export ORT_DYLIB_PATH
target/release/netwright-fuzz --count 1500
target/release/netwright-fuzz fuzz/found/*.onnx
outcome=0
wait "$beside" || outcome=$?
cat target/interop/beside.log
exit "$outcome"
