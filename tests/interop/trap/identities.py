"""Layout, reduction and dropout nodes that seem to have no effect."""

import numpy as np

from . import FLOATS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add


# Layout operators that seem to have no effect.
add(
    "reshape_same",
    "a Reshape to the same dims",
    "(float[n,4] x) => (float[n,4] y) { y = Reshape(x, s) }",
    each("x", ramp(2, 4), ramp(0, 4)),
    weights={"s": i64(0, 4)},
)
add(
    "reshape_turned",
    "4 by n is not n by 4",
    "(float[n,4] x) => (float[4,?] y) { y = Reshape(x, s) }",
    each("x", ramp(2, 4), ramp(4, 4), ramp(1, 4)),
    weights={"s": i64(4, -1)},
)
add(
    "reshape_zero_allowed",
    "with allowzero, 0 is a size",
    "(float[n,4] x) => (float[0,4] y) { y = Reshape<allowzero=1>(x, s) }",
    each("x", ramp(2, 4), ramp(0, 4)),
    weights={"s": i64(0, 4)},
)
add(
    "transpose_cycle",
    "a cycle of three is not its own inverse",
    "(float[a,b,c] x) => (float[?,?,?] y) { t = Transpose<perm=[1,2,0]>(x) y = Transpose<perm=[1,2,0]>(t) }",
    each("x", ramp(2, 3, 4), ramp(1, 0, 2)),
)
add(
    "transpose_default",
    "without a perm the dims are reversed",
    "(float[a,b,c] x) => (float[c,b,a] y) { y = Transpose(x) }",
    each("x", ramp(2, 3, 4)),
)
add(
    "transpose_of_scalar",
    "nothing to transpose",
    "(float x, float[n] v) => (float y, float[n] w) { y = Transpose(x) w = Transpose(v) }",
    [{"x": scalar(3), "v": f32(1, 2)}],
)
add(
    "slice_whole",
    "a Slice of everything, for all n",
    "(float[n] x) => (float[n] y) { y = Slice(x, s, e) }",
    lines(),
    weights={"s": i64(0), "e": i64(2**63 - 1)},
)
add(
    "slice_reversed",
    "everything reversed",
    "(float[n] x) => (float[n] y) { y = Slice(x, s, e, a, t) }",
    lines(),
    weights={"s": i64(-1), "e": i64(-(2**63)), "a": i64(0), "t": i64(-1)},
)
add(
    "slice_to_last",
    "an end of -1 leaves out the last",
    "(float[n] x) => (float[?] y) { y = Slice(x, s, e) }",
    lines(),
    weights={"s": i64(0), "e": i64(-1)},
)
add(
    "slice_bounded",
    "a large end that is not beyond every n",
    "(float[n] x) => (float[?] y) { y = Slice(x, s, e) }",
    lines(),
    weights={"s": i64(0), "e": i64(10)},
)
add(
    "slice_to_other_length",
    "an end that is the length of another input",
    "(float[n] x, float[m] u) => (float[?] y) { e = Shape(u) y = Slice(x, s, e) }",
    [
        {"x": f32(1, 2, 3), "u": f32(1)},
        {"x": f32(1, 2), "u": f32(1, 2)},
        {"x": f32(1, 2), "u": f32(1, 2, 3)},
        {"x": f32(1), "u": f32()},
    ],
    weights={"s": i64(0)},
)
add(
    "slice_to_own_length",
    "an end that is the length of the input",
    "(float[n] x) => (float[?] y) { e = Shape(x) y = Slice(x, s, e) }",
    lines(),
    weights={"s": i64(0)},
)
add(
    "slice_to_length_less_one",
    "for n = 0, n - 1 counts from the end",
    "(float[n] x, float[m] u) => (float[?] y) { l = Shape(u) e = Sub(l, o) y = Slice(x, s, e) }",
    [{"x": f32(1, 2, 3), "u": f32()}, {"x": f32(1, 2, 3), "u": f32(1)}, {"x": f32(1, 2, 3), "u": f32(1, 2)}],
    weights={"s": i64(0), "o": i64(1)},
)
add(
    "slice_step",
    "a step selects fewer elements",
    "(float[n] x) => (float[?] y) { y = Slice(x, s, e, a, t) }",
    lines(),
    weights={"s": i64(0), "e": i64(2**63 - 1), "a": i64(0), "t": i64(2)},
)
add("expand_same", "Expand to the same shape", "(float[n] x) => (float[n] y) { s = Shape(x) y = Expand(x, s) }", lines())
add(
    "expand_by_ones",
    "Expand by ones of no higher rank",
    "(float[n,2] x) => (float[n,2] y) { y = Expand(x, s) }",
    each("x", ramp(2, 2), ramp(0, 2)),
    weights={"s": i64(1, 1)},
)
add(
    "expand_raises_rank",
    "Expand by ones of higher rank",
    "(float[n] x) => (float[1,1,n] y) { y = Expand(x, s) }",
    lines(),
    weights={"s": i64(1, 1, 1)},
)
add(
    "expand_smaller",
    "Expand by a shape of lower rank",
    "(float[n,3] x) => (float[n,3] y) { y = Expand(x, s) }",
    each("x", ramp(2, 3)),
    weights={"s": i64(3)},
)
add(
    "expand_symbol",
    "Expand by a length where n may be 1",
    "(float[n] x, float[m] u) => (float[?] y) { s = Shape(u) y = Expand(x, s) }",
    [
        {"x": f32(1), "u": f32(1, 2)},
        {"x": f32(1, 2), "u": f32(1)},
        {"x": f32(1, 2), "u": f32(1, 2)},
        {"x": f32(1), "u": f32()},
        {"x": f32(1, 2), "u": f32(1, 2, 3)},
    ],
)
add(
    "expand_one_to_n",
    "a dim of 1 expanded to n",
    "(float[1,n] x, float[m] u) => (float[m,n] y) { l = Shape(u) o = Constant<value_ints=[1]>() s = Concat<axis=0>(l, o) y = Expand(x, s) }",
    [{"x": ramp(1, 3), "u": f32(1, 2)}, {"x": ramp(1, 3), "u": f32(1)}, {"x": ramp(1, 3), "u": f32()}],
)
add(
    "concat_of_one",
    "Concat of one operand",
    "(float[n,2] x) => (float[n,2] y) { y = Concat<axis=1>(x) }",
    each("x", ramp(2, 2), ramp(0, 2)),
)
add(
    "concat_with_empty",
    "an operand of size 0 adds no elements",
    "(float[n] x) => (float[n] y) { y = Concat<axis=0>(x, e) }",
    lines(),
    weights={"e": f32()},
)
add(
    "concat_with_symbol",
    "an operand that may be empty",
    "(float[n] x, float[m] u) => (float[?] y) { y = Concat<axis=0>(x, u) }",
    [{"x": f32(1), "u": f32()}, {"x": f32(), "u": f32(-0.0)}, {"x": f32(), "u": f32()}],
)
add(
    "pad_by_nothing",
    "Pad by zeros",
    "(float[n] x) => (float[n] y) { y = Pad(x, p) }",
    lines(),
    weights={"p": i64(0, 0)},
)
add(
    "pad_reflected_by_nothing",
    "Pad by zeros, by reflection",
    '(float[n] x) => (float[n] y) { y = Pad<mode="reflect">(x, p) }',
    lines()[:2],
    weights={"p": i64(0, 0)},
)
add(
    "pad_and_crop",
    "Pad by 1 and -1 shifts",
    "(float[n] x) => (float[n] y) { y = Pad(x, p, v) }",
    lines()[:2],
    weights={"p": i64(1, -1), "v": scalar(-0.0)},
)
add("tile_by_one", "Tile by ones", "(float[n] x) => (float[n] y) { y = Tile(x, r) }", lines(), weights={"r": i64(1)})
add(
    "tile_by_none",
    "Tile by zero",
    "(float[n,2] x) => (float[0,2] y) { y = Tile(x, r) }",
    each("x", ramp(2, 2)),
    weights={"r": i64(0, 1)},
)
add(
    "gather_all",
    "Gather of every index in order",
    "(float[3,n] x) => (float[3,n] y) { y = Gather(x, i) }",
    each("x", ramp(3, 2)),
    weights={"i": i64(0, 1, 2)},
)
add(
    "gather_all_of_symbol",
    "Gather of 0, 1, 2 where there may be more",
    "(float[n] x) => (float[3] y) { y = Gather(x, i) }",
    each("x", f32(1, 2, 3), f32(1, 2, 3, 4), f32(1, 2)),
    weights={"i": i64(0, 1, 2)},
)
add(
    "gather_reversed",
    "Gather of every index in another order",
    "(float[3,n] x) => (float[3,n] y) { y = Gather(x, i) }",
    each("x", ramp(3, 2)),
    weights={"i": i64(-1, 1, 0)},
)
add(
    "flatten_rank_two",
    "Flatten of a matrix",
    "(float[n,4] x) => (float[?,?] y, float[?,?] z) { y = Flatten<axis=1>(x) z = Flatten<axis=0>(x) }",
    each("x", ramp(2, 4), ramp(0, 4)),
)
add(
    "flatten_vector",
    "Flatten of a vector is a matrix",
    "(float[n] x) => (float[n,1] y) { y = Flatten<axis=1>(x) }",
    lines(),
)
add(
    "depth_to_space_of_one",
    "blocks of one",
    "(float[1,4,n,n] x) => (float[1,4,n,n] y) { a = DepthToSpace<blocksize=1>(x) y = SpaceToDepth<blocksize=1>(a) }",
    each("x", ramp(1, 4, 2, 2)),
)
add(
    "trilu_far",
    "Trilu with a diagonal beyond the matrix",
    "(float[n,n] x) => (float[n,n] y, float[n,n] z) { y = Trilu<upper=1>(x, k) z = Trilu<upper=0>(x, k) }",
    each("x", ramp(2, 2), ramp(0, 0), -ramp(3, 3)),
    weights={"k": scalar(-5, np.int64)},
)

