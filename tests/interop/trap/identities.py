"""Nodes that look as if they did nothing."""

import numpy as np

from . import FLOATS, INTS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add


def unary(name, why, text, feeds=None, kind="float", **more):
    """From a vector to a vector of the same length."""
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
unary("divide_one", "1 / x is no x", "y = Div(w, x)", weights={"w": scalar(1)})
unary("divide_by_itself", "0 / 0 is NaN", "y = Div(x, x)")
unary("subtract_itself", "inf - inf is NaN", "y = Sub(x, x)")
unary("power_of_one", "x ^ 1 is x", "y = Pow(x, w)", weights={"w": scalar(1)})
unary("power_of_zero", "x ^ 0 is 1, of NaN too", "y = Pow(x, w)", weights={"w": scalar(0)})
unary("one_to_the_power", "1 ^ x is 1, of NaN too", "y = Pow(w, x)", weights={"w": scalar(1)})
unary("maximum_with_minus_infinity", "Max(NaN, -inf) is what the runtime says", "y = Max(x, w)", weights={"w": scalar(-np.inf)})
unary("minimum_with_infinity", "Min(NaN, inf) is what the runtime says", "y = Min(x, w)", weights={"w": scalar(np.inf)})
unary("maximum_with_zero", "Max(x, 0) is no Relu for NaN and -0.0", "y = Max(x, w)", weights={"w": scalar(0)})
unary("maximum_of_one", "Max of one operand", "y = Max(x)")
unary("sum_of_one", "Sum of one operand", "y = Sum(x)")
unary("mean_of_one", "Mean of one operand", "y = Mean(x)")
unary("maximum_with_itself", "Max(NaN, NaN)", "y = Max(x, x)")
WIDE = {"one": 1, "zero": 0}
for op, neutral in [("Mul", 1), ("Div", 1), ("Add", -0.0), ("Sub", 0), ("Pow", 1)]:
    low = op.lower()
    add(f"{low}_widens", "a neutral operand that broadcasts", f"(float[1] x) => (float[3] y) {{ y = {op}(x, w) }}", each("x", f32(2), f32(-0.0)), weights={"w": np.full(3, neutral, np.float32)})
    add(f"{low}_widens_symbol", "a neutral operand that broadcasts where n is 1", f"(float[n] x) => (float[?] y) {{ y = {op}(x, w) }}", each("x", f32(2), f32(1, 2, 3), f32(1, 2)), weights={"w": np.full(3, neutral, np.float32)})
    add(f"{low}_raises_rank", "a neutral operand of higher rank", f"(float[n] x) => (float[1,n] y) {{ y = {op}(x, w) }}", lines(), weights={"w": np.full((1, 1), neutral, np.float32)})
add("multiply_by_empty", "a neutral operand of size 0", "(float[1] x) => (float[0] y) { y = Mul(x, w) }", each("x", f32(2)), weights={"w": np.zeros(0, np.float32)})
for kind in ["int32", "int64"]:
    unary(f"integer_neutral_{kind}", "integers have true neutral elements", "a = Add(x, z) b = Mul(a, o) c = Div(b, o) y = Sub(c, z)", lines(values=INTS[kind]), kind, weights={"z": scalar(0, kind), "o": scalar(1, kind)})
