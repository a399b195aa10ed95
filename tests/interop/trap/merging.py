"""Nodes and weights that look the same and differ, or that look unused."""

import numpy as np

from . import FLOATS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add

# Random operators: that two of them differ is a result that is the same in every run.
DIFFER = "d = Equal(a, b) e = Cast<to=6>(d) f = ReduceMin<keepdims=0>(e) y = Cast<to=9>(f) }"
for op in [
    "RandomNormal<shape=[64]>()",
    "RandomUniform<shape=[64]>()",
    "RandomNormalLike(x)",
    "RandomUniformLike(x)",
    "Bernoulli(h)",
]:
    name = op.split("<")[0].split("(")[0]
    add(
        f"twice_{name.lower()}",
        f"two {name} are two draws",
        f"(float[64] x) => (bool y) {{ h = Add(x, w) a = {op} b = {op} {DIFFER}",
        each("x", np.zeros(64, np.float32)),
        weights={"w": scalar(0.5)},
        keeps=(name,),
    )
add(
    "twice_multinomial",
    "two Multinomial are two draws",
    "(float[1,64] x) => (bool y) { a = Multinomial<sample_size=64>(x) b = Multinomial<sample_size=64>(x) " + DIFFER,
    each("x", np.ones((1, 64), np.float32)),
    keeps=("Multinomial",),
)
add(
    "twice_dropout",
    "two Dropout in training are two masks",
    "(float[64] x) => (bool y) { a = Dropout(x, r, t) b = Dropout(x, r, t) " + DIFFER,
    each("x", ramp(64, start=1)),
    weights={"r": scalar(0.5), "t": scalar(True, bool)},
    keeps=("Dropout",),
)
add(
    "random_of_constants",
    "a draw does not become a constant",
    "(float[n] x) => (bool y) { a = RandomUniform<shape=[4], seed=1.0>() b = Sub(a, x) c = Abs(b) m = ReduceMax<keepdims=0>(c) y = Greater(m, w) }",
    each("x", np.zeros(4, np.float32)),
    weights={"w": scalar(0)},
    keeps=("RandomUniform",),
)
add(
    "random_in_loop",
    "a draw in a loop is one for each turn",
    "(int64 n) => (bool y) { s = Loop(n, , ) <body = b (int64 i, bool c) => (bool k, float[64] r) { k = Identity(c) r = RandomUniform<shape=[64]>() }> a = Gather<axis=0>(s, z) b = Gather<axis=0>(s, o) "
    + DIFFER,
    [{"n": scalar(2, np.int64)}],
    weights={"z": scalar(0, np.int64), "o": scalar(1, np.int64)},
    keeps=("RandomUniform",),
)

# Constants.
add(
    "zeros_of_both_signs",
    "0.0 and -0.0 are equal and not the same",
    "(float[n] x) => (float[n] y, float[n] z) { y = Div(x, p) z = Div(x, m) }",
    lines(),
    weights={"p": scalar(0), "m": scalar(-0.0)},
)
add(
    "vectors_of_both_signs",
    "0.0 and -0.0 are equal and not the same",
    "(float[4] x) => (float[4] y, float[4] z) { y = Div(x, p) z = Div(x, m) }",
    each("x", FLOATS[2:6]),
    weights={"p": f32(0, 0, 1, -0.0), "m": f32(0, -0.0, 1, -0.0)},
)
add(
    "constants_of_both_signs",
    "0.0 and -0.0 in attributes",
    "(float[n] x) => (float[n] y, float[n] z) { p = Constant<value_float=0.0>() m = Constant<value_float=-0.0>() y = Div(x, p) z = Div(x, m) }",
    lines(),
)
add(
    "attributes_of_both_signs",
    "slopes of 0.0 and -0.0",
    "(float[n] x) => (float[n] y, float[n] z) { y = LeakyRelu<alpha=0.0>(x) z = LeakyRelu<alpha=-0.0>(x) }",
    lines(),
)
add(
    "nan_weights",
    "NaN equals nothing, and NaNs of other bits are other weights",
    "(float[2] x) => (float[2] y, float[2] z) { y = Max(x, a) z = Add(x, b) }",
    each("x", f32(1, 2)),
    weights={"a": f32(np.nan, 1), "b": f32(-np.nan, 1)},
)
add(
    "same_bytes_other_type",
    "the bytes of int32 and float zeros are the same",
    "(float[2] x, int32[2] i) => (float[2] y, int32[2] j) { y = Add(x, a) j = Add(i, b) }",
    [{"x": f32(1, -0.0), "i": np.array([1, 2], np.int32)}],
    weights={"a": f32(0, 0), "b": np.zeros(2, np.int32)},
)
add(
    "same_bytes_other_shape",
    "a row and a column of the same numbers",
    "(float[2,2] x) => (float[2,2] y, float[2,2] z) { y = Add(x, a) z = Add(x, b) }",
    each("x", ramp(2, 2)),
    weights={"a": f32(1, 2), "b": f32(1, 2, shape=(2, 1))},
)
add(
    "same_beginning",
    "weights that differ in the last number",
    "(float[n,64] x) => (float[n,64] y, float[n,64] z) { y = MatMul(x, a) z = MatMul(x, b) }",
    each("x", np.ones((1, 64), np.float32)),
    weights={"a": ramp(64, 64) % 3, "b": np.append((ramp(64, 64) % 3).ravel()[:-1], f32(9)).reshape(64, 64)},
)
add(
    "tied_weights",
    "one weight under two names",
    "(float[n,64] x) => (float[n,64] y) { a = MatMul(x, w) y = MatMul(a, v) }",
    each("x", np.ones((1, 64), np.float32)),
    weights={"w": np.eye(64, dtype=np.float32), "v": np.eye(64, dtype=np.float32)},
)
add(
    "tied_weight_overridable",
    "of two equal weights the caller may replace one",
    "(float[n] x, float[2] w = {{1, 2}}, float[2] v = {{1, 2}}) => (float[?] y, float[?] z) <float[2] u = {{1, 2}}> { y = Mul(x, w) a = Mul(x, u) z = Add(a, v) }".replace(
        "{{", "{"
    ).replace("}}", "}"),
    [{"x": f32(1)}, {"x": f32(1), "w": f32(5, 6)}, {"x": f32(1), "v": f32(5, 6)}],
)
add(
    "constant_in_two_branches",
    "constants of one name in two branches",
    "(bool c, float[n] x) => (float[n] y) { y = If(c) <then_branch = t () => (float[n] a) <float[1] k = {2}> { a = Mul(x, k) }, else_branch = e () => (float[n] b) <float[1] k = {3}> { b = Mul(x, k) }> }",
    [{"c": scalar(c, bool), "x": f32(1, -0.0)} for c in (True, False)],
)

