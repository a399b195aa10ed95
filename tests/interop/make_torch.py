"""Writes tests/torch: files of `torch.save`, and their tensors as safetensors.

    /tmp/venv/bin/pip install torch transformers
    /tmp/venv/bin/python tests/interop/make_torch.py

`types.bin` has every element type, parameters, views, transposed and scalar tensors; `gpt2` is the folder of
tests/families in two shards, with the buffers of older releases and the tied table.
"""

import json
import shutil
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TESTS = Path(__file__).resolve().parents[1]
FOLDER = TESTS / "torch"


def types():
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    tensors = OrderedDict((str(kind).split(".")[1], (10 * base[:2]).to(kind)) for kind in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool))
    tensors["parameter"] = torch.nn.Parameter(base[:, :2].contiguous())
    tensors["view"] = base[1:3]
    tensors["other_view"] = base[2:]
    tensors["transposed"] = base.t()
    tensors["row"] = base[:1].t()
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 3)
    tensors._metadata = {"": {"version": 1}}
    torch.save(tensors, FOLDER / "types.bin")
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, FOLDER / "types.safetensors")
    # What is neither contiguous nor transposed.
    torch.save({"columns": base[:, ::2]}, FOLDER / "columns.bin")
    torch.save({"step": 1, "weight": base}, FOLDER / "checkpoint.bin")
    torch.save({"weight": base}, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)


def shards():
    folder = FOLDER / "gpt2"
    folder.mkdir()
    source = TESTS / "families" / "gpt2"
    shutil.copy(source / "config.json", folder)
    tensors = load_file(source / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    for layer in range(2):
        tensors[f"transformer.h.{layer}.attn.bias"] = torch.tril(torch.ones(24, 24, dtype=torch.uint8)).view(1, 1, 24, 24)
        tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    names = sorted(tensors)
    weight_map = {}
    for at in range(2):
        file = f"pytorch_model-0000{at + 1}-of-00002.bin"
        part = names[at::2]
        torch.save({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(dict(metadata={}, weight_map=weight_map), indent=1))


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir()
types()
shards()
