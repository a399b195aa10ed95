"""Attention under one to three masks, of every kind and in every order, before and after `netwright optimize`.

A mask is causal, for padding, or a bool input; it is added to scores or replaces them, with a number that hides them or
does not. The results must stay the same in every row, including fully masked ones, whether the attention is fused or
not; the table counts the fused ones.
"""

import argparse
import itertools
import pathlib
import sys
import tempfile

import judge
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h

FILLS = {"1e4": -1e4, "1e9": -1e9, "1e30": -1e30, "min": float(np.finfo(np.float32).min), "inf": -np.inf, "50": -50.0}
WAYS = {"onnx 23": ["--opset", "23"], "tract": ["--target", "tract"], "ort": ["--target", "ort"]}
SOURCES = ["causal", "padding", "given"]
STEPS = [f"{way}_{source}_{fill}" for way in ("add", "where") for source in SOURCES for fill in FILLS]
STEPS += ["bias", "unknown", "constant_50", "constant_min", "constant_1e4", "sum_padding_min", "sum_padding_1e4"]
HEADS, SIZE = 2, 8


def model(steps):
    """Returns softmax(q · kᵀ * 0.5, masked by the steps) · v; `guarded` replaces rows of NaN by zeros at the end."""
    nodes, constants, counter = [], [], itertools.count()

    def constant(array, dtype=np.float32):
        name = f"c{next(counter)}"
        constants.append(onnx.numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def op(kind, *operands, **attributes):
        name = f"t{next(counter)}"
        nodes.append(h.make_node(kind, list(operands), [name], **attributes))
        return name

    def seen(source):
        if source == "given":
            return "keep"
        if source == "padding":
            wide = op("Unsqueeze", "attention_mask", constant([1, 2], np.int64))
            return op("Cast", wide, to=T.BOOL)
        length = op("Squeeze", op("Shape", "q", start=2, end=3))
        places = op("Range", constant(0, np.int64), length, constant(1, np.int64))
        row, column = (op("Unsqueeze", places, constant([axis], np.int64)) for axis in (0, 1))
        return op("LessOrEqual", row, column)

    scores = op("Mul", op("MatMul", "q", op("Transpose", "k", perm=[0, 1, 3, 2])), constant(0.5))
    for step in steps:
        way, *rest = step.split("_")
        if way == "guarded":
            break
        if way == "bias":
            scores = op("Add", scores, constant(np.random.default_rng(1).standard_normal((HEADS, 1, 1))))
        elif way == "unknown":
            scores = op("Add", "bias", scores)
        elif way == "constant":
            scores = op("Add", scores, constant(FILLS[rest[0]]))
        elif way == "sum":
            kept = op("Cast", op("Unsqueeze", "attention_mask", constant([1, 2], np.int64)), to=T.FLOAT)
            scores = op("Add", scores, op("Mul", op("Sub", constant(1.0), kept), constant(FILLS[rest[1]])))
        elif way == "add":
            mask = op("Where", seen(rest[0]), constant(0.0), constant(FILLS[rest[1]]))
            scores = op("Add", scores, mask)
        else:
            scores = op("Where", seen(rest[0]), scores, constant(FILLS[rest[1]]))
    probabilities = op("Softmax", scores, axis=-1)
    if "guarded" in steps:
        probabilities = op("Where", op("IsNaN", probabilities), constant(0.0), probabilities)
    nodes.append(h.make_node("MatMul", [probabilities, "v"], ["y"]))
    shape = ["b", HEADS, "s", SIZE]
    inputs = [h.make_tensor_value_info(name, T.FLOAT, shape) for name in "qkv"]
    inputs += [
        h.make_tensor_value_info("attention_mask", T.INT64, ["b", "s"]),
        h.make_tensor_value_info("keep", T.BOOL, ["b", 1, "s", "s"]),
        h.make_tensor_value_info("bias", T.FLOAT, [HEADS, "s", "s"]),
    ]
    outputs = [h.make_tensor_value_info("y", T.FLOAT, shape)]
    graph = h.make_graph(nodes, "masks", inputs, outputs, constants)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)


def feeds(magnitude):
    """Returns samples with no, left, right and full padding; rows of the given mask hide no key, some and all keys."""
    random = np.random.default_rng(0)
    batch, length = 5, 6
    shape = (batch, HEADS, length, SIZE)
    arrays = {name: random.standard_normal(shape).astype(np.float32) for name in "qkv"}
    arrays["q"] *= np.float32(magnitude)
    mask = np.ones((batch, length), np.int64)
    mask[1, :3], mask[2, 4:], mask[3], mask[4, ::2] = 0, 0, 0, 0
    keep = random.integers(0, 2, (batch, 1, length, length)).astype(bool)
    keep[:, :, 0], keep[:, :, 1] = True, False
    bias = random.standard_normal((HEADS, length, length)).astype(np.float32)
    return {**arrays, "attention_mask": mask, "keep": keep, "bias": bias}


def chains(count):
    """Returns every step on its own, and `count` chains of two and of three."""
    random = np.random.default_rng(0)
    for step in STEPS:
        yield from ([step], [step, "guarded"])
    for length in (2, 3):
        for _ in range(count):
            chain = [STEPS[at] for at in random.integers(0, len(STEPS), length)]
            yield chain + ["guarded"] * (random.random() < 0.2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    parser.add_argument("--count", type=int, default=60, help="how many chains of two and of three [default: %(default)s]")
    parser.add_argument("--chain", action="append", help="only this chain, its steps separated by commas")
    args = parser.parse_args()
    fused, total, failed = dict.fromkeys(WAYS, 0), 0, 0
    chosen = [chain.split(",") for chain in args.chain] if args.chain else chains(args.count)
    with tempfile.TemporaryDirectory() as folder:
        path, output = pathlib.Path(folder) / "model.onnx", pathlib.Path(folder) / "output.onnx"
        for steps in chosen:
            onnx.save(model(steps), path)
            before = judge.session(str(path))
            total += 1
            for way, flags in WAYS.items():
                outcome = judge.netwright(args.netwright, "-q", "optimize", path, "-o", output, *flags)
                wrong = outcome.message if outcome.code else None
                if wrong is None:
                    fused[way] += any(node.op_type == "Attention" for node in onnx.load(output).graph.node)
                    after = judge.session(str(output))
                    # Fills of replaced scores that are above possible scores of ten thousands are not masks.
                    hostile = any(step.startswith("where") and step.endswith(("_1e4", "_50")) for step in steps)
                    for magnitude in [1, 30] if hostile else [1, 30, 3000]:
                        expected, found = (session.run(None, feeds(magnitude))[0] for session in (before, after))
                        differs = np.isnan(expected) != np.isnan(found)
                        tolerance = 1e-5 * max(1, magnitude / 30)
                        if differs.any() or not np.allclose(expected, found, tolerance, tolerance, equal_nan=True):
                            wrong = f"differs by {np.nanmax(np.abs(expected - found)):.2g} at {magnitude}"
                            wrong += f", NaN in {differs.sum()}" if differs.any() else ""
                            break
                if wrong:
                    failed += 1
                    print(f"{', '.join(steps):60} {way:8} {wrong}", flush=True)
    counts = ", ".join(f"{count} of {total} fused for {way}" for way, count in fused.items())
    print(f"{counts}; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
