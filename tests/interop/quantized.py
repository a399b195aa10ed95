"""Judges `--quantize`: every family of tests/families with every scheme, for ONNX Runtime.

    target/interop/venv/bin/python tests/interop/quantized.py target/release/netwright [FOLDER...] [--table FILE.md]

Weights in blocks are dequantized here, by NumPy, into a model in f32, whose results must be those of the quantized model
within 1e-3 of the output's scale at `accuracy_level` 1. The first row of a batch of 32 must be what it is alone, within
1e-5: results of weight-only schemes do not depend on the batch. `--rounding nearest` must choose the codes and scales of
ONNX Runtime's own quantizer. In f16, weights of the branches of an If are multiplied as ONNX Runtime multiplies without
optimizations. The table has the size of the file and the agreement with PyTorch by scheme and target.
"""

import argparse
import itertools
import pathlib
import sys
import tempfile

import families
import judge
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCHEMES = ["int4", "int8", "int8-dynamic", "uint8-dynamic"]
FLAGS = {"symmetric": [], "asymmetric": ["--asymmetric"]}
TARGETS = ["onnx", "ort", "tract"]
BLOCKS = ("int4", "int8")
# One folder for each kind of model, so that the judge takes a minute; all of them with `FOLDER...`.
FOLDERS = ["bert_mlm", "clip", "gemma2", "gpt2", "llama", "minilm", "phi3", "qwen3", "t5", "vit", "whisper"]
TOLERANCE = 1e-3
BATCH_TOLERANCE = 1e-5
# Sums of products in f16.
BRANCH_TOLERANCE = 5e-3
# Tables and products are small here, so that they are named.
EVERY = ".*"
# The table stands after this line of the file.
MARK = "<!-- written by tests/interop/quantized.py --table -->"


