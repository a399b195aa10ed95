"""A few bytes that would use all memory or take forever if they were trusted."""

import numpy as np
from onnx import helper

from . import Cases, changed, encoded, text

CASES = Cases("bomb")
HUGE, MOST = 2**62, 2**63 - 1


def bomb(name, body, weights=None, output="float[?] y", inputs="float[n] x"):
    """Adds a model that computes the sum of `r`, a huge value."""
    model = text(
        f"({inputs}) => ({output}) {{ {body} f0 = Cast<to=1>(r) y0 = ReduceSum<keepdims=0>(f0) y = Add(x, y0) }}",
        {name: np.array(value) for name, value in (weights or {}).items()},
    )
    CASES.add(name, "bounded", body[:200], model)


for count in (2**28, 2**31, 2**40, HUGE, MOST):
    bomb(f"fill_{count}", "r = ConstantOfShape(k)", {"k": [count]})
bomb("fill_wraps", "r = ConstantOfShape(k)", {"k": [2**32, 2**32]})
bomb("fill_negative", "r = ConstantOfShape(k)", {"k": [-4]})
bomb("fill_of_rank_100000", "r = ConstantOfShape(k)", {"k": [1] * 100_000})
bomb("fill_none", "r = ConstantOfShape(k)", {"k": [0, MOST, MOST]})
bomb("expand", "r = Expand(w, k)", {"w": np.ones(1, np.float32), "k": [2**40]})
bomb("expand_wraps", "r = Expand(w, k)", {"w": np.ones(1, np.float32), "k": [2**32, 2**32]})
bomb("tile", "r = Tile(w, k)", {"w": np.ones(1024, np.float32), "k": [2**54]})
bomb("pad", "r = Pad(w, k)", {"w": np.ones(4, np.float32), "k": [2**40, 2**40]})
bomb("range", "r = Range(a, b, c)", {"a": 0, "b": HUGE, "c": 1})
bomb("range_backwards", "r = Range(a, b, c)", {"a": MOST, "b": -(2**63), "c": -1})
bomb("range_step_zero", "r = Range(a, b, c)", {"a": 0, "b": 10, "c": 0})
bomb("range_step_tiny", "r = Range(a, b, c)", {"a": np.float32(0), "b": np.float32(1), "c": np.float32(1e-45)})
bomb("range_step_nan", "r = Range(a, b, c)", {"a": np.float32(0), "b": np.float32(1), "c": np.float32(np.nan)})
bomb("range_to_infinity", "r = Range(a, b, c)", {"a": np.float32(0), "b": np.float32(np.inf), "c": np.float32(1)})
bomb("range_stuck", "r = Range(a, b, c)", {"a": np.float32(1e10), "b": np.float32(2e10), "c": np.float32(1)})
bomb("onehot", "r = OneHot(i, d, v)", {"i": [1], "d": 2**40, "v": np.ones(2, np.float32)})
bomb("onehot_wraps", "r = OneHot(i, d, v)", {"i": np.arange(1000), "d": MOST, "v": np.ones(2, np.float32)})
bomb("onehot_negative", "r = OneHot(i, d, v)", {"i": [1], "d": -5, "v": np.ones(2, np.float32)})
bomb("eye", "s = ConstantOfShape<value=int8[1]{0}>(k) r = EyeLike<dtype=1>(s)", {"k": [2**20, 2**20]})
bomb(
    "resize_scale",
    'r = Resize<mode="nearest">(w, , s)',
    {"w": np.ones((1, 1, 4), np.float32), "s": np.array([1, 1, 1e30], np.float32)},
)
bomb(
    "resize_scale_nan",
    'r = Resize<mode="nearest">(w, , s)',
    {"w": np.ones((1, 1, 4), np.float32), "s": np.array([1, 1, np.nan], np.float32)},
)
bomb(
    "resize_scale_negative",
    'r = Resize<mode="nearest">(w, , s)',
    {"w": np.ones((1, 1, 4), np.float32), "s": np.array([1, 1, -2], np.float32)},
)
bomb("resize_sizes", "r = Resize(w, , , s)", {"w": np.ones((1, 1, 4), np.float32), "s": [1, 2**31, 2**31]})
bomb("resize_sizes_wrap", "r = Resize(w, , , s)", {"w": np.ones((1, 1, 4), np.float32), "s": [4, HUGE, HUGE]})
CASES.add(
    "upsample",
    "bounded",
    "Upsample by 1e30",
    text(
        "(float[1,1,n] x) => (float[1,1,?] y) { y = Upsample(x, s) }",
        {"s": np.array([1, 1, 1e30], np.float32)},
        opset=9,
        ir=7,
    ),
)
bomb("random", f"r = RandomNormal<shape=[{2**40}]>()")
bomb("random_negative", "r = RandomNormal<shape=[-3]>()")
bomb("window", "r = HannWindow(k)", {"k": 2**40})
bomb("window_negative", "r = BlackmanWindow(k)", {"k": -7})
bomb(
    "mel",
    "r = MelWeightMatrix(a, b, c, l, h)",
    {"a": 2**31, "b": 2**31, "c": 2**31, "l": np.float32(0), "h": np.float32(1)},
)
bomb("dft", "r = DFT(w, k)", {"w": np.ones((1, 4, 1), np.float32), "k": 2**40})
bomb("crop_pad", "r = CenterCropPad(w, k)", {"w": np.ones(4, np.float32), "k": [2**40]})
bomb("affine_grid", "r = AffineGrid(w, k)", {"w": np.ones((1, 2, 3), np.float32), "k": [1, 1, 2**31, 2**31]})
bomb("multinomial", f"r = Multinomial<sample_size={2**31 - 1}>(w)", {"w": np.ones((1000, 1), np.float32)})
bomb("outer_product", "a = ConstantOfShape(k) b = ConstantOfShape(l) r = Mul(a, b)", {"k": [2**17, 1], "l": [1, 2**17]})
bomb("matmul", "a = ConstantOfShape(k) b = ConstantOfShape(l) r = MatMul(a, b)", {"k": [2**17, 1], "l": [1, 2**17]})
bomb("matmul_work", "a = ConstantOfShape(k) r = MatMul(a, a)", {"k": [8000, 8000]})
bomb(
    "matmul_work_many",
    "a = ConstantOfShape(k) b = MatMul(a, a) c = MatMul(b, b) d = MatMul(c, c) e = MatMul(d, d) f = MatMul(e, e) r = MatMul(f, f)",
    {"k": [900, 900]},
)
bomb(
    "conv_work",
    "a = ConstantOfShape(k) b = ConstantOfShape(l) r = Conv(a, b)",
    {"k": [1, 64, 512, 512], "l": [64, 64, 31, 31]},
)
bomb("einsum", 'a = ConstantOfShape(k) r = Einsum<equation="ab,cd,ef,gh,ij->acegi">(a, a, a, a, a)', {"k": [300, 2]})
bomb("einsum_long", 'r = Einsum<equation="' + "a," * 200_000 + 'a">(x)')
bomb("gather", "a = ConstantOfShape(k) i = ConstantOfShape(l) r = Gather(a, i)", {"k": [2**12], "l": [2**15, 2**15]})
bomb("nonzero", "a = ConstantOfShape<value=float[1]{1}>(k) r = NonZero(a)", {"k": [2**12, 2**12]})
bomb("cumsum", "a = ConstantOfShape(k) r = CumSum(a, z)", {"k": [2**28], "z": 0})
bomb(
    "loop",
    "t = Loop(m, go, z) <body = b (int64 i, bool c, float a) => (bool k, float o) { k = Identity(c) o = Add(a, a) }> r = Identity(t)",
    {"m": HUGE, "go": True, "z": np.float32(0)},
)
bomb(
    "loop_for_ever",
    "t = Loop(, go, z) <body = b (int64 i, bool c, float a) => (bool k, float o) { k = Identity(c) o = Add(a, a) }> r = Identity(t)",
    {"go": True, "z": np.float32(0)},
)
bomb(
    "loop_growing",
    "t = Loop(m, go, z) <body = b (int64 i, bool c, float[?] a) => (bool k, float[?] o) { k = Identity(c) o = Concat<axis=0>(a, a) }> r = Identity(t)",
    {"m": 60, "go": True, "z": np.ones(1, np.float32)},
)
bomb(
    "loop_scanned",
    "t = Loop(m, , ) <body = b (int64 i, bool c) => (bool k, float[1024] o) { k = Identity(c) o = RandomNormal<shape=[1024]>() }> r = Identity(t)",
    {"m": 2**40},
)
bomb(
    "loop_nested",
    "t = Loop(m, , z) <body = b (int64 i, bool c, float a) => (bool k, float o) { k = Identity(c) o = Loop(m, , a) <body = d (int64 j, bool e, float f) => (bool g, float h) { g = Identity(e) h = Add(f, f) }> }> r = Identity(t)",
    {"m": 2**31, "z": np.float32(0)},
)


