"""Constants that must not be folded, or not into these values, or only if the result is small."""

import numpy as np
from onnx import TensorProto, helper

from . import FLOATS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add

# Casts of constants. Each result is also an output, next to one that depends on an input.
CAST = "(float[1] x) => ({to}[?] y) {{ c = Cast<to={code}>(w) z = Cast<to={code}>(x) y = Concat<axis=0>(c, z) }}"


def cast(name, why, values, to, **more):
    """Casts the constant `values` and an input to an ONNX type."""
    source = {"float32": "float", "float64": "double", "int64": "int64", "int32": "int32"}[values.dtype.name]
    text = CAST.format(to=to.lower(), code=TensorProto.DataType.Value(to)).replace("float[1] x", f"{source}[1] x")
    add(name, why, text, each("x", values[:1], values[-1:]), weights={"w": values}, **more)


WILD = f32(np.nan, np.inf, -np.inf, 1e30, -1e30, 2147483648, 300.7, -1.5, -0.9, 255.9, 1.5)
cast("cast_wild_to_int64", "float to int out of range is not saturated", WILD, "INT64")
cast("cast_wild_to_int32", "float to int out of range is not saturated", WILD, "INT32")
cast("cast_wild_to_uint8", "float to a small unsigned type out of range", WILD, "UINT8")
cast("cast_wild_to_int8", "float to a small signed type out of range", WILD, "INT8")
cast("cast_wild_to_bool", "NaN and 0.4 are true, -0.0 is false", f32(np.nan, -0.0, 0.0, 0.4, -0.4, 1e-45), "BOOL")
cast("cast_wraps_to_int32", "int64 to int32 keeps the low bits", i64(2**33 + 5, -(2**31) - 1, 2**31, -1), "INT32")
cast("cast_wraps_to_uint8", "int to a narrow unsigned type keeps the low bits", i64(-1, 256, 300, 2**40 + 7), "UINT8")
cast("cast_wraps_to_int8", "int to a narrow signed type keeps the low bits", i64(128, 255, 256, -129), "INT8")
cast("cast_uint64_of_negative", "a negative int as uint64", i64(-1, -(2**63), 5), "UINT64")
cast(
    "cast_int64_to_float",
    "int64 to float rounds once, not through double",
    i64(2**24 + 1, (1 << 60) + (1 << 36) + 1, 2**63 - 1),
    "FLOAT",
)
TIES = np.array([1 + 2**-11 + 2**-40, 1 + 2**-11, 65519.99, 65520, 2**-25, 2**-25 * 1.0001, -1e-9, np.nan], np.float64)
cast("cast_double_to_half", "a tie in half precision that rounding to float removes", TIES, "FLOAT16")
cast("cast_float_to_half", "ties, subnormals and overflow of half precision", TIES.astype(np.float32), "FLOAT16")
NANS = np.array([0x7F800001, 0xFF800001, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x00000001], np.uint32).view(np.float32)
add(
    "cast_to_bfloat16",
    "truncation turns a NaN into an infinity, and does not round",
    "(float[1] x) => (float[?] y) { c = Cast<to=16>(w) d = Cast<to=1>(c) y = Concat<axis=0>(d, x) }",
    each("x", f32(1)),
    weights={"w": NANS},
)
add(
    "cast_to_float8",
    "float8 saturates and has no infinity",
    "(float[1] x) => (float[?] y) { c = Cast<to=17>(w) d = Cast<to=1>(c) e = Cast<to=19>(w) f = Cast<to=1>(e) y = Concat<axis=0>(d, f, x) }",
    each("x", f32(1)),
    weights={"w": FLOATS},
)
add(
    "cast_to_string",
    "numbers as strings",
    "(string[1] x) => (string[?] y) { c = Cast<to=8>(w) y = Concat<axis=0>(c, x) }",
    [{"x": np.array(["a"], object)}],
    weights={"w": f32(1.5, -0.0, 1e30, np.nan, 0.1)},
)

# Integers. Each result is added to an input.
INTEGER = "({type}[n] x) => ({type}[n] y) {{ c = {op}(a, b) y = Add(x, c) }}"


def integers(name, why, op, a, b, **more):
    kind = {"int64": "int64", "int32": "int32", "uint64": "uint64", "uint8": "uint8"}[a.dtype.name]
    add(name, why, INTEGER.format(type=kind, op=op), each("x", np.zeros_like(a)), weights={"a": a, "b": b}, **more)


