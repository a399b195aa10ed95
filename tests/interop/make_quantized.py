"""Writes tests/quantized: a tiny Llama in five of the formats of sources.py, and in `floats` its dequantized weights."""

import pathlib
import shutil
import tempfile

import sources

OUTPUT = pathlib.Path(__file__).parents[1] / "quantized"
CONFIG = sources.CONFIG | {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 8,
}
CASES = {
    "gptq": (sources.gptq_options(16), lambda r, s: sources.gptq(r, s, 16, False)),
    "gptq_v2": (sources.gptq_options(16, checkpoint_format="gptq_v2"), lambda r, s: sources.gptq(r, s, 16, False, v2=True)),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 16, "zero_point": True, "version": "gemm"}, lambda r, s: sources.awq(r, s, 16)),
    "compressed_asymmetric": (
        sources.compressed_options("pack-quantized", num_bits=4, type="int", group_size=16, symmetric=False, strategy="group"),
        lambda r, s: sources.compressed(r, s, 16, False),
    ),
    "fp8_tiles": ({"quant_method": "fp8", "weight_block_size": [24, 20]}, lambda r, s: sources.float8(r, s, (24, 20))),
}

sources.CASES = CASES
shutil.rmtree(OUTPUT, ignore_errors=True)
OUTPUT.mkdir()
for case in CASES:
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        sources.write_folders(folder, case, CONFIG)
        shutil.move(folder / "quantized", OUTPUT / case)
        shutil.move(folder / "floats", OUTPUT / case / "floats")
