#!/usr/bin/env bash
# Builds the Python wheel that carries the command, in target/wheels, and tests it in a new virtual environment.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
rm -rf target/wheels
# The same profile and features as `cargo build --release`, so that nothing is compiled twice.
"${MATURIN:-target/tools/venv/bin/maturin}" build --release --locked --manifest-path crates/cli/Cargo.toml --out target/wheels
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-index --disable-pip-version-check target/wheels/netwright-*.whl

# Only what the wheel has installed, in a folder with only the model.
cp tests/interop/models/bert.legacy.onnx "$folder/model.onnx"
cd "$folder"
netwright=venv/bin/netwright
version=$("$netwright" --version | head -1)
installed=$(venv/bin/pip show --disable-pip-version-check netwright | sed -n 's/^Version: //p')
[ "${version#netwright "$installed"}" != "$version" ] || { echo "the wheel has version $installed, the command says $version"; exit 1; }
"$netwright" optimize model.onnx optimized.onnx --target ort --verify | tail -1
"$netwright" check optimized.onnx
venv/bin/pip uninstall --quiet --yes --disable-pip-version-check netwright
[ ! -e "$netwright" ] || { echo "pip left $netwright"; exit 1; }
