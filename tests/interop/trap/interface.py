"""Names, inputs, outputs and weights that the caller sees."""

import numpy as np
import onnx

from . import FLOATS, Traps, each, f32, i64, lines, ramp, scalar

TRAPS = Traps()
add = TRAPS.add


def renamed(**names):
    """Renames values throughout the graph and its subgraphs; the text syntax accepts only plain names."""

    def edit(model):
        rename(model.graph, names)

    return edit


def rename(graph, names):
    for value in [*graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g, names)


def node_names(*names):
    def edit(model):
        for node, name in zip(model.graph.node, names, strict=False):
            node.name = name

    return edit


add("output_is_input", "an input that is an output", "(float[n] x) => (float[n] x, float[n] y) { y = Neg(x) }", lines())
add(
    "output_by_identity",
    "an Identity from an input to an output",
    "(float[n] x) => (float[n] y) { y = Identity(x) }",
    lines(),
)
add(
    "output_by_identities",
    "one value to three outputs",
    "(float[n] x) => (float[n] y, float[n] z, float[n] w) { a = Neg(x) y = Identity(a) z = Identity(y) w = Identity(a) }",
    lines(),
)
add(
    "output_and_identity",
    "an output, and an Identity of it that is an output",
    "(float[n] x) => (float[n] a, float[n] y) { a = Neg(x) y = Identity(a) }",
    lines(),
)
add(
    "output_is_weight",
    "a weight that is an output",
    "(float[n] x) => (float[n] y, float[2] w) <float[2] w = {1, 2}> { y = Neg(x) }",
    lines(),
)
add(
    "output_is_constant",
    "a constant that is an output, by two names",
    "(float[n] x) => (float[n] y, float[2] a, float[2] b) { y = Neg(x) a = Constant<value=float[2] {1, 2}>() b = Identity(a) }",
    lines(),
)
add(
    "output_is_overridable",
    "a weight that the caller may replace and that is an output",
    "(float[n] x, float[2] w = {1, 2}) => (float[n] y, float[2] w) { y = Neg(x) }",
    [{"x": FLOATS}, {"x": FLOATS, "w": f32(3, 4)}],
)
add(
    "outputs_swapped",
    "two inputs to two outputs, crosswise",
    "(float[n] x, float[n] u) => (float[n] y, float[n] z) { y = Identity(u) z = Identity(x) }",
    [{"x": FLOATS, "u": -FLOATS}],
)
add(
    "output_order",
    "outputs in another order than their nodes",
    "(float[n] x) => (float[n] z, float[n] y) { y = Neg(x) z = Abs(y) }",
    lines(),
)
add("no_node", "a graph of nothing but its input", "(float[n] x) => (float[n] x) { }", lines())
add("no_input", "a graph without inputs", "() => (float[2] y) <float[2] w = {1, 2}> { y = Neg(w) }", [{}])
add(
    "inputs_unused",
    "inputs that nothing uses, of every order",
    "(float[k] a, float[n] x, int64[j] b) => (float[n] y) { y = Neg(x) }",
    [{"a": f32(1), "x": FLOATS, "b": i64()}],
)
add(
    "input_used_only_by_dead_code",
    "an input of which only dead code knows",
    "(float[n] x, float[n] u) => (float[n] y) { d = Exp(u) y = Neg(x) }",
    [{"x": FLOATS, "u": FLOATS}],
)
add(
    "input_of_shape_only",
    "an input of which only the length is used",
    "(float[n] x, float[m] u) => (float[?] y) { s = Shape(u) y = Slice(x, z, s) }",
    [{"x": f32(1, 2, 3), "u": f32(1, 2)}],
    weights={"z": i64(0)},
)
add(
    "overridable",
    "a weight that the caller may replace",
    "(float[n] x, float[1] w = {2}) => (float[n] y) { v = Neg(w) y = Mul(x, v) }",
    [{"x": FLOATS}, {"x": FLOATS, "w": f32(-3)}],
)
add(
    "overridable_unused",
    "a weight that the caller may replace and nothing uses",
    "(float[n] x, float[1] w = {2}) => (float[n] y) { y = Neg(x) }",
    [{"x": FLOATS}, {"x": FLOATS, "w": f32(3)}],
)
add(
    "overridable_zero",
    "a sum with 0 that the caller may replace",
    "(float[n] x, float[1] w = {0}, bool[1] t = {0}) => (float[n] y) { a = Sub(x, w) y = Where(t, w, a) }",
    [{"x": FLOATS}, {"x": FLOATS, "w": f32(3)}, {"x": FLOATS, "t": np.array([True])}],
)
add(
    "overridable_length",
    "a length that the caller may replace",
    "(float[n] x, int64[1] e = {1}) => (float[?] y) { y = Slice(x, z, e) }",
    [{"x": f32(1, 2, 3)}, {"x": f32(1, 2, 3), "e": i64(-1)}],
    weights={"z": i64(0)},
)
add(
    "overridable_dims",
    "a weight that the caller may replace by a longer one",
    "(float[n] x, float[k] w) => (float[?] y, int64[1] s) { y = Concat<axis=0>(x, w) s = Shape(w) }",
    [{"x": f32(1)}, {"x": f32(1), "w": f32(1, 2, 3)}],
    weights={"w": f32(2, 3)},
)
add(
    "symbols_of_others",
    "symbols that look like expressions, numbers and other names",
    '(float["n + 1", "2 * n"] x, float["n"] u, float["unk__0"] v, float["x"] w) => (float["n + 1", "2 * n"] y, float["n"] p, float["unk__0"] q, float["x"] r) { y = Neg(x) p = Neg(u) q = Neg(v) r = Neg(w) }',
    [{"x": ramp(2, 3), "u": f32(1), "v": f32(2, 3), "w": f32()}],
)
add(
    "symbols_alike",
    "symbols that differ in case, blanks and marks",
    '(float["seq", "Seq"] x, float[" seq", "séq"] u) => (float["seq", "Seq"] y, float[" seq", "séq"] z) { y = Neg(x) z = Neg(u) }',
    [{"x": ramp(1, 2), "u": ramp(3, 4)}],
)
add(
    "dims_unnamed",
    "dims without a name are each another",
    "(float[?,?] x, float[?] u) => (float[?,?] y, float[?] z) { y = Neg(x) z = Neg(u) }",
    [{"x": ramp(2, 3), "u": f32(1)}],
)
add(
    "dims_unnamed_equal",
    "dims without a name prove nothing",
    "(float[?,?] x) => (float[?,?] y) { s = Shape(x) n = Gather(s, i) m = Gather(s, j) t = Concat<axis=0>(m, n) y = Reshape<allowzero=1>(x, t) }",
    each("x", ramp(2, 3), ramp(2, 2), ramp(0, 3)),
    weights={"i": i64(0), "j": i64(1)},
)
add(
    "dims_known",
    "sizes that are known stay declared",
    "(float[2,3] x) => (float[3,2] y) { y = Transpose(x) }",
    each("x", ramp(2, 3)),
)
add(
    "dims_by_output",
    "an output that declares less than is known",
    "(float[2,3] x) => (float[?,k] y) { y = Transpose(x) }",
    each("x", ramp(2, 3)),
)
PAIR = "(float[n] x) => (float[n] y, float[n] z) { a = Add(x, u) b = Add(a, v) y = Mul(b, w) z = Transpose(y) }"
CLASH = {"u": f32(1), "v": f32(2), "w": f32(0.5)}
for name, names in [
    ("numbered", {"a": "y.1", "b": "y.2", "u": "a.1", "v": "a.2"}),
    ("underscored", {"a": "y_1", "b": "y_2", "u": "y_0", "v": "y__1"}),
    ("suffixed", {"a": "y.bias", "b": "y.scaled", "u": "x.transposed", "v": "y.weight"}),
    ("slashed", {"a": "/layer/0/Add", "b": "/layer/0/Add_output_0", "u": "layers.0.w:0", "v": "w w"}),
    ("numeric", {"a": "0", "b": "1", "u": "-1", "v": "00"}),
    ("unicode", {"a": "ä", "b": "a\u0308", "u": "名前", "v": "\u200b"}),
    ("quoted", {"a": '"', "b": "\\", "u": "%a", "v": "}\n"}),
    ("spaced", {"a": " ", "b": "  ", "u": "a ", "v": " a"}),
    ("keyword", {"a": "return", "b": "true", "u": "float", "v": "None"}),
]:
    add(
        f"names_{name}",
        "names that those of new values may meet, or that a text form may not take",
        PAIR,
        lines(),
        weights=CLASH,
        edit=renamed(**names),
    )
