"""Graphs with invalid edges, or larger and deeper than any real one."""

import onnx
from onnx import AttributeProto, TensorProto, TypeProto, helper

from . import Cases, changed, lazily, node, plain, tensor, text

CASES = Cases("graph")
add = CASES.add


def edited(name, expect, note, edit, model=None, **more):
    add(name, expect, note, changed(edit, model), **more)


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
    (
        "attribute_wrong_word",
        'p = Constant<value_ints=[0, 0]>() y = Pad<mode="sideways">(x, p)',
        "a mode that Pad does not have",
    ),
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
edited(
    "value_is_a_weight",
    "reject",
    "a result that is a weight",
    lambda model: model.graph.node.append(node("Neg", ["x"], ["w"])),
)
edited("input_twice", "reject", "two inputs with the same name", lambda model: model.graph.input.append(model.graph.input[0]))
edited(
    "input_unnamed",
    "reject",
    "an input without a name",
    lambda model: model.graph.input.add().CopyFrom(helper.make_tensor_value_info("", 1, [1])),
)
edited(
    "output_twice",
    "bounded",
    "an output that is listed twice",
    lambda model: model.graph.output.append(model.graph.output[0]),
)
edited(
    "output_unnamed",
    "reject",
    "an output without a name",
    lambda model: model.graph.output.add().CopyFrom(helper.make_tensor_value_info("", 1, [1])),
)
edited("outputs_none", "bounded", "a graph without outputs", lambda model: model.graph.ClearField("output"))
edited(
    "operator_unnamed", "reject", "a node without an operator", lambda model: model.graph.node[0].ClearField("op_type")
)
edited(
    "results_none", "reject", "a node without results", lambda model: model.graph.node.append(node("Neg", ["x"], []))
)
edited("graph_unnamed", "bounded", "a graph without a name", lambda model: model.graph.ClearField("name"))
edited("graph_missing", "reject", "a model without a graph", lambda model: model.ClearField("graph"))
edited(
    "weight_unnamed", "reject", "a weight without a name", lambda model: model.graph.initializer[0].ClearField("name")
)

# Types.
edited("input_without_type", "reject", "an input without a type", lambda model: model.graph.input[0].ClearField("type"))
for kind in (0, 99, -1):
    edited(
        f"input_of_type_{kind}",
        "reject",
        "an input of a type that does not exist",
        lambda model, kind=kind: setattr(model.graph.input[0].type.tensor_type, "elem_type", kind),
    )
edited(
    "input_dim_negative",
    "bounded",
    "an input of length -1",
    lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1),
)
edited(
    "input_dim_minimum",
    "bounded",
    "an input of length -2^63",
    lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -(2**63)),
)
edited(
    "input_dim_maximum",
    "bounded",
    "an input of length 2^63 - 1",
    lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2**63 - 1),
)
edited(
    "input_of_rank_10000",
    "bounded",
    "an input of 10,000 dims",
    lambda model: model.graph.input.append(helper.make_tensor_value_info("r", 1, [1] * 10_000)),
)
edited(
    "output_other_type",
    "reject",
    "an output with a wrong declared type",
    lambda model: setattr(model.graph.output[0].type.tensor_type, "elem_type", 7),
)
edited(
    "output_other_rank",
    "reject",
    "an output with a wrong declared rank",
    lambda model: model.graph.output[0].type.tensor_type.shape.dim.add(),
)
edited(
    "inner_other_type",
    "reject",
    "a value with a wrong declared type",
    lambda model: model.graph.value_info.append(helper.make_tensor_value_info("a", 7, ["n"])),
)
edited(
    "inner_other_rank",
    "accept",
    "a value with a wrong declared rank, which is a warning in runtimes",
    lambda model: model.graph.value_info.append(helper.make_tensor_value_info("a", 1, ["n", 2])),
)
edited(
    "inner_twice",
    "bounded",
    "a value that is declared twice",
    lambda model: model.graph.value_info.extend([helper.make_tensor_value_info("a", 1, ["n"])] * 2),
)
edited(
    "inner_of_nobody",
    "bounded",
    "a declaration of a value that does not exist",
    lambda model: model.graph.value_info.append(helper.make_tensor_value_info("ghost", 1, ["n"])),
)
edited(
    "input_is_opaque",
    "bounded",
    "an input of an opaque type",
    lambda model: model.graph.input.add(name="o").type.opaque_type.SetInParent(),
)
edited(
    "input_is_a_map",
    "bounded",
    "an input that is a map",
    lambda model: model.graph.input.add(
        name="o", type=TypeProto(map_type=TypeProto.Map(key_type=7, value_type=helper.make_tensor_type_proto(1, [])))
    ),
)
edited(
    "input_sequence_of_nothing",
    "reject",
    "an input that is a sequence without an element type",
    lambda model: model.graph.input.add(name="o", type=TypeProto(sequence_type=TypeProto.Sequence())),
)

