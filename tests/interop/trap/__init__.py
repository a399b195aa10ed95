"""Traps: small valid models on which a tempting rewrite is wrong; one module for each family of rewrites."""

import dataclasses

import numpy as np
import onnx
from onnx import numpy_helper

# All kinds of floats: zeros of both signs, the smallest and largest, infinities, NaN, ties of rounding.
FLOATS = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -1.5, 3.0, 1e-45, -1e-40, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan],
    np.float32,
)
INTS = {
    name: np.array([0, 1, -1, 2, -7, 7, 100, np.iinfo(name).max, np.iinfo(name).min], name)
    for name in ["int8", "int32", "int64"]
}


@dataclasses.dataclass
class Trap:
    """A model, its inputs, and the rewrite that it catches."""

    name: str
    why: str
    model: onnx.ModelProto
    feeds: list
    # Operators that the optimized model must have as often as the original.
    keeps: tuple = ()
    # Whether an optimized model may run where the original fails.
    mends: bool = False
    # Whether the target tract stores a weight twice.
    copied_for_tract: bool = False


def f32(*values, shape=None):
    return np.array(values, np.float32).reshape(shape if shape is not None else (len(values),))


def i64(*values, shape=None):
    return np.array(values, np.int64).reshape(shape if shape is not None else (len(values),))


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def ramp(*shape, dtype=np.float32, start=-3):
    """Returns distinct small integers, whose sums are exact in any order."""
    return (np.arange(np.prod(shape, dtype=np.int64)) + start).astype(dtype).reshape(shape)


def each(name, *arrays):
    """Returns one binding of the only input for each array."""
    return [{name: array} for array in arrays]


def lines(name="x", values=FLOATS):
    """Returns vectors of all kinds of numbers, of one element, and of none."""
    return each(name, values, values[1:2], values[:0])


class Traps(list):
    """The traps of a family."""

    def add(self, name, why, text, feeds, *, opset=21, imports="", functions="", weights=None, edit=None, **kept):
        """Adds a trap from the text syntax of ONNX; weights that it cannot express are arrays."""
        header = f'<ir_version: 10, opset_import: ["": {opset}{imports}]> trap '
        model = onnx.parser.parse_model(header + text + functions)
        for weight, value in (weights or {}).items():
            if isinstance(value, onnx.TensorProto):
                value.name = weight
            else:
                value = numpy_helper.from_array(np.asarray(value), weight)
            model.graph.initializer.append(value)
        if edit:
            edit(model)
        self.append(Trap(name, why, model, feeds, **kept))
