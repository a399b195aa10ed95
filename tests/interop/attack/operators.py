"""Operators with impossible attributes or constant operands."""

import numpy as np

from . import Cases, text

CASES = Cases("operator")
HUGE, LEAST, MOST = 2**62, -(2**63), 2**63 - 1


def add(name, expect, body, weights=None, inputs="float[n,4] x", output="float[?] y"):
    model = text(
        f"({inputs}) => ({output}) {{ {body} z0 = Shape(r) y0 = Cast<to=1>(z0) y = Neg(y0) }}",
        {name: np.array(value) for name, value in (weights or {}).items()},
    )
    CASES.add(name, expect, body, model)


X4 = "float[1,1,8,8] x"
KERNEL = {"w": np.ones((1, 1, 3, 3), np.float32)}
for name, attributes in {
    "stride_zero": "strides=[1, 0]",
    "stride_negative": "strides=[-1, 1]",
    "dilation_zero": "dilations=[0, 1]",
    "group_zero": "group=0",
    "group_negative": "group=-1",
    "group_uneven": "group=2",
    "strides_of_three": "strides=[1, 1, 1]",
    "pads_of_two": "pads=[1, 1]",
    "kernel_disagrees": "kernel_shape=[2, 2]",
    "auto_pad_unknown": 'auto_pad="SIDEWAYS"',
}.items():
    add(f"conv_{name}", "reject", f"r = Conv<{attributes}>(x, w)", KERNEL, X4)
for name, attributes in {
    "stride_huge": f"strides=[{HUGE}, 1]",
    "dilation_huge": f"dilations=[{HUGE}, {HUGE}]",
    "pads_huge": f"pads=[{MOST}, {MOST}, {MOST}, {MOST}]",
    "pads_negative": f"pads=[{LEAST}, 0, 0, 0]",
}.items():
    add(f"conv_{name}", "bounded", f"r = Conv<{attributes}>(x, w)", KERNEL, X4)
    add(f"conv_transpose_{name}", "bounded", f"r = ConvTranspose<{attributes}>(x, w)", KERNEL, X4)
add("conv_kernel_larger", "bounded", "r = Conv(x, w)", {"w": np.ones((1, 1, 9, 9), np.float32)}, X4)
add("conv_kernel_empty", "bounded", "r = Conv(x, w)", {"w": np.ones((1, 1, 0, 3), np.float32)}, X4)
add("conv_channels", "reject", "r = Conv(x, w)", {"w": np.ones((1, 3, 3, 3), np.float32)}, X4)
for op in ["MaxPool", "AveragePool", "LpPool"]:
    add(f"{op.lower()}_kernel_missing", "reject", f"r = {op}(x)", inputs=X4)
    for name, attributes in {
        "kernel_zero": "kernel_shape=[0, 1]",
        "stride_zero": "kernel_shape=[2, 2], strides=[0, 1]",
        "kernel_of_one": "kernel_shape=[2]",
    }.items():
        add(f"{op.lower()}_{name}", "reject", f"r = {op}<{attributes}>(x)", inputs=X4)
    add(
        f"{op.lower()}_huge",
        "bounded",
        f"r = {op}<kernel_shape=[{HUGE}, {MOST}], pads=[{MOST}, {MOST}, {MOST}, {MOST}]>(x)",
        inputs=X4,
    )

for name, body in {
    "transpose_twice": "r = Transpose<perm=[0, 0]>(x)",
    "transpose_short": "r = Transpose<perm=[0]>(x)",
    "transpose_negative": "r = Transpose<perm=[-1, 0]>(x)",
    "transpose_huge": f"r = Transpose<perm=[{HUGE}, 0]>(x)",
    "softmax_axis": "r = Softmax<axis=2>(x)",
    "softmax_axis_negative": "r = Softmax<axis=-3>(x)",
    "softmax_axis_least": f"r = Softmax<axis={LEAST}>(x)",
    "concat_axis": f"r = Concat<axis={LEAST}>(x, x)",
    "flatten_axis": "r = Flatten<axis=3>(x)",
    "flatten_axis_least": f"r = Flatten<axis={LEAST}>(x)",
    "argmax_axis": "r = ArgMax<axis=2>(x)",
    "layer_norm_axis": "r = LayerNormalization<axis=5>(x, x)",
    "gather_axis": "i = Constant<value_int=0>() r = Gather<axis=2>(x, i)",
    "split_axis": "r, s = Split<axis=2, num_outputs=2>(x)",
    "split_none": "r = Split<num_outputs=0>(x)",
    "split_negative": "r = Split<num_outputs=-1>(x)",
    "split_disagrees": "r, s = Split<num_outputs=3>(x)",
    "depth_to_space_zero": "u = Constant<value_ints=[1, 4, 2, 2]>() f = ConstantOfShape(u) r = DepthToSpace<blocksize=0>(f)",
    "space_to_depth_zero": "u = Constant<value_ints=[1, 4, 2, 2]>() f = ConstantOfShape(u) r = SpaceToDepth<blocksize=0>(f)",
    "depth_to_space_huge": f"u = Constant<value_ints=[1, 4, 2, 2]>() f = ConstantOfShape(u) r = DepthToSpace<blocksize={HUGE}>(f)",
    "einsum_nonsense": 'r = Einsum<equation="->->">(x)',
    "einsum_rank": 'r = Einsum<equation="abc->a">(x)',
    "einsum_empty": 'r = Einsum<equation="">(x)',
}.items():
    add(name, "reject", body, {"a": [0]})

