"""Arithmetic that seems to have no effect, or to be replaceable."""

import numpy as np

from . import FLOATS, INTS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add


def unary(name, why, text, feeds=None, kind="float", **more):
    """Adds a trap from a vector to a vector of the same length."""
    add(name, why, f"({kind}[n] x) => ({kind}[n] y) {{ {text} }}", feeds or lines(), **more)


# Arithmetic with neutral elements.
unary("add_zero", "-0.0 + 0.0 is 0.0", "y = Add(x, w)", weights={"w": scalar(0)})
unary("add_zero_first", "0.0 + -0.0 is 0.0", "y = Add(w, x)", weights={"w": scalar(0)})
unary("add_negative_zero", "x + -0.0 is x", "y = Add(x, w)", weights={"w": scalar(-0.0)})
unary("subtract_zero", "x - 0.0 is x", "y = Sub(x, w)", weights={"w": scalar(0)})
unary("subtract_negative_zero", "-0.0 - -0.0 is 0.0", "y = Sub(x, w)", weights={"w": scalar(-0.0)})
unary("subtract_from_zero", "0.0 - 0.0 is not -0.0", "y = Sub(w, x)", weights={"w": scalar(0)})
unary("multiply_by_one", "x * 1 is x", "y = Mul(x, w)", weights={"w": scalar(1)})
unary("multiply_by_zero", "NaN * 0 is NaN, -1 * 0 is -0.0", "y = Mul(x, w)", weights={"w": scalar(0)})
unary("multiply_by_minus_one", "x * -1 is -x", "y = Mul(x, w)", weights={"w": scalar(-1)})
unary("divide_by_one", "x / 1 is x", "y = Div(x, w)", weights={"w": scalar(1)})
unary("divide_one", "1 / x is not x", "y = Div(w, x)", weights={"w": scalar(1)})
unary("divide_by_itself", "0 / 0 is NaN", "y = Div(x, x)")
unary("subtract_itself", "inf - inf is NaN", "y = Sub(x, x)")
unary("power_of_one", "x ^ 1 is x", "y = Pow(x, w)", weights={"w": scalar(1)})
unary("power_of_zero", "x ^ 0 is 1, also for NaN", "y = Pow(x, w)", weights={"w": scalar(0)})
unary("one_to_the_power", "1 ^ x is 1, also for NaN", "y = Pow(w, x)", weights={"w": scalar(1)})
unary(
    "maximum_with_minus_infinity",
    "Max(NaN, -inf) depends on the runtime",
    "y = Max(x, w)",
    weights={"w": scalar(-np.inf)},
)
unary("minimum_with_infinity", "Min(NaN, inf) depends on the runtime", "y = Min(x, w)", weights={"w": scalar(np.inf)})
unary("maximum_with_zero", "Max(x, 0) is not Relu for NaN and -0.0", "y = Max(x, w)", weights={"w": scalar(0)})
unary("maximum_of_one", "Max of one operand", "y = Max(x)")
unary("sum_of_one", "Sum of one operand", "y = Sum(x)")
unary("mean_of_one", "Mean of one operand", "y = Mean(x)")
unary("maximum_with_itself", "Max(NaN, NaN)", "y = Max(x, x)")
for op, neutral in [("Mul", 1), ("Div", 1), ("Add", -0.0), ("Sub", 0), ("Pow", 1)]:
    low = op.lower()
    add(
        f"{low}_widens",
        "a neutral operand that broadcasts",
        f"(float[1] x) => (float[3] y) {{ y = {op}(x, w) }}",
        each("x", f32(2), f32(-0.0)),
        weights={"w": np.full(3, neutral, np.float32)},
    )
    add(
        f"{low}_widens_symbol",
        "a neutral operand that broadcasts where n is 1",
        f"(float[n] x) => (float[?] y) {{ y = {op}(x, w) }}",
        each("x", f32(2), f32(1, 2, 3), f32(1, 2)),
        weights={"w": np.full(3, neutral, np.float32)},
    )
    add(
        f"{low}_raises_rank",
        "a neutral operand of higher rank",
        f"(float[n] x) => (float[1,n] y) {{ y = {op}(x, w) }}",
        lines(),
        weights={"w": np.full((1, 1), neutral, np.float32)},
    )
