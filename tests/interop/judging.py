"""Checks what `netwright verify` says of quantized models, in tract and in ONNX Runtime.

Usage: judging.py NETWRIGHT

Folders of tests/families are built in f32 and quantized in other ways than netwright's own: by ONNX Runtime to int8
(`quantize_dynamic`), and here to 4 bits in blocks of 32 (MatMulNBits at accuracy level 4). They must be close. With the
halves of every byte of the codes swapped they must differ, and if only one node has such codes, `--by-layer` must name it.
"""

import concurrent.futures
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

import judge
import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

logging.disable(logging.CRITICAL)
FOLDERS = pathlib.Path(__file__).resolve().parents[1] / "families"
NAMES = ["bert_mlm", "gpt2", "llama", "phi3", "qwen3", "vit_classifier"]
BLOCK = 32


def run(netwright, *arguments):
    return subprocess.run([netwright, *map(str, arguments)], env=judge.ENVIRONMENT, capture_output=True, text=True, check=False)


def quantized(weight):
    """Returns the codes of 4 bits, two in a byte, and the scales of a weight [K, N]."""
    columns = weight.T
    rows, inner = columns.shape
    blocks = -(-inner // BLOCK)
    padded = np.zeros((rows, blocks * BLOCK), np.float32)
    padded[:, :inner] = columns
    padded = padded.reshape(rows, blocks, BLOCK)
    scales = np.abs(padded).max(axis=2) / 7
    codes = np.rint(padded / np.where(scales == 0, 1, scales)[:, :, None]).clip(-8, 7).astype(np.int64) + 8
    return (codes[:, :, 0::2] | codes[:, :, 1::2] << 4).astype(np.uint8), scales.astype(np.float32).reshape(-1)


def in_blocks(source, target, is_swapped):
    """Replaces the products of two axes; returns the names of the new nodes."""
    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    names = []
    for node in model.graph.node:
        tensor = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if tensor is None or len(tensor.dims) != 2:
            continue
        codes, scales = quantized(numpy_helper.to_array(tensor))
        if is_swapped(len(names)):
            codes = codes << 4 | codes >> 4
        inner, columns = tensor.dims
        new = [f"{node.name}.codes", f"{node.name}.scales"]
        model.graph.initializer.extend(map(numpy_helper.from_array, (codes, scales), new))
        attributes = {"K": inner, "N": columns, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
        names.append(f"{node.name}.nbits")
        by = helper.make_node("MatMulNBits", [node.input[0], *new], node.output, names[-1], domain="com.microsoft", **attributes)
        node.CopyFrom(by)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, target)
    return names


def judge_folder(netwright, name, folder):
    """Returns what is wrong with the verdicts on a family."""
    wrong, source, target = [], folder / f"{name}.onnx", folder / f"{name}.quantized.onnx"
    built = run(netwright, "-q", "build", FOLDERS / name, "-o", source)
    if built.returncode != 0:
        return [f"{name} is not built: {built.stderr}"]

    def expect(what, code, text, *flags):
        told = run(netwright, "verify", source, target, *flags)
        output = told.stdout + told.stderr
        if told.returncode != code or text not in output:
            wrong.append(f"{name}, {what}: exit code {told.returncode}, without {text!r}\n{output[-700:]}")

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)
    expect("int8", 0, "close in tract: ", "--runtime", "tract")
    expect("int8", 0, "\nclose in ONNX Runtime")
    in_blocks(source, target, lambda at: False)
    expect("4 bits", 0, " at accuracy level 1: the cosine", "--runtime", "ort")
    told = json.loads(run(netwright, "--json", "verify", source, target, "--runtime", "ort").stdout)
    for output in told.get("runs", [{"outputs": [{"output": "logits"}]}])[0]["outputs"]:
        if "mean_abs" not in output or ("logits" in output["output"] and "agreement" not in output):
            wrong.append(f"{name}: figures are missing: {output}")
    in_blocks(source, target, lambda at: True)
    expect("swapped", 1, "the models differ in ONNX Runtime", "--runtime", "ort")
    at = 2
    names = in_blocks(source, target, lambda other: other == at)
    # The exit code is that without the table.
    code = run(netwright, "verify", source, target, "--runtime", "ort").returncode
    expect("one swapped", code, f"\n  node `{names[at]}` (com.microsoft::MatMulNBits) adds most of the error: ", "--runtime", "ort", "--by-layer")
    return wrong


def main():
    netwright = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda name: judge_folder(netwright, name, pathlib.Path(folder)), NAMES)
        wrong = [line for lines in found for line in lines]
    print("\n".join(wrong))
    print(f"judging: {len(NAMES)} families, {len(wrong)} failed")
    sys.exit(bool(wrong))


main()
