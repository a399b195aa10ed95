"""Attention under one to three masks, of every kind and in every order, before and after `netwright optimize`.

A mask is causal, for padding, or a bool input; it is added to scores or replaces them, with a number that hides them or
does not. The results must stay the same in every row, including fully masked ones, whether the attention is fused or
not; the table counts the fused ones.

Rows must stay the same with `--dtype f16` too: those of constant masks, however the mask is spelled and wherever attention
reads it, and those that inputs hide.
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


LOWEST = FILLS["min"]
LENGTH = 6
# Rows of constant masks, by the number of the first keys and that of the last key.
ROWS = {
    "1e4": (-1e4, -1e4),
    "3e4": (-3e4, -3e4),
    "1e5": (-1e5, -1e5),
    "65504": (-65504.0, -65504.0),
    "min": (LOWEST, LOWEST),
    "max": (-LOWEST, -LOWEST),
    "1e5 and 5e4": (-1e5, -5e4),
    "min and half of it": (LOWEST, LOWEST / 2),
    "visible": (LOWEST, 0.0),
}
# How a mask is computed from the constant, and where it is read.
SPELLINGS = ["constant", "expand", "where", "mul"]
PLACES = ["main", "if", "loop", "both"]


def constant_mask(row, spelling, place):
    """Returns attention whose mask, `[1, 1, 1, key]`, is a row of constants."""
    nodes, constants, counter = [], [], itertools.count()

    def constant(array, dtype=np.float32):
        name = f"c{next(counter)}"
        constants.append(onnx.numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def op(into, kind, *operands, **attributes):
        name = f"t{next(counter)}"
        into.append(h.make_node(kind, list(operands), [name], **attributes))
        return name

    first, last = ROWS[row]
    numbers = np.full((1, 1, 1, LENGTH), first, np.float32)
    numbers[..., -1] = last
    sizes = [op(nodes, "Shape", "q", start=axis, end=axis + 1) for axis in (0, 2)]
    sizes = op(nodes, "Concat", sizes[0], constant([1], np.int64), sizes[1], constant([LENGTH], np.int64), axis=0)
    if spelling == "where":
        mask = op(nodes, "Where", op(nodes, "Expand", constant(numbers == 0, bool), sizes), constant(0), constant(first))
    elif spelling == "mul":
        kept = op(nodes, "Cast", op(nodes, "Expand", constant(numbers == 0, np.int64), sizes), to=T.FLOAT)
        mask = op(nodes, "Mul", op(nodes, "Sub", constant(1), kept), constant(first))
    else:
        mask = constant(numbers)
        mask = op(nodes, "Expand", mask, sizes) if spelling == "expand" else mask

    def attend(into, query):
        scores = op(into, "MatMul", query, op(into, "Transpose", "k", perm=[0, 1, 3, 2]))
        scores = op(into, "Add", op(into, "Mul", scores, half), mask)
        return op(into, "MatMul", op(into, "Softmax", scores, axis=-1), "v")

    half, shape = constant(0.5), ["b", HEADS, LENGTH, SIZE]

    def float_port(name):
        return h.make_tensor_value_info(name, T.FLOAT, shape)

    start = attend(nodes, "q") if place in ("main", "both") else "q"
    body = []
    if place == "if":
        then, other = attend(body, "q"), []
        no = op(other, "Neg", "q")
        branches = [h.make_graph(*part) for part in ((body, "yes", [], [float_port(then)]), (other, "no", [], [float_port(no)]))]
        nodes.append(h.make_node("If", ["on"], ["y"], then_branch=branches[0], else_branch=branches[1]))
    elif place == "main":
        nodes.append(h.make_node("Identity", [start], ["y"]))
    else:
        state, more = attend(body, "x"), op(body, "Identity", "more")
        inputs = [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("more", T.BOOL, []), float_port("x")]
        outputs = [h.make_tensor_value_info(more, T.BOOL, []), float_port(state)]
        loop = h.make_graph(body, "step", inputs, outputs)
        nodes.append(h.make_node("Loop", [constant(1, np.int64), "on", start], ["y"], body=loop))
    inputs = [*map(float_port, "qkv"), h.make_tensor_value_info("on", T.BOOL, [])]
    graph = h.make_graph(nodes, "rows", inputs, [float_port("y")], constants)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)


def judge_constant_masks(program, folder):
    """Returns how many results in f16 differ, and how many there are. All scores are numbers of f16, up to 64."""
    path, output = folder / "model.onnx", folder / "output.onnx"
    random = np.random.default_rng(0)
    arrays = {name: random.integers(-1, 2, (2, HEADS, LENGTH, SIZE)).astype(np.float32) for name in "qk"}
    arrays["v"] = random.standard_normal((2, HEADS, LENGTH, SIZE)).astype(np.float16).astype(np.float32)
    failed = total = 0
    ways = {"onnx": [], **WAYS}
    for row, spelling, place, way in itertools.product(ROWS, SPELLINGS, PLACES, ways):
        if spelling in ("where", "mul") and ROWS[row][0] != ROWS[row][1]:
            continue
        onnx.save(constant_mask(row, spelling, place), path)
        total += 1
        outcome = judge.netwright(program, "-q", "optimize", path, "-o", output, *ways[way], "--dtype", "f16")
        wrong = outcome.message if outcome.code else None
        for factor in [] if wrong else [1, 8]:
            feeds = {**arrays, "q": arrays["q"] * np.float32(factor), "on": np.array(True)}
            sessions = [judge.session(str(file)) for file in (path, output)]
            expected, found = (
                session.run(None, {port.name: feeds[port.name] for port in session.get_inputs()})[0] for session in sessions
            )
            if not np.allclose(expected, found, 0, 4e-3):
                wrong = f"differs by {np.abs(expected - found).max():.2g}"
        if wrong:
            failed += 1
            print(f"{row}, {spelling}, {place}, f16: {way:8} {wrong}", flush=True)
    return failed, total


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


def judge_input_masks(program, path, output, count):
    """Returns how many results in f16 differ under masks that depend on inputs, and how many there are. All scores and
    biases are numbers of f16, up to 128; a row of the bias input is a number that hides scores."""
    random = np.random.default_rng(0)
    arrays = feeds(1)
    shape = arrays["v"].shape
    arrays |= {name: random.integers(-1, 2, shape).astype(np.float32) for name in "qk"}
    arrays["v"] = arrays["v"].astype(np.float16).astype(np.float32)
    failed = total = 0
    ways = {"onnx": [], **WAYS}
    for steps, way in itertools.product(chains(count), ways):
        total += 1
        onnx.save(model(steps), path)
        outcome = judge.netwright(program, "-q", "optimize", path, "-o", output, *ways[way], "--dtype", "f16")
        wrong = outcome.message if outcome.code else None
        fills = FILLS.values() if "unknown" in steps else [0.0]
        for factor, fill in [] if wrong else itertools.product([1, 8, 32], fills):
            # In f32, the sum of -1e9 and a score beyond 32 is another multiple of 64.
            if (factor, fill) == (32, FILLS["1e9"]):
                continue
            bias = random.integers(-8, 9, arrays["bias"].shape).astype(np.float32) / 8
            bias[:, 0] = bias[0, 1] = fill
            given = {**arrays, "q": arrays["q"] * np.float32(factor), "bias": bias}
            sessions = [judge.session(str(file)) for file in (path, output)]
            expected, found = (
                session.run(None, {port.name: given[port.name] for port in session.get_inputs()})[0] for session in sessions
            )
            if not np.allclose(expected, found, 0, 4e-3, equal_nan=True):
                wrong = f"differs by {np.nanmax(np.abs(expected - found)):.2g}, factor {factor}, fill {fill}"
        if wrong:
            failed += 1
            print(f"{', '.join(steps)}, f16: {way:8} {wrong}", flush=True)
    return failed, total


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
        if not args.chain:
            wrong, count = judge_constant_masks(args.netwright, pathlib.Path(folder))
            failed += wrong
            print(f"{count} models with constant masks in f16, {wrong} failed")
            wrong, count = judge_input_masks(args.netwright, path, output, args.count // 4)
            failed += wrong
            print(f"{count} models with masks of inputs in f16, {wrong} failed")
    counts = ", ".join(f"{count} of {total} fused for {way}" for way, count in fused.items())
    print(f"{counts}; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