# Attributes.
SOFTMAX = "(float[n] x) => (float[n] y) { y = Softmax<axis=-1>(x) }"
edited(
    "attribute_twice",
    "reject",
    "an attribute given twice",
    lambda model: model.graph.node[0].attribute.append(helper.make_attribute("axis", 0)),
    text(SOFTMAX),
)
edited(
    "attribute_unnamed",
    "reject",
    "an attribute without a name",
    lambda model: model.graph.node[0].attribute[0].ClearField("name"),
    text(SOFTMAX),
)
edited(
    "attribute_without_type",
    "bounded",
    "an attribute without a type",
    lambda model: model.graph.node[0].attribute[0].ClearField("type"),
    text(SOFTMAX),
)
edited(
    "attribute_lies",
    "reject",
    "an attribute that is declared as a float and has an int",
    lambda model: setattr(model.graph.node[0].attribute[0], "type", AttributeProto.FLOAT),
    text(SOFTMAX),
)
edited(
    "attribute_of_two_kinds",
    "reject",
    "an attribute with an int and a float",
    lambda model: setattr(model.graph.node[0].attribute[0], "f", 1.0),
    text(SOFTMAX),
)
edited(
    "attributes_100000",
    "reject",
    "100,000 attributes",
    lambda model: model.graph.node[0].attribute.extend([helper.make_attribute(f"a{i}", i) for i in range(100_000)]),
)
edited(
    "attribute_of_2_million",
    "bounded",
    "an attribute of 2,000,000 numbers",
    lambda model: model.graph.node.append(node("Constant", [], ["big"], value_ints=[7] * 2_000_000)),
)
edited(
    "perm_of_2_million",
    "reject",
    "a permutation of 2,000,000 numbers",
    lambda model: model.graph.node.append(node("Transpose", ["x"], ["big"], perm=[0] * 2_000_000)),
)
edited(
    "constant_of_two_values",
    "reject",
    "a Constant with two values",
    lambda model: model.graph.node.append(node("Constant", [], ["k"], value_int=1, value_float=1.0)),
)
edited(
    "constant_of_none",
    "reject",
    "a Constant without a value",
    lambda model: model.graph.node.append(node("Constant", [], ["k"])),
)

# Versions.
for version in [29, 33, 40]:
    edited(
        f"opset_{version}",
        "accept",
        "an opset that is newer than we know",
        lambda model, version=version: setattr(model.opset_import[0], "version", version),
        runs=False,
        says="warning",
    )
for version in [41, 100, 2**31, 2**63 - 1, 0, -1, 6, 1]:
    edited(
        f"opset_{version}",
        "reject",
        "an opset that is not read",
        lambda model, version=version: setattr(model.opset_import[0], "version", version),
    )
for version in [-1, 0, 2**62]:
    edited(
        f"ir_{version}",
        "reject",
        "a version of the format that does not exist",
        lambda model, version=version: setattr(model, "ir_version", version),
    )
edited("ir_missing", "reject", "no IR version", lambda model: model.ClearField("ir_version"))
edited(
    "opset_twice",
    "reject",
    "two versions of the same domain",
    lambda model: model.opset_import.append(helper.make_opsetid("", 20)),
)
edited(
    "opset_twice_alike",
    "bounded",
    "the same domain and version twice",
    lambda model: model.opset_import.append(helper.make_opsetid("", 21)),
)
edited(
    "opset_two_names",
    "bounded",
    "the default domain under both its names",
    lambda model: model.opset_import.append(helper.make_opsetid("ai.onnx", 20)),
)
edited(
    "opset_100000",
    "bounded",
    "100,000 domains",
    lambda model: model.opset_import.extend([helper.make_opsetid(f"d{i}", 1) for i in range(100_000)]),
)

# Sizes.
LONG = "n" * (1 << 20)


def chain(count, op="Neg"):
    graph = plain()
    del graph.graph.node[:]
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    graph.graph.node.extend(node(op, [a], [b]) for a, b in zip(names, names[1:], strict=False))
    return graph


