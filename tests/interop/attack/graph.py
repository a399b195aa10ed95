"""Graphs that hang together wrongly, or are larger and deeper than any honest one."""

import onnx
from onnx import AttributeProto, TensorProto, TypeProto, helper

from . import Cases, changed, encoded, field, plain, tensor, text

CASES = Cases("graph")
add = CASES.add


def edited(name, expect, note, edit, model=None, **more):
    add(name, expect, note, changed(edit, model), **more)


def node(op, operands, results, **attributes):
    return helper.make_node(op, operands, results, **attributes)


# Names and edges.
ONE = "(float[n] x) => (float[n] y) {{ {} }}"
for name, body, note in [
    ("cycle_of_two", "a = Add(x, b) b = Neg(a) y = Neg(b)", "two nodes that use one another"),
    ("operand_unknown", "y = Add(x, nowhere)", "an operand that nobody defines"),
    ("value_twice", "y = Neg(x) a = Neg(x) a = Abs(x)", "two nodes of one result"),
    ("value_twice_in_node", "a, a = Split<num_outputs=2>(x) y = Neg(x)", "a node of two results of one name"),
    ("value_is_an_input", "y = Neg(x) x = Abs(y)", "a result that is an input"),
    ("no_operand", "y = Neg()", "Neg of nothing"),
    ("operand_missing", "y = Add(x)", "Add of one operand"),
    ("operand_absent", "y = Add(x, )", "Add of one operand and an absent one"),
    ("operand_too_many", "y = Neg(x, x)", "Neg of two operands"),
    ("result_too_many", "y, z = Neg(x)", "Neg of two results"),
    ("attribute_unknown", "y = Neg<mode=1>(x)", "an attribute that Neg does not have"),
    ("attribute_missing", "y = Cast(x)", "a Cast to nothing"),
    ("attribute_wrong_word", 'p = Constant<value_ints=[0, 0]>() y = Pad<mode="sideways">(x, p)', "a mode that Pad does not have"),
    ("attribute_wrong_kind", 'y = Softmax<axis="last">(x)', "an axis that is text"),
    ("attribute_list_for_one", "y = Softmax<axis=[0]>(x)", "an axis that is a list"),
    ("attribute_one_for_list", "y = Transpose<perm=0>(x)", "a permutation that is a number"),
    ("attribute_reference", "y = Softmax<axis: int = @axis>(x)", "an attribute reference outside a function"),
    ("cast_to_nothing", "a = Cast<to=0>(x) y = Neg(x)", "a Cast to the type 0"),
    ("cast_to_99", "a = Cast<to=99>(x) y = Neg(x)", "a Cast to the type 99"),
    ("cast_to_huge", "a = Cast<to=4294967297>(x) y = Neg(x)", "a Cast to a type that is 1 if cut to 32 bits"),
    ("domain_unknown", "y = nowhere.Neg(x)", "an operator of a domain that is not imported"),
    ("subgraph_on_neg", "y = Neg<body = b () => (float[n] z) { z = Abs(x) }>(x)", "a subgraph where none belongs"),
]:
    add(name, "reject", note, ONE.format(body))
edited("order", "bounded", "a node before the one whose result it uses", lambda model: model.graph.node.reverse())
edited("value_is_a_weight", "reject", "a result that is a weight", lambda model: model.graph.node.append(node("Neg", ["x"], ["w"])))
edited("input_twice", "reject", "two inputs of one name", lambda model: model.graph.input.append(model.graph.input[0]))
edited("input_unnamed", "reject", "an input without a name", lambda model: model.graph.input.add().CopyFrom(helper.make_tensor_value_info("", 1, [1])))
edited("output_twice", "bounded", "an output that stands twice", lambda model: model.graph.output.append(model.graph.output[0]))
edited("output_unnamed", "reject", "an output without a name", lambda model: model.graph.output.add().CopyFrom(helper.make_tensor_value_info("", 1, [1])))
edited("outputs_none", "bounded", "a graph without outputs", lambda model: model.graph.ClearField("output"))
edited("operator_unnamed", "reject", "a node without an operator", lambda model: model.graph.node[0].ClearField("op_type"))
edited("results_none", "reject", "a node without results", lambda model: model.graph.node.append(node("Neg", ["x"], [])))
edited("graph_unnamed", "bounded", "a graph without a name", lambda model: model.graph.ClearField("name"))
edited("graph_missing", "reject", "a model without a graph", lambda model: model.ClearField("graph"))
edited("weight_unnamed", "reject", "a weight without a name", lambda model: model.graph.initializer[0].ClearField("name"))

