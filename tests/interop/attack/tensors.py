"""Weights whose sizes, fields and bytes do not agree, wherever a tensor may occur."""

import numpy as np
from onnx import AttributeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from . import Cases, changed, tensor, text, with_weight

CASES = Cases("tensor")
add = CASES.add
F, I8, I64, B, S = TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING

for name, made, note in [
    ("no_data", tensor(), "two floats of no data"),
    ("scalar_without_data", tensor(dims=()), "a scalar of no data"),
    ("raw_short", tensor(raw_data=bytes(7)), "raw data one byte short"),
    ("raw_for_none", tensor(dims=(0,), raw_data=bytes(4)), "data for a size of 0"),
    ("floats_for_none", tensor(dims=(0, 2), float_data=[1.0]), "data for a size of 0"),
    ("raw_and_floats", tensor(raw_data=bytes(8), float_data=[1.0, 2.0]), "data twice"),
    ("ints_for_floats", tensor(int32_data=[1, 2]), "the field of another type"),
    ("floats_for_ints", tensor(I64, float_data=[1.0, 2.0]), "the field of another type"),
    ("two_fields", tensor(float_data=[1.0, 2.0], int64_data=[3]), "the fields of two types"),
    ("text_for_floats", tensor(string_data=[b"a", b"b"]), "text for floats"),
    ("texts_short", tensor(S, string_data=[b"a"]), "one text of two"),
    ("type_zero", tensor(0, raw_data=bytes(8)), "no type"),
    ("type_negative", tensor(-1, raw_data=bytes(8)), "a type of -1"),
    ("dim_negative", tensor(dims=(-1,)), "a size of -1"),
    ("dim_minimum", tensor(dims=(-(2**63),)), "a size of -2^63"),
    ("dims_wrap_to_zero", tensor(dims=(2**32, 2**32)), "a product of 2^64"),
    ("dims_wrap_to_data", tensor(dims=(2**62, 4, 2), raw_data=b""), "a product of 2^65"),
    (
        "bytes_wrap",
        tensor(TensorProto.DOUBLE, dims=(2**61 + 1,), raw_data=bytes(8)),
        "2^61 + 1 doubles are 8 bytes if cut to 64 bits",
    ),
    ("bits_wrap", tensor(TensorProto.INT4, dims=(2**63 - 1,), raw_data=bytes(1)), "2^63 - 1 numbers of 4 bits"),
    ("dims_2_65", tensor(dims=(2,) * 65, raw_data=bytes(8)), "65 dims of 2"),
    ("int4_short", tensor(TensorProto.INT4, dims=(5,), raw_data=bytes(2)), "five numbers of 4 bits in two bytes"),
    ("int4_long", tensor(TensorProto.INT4, dims=(3,), raw_data=bytes(3)), "three numbers of 4 bits in three bytes"),
    (
        "complex_odd",
        tensor(TensorProto.COMPLEX64, dims=(2,), float_data=[1.0, 2.0, 3.0]),
        "one complex number and a half",
    ),
    ("segment", changed(lambda made: setattr(made.segment, "end", 1), tensor(raw_data=bytes(8))), "a tensor in parts"),
    ("external_and_raw", tensor(raw_data=bytes(8), data_location=TensorProto.EXTERNAL), "data here and elsewhere"),
]:
    add(name, "reject", note, with_weight(made))
for name, made, note in [
    ("int8_out_of_range", tensor(I8, int32_data=[300, -300]), "300 as int8"),
    ("bool_of_seven", tensor(B, raw_data=b"\x07\x02"), "a bool of 7"),
    ("half_out_of_range", tensor(TensorProto.FLOAT16, int32_data=[70000, -1]), "bits of a half that are more than 16"),
    ("rank_10000", tensor(dims=(1,) * 10_000, raw_data=bytes(4)), "10,000 dims of 1"),
    ("none_of_many", tensor(dims=(0, 2**62, 2**62)), "no elements, of sizes whose product is too large"),
    ("int4_half_byte", tensor(TensorProto.INT4, dims=(3,), raw_data=b"\x21\xf3"), "an unused half byte that is not 0"),
]:
    add(name, "bounded", note, with_weight(made))
