"""External data: paths that lead elsewhere, locations that are not files, ranges that do not exist."""

import os
import socket

import numpy as np
from onnx import SparseTensorProto, StringStringEntryProto, TensorProto, helper, numpy_helper

from . import Cases, changed, encoded, tensor, text

CASES = Cases("external")
DATA = np.arange(16, dtype=np.float32).tobytes()
NEG = "(float[n] x) => (float[n] y, float[?] z) { y = Neg(x) z = Neg(w) }"


def entries(**pairs):
    return [StringStringEntryProto(key=key, value=str(value)) for key, value in pairs.items()]


def outside(location="data.bin", dims=(4,), **pairs):
    return tensor(dims=dims, data_location=TensorProto.EXTERNAL, external_data=entries(location=location, **pairs))


def external(name, expect, note, made, prepare=None, data=DATA, **more):
    """Returns a model with one external weight, beside `data.bin` and the files that `prepare` creates."""
    model = made if not isinstance(made, TensorProto) else text(NEG)
    if isinstance(made, TensorProto):
        model.graph.initializer.append(made)

    def write(folder):
        (folder / "data.bin").write_bytes(data)
        if prepare:
            prepare(folder)
        (folder / "model.onnx").write_bytes(encoded(model))

    CASES.add(name, expect, note, write, **more)


# Locations.
external("sound", "accept", "a sound weight", outside(length=16))
external("offset", "accept", "a sound weight at an offset that is not aligned", outside(offset=3, length=16))
external("rest", "accept", "a weight that fills its file", outside(dims=(16,)))
external(
    "overlapping",
    "accept",
    "weights that share bytes",
    changed(
        lambda model: model.graph.initializer.extend(
            [outside(length=16), changed(lambda other: setattr(other, "name", "v"), outside(offset=8, length=16))]
        ),
        text(NEG),
    ),
)
external(
    "subfolder",
    "accept",
    "a file in a subfolder of the model's folder",
    outside("sub/data.bin", length=16),
    lambda folder: ((folder / "sub").mkdir(), (folder / "sub" / "data.bin").write_bytes(DATA)),
)
external("dot", "bounded", "a path with ./", outside("./data.bin", length=16))
external("there_and_back", "reject", "a path out of the folder and back", outside("../model/data.bin", length=16))
external("parent", "reject", "a file of the parent folder", outside("../secret.bin", length=16))
external(
    "parent_of_folder",
    "reject",
    "up through a folder",
    outside("sub/../../secret.bin", length=16),
    lambda folder: (folder / "sub").mkdir(),
)
external(
    "parent_of_nothing",
    "reject",
    "up through a folder that does not exist",
    outside("nowhere/../../secret.bin", length=16),
)
external("backslash", "reject", "up with a backslash", outside("..\\secret.bin", length=16))
external("device_names", "reject", "a device name of Windows", outside("NUL", length=16))
for location in [
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/environ",
    "/proc/self/fd/0",
    "file:///etc/passwd",
    "http://localhost/x",
    "~/x",
    "$HOME/x",
    "C:\\x",
    "//server/x",
]:
    external(
        "at_" + "".join(c if c.isalnum() else "_" for c in location), "reject", location, outside(location, length=16)
    )