# Types.
edited("input_without_type", "reject", "an input without a type", lambda model: model.graph.input[0].ClearField("type"))
for kind in (0, 99, -1):
    edited(f"input_of_type_{kind}", "reject", "an input of a type that does not exist", lambda model, kind=kind: setattr(model.graph.input[0].type.tensor_type, "elem_type", kind))
edited("input_dim_negative", "bounded", "an input of length -1", lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1))
edited("input_dim_minimum", "bounded", "an input of length -2^63", lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -(2**63)))
edited("input_dim_maximum", "bounded", "an input of length 2^63 - 1", lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2**63 - 1))
edited("input_of_rank_10000", "bounded", "an input of 10,000 dims", lambda model: model.graph.input.append(helper.make_tensor_value_info("r", 1, [1] * 10_000)))
edited("output_other_type", "reject", "an output that declares another type", lambda model: setattr(model.graph.output[0].type.tensor_type, "elem_type", 7))
edited("output_other_rank", "reject", "an output that declares another rank", lambda model: model.graph.output[0].type.tensor_type.shape.dim.add())
edited("inner_other_type", "reject", "a value that declares another type", lambda model: model.graph.value_info.append(helper.make_tensor_value_info("a", 7, ["n"])))
edited("inner_other_rank", "reject", "a value that declares another rank", lambda model: model.graph.value_info.append(helper.make_tensor_value_info("a", 1, ["n", 2])))
edited("inner_twice", "bounded", "a value that is declared twice", lambda model: model.graph.value_info.extend([helper.make_tensor_value_info("a", 1, ["n"])] * 2))
edited("inner_of_nobody", "bounded", "a declaration of a value that does not exist", lambda model: model.graph.value_info.append(helper.make_tensor_value_info("ghost", 1, ["n"])))
edited("input_is_opaque", "bounded", "an input of an opaque type", lambda model: model.graph.input.add(name="o").type.opaque_type.SetInParent())
edited("input_is_a_map", "bounded", "an input that is a map", lambda model: model.graph.input.add(name="o", type=TypeProto(map_type=TypeProto.Map(key_type=7, value_type=helper.make_tensor_type_proto(1, [])))))
edited("input_sequence_of_nothing", "reject", "an input that is a sequence of no type", lambda model: model.graph.input.add(name="o", type=TypeProto(sequence_type=TypeProto.Sequence())))