add(
    "multiply_by_empty",
    "a neutral operand of size 0",
    "(float[1] x) => (float[0] y) { y = Mul(x, w) }",
    each("x", f32(2)),
    weights={"w": np.zeros(0, np.float32)},
)
for kind in ["int32", "int64"]:
    unary(
        f"integer_neutral_{kind}",
        "integers have true neutral elements",
        "a = Add(x, z) b = Mul(a, o) c = Div(b, o) y = Sub(c, z)",
        lines(values=INTS[kind]),
        kind,
        weights={"z": scalar(0, kind), "o": scalar(1, kind)},
    )
unary(
    "half_neutral",
    "neutral elements of half precision",
    "a = Mul(x, o) b = Add(a, z) y = Div(b, o)",
    lines(values=FLOATS.astype(np.float16)),
    "float16",
    weights={"z": scalar(0, np.float16), "o": scalar(1, np.float16)},
)
unary(
    "double_neutral",
    "neutral elements of double precision",
    "a = Mul(x, o) b = Add(a, z) y = Div(b, o)",
    lines(values=FLOATS.astype(np.float64)),
    "double",
    weights={"z": scalar(0, np.float64), "o": scalar(1, np.float64)},
)
unary("nearly_one", "1 + 2^-23 is not 1", "y = Mul(x, w)", weights={"w": np.nextafter(f32(1), 2, dtype=np.float32)})
add(
    "overridable_one",
    "a factor of 1 that the caller may replace",
    "(float[n] x, float[1] w = {1}) => (float[n] y) { y = Mul(x, w) }",
    [{"x": FLOATS}, {"x": FLOATS, "w": f32(2)}],
)

# Pairs of inverses.
unary("not_not", "Not undoes Not", "a = Not(x) y = Not(a)", lines(values=np.array([True, False])), "bool")
unary("negate_twice", "Neg undoes Neg, -0.0 included", "a = Neg(x) y = Neg(a)")
unary("relu_twice", "Relu(-0.0) and Relu(NaN)", "a = Relu(x) y = Relu(a)")
unary("absolute_of_negative", "Abs(-x) is Abs(x)", "a = Neg(x) y = Abs(a)")
unary("reciprocal_twice", "1 / (1 / x) is not x", "a = Reciprocal(x) y = Reciprocal(a)")
unary("log_of_exp", "log(exp(x)) overflows", "a = Exp(x) y = Log(a)")
unary("square_of_root", "sqrt(x)^2 is NaN below zero", "a = Sqrt(x) y = Mul(a, a)")
unary("root_of_square", "sqrt(x * x) overflows where |x| does not", "a = Mul(x, x) y = Sqrt(a)")
unary("sign_times_absolute", "Sign(x) * Abs(x) loses NaN or the sign of zero", "a = Sign(x) b = Abs(x) y = Mul(a, b)")
unary("add_then_subtract", "(x + 3) - 3 is not x", "a = Add(x, w) y = Sub(a, w)", weights={"w": scalar(3)})
unary("multiply_then_divide", "(x * 3) / 3 is not x", "a = Mul(x, w) y = Div(a, w)", weights={"w": scalar(3)})
unary(
    "clip_of_clip",
    "Clip of Clip where the ranges do not meet",
    "a = Clip(x, l1, h1) y = Clip(a, l2, h2)",
    weights={"l1": scalar(0), "h1": scalar(1), "l2": scalar(2), "h2": scalar(3)},
)
unary("clip_crossed", "Clip with min above max", "y = Clip(x, l, h)", weights={"l": scalar(2), "h": scalar(-2)})
unary("clip_open", "Clip without bounds", "y = Clip(x)")
unary(
    "clip_infinite", "Clip between infinities", "y = Clip(x, l, h)", weights={"l": scalar(-np.inf), "h": scalar(np.inf)}
)
unary("clip_at_zero", "Clip from 0 is not Relu for NaN and -0.0", "y = Clip(x, l)", weights={"l": scalar(0)})
unary("clip_nan_bound", "Clip with a bound of NaN", "y = Clip(x, l, h)", weights={"l": scalar(np.nan), "h": scalar(1)})
unary("leaky_relu_of_one", "LeakyRelu with a slope of 1", "y = LeakyRelu<alpha=1.0>(x)")
unary("leaky_relu_of_zero", "LeakyRelu with a slope of 0 is NaN for -inf", "y = LeakyRelu<alpha=0.0>(x)")
add(
    "equal_to_itself",
    "NaN does not equal itself",
    "(float[n] x) => (bool[n] y, bool[n] z) { y = Equal(x, x) z = LessOrEqual(x, x) }",
    lines(),
)
add(
    "less_and_not",
    "not (x < y) is not x >= y",
    "(float[n] x) => (bool[n] y) { a = Less(x, w) y = Not(a) }",
    lines(),
    weights={"w": scalar(0)},
)

