"""Checks operators of com.microsoft, attention of old exports and stems of vision models: contrib.py BIN.

Each model is written for every target. ONNX Runtime must load the output, with every node named, and compute equal
results, with left padding, fully masked rows, sizes of 1 and NaN in later keys of grouped attention. A second run must
change no byte. For targets without the domain, no operator of com.microsoft may remain."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from judge import session

F, I32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
LEAST = float(np.finfo(np.float32).min)
MODES = {"onnx": [], "opset 23": ["--opset", "23"], "tract": ["--target", "tract"], "ort": ["--target", "ort"]}
random = np.random.default_rng(0)
wrong = total = 0


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


class Net:
    """A model that is built node by node."""

    def __init__(self, inputs, opset=17):
        self.inputs, self.opset, self.nodes, self.tensors = inputs, opset, [], []

    def constant(self, array, dtype=None):
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def sizes(self, *sizes):
        return self.constant(sizes, np.int64)

    def add(self, op, *operands, results=1, domain="", **attributes):
        names = [f"{op}{len(self.nodes)}_{at}" for at in range(results)]
        node = helper.make_node(op, operands, names, f"node{len(self.nodes)}", domain=domain, **attributes)
        self.nodes.append(node)
        return names[0] if results == 1 else names

    def contrib(self, op, *operands, results=1, **attributes):
        return self.add(op, *operands, results=results, domain="com.microsoft", **attributes)

    def linear(self, x, rows, columns):
        product = self.add("MatMul", x, self.constant(normal(rows, columns) * 0.4))
        return self.add("Add", product, self.constant(normal(columns) * 0.3))

    def model(self, *outputs, types=None):
        inputs = [helper.make_tensor_value_info(*one) for one in self.inputs]
        types = types or [F] * len(outputs)
        outputs = [helper.make_tensor_value_info(name, ty, None) for name, ty in zip(outputs, types)]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.tensors)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def verdict(binary, source, flags, feeds, expected, folder, tolerance):
    first, second = folder / "first.onnx", folder / "second.onnx"
    for before, after in ((source, first), (first, second)):
        run = subprocess.run([binary, "optimize", before, "-o", after, "-q", *flags], capture_output=True, text=True)
        if run.returncode:
            return run.stderr.strip()
    kept = {node.op_type for node in onnx.load(first).graph.node if node.domain}
    if kept and "ort" not in flags:
        return f"stays: {', '.join(sorted(kept))}"
    try:
        runtime = session(str(first))
        for feed, wanted in zip(feeds, expected):
            for one, other in zip(wanted, runtime.run(None, feed)):
                if one.shape != other.shape:
                    return f"is of the shape {other.shape}, not {one.shape}"
                known = np.isfinite(one) if one.dtype.kind == "f" else np.ones(one.shape, bool)
                if not np.allclose(one[known], other[known], rtol=tolerance, atol=tolerance):
                    return f"differs by {np.nanmax(np.abs(one[known] - other[known])):.2g}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if first.read_bytes() == second.read_bytes() else "a second run changes it"


def judge(binary, name, model, feeds, tolerance=1e-5):
    global wrong, total
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / "source.onnx"
        onnx.save(model, source)
        expected = [session(str(source)).run(None, feed) for feed in feeds]
        for mode, flags in MODES.items():
            total += 1
            why = verdict(binary, source, flags, feeds, expected, folder, tolerance)
            if why:
                wrong += 1
                print(f"{name}, {mode}: {why}")


def multi_head_attention(binary):
    """For rows where only padding is visible, the rounding of the fill is 1e-3: scores are added to 1e4."""

    def net(extra, operands, key=("b", "t", 16), value=("b", "t", 16), results=1, **attributes):
        own = Net([("q", F, ["b", "s", 16]), ("k", F, list(key)), ("v", F, list(value)), *extra])
        made = own.contrib("MultiHeadAttention", "q", "k", "v", *operands, results=results, num_heads=4, **attributes)
        return own.model(*([made] if results == 1 else made))

    def feed(queries=5, keys=5, **more):
        return dict(q=normal(2, queries, 16), k=normal(2, keys, 16), v=normal(2, keys, 16), **more)

    left = np.ones((2, 5), np.int32)
    left[0, :3] = 0
    whole = left.copy()
    whole[1] = 0
    lengths = [(5, 5), (5, 7), (5, 3), (1, 4), (1, 1)]
    judge(binary, "unidirectional", net([], [], unidirectional=1), [feed(*both) for both in lengths])
    for filter_value in (-10000.0, LEAST):
        for unidirectional in (0, 1):
            more = dict(mask_filter_value=filter_value, unidirectional=unidirectional)
            name = f"filter {filter_value}, unidirectional {unidirectional}"
            mask = ("m", I32, ["b", "t"])
            feeds = [feed(m=left), feed(m=whole), feed(1, 1, m=np.zeros((2, 1), np.int32))]
            judge(binary, f"mask, {name}", net([mask], ["", "m"], **more), feeds, 2e-3)
            feeds = [feed(m=np.array(ends, np.int32)) for ends in ([2, 5], [0, 1])]
            judge(binary, f"lengths, {name}", net([("m", I32, ["b"])], ["", "m"], **more), feeds, 2e-3)
            feeds = [feed(m=(normal(2, 5, 5) > 0).astype(np.int32)), feed(m=np.zeros((2, 5, 5), np.int32))]
            judge(binary, f"square mask, {name}", net([("m", I32, ["b", "s", "t"])], ["", "m"], **more), feeds, 2e-3)
            bias = ("bias", F, [1, 4, "s", "t"])
            feeds = [feed(m=mask, bias=normal(1, 4, 5, 5)) for mask in (left, whole)]
            judge(binary, f"bias, {name}", net([mask, bias], ["", "m", "bias"], **more), feeds, 2e-3)
    past = [("pk", F, ["b", 4, "p", 4]), ("pv", F, ["b", 4, "p", 4])]
    for unidirectional in (0, 1):
        model = net([("m", I32, ["b", "u"]), *past], ["", "m", "", "pk", "pv"], results=3, unidirectional=unidirectional)
        feeds = [
            feed(new, new, pk=normal(2, 4, old, 4), pv=normal(2, 4, old, 4), m=(normal(2, old + new) > -1).astype(np.int32))
            for new, old in ((5, 3), (1, 4), (5, 0))
        ]
        judge(binary, f"past, unidirectional {unidirectional}", model, feeds, 2e-3)
    for unidirectional in (0, 1):
        heads = ("b", 4, "t", 4)
        model = net([], [], key=heads, value=heads, unidirectional=unidirectional)
        feeds = [dict(q=normal(2, s, 16), k=normal(2, 4, t, 4), v=normal(2, 4, t, 4)) for s, t in lengths]
        judge(binary, f"keys by heads, unidirectional {unidirectional}", model, feeds)
    model = net([("bias", F, [48])], ["bias"], key=("b", 4, "t", 4), value=("b", 4, "t", 4))
    feeds = [dict(q=normal(2, 5, 16), k=normal(2, 4, 3, 4), v=normal(2, 4, 3, 4), bias=normal(48))]
    judge(binary, "keys by heads and a bias", model, feeds)
    model = net([], [], value=("b", "t", 24))
    judge(binary, "wider values", model, [dict(q=normal(2, 5, 16), k=normal(2, 3, 16), v=normal(2, 3, 24))])


def packed_attention(binary):
    def net(sizes, extra, operands, results=1, **attributes):
        own = Net([("x", F, ["b", "s", 16]), *extra])
        weight, bias = own.constant(normal(16, sum(sizes)) * 0.3), own.constant(normal(sum(sizes)) * 0.3)
        if sizes != [16, 16, 16]:
            attributes["qkv_hidden_sizes"] = sizes
        made = own.contrib("Attention", "x", weight, bias, *operands, results=results, num_heads=4, **attributes)
        return own.model(*([made] if results == 1 else made))

    judge(binary, "packed", net([16] * 3, [], []), [dict(x=normal(2, 5, 16)), dict(x=normal(1, 1, 16))])
    judge(binary, "packed, wider values", net([8, 8, 24], [], []), [dict(x=normal(2, 5, 16)), dict(x=normal(1, 1, 16))])
    for unidirectional in (0, 1):
        extra = [("m", I32, ["b", "t"]), ("past", F, [2, "b", 4, "p", 4])]
        model = net([16] * 3, extra, ["m", "past"], results=2, unidirectional=unidirectional)
        feeds = [
            dict(x=normal(2, new, 16), past=normal(2, 2, 4, old, 4), m=(normal(2, old + new) > -1).astype(np.int32))
            for new, old in ((5, 3), (1, 4), (5, 0))
        ]
        judge(binary, f"packed with a past, unidirectional {unidirectional}", model, feeds, 2e-3)


def grouped_attention(binary):
    heads, kv_heads, size = 4, 2, 16
    tables = [np.cos(normal(32, size // 2)), np.sin(normal(32, size // 2))]

    def net(packed=False, past=True, turns=True, **attributes):
        width = (heads + 2 * kv_heads if packed else heads) * size
        inputs = [("q", F, ["b", "s", width])]
        if not packed:
            inputs += [(name, F, ["b", "s", kv_heads * size]) for name in "kv"]
        if past:
            inputs += [(name, F, ["b", kv_heads, "p", size]) for name in ("pk", "pv")]
        own = Net([*inputs, ("last", I32, ["b"]), ("total", I32, [])])
        operands = ["q", *(["", ""] if packed else "kv"), *(["pk", "pv"] if past else ["", ""]), "last", "total"]
        if turns:
            operands += [own.constant(table) for table in tables]
            attributes["do_rotary"] = 1
        made = own.contrib(
            "GroupQueryAttention", *operands, results=3, num_heads=heads, kv_num_heads=kv_heads, **attributes
        )
        return own.model(*made)

    def feed(batch, new, old, last, total, past=True, packed=False):
        sides = [normal(batch, new, heads * size)] + [normal(batch, new, kv_heads * size) for _ in range(2)]
        made = dict(q=np.concatenate(sides, -1)) if packed else dict(zip("qkv", sides))
        if past:
            made |= {name: normal(batch, kv_heads, old, size) for name in ("pk", "pv")}
        return made | dict(last=np.array(last, np.int32), total=np.array(total, np.int32))

    # A first prompt, steps with pasts of equal and different lengths, buffers of a fixed size, a prompt after a past.
    runs = [(2, 5, 0, [4, 4], 5), (2, 1, 5, [5, 5], 6), (2, 1, 5, [3, 5], 6), (2, 1, 9, [3, 5], 6), (1, 3, 5, [7], 8)]
    runs += [(1, 1, 0, [0], 1), (2, 5, 9, [4, 4], 5)]
    judge(binary, "groups", net(), [feed(*run) for run in runs])
    judge(binary, "groups, packed", net(packed=True), [feed(*run, packed=True) for run in runs])
    judge(binary, "groups, interleaved", net(rotary_interleaved=1), [feed(*run) for run in runs])
    judge(binary, "groups, capped", net(turns=False, softcap=2.0, scale=0.3), [feed(*run) for run in runs])
    for window in (1, 2, 3):
        judge(binary, f"groups, window {window}", net(local_window_size=window), [feed(*run) for run in runs])
    judge(binary, "groups without a past", net(past=False), [feed(2, 5, 0, [4, 4], 5, past=False)])
    later, stale = feed(2, 5, 0, [4, 4], 5), feed(2, 1, 9, [3, 5], 6)
    later["k"][:, 4:] = np.nan
    for name in ("pk", "pv"):
        stale[name][:, :, 6:] = np.nan
    judge(binary, "groups, NaN in later keys", net(), [later, stale])


def embeddings(binary):
    for types, mask in ((0, 0), (0, 1), (1, 0), (1, 1)):
        inputs = [("ids", I32, ["b", "s"])]
        inputs += [("types", I32, ["b", "s"])] * types + [("mask", I32, ["b", "s"])] * mask
        own = Net(inputs)
        words, places, kinds, gamma, beta = (own.constant(normal(*shape)) for shape in ((20, 8), (16, 8), (2, 8), (8,), (8,)))
        operands = ["ids", "types" if types else "", words, places, kinds if types else "", gamma, beta]
        made = own.contrib("EmbedLayerNormalization", *operands, *(["mask"] * mask), results=3)
        feeds = []
        for shape in ((2, 5), (1, 1)):
            one = dict(ids=random.integers(0, 20, shape).astype(np.int32))
            one |= dict(types=random.integers(0, 2, shape).astype(np.int32)) if types else {}
            one |= dict(mask=random.integers(0, 3, shape).astype(np.int32)) if mask else {}
            feeds.append(one)
        judge(binary, f"embeddings, types {types}, mask {mask}", own.model(*made, types=[F, I32, F]), feeds)


def products_of_blocks(binary):
    """MatMulNBits as other tools write it: zero points in floats, and indices of groups in any order."""
    groups = (random.permutation(96) // 32).astype(np.int32)
    for columns, zeros, indices in ((96, True, None), (96, False, groups), (96, True, groups), (90, True, groups[:90])):
        own = Net([("x", F, ["b", columns])], opset=21)
        codes = own.constant(random.integers(0, 256, (8, 3, 16)).astype(np.uint8))
        operands = ["x", codes, own.constant(normal(8, 3))]
        operands.append(own.constant(random.uniform(0, 15, (8, 3)).astype(np.float32)) if zeros else "")
        operands += [] if indices is None else [own.constant(indices)]
        y = own.contrib("MatMulNBits", *operands, K=columns, N=8, bits=4, block_size=32)
        name = f"blocks of {columns} columns, zero points {zeros}, groups {indices is not None}"
        judge(binary, name, own.model(y), [dict(x=normal(5, columns)), dict(x=normal(1, columns))], 1e-4)


def merged_heads(binary):
    """PyTorch's MultiheadAttention in old exports: length first, batch and heads as one axis."""
    heads, size = 4, 8
    width = heads * size
    for mask in ("none", "square", "padding"):
        inputs = [("x", F, ["t", "b", width])]
        inputs += {"none": [], "square": [("m", F, ["t", "t"])], "padding": [("m", BOOL, ["b", "t"])]}[mask]
        own = Net(inputs)
        shape = own.add("Shape", "x")
        length, batch = (own.add("Gather", shape, own.sizes(at)) for at in (0, 1))
        both = own.add("Mul", batch, own.sizes(heads))

        def reshape(value, *sizes):
            return own.add("Reshape", value, own.add("Concat", *sizes, axis=0))

        query = own.add("Mul", own.linear("x", width, width), own.constant(np.float32(size**-0.5)))
        sides = [query, own.linear("x", width, width), own.linear("x", width, width)]
        query, key, value = (
            own.add("Transpose", reshape(side, length, both, own.sizes(size)), perm=[1, 0, 2]) for side in sides
        )
        scores = own.add("MatMul", query, own.add("Transpose", key, perm=[0, 2, 1]))
        if mask == "square":
            scores = own.add("Add", scores, own.add("Unsqueeze", "m", own.sizes(0)))
        if mask == "padding":
            apart = reshape(scores, batch, own.sizes(heads), length, length)
            hidden = own.add("Unsqueeze", "m", own.sizes(1, 2))
            scores = reshape(own.add("Where", hidden, own.constant(np.float32(-1e30)), apart), both, length, length)
        attended = own.add("MatMul", own.add("Softmax", scores, axis=-1), value)
        attended = reshape(own.add("Transpose", attended, perm=[1, 0, 2]), length, batch, own.sizes(width))
        model = own.model(own.linear(attended, width, width))
        feeds = []
        for length, batch in ((5, 2), (1, 1), (4, 3)):
            one = dict(x=normal(length, batch, width))
            if mask == "square":
                one["m"] = normal(length, length)
            if mask == "padding":
                one["m"] = np.arange(length)[None] < np.arange(batch)[:, None]
            feeds.append(one)
        judge(binary, f"merged heads, mask {mask}", model, feeds)