# Attributes.
SOFTMAX = "(float[n] x) => (float[n] y) { y = Softmax<axis=-1>(x) }"
edited("attribute_twice", "reject", "an attribute given twice", lambda model: model.graph.node[0].attribute.append(helper.make_attribute("axis", 0)), text(SOFTMAX))
edited("attribute_unnamed", "reject", "an attribute without a name", lambda model: model.graph.node[0].attribute[0].ClearField("name"), text(SOFTMAX))
edited("attribute_without_type", "bounded", "an attribute that does not say its type", lambda model: model.graph.node[0].attribute[0].ClearField("type"), text(SOFTMAX))
edited("attribute_lies", "reject", "an attribute that says it is a float and holds an int", lambda model: setattr(model.graph.node[0].attribute[0], "type", AttributeProto.FLOAT), text(SOFTMAX))
edited("attribute_of_two_kinds", "reject", "an attribute that holds an int and a float", lambda model: setattr(model.graph.node[0].attribute[0], "f", 1.0), text(SOFTMAX))
edited("attributes_100000", "reject", "100,000 attributes", lambda model: model.graph.node[0].attribute.extend([helper.make_attribute(f"a{i}", i) for i in range(100_000)]))
edited("attribute_of_2_million", "bounded", "an attribute of 2,000,000 numbers", lambda model: model.graph.node.append(node("Constant", [], ["big"], value_ints=[7] * 2_000_000)))
edited("perm_of_2_million", "reject", "a permutation of 2,000,000 numbers", lambda model: model.graph.node.append(node("Transpose", ["x"], ["big"], perm=[0] * 2_000_000)))
edited("constant_of_two_values", "reject", "a Constant of two values", lambda model: model.graph.node.append(node("Constant", [], ["k"], value_int=1, value_float=1.0)))
edited("constant_of_none", "reject", "a Constant of no value", lambda model: model.graph.node.append(node("Constant", [], ["k"])))

# Versions.
for version in [29, 33, 40]:
    edited(f"opset_{version}", "accept", "an opset that is newer than we know", lambda model, version=version: setattr(model.opset_import[0], "version", version), runs=False, says="warning")
for version in [41, 100, 2**31, 2**63 - 1, 0, -1, 6, 1]:
    edited(f"opset_{version}", "reject", "an opset that is not read", lambda model, version=version: setattr(model.opset_import[0], "version", version))
for version in [-1, 0, 2**62]:
    edited(f"ir_{version}", "reject", "a version of the format that does not exist", lambda model, version=version: setattr(model, "ir_version", version))
edited("ir_missing", "reject", "no version of the format", lambda model: model.ClearField("ir_version"))
edited("opset_twice", "reject", "two versions of one domain", lambda model: model.opset_import.append(helper.make_opsetid("", 20)))
edited("opset_twice_alike", "bounded", "one domain twice, of one version", lambda model: model.opset_import.append(helper.make_opsetid("", 21)))
edited("opset_two_names", "bounded", "the standard domain by both its names", lambda model: model.opset_import.append(helper.make_opsetid("ai.onnx", 20)))
edited("opset_100000", "bounded", "100,000 domains", lambda model: model.opset_import.extend([helper.make_opsetid(f"d{i}", 1) for i in range(100_000)]))

# Sizes.
LONG = "n" * (1 << 20)


def chain(count, op="Neg"):
    graph = plain()
    del graph.graph.node[:]
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    graph.graph.node.extend(node(op, [a], [b]) for a, b in zip(names, names[1:]))
    return graph


def lazily(make):
    """Writes a model that is made only when it is wanted."""
    return lambda folder: (folder / "model.onnx").write_bytes(encoded(make()))


