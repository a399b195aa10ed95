"""If, Loop and Scan: what may be moved out of a body, into a body, or replace one."""

import numpy as np

from . import FLOATS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add

YES, NO = scalar(True, bool), scalar(False, bool)


def branches(first, second, output="float[?] o"):
    """Returns the attributes of an If whose branches are lists of nodes that compute `o`."""
    # ONNX requires unique names, so the second branch has other names.
    return f"<then_branch = t () => ({output}) {{ {first} }}, else_branch = e () => ({output.replace(' o', ' q')}) {{ {second} }}>"


def known(name, why, text, feeds=None, inputs="float[n] x", outputs="float[?] y", **more):
    """Adds an If whose condition is a constant, `yes` or `no`."""
    weights = {"yes": YES, "no": NO, "two": scalar(2), **more.pop("weights", {})}
    add(f"if_{name}", why, f"({inputs}) => ({outputs}) {{ {text} }}", feeds or lines(), weights=weights, **more)


known("true", "a branch with captured values", "u = Neg(x) y = If(yes) " + branches("o = Mul(u, two)", "q = Add(x, u)"))
known("false", "a branch with captured values", "u = Neg(x) y = If(no) " + branches("o = Mul(u, two)", "q = Add(x, u)"))
known(
    "vector_condition",
    "a condition of one element and rank 1",
    "y = If(c) " + branches("o = Mul(x, two)", "q = Neg(x)"),
    weights={"c": np.array([True])},
)
known(
    "ranks",
    "branches of different ranks",
    "y = If(no) " + branches("o = Unsqueeze(x, z)", "q = Neg(x)", "float[?] o").replace("float[?] o", "float[?,?] o"),
    weights={"z": i64(0)},
)
known(
    "passes_captured",
    "a branch that returns an outer value",
    "y = If(yes) " + branches("o = Identity(x)", "q = Neg(x)"),
)
known(
    "passes_input_to_two",
    "branches that return one value twice",
    "y, z = If(yes) <then_branch = t () => (float[?] a, float[?] b) { a = Identity(x) b = Identity(x) }, else_branch = e () => (float[?] d, float[?] f) { d = Neg(x) f = Abs(x) }>",
    outputs="float[?] y, float[?] z",
)
known(
    "constant_branch",
    "a branch that returns its own weight",
    "y = If(yes) <then_branch = t () => (float[?] o) <float[2] o = {1, 2}> { }, else_branch = e () => (float[?] q) { q = Neg(x) }>",
)
known(
    "own_weights",
    "two branches with weights of the same name, both taken",
    "a = If(yes) <then_branch = t () => (float[?] o) <float[1] k = {2}> { v = Mul(x, k) o = Neg(v) }, else_branch = e () => (float[?] q) { q = Neg(x) }> b = If(no) <then_branch = t2 () => (float[?] o2) { o2 = Neg(x) }, else_branch = e2 () => (float[?] q2) <float[1] k = {3}> { v = Mul(x, k) q2 = Abs(v) }> y = Add(a, b)",
)
known(
    "nested",
    "an If in an If, both conditions known",
    "y = If(yes) <then_branch = t () => (float[?] o) { v = Neg(x) o = If(no) <then_branch = tt () => (float[?] oo) { oo = Exp(v) }, else_branch = te () => (float[?] oe) { oe = Mul(v, two) }> }, else_branch = e () => (float[?] q) { q = Abs(x) }>",
)
known(
    "nested_unknown",
    "a known If around an unknown one that captures its values",
    "y = If(yes) <then_branch = t () => (float[?] o) { v = Neg(x) o = If(c) <then_branch = tt () => (float[?] oo) { oo = Exp(v) }, else_branch = te () => (float[?] oe) { oe = Mul(v, two) }> }, else_branch = e () => (float[?] q) { q = Abs(x) }>",
    [{"x": FLOATS, "c": YES}, {"x": FLOATS, "c": NO}],
    "float[n] x, bool c",
)
known(
    "folded_condition",
    "a condition that folds",
    "c = Not(no) d = And(c, yes) y = If(d) " + branches("o = Mul(x, two)", "q = Neg(x)"),
)
known(
    "is_an_output_twice",
    "an If with two results that are outputs of the graph",
    "y, z = If(no) <then_branch = t () => (float[?] a, float[?] b) { a = Identity(x) b = Neg(x) }, else_branch = e () => (float[?] d, float[?] f) { d = Neg(x) f = Abs(d) }>",
    outputs="float[?] y, float[?] z",
)
add(
    "if_overridable",
    "a condition that the caller may replace",
    "(float[n] x, bool c = {1}) => (float[?] y) { y = If(c) " + branches("o = Neg(x)", "q = Abs(x)") + " }",
    [{"x": FLOATS}, {"x": FLOATS, "c": NO}],
)
add(
    "if_length",
    "a condition on a length that n may satisfy",
    "(float[n] x) => (float[?] y) { s = Shape(x) k = Squeeze(s) c = Equal(k, one) y = If(c) "
    + branches("o = Expand(x, three)", "q = Neg(x)")
    + " }",
    lines(),
    weights={"one": scalar(1, np.int64), "three": i64(3)},
)
add(
    "if_squeeze",
    "the exporter's squeeze: a rank that differs by branch",
    "(float[n,2] x) => (float[?] r) { s = Shape<end=1>(x) c = Equal(s, one) y = If(c) <then_branch = t () => (float[?] o) { o = Squeeze(x, z) }, else_branch = e () => (float[?,?] q) { q = Identity(x) }> r = Reshape(y, g) }",
    each("x", ramp(1, 2), ramp(2, 2)),
    weights={"one": i64(1), "z": i64(0), "g": i64(-1)},
)
add(
    "if_other_lengths",
    "branches of different lengths",
    "(bool c, float[n] x) => (float[?] y, int64[1] s) { y = If(c) "
    + branches("o = Concat<axis=0>(x, x)", "q = Identity(x)")
    + " s = Shape(y) }",
    [{"c": c, "x": FLOATS} for c in (YES, NO)],
)
add(
    "if_not_taken_fails",
    "a branch that always fails and is not taken",
    "(bool c, float[n] x) => (float[?] y) { y = If(c) " + branches("o = Reshape(w, bad)", "q = Identity(x)") + " }",
    [{"c": c, "x": FLOATS} for c in (NO, YES)],
    weights={"w": f32(1, 2, 3), "bad": i64(2)},
)
add(
    "if_divides",
    "a division that the condition guards",
    "(bool c, int64[1] d, int64[1] x) => (int64[?] y) { y = If(c) "
    + branches("o = Div(x, d)", "q = Identity(x)", "int64[?] o")
    + " }",
    [{"c": NO, "d": i64(0), "x": i64(7)}, {"c": YES, "d": i64(2), "x": i64(7)}],
)