# Nodes.
add(
    "other_attribute",
    "the same operand, another attribute",
    "(float[2,2] x) => (float[2,2] y, float[2,2] z, float[2,2] d) { y = Softmax<axis=0>(x) z = Softmax<axis=1>(x) d = Softmax(x) }",
    each("x", ramp(2, 2)),
)
add(
    "other_type",
    "the same operand, another type",
    "(float[n] x) => (int64[n] y, int32[n] z) { y = Cast<to=7>(x) z = Cast<to=6>(x) }",
    lines(values=f32(1, -2.5)),
)
add(
    "other_order",
    "a - b is not b - a",
    "(float[n] x, float[n] u) => (float[n] y, float[n] z, bool[n] a, bool[n] b) { y = Sub(x, u) z = Sub(u, x) a = Less(x, u) b = Less(u, x) }",
    [{"x": f32(1, -0.0, np.nan), "u": f32(2, 0, 1)}],
)
add(
    "absent_operand",
    "Clip without min is not Clip without max",
    "(float[n] x) => (float[n] y, float[n] z) { y = Clip(x, , w) z = Clip(x, w) }",
    lines(),
    weights={"w": scalar(1)},
)
add(
    "other_number_of_outputs",
    "the number of outputs determines the parts of Split",
    "(float[6] x) => (float[?] y, float[?] z) { a, b = Split(x) c, d, e = Split(x) y = Neg(b) z = Neg(d) }",
    each("x", ramp(6)),
    opset=13,
)
add(
    "other_output",
    "values and indices of one TopK",
    "(float[4] x) => (float[2] y, int64[2] i, float[2] z) { y, i = TopK(x, k) z, j = TopK<largest=0>(x, k) }",
    each("x", f32(3, 1, 3, 2)),
    weights={"k": i64(2)},
)
add(
    "two_outputs_the_same",
    "two outputs that are the same value keep both names",
    "(float[n] x) => (float[n] y, float[n] z) { y = Neg(x) z = Neg(x) }",
    lines(),
)
add(
    "kept_operators",
    "what is not understood is not merged nor dropped without need",
    "(float[n] x) => (float[n] y, float[n] z) { a = Celu(x) b = Celu(x) c = Celu<alpha=2.0>(x) y = Add(a, b) z = Add(b, c) }",
    lines(values=f32(1, -1, 0)),
)
add(
    "same_in_both_branches",
    "what fails in a branch must not be moved out of it",
    "(bool c, float[3] x, int64[1] i) => (float[?] y) { y = If(c) <then_branch = t () => (float[1] a) { a = Gather(x, i) }, else_branch = e () => (float[1] b) { j = Sub(i, i) b = Gather(x, j) }> }",
    [
        {"c": scalar(False, bool), "x": ramp(3), "i": i64(7)},
        {"c": scalar(True, bool), "x": ramp(3), "i": i64(1)},
        {"c": scalar(True, bool), "x": ramp(3), "i": i64(7)},
    ],
)
add(
    "inside_and_outside",
    "a node in a branch that is the same as one outside",
    "(bool c, float[n] x) => (float[n] y, float[n] z) { z = Neg(x) y = If(c) <then_branch = t () => (float[n] a) { a = Neg(x) }, else_branch = e () => (float[n] b) { d = Neg(x) b = Neg(d) }> }",
    [{"c": scalar(c, bool), "x": FLOATS} for c in (True, False)],
)
add(
    "functions_of_two_domains",
    "functions of one name in two domains",
    "(float[n] x) => (float[n] y, float[n] z) { y = a.f(x) z = b.f(x) }",
    lines(values=f32(1, -1)),
    imports=', "a": 1, "b": 1',
    functions='<opset_import: ["": 21], domain: "a"> f (x) => (y) { y = Neg(x) } <opset_import: ["": 21], domain: "b"> f (x) => (y) { y = Abs(x) }',
)
add(
    "function_attribute",
    "a function of one body and two attributes",
    "(float[n] x) => (float[n] y, float[n] z) { y = a.f<s=2.0>(x) z = a.f<s=4.0>(x) }",
    lines(values=f32(1, -1)),
    imports=', "a": 1',
    functions='<opset_import: ["": 21], domain: "a"> f <s>(x) => (y) { y = LeakyRelu<alpha: float = @s>(x) }',
)
add(
    "normalization_in_training",
    "BatchNormalization in training takes the mean of its batch",
    "(float[2,3] x) => (float[2,3] y, float[3] m, float[3] v) { y, m, v = BatchNormalization<training_mode=1>(x, s, b, a, d) }",
    each("x", ramp(2, 3)),
    weights={"s": f32(1, 1, 1), "b": f32(0, 0, 0), "a": f32(0, 0, 0), "d": f32(1, 1, 1)},
    opset=15,
)