add("chain", "accept", "a chain of 50,000 nodes", lazily(lambda: chain(50_000)), runs=False)
add("chain_of_identities", "accept", "a chain of 50,000 nodes that do nothing", lazily(lambda: chain(50_000, "Identity")), runs=False)
add("operands_200000", "accept", "a Sum of 200,000 operands", lazily(lambda: changed(lambda model: (model.graph.node.pop(), model.graph.node.append(node("Sum", ["x"] * 200_000, ["y"]))))), runs=False)
add("concat_200000", "accept", "a Concat of 200,000 operands", lazily(lambda: changed(lambda model: model.graph.node.append(node("Concat", ["x"] * 200_000, ["z"], axis=0)))), runs=False)
add("results_100000", "accept", "a Split of 100,000 results", lazily(lambda: changed(lambda model: model.graph.node.append(node("Split", ["x"], [f"s{i}" for i in range(100_000)], num_outputs=100_000)))), runs=False)
add("outputs_20000", "accept", "20,000 outputs", lazily(lambda: changed(lambda model: [(model.graph.node.append(node("Neg", ["x"], [f"o{i}"])), model.graph.output.append(helper.make_tensor_value_info(f"o{i}", 1, ["n"]))) for i in range(20_000)])), runs=False)
add("weights_50000", "accept", "50,000 weights", lazily(lambda: changed(lambda model: model.graph.initializer.extend(TensorProto(name=f"k{i}", data_type=1, dims=[1], raw_data=b"\0\0\0\0") for i in range(50_000)))), runs=False)
add("names_long", "accept", "a value of a name of 1 MB", changed(lambda model: (model.graph.node[0].output.__setitem__(0, LONG), model.graph.node[1].input.__setitem__(0, LONG))))
add("node_name_long", "accept", "a node of a name of 1 MB", changed(lambda model: setattr(model.graph.node[0], "name", LONG)))
add("doc_long", "accept", "a doc string of 1 MB", changed(lambda model: setattr(model, "doc_string", LONG)))
add("symbol_long", "accept", "a symbol of 1 MB", changed(lambda model: [setattr(value.type.tensor_type.shape.dim[0], "dim_param", LONG) for value in (model.graph.input[0], model.graph.output[0])]))
add("operator_long", "reject", "an unknown operator of a name of 1 MB", changed(lambda model: setattr(model.graph.node[0], "op_type", LONG)))
add("operand_long", "reject", "an unknown operand of a name of 1 MB", changed(lambda model: model.graph.node[0].input.__setitem__(0, LONG)))
add("operator_of_lines", "reject", "an unknown operator whose name forges a message", changed(lambda model: setattr(model.graph.node[0], "op_type", "Neg\nerror: all is well\x1b[2J")))
add("names_of_lines", "reject", "an unknown operand whose name forges a message", changed(lambda model: model.graph.node[0].input.__setitem__(0, "a\r\nerror: all is well\x1b]0;t\x07\u202e")))
add("names_of_controls", "accept", "a value whose name drives terminals", changed(lambda model: (model.graph.node[0].output.__setitem__(0, "\x1b[2J\x07\n"), model.graph.node[1].input.__setitem__(0, "\x1b[2J\x07\n"))))
add("metadata_50000", "accept", "50,000 entries of metadata", lazily(lambda: changed(lambda model: helper.set_model_props(model, {f"k{i}": "v" for i in range(50_000)}))))
add("symbol_sum_long", "bounded", "a symbol that is a sum of 10,000 terms", changed(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "+".join(f"s{i}" for i in range(10_000)))))
add("symbol_deep", "bounded", "a symbol that is 100,000 parentheses", changed(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "(" * 100_000 + "n" + ")" * 100_000)))
add("symbol_division", "bounded", "a symbol that divides by zero", changed(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "n/0 + 99999999999999999999*n - floor(n/(m-m))")))

# Subgraphs.
IF = "(bool c, float[n] x) => (float[n] y) {{ y = If(c) <{}> }}"
GOOD_BRANCH = "else_branch = e () => (float[n] q) { q = Neg(x) }"
for name, body, note in [
    ("output_unknown", "then_branch = t () => (float[n] o) { p = Neg(x) }, " + GOOD_BRANCH, "a branch whose output nobody defines"),
    ("outputs_too_many", "then_branch = t () => (float[n] o, float[n] p) { o = Neg(x) p = Neg(x) }, " + GOOD_BRANCH, "a branch of two outputs for one"),
    ("outputs_none", "then_branch = t () => () { o = Neg(x) }, " + GOOD_BRANCH, "a branch of no outputs for one"),
    ("branch_missing", GOOD_BRANCH, "an If of one branch"),
    ("branch_with_input", "then_branch = t (float[n] i) => (float[n] o) { o = Neg(i) }, " + GOOD_BRANCH, "a branch that wants an input"),
    ("captures_itself", "then_branch = t () => (float[n] o) { o = Neg(y) }, " + GOOD_BRANCH, "a branch that uses the result of its If"),
    ("captures_unknown", "then_branch = t () => (float[n] o) { o = Neg(nowhere) }, " + GOOD_BRANCH, "a branch that uses what nobody defines"),
    ("captures_from_other", "then_branch = t () => (float[n] o) { o = Neg(q) }, " + GOOD_BRANCH, "a branch that uses a value of the other"),
    ("cycle", "then_branch = t () => (float[n] o) { a = Neg(b) b = Neg(a) o = Neg(b) }, " + GOOD_BRANCH, "a cycle in a branch"),
    ("operator_unknown", "then_branch = t () => (float[n] o) { o = Nonesuch(x) }, " + GOOD_BRANCH, "an unknown operator in a branch"),
    ("name_of_input", "then_branch = t () => (float[n] o) { x = Neg(c) o = Neg(x) }, " + GOOD_BRANCH, "a value of a branch of the name of an input"),
    ("types_differ", "then_branch = t () => (int64[n] o) { o = Cast<to=7>(x) }, " + GOOD_BRANCH, "branches of two types"),
]:
    add(f"if_{name}", "reject", note, IF.format(body))