# Loops. An iteration has the number `i`; `k` is the condition to continue.
TURNS = [{"n": scalar(n, np.int64), "x": FLOATS} for n in (0, 1, 3)]


def loop(name, why, text, feeds=TURNS, inputs="int64 n, float[m] x", outputs="float[?] y", **more):
    weights = {"go": YES, "two": scalar(2), "one": i64(1), **more.pop("weights", {})}
    add(f"loop_{name}", why, f"({inputs}) => ({outputs}) {{ {text} }}", feeds, weights=weights, **more)


def body(state, nodes, outputs="float[?] o", go="k = Identity(c)"):
    return f"<body = b (int64 i, bool c{state and ', ' + state}) => (bool k, {outputs}) {{ {go} {nodes} }}>"


STATE = "float[?] a"
loop(
    "carried",
    "a carried value is not constant, although it starts as one",
    "y = Loop(n, , w) " + body(STATE, "o = Add(a, x)"),
    weights={"w": f32(0)},
    feeds=[{"n": scalar(n, np.int64), "x": f32(1.5)} for n in (0, 1, 3)],
)
loop(
    "unchanged",
    "a carried value that the body passes through",
    "y, z = Loop(n, , x, x) " + body(STATE + ", float[?] d", "o = Neg(a) p = Identity(d)", "float[?] o, float[?] p"),
    outputs="float[?] y, float[?] z",
)
loop(
    "swapped",
    "two carried values that are swapped",
    "y, z = Loop(n, , x, w) "
    + body(STATE + ", float[?] d", "o = Identity(d) p = Identity(a)", "float[?] o, float[?] p"),
    outputs="float[?] y, float[?] z",
    weights={"w": f32(1, 2)},
)
loop(
    "growing",
    "a carried value that grows: its first shape is not its shape",
    "y = Loop(n, , x) " + body(STATE, "o = Concat<axis=0>(a, x)") + " s = Shape(y)",
    outputs="float[?] y, int64[1] s",
    feeds=[{"n": scalar(n, np.int64), "x": f32(1, 2)} for n in (0, 1, 3)],
)
loop(
    "captured",
    "an invariant computation",
    "u = Neg(x) y = Loop(n, , x) " + body(STATE, "v = Mul(u, two) o = Add(a, v)"),
)
loop(
    "invariant_fails",
    "a failure in the body does not occur without iterations",
    "y = Loop(n, , x) " + body(STATE, "g = Gather(x, far) o = Add(a, g)"),
    weights={"far": i64(99)},
)
loop(
    "invariant_divides",
    "a division in the body, without iterations",
    "y = Loop(n, , m0) " + body("int64[?] a", "g = Div(one, d) o = Add(a, g)", "int64[?] o"),
    feeds=[{"n": scalar(n, np.int64), "d": i64(d)} for n, d in [(0, 0), (2, 1)]],
    inputs="int64 n, int64[1] d",
    outputs="int64[?] y",
    weights={"m0": i64(5)},
)
loop(
    "counter",
    "the counter is not constant, even if the body has an equal constant",
    "y = Loop(n, , x) " + body(STATE, "f = Cast<to=1>(i) g = Identity(f) o = Add(a, g)"),
)
loop(
    "until",
    "the body ends the loop",
    "y = Loop(, go, x) " + body(STATE, "o = Add(a, one_f)", go="m = ReduceMax<keepdims=0>(a) k = Less(m, five)"),
    weights={"one_f": f32(1), "five": scalar(5)},
    feeds=each("x", f32(0), f32(4), f32(9)),
    inputs="float[m] x",
)
loop(
    "not_started",
    "a condition that is false at the start",
    "y = Loop(n, no, x) " + body(STATE, "o = Neg(a)", go="k = Identity(go)"),
    weights={"no": NO},
)
loop(
    "stops_at_once",
    "a body that runs for one iteration",
    "y = Loop(n, go, x) " + body(STATE, "o = Neg(a)", go="k = Identity(no)"),
    weights={"no": NO},
)
loop(
    "scanned",
    "scanned results, also without iterations",
    "y, z = Loop(n, , x) " + body(STATE, "o = Neg(a) p = Identity(a)", "float[?] o, float[?] p"),
    outputs="float[?] y, float[?,?] z",
)
loop(
    "scanned_constant",
    "a weight of the body that is a scanned result",
    "y, z = Loop(n, , x) <body = b (int64 i, bool c, float[?] a) => (bool k, float[?] o, float[2] p) <float[2] p = {1, 2}> { k = Identity(c) o = Neg(a) }>",
    outputs="float[?] y, float[?,2] z",
)
loop(
    "unused_output",
    "only the scanned results are used",
    "y, z = Loop(n, , x) " + body(STATE, "o = Neg(a) p = Abs(a)", "float[?] o, float[?] p"),
    outputs="float[?,?] z",
)
loop(
    "one_turn",
    "one iteration is the body with the counter 0",
    "y, z = Loop(w, , x) " + body(STATE, "f = Cast<to=1>(i) o = Add(a, f) p = Neg(a)", "float[?] o, float[?] p"),
    outputs="float[?] y, float[?,?] z",
    weights={"w": scalar(1, np.int64)},
    feeds=lines(),
    inputs="float[m] x",
)
loop(
    "no_turn",
    "without iterations the carried value stays",
    "y, z = Loop(w, , x) " + body(STATE, "o = Exp(a) p = Neg(a)", "float[?] o, float[?] p"),
    outputs="float[?] y, float[?,?] z",
    weights={"w": scalar(0, np.int64)},
    feeds=lines(),
    inputs="float[m] x",
)
loop(
    "negative_turns",
    "a negative number of iterations",
    "y = Loop(w, , x) " + body(STATE, "o = Exp(a)"),
    weights={"w": scalar(-1, np.int64)},
    feeds=lines(),
    inputs="float[m] x",
)
loop(
    "nested",
    "a loop in a loop that captures from both",
    "y = Loop(n, , x) "
    + body(
        STATE,
        "v = Neg(a) o = Loop(n, , v) <body = b2 (int64 j, bool d, float[?] e) => (bool l, float[?] p) { l = Identity(d) r = Add(e, v) p = Add(r, x) }>",
    ),
    feeds=[{"n": scalar(n, np.int64), "x": f32(1, -0.0)} for n in (0, 1, 2)],
)
loop(
    "same_outside",
    "a node of the body that also exists outside",
    "z = Neg(x) y = Loop(n, , x) " + body(STATE, "v = Neg(x) o = Add(a, v)"),
    outputs="float[?] y, float[?] z",
)
loop(
    "own_weights",
    "weights of the body",
    "y = Loop(n, , x) <body = b (int64 i, bool c, float[?] a) => (bool k, float[?] o) <float[1] w = {3}> { k = Identity(c) o = Mul(a, w) }>",
)
loop(
    "if_inside",
    "an If on the counter",
    "y = Loop(n, , x) "
    + body(
        STATE,
        "h = Equal(i, z) o = If(h) <then_branch = t () => (float[?] p) { p = Neg(a) }, else_branch = e () => (float[?] q) { q = Mul(a, two) }>",
    ),
    weights={"z": scalar(0, np.int64)},
)
loop(
    "sequence",
    "a carried sequence",
    "s = SequenceEmpty<dtype=1>() t = Loop(n, , s) <body = b (int64 i, bool c, seq(float[?]) a) => (bool k, seq(float[?]) o) { k = Identity(c) o = SequenceInsert(a, x) }> y = SequenceLength(t)",
    outputs="int64 y",
)