unary("half_neutral", "neutral elements of half precision", "a = Mul(x, o) b = Add(a, z) y = Div(b, o)", lines(values=FLOATS.astype(np.float16)), "float16", weights={"z": scalar(0, np.float16), "o": scalar(1, np.float16)})
unary("double_neutral", "neutral elements of double precision", "a = Mul(x, o) b = Add(a, z) y = Div(b, o)", lines(values=FLOATS.astype(np.float64)), "double", weights={"z": scalar(0, np.float64), "o": scalar(1, np.float64)})
unary("nearly_one", "1 + 2^-23 is not 1", "y = Mul(x, w)", weights={"w": np.nextafter(f32(1), 2, dtype=np.float32)})
add("overridable_one", "a factor of 1 that the caller may replace", "(float[n] x, float[1] w = {1}) => (float[n] y) { y = Mul(x, w) }", [{"x": FLOATS}, {"x": FLOATS, "w": f32(2)}])

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
unary("clip_of_clip", "Clip of Clip where the ranges do not meet", "a = Clip(x, l1, h1) y = Clip(a, l2, h2)", weights={"l1": scalar(0), "h1": scalar(1), "l2": scalar(2), "h2": scalar(3)})
unary("clip_crossed", "Clip with min above max", "y = Clip(x, l, h)", weights={"l": scalar(2), "h": scalar(-2)})
unary("clip_open", "Clip without bounds", "y = Clip(x)")
unary("clip_infinite", "Clip between infinities", "y = Clip(x, l, h)", weights={"l": scalar(-np.inf), "h": scalar(np.inf)})
unary("clip_at_zero", "Clip from 0 is no Relu for NaN and -0.0", "y = Clip(x, l)", weights={"l": scalar(0)})
unary("clip_nan_bound", "Clip with a bound of NaN", "y = Clip(x, l, h)", weights={"l": scalar(np.nan), "h": scalar(1)})
unary("leaky_relu_of_one", "LeakyRelu with a slope of 1", "y = LeakyRelu<alpha=1.0>(x)")
unary("leaky_relu_of_zero", "LeakyRelu with a slope of 0 gives NaN for -inf", "y = LeakyRelu<alpha=0.0>(x)")
add("equal_to_itself", "NaN does not equal itself", "(float[n] x) => (bool[n] y, bool[n] z) { y = Equal(x, x) z = LessOrEqual(x, x) }", lines())
add("less_and_not", "not (x < y) is not x >= y", "(float[n] x) => (bool[n] y) { a = Less(x, w) y = Not(a) }", lines(), weights={"w": scalar(0)})

# Logic that broadcasts.
add("and_true_widens", "And with true broadcasts", "(bool[1] x) => (bool[3] y, bool[3] z) { y = And(x, t) z = Or(x, f) }", each("x", np.array([True]), np.array([False])), weights={"t": np.ones(3, bool), "f": np.zeros(3, bool)})
add("where_equal_branches", "Where with equal branches broadcasts to its condition", "(float[1] x, bool[m] c) => (float[?] y) { y = Where(c, x, x) }", [{"x": f32(1), "c": np.array([True, False, True])}, {"x": f32(1), "c": np.zeros(0, bool)}])
add("where_true", "Where with a constant condition broadcasts to all", "(float[1] x, float[m] u) => (float[?,?] y, float[?] z) { y = Where(t, x, u) z = Where(f, x, u) }", [{"x": f32(-0.0), "u": f32(1, np.nan, 2)}, {"x": f32(1), "u": f32()}], weights={"t": np.array([[True], [True]]), "f": scalar(False, bool)})

# Casts.
unary("cast_by_half", "float by way of half", "a = Cast<to=10>(x) y = Cast<to=1>(a)", lines(values=np.append(FLOATS, f32(1e-6, 65519, 65520, 0.1))))
unary("cast_by_bfloat16", "float by way of bfloat16", "a = Cast<to=16>(x) y = Cast<to=1>(a)", lines(values=np.append(FLOATS, f32(1e-6, 0.1))))
unary("cast_by_int32", "float by way of int32", "a = Cast<to=6>(x) y = Cast<to=1>(a)", lines(values=f32(0.5, -1.5, 3, -0.0, -0.5)))
unary("cast_by_double", "float by way of double is exact", "a = Cast<to=11>(x) y = Cast<to=1>(a)")
unary("cast_by_bool", "float by way of bool", "a = Cast<to=9>(x) y = Cast<to=1>(a)")
unary("cast_int_by_float", "int64 by way of float", "a = Cast<to=1>(x) y = Cast<to=7>(a)", lines(values=i64(2**24 + 1, 5, -(2**40) - 1)), "int64")
unary("cast_int_by_double", "int64 by way of double", "a = Cast<to=11>(x) y = Cast<to=7>(a)", lines(values=i64(2**53 + 1, 5, -(2**60) - 1)), "int64")
unary("cast_int_by_int32", "int64 by way of int32", "a = Cast<to=6>(x) y = Cast<to=7>(a)", lines(values=INTS["int64"]), "int64")
unary("cast_int_by_wide", "int32 by way of int64 is exact", "a = Cast<to=7>(x) y = Cast<to=6>(a)", lines(values=INTS["int32"]), "int32")
unary("cast_same", "a Cast to its own type", "y = Cast<to=1>(x)")
add("cast_sign_twice", "uint8 by way of int8 to int32 extends the sign", "(uint8[n] x) => (int32[n] y, int32[n] z) { a = Cast<to=3>(x) y = Cast<to=6>(a) z = Cast<to=6>(x) }", lines(values=np.arange(0, 256, 15, dtype=np.uint8)))
add("cast_rounds_twice", "double by way of float to half rounds twice", "(double[n] x) => (float16[n] y) { a = Cast<to=1>(x) y = Cast<to=10>(a) }", lines(values=np.array([1 + 2**-11 + 2**-40, 65519.9999, 0.1])))
add("cast_of_bool", "bool by way of an integer is exact", "(bool[n] x) => (bool[n] y) { a = Cast<to=7>(x) y = Cast<to=9>(a) }", lines(values=np.array([True, False])))
add("cast_wide_to_bool", "256 is true, by way of uint8 it is false", "(int64[n] x) => (bool[n] y) { a = Cast<to=2>(x) y = Cast<to=9>(a) }", lines(values=i64(256, 0, 1)))