add("if_captures_later", "reject", "a branch that uses a value made after it", "(bool c, float[n] x) => (float[n] y) { y = If(c) <then_branch = t () => (float[n] o) { o = Neg(z) }, " + GOOD_BRANCH + "> z = Neg(y) }")
add("if_name_of_value", "reject", "a value of a branch of the name of an outer one", "(bool c, float[n] x) => (float[n] y) { z = Neg(x) w = If(c) <then_branch = t () => (float[n] o) { z = Abs(x) o = Neg(z) }, " + GOOD_BRANCH + "> y = Add(z, w) }")
LOOP = "(float[n] x) => (float[n] y) {{ y = Loop(m, , x) <body = b ({}) => ({}) {{ {} }}> }}"
M = {"m": 3}
add("loop_inputs_missing", "reject", "a body without the carried value", text(LOOP.format("int64 i, bool c", "bool k, float[n] o", "k = Identity(c) o = Neg(x)"), M))
add("loop_outputs_missing", "reject", "a body without a result", text(LOOP.format("int64 i, bool c, float[n] a", "bool k", "k = Identity(c)"), M))
add("loop_condition_of_float", "reject", "a body whose condition is a float", text(LOOP.format("int64 i, bool c, float[n] a", "float[n] k, float[n] o", "k = Neg(a) o = Neg(a)"), M))
add("scan_inputs_negative", "reject", "a Scan of -1 scanned inputs", "(float[n,2] x) => (float[n,2] y) { y = Scan(x) <num_scan_inputs=-1, body = b (float[2] e) => (float[2] p) { p = Neg(e) }> }")
add("scan_inputs_many", "reject", "a Scan of 2^62 scanned inputs", "(float[n,2] x) => (float[n,2] y) { y = Scan(x) <num_scan_inputs=4611686018427387904, body = b (float[2] e) => (float[2] p) { p = Neg(e) }> }")


def nested(depth, op="If"):
    """Subgraphs in one another, written from the inside out: no recursion, and no model in memory."""
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
    graph += field(11, field(1, b"x") + field(2, kind)) + field(11, field(1, b"c") + field(2, boolean)) + field(12, field(1, b"y") + field(2, kind))
    return field(1, 10) + field(7, graph) + field(8, field(2, 21))


add("if_20_deep", "accept", "20 Ifs in one another", nested(20))
for depth in (50, 1000, 10_000):
    add(f"if_{depth}_deep", "reject", f"{depth} Ifs in one another", lazily(lambda depth=depth: nested(depth)))
add("ifs_10000", "accept", "10,000 Ifs side by side", lazily(lambda: changed(lambda model: [model.graph.node.append(node("If", ["c"], [f"i{i}"], then_branch=branch(f"t{i}"), else_branch=branch(f"e{i}"))) for i in range(10_000)], text("(bool c, float[n] x) => (float[n] y) { y = Neg(x) }"))), runs=False)