# Scans.
ROWS = each("x", ramp(3, 2), ramp(1, 2))


def scan(
    name,
    why,
    attributes,
    state="float[?] a, float[?] e",
    nodes="o = Add(a, e) p = Neg(a)",
    outputs="float[?] y, float[?,?] z",
    start="w",
    **more,
):
    text = f"(float[n,2] x) => ({outputs}) {{ y, z = Scan({start}, x) <num_scan_inputs=1{attributes}, body = b ({state}) => (float[?] o, float[?] p) {{ {nodes} }}> }}"
    add(f"scan_{name}", why, text, more.pop("feeds", ROWS), weights={"w": f32(0, 1), **more.pop("weights", {})}, **more)


scan("rows", "a state that changes from row to row", "")
scan("backwards", "from the last row to the first", ", scan_input_directions=[1]")
scan("output_backwards", "results from the last to the first", ", scan_output_directions=[1]")
scan(
    "columns",
    "along the second axis",
    ", scan_input_axes=[1], scan_output_axes=[-1]",
    start="v",
    weights={"v": f32(0, 1, 2)},
    feeds=each("x", ramp(3, 2)),
)
scan("stacked_columns", "results stacked along the last axis", ", scan_output_axes=[-1]")
scan(
    "captured",
    "an outer value in the body",
    "",
    nodes="v = Mul(e, u) o = Add(a, v) p = Neg(v)",
    weights={"u": f32(2, 3)},
)
scan("state_unused", "only the results are used", "", outputs="float[?,?] z")