add("chain", "accept", "a chain of 50,000 nodes", lazily(lambda: chain(50_000)), runs=False)
add(
    "chain_of_identities",
    "accept",
    "a chain of 50,000 Identity nodes",
    lazily(lambda: chain(50_000, "Identity")),
    runs=False,
)
add(
    "operands_200000",
    "accept",
    "a Sum of 200,000 operands",
    lazily(
        lambda: changed(
            lambda model: (model.graph.node.pop(), model.graph.node.append(node("Sum", ["x"] * 200_000, ["y"])))
        )
    ),
    runs=False,
)
add(
    "concat_200000",
    "accept",
    "a Concat of 200,000 operands",
    lazily(lambda: changed(lambda model: model.graph.node.append(node("Concat", ["x"] * 200_000, ["z"], axis=0)))),
    runs=False,
)
add(
    "results_100000",
    "accept",
    "a Split of 100,000 results",
    lazily(
        lambda: changed(
            lambda model: model.graph.node.append(
                node("Split", ["x"], [f"s{i}" for i in range(100_000)], num_outputs=100_000)
            )
        )
    ),
    runs=False,
)
add(
    "outputs_20000",
    "accept",
    "20,000 outputs",
    lazily(
        lambda: changed(
            lambda model: [
                (
                    model.graph.node.append(node("Neg", ["x"], [f"o{i}"])),
                    model.graph.output.append(helper.make_tensor_value_info(f"o{i}", 1, ["n"])),
                )
                for i in range(20_000)
            ]
        )
    ),
    runs=False,
)
add(
    "weights_50000",
    "accept",
    "50,000 weights",
    lazily(
        lambda: changed(
            lambda model: model.graph.initializer.extend(
                TensorProto(name=f"k{i}", data_type=1, dims=[1], raw_data=b"\0\0\0\0") for i in range(50_000)
            )
        )
    ),
    runs=False,
)
add(
    "names_long",
    "accept",
    "a value with a name of 1 MB",
    changed(
        lambda model: (model.graph.node[0].output.__setitem__(0, LONG), model.graph.node[1].input.__setitem__(0, LONG))
    ),
)
add(
    "node_name_long",
    "accept",
    "a node with a name of 1 MB",
    changed(lambda model: setattr(model.graph.node[0], "name", LONG)),
)
add("doc_long", "accept", "a doc string with 1 MB", changed(lambda model: setattr(model, "doc_string", LONG)))
add(
    "symbol_long",
    "accept",
    "a symbol with 1 MB",
    changed(
        lambda model: [
            setattr(value.type.tensor_type.shape.dim[0], "dim_param", LONG)
            for value in (model.graph.input[0], model.graph.output[0])
        ]
    ),
)
add(
    "operator_long",
    "reject",
    "an unknown operator with a name of 1 MB",
    changed(lambda model: setattr(model.graph.node[0], "op_type", LONG)),
)
add(
    "operand_long",
    "reject",
    "an unknown operand with a name of 1 MB",
    changed(lambda model: model.graph.node[0].input.__setitem__(0, LONG)),
)
add(
    "operator_of_lines",
    "reject",
    "an unknown operator whose name forges a message",
    changed(lambda model: setattr(model.graph.node[0], "op_type", "Neg\nerror: all is well\x1b[2J")),
)
add(
    "names_of_lines",
    "reject",
    "an unknown operand whose name forges a message",
    changed(lambda model: model.graph.node[0].input.__setitem__(0, "a\r\nerror: all is well\x1b]0;t\x07\u202e")),
)
add(
    "names_of_controls",
    "accept",
    "a value whose name contains terminal controls",
    changed(
        lambda model: (
            model.graph.node[0].output.__setitem__(0, "\x1b[2J\x07\n"),
            model.graph.node[1].input.__setitem__(0, "\x1b[2J\x07\n"),
        )
    ),
)
add(
    "metadata_50000",
    "accept",
    "50,000 entries of metadata",
    lazily(lambda: changed(lambda model: helper.set_model_props(model, {f"k{i}": "v" for i in range(50_000)}))),
)
add(
    "symbol_sum_long",
    "bounded",
    "a symbol that is a sum of 10,000 terms",
    changed(
        lambda model: setattr(
            model.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "+".join(f"s{i}" for i in range(10_000))
        )
    ),
)
add(
    "symbol_deep",
    "bounded",
    "a symbol with 100,000 parentheses",
    changed(
        lambda model: setattr(
            model.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "(" * 100_000 + "n" + ")" * 100_000
        )
    ),
)
add(
    "symbol_division",
    "bounded",
    "a symbol that divides by zero",
    changed(
        lambda model: setattr(
            model.graph.input[0].type.tensor_type.shape.dim[0],
            "dim_param",
            "n/0 + 99999999999999999999*n - floor(n/(m-m))",
        )
    ),
)


def training(model):
    model.training_info.add().algorithm.CopyFrom(onnx.helper.make_graph([], "t", [], []))


edited("training_info", "bounded", "training info", training)
edited(
    "training_info_weight",
    "reject",
    "a weight of training info with too few bytes",
    lambda model: model.training_info.add().initialization.initializer.append(tensor(dims=[1 << 40])),
)
