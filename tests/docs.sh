#!/usr/bin/env bash
# Checks README.md and the book with the release build of the command.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 tests/picture.py target/release/netwright --check
python3 tests/docs.py target/release "$@"