integers("divide_by_zero", "an integer division by zero does not become a number", "Div", i64(1), i64(0))
integers(
    "divide_by_zero_int32",
    "an integer division by zero does not become a number",
    "Div",
    i64(1).astype(np.int32),
    i64(0).astype(np.int32),
)
integers("divide_minimum", "INT64_MIN / -1 overflows", "Div", i64(-(2**63)), i64(-1))
integers(
    "divide_minimum_int32", "INT32_MIN / -1 overflows", "Div", np.array([-(2**31)], np.int32), np.array([-1], np.int32)
)
integers("divide_truncates", "-7 / 2 is -3, not the floor", "Div", i64(-7, 7, -7, 7), i64(2, -2, -2, 2))
integers(
    "divide_unsigned",
    "2^63 + 1 is no negative number",
    "Div",
    np.array([2**63 + 1, 2**64 - 1], np.uint64),
    np.array([2, 3], np.uint64),
)
integers("modulo_by_zero", "an integer remainder of zero does not become a number", "Mod", i64(1), i64(0))
integers("modulo_signs", "Mod takes the sign of the divisor", "Mod", i64(-7, 7, -7, 7, -6), i64(3, -3, -3, 3, 3))
integers(
    "modulo_signs_fmod",
    "Mod with fmod takes the sign of the dividend",
    "Mod<fmod=1>",
    i64(-7, 7, -7, 7, -6),
    i64(3, -3, -3, 3, 3),
)
integers("add_wraps", "2^63 - 1 plus 1", "Add", i64(2**63 - 1), i64(1))
integers(
    "multiply_wraps_int32",
    "an int32 product overflows where an int64 one does not",
    "Mul",
    np.array([65536, 46341], np.int32),
    np.array([65536, 46341], np.int32),
)
integers("subtract_unsigned", "0 - 1 in an unsigned type", "Sub", np.array([0], np.uint64), np.array([1], np.uint64))
integers("power_of_integers", "integer powers, including negative exponents", "Pow", i64(3, -2, 2, 0), i64(3, 3, 0, 0))
integers(
    "shift_out",
    "a shift by the width or more",
    'BitShift<direction="LEFT">',
    np.array([1, 1, 3], np.uint8),
    np.array([7, 8, 200], np.uint8),
)
add(
    "modulo_of_floats",
    "fmod(-6, 3) is -0.0, and a remainder of infinity is NaN",
    "(float[n] x) => (float[n] y) { c = Mod<fmod=1>(a, b) y = Div(x, c) }",
    each("x", np.ones(6, np.float32)),
    weights={"a": f32(-6, 6, np.inf, 5, -5.5, 0), "b": f32(3, -3, 2, np.inf, 2, 0)},
)
add(
    "compare_unsigned",
    "2^63 is greater than 1 where the type is unsigned",
    "(bool[1] x) => (bool[1] y) { c = Greater(a, b) y = Xor(c, x) }",
    each("x", np.array([False])),
    weights={"a": np.array([2**63], np.uint64), "b": np.array([1], np.uint64)},
)

# Floats. The sign of zero shows in the quotient.
FLOAT = "(float[1] x) => (float[?] y, float[?] q) {{ c = {} q = Div(x, c) y = Concat<axis=0>(c, x) }}"


def floats(name, why, expression, **weights):
    add(name, why, FLOAT.format(expression), each("x", f32(1)), weights=weights)


for op in ["Neg", "Abs", "Ceil", "Floor", "Round", "Sign", "Relu", "Sqrt", "Reciprocal"]:
    floats(f"fold_{op.lower()}", f"{op} of zeros of both signs, ties, infinities and NaN", f"{op}(w)", w=FLOATS)
PAIR = np.repeat(FLOATS, len(FLOATS)), np.tile(FLOATS, len(FLOATS))
for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
    floats(
        f"fold_{op.lower()}", f"{op} of zeros of both signs, infinities and NaN", f"{op}(a, b)", a=PAIR[0], b=PAIR[1]
    )
floats(
    "fold_pow",
    "pow(NaN, 0) is 1, pow(-inf, 0.5) is inf, pow(-0.0, -1) is -inf",
    "Pow(a, b)",
    a=f32(np.nan, 1, -np.inf, -0.0, 0, -8, 2),
    b=f32(0, np.nan, 0.5, -1, 0, 3, -1),
)
floats(
    "fold_clip_crossed",
    "Clip with min above max gives max",
    "Clip(w, low, high)",
    w=FLOATS,
    low=scalar(2),
    high=scalar(-1),
)
floats("fold_sum_order", "1e8 + 1 - 1e8 must not be reordered", "Sum(a, b, c0)", a=f32(1e8), b=f32(1), c0=f32(-1e8))
for op in ["ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL2"]:
    add(
        f"fold_{op.lower()}_of_nothing",
        f"{op} over an axis of size 0",
        f"(float[m] x) => (float[?] y) {{ e = ConstantOfShape(none) c = {op}<keepdims=0>(e, axis) y = Add(x, c) }}",
        each("x", np.zeros(2, np.float32)),
        weights={"none": i64(0, 2), "axis": i64(0)},
    )
