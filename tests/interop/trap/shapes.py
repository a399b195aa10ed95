"""Shape arithmetic: rewrites that are correct for most sizes, and wrong for 0, 1 or odd ones."""

import numpy as np

from . import Traps, each, f32, i64, ramp, scalar

TRAPS = Traps()
add = TRAPS.add

ONE, TWO, ALL = i64(1), i64(2), i64(-1)
MATRICES = each("x", ramp(2, 3), ramp(3, 2), ramp(2, 2), ramp(1, 4), ramp(0, 3), ramp(3, 0))
# The lengths n and m of a matrix, as vectors of one element and as scalars.
LENGTHS = "s = Shape(x) n = Gather(s, i0) m = Gather(s, i1) "
SCALARS = "s = Shape(x) n = Gather(s, z0) m = Gather(s, z1) "
INDICES = {"i0": i64(0), "i1": i64(1)}
ZEROS = {"z0": scalar(0, np.int64), "z1": scalar(1, np.int64)}


def matrix(name, why, text, output="float[?,?] y", feeds=None, weights=None, **more):
    add(
        name,
        why,
        f"(float[a,b] x) => ({output}) {{ {text} }}",
        feeds or MATRICES,
        weights={**INDICES, **(weights or {})},
        **more,
    )


matrix(
    "reshape_swapped",
    "[m, n] is [m, -1] but where m is 0, which copies n",
    LENGTHS + "t = Concat<axis=0>(m, n) y = Reshape(x, t)",
    mends=True,
)
matrix(
    "reshape_kept", "[n, m] is the own shape, where 0 copies 0", LENGTHS + "t = Concat<axis=0>(n, m) y = Reshape(x, t)"
)
matrix(
    "reshape_kept_allowzero",
    "[m, n] with allowzero",
    LENGTHS + "t = Concat<axis=0>(m, n) y = Reshape<allowzero=1>(x, t)",
)
matrix(
    "reshape_to_line",
    "[n * m] is [-1]; a 0 of it copies n",
    LENGTHS + "t = Mul(n, m) y = Reshape(x, t)",
    "float[?] y",
    mends=True,
)
matrix(
    "reshape_all_first",
    "[-1, m] is not [n, -1] where m is 0",
    LENGTHS + "t = Concat<axis=0>(w, m) y = Reshape(x, t)",
    weights={"w": ALL},
    mends=True,
)
matrix(
    "reshape_all_last",
    "[m, -1], for every m and n",
    LENGTHS + "t = Concat<axis=0>(m, w) y = Reshape(x, t)",
    weights={"w": ALL},
    mends=True,
)
matrix(
    "reshape_square", "[n, n] where the dims happen to be equal", LENGTHS + "t = Concat<axis=0>(n, n) y = Reshape(x, t)"
)
matrix(
    "reshape_halved",
    "[2 n, m / 2] fails where m is odd",
    LENGTHS + "k = Mul(n, w) l = Div(m, w) t = Concat<axis=0>(k, l) y = Reshape(x, t)",
    weights={"w": TWO},
    feeds=MATRICES[:5],
)
matrix(
    "reshape_split",
    "[n, m / 2, 2] fails where m is odd",
    LENGTHS + "l = Div(m, w) t = Concat<axis=0>(n, l, w) y = Reshape(x, t)",
    "float[?,?,?] y",
    weights={"w": TWO},
    feeds=MATRICES[:5],
)
matrix(
    "reshape_rounded_up",
    "[n, (m + 1) / 2, -1]",
    LENGTHS + "k = Add(m, o) l = Div(k, w) t = Concat<axis=0>(n, l, g) y = Reshape(x, t)",
    "float[?,?,?] y",
    weights={"w": TWO, "o": ONE, "g": ALL},
    feeds=MATRICES[:5],
)
matrix(
    "reshape_with_one",
    "[n, m, 1] and [1, n, m]",
    LENGTHS
    + "t = Concat<axis=0>(n, m, o) u = Concat<axis=0>(o, n, m) y = Reshape(x, t) z = Reshape<allowzero=1>(x, u)",
    "float[?,?,1] y, float[1,?,?] z",
    weights={"o": ONE},
    mends=True,
)
matrix(
    "reshape_shifted",
    "a 0 in [1, 0, ...] copies another dim",
    LENGTHS + "t = Concat<axis=0>(o, n, m) y = Reshape(x, t)",
    "float[1,?,?] y",
    weights={"o": ONE},
    mends=True,
)
matrix(
    "shape_is_an_output",
    "a shape that is an output has sizes, not 0 and -1",
    LENGTHS + "t = Concat<axis=0>(m, n) y = Reshape<allowzero=1>(x, t)",
    "float[?,?] y, int64[2] t",
)
matrix(
    "minus_one_is_an_output",
    "a shape that is an output keeps its -1",
    LENGTHS + "t = Concat<axis=0>(m, w) k = ReduceProd<keepdims=0>(t)",
    "int64 k, int64[2] t",
    weights={"w": ALL},
)
matrix(
    "negative_division",
    "(1 - n) / 2 truncates toward zero",
    LENGTHS + "k = Sub(o, n) y = Div(k, w) z = Mod(k, w) f = Mod<fmod=1>(k, w)",
    "int64[1] y, int64[1] z, int64[1] f",
    weights={"w": TWO, "o": ONE},
)
matrix(
    "division_of_product",
    "(n * m) / m is n, except for m = 0",
    LENGTHS + "k = Mul(n, m) l = Max(m, o) y = Div(k, l)",
    "int64[1] y",
    weights={"o": ONE},
)
matrix(
    "division_then_product",
    "(m / 2) * 2 is not m",
    LENGTHS + "k = Div(m, w) y = Mul(k, w)",
    "int64[1] y",
    weights={"w": TWO},
)
matrix(
    "divide_twice",
    "((m + 1) / 2) / 2",
    LENGTHS + "k = Add(m, o) l = Div(k, w) j = Div(l, w) y = Sub(j, w)",
    "int64[1] y",
    weights={"w": TWO, "o": ONE},
)
matrix(
    "divide_lengths",
    "n / m of two symbols; nothing to cancel",
    LENGTHS + "k = Max(m, o) y = Div(n, k) z = Mod(n, k)",
    "int64[1] y, int64[1] z",
    weights={"o": ONE},
)
matrix(
    "minimum_of_lengths",
    "Min and Max of lengths, of differences too",
    LENGTHS + "y = Min(n, m) z = Max(n, m) d = Sub(n, m) e = Max(d, o) f = Abs(d)",
    "int64[1] y, int64[1] z, int64[1] e, int64[1] f",
    weights={"o": ONE},
)
matrix(
    "length_by_float",
    "half of a length by way of float",
    LENGTHS
    + "k = Cast<to=1>(m) l = Mul(k, w) j = Floor(l) y = Cast<to=7>(j) c = Ceil(l) z = Cast<to=7>(c) r = Round(l) q = Cast<to=7>(r)",
    "int64[1] y, int64[1] z, int64[1] q",
    weights={"w": f32(0.5)},
)
matrix(
    "length_by_int32",
    "a length by way of int32 and bool",
    LENGTHS + "k = Cast<to=6>(m) y = Cast<to=7>(k) b = Cast<to=9>(n) z = Cast<to=7>(b)",
    "int64[1] y, int64[1] z",
)
matrix(
    "length_compared",
    "whether n is 1 or m is known only at run time",
    LENGTHS + "y = Equal(n, o) z = Equal(n, m) g = Greater(n, h) l = Less(m, o)",
    "bool[1] y, bool[1] z, bool[1] g, bool[1] l",
    weights={"o": ONE, "h": i64(0)},
)
matrix(
    "length_chosen",
    "Where over lengths",
    LENGTHS + "c = Equal(n, o) y = Where(c, m, n)",
    "int64[1] y",
    weights={"o": ONE},
)
matrix(
    "minus_one_chosen",
    "the exporter's Where(shape == -1, 1, shape)",
    LENGTHS
    + "t = Concat<axis=0>(w, m) c = Equal(t, w) k = ConstantOfShape<value=int64[1]{1}>(d) u = Where(c, k, t) y = Expand(x, u)",
    weights={"w": ALL, "d": TWO},
)
matrix(
    "shape_from_the_end",
    "Shape with negative start and end",
    "y = Shape<start=-1>(x) z = Shape<end=-1>(x) k = Shape<start=1, end=9>(x) l = Shape<start=2>(x) e = Shape<start=-9, end=1>(x)",
    "int64[1] y, int64[1] z, int64[1] k, int64[0] l, int64[1] e",
)
matrix(
    "shape_gathered_from_the_end",
    "Gather of -1 and of a scalar from a shape",
    "s = Shape(x) y = Gather(s, a) z = Gather(s, b)",
    "int64[2] y, int64 z",
    weights={"a": i64(-1, -2), "b": scalar(-1, np.int64)},
)
matrix(
    "shape_reversed",
    "a shape sliced backwards",
    "s = Shape(x) t = Slice(s, a, e, z, a) y = Reshape<allowzero=1>(x, t)",
    weights={"a": ALL, "e": i64(-9), "z": i64(0)},
)
matrix(
    "shape_split",
    "a shape in two parts",
    "s = Shape(x) n, m = Split<num_outputs=2>(s) t = Concat<axis=0>(m, n) y = Reshape<allowzero=1>(x, t)",
)
matrix(
    "shape_by_input",
    "Size and the product of the shape",
    "s = Shape(x) y = Size(x) z = ReduceProd<keepdims=0>(s) k = ReduceSum<keepdims=0>(s)",
    "int64 y, int64 z, int64 k",
)
matrix(
    "shape_of_shape",
    "the rank is known where the shape is not",
    "s = Shape(x) t = Shape(s) y = Mul(t, s)",
    "int64[2] y",
)
matrix(
    "zeros_of_shape",
    "as many zeros as x has elements, less than -0.0",
    "s = Shape(x) k = ConstantOfShape(s) y = Add(x, k)",
)
matrix(
    "ones_of_other_shape",
    "ones of the turned shape",
    LENGTHS + "t = Concat<axis=0>(m, n) k = ConstantOfShape<value=float[1]{1}>(t) y = MatMul(x, k)",
)
matrix(
    "expanded_by_own_shape",
    "Expand to the shape that x has, and to its maximum with 1",
    "s = Shape(x) y = Expand(x, s) t = Max(s, o) u = Min(t, o) z = Expand(x, u)",
    "float[?,?] y, float[?,?] z",
    weights={"o": ONE},
)
matrix(
    "tiled_by_length",
    "Tile by n",
    LENGTHS + "t = Concat<axis=0>(n, o) y = Tile(x, t)",
    weights={"o": ONE},
    feeds=MATRICES[:4],
)
matrix(
    "positions",
    "Range over a length, from both ends",
    SCALARS + "y = Range(z0, n, z1) d = Sub(n, z1) k = Neg(z1) z = Range(d, k, k) e = Range(n, m, z1)",
    "int64[?] y, int64[?] z, int64[?] e",
    weights=ZEROS,
)
matrix(
    "positions_of_step",
    "Range by steps that do not divide the length",
    SCALARS + "y = Range(z0, m, w) z = Range(m, z0, v)",
    "int64[?] y, int64[?] z",
    weights={**ZEROS, "w": scalar(2, np.int64), "v": scalar(-2, np.int64)},
)
matrix(
    "positions_sliced",
    "a table sliced by lengths, shorter than one of them",
    LENGTHS + "k = Add(n, m) y = Slice(t, n, k) z = Slice(t, i0, n)",
    "float[?] y, float[?] z",
    weights={"t": ramp(4)},
)
matrix(
    "slice_by_difference",
    "n - m may be negative, and then counts from the end",
    LENGTHS + "d = Sub(n, m) y = Slice(t, i0, d) z = Slice(t, d, m)",
    "float[?] y, float[?] z",
    weights={"t": ramp(4)},
)
matrix(
    "reshape_of_reshape",
    "a 0 copies from the first Reshape, not from x",
    "p = Reshape(x, r) y = Reshape(p, q)",
    weights={"r": i64(-1, 2), "q": i64(0, -1)},
    feeds=each("x", ramp(2, 4), ramp(4, 2), ramp(0, 4), ramp(1, 6)),
    mends=True,
)
matrix(
    "reshape_of_reshape_all_zero",
    "two zeros copy both dims of the first Reshape",
    "p = Reshape(x, r) y = Reshape(p, q)",
    weights={"r": i64(-1, 2), "q": i64(0, 0)},
    feeds=each("x", ramp(2, 4), ramp(0, 4)),
)
matrix(
    "reshape_of_wrong_reshape",
    "what the first Reshape refuses stays refused",
    "p = Reshape(x, r) y = Reshape(p, q)",
    "float[?] y",
    weights={"r": i64(2, -1), "q": i64(-1)},
    feeds=each("x", ramp(2, 3), ramp(3, 3), ramp(0, 3)),
    mends=True,
)
matrix(
    "reshape_of_fixed_reshape",
    "a Reshape to constants fails for other sizes",
    "p = Reshape(x, r) y = Reshape(p, q)",
    "float[?] y",
    weights={"r": i64(2, 3), "q": i64(-1)},
    feeds=each("x", ramp(2, 3), ramp(3, 2), ramp(2, 2)),
    mends=True,
)
matrix(
    "reshape_flatten",
    "Flatten after Reshape",
    "p = Reshape(x, r) y = Flatten<axis=1>(p) z = Flatten<axis=0>(x)",
    "float[?,?] y, float[?,?] z",
    weights={"r": i64(0, 1, -1)},
    feeds=each("x", ramp(2, 4), ramp(1, 3)),
)
matrix(
    "reshape_of_transpose",
    "Reshape of a transposed matrix is no Reshape of it",
    "p = Transpose(x) y = Reshape(p, q) z = Reshape(p, s)",
    "float[?] y, float[?,?] z",
    weights={"q": i64(-1), "s": i64(0, 0)},
)
matrix(
    "unsqueezed_then_reshaped",
    "a 0 after Unsqueeze copies a moved dim",
    "p = Unsqueeze(x, i0) y = Reshape(p, q)",
    weights={"q": i64(0, -1)},
    feeds=MATRICES[:4],
)
matrix(
    "unsqueeze_twice",
    "the second axis counts the first",
    "p = Unsqueeze(x, i0) y = Unsqueeze(p, w) q = Unsqueeze(x, w) z = Unsqueeze(q, v)",
    "float[1,?,?,1] y, float[?,1,?,1] z",
    weights={"w": ALL, "v": i64(-3)},
)
matrix(
    "unsqueeze_unordered",
    "axes of Unsqueeze in any order, and from the end",
    "y = Unsqueeze(x, p) z = Unsqueeze(x, q)",
    "float[1,?,1,?] y, float[?,1,?,1] z",
    weights={"p": i64(2, 0), "q": i64(-1, -3)},
)
matrix(
    "squeeze_undone",
    "Unsqueeze after Squeeze at another axis",
    "p = Unsqueeze(x, i0) q = Squeeze(p, i0) r = Unsqueeze(q, w) y = Squeeze(r, v)",
    weights={"w": ALL, "v": i64(2)},
)
matrix(
    "squeeze_checks",
    "Squeeze of a dim that is not 1 stays an error, though Unsqueeze follows",
    "p = Squeeze(x, i0) y = Unsqueeze(p, i0)",
)
matrix(
    "squeeze_what_is_one",
    "Squeeze without axes takes dims that happen to be 1",
    "p = Squeeze(x) y = Reshape(p, q) r = Shape(p) z = Size(r)",
    "float[?] y, int64 z",
    weights={"q": i64(-1)},
)
add(
    "lengths_of_two_inputs",
    "[n, m] where n is of another input",
    "(float[a,4] x, float[b] u) => (float[?,?] y) { n = Shape(u) t = Concat<axis=0>(n, w) y = Reshape(x, t) }",
    [{"x": ramp(a, 4), "u": ramp(b)} for a, b in [(2, 2), (2, 4), (2, 1), (3, 5), (2, 0), (0, 0)]],
    weights={"w": ALL},
    mends=True,
)
add(
    "equal_by_chance",
    "Add of n and m proves nothing: either may be 1",
    "(float[a] x, float[b] u) => (float[?] y, float[?] z) { y = Add(x, u) s = Shape(u) z = Expand(x, s) }",
    [{"x": ramp(a), "u": ramp(b)} for a, b in [(3, 3), (1, 3), (3, 1), (1, 1), (1, 0)]],
)
add(
    "heads",
    "[b, s, h, -1] and back",
    "(float[b,s,8] x) => (float[?,?,?,?] t, float[?,?,?] y) { h = Shape(x) b = Gather(h, i0) s = Gather(h, i1) u = Concat<axis=0>(b, s, w2, w4) v = Reshape(x, u) t = Transpose<perm=[0,2,1,3]>(v) k = Transpose<perm=[0,2,1,3]>(t) o = Concat<axis=0>(b, s, w8) y = Reshape(k, o) }",
    each("x", ramp(2, 3, 8), ramp(1, 1, 8), ramp(2, 0, 8), ramp(0, 3, 8)),
    weights={**INDICES, "w2": i64(2), "w4": i64(4), "w8": i64(8)},
)
add(
    "heads_moved",
    "[b * h, s, d]: a length at a place where 0 copies another",
    "(float[b,h,s,4] x) => (float[?,?,?] y, float[?,?,?,?] z) { p = Shape(x) b = Gather(p, i0) h = Gather(p, i1) s = Gather(p, i2) k = Mul(b, h) u = Concat<axis=0>(k, s, w) y = Reshape(x, u) v = Concat<axis=0>(b, s, h, w) z = Reshape(x, v) }",
    each("x", ramp(2, 3, 5, 4), ramp(1, 1, 1, 4), ramp(2, 3, 0, 4), ramp(0, 3, 2, 4)),
    weights={**INDICES, "i2": i64(2), "w": i64(4)},
    mends=True,
)
add(
    "ceiling",
    "a declared length of another name",
    "(float[n] x) => (float[k] y) { y = Identity(x) }",
    each("x", ramp(3), ramp(0)),
)
add(
    "length_of_choice",
    "the length of Compress and NonZero is that of the data",
    "(float[n] x) => (int64[?,?] y, int64[2] s) { y = NonZero(x) s = Shape(y) }",
    each("x", f32(0, 1, np.nan, -0.0), f32()),
)
add(
    "length_by_index",
    "which length it is, is an input",
    "(float[a,b] x, int64 i) => (float[?] y) { s = Shape(x) n = Gather(s, i) k = Unsqueeze(n, z) y = ConstantOfShape(k) }",
    [{"x": ramp(2, 3), "i": scalar(i, np.int64)} for i in (0, 1, -1, 2)],
    weights={"z": i64(0)},
)
add(
    "shape_by_caller",
    "a shape that the caller may replace",
    "(float[6] x, int64[2] s = {2, 3}) => (float[?,?] y) { y = Reshape(x, s) }",
    [{"x": ramp(6)}, {"x": ramp(6), "s": i64(3, 2)}, {"x": ramp(6), "s": i64(-1, 1)}],
)
add(
    "nothing_at_all",
    "dims of size 0 throughout",
    "(float[0,4] x) => (float[0,3] y, float[4] r, float[0,4] z) { y = MatMul(x, w) r = ReduceSum<keepdims=0>(x, a) z = Softmax(x) }",
    each("x", ramp(0, 4)),
    weights={"w": ramp(4, 3), "a": i64(0)},
)
add(
    "product_over_nothing",
    "MatMul over an inner size of 0 is 0",
    "(float[2,n] x, float[n,3] u) => (float[2,3] y) { p = MatMul(x, u) y = Add(p, b) }",
    [{"x": ramp(2, n), "u": ramp(n, 3)} for n in (0, 1, 2)],
    weights={"b": f32(-0.0, 1, 2)},
)