# Logic that broadcasts.
add(
    "and_true_widens",
    "And with true broadcasts",
    "(bool[1] x) => (bool[3] y, bool[3] z) { y = And(x, t) z = Or(x, f) }",
    each("x", np.array([True]), np.array([False])),
    weights={"t": np.ones(3, bool), "f": np.zeros(3, bool)},
)
add(
    "where_equal_branches",
    "Where with equal branches broadcasts to its condition",
    "(float[1] x, bool[m] c) => (float[?] y) { y = Where(c, x, x) }",
    [{"x": f32(1), "c": np.array([True, False, True])}, {"x": f32(1), "c": np.zeros(0, bool)}],
)
add(
    "where_true",
    "Where with a constant condition broadcasts to all",
    "(float[1] x, float[m] u) => (float[?,?] y, float[?] z) { y = Where(t, x, u) z = Where(f, x, u) }",
    [{"x": f32(-0.0), "u": f32(1, np.nan, 2)}, {"x": f32(1), "u": f32()}],
    weights={"t": np.array([[True], [True]]), "f": scalar(False, bool)},
)

# Casts.
unary(
    "cast_by_half",
    "float cast to half and back",
    "a = Cast<to=10>(x) y = Cast<to=1>(a)",
    lines(values=np.append(FLOATS, f32(1e-6, 65519, 65520, 0.1))),
)
unary(
    "cast_by_bfloat16",
    "float cast to bfloat16 and back",
    "a = Cast<to=16>(x) y = Cast<to=1>(a)",
    lines(values=np.append(FLOATS, f32(1e-6, 0.1))),
)
unary(
    "cast_by_int32",
    "float cast to int32 and back",
    "a = Cast<to=6>(x) y = Cast<to=1>(a)",
    lines(values=f32(0.5, -1.5, 3, -0.0, -0.5)),
)
unary("cast_by_double", "float cast to double and back is exact", "a = Cast<to=11>(x) y = Cast<to=1>(a)")
unary("cast_by_bool", "float cast to bool and back", "a = Cast<to=9>(x) y = Cast<to=1>(a)")
unary(
    "cast_int_by_float",
    "int64 cast to float and back",
    "a = Cast<to=1>(x) y = Cast<to=7>(a)",
    lines(values=i64(2**24 + 1, 5, -(2**40) - 1)),
    "int64",
)
unary(
    "cast_int_by_double",
    "int64 cast to double and back",
    "a = Cast<to=11>(x) y = Cast<to=7>(a)",
    lines(values=i64(2**53 + 1, 5, -(2**60) - 1)),
    "int64",
)
unary(
    "cast_int_by_int32",
    "int64 cast to int32 and back",
    "a = Cast<to=6>(x) y = Cast<to=7>(a)",
    lines(values=INTS["int64"]),
    "int64",
)
unary(
    "cast_int_by_wide",
    "int32 cast to int64 and back is exact",
    "a = Cast<to=7>(x) y = Cast<to=6>(a)",
    lines(values=INTS["int32"]),
    "int32",
)
unary("cast_same", "a Cast to its own type", "y = Cast<to=1>(x)")
add(
    "cast_sign_twice",
    "uint8 cast to int8 and then to int32 extends the sign",
    "(uint8[n] x) => (int32[n] y, int32[n] z) { a = Cast<to=3>(x) y = Cast<to=6>(a) z = Cast<to=6>(x) }",
    lines(values=np.arange(0, 256, 15, dtype=np.uint8)),
)
add(
    "cast_rounds_twice",
    "double cast to float and then to half rounds twice",
    "(double[n] x) => (float16[n] y) { a = Cast<to=1>(x) y = Cast<to=10>(a) }",
    lines(values=np.array([1 + 2**-11 + 2**-40, 65519.9999, 0.1])),
)
add(
    "cast_of_bool",
    "bool cast to an integer and back is exact",
    "(bool[n] x) => (bool[n] y) { a = Cast<to=7>(x) y = Cast<to=9>(a) }",
    lines(values=np.array([True, False])),
)
add(
    "cast_wide_to_bool",
    "256 is true, by way of uint8 it is false",
    "(int64[n] x) => (bool[n] y) { a = Cast<to=2>(x) y = Cast<to=9>(a) }",
    lines(values=i64(256, 0, 1)),
)

