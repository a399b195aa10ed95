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
judge() { "$venv/bin/python" "tests/interop/$1.py" target/release/netwright; }
# Hostile files keep one core busy for minutes; the others are judged beside them.
judge hostile >target/interop/hostile.log 2>&1 &
hostile=$!
# The page of --report is opened in a browser.
if ! command -v chromium >/dev/null; then
    root=$([ "$(id -u)" = 0 ] || echo sudo)
    $root apt-get update -qq
    $root apt-get install --yes -qq --no-install-recommends chromium >/dev/null
fi
for name in families emitted corpus shared_cache unfuse report backend traps; do
    judge "$name"
done
outcome=0
wait "$hostile" || outcome=$?
cat target/interop/hostile.log
exit "$outcome"
