"""Nested graphs and functions: their scopes, their results, their depth."""

from onnx import helper

from . import Cases, changed, encoded, field, lazily, node, text

CASES = Cases("nested")
add = CASES.add

# Subgraphs.
IF = "(bool c, float[n] x) => (float[n] y) {{ y = If(c) <{}> }}"
GOOD_BRANCH = "else_branch = e () => (float[n] q) { q = Neg(x) }"
for name, body, note in [
    (
        "output_unknown",
        "then_branch = t () => (float[n] o) { p = Neg(x) }, " + GOOD_BRANCH,
        "a branch whose output nobody defines",
    ),
    (
        "outputs_too_many",
        "then_branch = t () => (float[n] o, float[n] p) { o = Neg(x) p = Neg(x) }, " + GOOD_BRANCH,
        "a branch of two outputs for one",
    ),
    ("outputs_none", "then_branch = t () => () { o = Neg(x) }, " + GOOD_BRANCH, "a branch of no outputs for one"),
    ("branch_missing", GOOD_BRANCH, "an If of one branch"),
    (
        "branch_with_input",
        "then_branch = t (float[n] i) => (float[n] o) { o = Neg(i) }, " + GOOD_BRANCH,
        "a branch that requires an input",
    ),
    (
        "captures_itself",
        "then_branch = t () => (float[n] o) { o = Neg(y) }, " + GOOD_BRANCH,
        "a branch that uses the result of its If",
    ),
    (
        "captures_unknown",
        "then_branch = t () => (float[n] o) { o = Neg(nowhere) }, " + GOOD_BRANCH,
        "a branch that uses what nobody defines",
    ),
    (
        "captures_from_other",
        "then_branch = t () => (float[n] o) { o = Neg(q) }, " + GOOD_BRANCH,
        "a branch that uses a value of the other",
    ),
    (
        "cycle",
        "then_branch = t () => (float[n] o) { a = Neg(b) b = Neg(a) o = Neg(b) }, " + GOOD_BRANCH,
        "a cycle in a branch",
    ),
    (
        "operator_unknown",
        "then_branch = t () => (float[n] o) { o = Nonesuch(x) }, " + GOOD_BRANCH,
        "an unknown operator in a branch",
    ),
    (
        "name_of_input",
        "then_branch = t () => (float[n] o) { x = Neg(c) o = Neg(x) }, " + GOOD_BRANCH,
        "a value of a branch of the name of an input",
    ),
    (
        "types_differ",
        "then_branch = t () => (int64[n] o) { o = Cast<to=7>(x) }, " + GOOD_BRANCH,
        "branches of two types",
    ),
]:
    add(f"if_{name}", "reject", note, IF.format(body))
add(
    "if_captures_later",
    "reject",
    "a branch that uses a value computed after it",
    "(bool c, float[n] x) => (float[n] y) { y = If(c) <then_branch = t () => (float[n] o) { o = Neg(z) }, "
    + GOOD_BRANCH
    + "> z = Neg(y) }",
)
add(
    "if_name_of_value",
    "reject",
    "a value of a branch with the name of an outer one",
    "(bool c, float[n] x) => (float[n] y) { z = Neg(x) w = If(c) <then_branch = t () => (float[n] o) { z = Abs(x) o = Neg(z) }, "
    + GOOD_BRANCH
    + "> y = Add(z, w) }",
)
LOOP = "(float[n] x) => (float[n] y) {{ y = Loop(m, , x) <body = b ({}) => ({}) {{ {} }}> }}"
M = {"m": 3}
add(
    "loop_inputs_missing",
    "reject",
    "a body without the carried value",
    text(LOOP.format("int64 i, bool c", "bool k, float[n] o", "k = Identity(c) o = Neg(x)"), M),
)
add(
    "loop_outputs_missing",
    "reject",
    "a body without a result",
    text(LOOP.format("int64 i, bool c, float[n] a", "bool k", "k = Identity(c)"), M),
)
add(
    "loop_condition_of_float",
    "reject",
    "a body whose condition is a float",
    text(LOOP.format("int64 i, bool c, float[n] a", "float[n] k, float[n] o", "k = Neg(a) o = Neg(a)"), M),
)
add(
    "scan_inputs_negative",
    "reject",
    "a Scan of -1 scanned inputs",
    "(float[n,2] x) => (float[n,2] y) { y = Scan(x) <num_scan_inputs=-1, body = b (float[2] e) => (float[2] p) { p = Neg(e) }> }",
)
add(
    "scan_inputs_many",
    "reject",
    "a Scan of 2^62 scanned inputs",
    "(float[n,2] x) => (float[n,2] y) { y = Scan(x) <num_scan_inputs=4611686018427387904, body = b (float[2] e) => (float[2] p) { p = Neg(e) }> }",
)


def nested(depth, op="If"):
    """Writes nested subgraphs from the inside out, without recursion and without a model in memory."""
    node_ = field(1, b"x") + field(2, b"v0") + field(4, b"Neg")
    kind = encoded(helper.make_tensor_type_proto(1, ["n"]))
    for level in range(depth):
        branches = b""
        for side in (b"then_branch", b"else_branch"):
            name = b"v%d" % level if side == b"then_branch" else b"e%d" % level
            inner = node_ if side == b"then_branch" else field(1, b"x") + field(2, name) + field(4, b"Abs")
            graph = field(1, inner) + field(2, b"g") + field(12, field(1, name) + field(2, kind))
            branches += field(5, field(1, side) + field(20, 5) + field(6, graph))
        node_ = field(1, b"c") + field(2, b"v%d" % (level + 1)) + field(4, b"If") + branches
    last = b"v%d" % depth
    boolean = encoded(helper.make_tensor_type_proto(9, []))
    graph = field(1, node_) + field(1, field(1, last) + field(2, b"y") + field(4, b"Neg")) + field(2, b"g")
    graph += (
        field(11, field(1, b"x") + field(2, kind))
        + field(11, field(1, b"c") + field(2, boolean))
        + field(12, field(1, b"y") + field(2, kind))
    )
    return field(1, 10) + field(7, graph) + field(8, field(2, 21))


