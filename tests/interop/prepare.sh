#!/usr/bin/env bash
# Installs what the judges of this folder need: a virtual environment, and a browser for the pages of --report and of attention.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/interop/venv
if ! cmp --silent tests/interop/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement tests/interop/requirements.txt
    cp tests/interop/requirements.txt "$venv/requirements.txt"
fi
if ! command -v chromium >/dev/null; then
    root=$([ "$(id -u)" = 0 ] || echo sudo)
    $root apt-get update -qq
    $root apt-get install --yes -qq --no-install-recommends chromium >/dev/null
fi