def equations(binary):
    sizes = dict(b=2, s=5, t=3)
    for equation, a, b in [
        ("abc,cde->abde", ["b", "s", 16], [16, 4, 4]),
        ("aecd,abcd->acbe", ["b", "t", 4, 8], ["b", "s", 4, 8]),
        ("acbe,aecd->abcd", ["b", 4, "s", "t"], ["b", "t", 4, 8]),
        ("abcd,cde->abe", ["b", "s", 4, 8], [4, 8, 16]),
        ("ibnd,jbnd->ijbn", ["s", "b", 4, 8], ["t", "b", 4, 8]),
        ("ibnd,hnd->ibh", ["s", "b", 4, 8], [16, 4, 8]),
        ("ij,jk->ki", [3, 4], [4, 5]),
        ("bhd,hde->be", ["b", 2, 3], [2, 3, 5]),
    ]:
        own = Net([("a", F, a), ("b", F, b)])
        model = own.model(own.add("Einsum", "a", "b", equation=equation))
        feeds = []
        for known in (sizes, dict(b=1, s=1, t=1)):
            feeds.append({name: normal(*(known.get(dim, dim) for dim in dims)) for name, dims in (("a", a), ("b", b))})
        judge(binary, equation, model, feeds)


def stems(binary):
    def convolution(own, x, outer, inner, **attributes):
        return own.add("Conv", x, own.constant(normal(outer, inner, 3, 3) * 0.3), **attributes)

    def normalized(own, x, channels):
        numbers = [own.constant(normal(channels)) for _ in range(3)]
        return own.add("BatchNormalization", x, *numbers, own.constant(np.abs(normal(channels)) + 0.1))

    own = Net([("x", F, ["b", 3, "h", "w"])])
    y = convolution(own, own.add("Pad", "x", own.sizes(0, 0, 0, 1, 0, 0, 1, 2)), 4, 3, pads=[1, 1, 1, 1], strides=[2, 2])
    y = own.add("Relu", normalized(own, y, 4))
    y = own.add("MaxPool", own.add("Pad", y, own.sizes(0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=[3, 3], strides=[2, 2])
    y = own.add("ConvTranspose", y, own.constant(normal(4, 3, 3, 3)), group=2)
    y = own.add("AveragePool", own.add("Pad", normalized(own, y, 6), own.sizes(0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=[3, 3])
    judge(binary, "stem", own.model(y), [dict(x=normal(2, 3, 7, 9)), dict(x=normal(1, 3, 4, 4))], 1e-4)
    own = Net([("x", F, ["b", "h", "w", 3])])

    def by_channel(x, outer, inner):
        y = convolution(own, own.add("Transpose", x, perm=[0, 3, 1, 2]), outer, inner, pads=[1, 1, 1, 1])
        return own.add("Transpose", y, perm=[0, 2, 3, 1])

    y = own.add("Add", own.add("Relu", by_channel("x", 4, 3)), own.constant(normal(4)))
    judge(binary, "channels last", own.model(by_channel(y, 4, 4)), [dict(x=normal(2, 5, 6, 3)), dict(x=normal(1, 1, 1, 3))])


def main():
    binary = sys.argv[1]
    for part in (multi_head_attention, packed_attention, grouped_attention, embeddings, products_of_blocks, merged_heads, equations, stems):
        part(binary)
    print(f"contrib: {total - wrong} of {total} as wanted")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
