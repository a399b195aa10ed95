#!/usr/bin/env bash
# Renders the book in target/book; needs `cargo install mdbook`.
set -euo pipefail
cd "$(dirname "$0")/.."
mdbook build docs