# Dead code.
add(
    "unused_output",
    "the second output alone is used",
    "(float[4] x) => (int64[2] i) { v, i = TopK(x, k) }",
    each("x", f32(3, 1, 4, 1)),
    weights={"k": i64(2)},
)
add(
    "unused_input",
    "an input that nothing uses stays",
    "(float[n] x, float[m] u, int64[k] v) => (float[n] y) { y = Neg(x) }",
    [{"x": FLOATS, "u": f32(), "v": i64(1)}],
)
add(
    "unused_everything",
    "nodes and weights that nothing uses",
    "(float[n] x) => (float[n] y) { y = Neg(x) z = Exp(x) w = Mul(z, k) }",
    lines(),
    weights={"k": f32(2), "l": f32(3)},
)
add(
    "used_in_a_branch_only",
    "a value that only a branch uses",
    "(bool c, float[n] x) => (float[n] y) { u = Neg(x) y = If(c) <then_branch = t () => (float[n] a) { a = Mul(u, w) }, else_branch = e () => (float[n] b) { b = Identity(x) }> }",
    [{"c": scalar(c, bool), "x": FLOATS} for c in (True, False)],
    weights={"w": scalar(2)},
)
add(
    "used_two_levels_down",
    "a value that only a branch of a branch uses",
    "(bool c, bool d, float[n] x) => (float[n] y) { u = Neg(x) y = If(c) <then_branch = t () => (float[n] a) { a = If(d) <then_branch = tt () => (float[n] aa) { aa = Mul(u, w) }, else_branch = te () => (float[n] ab) { ab = Mul(u, u) }> }, else_branch = e () => (float[n] b) { b = Identity(x) }> }",
    [{"c": scalar(c, bool), "d": scalar(d, bool), "x": FLOATS} for c in (True, False) for d in (True, False)],
    weights={"w": scalar(2)},
)
add(
    "used_as_branch_output_only",
    "a value of a branch that is an output of it and nothing else",
    "(bool c, float[n] x) => (float[n] y, float[n] z) { y, z = If(c) <then_branch = t () => (float[n] a, float[n] b) { a = Neg(x) b = Abs(x) }, else_branch = e () => (float[n] d, float[n] f) { d = Abs(x) f = Neg(x) }> }",
    [{"c": scalar(c, bool), "x": FLOATS} for c in (True, False)],
)
add(
    "dead_branch_output",
    "one of two outputs of an If is used",
    "(bool c, float[n] x) => (float[n] z) { y, z = If(c) <then_branch = t () => (float[n] a, float[n] b) { a = Neg(x) b = Abs(x) }, else_branch = e () => (float[n] d, float[n] f) { d = Abs(x) f = Neg(x) }> }",
    [{"c": scalar(c, bool), "x": FLOATS} for c in (True, False)],
)