# Not associative.
add(
    "sum_of_sums",
    "(x + 1e8) - 1e8 is not x",
    "(float[n] x) => (float[n] y) { a = Add(x, w) y = Add(a, v) }",
    lines(),
    weights={"w": f32(1e8), "v": f32(-1e8)},
)
add(
    "product_of_products",
    "(x * 1e30) * 1e-30 overflows",
    "(float[n] x) => (float[n] y) { a = Mul(x, w) y = Mul(a, v) }",
    lines(values=f32(1e10, 1, -1e20, 0)),
    weights={"w": f32(1e30), "v": f32(1e-30)},
)
add(
    "divide_by_three",
    "x / 3 is not x * (1 / 3)",
    "(float[n] x) => (float[n] y) { y = Div(x, w) }",
    lines(values=ramp(50)),
    weights={"w": scalar(3)},
)
for name, value in [
    ("smallest", 2**-149),
    ("small", 2**-127),
    ("large", 2**127),
    ("negative", -2),
    ("zero", 0),
    ("negative_zero", -0.0),
    ("infinite", np.inf),
    ("nan", np.nan),
]:
    add(
        f"divide_by_{name}_power",
        "a reciprocal that overflows, is subnormal or zero",
        "(float[n] x) => (float[n] y) { y = Div(x, w) }",
        lines(),
        weights={"w": scalar(value)},
    )
