"""Checks models made for one runtime in another: composite operators are decomposed.

- The node tests of Attention, RotaryEmbedding, RMSNormalization, Gelu, Swish and LayerNormalization, brought to an opset
  that has none of them, and to the forms that tract and ONNX Runtime support.
- Operators of ONNX Runtime's own domain, for targets without it: ONNX Runtime runs them before and after.

Results must equal those of the tests, or of ONNX Runtime, within 1e-4; f16 and bf16 within two units in the last place,
because runtimes round between the steps.
"""

import argparse
import collections
import itertools
import pathlib
import sys
import tempfile

import judge
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

TOLERANCE = 1e-4
NARROW_TOLERANCES = {TensorProto.BFLOAT16: 2**-6, TensorProto.FLOAT16: 2**-9}
OPERATORS = {"Attention", "Gelu", "LayerNormalization", "RMSNormalization", "RotaryEmbedding", "Swish"}

WAYS = [["--opset", "16"], ["--opset", "22"], ["--target", "tract"], ["--target", "ort"]]
NODE_TESTS = 144


def optimize(program, path, output, flags):
    outcome = judge.netwright(program, "-q", "optimize", path, "-o", output, *flags)
    assert not outcome.crash, outcome.crash
    return outcome


def results(path, feeds):
    """Runs a model in ONNX Runtime, or else in the reference evaluator."""
    try:
        return judge.in_onnxruntime(path, feeds)
    except Exception:
        return judge.in_reference(path, feeds)


def difference(found, expected, tolerance):
    for at, (own, other) in enumerate(zip(found, expected, strict=True)):
        own, other = np.asarray(own).astype(np.float64), np.asarray(other).astype(np.float64)
        if own.shape != other.shape:
            return f"result {at} is {own.shape}, not {other.shape}"
        if not np.allclose(own, other, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"result {at} differs by {np.nanmax(np.abs(own - other)):.1e}"
    return None


def node_tests(program, folder):
    """Returns what is wrong, and the number of tests."""
    wrong, count = [], 0
    for case in collect_testcases(None):
        if case.name.endswith("_expanded") or "_expanded_" in case.name or case.model is None:
            continue
        if not {node.op_type for node in case.model.graph.node} <= OPERATORS:
            continue
        count += 1
        path = folder / "node.onnx"
        onnx.save(case.model, path)
        inputs, expected = case.data_sets[0]
        feeds = {port.name: array(value) for port, value in zip(case.model.graph.input, inputs)}
        ports = [*case.model.graph.input, *case.model.graph.output]
        tolerance = max(NARROW_TOLERANCES.get(port.type.tensor_type.elem_type, TOLERANCE) for port in ports)
        for flags in WAYS:
            output = folder / "written.onnx"
            label = f"{case.name} {' '.join(flags)}"
            outcome = optimize(program, path, output, flags)
            if outcome.code != 0:
                wrong.append(f"{label}: {outcome.message}")
                continue
            written = onnx.load(output)
            if message := judge.invalid(output):
                wrong.append(f"{label}: {message}")
            elif flags[0] == "--opset" and (left := OPERATORS & {node.op_type for node in written.graph.node} - late(flags)):
                wrong.append(f"{label}: {left} is left")
            else:
                if message := difference(results(output, feeds), [array(value) for value in expected], tolerance):
                    wrong.append(f"{label}: {message}")
    if count != NODE_TESTS:
        wrong.append(f"there are {count} node tests, not {NODE_TESTS}")
    return wrong, f"{count} node tests by {len(WAYS)} ways"


def late(flags):
    """Returns the operators that the requested opset has."""
    return {"Gelu", "LayerNormalization"} if flags == ["--opset", "22"] else set()


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


RANDOM = np.random.default_rng(0)
BATCH, LENGTH, PAST, HEADS, SIZE = 2, 5, 3, 4, 8
HIDDEN = HEADS * SIZE


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def padded(keys):
    """Returns 1 for keys; the last key of the second sample is padding."""
    mask = np.ones((BATCH, keys), np.int32)
    mask[1, keys - 2 :] = 0
    return mask


class Case:
    """Creates one node: operands by name (arrays; names with `w_` are initializers), attributes, number of results."""

    def __init__(
        self, op_type, operands, results=1, declined=None, domain="com.microsoft", integers=(), **attributes
    ):
        self.op_type, self.operands, self.results, self.integers = op_type, operands, results, integers
        self.declined, self.domain, self.attributes = declined, domain, attributes

    def model(self):
        names = [name if value is not None else "" for name, value in self.operands.items()]
        outputs = [f"y{at}" for at in range(self.results)]
        node = helper.make_node(self.op_type, names, outputs, domain=self.domain, **self.attributes)
        ports, tensors = [], []
        for name, value in self.operands.items():
            if value is None:
                continue
            if name.startswith("w_"):
                tensors.append(numpy_helper.from_array(value, name))
            else:
                shape = ["batch" if size == BATCH and at == 0 else size for at, size in enumerate(value.shape)]
                ports.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape))
        types = [TensorProto.INT32 if name in self.integers else TensorProto.FLOAT for name in outputs]
        results = [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, types)]
        graph = helper.make_graph([node], "g", ports, results, tensors)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def feeds(self):
        return {name: value for name, value in self.operands.items() if value is not None and not name.startswith("w_")}