# Reductions over one or no element.
COLUMN = each("x", FLOATS.reshape(-1, 1), np.zeros((0, 1), np.float32))
for op in [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
]:
    add(
        f"{op.lower()}_of_one",
        f"{op} over an axis of size 1",
        f"(float[n,1] x) => (float[n,1] y) {{ y = {op}(x, a) }}",
        COLUMN,
        weights={"a": i64(1)},
    )
for op in ["ReduceSum", "ReduceL1", "ReduceSumSquare", "ReduceMax", "ReduceLogSum"]:
    add(
        f"{op.lower()}_noop",
        f"{op} over no axes, by attribute",
        f"(float[n] x) => (float[?] y, float[?] z) {{ y = {op}<noop_with_empty_axes=1>(x, a) z = {op}<noop_with_empty_axes=0>(x, a) }}",
        lines()[:2],
        weights={"a": np.zeros(0, np.int64)},
    )
add(
    "cumsum_of_one",
    "CumSum over an axis of size 1, exclusive too",
    "(float[n,1] x) => (float[n,1] y, float[n,1] z) { y = CumSum(x, a) z = CumSum<exclusive=1>(x, a) }",
    COLUMN,
    weights={"a": scalar(1, np.int64)},
)
add(
    "softmax_of_one",
    "Softmax of one element is 1, but NaN for NaN and infinity",
    "(float[n,1] x) => (float[n,1] y, float[n,1] z) { y = Softmax(x) z = LogSoftmax(x) }",
    COLUMN,
)
add(
    "pool_of_one",
    "pooling windows of one element",
    "(float[1,1,n] x) => (float[1,1,n] y, float[1,1,n] z) { y = MaxPool<kernel_shape=[1]>(x) z = AveragePool<kernel_shape=[1]>(x) }",
    each("x", FLOATS.reshape(1, 1, -1)),
)
add(
    "resize_by_one",
    "Resize by a factor of 1",
    '(float[1,1,n] x) => (float[1,1,n] y) { y = Resize<mode="nearest">(x, , s) }',
    each("x", FLOATS.reshape(1, 1, -1)),
    weights={"s": f32(1, 1, 1)},
)
add(
    "resize_crop",
    "a factor of 1 with a region is not an identity",
    '(float[1,1,4] x) => (float[1,1,4] y) { y = Resize<mode="linear", coordinate_transformation_mode="tf_crop_and_resize">(x, r, s) }',
    each("x", ramp(1, 1, 4)),
    weights={"r": f32(0, 0, 0.5, 1, 1, 1), "s": f32(1, 1, 1)},
)
add(
    "resize_nearly_one",
    "a factor a little above 1 moves samples",
    '(float[1,1,n] x) => (float[1,1,?] y) { y = Resize<mode="nearest", nearest_mode="ceil">(x, , s) }',
    each("x", ramp(1, 1, 8)),
    weights={"s": f32(1, 1, 1.1)},
)