# With a use, so that the elements are read.
for name, made, note in [
    ("int4_odd", helper.make_tensor("w", TensorProto.INT4, [3], [-8, 7, 1]), "three numbers of 4 bits"),
    (
        "uint4_in_ints",
        tensor(TensorProto.UINT4, dims=(3,), int32_data=[0x21, 0x0F]),
        "numbers of 4 bits in the field of int32",
    ),
    (
        "bfloat16_nan",
        tensor(TensorProto.BFLOAT16, dims=(3,), raw_data=b"\xc1\x7f\x80\x7f\x81\xff"),
        "NaN and infinity of bfloat16",
    ),
    ("float8_nan", tensor(TensorProto.FLOAT8E4M3FN, dims=(3,), raw_data=b"\x7f\xff\x80"), "NaN and -0.0 of float8"),
    (
        "half_in_ints",
        tensor(TensorProto.FLOAT16, dims=(2,), int32_data=[0x7E01, 0x8000]),
        "NaN and -0.0 of half precision",
    ),
    ("uint64", tensor(TensorProto.UINT64, dims=(1,), uint64_data=[2**64 - 1]), "the largest uint64"),
    ("uint32", tensor(TensorProto.UINT32, dims=(1,), uint64_data=[2**32 - 1]), "uint32 in the field of uint64"),
    ("double", tensor(TensorProto.DOUBLE, dims=(1,), double_data=[5e-324]), "the smallest double"),
    ("bool_in_ints", tensor(B, dims=(2,), int32_data=[1, 0]), "bools in the field of int32"),
]:
    model = text("(float[n] x) => (float[n] y, float[?] z) { y = Neg(x) z = Cast<to=1>(w) }")
    made.name = "w"
    model.graph.initializer.append(made)
    add(name, "accept", note, model)
add("empty_axes", "accept", "a weight of shape [0, 3]", with_weight(tensor(dims=(0, 3))))
add("texts_of_bytes", "bounded", "text that is not UTF-8", with_weight(tensor(S, string_data=[b"\xff\xfe", b"\x00"])))
add(
    "weight_twice",
    "accept",
    "two weights of one name, alike, of which ONNX Runtime takes the last",
    changed(lambda model: model.graph.initializer.append(model.graph.initializer[0])),
)
add(
    "weight_disagrees_with_input",
    "reject",
    "a weight that is an input of another type",
    changed(lambda model: model.graph.input.append(helper.make_tensor_value_info("w", 7, [1]))),
)
add(
    "weight_disagrees_with_shape",
    "reject",
    "a weight that is an input of another shape",
    changed(lambda model: model.graph.input.append(helper.make_tensor_value_info("w", 1, [3]))),
)

# The same faults in other places with tensors.
SHORT = tensor(dims=(1 << 40,))
NEG = "(float[n] x) => (float[n] y) { y = Neg(x) }"


def attribute(model, name, value):
    model.graph.node.append(helper.make_node("Constant", [], ["k"]))
    made = model.graph.node[-1].attribute.add(name=name)
    if isinstance(value, SparseTensorProto):
        made.type = AttributeProto.SPARSE_TENSOR
        made.sparse_tensor.CopyFrom(value)
    else:
        made.type = AttributeProto.TENSOR
        made.t.CopyFrom(value)


add("attribute", "reject", "a short tensor in a Constant", changed(lambda model: attribute(model, "value", SHORT)))
add(
    "attribute_of_shape",
    "reject",
    "a short tensor in a ConstantOfShape",
    changed(
        lambda model: (
            model.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["k"], value=SHORT)),
            model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "s")),
        )
    ),
)
add(
    "fill_of_two",
    "reject",
    "a ConstantOfShape filled by two numbers",
    changed(
        lambda model: (
            model.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["k"], value=tensor(float_data=[1, 2]))),
            model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "s")),
        )
    ),
)
IF = "(bool c, float[n] x) => (float[n] y) { y = If(c) <then_branch = t () => (float[n] o) { o = Neg(x) }, else_branch = e () => (float[n] q) { q = Abs(x) }> }"
add(
    "branch",
    "reject",
    "a short weight of a branch",
    changed(lambda model: model.graph.node[0].attribute[0].g.initializer.append(SHORT), text(IF)),
)
add(
    "branch_attribute",
    "reject",
    "a short tensor in a Constant of a branch",
    changed(
        lambda model: (
            model.graph.node[0].attribute[1].g.node.append(helper.make_node("Constant", [], ["k"], value=SHORT))
        ),
        text(IF),
    ),
)
FUNCTION = text(
    "(float[n] x) => (float[n] y) { y = d.f(x) }",
    imports=', "d": 1',
    functions=' <opset_import: ["": 21], domain: "d"> f (x) => (y) { y = Neg(x) }',
)
add(
    "function",
    "reject",
    "a short tensor in a Constant of a function",
    changed(
        lambda model: model.functions[0].node.append(helper.make_node("Constant", [], ["k"], value=SHORT)), FUNCTION
    ),
)
add(
    "kept_operator",
    "reject",
    "a short tensor in an operator that nobody understands",
    changed(
        lambda model: model.graph.node.append(helper.make_node("Op", ["x"], ["k"], domain="my", t=SHORT)),
        text(NEG, imports=', "my": 1'),
    ),
)
add(
    "kept_operator_list",
    "reject",
    "a short tensor in a list of tensors",
    changed(
        lambda model: model.graph.node.append(
            helper.make_node("Op", ["x"], ["k"], domain="my", t=[tensor(raw_data=bytes(8)), SHORT])
        ),
        text(NEG, imports=', "my": 1'),
    ),
)