def contrib_cases():
    x, gamma, beta, bias = floats(BATCH, LENGTH, HIDDEN), floats(HIDDEN), floats(HIDDEN), floats(HIDDEN)
    yield Case("Gelu", {"x": x})
    yield Case("BiasGelu", {"x": x, "w_b": bias})
    yield Case("FastGelu", {"x": x})
    yield Case("FastGelu", {"x": x, "w_b": bias})
    yield Case("QuickGelu", {"x": x})
    yield Case("QuickGelu", {"x": x}, alpha=1.0)
    norm = {"x": x, "skip": floats(BATCH, LENGTH, HIDDEN), "w_gamma": gamma}
    yield Case("SkipLayerNormalization", norm)
    yield Case("SkipLayerNormalization", norm | {"w_beta": beta, "w_bias": bias}, epsilon=1e-5)
    yield Case("SkipSimplifiedLayerNormalization", norm)
    yield Case("SkipSimplifiedLayerNormalization", norm | {"w_bias": bias}, epsilon=1e-6)
    yield Case("SimplifiedLayerNormalization", {"x": x, "w_scale": gamma}, domain="", epsilon=1e-6)
    a, b = floats(BATCH, HEADS, LENGTH, SIZE), floats(BATCH, HEADS, SIZE, LENGTH)
    yield Case("FusedMatMul", {"a": a, "b": b}, alpha=0.25)
    yield Case("FusedMatMul", {"a": a, "b": floats(BATCH, HEADS, LENGTH, SIZE)}, transB=1)
    yield Case("FusedMatMul", {"a": floats(BATCH, HEADS, SIZE, LENGTH), "b": b}, transA=1, alpha=2.0)
    ids = RANDOM.integers(0, 9, (BATCH, LENGTH)).astype(np.int32)
    tables = {"w_words": floats(9, HIDDEN), "w_positions": floats(16, HIDDEN)}
    ends = {"w_gamma": gamma, "w_beta": beta}
    segments = RANDOM.integers(0, 2, (BATCH, LENGTH)).astype(np.int32)
    plain = {"ids": ids, "segments": None, **tables, "w_segments": None, **ends, "mask": padded(LENGTH)}
    yield Case("EmbedLayerNormalization", plain, 2, integers=["y1"])
    embedded = {"ids": ids, "segments": segments, **tables, "w_segments": floats(2, HIDDEN), **ends}
    yield Case("EmbedLayerNormalization", embedded | {"mask": padded(LENGTH)}, 2, integers=["y1"])
    yield Case("EmbedLayerNormalization", embedded, 2, integers=["y1"])
    table = {"w_cos": floats(16, SIZE // 2), "w_sin": floats(16, SIZE // 2)}
    places = np.tile(np.arange(3, 3 + LENGTH), (BATCH, 1)).astype(np.int64)
    for interleaved in (0, 1):
        yield Case("RotaryEmbedding", {"x": x, "places": places, **table}, interleaved=interleaved)
        yield Case("RotaryEmbedding", {"x": x, "start": np.array([2]), **table}, interleaved=interleaved, num_heads=HEADS)
    yield Case("RotaryEmbedding", {"x": a, "places": places, **table})
    yield Case("RotaryEmbedding", {"x": x, "places": places, **table}, declined="scale", scale=2.0)
    for rows, bits, block, zeros in itertools.product((64, 40), (4, 8), (16, 32), (False, True)):
        columns = 6
        blocks = -(-rows // block)
        weights = RANDOM.integers(0, 256, (columns, blocks, block * bits // 8)).astype(np.uint8)
        operands = {"x": floats(BATCH, rows), "w_codes": weights, "w_scales": np.abs(floats(columns * blocks))}
        if zeros:
            operands["w_zeros"] = RANDOM.integers(0, 256, columns * -(-blocks * bits // 8)).astype(np.uint8)
        yield Case("MatMulNBits", operands, K=rows, N=columns, bits=bits, block_size=block)
    yield from attention_cases(x)


def attention_cases(x):
    def qkv():
        return {name: floats(BATCH, LENGTH, HIDDEN) for name in ("q", "k", "v")}

    def past(heads=HEADS, batch=BATCH):
        return {name: floats(batch, heads, PAST, SIZE) for name in ("pk", "pv")}

    relative = floats(BATCH, HEADS, LENGTH, LENGTH)
    for unidirectional in (0, 1):
        flags = {"num_heads": HEADS, "unidirectional": unidirectional}
        yield Case("MultiHeadAttention", qkv(), **flags)
        yield Case("MultiHeadAttention", qkv() | {"w_bias": floats(3 * HIDDEN)}, **flags)
        none = {"w_bias": None}
        yield Case("MultiHeadAttention", qkv() | none | {"mask": padded(LENGTH)}, **flags)
        yield Case("MultiHeadAttention", qkv() | none | {"mask": None, "relative": relative}, **flags, scale=0.2)
        yield Case("MultiHeadAttention", qkv() | none | {"mask": padded(LENGTH), "relative": relative}, **flags)
        whole = qkv() | none | {"mask": padded(LENGTH + PAST), "relative": None} | past()
        yield Case("MultiHeadAttention", whole, 3, **flags)
        packed = {"x": x, "w_qkv": floats(HIDDEN, 3 * HIDDEN), "w_bias": floats(3 * HIDDEN)}
        yield Case("Attention", packed, **flags)
        yield Case("Attention", packed | {"mask": padded(LENGTH)}, **flags)
        yield Case("Attention", packed | {"lengths": np.array([LENGTH, LENGTH - 2], np.int32)}, **flags)
        both = np.stack(list(past().values()))
        yield Case("Attention", packed | {"mask": None, "past": both}, 2, **flags)
        yield Case("Attention", packed | {"mask": None, "past": None, "relative": relative}, **flags)
    lengths = {"lengths": np.full(BATCH, LENGTH - 1, np.int32), "w_total": np.array(LENGTH, np.int32)}
    grouped = {"q": floats(BATCH, LENGTH, HIDDEN)} | {name: floats(BATCH, LENGTH, 2 * SIZE) for name in ("k", "v")}
    flags = {"num_heads": HEADS, "kv_num_heads": 2}
    empty = {"pk": None, "pv": None}
    yield Case("GroupQueryAttention", grouped | empty | lengths, **flags)
    yield Case("GroupQueryAttention", grouped | empty | lengths, **flags, scale=0.1, softcap=5.0)
    yield Case("GroupQueryAttention", grouped | empty | lengths, declined="it has a window but no past", **flags, local_window_size=2)
    size = 16
    tables = {"w_cos": floats(16, size // 2), "w_sin": floats(16, size // 2)}
    wide = {"q": floats(BATCH, LENGTH, HEADS * size)} | {name: floats(BATCH, LENGTH, 2 * size) for name in ("k", "v")}
    yield Case("GroupQueryAttention", wide | empty | lengths | tables, **flags, do_rotary=1)
    packed = {"qkv": floats(BATCH, LENGTH, (HEADS + 4) * size), "k": None, "v": None}
    yield Case("GroupQueryAttention", packed | empty | lengths, **flags)
    yield Case("GroupQueryAttention", packed | empty | lengths | tables, **flags, do_rotary=1, rotary_interleaved=1)
    one = {name: array[:1] for name, array in wide.items()}
    total = {"lengths": np.array([LENGTH + PAST - 1], np.int32), "w_total": np.array(LENGTH + PAST, np.int32)}
    cache = {name: floats(1, 2, PAST, size) for name in ("pk", "pv")}
    yield Case("GroupQueryAttention", one | cache | total | tables, 3, **flags, do_rotary=1)
    yield Case("GroupQueryAttention", one | cache | total, 3, **flags)


CONTRIB_WAYS = [[], ["--opset", "20"], ["--opset", "24"], ["--target", "tract"], ["--target", "ort"]]


def contrib_tests(program, folder):
    wrong, counts = [], collections.Counter()
    for at, case in enumerate(contrib_cases()):
        path = folder / "contrib.onnx"
        onnx.save(case.model(), path)
        feeds = case.feeds()
        try:
            expected = judge.in_onnxruntime(path, feeds)
        except Exception as error:
            expected = None
            if case.declined is None:
                wrong.append(f"{case.op_type} {at}: ONNX Runtime does not run it: {judge.first_line(error)}")
        for flags in CONTRIB_WAYS:
            output = folder / "standard.onnx"
            label = f"{case.op_type} {at} {case.attributes} {' '.join(flags)}"
            outcome = judge.netwright(program, "optimize", "--explain", path, "-o", output, *flags)
            if outcome.crash or outcome.code != 0:
                wrong.append(f"{label}: {outcome.crash or outcome.message}")
                continue
            kept = any(node.domain == "com.microsoft" or node.op_type == "SimplifiedLayerNormalization" for node in onnx.load(output).graph.node)
            if flags != ["--target", "ort"]:
                counts["declined" if kept else "written out"] += 1
                declined = [line for line in outcome.stdout.splitlines() if "standardize-contrib-operators" in line and "declined" in line]
                # tract multiplies by 4-bit weights in blocks as they are stored.
                stays = case.declined is not None or flags == ["--target", "tract"] and case.op_type == "MatMulNBits" and case.attributes["bits"] == 4
                if kept != stays or kept and case.declined and case.declined not in " ".join(declined):
                    wrong.append(f"{label}: {declined or 'declined without a word' if kept else 'not declined'}")
            if expected is None:
                continue
            try:
                found = judge.in_onnxruntime(output, feeds)
            except Exception as error:
                wrong.append(f"{label}: does not run: {judge.first_line(error)}")
                continue
            if message := difference(found, expected, TOLERANCE):
                wrong.append(f"{label}: {message}")
    return wrong, ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    args = parser.parse_args()
    failed = 0
    for tests in (node_tests, contrib_tests):
        with tempfile.TemporaryDirectory() as folder:
            wrong, summary = tests(args.netwright, pathlib.Path(folder))
        failed += len(wrong)
        print("\n".join(wrong[:40]), end="\n" if wrong else "")
        print(f"{tests.__name__}: {summary}, {len(wrong)} wrong", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
