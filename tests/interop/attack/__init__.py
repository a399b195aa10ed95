"""Hostile models; one module for each point of attack."""

import dataclasses
import pathlib
import typing

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclasses.dataclass
class Case:
    """A file, how it is created, and the expected reaction of its readers."""

    name: str
    group: str
    # `reject`, `accept` or `bounded`.
    expect: str
    note: str
    # Writes `model.onnx`, and its other files, into a folder.
    write: typing.Callable[[pathlib.Path], None]
    # Whether an accepted model is also run and compared.
    runs: bool = True
    # The exit code of a rejected file: 2 if the fault is not in the model.
    codes: tuple = (1,)
    commands: tuple = ("optimize", "check", "inspect")
    # The model and the output, relative to the folder.
    model: str = "model.onnx"
    output: str = "../out/out.onnx"
    # Additional limits, set in the child process.
    prepare_child: typing.Callable[[], None] | None = None
    # The warning on standard error if the model is accepted.
    says: str = ""


class Cases(list):
    """The cases of a group."""

    def __init__(self, group):
        super().__init__()
        self.group = group

    def add(self, name, expect, note, content, **more):
        """Adds a case from a model, its bytes, its graph in the text syntax, or a function that writes files."""
        write = content if callable(content) else lambda folder: (folder / "model.onnx").write_bytes(encoded(content))
        self.append(Case(f"{self.group}_{name}", self.group, expect, note, write, **more))


def encoded(content):
    if isinstance(content, str):
        content = text(content)
    return content if isinstance(content, bytes) else content.SerializeToString(deterministic=True)


def text(graph, weights=None, opset=21, ir=10, imports="", functions=""):
    """Returns a model from the text syntax of its graph; weights are arrays or tensors."""
    model = onnx.parser.parse_model(f'<ir_version: {ir}, opset_import: ["": {opset}{imports}]> g {graph}{functions}')
    for name, value in (weights or {}).items():
        if not isinstance(value, TensorProto):
            value = numpy_helper.from_array(np.asarray(value), name)
        value.name = name
        model.graph.initializer.append(value)
    return model


def plain():
    """Returns a valid model: `y = -x * w`."""
    return text("(float[n] x) => (float[n] y) { a = Neg(x) y = Mul(a, w) }", {"w": np.array([2], np.float32)})


def changed(edit, model=None):
    """Returns a valid model after an edit."""
    model = model or plain()
    edit(model)
    return model


def with_weight(tensor):
    """Returns a model that is valid except for one weight."""
    model = text("(float[n] x) => (float[n] y) { y = Neg(x) }")
    tensor.name = tensor.name or "w"
    model.graph.initializer.append(tensor)
    return model


def tensor(kind=TensorProto.FLOAT, dims=(2,), **fields):
    made = TensorProto(name="w", data_type=kind, dims=dims)
    for name, value in fields.items():
        if isinstance(value, (list, tuple)):
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made


def node(op, operands, results, **attributes):
    return helper.make_node(op, operands, results, **attributes)


def lazily(make):
    """Writes a model that is created lazily."""
    return lambda folder: (folder / "model.onnx").write_bytes(encoded(make()))


def varint(value):
    out = bytearray()
    while True:
        out.append(value & 127 | (128 if value > 127 else 0))
        value >>= 7
        if not value:
            return bytes(out)


def field(number, payload):
    """Encodes a length-delimited field, or a varint if the payload is an integer."""
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload
