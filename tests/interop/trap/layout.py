"""Moved transposes, inserted and removed axes, slices and concatenations, MatMul and Add as Gemm."""

import numpy as np

from . import Traps, each, f32, i64, ramp, scalar

TRAPS = Traps()
add = TRAPS.add

CUBES = each("x", ramp(2, 3, 4), ramp(1, 3, 1), ramp(2, 0, 4), ramp(3, 3, 3))


def turned(name, why, text, output="float[?,?,?] y", feeds=CUBES, **more):
    """Adds a transposed cube `t` and operators on it."""
    add(
        f"transpose_{name}",
        why,
        f"(float[a,b,c] x) => ({output}) {{ t = Transpose<perm=[2,0,1]>(x) {text} }}",
        feeds,
        **more,
    )


BACK = "y = Transpose<perm=[1,2,0]>(u)"
turned(
    "and_back",
    "the inverse of a cycle is another cycle",
    "y = Transpose<perm=[1,2,0]>(t) z = Transpose<perm=[2,0,1]>(t)",
    "float[a,b,c] y, float[?,?,?] z",
)
turned(
    "used_twice",
    "one user turns it back, another does not",
    "u = Neg(t) " + BACK + " z = Abs(t)",
    "float[a,b,c] y, float[?,?,?] z",
)
turned("is_an_output", "a transposed value that is an output", "u = Neg(t) " + BACK, "float[a,b,c] y, float[?,?,?] t")
turned(
    "add_lower_rank",
    "an operand of lower rank broadcasts to the last dim",
    "u = Add(t, w) " + BACK,
    feeds=CUBES[3:],
    weights={"w": ramp(3)},
)
turned(
    "add_matrix",
    "an operand of rank 2 is not transposed by a permutation of three",
    "u = Add(t, w) " + BACK,
    feeds=CUBES[3:],
    weights={"w": ramp(3, 3)},
)
turned(
    "add_higher_rank",
    "an operand of higher rank",
    "u = Add(t, w) y = Transpose<perm=[0,2,3,1]>(u)",
    "float[?,?,?,?] y",
    weights={"w": ramp(2, 1, 1, 1)},
)
turned(
    "add_column",
    "an operand that broadcasts in the middle",
    "u = Mul(w, t) " + BACK,
    feeds=CUBES[3:],
    weights={"w": ramp(3, 1)},
)
turned("add_itself", "a cube and itself transposed", "y = Add(x, t)", feeds=CUBES[3:])
turned(
    "both_operands",
    "both operands transposed, one of lower rank",
    "m = ReduceSum<keepdims=0>(x, a0) k = Transpose(m) u = Sub(t, k) " + BACK,
    feeds=CUBES[3:],
    weights={"a0": i64(0)},
)
turned(
    "where",
    "three operands of three ranks",
    "c = Greater(t, z) u = Where(c, t, w) " + BACK,
    feeds=CUBES[3:],
    weights={"z": scalar(0), "w": ramp(3)},
)
turned("prelu", "slopes broadcast to the last dim", "u = PRelu(t, w) " + BACK, feeds=CUBES[3:], weights={"w": ramp(3)})
turned("softmax", "the axis of Softmax moves", "u = Softmax<axis=1>(t) " + BACK)
turned("softmax_last", "an axis from the end moves", "u = Softmax<axis=-1>(t) " + BACK)
turned("log_softmax", "the axis of LogSoftmax moves", "u = LogSoftmax<axis=0>(t) " + BACK)
for keep in (0, 1):
    output = "float[?,?] y" if keep == 0 else "float[?,?,?] y"
    turned(
        f"reduce_{keep}",
        "axes of a reduction move; without keepdims the rest closes up",
        f"u = ReduceSum<keepdims={keep}>(t, w) y = Transpose(u)",
        output,
        weights={"w": i64(-2)},
    )
turned(
    "argmax",
    "the axis of ArgMax moves",
    "u = ArgMax<axis=1, keepdims=0>(t) y = Transpose(u)",
    "int64[?,?] y",
    feeds=[*CUBES[:2], CUBES[3]],
)
turned("reduce_all", "a reduction over everything", "y = ReduceMax<keepdims=0>(t)", "float y", feeds=[CUBES[0]])
turned("concat", "the axis of Concat moves", "v = Neg(t) u = Concat<axis=1>(t, v) " + BACK)
turned(
    "concat_untransposed",
    "one operand of Concat is not transposed",
    "u = Concat<axis=-1>(t, x) " + BACK,
    feeds=CUBES[3:],
)
turned(
    "split",
    "the axis of Split moves",
    "u, v = Split<axis=1>(t, w) " + BACK + " z = Neg(v)",
    "float[?,?,?] y, float[?,?,?] z",
    feeds=CUBES[3:],
    weights={"w": i64(1, 2)},
)
turned("slice", "axes of Slice move", "u = Slice(t, s, e, w) " + BACK, weights={"s": i64(1), "e": i64(3), "w": i64(-1)})
turned(
    "slice_default_axes",
    "Slice without axes takes the first ones",
    "u = Slice(t, s, e) " + BACK,
    weights={"s": i64(0, 1), "e": i64(2, 9)},
)
turned(
    "pad",
    "pads are given by dim, or by axes",
    "u = Pad(t, p) v = Pad(t, q, , w) " + BACK + " z = Neg(v)",
    "float[?,?,?] y, float[?,?,?] z",
    weights={"p": i64(1, 0, 0, 0, 2, 0), "q": i64(1, 2), "w": i64(1)},
)
turned(
    "gather",
    "the axis of Gather moves, and indices of higher rank add dims",
    "u = Gather<axis=1>(t, i) y = Transpose<perm=[3,2,1,0]>(u)",
    "float[?,?,?,?] y",
    feeds=[CUBES[0], CUBES[3]],
    weights={"i": i64(0, 1, 1, 0, shape=(2, 2))},
)
turned("cumsum", "the axis of CumSum moves", "u = CumSum(t, w) " + BACK, weights={"w": scalar(1, np.int64)})
turned(
    "topk",
    "the axis of TopK moves",
    "u, i = TopK<axis=0>(t, k) " + BACK,
    feeds=[CUBES[0], CUBES[3]],
    weights={"k": i64(2)},
)
turned(
    "squeeze",
    "axes of Squeeze move",
    "u = Unsqueeze(t, w) v = Transpose<perm=[1,0,2,3]>(u) y = Squeeze(v, z)",
    weights={"w": i64(1), "z": i64(0)},
)
turned("flatten", "Flatten after Transpose", "y = Flatten<axis=2>(t)", "float[?,?] y")
turned(
    "expand",
    "Expand of a transposed value",
    "u = Expand(t, w) y = Transpose<perm=[1,2,3,0]>(u)",
    "float[?,?,?,?] y",
    weights={"w": i64(2, 1, 1, 1)},
)
turned("tile", "Tile of a transposed value", "u = Tile(t, w) " + BACK, weights={"w": i64(2, 1, 3)})
turned(
    "layer_norm",
    "the normalized dims are the last ones",
    "u = LayerNormalization<axis=-1>(t, w) " + BACK,
    feeds=CUBES[3:],
    weights={"w": f32(1, 2, 4)},
)
turned(
    "shape",
    "the shape of a transposed value",
    "s = Shape(t) y = ConstantOfShape(s) z = Shape<start=-1>(t)",
    "float[?,?,?] y, int64[1] z",
)
turned(
    "matmul_left",
    "a batch that moves into the matrix",
    "y = MatMul(t, w)",
    feeds=[CUBES[0], CUBES[2], CUBES[3]][2:],
    weights={"w": ramp(3, 2)},
)
turned("matmul_both", "A^T B^T is (B A)^T", "u = Transpose<perm=[0,2,1]>(x) y = MatMul(u, u)", feeds=CUBES[3:])
turned(
    "matmul_transposed_back",
    "(A^T B^T)^T",
    "u = Transpose<perm=[0,2,1]>(x) v = Transpose<perm=[0,2,1]>(w) p = MatMul(u, v) y = Transpose<perm=[0,2,1]>(p)",
    feeds=CUBES[3:],
    weights={"w": ramp(1, 3, 3)},
)
turned("einsum", "an Einsum of a transposed value", 'y = Einsum<equation="abc,abd->cd">(t, t)', "float[?,?] y")
add(
    "transpose_of_unit_dims",
    "a Transpose that moves a dim of 1 only is a Reshape, but n is not always 1",
    "(float[n,1,m] x) => (float[1,n,m] y, float[n,m,1] z, float[m,1,n] w) { y = Transpose<perm=[1,0,2]>(x) z = Transpose<perm=[0,2,1]>(x) w = Transpose<perm=[2,1,0]>(x) }",
    each("x", ramp(2, 1, 3), ramp(1, 1, 3), ramp(0, 1, 3), ramp(3, 1, 1)),
)
add(
    "transpose_then_reshape",
    "a Reshape that splits a transposed dim",
    "(float[2,3,n] x) => (float[?,?,?] y, float[?,?] z) { t = Transpose<perm=[0,2,1]>(x) y = Reshape(t, w) z = Reshape(t, v) }",
    each("x", ramp(2, 3, 2), ramp(2, 3, 4)),
    weights={"w": i64(2, 3, -1), "v": i64(0, -1)},
)
add(
    "transpose_of_weight_shared",
    "a transposed weight that is used as it is too",
    "(float[n,3] x) => (float[n,3] y, float[n,3] z) { t = Transpose<perm=[1,0]>(w) y = MatMul(x, t) z = MatMul(x, w) }",
    each("x", ramp(2, 3)),
    weights={"w": ramp(3, 3)},
)
add(
    "transpose_into_gemm",
    "Gemm has its own transposes",
    "(float[n,m] x) => (float[?,?] y, float[?,?] z) { t = Transpose(x) y = Gemm<transA=1>(t, t) z = Gemm<transB=1>(t, t) }",
    each("x", ramp(2, 2), ramp(3, 3)),
)