SHAPE = "float[?] y"
for name, sizes, expect in [
    ("two_unknown", [-1, -1], "reject"),
    ("minus_two", [-2, 2], "reject"),
    ("wraps", [2**32, 2**32], "reject"),
    ("wraps_with_unknown", [HUGE, 4, -1], "reject"),
    ("least", [LEAST, 1], "reject"),
    ("zero_beyond", [1, 1, 1, 0], "reject"),
    ("rank_100000", [1] * 100_000, "bounded"),
    ("nothing", [], "bounded"),
]:
    add(f"reshape_{name}", expect, "r = Reshape(x, s)", {"s": np.array(sizes, np.int64)})
add("reshape_zero_and_unknown", "reject", "r = Reshape<allowzero=1>(x, s)", {"s": [0, -1]})
add("reshape_matrix", "reject", "r = Reshape(x, s)", {"s": [[1, -1]]})
add("reshape_disagrees", "reject", "r = Reshape(w, s)", {"w": np.ones(6, np.float32), "s": [4, 2]})
add("unsqueeze_axis", "reject", "r = Unsqueeze(x, s)", {"s": [9]})
add("unsqueeze_twice", "reject", "r = Unsqueeze(x, s)", {"s": [0, 0]})
add("unsqueeze_alias", "reject", "r = Unsqueeze(x, s)", {"s": [0, -4]})
add("unsqueeze_100000", "bounded", "r = Unsqueeze(x, s)", {"s": np.arange(100_000)})
add("squeeze_axis", "reject", "r = Squeeze(x, s)", {"s": [5]})
add("squeeze_four", "reject", "r = Squeeze(x, s)", {"s": [1]})
add("slice_step_least", "bounded", "r = Slice(x, a, b, c, d)", {"a": [MOST], "b": [LEAST], "c": [1], "d": [LEAST]})
add("slice_extremes", "bounded", "r = Slice(x, a, b, c, d)", {"a": [LEAST], "b": [MOST], "c": [-1], "d": [MOST]})
add("slice_lengths", "reject", "r = Slice(x, a, b)", {"a": [0, 0], "b": [1]})
add("slice_axis", "reject", "r = Slice(x, a, b, c)", {"a": [0], "b": [1], "c": [7]})
add("slice_axis_twice", "bounded", "r = Slice(x, a, b, c)", {"a": [0, 0], "b": [1, 1], "c": [0, -2]})
add("slice_too_many", "reject", "r = Slice(x, a, b)", {"a": [0, 0, 0], "b": [1, 1, 1]})
add("gather_index", "bounded", "r = Gather<axis=1>(x, i)", {"i": [4]})
add(
    "gather_index_least",
    "bounded",
    "s = Shape(x) t = Gather(s, i) r = Range(z, t, o)",
    {"i": np.array(LEAST), "z": np.array(0), "o": np.array(1)},
)
add("gather_nd", "bounded", "r = GatherND(x, i)", {"i": [[0, 99]]})
add("gather_nd_batch", "reject", "r = GatherND<batch_dims=9>(x, i)", {"i": [[0, 1]]})
add(
    "scatter_nd",
    "bounded",
    "r = ScatterND(w, i, u)",
    {"w": np.zeros(4, np.float32), "i": [[7]], "u": np.ones(1, np.float32)},
)
add(
    "scatter_elements",
    "bounded",
    "r = ScatterElements(w, i, u)",
    {"w": np.zeros(4, np.float32), "i": [-9], "u": np.ones(1, np.float32)},
)
add("topk_more", "bounded", "r, i = TopK(x, k)", {"k": [5]})
add("topk_negative", "bounded", "r, i = TopK(x, k)", {"k": [-1]})
add("topk_huge", "bounded", "r, i = TopK<axis=0>(x, k)", {"k": [HUGE]})
add("cumsum_axis", "reject", "r = CumSum(x, k)", {"k": np.array(7)})
add("reduce_axis", "reject", "r = ReduceSum(x, k)", {"k": [2]})
add("reduce_axis_twice", "bounded", "r = ReduceSum(x, k)", {"k": [0, -2]})
add("pad_lengths", "reject", "r = Pad(x, k)", {"k": [1, 1, 1]})
add("pad_negative", "bounded", "r = Pad(x, k)", {"k": [0, -9, 0, 0]})
add("pad_wraps", "bounded", "r = Pad(x, k)", {"k": [MOST, MOST, MOST, MOST]})
add("pad_least", "bounded", "r = Pad(x, k)", {"k": [LEAST, LEAST, LEAST, LEAST]})
add("tile_lengths", "reject", "r = Tile(x, k)", {"k": [1, 1, 1]})
add("tile_negative", "reject", "r = Tile(x, k)", {"k": [1, -1]})
add("tile_wraps", "bounded", "r = Tile(x, k)", {"k": [MOST, MOST]})
add("expand_negative", "bounded", "r = Expand(x, k)", {"k": [-1, 4]})
add("expand_disagrees", "reject", "r = Expand(x, k)", {"k": [1, 3]})
add("expand_wraps", "bounded", "r = Expand(x, k)", {"k": [HUGE, HUGE, 1, 4]})
add("split_sizes", "reject", "r, s = Split<axis=1>(x, k)", {"k": [1, 9]})
add("split_sizes_negative", "reject", "r, s = Split<axis=1>(x, k)", {"k": [5, -1]})
add("split_sizes_wrap", "reject", "r, s = Split<axis=1>(x, k)", {"k": [MOST, MOST]})
add(
    "split_sequence_zero",
    "bounded",
    "q = SplitToSequence(x, k) r = SequenceAt(q, z)",
    {"k": np.array(0), "z": np.array(0)},
)
add(
    "split_sequence_negative",
    "bounded",
    "q = SplitToSequence(x, k) r = SequenceAt(q, z)",
    {"k": np.array(-3), "z": np.array(0)},
)
add("sequence_at_least", "bounded", "q = SequenceConstruct(x, x) r = SequenceAt(q, z)", {"z": np.array(LEAST)})
add("matmul_disagrees", "reject", "r = MatMul(x, w)", {"w": np.ones((3, 2), np.float32)})
add("add_disagrees", "reject", "r = Add(x, w)", {"w": np.ones(3, np.float32)})
add("add_types", "reject", "r = Add(x, w)", {"w": [1, 2, 3, 4]})
add("where_types", "reject", "r = Where(x, x, x)")
add("concat_ranks", "reject", "r = Concat<axis=0>(x, w)", {"w": np.ones(4, np.float32)})
add("concat_disagrees", "reject", "r = Concat<axis=0>(x, w)", {"w": np.ones((1, 3), np.float32)})
add("trilu_least", "bounded", "r = Trilu(x, k)", {"k": np.array(LEAST)})
add("trilu_most", "bounded", "r = Trilu<upper=0>(x, k)", {"k": np.array(MOST)})
add("eye_far", "bounded", f"r = EyeLike<k={LEAST}>(x)")
add("shape_far", "bounded", f"r = Shape<start={LEAST}, end={MOST}>(x)")
for op, left, right in [
    ("Mod", LEAST, -1),
    ("Mod", 1, 0),
    ("Div", 1, 0),
    ("Mul", MOST, MOST),
    ("Sub", LEAST, MOST),
    ("Pow", 10, MOST),
    ("Pow", 2, -1),
]:
    tag = {LEAST: "least", MOST: "most"}
    add(
        f"{op.lower()}_{tag.get(left, left)}_{tag.get(right, right)}".replace("-", "minus_"),
        "bounded",
        f"a = {op}(l, k) s = Shape<end=1>(x) r = Add(a, s)",
        {"l": [left], "k": [right]},
    )
