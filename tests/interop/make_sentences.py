"""Writes tests/sentences.safetensors: what sentence-transformers computes with the modules after a Transformer.

    /tmp/venv/bin/pip install torch transformers sentence-transformers
    /tmp/venv/bin/python tests/interop/make_sentences.py

The states are those of tests/families/minilm for its second and third shape, and for the latter with its padding on the
left. `NAME/N` has the embeddings of each folder that tests/sentences.rs writes, and `weights/…` the layers of all of them.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import models
from torch import nn
from transformers import AutoModel

TESTS = Path(__file__).resolve().parents[1]
FLAGS = dict(cls="cls_token", max="max_tokens", mean="mean_tokens", sqrt="mean_sqrt_len_tokens", weighted="weightedmean_tokens", last="lasttoken")


def main():
    torch.manual_seed(0)
    dense = models.Dense(16, 12, bias=True, activation_function=nn.Tanh())
    plain = models.Dense(32, 8, bias=False, activation_function=nn.Identity())
    norm = models.LayerNorm(16)
    with torch.no_grad():
        for parameter in (*norm.parameters(), dense.linear.bias):
            parameter.copy_(torch.randn_like(parameter))
    normalize = models.Normalize()
    folders = {name: ([name], []) for name in FLAGS}
    folders["all"] = (list(FLAGS), [])
    folders["dense"] = (["cls"], [dense, normalize])
    folders["norm"] = (["last"], [norm])
    folders["two"] = (["weighted", "mean"], [plain, normalize])
    folders["listed"] = (["mean", "cls"], [])
    stored = load_file(TESTS / "families/minilm/expected.safetensors")
    states = {at: dict(token_embeddings=stored[f"{at}/out/token_embeddings"], attention_mask=stored[f"{at}/in/attention_mask"]) for at in (1, 2)}
    inputs = {name.removeprefix("2/in/"): tensor for name, tensor in stored.items() if name.startswith("2/in/")}
    inputs["attention_mask"] = inputs["attention_mask"].flip(1)
    with torch.no_grad():
        left = AutoModel.from_pretrained(TESTS / "families/minilm")(**inputs).last_hidden_state
    states[3] = dict(token_embeddings=left, attention_mask=inputs["attention_mask"])
    tensors = {"weights/dense.weight": dense.linear.weight, "weights/dense.bias": dense.linear.bias, "weights/plain.weight": plain.linear.weight, "weights/norm.weight": norm.norm.weight, "weights/norm.bias": norm.norm.bias}
    for name, (modes, layers) in folders.items():
        flags = {f"pooling_mode_{FLAGS[mode]}": True for mode in modes}
        options = dict(pooling_mode=modes) if name == "listed" else {"pooling_mode_mean_tokens": False} | flags
        pooling = models.Pooling(16, **options)
        for at, features in states.items():
            features = dict(features)
            with torch.no_grad():
                for layer in (pooling, *layers):
                    features = layer(features)
            tensors[f"{name}/{at}"] = features["sentence_embedding"]
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, TESTS / "sentences.safetensors")


main()