external("missing", "reject", "a file that does not exist", outside("nowhere.bin", length=16))
external("nul", "reject", "a path with a NUL", outside("data.bin\0.txt", length=16))
external("long", "reject", "a path with 1 MB", outside("d" * (1 << 20), length=16))
external("deep", "reject", "a path with 100,000 folders", outside("a/" * 100_000 + "x", length=16))
external("lines", "reject", "a path that forges a message", outside("x\nerror: all is well\x1b[2J", length=16))
external("folder", "reject", "a folder", outside("sub", length=16), lambda folder: (folder / "sub").mkdir())
external("trailing_slash", "reject", "a file with a trailing slash", outside("data.bin/", length=16))
external(
    "fifo", "reject", "a FIFO that nobody writes", outside("pipe", length=16), lambda folder: os.mkfifo(folder / "pipe")
)
external("socket", "reject", "a socket", outside("socket", length=16), lambda folder: listen(folder / "socket"))
external(
    "device",
    "reject",
    "a device",
    outside("null", length=16),
    lambda folder: os.mknod(folder / "null", 0o20666, os.makedev(1, 5)),
)
external(
    "symlink_out",
    "reject",
    "a link out of the folder",
    outside("link", length=16),
    lambda folder: (folder / "link").symlink_to("../secret.bin"),
)
external(
    "symlink_absolute",
    "reject",
    "an absolute link",
    outside("link", length=16),
    lambda folder: (folder / "link").symlink_to(folder.parent / "secret.bin"),
)
external(
    "symlink_within",
    "reject",
    "a link within the folder, without --data-dir",
    outside("link", length=16),
    lambda folder: (folder / "link").symlink_to("data.bin"),
)
external(
    "symlink_folder",
    "reject",
    "a folder that is a link",
    outside("sub/secret.bin", length=16),
    lambda folder: (folder / "sub").symlink_to(".."),
)
external(
    "symlink_loop",
    "reject",
    "a cycle of links",
    outside("a", length=16),
    lambda folder: ((folder / "a").symlink_to("b"), (folder / "b").symlink_to("a")),
)
external(
    "symlink_device",
    "reject",
    "a link to a device",
    outside("zero", length=16),
    lambda folder: (folder / "zero").symlink_to("/dev/zero"),
)
external(
    "symlink_fifo",
    "reject",
    "a link to a FIFO",
    outside("link", length=16),
    lambda folder: (os.mkfifo(folder / "pipe"), (folder / "link").symlink_to("pipe")),
)
external(
    "hard_link",
    "reject",
    "a hard link to a file outside",
    outside("hard", length=16),
    lambda folder: (
        (folder.parent / "other.bin").write_bytes(DATA),
        os.link(folder.parent / "other.bin", folder / "hard"),
    ),
)
external("itself", "reject", "the model itself as data", outside("model.onnx", length=16))
external(
    "itself_beyond",
    "reject",
    "the model itself as data, beyond its end",
    outside("model.onnx", offset=1 << 20, length=16),
)
external("output", "bounded", "the output as data", outside("data.bin", length=16), output="data.bin", codes=(2,))
external(
    "output_missing",
    "reject",
    "an output that does not exist yet as data",
    outside("out.bin", length=16),
    output="out.bin",
)
external(
    "in_place", "accept", "the output is the input", outside("data.bin", length=16), output="model.onnx", runs=False
)


def listen(path):
    here = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


# Ranges.
for name, note, pairs in [
    ("offset_negative", "before the beginning", {"offset": -1, "length": 16}),
    ("offset_beyond", "after the end", {"offset": 65, "length": 16}),
    ("offset_late", "across the end", {"offset": 60, "length": 16}),
    ("offset_huge", "offset and length that wrap", {"offset": 2**64 - 8, "length": 16}),
    ("offset_most", "offset and length that wrap", {"offset": 2**63 - 1, "length": 16}),
    ("offset_wider", "an offset of more than 64 bits", {"offset": 2**70, "length": 16}),
    ("offset_hex", "an offset in hexadecimal digits", {"offset": "0x4", "length": 16}),
    ("offset_float", "an offset with an exponent", {"offset": "1e1", "length": 16}),
    ("offset_text", "an offset that is a word", {"offset": "4 bytes", "length": 16}),
    ("offset_empty", "an empty offset", {"offset": "", "length": 16}),
    ("offset_arabic", "an offset in Arabic digits", {"offset": "\u0664", "length": 16}),
    ("length_negative", "a negative length", {"length": -16}),
    ("length_short", "fewer bytes than elements", {"length": 8}),
    ("length_long", "more bytes than elements", {"length": 32}),
    ("length_zero", "no bytes for elements", {"length": 0}),
    ("length_huge", "more than any file has", {"length": 2**64 - 1}),
]:
    external(name, "reject", note, outside(**pairs))
external("rest_too_long", "bounded", "all of a file that is longer than the weight", outside(dims=(4,)))
external("offset_signed", "bounded", "an offset with a plus", outside(offset="+4", length=16))
external("offset_padded", "bounded", "an offset with many leading zeros", outside(offset="0" * 100_000 + "4", length=16))
external("file_empty", "reject", "an empty file", outside(length=16), data=b"")
external(
    "file_sparse",
    "bounded",
    "a sparse file of 3 GB",
    outside(length=16),
    lambda folder: os.truncate(folder / "data.bin", 3 << 30),
)
external("dims_wrap", "reject", "2^62 + 4 floats are 16 bytes if cut to 64 bits", outside(dims=(2**62 + 4,), length=16))
external("dims_huge", "reject", "2^40 floats of a file of 64 bytes", outside(dims=(2**40,), length=2**42))
external(
    "none_of_missing",
    "bounded",
    "no elements of a file that does not exist",
    outside("nowhere.bin", dims=(0,), length=0),
)
external("no_location", "reject", "external data without a location", tensor(data_location=TensorProto.EXTERNAL))
external(
    "location_twice",
    "reject",
    "two locations",
    tensor(
        dims=(4,),
        data_location=TensorProto.EXTERNAL,
        external_data=[*entries(location="data.bin"), *entries(location="../secret.bin", length=16)],
    ),
)
external(
    "offset_twice",
    "reject",
    "two offsets",
    tensor(
        dims=(4,),
        data_location=TensorProto.EXTERNAL,
        external_data=[*entries(location="data.bin", offset=0), *entries(offset=4, length=16)],
    ),
)
external("key_unknown", "bounded", "a key that the standard does not have", outside(length=16, colour="red"))
external("keys_100000", "bounded", "100,000 keys", outside(length=16, **{f"k{i}": "v" for i in range(100_000)}))
external("checksum_wrong", "bounded", "a wrong checksum", outside(length=16, checksum="0" * 40))
external(
    "of_text",
    "reject",
    "strings as external data",
    tensor(
        TensorProto.STRING,
        dims=(4,),
        data_location=TensorProto.EXTERNAL,
        external_data=entries(location="data.bin", length=16),
    ),
)

