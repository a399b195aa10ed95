#!/usr/bin/env bash
# Runs every command of README.md and of the pages that it links to: the lines that begin with `$ `.
set -euo pipefail
cd "$(dirname "$0")/.."

grep -h '^\$ ' README.md docs/families.md docs/passes.md docs/speed.md | sed 's/^\$ //' | while IFS= read -r command; do
    # The tests have run already, and the benchmark is not a test.
    case "$command" in
        "cargo test"* | "cargo bench"*) continue ;;
    esac
    printf '$ %s\n' "$command"
    bash -euo pipefail -c "$command" </dev/null
done
