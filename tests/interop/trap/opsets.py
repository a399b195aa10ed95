"""Older forms of operators, whose defaults and attributes have another meaning."""

import numpy as np

from . import FLOATS, Traps, each, f32, i64, ramp, scalar

TRAPS = Traps()
add = TRAPS.add

CUBE = each("x", ramp(2, 3, 4), ramp(1, 1, 2), ramp(0, 3, 4))


def cube(name, why, opset, text, output="float[?,?,?] y", feeds=None, inputs="float[a,b,c] x", **more):
    add(f"opset_{opset}_{name}", why, f"({inputs}) => ({output}) {{ {text} }}", feeds or CUBE, opset=opset, **more)


for opset in [7, 11]:
    for op in ["Softmax", "LogSoftmax", "Hardmax"]:
        cube(
            f"{op.lower()}_middle",
            f"{op} over all dims from the axis on",
            opset,
            f"y = {op}<axis=1>(x)",
            feeds=CUBE[:2],
        )
        cube(f"{op.lower()}_default", f"the default axis of {op} was 1", opset, f"y = {op}(x)", feeds=CUBE[:2])
    cube("softmax_first", "Softmax over everything", opset, "y = Softmax<axis=0>(x)", feeds=CUBE[:2])
cube(
    "softmax_negative", "an axis from the end, over all dims from there", 11, "y = Softmax<axis=-2>(x)", feeds=CUBE[:2]
)
cube("softmax_last", "the last axis means the same in every opset", 11, "y = Softmax<axis=2>(x)")
for opset in [7, 9, 10, 12, 13]:
    cube("dropout", "Dropout outside training", opset, "y = Dropout(x)")
    if opset >= 12:
        cube(
            "dropout_mask",
            "the mask of Dropout is of bools",
            opset,
            "y, m = Dropout(x)",
            "float[?,?,?] y, bool[?,?,?] m",
        )
for opset in [7, 9, 14, 15]:
    cube(
        "batch_norm",
        "BatchNormalization outside training",
        opset,
        "y = BatchNormalization<epsilon=0.5>(x, s, b, m, v)",
        feeds=each("x", ramp(2, 3, 4)),
        inputs="float[a,3,c] x",
        weights={"s": f32(1, 2, 4), "b": f32(0, 1, -1), "m": f32(0, 1, 2), "v": f32(0.5, 0.5, 3.5)},
    )
for opset in [14, 15]:
    cube(
        "batch_norm_training",
        "BatchNormalization in training",
        opset,
        "y, p, q = BatchNormalization<training_mode=1>(x, s, b, m, v)",
        "float[?,?,?] y, float[3] p, float[3] q",
        feeds=each("x", ramp(2, 3, 4)),
        inputs="float[a,3,c] x",
        weights={"s": f32(1, 2, 4), "b": f32(0, 1, -1), "m": f32(0, 1, 2), "v": f32(1, 1, 1)},
    )
cube("clip", "the bounds of Clip as attributes", 7, "y = Clip<min=-1.0, max=2.0>(x)")
cube("clip_one_side", "one bound of Clip as an attribute", 10, "y = Clip<max=2.0>(x)")
cube(
    "clip_nan",
    "Clip of everything that a float may be",
    10,
    "y = Clip<min=0.0>(x)",
    feeds=each("x", FLOATS.reshape(2, 2, 4)),
)
for opset in [11, 12, 13]:
    cube(
        "clip_crossed", "Clip with min above max", opset, "y = Clip(x, l, h)", weights={"l": scalar(2), "h": scalar(-1)}
    )
cube("slice", "Slice by attributes", 9, "y = Slice<starts=[1, 0], ends=[-1, 9223372036854775807], axes=[2, 0]>(x)")
cube(
    "slice_steps",
    "Slice by operands, without axes",
    10,
    "y = Slice(x, s, e)",
    weights={"s": i64(0, 1), "e": i64(9, -1)},
)
cube("squeeze", "axes as attributes", 11, "u = Unsqueeze<axes=[0, -1]>(x) y = Squeeze<axes=[0, 4]>(u)")
cube(
    "squeeze_negative", "Squeeze from the end by attribute", 11, "u = Unsqueeze<axes=[3]>(x) y = Squeeze<axes=[-1]>(u)"
)
cube(
    "squeeze_all", "Squeeze without axes", 11, "s = Squeeze(x) y = Reshape(s, w)", "float[?] y", weights={"w": i64(-1)}
)
for op in ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceL1"]:
    cube(
        op.lower(),
        f"axes of {op} as attributes",
        11,
        f"y = {op}<axes=[-1, 0], keepdims=0>(x) z = {op}<axes=[1]>(x) t = {op}(x)",
        "float[?] y, float[?,?,?] z, float[1,1,1] t",
        feeds=CUBE[:2],
    )