def repeated(line, times=60):
    """Repeats `line`, which computes `{a}` from `{b}`; the last result is `r`."""
    return " ".join(
        line.format(a="r" if i == times - 1 else f"v{i}", b=f"v{i - 1}" if i else "v") for i in range(times)
    )


bomb("doubling", "v = ConstantOfShape(k) " + repeated("{a} = Concat<axis=0>({b}, {b})"), {"k": [1]})
bomb("doubling_weights", "v = Neg(w) " + repeated("{a} = Concat<axis=0>({b}, {b})", 30), {"w": np.ones(8, np.float32)})
bomb("doubling_by_tile", "v = Neg(w) " + repeated("{a} = Tile({b}, k)"), {"w": np.ones(8, np.float32), "k": [2]})
bomb("doubling_of_input", "v = Neg(x) " + repeated("{a} = Concat<axis=0>({b}, {b})"))
bomb("doubling_beyond", "v = Neg(x) " + repeated("{a} = Concat<axis=0>({b}, {b})", 100))
bomb("doubling_of_shape", "v = Shape(x) " + repeated("{a} = Concat<axis=0>({b}, {b})", 30))
bomb("squaring_rank", "v = Shape(x) " + repeated("{a} = Unsqueeze({b}, z)", 2000), {"z": [0]})
bomb("power_of_length", "v = Shape(x) " + repeated("{a} = Mul({b}, {b})", 80))
bomb(
    "sums_of_lengths",
    "n = Shape(x) m = Shape(u) v = Add(n, m) " + repeated("{a}s = Add({b}, m) {a} = Mul({a}s, {b})", 60),
    inputs="float[n] x, float[m] u",
)
bomb(
    "products_of_sums",
    "n = Shape(x) m = Shape(u) p = Add(n, m) v = Add(n, o) " + repeated("{a} = Mul({b}, p)", 300),
    {"o": [1]},
    inputs="float[n] x, float[m] u",
)
bomb(
    "floors_of_lengths",
    "n = Shape(x) v = Identity(n) " + repeated("{a}t = Add({b}, n) {a} = Div({a}t, k)", 500),
    {"k": [3]},
)
bomb(
    "maxima_of_lengths",
    "n = Shape(x) m = Shape(u) v = Max(n, m) "
    + repeated("{a}s = Add({b}, m) {a}t = Mul({b}, n) {a}q = Min({a}s, {a}t) {a} = Max({a}q, {b})", 60),
    inputs="float[n] x, float[m] u",
)
bomb(
    "broadcast_of_lengths",
    "v = Concat<axis=0>(x, u) " + repeated("{a}c = Concat<axis=0>({b}, u) {a} = Add({a}c, x)", 60),
    inputs="float[n] x, float[m] u",
)
bomb(
    "convolutions",
    "v = Unsqueeze(x, z) " + repeated("{a} = MaxPool<kernel_shape=[3], strides=[2], pads=[1, 1]>({b})", 200),
    {"z": [0, 1]},
    inputs="float[n] x",
)
bomb(
    "text_doubling",
    'v = Constant<value_strings=["ab"]>() '
    + repeated("{a}s = StringConcat({b}, {b}) {a} = Identity({a}s)", 50).replace(
        "r = Identity(rs)", "q = StringConcat(rs, rs) r = Shape(q)"
    ),
)
bomb(
    "regular_expression",
    'v = Constant<value_strings=["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"]>() r = RegexFullMatch<pattern="(a+)+c">(v)',
)
bomb(
    "sequences",
    "s = SequenceConstruct(x, x) "
    + " ".join(f"s{i} = SequenceInsert(s{i - 1}, x)" if i else "s0 = SequenceInsert(s, x)" for i in range(300))
    + " r = ConcatFromSequence<axis=0>(s299)",
)
CASES.add(
    "many_medium",
    "bounded",
    "20,000 constants of 64 KB each",
    lambda folder: (folder / "model.onnx").write_bytes(encoded(many(20_000, 16_384))),
)
CASES.add(
    "many_casts",
    "bounded",
    "30 casts of one weight of 64 KB to double",
    changed(
        lambda model: [
            (
                model.graph.node.append(helper.make_node("Cast", ["w"], [f"c{i}"], to=11)),
                model.graph.node.append(helper.make_node("Neg", [f"c{i}"], [f"o{i}"])),
                model.graph.output.append(helper.make_tensor_value_info(f"o{i}", 11, [16384])),
            )
            for i in range(30)
        ],
        text("(float[n] x) => (float[n] y) { y = Neg(x) }", {"w": np.ones(16384, np.float32)}),
    ),
)


def many(count, size):
    model = text("(float[n] x) => (float[n] y) { y = Neg(x) }", {"k": np.array([size])})
    for i in range(count):
        model.graph.node.append(helper.make_node("ConstantOfShape", ["k"], [f"c{i}"]))
        model.graph.node.append(helper.make_node("Exp", [f"c{i}"], [f"o{i}"]))
        model.graph.output.append(helper.make_tensor_value_info(f"o{i}", 1, [size]))
    return model
