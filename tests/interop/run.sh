#!/usr/bin/env bash
# Judges what netwright writes with the ONNX checker and ONNX Runtime, in a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/interop/venv
if ! cmp --silent tests/interop/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement tests/interop/requirements.txt
    cp tests/interop/requirements.txt "$venv/requirements.txt"
fi
cargo build --release --quiet --package netwright-cli
"$venv/bin/python" tests/interop/corpus.py target/release/netwright
"$venv/bin/python" tests/interop/emitted.py target/release/netwright
