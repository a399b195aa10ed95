#!/usr/bin/env bash
# Runs every command of README.md: the lines that begin with `$ `.
set -euo pipefail
cd "$(dirname "$0")/.."

grep '^\$ ' README.md | sed 's/^\$ //' | while IFS= read -r command; do
    # The tests have run already, and the benchmark is no test.
    case "$command" in
        "cargo test"* | "cargo bench"*) continue ;;
    esac
    printf '$ %s\n' "$command"
    bash -euo pipefail -c "$command" </dev/null
done
