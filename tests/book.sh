#!/usr/bin/env bash
# Renders the book in target/book; needs mdbook (`cargo install mdbook --locked`).
set -euo pipefail
cd "$(dirname "$0")/.."
mdbook build docs
