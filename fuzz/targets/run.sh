#!/usr/bin/env bash
# Runs every target for so many seconds (default 60); needs `cargo install cargo-fuzz` and a C++ compiler.
# The corpora begin with the models, texts and configurations of the tests.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
root=../..
begin() { mkdir -p "corpus/$1"; cp -n "${@:2}" "corpus/$1/" 2>/dev/null || true; }
mapfile -t models < <(find $root/tests $root/fuzz/found -name '*.onnx' -size -64k)
begin model "${models[@]}"
mapfile -t texts < <(find $root/snapshots/nn -name '*.snap' -size -16k)
begin text "${texts[@]}"
mapfile -t weights < <(find $root/tests $root/examples -name '*.safetensors' -size -64k)
begin safetensors "${weights[@]}"
number=0
mkdir -p corpus/configuration
while read -r file; do
    number=$((number + 1))
    cp "$file" "corpus/configuration/$number.json"
done < <(find $root/tests -name 'config.json')
mapfile -t files < <(find $root/tests/gguf -name '*.gguf' -size -64k)
begin gguf "${files[@]}"
number=0
mkdir -p corpus/quantized
for file in $root/tests/quantized/*/model.safetensors; do
    number=$((number + 1))
    cp "$file" "corpus/quantized/$number.safetensors"
done
mapfile -t files < <(find $root/tests/torch -name '*.bin')
begin torch "${files[@]}"
# Every input is written to a temporary file, and naming new functions takes longer than running an input.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
for target in model text safetensors configuration gguf quantized torch; do
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_funcs=0
done