def attributes(node):
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def unpacked(packed, bits):
    """Returns the codes of bytes, lowest bits first, along the last axis."""
    if bits == 8:
        return packed.astype(np.int32)
    parts = [(packed.astype(np.int32) >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(*packed.shape[:-1], -1)


def dequantized(codes, scales, zeros, size):
    """Returns the floats of codes `[N, K]` with blocks along the last axis."""
    width = codes.shape[1]
    spread = lambda blocks: np.repeat(blocks, size, 1)[:, :width]
    return ((codes - spread(zeros)) * spread(scales.astype(np.float32))).astype(np.float32)


def in_floats(model):
    """Returns the model with weights in blocks as floats, and their number."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, count = model.graph, 0
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    array = lambda name: numpy_helper.to_array(tensors[name])
    reshaped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Reshape"}
    nodes = []
    for node in graph.node:
        given = attributes(node)
        if node.op_type in ("MatMulNBits", "GatherBlockQuantized"):
            is_product = node.op_type == "MatMulNBits"
            at = 0 if is_product else -1
            packed, scales = array(reshaped.get(node.input[1 + at], node.input[1 + at])), array(node.input[2])
            rows, bits, size = len(packed), given["bits"], given["block_size"]
            width = given["K"] if is_product else packed.size // rows * 8 // bits
            codes = unpacked(packed.reshape(rows, -1), bits)[:, :width]
            blocks = -(-width // size)
            zeros = np.full((rows, blocks), 2 ** (bits - 1))
            if len(node.input) > 3 and node.input[3]:
                zeros = unpacked(array(node.input[3]).reshape(rows, -1), bits)[:, :blocks]
            weight = dequantized(codes, scales.reshape(rows, blocks), zeros, size)
            name = f"{node.output[0]}.floats"
            graph.initializer.append(numpy_helper.from_array(weight.T.copy() if is_product else weight, name))
            kind, inputs = ("MatMul", [node.input[0], name]) if is_product else ("Gather", [name, node.input[1]])
            nodes.append(helper.make_node(kind, inputs, node.output, node.name))
            count += 1
        elif node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            codes, scales = array(node.input[0]).astype(np.int32), array(node.input[1])
            zeros = array(node.input[2]).astype(np.int32) if len(node.input) > 2 else np.zeros(scales.shape, np.int32)
            axis, size = given.get("axis", 1), given.get("block_size", 0)
            if size:
                spread = lambda blocks: np.repeat(blocks, size, axis).take(range(codes.shape[axis]), axis)
            else:
                spread = lambda column: column.reshape([-1 if at == axis else 1 for at in range(codes.ndim)])
            weight = ((codes - spread(zeros)) * spread(scales.astype(np.float32))).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
            count += 1
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return model, count


def at_level(model, level):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = level
    return model


def difference(found, expected):
    """Returns the largest difference of the outputs, relative to their scales."""
    return max(
        float(np.max(np.abs(a - b), initial=0) / max(float(np.max(np.abs(b), initial=0)), 1e-6))
        for a, b in zip(found, expected, strict=True)
        if a.size
    )


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm else 1.0


def session(model):
    # Nodes of the standard are not fused into kernels that quantize the activations.
    return judge.session(model.SerializeToString(), judge.PLAIN)


def run(session, values):
    return list(families.run(session, {port.name: values[port.name] for port in session.get_inputs()}).values())


def check_rows(session, values):
    """Fails if the first row of a batch is not what it is alone."""
    alone = {name: value[:1] for name, value in values.items()}
    many = {name: np.concatenate([value[:1]] + [np.roll(value[:1], at, -1) for at in range(1, 32)]) for name, value in values.items()}
    for name in many:
        # Masks and positions stay those of the first row.
        if "mask" in name or "position" in name:
            many[name] = np.repeat(alone[name], 32, 0)
    pairs = zip(run(session, many), run(session, alone))
    # Scores of every image for every text are those of a batch.
    pairs = [(out[:1], own) for out, own in pairs if out[:1].shape == own.shape]
    found = difference(*zip(*pairs)) if pairs else 0.0
    if not found <= BATCH_TOLERANCE:
        raise families.Wrong(f"the first row of a batch differs by {found:.1e} from the row alone")


def judge_scheme(program, folder, target, scheme, flags, out):
    """Returns the bytes of the file, and the cosine and the share of equal winners against PyTorch."""
    path = out / "model.onnx"
    quantize = ["--quantize-tensor", f"{EVERY}={scheme}", *flags]
    families.build(program, folder, path, "--target", target, *quantize)
    model = onnx.load(str(path))
    if target == "onnx":
        onnx.checker.check_model(model, full_check=True)
    names = [node.name for node in model.graph.node]
    if len(set(names)) < len(names) or "" in names:
        raise families.Wrong("a node has no name of its own")
    (values, expected), *_ = families.cases(folder)
    if target == "tract":
        outcome = judge.netwright(program, "verify", str(path), "--runtime", "tract")
        if outcome.code != 0:
            raise families.Wrong(f"tract: {outcome.message}")
    sessions = [session(at_level(model, 1))]
    results = run(sessions[0], values)
    if scheme in BLOCKS:
        floats, count = in_floats(model)
        if not count:
            raise families.Wrong("no weight is quantized")
        found = difference(results, run(session(floats), values))
        if not found <= TOLERANCE:
            raise families.Wrong(f"differs by {found:.1e} from its weights in floats")
        check_rows(sessions[0], values)
    named = dict(zip((port.name for port in sessions[0].get_outputs()), results))
    mask = values.get("attention_mask")
    pairs = [(named[name], value) for name, value in expected.items()]
    seen = [(a[mask == 1], b[mask == 1]) if mask is not None and b.shape[:2] == mask.shape else (a, b) for a, b in pairs]
    similar = min(cosine(a, b) for a, b in seen)
    wins = [float(np.mean(a.argmax(-1) == b.argmax(-1))) for a, b in seen if b.ndim > 1]
    return path.stat().st_size, similar, min(wins, default=1.0)


def judge_branches(program, target, scheme, out):
    """Fails if ONNX Runtime, with its optimizations, multiplies wrongly by quantized weights of the branches of an If."""
    generator = np.random.default_rng(7)
    bodies = []
    for name in ("then", "else"):
        weight = numpy_helper.from_array(generator.standard_normal((67, 67), np.float32) / 8, f"{name}.weight")
        result = helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, ["n", 67])
        product = helper.make_node("MatMul", ["x", weight.name], [result.name])
        bodies.append(helper.make_graph([product], name, [], [result], [weight]))
    choice = helper.make_node("If", ["c"], ["y"], then_branch=bodies[0], else_branch=bodies[1])
    inputs = [helper.make_tensor_value_info("c", TensorProto.BOOL, [1])]
    inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 67]))
    graph = helper.make_graph([choice], "branches", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 67])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (out / "branches.onnx").write_bytes(model.SerializeToString())
    flags = ["--target", target, "--quantize-tensor", f"{EVERY}={scheme}", "--dtype", "f16"]
    judge.optimize(program, out / "branches.onnx", out / "model.onnx", flags)
    optimized = judge.session(str(out / "model.onnx"), judge.OPTIMIZED)
    plain = judge.session(str(out / "model.onnx"))
    for choice in (True, False):
        values = {"c": np.array([choice]), "x": generator.standard_normal((3, 67), np.float32)}
        found = difference(optimized.run(None, values), plain.run(None, values))
        if not found <= BRANCH_TOLERANCE:
            raise families.Wrong(f"a branch differs by {found:.1e} once ONNX Runtime optimizes it")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--table", type=pathlib.Path)
    arguments = parser.parse_args()
    failures, rows = 0, []
    for name in arguments.folders:
        folder = families.FOLDERS / name
        for scheme in SCHEMES:
            for kind, flags in FLAGS.items():
                if kind == "asymmetric" and scheme not in BLOCKS:
                    continue
                for target in TARGETS:
                    with tempfile.TemporaryDirectory() as out:
                        try:
                            size, similar, wins = judge_scheme(arguments.program, folder, target, scheme, flags, pathlib.Path(out))
                            rows.append((name, scheme, kind, target, size, similar, wins))
                        except Exception as error:
                            failures += 1
                            print(f"{name}, {scheme}, {kind}, {target}: {judge.first_line(error)}", flush=True)
    for scheme, target in itertools.product(BLOCKS, TARGETS):
        with tempfile.TemporaryDirectory() as out:
            try:
                judge_branches(arguments.program, target, scheme, pathlib.Path(out))
            except Exception as error:
                failures += 1
                print(f"branches, {scheme}, {target}: {judge.first_line(error)}", flush=True)
    for name, scheme, kind, target, size, similar, wins in rows:
        print(f"{name:12} {scheme:14} {kind:11} {target:6} {size:8} {similar:.6f} {wins:.3f}")
    if arguments.table:
        columns = [f"{target}: bytes | cosine | top-1" for target in TARGETS]
        lines = [" | ".join(["| family | scheme | blocks", *columns, ""]).rstrip(), "| --- " * (3 + 3 * len(TARGETS)) + "|"]
        for (name, scheme, kind), found in itertools.groupby(rows, lambda row: row[:3]):
            cells = [f"{size:,} | {similar:.4f} | {100 * wins:.0f} %" for *_, size, similar, wins in found]
            kind = kind if scheme in BLOCKS else "columns"
            lines.append(" | ".join([f"| {name} | {scheme} | {kind}", *cells, ""]).rstrip())
        text = arguments.table.read_text(encoding="utf-8")
        before = text[: text.index(MARK) + len(MARK)]
        arguments.table.write_text("\n".join([before, "", *lines, ""]), encoding="utf-8")
    print(f"quantized: {len(rows)} models, {failures} failures")
    sys.exit(1 if failures or not rows else 0)


if __name__ == "__main__":
    main()