add(
    "divide_half_by_small_power",
    "the reciprocal of 2^-20 is not a half-precision number",
    "(float16[n] x) => (float16[n] y) { y = Div(x, w) }",
    lines(values=FLOATS.astype(np.float16)),
    weights={"w": scalar(2**-20, np.float16)},
)
add(
    "divide_integers_by_power",
    "integers have no reciprocal",
    "(int64[n] x) => (int64[n] y) { y = Div(x, w) }",
    lines(values=i64(-7, 7, -1, 1, 0, -(2**63))),
    weights={"w": scalar(2, np.int64)},
)
add(
    "reverse_divide",
    "2 / x is no product",
    "(float[n] x) => (float[n] y) { y = Div(w, x) }",
    lines(),
    weights={"w": scalar(2)},
)
add(
    "square_of_pow",
    "x^2, x^3, x^-1 and x^0.5 as products, quotients and roots",
    "(float[n] x) => (float[n] a, float[n] b, float[n] c) { a = Pow(x, w2) b = Pow(x, w5) c = Pow(x, w0) }",
    lines(),
    weights={"w2": scalar(2), "w5": scalar(0.5), "w0": scalar(0)},
)
add(
    "distribute",
    "x * a + x * b is not x * (a + b)",
    "(float[n] x) => (float[n] y) { c = Mul(x, a) d = Mul(x, b) y = Add(c, d) }",
    lines(),
    weights={"a": scalar(0.1), "b": scalar(0.2)},
)
for kind, values in INTS.items():
    if kind != "int8":
        add(
            f"negate_twice_{kind}",
            "the smallest integer is its own negative",
            f"({kind}[n] x) => ({kind}[n] y, {kind}[n] z) {{ a = Neg(x) y = Neg(a) b = Abs(x) z = Abs(b) }}",
            lines(values=values),
        )

# Scale and softmax.
SCALED = "(float[n,4] x) => (float[n,4] y) { a = Mul(x, c) y = Softmax<axis=-1>(a) }"
SCORES = each(
    "x",
    f32(1, 2, 3, 4, 0, -0.0, np.inf, 1, -np.inf, -np.inf, -np.inf, -np.inf, np.nan, 1, 2, 3, shape=(4, 4)),
    np.zeros((0, 4), np.float32),
)
for name, value in [("zero", 0), ("negative", -1), ("infinite", np.inf), ("nan", np.nan), ("power", 0.125)]:
    add(
        f"softmax_scaled_by_{name}",
        "softmax of a scaled infinity is not a scaled softmax",
        SCALED,
        SCORES,
        weights={"c": scalar(value)},
    )
add("softmax_scale_per_column", "a scale that is not a scalar", SCALED, SCORES, weights={"c": f32(1, 2, 0.5, 0.25)})
add(
    "softmax_scale_raises_rank",
    "a scale of higher rank changes the axis of softmax",
    "(float[4] x) => (float[1,1,4] y) { a = Mul(x, c) y = Softmax<axis=1>(a) }",
    each("x", f32(1, 2, 3, 4)),
    weights={"c": np.full((1, 1, 1), 2, np.float32)},
)
add(
    "softmax_mask_raises_rank",
    "a mask of higher rank changes the axis of softmax",
    "(float[2,4] x) => (float[?,2,4] y) { a = Mul(x, c) b = Add(a, m) y = Softmax<axis=1>(b) }",
    each("x", ramp(2, 4)),
    weights={"c": scalar(2), "m": ramp(3, 1, 4)},
)
PROJECTION = "(float[n,4] x, float[4,m] k) => (float[n,m] y{more}) {{ p = MatMul(x, w) s = MatMul(p, k) a = Mul(s, c) y = Softmax<axis=-1>(a) {extra} }}"
PROJECTED = [{"x": ramp(2, 4), "k": ramp(4, 3) % 2}]
EYE = {"w": np.eye(4, dtype=np.float32), "c": scalar(0.5)}
add(
    "scaled_projection_used_twice",
    "a projection with another use keeps its scale",
    PROJECTION.format(more=", float[n,4] p", extra=""),
    PROJECTED,
    weights=EYE,
)
add(
    "scaled_weight_used_twice",
    "a weight with another use keeps its values",
    PROJECTION.format(more=", float[n,4] o", extra="o = MatMul(x, w)"),
    PROJECTED,
    weights=EYE,
)
add(
    "scaled_overridable_weight",
    "the caller's own weight is scaled too",
    PROJECTION.format(more="", extra="").replace("k) =>", "k, float[4,4] w) =>"),
    [*PROJECTED, {**PROJECTED[0], "w": 2 * np.eye(4, dtype=np.float32)}],
    weights=EYE,
)