for op in ["Abs", "Neg"]:
    add(f"{op.lower()}_least", "bounded", f"a = {op}(l) s = Shape<end=1>(x) r = Add(a, s)", {"l": [LEAST]})
add(
    "length_overflow",
    "bounded",
    "s = Shape<end=1>(x) a = Mul(s, k) b = Mul(a, k) c = Add(b, k) r = ConstantOfShape(c)",
    {"k": [MOST]},
)
add("length_divided_by_zero", "bounded", "s = Shape<end=1>(x) a = Div(s, k) r = ConstantOfShape(a)", {"k": [0]})
add("length_modulo_zero", "bounded", "s = Shape<end=1>(x) a = Mod(s, k) r = ConstantOfShape(a)", {"k": [0]})
add("length_negative", "bounded", "s = Shape<end=1>(x) a = Sub(k, s) r = ConstantOfShape(a)", {"k": [-5]})
add(
    "dequantize_scales",
    "bounded",
    "r = DequantizeLinear<axis=0>(q, s)",
    {"q": np.ones((4, 4), np.int8), "s": np.ones(3, np.float32)},
)
add(
    "dequantize_axis",
    "bounded",
    "r = DequantizeLinear<axis=9>(q, s)",
    {"q": np.ones((4, 4), np.int8), "s": np.ones(4, np.float32)},
)
add(
    "dequantize_block",
    "bounded",
    "r = DequantizeLinear<axis=0, block_size=-1>(q, s)",
    {"q": np.ones((4, 4), np.int8), "s": np.ones((4, 4), np.float32)},
)
add("quantize_by_zero", "bounded", "r = QuantizeLinear(x, s)", {"s": np.float32(0)})