# Dropout.
add(
    "dropout_inference",
    "Dropout outside training, its mask used",
    "(float[n] x) => (float[n] y, bool[n] m) { y, m = Dropout(x, r) }",
    lines(),
    weights={"r": scalar(0.5)},
)
add(
    "dropout_training",
    "Dropout in training drops",
    "(float[64] x) => (float[64] y, bool[64] m) { y, m = Dropout<seed=3>(x, r, t) }",
    each("x", ramp(64, start=1)),
    weights={"r": scalar(0.5), "t": scalar(True, bool)},
    keeps=("Dropout",),
)
add(
    "dropout_training_nothing",
    "Dropout in training by a ratio of 0",
    "(float[n] x) => (float[n] y, bool[n] m) { y, m = Dropout<seed=3>(x, r, t) }",
    lines(),
    weights={"r": scalar(0), "t": scalar(True, bool)},
)
add(
    "dropout_by_input",
    "the training mode is an input",
    "(float[64] x, bool t) => (bool z) { y = Dropout<seed=3>(x, r, t) d = Equal(x, y) e = Cast<to=6>(d) f = ReduceMin<keepdims=0>(e) z = Cast<to=9>(f) }",
    [{"x": ramp(64, start=1), "t": scalar(True, bool)}, {"x": ramp(64, start=1), "t": scalar(False, bool)}],
    weights={"r": scalar(0.5)},
    keeps=("Dropout",),
)
