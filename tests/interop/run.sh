#!/usr/bin/env bash
# Judges netwright with the ONNX checker, ONNX Runtime and the reference evaluator, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/interop/venv
if ! cmp --silent tests/interop/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement tests/interop/requirements.txt
    cp tests/interop/requirements.txt "$venv/requirements.txt"
fi
cargo build --release --quiet --package netwright-cli
for judge in emitted corpus backend traps hostile; do
    "$venv/bin/python" "tests/interop/$judge.py" target/release/netwright
done