# Layout that seems to stay.
add("reshape_same", "a Reshape to the same dims", "(float[n,4] x) => (float[n,4] y) { y = Reshape(x, s) }", each("x", ramp(2, 4), ramp(0, 4)), weights={"s": i64(0, 4)})
add("reshape_turned", "4 by n is not n by 4", "(float[n,4] x) => (float[4,?] y) { y = Reshape(x, s) }", each("x", ramp(2, 4), ramp(4, 4), ramp(1, 4)), weights={"s": i64(4, -1)})
add("reshape_zero_allowed", "with allowzero a 0 is a size", "(float[n,4] x) => (float[0,4] y) { y = Reshape<allowzero=1>(x, s) }", each("x", ramp(2, 4), ramp(0, 4)), weights={"s": i64(0, 4)})
add("transpose_cycle", "a cycle of three is not its own inverse", "(float[a,b,c] x) => (float[?,?,?] y) { t = Transpose<perm=[1,2,0]>(x) y = Transpose<perm=[1,2,0]>(t) }", each("x", ramp(2, 3, 4), ramp(1, 0, 2)))
add("transpose_default", "without a perm the dims are reversed", "(float[a,b,c] x) => (float[c,b,a] y) { y = Transpose(x) }", each("x", ramp(2, 3, 4)))
add("transpose_of_scalar", "nothing to transpose", "(float x, float[n] v) => (float y, float[n] w) { y = Transpose(x) w = Transpose(v) }", [{"x": scalar(3), "v": f32(1, 2)}])
add("slice_whole", "a Slice of everything, whatever n", "(float[n] x) => (float[n] y) { y = Slice(x, s, e) }", lines(), weights={"s": i64(0), "e": i64(2**63 - 1)})
add("slice_reversed", "everything backwards", "(float[n] x) => (float[n] y) { y = Slice(x, s, e, a, t) }", lines(), weights={"s": i64(-1), "e": i64(-(2**63)), "a": i64(0), "t": i64(-1)})
add("slice_to_last", "an end of -1 leaves out the last", "(float[n] x) => (float[?] y) { y = Slice(x, s, e) }", lines(), weights={"s": i64(0), "e": i64(-1)})
add("slice_bounded", "an end that is large, but not for every n", "(float[n] x) => (float[?] y) { y = Slice(x, s, e) }", lines(), weights={"s": i64(0), "e": i64(10)})
add("slice_to_other_length", "an end that is the length of another input", "(float[n] x, float[m] u) => (float[?] y) { e = Shape(u) y = Slice(x, s, e) }", [{"x": f32(1, 2, 3), "u": f32(1)}, {"x": f32(1, 2), "u": f32(1, 2)}, {"x": f32(1, 2), "u": f32(1, 2, 3)}, {"x": f32(1), "u": f32()}], weights={"s": i64(0)})
add("slice_to_own_length", "an end that is the own length", "(float[n] x) => (float[?] y) { e = Shape(x) y = Slice(x, s, e) }", lines(), weights={"s": i64(0)})
add("slice_to_length_less_one", "where n is 0, n - 1 counts from the end", "(float[n] x, float[m] u) => (float[?] y) { l = Shape(u) e = Sub(l, o) y = Slice(x, s, e) }", [{"x": f32(1, 2, 3), "u": f32()}, {"x": f32(1, 2, 3), "u": f32(1)}, {"x": f32(1, 2, 3), "u": f32(1, 2)}], weights={"s": i64(0), "o": i64(1)})
add("slice_step", "a step takes fewer", "(float[n] x) => (float[?] y) { y = Slice(x, s, e, a, t) }", lines(), weights={"s": i64(0), "e": i64(2**63 - 1), "a": i64(0), "t": i64(2)})
add("expand_same", "Expand to the own shape", "(float[n] x) => (float[n] y) { s = Shape(x) y = Expand(x, s) }", lines())
add("expand_by_ones", "Expand by ones of no higher rank", "(float[n,2] x) => (float[n,2] y) { y = Expand(x, s) }", each("x", ramp(2, 2), ramp(0, 2)), weights={"s": i64(1, 1)})
add("expand_raises_rank", "Expand by ones of higher rank", "(float[n] x) => (float[1,1,n] y) { y = Expand(x, s) }", lines(), weights={"s": i64(1, 1, 1)})
add("expand_smaller", "Expand by a shape of lower rank", "(float[n,3] x) => (float[n,3] y) { y = Expand(x, s) }", each("x", ramp(2, 3)), weights={"s": i64(3)})
add("expand_symbol", "Expand by a length where n may be 1", "(float[n] x, float[m] u) => (float[?] y) { s = Shape(u) y = Expand(x, s) }", [{"x": f32(1), "u": f32(1, 2)}, {"x": f32(1, 2), "u": f32(1)}, {"x": f32(1, 2), "u": f32(1, 2)}, {"x": f32(1), "u": f32()}, {"x": f32(1, 2), "u": f32(1, 2, 3)}])
add("expand_one_to_n", "a dim of 1 expanded to n", "(float[1,n] x, float[m] u) => (float[m,n] y) { l = Shape(u) o = Constant<value_ints=[1]>() s = Concat<axis=0>(l, o) y = Expand(x, s) }", [{"x": ramp(1, 3), "u": f32(1, 2)}, {"x": ramp(1, 3), "u": f32(1)}, {"x": ramp(1, 3), "u": f32()}])
add("concat_of_one", "Concat of one operand", "(float[n,2] x) => (float[n,2] y) { y = Concat<axis=1>(x) }", each("x", ramp(2, 2), ramp(0, 2)))
add("concat_with_empty", "an operand of size 0 adds nothing", "(float[n] x) => (float[n] y) { y = Concat<axis=0>(x, e) }", lines(), weights={"e": f32()})
add("concat_with_symbol", "an operand that may be empty", "(float[n] x, float[m] u) => (float[?] y) { y = Concat<axis=0>(x, u) }", [{"x": f32(1), "u": f32()}, {"x": f32(), "u": f32(-0.0)}, {"x": f32(), "u": f32()}])
add("pad_by_nothing", "Pad by zeros", "(float[n] x) => (float[n] y) { y = Pad(x, p) }", lines(), weights={"p": i64(0, 0)})
add("pad_reflected_by_nothing", "Pad by zeros, by reflection", '(float[n] x) => (float[n] y) { y = Pad<mode="reflect">(x, p) }', lines()[:2], weights={"p": i64(0, 0)})
add("pad_and_crop", "Pad by 1 and -1 shifts", "(float[n] x) => (float[n] y) { y = Pad(x, p, v) }", lines()[:2], weights={"p": i64(1, -1), "v": scalar(-0.0)})
add("tile_by_one", "Tile by ones", "(float[n] x) => (float[n] y) { y = Tile(x, r) }", lines(), weights={"r": i64(1)})
add("tile_by_none", "Tile by zero", "(float[n,2] x) => (float[0,2] y) { y = Tile(x, r) }", each("x", ramp(2, 2)), weights={"r": i64(0, 1)})
add("gather_all", "Gather of every index in order", "(float[3,n] x) => (float[3,n] y) { y = Gather(x, i) }", each("x", ramp(3, 2)), weights={"i": i64(0, 1, 2)})
add("gather_all_of_symbol", "Gather of 0, 1, 2 where there may be more", "(float[n] x) => (float[3] y) { y = Gather(x, i) }", each("x", f32(1, 2, 3), f32(1, 2, 3, 4), f32(1, 2)), weights={"i": i64(0, 1, 2)})
add("gather_reversed", "Gather of every index in another order", "(float[3,n] x) => (float[3,n] y) { y = Gather(x, i) }", each("x", ramp(3, 2)), weights={"i": i64(-1, 1, 0)})
add("flatten_rank_two", "Flatten of a matrix", "(float[n,4] x) => (float[?,?] y, float[?,?] z) { y = Flatten<axis=1>(x) z = Flatten<axis=0>(x) }", each("x", ramp(2, 4), ramp(0, 4)))
add("flatten_vector", "Flatten of a vector is a matrix", "(float[n] x) => (float[n,1] y) { y = Flatten<axis=1>(x) }", lines())
add("depth_to_space_of_one", "blocks of one", "(float[1,4,n,n] x) => (float[1,4,n,n] y) { a = DepthToSpace<blocksize=1>(x) y = SpaceToDepth<blocksize=1>(a) }", each("x", ramp(1, 4, 2, 2)))
add("trilu_far", "Trilu with a diagonal beyond the matrix", "(float[n,n] x) => (float[n,n] y, float[n,n] z) { y = Trilu<upper=1>(x, k) z = Trilu<upper=0>(x, k) }", each("x", ramp(2, 2), ramp(0, 0), -ramp(3, 3)), weights={"k": scalar(-5, np.int64)})