add("if_20_deep", "accept", "20 nested Ifs", nested(20))
for depth in (50, 1000, 10_000):
    add(f"if_{depth}_deep", "reject", f"{depth} Ifs in one another", lazily(lambda depth=depth: nested(depth)))
add(
    "ifs_10000",
    "accept",
    "10,000 Ifs side by side",
    lazily(
        lambda: changed(
            lambda model: [
                model.graph.node.append(
                    node("If", ["c"], [f"i{i}"], then_branch=branch(f"t{i}"), else_branch=branch(f"e{i}"))
                )
                for i in range(10_000)
            ],
            text("(bool c, float[n] x) => (float[n] y) { y = Neg(x) }"),
        )
    ),
    runs=False,
)


def branch(name):
    return helper.make_graph([node("Neg", ["x"], [name])], "b", [], [helper.make_tensor_value_info(name, 1, ["n"])])


# Functions.
CALL = "(float[n] x) => (float[n] y) { y = d.f0(x) }"


def function(name, body, head='<opset_import: ["": 21, "d": 1], domain: "d">', signature="(x) => (y)"):
    return f" {head} {name} {signature} {{ {body} }}"


def calling(*functions):
    return text(CALL, imports=', "d": 1', functions="".join(functions))


add("function_of_itself", "reject", "a function that calls itself", calling(function("f0", "y = d.f0(x)")))
add(
    "function_of_itself_unused",
    "reject",
    "an unused function that calls itself",
    calling(function("f0", "y = Neg(x)"), function("f1", "y = d.f1(x)")),
)
add(
    "function_of_another",
    "reject",
    "two functions that call one another",
    calling(function("f0", "y = d.f1(x)"), function("f1", "y = d.f0(x)")),
)
add(
    "function_twice",
    "reject",
    "two functions of one name",
    calling(function("f0", "y = Neg(x)"), function("f0", "y = Abs(x)")),
)
add(
    "function_operands_too_many",
    "reject",
    "a call of more operands than the function has",
    changed(lambda model: model.graph.node[0].input.extend(["x", "x"]), calling(function("f0", "y = Neg(x)"))),
)
add(
    "function_results_too_many",
    "reject",
    "a call of more results than the function has",
    changed(lambda model: model.graph.node[0].output.append("z"), calling(function("f0", "y = Neg(x)"))),
)
add(
    "function_result_unknown", "reject", "a function whose result nobody defines", calling(function("f0", "z = Neg(x)"))
)
add(
    "function_operand_unknown",
    "reject",
    "a function that uses a value of the graph",
    calling(function("f0", "y = Neg(outer)")),
)
add(
    "function_operand_twice",
    "reject",
    "a function of two operands of one name",
    calling(function("f0", "y = Neg(x)", signature="(x, x) => (y)")),
)
add(
    "function_attribute_unknown",
    "bounded",
    "a reference to an attribute that the function does not have",
    calling(function("f0", "y = Softmax<axis: int = @a>(x)")),
)
add(
    "function_domain_unknown",
    "reject",
    "a function that uses a domain it does not import",
    calling(function("f0", "y = Neg(x)", '<opset_import: ["d": 1], domain: "d">')),
)
add(
    "function_operator_unknown",
    "reject",
    "a function of an operator that does not exist",
    calling(function("f0", "y = Nonesuch(x)")),
)
add(
    "function_unnamed",
    "reject",
    "a function without a name",
    changed(lambda model: model.functions[0].ClearField("name"), calling(function("f0", "y = Neg(x)"))),
)
add(
    "function_of_standard_name",
    "bounded",
    "a function that takes the name of a standard operator",
    changed(
        lambda model: setattr(model.functions[0], "domain", ""),
        text(
            "(float[n] x) => (float[n] y) { y = Neg(x) }", imports=', "d": 1', functions=function("Neg", "y = Abs(x)")
        ),
    ),
)
add(
    "function_expands",
    "reject",
    "40 functions of which each calls the next twice",
    calling(
        *(function(f"f{i}", f"a = d.f{i + 1}(x) y = d.f{i + 1}(a)") for i in range(40)), function("f40", "y = Neg(x)")
    ),
)
add(
    "function_calls_deep",
    "bounded",
    "5,000 functions of which each calls the next",
    lazily(
        lambda: calling(
            *(function(f"f{i}", f"y = d.f{i + 1}(x)") for i in range(5000)), function("f5000", "y = Neg(x)")
        )
    ),
)
add(
    "functions_10000",
    "bounded",
    "10,000 functions",
    lazily(lambda: calling(*(function(f"f{i}", "y = Neg(x)") for i in range(10_000)))),
)
add(
    "function_chain_short",
    "accept",
    "5 functions of which each calls the next",
    calling(*(function(f"f{i}", f"y = d.f{i + 1}(x)") for i in range(5)), function("f5", "y = Neg(x)")),
)