# Other places with external data, each with a path that leads outside.
OUT = outside("../secret.bin", length=16)
IF = "(bool c, float[n] x) => (float[n] y) { y = If(c) <then_branch = t () => (float[n] o) { o = Neg(x) }, else_branch = e () => (float[n] q) { q = Abs(x) }> }"
FUNCTION = text(
    "(float[n] x) => (float[n] y) { y = d.f(x) }",
    imports=', "d": 1',
    functions=' <opset_import: ["": 21], domain: "d"> f (x) => (y) { y = Neg(x) }',
)
PLAIN = "(float[n] x) => (float[n] y) { y = Neg(x) }"


def copy(model):
    made = type(model)()
    made.CopyFrom(model)
    return made


def sparse(edit):
    made = SparseTensorProto(dims=[8])
    made.values.CopyFrom(numpy_helper.from_array(np.ones(4, np.float32), "s"))
    made.indices.CopyFrom(numpy_helper.from_array(np.arange(4)))
    edit(made)
    return made


def constant(value):
    return helper.make_node("Constant", [], ["k"], value=value)


for name, note, model in [
    (
        "fill",
        "the fill of a ConstantOfShape",
        changed(
            lambda model: model.graph.node.append(
                helper.make_node("ConstantOfShape", ["s"], ["k"], value=outside("../secret.bin", dims=(1,), length=4))
            ),
            text(PLAIN, {"s": np.array([1])}),
        ),
    ),
    (
        "branch",
        "a weight of a branch",
        changed(lambda model: model.graph.node[0].attribute[0].g.initializer.append(OUT), text(IF)),
    ),
    (
        "branch_constant",
        "a Constant of a branch",
        changed(lambda model: model.graph.node[0].attribute[1].g.node.append(constant(OUT)), text(IF)),
    ),
    (
        "function",
        "a Constant of a function",
        changed(lambda model: model.functions[0].node.append(constant(OUT)), copy(FUNCTION)),
    ),
    (
        "kept_operator",
        "an operator that nobody understands",
        changed(
            lambda model: model.graph.node.append(helper.make_node("Op", ["x"], ["k"], domain="my", t=OUT)),
            text(PLAIN, imports=', "my": 1'),
        ),
    ),
    (
        "kept_operator_list",
        "a list of tensors",
        changed(
            lambda model: model.graph.node.append(
                helper.make_node("Op", ["x"], ["k"], domain="my", t=[tensor(raw_data=bytes(8)), OUT])
            ),
            text(PLAIN, imports=', "my": 1'),
        ),
    ),
    (
        "sparse_values",
        "the values of a sparse weight",
        changed(
            lambda model: model.graph.sparse_initializer.append(
                sparse(lambda made: made.values.CopyFrom(changed(lambda other: setattr(other, "name", "s"), copy(OUT))))
            ),
            text(PLAIN),
        ),
    ),
    (
        "sparse_indices",
        "the indices of a sparse weight",
        changed(
            lambda model: model.graph.sparse_initializer.append(
                sparse(
                    lambda made: made.indices.CopyFrom(
                        tensor(
                            TensorProto.INT64,
                            dims=(4,),
                            data_location=TensorProto.EXTERNAL,
                            external_data=entries(location="../secret.bin", length=32),
                        )
                    )
                )
            ),
            text(PLAIN),
        ),
    ),
    ("unused", "an unused weight", changed(lambda model: model.graph.initializer.append(OUT), text(PLAIN))),
    (
        "training",
        "a weight of training info",
        changed(lambda model: model.training_info.add().initialization.initializer.append(OUT), text(PLAIN)),
    ),
]:
    external(f"parent_by_{name}", "reject", note + ", out of the folder", model)