add(
    "argmax_of_ties",
    "an attribute selects the index of ArgMax for ties",
    "(int64[1] x) => (int64[?] y) { a = ArgMax<axis=0>(w) b = ArgMax<axis=0, select_last_index=1>(w) y = Concat<axis=0>(a, b, x) }",
    each("x", i64(0)),
    weights={"w": f32(1, 3, 3, 0)},
)
add(
    "gather_out_of_range",
    "an index out of range stays an error, a negative one counts from the end",
    "(float[1] x) => (float[?] y) { a = Gather(w, i) y = Add(x, a) }",
    each("x", f32(0)),
    weights={"w": f32(1, 2, 3), "i": i64(-4)},
)
add(
    "gather_negative",
    "a negative index counts from the end",
    "(float[1] x) => (float[?] y) { a = Gather(w, i) y = Add(x, a) }",
    each("x", f32(0)),
    weights={"w": f32(1, 2, 3), "i": i64(-1, -3, 0)},
)
add(
    "slice_extremes",
    "ends beyond every size, negative steps, and an end of -1 that is not the last",
    "(float[1] x) => (float[?] y) { a = Slice(w, s, e, z, t) b = Slice(w, s1, e1, z, t1) c = Slice(w, s1, m1, z, t) y = Concat<axis=0>(a, b, c, x) }",
    each("x", f32(0)),
    weights={
        "w": f32(1, 2, 3, 4, 5),
        "s": i64(2**63 - 1),
        "e": i64(-(2**63)),
        "t": i64(-1),
        "z": i64(0),
        "s1": i64(-(2**63)),
        "e1": i64(2**63 - 1),
        "t1": i64(2),
        "m1": i64(-1),
    },
)
add(
    "onehot_negative",
    "indices of OneHot wrap once, and are ignored beyond",
    "(float[1] x) => (float[?,?] y) { a = OneHot<axis=-1>(i, d, v) y = Add(x, a) }",
    each("x", f32(0)),
    weights={"i": i64(-1, 0, 3, 4, -5, 1), "d": scalar(4, np.int64), "v": f32(-0.0, 5)},
)
add(
    "fold_strings",
    "strings are compared and concatenated as strings",
    "(string[n] x) => (string[?] y, bool[n] z) { y = Concat<axis=0>(x, w) z = Equal(x, w) }",
    [{"x": np.array(["a", "é", ""], object)}],
    weights={"w": np.array(["b", "é", ""], object)},
)
add(
    "int4_odd_count",
    "three 4-bit numbers take two bytes",
    "(float[1] x) => (float[?] y) { c = Cast<to=1>(w) d = Cast<to=1>(u) y = Concat<axis=0>(c, d, x) }",
    each("x", f32(0)),
    weights={
        "w": helper.make_tensor("w", TensorProto.INT4, [3], [-8, 7, -1]),
        "u": helper.make_tensor("u", TensorProto.UINT4, [5], [15, 0, 1, 2, 9]),
    },
)
add(
    "constant_forms",
    "constants as attributes of every kind, -0.0 among them",
    "(float[1] x) => (float[?] y, float[?] q) { a = Constant<value_float=-1.5>() b = Constant<value_floats=[1.0, -2.5]>() c = Constant<value_int=7>()"
    " d = Constant<value_ints=[3, -1]>() e = Cast<to=1>(c) f = Cast<to=1>(d) g = Unsqueeze(a, z) h = Unsqueeze(e, z) y = Concat<axis=0>(g, b, h, f, x) q = Div(y, z1) }",
    each("x", f32(-0.0)),
    weights={"z": i64(0), "z1": f32(-0.0)},
)