cube(
    "reduce_17",
    "axes of ReduceMax as attributes, beside ReduceSum's as an operand",
    17,
    "y = ReduceMax<axes=[1]>(x) z = ReduceSum<noop_with_empty_axes=1>(x)",
    "float[?,?,?] y, float[?,?,?] z",
    feeds=CUBE[:2],
)
cube(
    "split",
    "sizes of Split as attributes",
    11,
    "y, z = Split<axis=2, split=[3, 1]>(x)",
    "float[?,?,?] y, float[?,?,?] z",
    feeds=CUBE[:1],
)
cube(
    "split_even",
    "parts of Split by the number of outputs",
    13,
    "y, z = Split<axis=-1>(x)",
    "float[?,?,?] y, float[?,?,?] z",
)
cube(
    "pad",
    "pads as attributes, of other kinds",
    10,
    'y = Pad<pads=[0, 1, 0, 0, 0, -1], value=-0.0>(x) z = Pad<mode="edge", pads=[0, 0, 1, 0, 0, 2]>(x)',
    "float[?,?,?] y, float[?,?,?] z",
    feeds=CUBE[:2],
)
cube(
    "topk",
    "TopK with k as an attribute",
    9,
    "y, i = TopK<axis=-1, k=2>(x)",
    "float[?,?,?] y, int64[?,?,?] i",
    feeds=CUBE[:1],
)
cube(
    "topk",
    "TopK with k as an operand",
    10,
    "y, i = TopK<axis=1>(x, k)",
    "float[?,?,?] y, int64[?,?,?] i",
    feeds=CUBE[:1],
    weights={"k": i64(2)},
)
cube("cast", "Cast of what is out of range", 9, "y = Cast<to=6>(x)", "int32[?,?,?] y")
cube(
    "shape",
    "Shape had no start and end",
    13,
    "s = Shape(x) g = Gather(s, w) y = ConstantOfShape(g)",
    "float[?] y",
    weights={"w": i64(-1)},
)
cube(
    "reshape",
    "Reshape without allowzero",
    9,
    "y = Reshape(x, w)",
    "float[?,?,?] y",
    weights={"w": i64(0, -1, 1)},
    feeds=CUBE[:2],
)
cube(
    "gemm",
    "Gemm whose bias was required",
    7,
    "t = Flatten(x) y = Gemm<alpha=0.5>(t, w, b)",
    "float[?,?] y",
    feeds=each("x", ramp(2, 3, 4)),
    weights={"w": ramp(12, 2), "b": f32(1, -0.0)},
)
cube(
    "upsample",
    "Upsample by an operand",
    9,
    'y = Upsample<mode="nearest">(x, s)',
    feeds=CUBE[:2],
    weights={"s": f32(1, 2, 2)},
)
cube(
    "upsample", "Upsample by an attribute", 7, 'y = Upsample<mode="nearest", scales=[1.0, 1.0, 2.0]>(x)', feeds=CUBE[:2]
)
cube(
    "resize",
    "Resize of opset 10 is asymmetric",
    10,
    'y = Resize<mode="linear">(x, s)',
    "float[?,?,?] y",
    feeds=each("x", ramp(2, 3, 4)),
    weights={"s": f32(1, 1, 2.5)},
)
cube(
    "resize_half",
    "the default of Resize is half_pixel",
    11,
    'y = Resize<mode="linear">(x, r, s) z = Resize(x, r, s)',
    "float[?,?,?] y, float[?,?,?] z",
    feeds=each("x", ramp(2, 3, 4)),
    weights={"r": f32(), "s": f32(1, 1, 2.5)},
)
cube(
    "resize_sizes",
    "Resize by sizes that are the own ones",
    13,
    "y = Resize(x, , , z)",
    feeds=each("x", ramp(2, 3, 4)),
    weights={"z": i64(2, 3, 4)},
)
cube("pow", "an exponent of another type", 12, "y = Pow(x, w)", weights={"w": scalar(2, np.int64)})
cube("pow_same", "exponents of the own type only", 7, "y = Pow(x, w)", weights={"w": scalar(2)})
cube("mod", "Mod of floats requires fmod", 10, "y = Mod<fmod=1>(x, w)", weights={"w": scalar(-2)})
cube(
    "argmax",
    "ArgMax by axis and keepdims",
    11,
    "y = ArgMax<axis=1, keepdims=0>(x) z = ArgMin<axis=-1>(x)",
    "int64[?,?] y, int64[?,?,?] z",
    feeds=CUBE[:2],
)
cube(
    "flatten",
    "Flatten at axes of every kind",
    9,
    "y = Flatten<axis=0>(x) z = Flatten<axis=3>(x)",
    "float[?,?] y, float[?,?] z",
)
cube("concat", "Concat along the first axis", 7, "y = Concat<axis=0>(x, x)")
cube(
    "broadcast",
    "Add and Mul broadcast since opset 7",
    7,
    "u = Add(x, w) y = Mul(u, v)",
    feeds=CUBE[:1],
    inputs="float[a,3,4] x",
    weights={"w": ramp(3, 1), "v": ramp(4)},
)
cube(
    "sum",
    "Sum and Max of several operands broadcast since opset 8",
    8,
    "y = Sum(x, w, w) z = Max(x, w)",
    "float[?,?,?] y, float[?,?,?] z",
    feeds=CUBE[:1],
    inputs="float[a,3,4] x",
    weights={"w": ramp(4)},
)
cube(
    "scatter",
    "Scatter is ScatterElements by its old name",
    9,
    "y = Scatter<axis=2>(x, i, u)",
    feeds=each("x", ramp(2, 3, 4)),
    weights={"i": i64(0, 3, shape=(1, 1, 2)), "u": f32(-0.0, 9, shape=(1, 1, 2))},
)
cube(
    "onehot",
    "OneHot with an axis",
    9,
    "h = OneHot<axis=0>(i, d, v) y = Mul(x, h)",
    feeds=each("x", ramp(2, 3, 4)),
    weights={"i": i64(0, 1, 1, 0).reshape(1, 4)[:, :4].repeat(3, 0), "d": scalar(2, np.int64), "v": f32(0, 1)},
)
cube(
    "prelu",
    "PRelu broadcasts its slope",
    9,
    "y = PRelu(x, w)",
    feeds=CUBE[:1],
    inputs="float[a,3,4] x",
    weights={"w": ramp(3, 1)},
)
cube(
    "pool",
    "AveragePool with and without its padding",
    7,
    "y = AveragePool<kernel_shape=[2], pads=[1, 1]>(x) z = AveragePool<kernel_shape=[2], pads=[1, 1], count_include_pad=1>(x)",
    "float[?,?,?] y, float[?,?,?] z",
    feeds=CUBE[:1],
)
cube("where", "Where of opset 9", 9, "c = Greater(x, z) y = Where(c, x, z)", weights={"z": scalar(-0.0)})
cube(
    "dequantize",
    "DequantizeLinear had no axis",
    10,
    "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
    weights={"s": scalar(0.5), "z": scalar(3, np.uint8)},
    feeds=CUBE[:2],
)
cube(
    "loop",
    "Loop of opset 10",
    10,
    "y = Loop(n, , x) <body = b (int64 i, bool c, float[?,?,?] a) => (bool k, float[?,?,?] o) { k = Identity(c) o = Neg(a) }>",
    weights={"n": scalar(3, np.int64)},
)
cube(
    "if",
    "If of opset 8 with a known condition",
    8,
    "y = If(c) <then_branch = t () => (float[?,?,?] o) { o = Neg(x) }, else_branch = e () => (float[?,?,?] q) { q = Abs(x) }>",
    weights={"c": scalar(True, bool)},
)
cube(
    "layer_norm",
    "the second output of LayerNormalization",
    17,
    "y, m, d = LayerNormalization<axis=1, epsilon=0.0>(x, s)",
    "float[?,?,?] y, float[?,1,1] m",
    feeds=each("x", ramp(2, 2, 2)),
    inputs="float[a,2,2] x",
    weights={"s": ramp(2, 2)},
)
cube(
    "group_norm",
    "scales by channel",
    21,
    "y = GroupNormalization<num_groups=2, epsilon=0.5>(x, s, b)",
    feeds=each("x", ramp(2, 4, 4)),
    inputs="float[a,4,c] x",
    weights={"s": f32(1, 2, 3, 4), "b": f32(0, -1, 1, 2)},
)
cube("gelu", "both forms of Gelu", 20, 'y = Gelu(x) z = Gelu<approximate="tanh">(x)', "float[?,?,?] y, float[?,?,?] z")
cube(
    "rnn",
    "a GRU whose sequence lengths and states are absent",
    14,
    "y, h = GRU<hidden_size=1, linear_before_reset=1>(x, w, r)",
    "float[?,?,?,?] y, float[?,?,?] h",
    feeds=each("x", ramp(2, 3, 4)),
    inputs="float[a,3,4] x",
    weights={"w": ramp(1, 3, 4) % 2, "r": ramp(1, 3, 1) % 2},
)
cube(
    "gru_old",
    "the output of GRU that is left out",
    7,
    ", h = GRU<hidden_size=1>(x, w, r) y = Identity(h)",
    "float[?,?,?] y",
    feeds=each("x", ramp(2, 3, 4)),
    inputs="float[a,3,4] x",
    weights={"w": ramp(1, 3, 4) % 2, "r": ramp(1, 3, 1) % 2},
)