add(
    "names_of_interface",
    "inputs and outputs of names that no text form takes",
    "(float[n] x) => (float[n] y) { y = Neg(x) }",
    each('input:0 "q"\n', FLOATS),
    edit=renamed(x='input:0 "q"\n', y="/out.1"),
)
add(
    "names_of_nodes",
    "nodes of one name, and of the name of a value",
    "(float[n] x) => (float[n] y) { a = Neg(x) b = Neg(a) y = Abs(b) }",
    lines(),
    edit=node_names("x", "y", ""),
)
for name, values in [("alike", {"z": "y.1"}), ("generated", {"z": "y.0"})]:
    add(
        f"names_in_branch_{name}",
        "a name of a branch that the outer graph would take",
        "(bool c, float[n] x) => (float[n] y) { a = Neg(x) y = If(c) <then_branch = t () => (float[n] o) { z = Mul(a, w) o = Add(z, w) }, else_branch = e () => (float[n] q) { r = Add(x, w) q = Identity(r) }> }",
        [{"c": scalar(c, bool), "x": FLOATS} for c in (True, False)],
        weights={"w": f32(2)},
        edit=renamed(**values),
    )
add(
    "names_in_known_branches",
    "two known branches with inner values of one name",
    "(float[n] x) => (float[n] y) { a = If(t) <then_branch = t1 () => (float[n] o1) { v = Neg(x) o1 = Exp(v) }, else_branch = e1 () => (float[n] q1) { q1 = Identity(x) }> b = If(t) <then_branch = t2 () => (float[n] o2) { v = Abs(x) o2 = Neg(v) }, else_branch = e2 () => (float[n] q2) { q2 = Identity(x) }> y = Add(a, b) }",
    lines(),
    weights={"t": scalar(True, bool)},
)
add(
    "operands_absent",
    "operands that are absent in the middle and at the end",
    "(float[n] x) => (float[n] y, float[?] z) { y = Clip(x, , h) z = Slice(x, s, e, , t) }",
    lines(),
    weights={"h": scalar(1), "s": i64(0), "e": i64(9), "t": i64(2)},
)
add(
    "outputs_absent",
    "outputs that are absent in the middle",
    "(float[3,2] x) => (int64[?] i, float[?,?] y) { y, , i = Unique<axis=0>(x) }",
    each("x", f32(1, 2, 1, 2, 0, 1, shape=(3, 2))),
)
add(
    "weights_unused",
    "weights that nothing uses, in many types",
    "(float[n] x) => (float[n] y) { y = Neg(x) }",
    lines(),
    weights={"a": f32(1), "b": np.array([1], np.int8), "c": np.array(["a"], object), "d": np.zeros((0, 3), np.float16)},
)
add(
    "optional_input",
    "an input that may be absent",
    "(optional(float[?]) x) => (bool y) { y = OptionalHasElement(x) }",
    [{"x": f32(1)}],
)
add(
    "sequence_input",
    "a sequence as input",
    "(seq(float[?]) x) => (float[?] y, seq(float[?]) z) { y = SequenceAt(x, i) z = Identity(x) }",
    [{"x": [f32(1), f32(2, 3)]}],
    weights={"i": scalar(-1, np.int64)},
)
add(
    "text_input",
    "text as input",
    "(string[n] x) => (string[n] y, bool[n] z) { y = Identity(x) z = Equal(x, x) }",
    [{"x": np.array(["a", "ü", ""], object)}],
)
add(
    "other_domain",
    "an operator of ONNX Runtime that looks like a standard one",
    "(float[n] x) => (float[n] y, float[n] z) { y = com.microsoft.Gelu(x) z = com.microsoft.Gelu(x) }",
    lines(),
    imports=', "com.microsoft": 1',
)
add(
    "metadata",
    "the metadata of a model",
    "(float[n] x) => (float[n] y) { y = Neg(x) }",
    lines(),
    edit=lambda model: onnx.helper.set_model_props(model, {"author": "x", "": "y"}),
)