# Reductions over one or no element.
COLUMN = each("x", FLOATS.reshape(-1, 1), np.zeros((0, 1), np.float32))
for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"]:
    add(f"{op.lower()}_of_one", f"{op} over an axis of size 1", f"(float[n,1] x) => (float[n,1] y) {{ y = {op}(x, a) }}", COLUMN, weights={"a": i64(1)})
for op in ["ReduceSum", "ReduceL1", "ReduceSumSquare", "ReduceMax", "ReduceLogSum"]:
    add(f"{op.lower()}_noop", f"{op} over no axes, by attribute", f"(float[n] x) => (float[?] y, float[?] z) {{ y = {op}<noop_with_empty_axes=1>(x, a) z = {op}<noop_with_empty_axes=0>(x, a) }}", lines()[:2], weights={"a": np.zeros(0, np.int64)})
add("cumsum_of_one", "CumSum over an axis of size 1, exclusive too", "(float[n,1] x) => (float[n,1] y, float[n,1] z) { y = CumSum(x, a) z = CumSum<exclusive=1>(x, a) }", COLUMN, weights={"a": scalar(1, np.int64)})
add("softmax_of_one", "Softmax of one element is 1, but NaN for NaN and infinity", "(float[n,1] x) => (float[n,1] y, float[n,1] z) { y = Softmax(x) z = LogSoftmax(x) }", COLUMN)
add("pool_of_one", "pooling windows of one element", "(float[1,1,n] x) => (float[1,1,n] y, float[1,1,n] z) { y = MaxPool<kernel_shape=[1]>(x) z = AveragePool<kernel_shape=[1]>(x) }", each("x", FLOATS.reshape(1, 1, -1)))
add("resize_by_one", "Resize by a factor of 1", '(float[1,1,n] x) => (float[1,1,n] y) { y = Resize<mode="nearest">(x, , s) }', each("x", FLOATS.reshape(1, 1, -1)), weights={"s": f32(1, 1, 1)})
add("resize_crop", "a factor of 1 with a region is no identity", '(float[1,1,4] x) => (float[1,1,4] y) { y = Resize<mode="linear", coordinate_transformation_mode="tf_crop_and_resize">(x, r, s) }', each("x", ramp(1, 1, 4)), weights={"r": f32(0, 0, 0.5, 1, 1, 1), "s": f32(1, 1, 1)})
add("resize_nearly_one", "a factor a little above 1 moves samples", '(float[1,1,n] x) => (float[1,1,?] y) { y = Resize<mode="nearest", nearest_mode="ceil">(x, , s) }', each("x", ramp(1, 1, 8)), weights={"s": f32(1, 1, 1.1)})