# Sparse tensors.
def sparse(values, indices, dims, kind=None):
    made = SparseTensorProto(dims=dims)
    made.values.CopyFrom(numpy_helper.from_array(np.array(values, np.float32), "s"))
    made.indices.CopyFrom(numpy_helper.from_array(np.array(indices, kind or np.int64)))
    return made


def with_sparse(made):
    model = text("(float[n] x) => (float[n] y, float[1,?] z) { y = Neg(x) a = Abs(s) z = Flatten<axis=0>(a) }")
    model.graph.sparse_initializer.append(made)
    return model


for name, made, note in [
    ("out_of_range", sparse([1], [9], [4]), "an index beyond the size"),
    ("negative", sparse([1], [-1], [4]), "an index of -1"),
    ("unsorted", sparse([1, 2], [2, 1], [4]), "indices that fall"),
    ("duplicate", sparse([1, 2], [1, 1], [4]), "an index twice"),
    ("too_few_indices", sparse([1, 2], [1], [4]), "fewer indices than values"),
    ("too_many_values", sparse([1] * 5, [0, 1, 2, 3, 3], [4]), "more values than there is room"),
    ("indices_of_int32", sparse([1], [1], [4], np.int32), "indices of int32"),
    ("indices_of_float", sparse([1], [1], [4], np.float32), "indices of float"),
    ("indices_of_rank_two", sparse([1], [[1, 1]], [4]), "two coordinates for one dim"),
    ("coordinates_out_of_range", sparse([1], [[0, 2]], [2, 2]), "a coordinate beyond its dim"),
    ("coordinates_unsorted", sparse([1, 2], [[1, 0], [0, 1]], [2, 2]), "coordinates that fall"),
    ("values_of_rank_two", sparse([[1, 2]], [0, 1], [4]), "values of rank 2"),
    ("dims_negative", sparse([1], [0], [-4]), "a size of -4"),
    ("dims_wrap", sparse([1], [0], [2**32, 2**32]), "a product of 2^64"),
    ("dims_missing", sparse([1], [0], []), "no dims"),
]:
    add(f"sparse_{name}", "reject", note, with_sparse(made))
    add(
        f"sparse_{name}_constant",
        "reject",
        note + ", in a Constant",
        changed(lambda model, made=made: attribute(model, "sparse_value", made)),
    )
add("sparse_sound", "accept", "a sound sparse weight", with_sparse(sparse([1, -2], [1, 3], [5])))
add(
    "sparse_coordinates",
    "accept",
    "a sound sparse weight of two dims",
    with_sparse(sparse([1, -2], [[0, 1], [1, 0]], [2, 2])),
)
add("sparse_of_nothing", "bounded", "a sparse weight of no values", with_sparse(sparse([], np.zeros(0, np.int64), [5])))
add(
    "sparse_name_of_weight",
    "reject",
    "a sparse weight of the name of another",
    changed(
        lambda model: model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.float32), "s")),
        with_sparse(sparse([1], [1], [5])),
    ),
)
add(
    "sparse_bomb_constant",
    "bounded",
    "a sparse Constant of 2^40 elements",
    changed(lambda model: attribute(model, "sparse_value", sparse([1], [1], [2**40]))),
)
add("sparse_bomb_2_62", "reject", "a sparse weight of 2^61 elements", with_sparse(sparse([1], [1], [2**61])))
add(
    "annotation_of_nobody",
    "bounded",
    "a quantization annotation of a value that does not exist",
    changed(lambda model: setattr(model.graph.quantization_annotation.add(), "tensor_name", "ghost")),
)
