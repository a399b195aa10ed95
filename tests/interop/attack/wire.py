"""Bytes that are not a model, or not the model that they seem to be."""

import random

from onnx import StringStringEntryProto, TensorProto, helper

from . import Cases, changed, encoded, field, plain, tensor, text, varint

CASES = Cases("bytes")
add = CASES.add
GOOD = encoded(plain())

for name, content in {
    "text": b"hello, world\n",
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "zip": b"PK\x03\x04" + bytes(64),
    "safetensors": (2).to_bytes(8, "little") + b"{}",
    "noise": random.Random(1).randbytes(4096),
    "long_varint": b"\x08" + b"\xff" * 10 + b"\x01",
    "field_zero": GOOD + b"\x00\x00",
    "wire_type_six": GOOD + b"\x0e\x00",
    "wire_type_seven": GOOD + b"\x0f\x00",
    "group_unfinished": GOOD + b"\x0b",
    "group_end": GOOD + b"\x0c",
    "groups_deep": GOOD + b"\x0b" * 100_000,
    "graph_is_a_number": b"\x08\x0a\x38\x05",
    "version_is_text": field(1, b"ten") + GOOD[2:],
    "longer_than_parent": field(7, b"\x0a\x7f") + field(8, field(2, 21)),
    "length_of_2_63": b"\x3a" + varint(2**63),
    "length_negative": b"\x3a" + b"\xff" * 9 + b"\x01",
    "half_of_it_twice": GOOD[: len(GOOD) // 2] * 2,
}.items():
    add(name, "reject", name.replace("_", " "), content)
add("nothing_but_a_version", "reject", "a model without a graph", field(1, 10))
add("unknown_field", "bounded", "a field that the standard does not have", GOOD + field(1500, b"?"))
add("unknown_field_of_graph", "bounded", "a field that the standard does not have", GOOD + field(7, field(1500, b"?")))
add(
    "unknown_megabyte", "bounded", "a field of 1 MB that the standard does not have", GOOD + field(1500, bytes(1 << 20))
)
add("unknown_many", "bounded", "200,000 fields that the standard does not have", GOOD + field(1500, b"?") * 200_000)
add("version_twice", "bounded", "the last of two numbers counts", GOOD + field(1, 9))
add("graph_twice", "bounded", "two graphs are merged by protobuf", GOOD + field(7, b""))
add("graphs_full_twice", "reject", "two full graphs merged define every name twice", GOOD + GOOD)
add(
    "nested_type",
    "reject",
    "sequence(sequence(...)), 20,000 deep",
    lambda folder: (folder / "model.onnx").write_bytes(nested_type(20_000)),
)
add(
    "nested_optional",
    "reject",
    "optional(optional(...)), 20,000 deep",
    lambda folder: (folder / "model.onnx").write_bytes(nested_type(20_000, 9)),
)
add(
    "empty_nodes",
    "reject",
    "100,000 nodes of nothing",
    field(1, 10) + field(7, field(1, b"") * 100_000 + field(2, b"g")) + field(8, field(2, 21)),
)
add(
    "empty_weights",
    "reject",
    "100,000 weights of nothing",
    field(1, 10) + field(7, field(5, b"") * 100_000 + field(2, b"g")) + field(8, field(2, 21)),
)


def nested_type(depth, kind=4):
    inner = b""
    for _ in range(depth):
        inner = field(kind, field(1, inner))
    return encoded(plain()) + field(7, field(11, field(1, b"deep") + field(2, inner)))


for cut in range(5, len(GOOD), 11):
    add(f"cut_at_{cut}", "bounded", "a sound model cut off", GOOD[:cut])


def mutated(seed):
    """Returns a valid model with subgraphs, weights and attributes, of which one to three bytes are changed."""
    model = text(
        "(bool c, float[n] x) => (float[n] y) <float[2] k = {1, 2}> { s = Shape(x) a = Reshape(x, s) b = Softmax<axis=-1>(a)"
        " y = If(c) <then_branch = t () => (float[n] o) { o = Mul(b, w) }, else_branch = e () => (float[n] q) { q = Neg(b) }> }",
        {"w": [2.0]},
    )
    draw = random.Random(seed)
    data = bytearray(encoded(model))
    for _ in range(draw.randint(1, 3)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


for seed in range(100):
    add(
        f"mutated_{seed}",
        "bounded",
        "a sound model with up to three other bytes",
        mutated(seed),
        commands=("optimize",),
    )

# Text that is not UTF-8.
MARK, BAD = "QQQQ", b"Q\xff\xfeQ"


def bad_text(name, edit, expect="reject", model=None):
    add(
        f"utf8_{name}",
        expect,
        f"the {name.replace('_', ' ')} is not UTF-8",
        encoded(changed(edit, model)).replace(MARK.encode(), BAD),
    )


def named(path):
    """Sets the field at a path of names and indices."""

    def edit(model):
        *way, last = path.split(".")
        for step in way:
            model = model[int(step)] if step.isdigit() else getattr(model, step)
        setattr(model, last, MARK)

    return edit


for path in [
    "producer_name",
    "producer_version",
    "domain",
    "doc_string",
    "graph.name",
    "graph.doc_string",
    "graph.node.0.name",
    "graph.node.0.op_type",
    "graph.node.0.domain",
    "graph.node.0.doc_string",
    "graph.node.0.overload",
    "graph.initializer.0.name",
    "graph.initializer.0.doc_string",
    "graph.input.0.name",
    "graph.output.0.name",
    "graph.input.0.doc_string",
    "graph.input.0.type.denotation",
    "graph.input.0.type.tensor_type.shape.dim.0.dim_param",
    "graph.input.0.type.tensor_type.shape.dim.0.denotation",
    "opset_import.0.domain",
]:
    bad_text(path.replace(".", "_"), named(path))
bad_text("operand", lambda model: model.graph.node[0].input.__setitem__(0, MARK))
bad_text("result", lambda model: model.graph.node[0].output.__setitem__(0, MARK))
bad_text("attribute_name", lambda model: model.graph.node[0].attribute.append(helper.make_attribute(MARK, 1)))
bad_text(
    "attribute_doc",
    lambda model: model.graph.node[0].attribute[0].__setattr__("doc_string", MARK),
    model=text("(float[n] x) => (float[n] y) { y = Softmax<axis=-1>(x) }"),
)
bad_text("metadata_key", lambda model: model.metadata_props.append(StringStringEntryProto(key=MARK, value="v")))
bad_text("metadata_value", lambda model: model.metadata_props.append(StringStringEntryProto(key="k", value=MARK)))
bad_text(
    "node_metadata",
    lambda model: model.graph.node[0].metadata_props.append(StringStringEntryProto(key=MARK, value="v")),
)
bad_text(
    "function_name",
    lambda model: model.functions.append(
        helper.make_function(
            "d", MARK, [], ["y"], [helper.make_node("Constant", [], ["y"], value_int=1)], [helper.make_opsetid("", 21)]
        )
    ),
)
bad_text(
    "function_operand",
    lambda model: model.functions.append(
        helper.make_function(
            "d", "f", [MARK], ["y"], [helper.make_node("Neg", [MARK], ["y"])], [helper.make_opsetid("", 21)]
        )
    ),
)
bad_text(
    "external_location",
    lambda model: model.graph.initializer.append(
        tensor(data_location=TensorProto.EXTERNAL, external_data=[StringStringEntryProto(key="location", value=MARK)])
    ),
)
bad_text("quantized_name", lambda model: model.graph.quantization_annotation.add().__setattr__("tensor_name", MARK))
bad_text(
    "weight_of_text",
    lambda model: model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [MARK.encode()])),
    "accept",
)

# Redundant encodings of the same field.
PACKED = field(1, b"\x02") + field(2, 1) + field(8, b"w") + field(9, bytes(8))
add(
    "dims_packed",
    "accept",
    "dims in the packed form",
    encoded(text("(float[n] x) => (float[n] y) { y = Neg(x) }")) + field(7, field(5, PACKED)),
)
add(
    "floats_unpacked",
    "accept",
    "floats one by one",
    encoded(text("(float[n] x) => (float[n] y) { y = Neg(x) }"))
    + field(7, field(5, field(1, 2) + field(2, 1) + field(8, b"w") + b"\x25\x00\x00\x80\x3f" * 2)),
)