# Dropout.
add("dropout_inference", "Dropout outside training, its mask used", "(float[n] x) => (float[n] y, bool[n] m) { y, m = Dropout(x, r) }", lines(), weights={"r": scalar(0.5)})
add("dropout_training", "Dropout in training drops", "(float[64] x) => (float[64] y, bool[64] m) { y, m = Dropout<seed=3>(x, r, t) }", each("x", ramp(64, start=1)), weights={"r": scalar(0.5), "t": scalar(True, bool)}, keeps=("Dropout",))
add("dropout_training_nothing", "Dropout in training by a ratio of 0", "(float[n] x) => (float[n] y, bool[n] m) { y, m = Dropout<seed=3>(x, r, t) }", lines(), weights={"r": scalar(0), "t": scalar(True, bool)})
add("dropout_by_input", "whether it is training is an input", "(float[64] x, bool t) => (bool z) { y = Dropout<seed=3>(x, r, t) d = Equal(x, y) e = Cast<to=6>(d) f = ReduceMin<keepdims=0>(e) z = Cast<to=9>(f) }", [{"x": ramp(64, start=1), "t": scalar(True, bool)}, {"x": ramp(64, start=1), "t": scalar(False, bool)}], weights={"r": scalar(0.5)}, keeps=("Dropout",))