# Slices and sequences.
SIX = each("x", ramp(6, 2), ramp(4, 2), ramp(5, 2), ramp(0, 2))


def parts(name, why, text, output="float[?,?] y", feeds=SIX, also="", **more):
    add(name, why, f"(float[n,2] x{also}) => ({output}) {{ {text} }}", feeds, **more)


parts("split_joined", "parts joined in their order", "a, b = Split<num_outputs=2>(x) y = Concat<axis=0>(a, b)")
parts(
    "split_joined_reversed", "parts joined in another order", "a, b = Split<num_outputs=2>(x) y = Concat<axis=0>(b, a)"
)
parts(
    "split_joined_elsewhere",
    "parts joined at another axis",
    "a, b = Split<num_outputs=2>(x) y = Concat<axis=1>(a, b)",
    feeds=[SIX[0], SIX[1], SIX[2], SIX[3]],
)
parts(
    "split_uneven",
    "the last part is smaller",
    "a, b, c, d = Split<num_outputs=4>(x) y = Identity(d) z = Neg(a)",
    "float[?,?] y, float[?,?] z",
)
parts(
    "split_empty_part",
    "a part of size 0",
    "a, b, c = Split<axis=1>(x, w) y = Neg(b) z = Concat<axis=1>(c, b, a)",
    "float[?,?] y, float[?,?] z",
    weights={"w": i64(1, 0, 1)},
)
parts(
    "split_checks", "sizes that do not add up stay an error", "a, b = Split(x, w) y = Neg(a)", weights={"w": i64(2, 4)}
)
parts(
    "split_sequence_scalar",
    "the last element is smaller",
    "s = SplitToSequence(x, w) y = SequenceAt(s, i) z = SequenceAt(s, l)",
    "float[?,2] y, float[?,2] z",
    weights={"w": scalar(4, np.int64), "i": scalar(0, np.int64), "l": scalar(-1, np.int64)},
)
parts(
    "split_sequence_sizes",
    "keepdims means nothing where sizes are given",
    "s = SplitToSequence<keepdims=0>(x, w) y = SequenceAt(s, i)",
    "float[?,?] y",
    weights={"w": i64(1, 5), "i": scalar(1, np.int64)},
    feeds=SIX[:2],
)
parts(
    "split_sequence_dropped_axis",
    "without keepdims the axis goes",
    "s = SplitToSequence<axis=1, keepdims=0>(x) y = SequenceAt(s, i)",
    "float[?] y",
    weights={"i": scalar(-2, np.int64)},
)
parts(
    "split_sequence_kept_axis",
    "with keepdims the axis is 1",
    "s = SplitToSequence<axis=1, keepdims=1>(x) y = SequenceAt(s, i)",
    "float[?,1] y",
    weights={"i": scalar(1, np.int64)},
)
parts(
    "split_sequence_out_of_range",
    "an index out of range stays an error",
    "s = SplitToSequence<axis=1>(x) y = SequenceAt(s, i)",
    weights={"i": scalar(2, np.int64)},
)
parts(
    "split_sequence_by_length",
    "how many elements there are depends on n",
    "s = SplitToSequence<axis=0>(x) y = SequenceAt(s, i) l = SequenceLength(s)",
    "float[?,2] y, int64 l",
    weights={"i": scalar(4, np.int64)},
)
parts(
    "sequence_at_input",
    "which element it is, is an input",
    "a = Neg(x) s = SequenceConstruct(x, a) y = SequenceAt(s, i)",
    feeds=[{**SIX[1], "i": scalar(i, np.int64)} for i in (0, 1, -1, 2)],
    also=", int64 i",
)
parts(
    "sequence_insert",
    "a position from the end is before it",
    "a = Neg(x) s = SequenceConstruct(x, a) t = SequenceInsert(s, a, i) u = SequenceInsert(t, x) y = SequenceAt(u, j) z = SequenceAt(u, k)",
    "float[?,2] y, float[?,2] z",
    weights={"i": scalar(-2, np.int64), "j": scalar(0, np.int64), "k": scalar(-1, np.int64)},
)
parts(
    "sequence_erase",
    "without a position the last goes",
    "a = Neg(x) b = Abs(x) s = SequenceConstruct(x, a, b) t = SequenceErase(s, i) u = SequenceErase(t) y = SequenceAt(u, j) l = SequenceLength(u)",
    "float[?,2] y, int64 l",
    weights={"i": scalar(0, np.int64), "j": scalar(0, np.int64)},
)
parts(
    "sequence_joined",
    "joined at an old axis or at a new one",
    "a = Neg(x) s = SequenceConstruct(x, a) y = ConcatFromSequence<axis=-1>(s) z = ConcatFromSequence<axis=-1, new_axis=1>(s)",
    "float[?,?] y, float[?,?,?] z",
)
parts(
    "sequence_split_joined",
    "split and joined again is x, at another axis it is not",
    "s = SplitToSequence<axis=0>(x, w) y = ConcatFromSequence<axis=0>(s)",
    "float[?,?] y",
    weights={"w": scalar(2, np.int64)},
    feeds=SIX[:3],
)
parts(
    "sequence_is_an_output",
    "a sequence that is an output",
    "a = Neg(x) s = SequenceConstruct(x, a) y = SequenceAt(s, i)",
    "float[?,2] y, seq(float[?,2]) s",
    weights={"i": scalar(1, np.int64)},
)
parts(
    "sequence_of_nothing",
    "an empty sequence has no element",
    "s = SequenceEmpty<dtype=1>() l = SequenceLength(s) t = SequenceInsert(s, x) y = SequenceAt(t, i)",
    "float[?,2] y, int64 l",
    weights={"i": scalar(0, np.int64)},
)