# Sizes: a value that is smaller as an expression is not folded.
BIG = ramp(256, 64)
add(
    "big_constant_of_shape",
    "a filled tensor is not a weight",
    "(float[512,256] x) => (float[512,256] y) { c = ConstantOfShape(s) d = Exp(c) y = Add(x, d) }",
    each("x", ramp(512, 256)),
    weights={"s": i64(512, 256)},
)
add(
    "big_expand",
    "an expanded tensor is not a weight",
    "(float[512,256] x) => (float[512,256] y) { c = Expand(w, s) d = Neg(c) y = Add(x, d) }",
    each("x", ramp(512, 256)),
    weights={"w": ramp(256), "s": i64(512, 256)},
)
add(
    "big_tile",
    "a tiled tensor is not a weight",
    "(float[512,256] x) => (float[512,256] y) { c = Tile(w, s) y = Add(x, c) }",
    each("x", ramp(512, 256)),
    weights={"w": ramp(1, 256), "s": i64(512, 1)},
)
add(
    "big_range",
    "a range is not a weight",
    "(int64[n] x) => (int64[n] y) { c = Range(a, b, s) y = Add(x, c) }",
    each("x", ramp(20000, dtype=np.int64)),
    weights={"a": scalar(0, np.int64), "b": scalar(20000, np.int64), "s": scalar(1, np.int64)},
)
add(
    "big_identity_matrix",
    "an identity matrix is not a weight",
    "(float[n,256] x) => (float[n,256] y) { c = EyeLike<dtype=1>(z) y = MatMul(x, c) }",
    each("x", ramp(2, 256)),
    weights={"z": np.zeros((256, 256), np.int8)},
)
add(
    "big_outer_product",
    "a broadcast product of two vectors is not a weight",
    "(float[256,256] x) => (float[256,256] y) { c = Mul(a, b) y = Add(x, c) }",
    each("x", ramp(256, 256)),
    weights={"a": ramp(256, 1), "b": ramp(1, 256)},
)
add(
    "big_padding",
    "a padded tensor is not a weight",
    "(float[60000] x) => (float[60000] y) { c = Pad(a, p) y = Add(x, c) }",
    each("x", ramp(60000)),
    weights={"a": f32(1), "p": i64(30000, 29999)},
)
add(
    "widened_half",
    "half-precision weights are not stored as floats",
    "(float[n,256] x) => (float[n,64] y) { c = Cast<to=1>(w) y = MatMul(x, c) }",
    each("x", np.ones((2, 256), np.float32)),
    weights={"w": np.ones((256, 64), np.float16)},
    keeps=("Cast",),
)
add(
    "widened_int8",
    "int8 weights are not stored as floats",
    "(float[n,256] x) => (float[n,64] y) { c = DequantizeLinear(w, s, z) y = MatMul(x, c) }",
    each("x", np.ones((2, 256), np.float32)),
    weights={"w": (BIG % 7).astype(np.int8), "s": scalar(0.5), "z": scalar(1, np.int8)},
    keeps=("DequantizeLinear",),
)
add(
    "widened_int8_per_channel",
    "int8 weights are not stored as floats",
    "(float[n,256] x) => (float[n,64] y) { c = DequantizeLinear<axis=1>(w, s) y = MatMul(x, c) }",
    each("x", np.ones((2, 256), np.float32)),
    weights={"w": (BIG % 7).astype(np.int8), "s": np.full(64, 0.25, np.float32)},
    keeps=("DequantizeLinear",),
)
add(
    "widened_and_transposed_int8",
    "a Transpose after DequantizeLinear does not fold it",
    "(float[n,64] x) => (float[n,256] y) { c = DequantizeLinear(w, s) t = Transpose<perm=[1,0]>(c) y = MatMul(x, t) }",
    each("x", np.ones((2, 64), np.float32)),
    weights={"w": (BIG % 7).astype(np.int8), "s": scalar(0.5)},
    keeps=("DequantizeLinear",),
)
add(
    "weight_used_both_ways",
    "a weight used both plain and transposed is stored twice for tract alone",
    "(float[n,128] x) => (float[n,128] y) { t = Transpose<perm=[1,0]>(w) a = MatMul(x, w) b = MatMul(a, t) y = Identity(b) }",
    each("x", np.ones((1, 128), np.float32)),
    weights={"w": ramp(128, 128) % 3},
    copied_for_tract=True,
)
add(
    "weight_used_whole_and_in_parts",
    "slices of a weight that is used as a whole are not stored again",
    "(float[n,128] x) => (float[n,128] y, float[n,64] z) { a = Slice(w, s, e, i) y = MatMul(x, w) z = MatMul(x, a) }",
    each("x", np.ones((1, 128), np.float32)),
    weights={"w": ramp(128, 128) % 3, "s": i64(0), "e": i64(64), "i": i64(1)},
)

# Quantization.
QDQ = "(float[n] x) => (float[n] y) { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"
add(
    "quantize_pair",
    "quantizing and dequantizing rounds and saturates",
    QDQ,
    lines(),
    weights={"s": scalar(0.5), "z": scalar(3, np.int8)},
    keeps=("QuantizeLinear", "DequantizeLinear"),
)
add(
    "quantize_pair_of_constant",
    "quantizing and dequantizing a constant rounds and saturates",
    "(float[n] x) => (float[n] y) { q = QuantizeLinear(w, s, z) d = DequantizeLinear(q, s, z) y = Add(x, d) }",
    each("x", np.zeros(6, np.float32)),
    weights={"w": f32(0.25, 0.75, 1e9, -1e9, -0.0, 1.25), "s": scalar(0.5), "z": scalar(3, np.uint8)},
)
add(
    "quantize_other_scale",
    "dequantizing with another scale",
    "(float[n] x) => (float[n] y) { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, t, z) }",
    lines(values=f32(1, 2, -3, 100)),
    weights={"s": scalar(0.5), "t": scalar(0.25), "z": scalar(3, np.int8)},
)