def branch(name):
    return helper.make_graph([node("Neg", ["x"], [name])], "b", [], [helper.make_tensor_value_info(name, 1, ["n"])])


# Functions.
CALL = "(float[n] x) => (float[n] y) { y = d.f0(x) }"


def function(name, body, head='<opset_import: ["": 21, "d": 1], domain: "d">', signature="(x) => (y)"):
    return f" {head} {name} {signature} {{ {body} }}"


def calling(*functions):
    return text(CALL, imports=', "d": 1', functions="".join(functions))


add("function_of_itself", "reject", "a function that calls itself", calling(function("f0", "y = d.f0(x)")))
add("function_of_itself_unused", "reject", "a function that nobody calls and that calls itself", calling(function("f0", "y = Neg(x)"), function("f1", "y = d.f1(x)")))
add("function_of_another", "reject", "two functions that call one another", calling(function("f0", "y = d.f1(x)"), function("f1", "y = d.f0(x)")))
add("function_twice", "reject", "two functions of one name", calling(function("f0", "y = Neg(x)"), function("f0", "y = Abs(x)")))
add("function_operands_too_many", "reject", "a call of more operands than the function has", changed(lambda model: model.graph.node[0].input.extend(["x", "x"]), calling(function("f0", "y = Neg(x)"))))
add("function_results_too_many", "reject", "a call of more results than the function has", changed(lambda model: model.graph.node[0].output.append("z"), calling(function("f0", "y = Neg(x)"))))
add("function_result_unknown", "reject", "a function whose result nobody defines", calling(function("f0", "z = Neg(x)")))
add("function_operand_unknown", "reject", "a function that uses a value of the graph", calling(function("f0", "y = Neg(outer)")))
add("function_operand_twice", "reject", "a function of two operands of one name", calling(function("f0", "y = Neg(x)", signature="(x, x) => (y)")))
add("function_attribute_unknown", "reject", "a reference to an attribute that the function does not have", calling(function("f0", "y = Softmax<axis: int = @a>(x)")))
add("function_domain_unknown", "reject", "a function that uses a domain it does not import", calling(function("f0", "y = Neg(x)", '<opset_import: ["d": 1], domain: "d">')))
add("function_operator_unknown", "reject", "a function of an operator that does not exist", calling(function("f0", "y = Nonesuch(x)")))
add("function_unnamed", "reject", "a function without a name", changed(lambda model: model.functions[0].ClearField("name"), calling(function("f0", "y = Neg(x)"))))
add("function_of_standard_name", "bounded", "a function that takes the name of a standard operator", changed(lambda model: setattr(model.functions[0], "domain", ""), text("(float[n] x) => (float[n] y) { y = Neg(x) }", imports=', "d": 1', functions=function("Neg", "y = Abs(x)"))))
add("function_expands", "bounded", "40 functions of which each calls the next twice", calling(*(function(f"f{i}", f"a = d.f{i + 1}(x) y = d.f{i + 1}(a)") for i in range(40)), function("f40", "y = Neg(x)")))
add("function_calls_deep", "bounded", "5,000 functions of which each calls the next", lazily(lambda: calling(*(function(f"f{i}", f"y = d.f{i + 1}(x)") for i in range(5000)), function("f5000", "y = Neg(x)"))))
add("functions_10000", "bounded", "10,000 functions", lazily(lambda: calling(*(function(f"f{i}", "y = Neg(x)") for i in range(10_000)))))
add("function_chain_short", "accept", "5 functions of which each calls the next", calling(*(function(f"f{i}", f"y = d.f{i + 1}(x)") for i in range(5)), function("f5", "y = Neg(x)")))


def training(model):
    model.training_info.add().algorithm.CopyFrom(onnx.helper.make_graph([], "t", [], []))


edited("training_info", "bounded", "training info", training)
edited("training_info_weight", "reject", "a weight of training info that is short", lambda model: model.training_info.add().initialization.initializer.append(tensor(dims=[1 << 40])))