# MatMul and Add.
def product(
    name,
    why,
    shapes,
    bias=None,
    text="p = MatMul(x, w) y = Add(p, b)",
    kind="float",
    rank=None,
    more_weights=None,
    **more,
):
    dtype = {"float": np.float32, "double": np.float64, "int32": np.int32, "float16": np.float16}[kind]
    left, right = shapes
    dims = ",".join(["n", *map(str, left[1:])]) if len(left) > 1 else str(left[0])
    weights = {"w": ramp(*right, dtype=dtype), **(more_weights or {})}
    if bias is not None:
        weights["b"] = ramp(*bias, dtype=dtype)
    rank = len(left) if rank is None else rank
    feeds = each(
        "x",
        ramp(*left, dtype=dtype),
        *([ramp(0, *left[1:], dtype=dtype), ramp(1, *left[1:], dtype=dtype)] if len(left) > 1 else []),
    )
    add(
        f"gemm_{name}",
        why,
        f"({kind}[{dims}] x) => ({kind}[{','.join('?' * rank)}] y) {{ {text} }}",
        feeds,
        weights=weights,
        **more,
    )


product("row", "a bias for each column", ((2, 3), (3, 4)), (4,))
product("scalar", "a bias for all", ((2, 3), (3, 4)), ())
product("column", "a bias for each row, where n is 2 or 1", ((2, 3), (3, 4)), (2, 1))
product("matrix", "a bias for each element, that may raise the number of rows", ((2, 3), (3, 4)), (2, 4))
product("one_row", "a bias of one row", ((2, 3), (3, 4)), (1, 4))
product("raises_rank", "a bias of rank 3", ((2, 3), (3, 4)), (1, 1, 4), rank=3)
product("widens", "a bias that has more columns than the product", ((2, 3), (3, 1)), (4,))
product("rank_three", "Gemm takes matrices only", ((2, 2, 3), (3, 4)), (4,))
product("batches", "a batch of weights", ((2, 2, 3), (2, 3, 4))[0:1] + ((1, 3, 4),), (4,))
product("vector", "MatMul of a vector and a matrix", ((3,), (3, 4)), (4,))
product("vector_right", "MatMul of a matrix and a vector", ((2, 3), (3,)), (1,), rank=1)
product("first", "the bias is the first operand", ((2, 3), (3, 4)), (4,), "p = MatMul(x, w) y = Add(b, p)")
product(
    "subtracted",
    "a bias that is subtracted, or subtracted from",
    ((2, 3), (3, 4)),
    (4,),
    "p = MatMul(x, w) q = Sub(p, b) y = Sub(b, q)",
)
product("integers", "a product of integers", ((2, 3), (3, 4)), (4,), kind="int32")
product("double", "a product of doubles", ((2, 3), (3, 4)), (4,), kind="double")
product("half", "a product of half precision", ((2, 3), (3, 4)), (4,), kind="float16")
product(
    "alpha_beta", "Gemm with alpha, beta and a bias", ((2, 3), (3, 4)), (4,), "y = Gemm<alpha=0.5, beta=2.0>(x, w, b)"
)
product(
    "beta_zero",
    "beta = 0 leaves a NaN in the bias unused, or not",
    ((2, 3), (3, 4)),
    None,
    "y = Gemm<beta=0.0>(x, w, b)",
    more_weights={"b": f32(np.nan, np.inf, 1, -0.0)},
)
product("no_bias", "Gemm without a bias", ((2, 3), (3, 4)), None, "y = Gemm<alpha=2.0>(x, w)")
product(
    "then_add",
    "a bias after the bias",
    ((2, 3), (3, 4)),
    (4,),
    "p = Gemm(x, w, b) q = Add(p, b) y = Mul(q, s)",
    more_weights={"s": scalar(2)},
)
product(
    "then_add_higher",
    "a bias after the bias, of higher rank",
    ((2, 3), (3, 4)),
    (4,),
    "p = Gemm(x, w, b) y = Add(p, c)",
    rank=3,
    more_weights={"c": ramp(2, 1, 1)},
)
product(
    "used_twice",
    "the product without the bias is used too",
    ((2, 3), (3, 4)),
    (4,),
    "p = MatMul(x, w) q = Add(p, b) y = Mul(p, q)",
)
product("by_product", "the bias is the product itself", ((2, 3), (3, 4)), None, "p = MatMul(x, w) y = Add(p, p)")
product(
    "negative_zero",
    "0 * w + -0.0",
    ((2, 3), (3, 4)),
    None,
    "z = Mul(x, s) p = MatMul(z, w) y = Add(p, b)",
    more_weights={"s": scalar(0), "b": f32(-0.0, 0, -0.0, 1)},
)
product("nothing_inside", "a product over nothing", ((2, 0), (0, 4)), (4,))
product(
    "transposed",
    "a product of transposes",
    ((3, 3), (3, 3)),
    (3,),
    "t = Transpose(x) u = Transpose(w) p = MatMul(t, u) y = Add(p, b)",
)
add(
    "gemm_bias_by_input",
    "a bias whose shape is known only at run time",
    "(float[n,2] x, float[k,m] b) => (float[?,?] y) { p = MatMul(x, w) y = Add(p, b) }",
    [{"x": ramp(n, 2), "b": ramp(*b)} for n in (1, 2) for b in [(1, 3), (2, 1), (2, 3), (3, 3), (1, 1)]],
    weights={"w": ramp(2, 3)},
)
add(
    "matmul_chain",
    "(x A) B is not x (A B) to the bit, and A B may be larger",
    "(float[n,64] x) => (float[n,64] y) { p = MatMul(x, a) y = MatMul(p, b) }",
    each("x", np.full((2, 64), 0.1, np.float32)),
    weights={"a": ramp(64, 1) / np.float32(7), "b": ramp(1, 64) / np.float32(3)},
)
