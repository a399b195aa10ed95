"""Exports in f32 that `optimize --dtype f16` converts, beside those that onnxconverter-common converts.

Each converted model must load in ONNX Runtime with every node named, keep its interface, and fuse at least 95 % of the
attentions, normalizations, activations and rotary embeddings that are fused in f32. Its results must lie no further from
those in f32 than the results of the other converter: by a tenth of that distance and 1e-3 of the output at most. Values
that are finite in f32 must be finite in f16. Converting it again must change nothing, and converting it back to f32 must
give a model that lies as close.
"""

import collections
import itertools

import corpus
import judge
import numpy as np
import onnx
from narrow import WAYS, fused_of, judge_models
from onnxconverter_common import float16

# The share of the operators that are fused in f32.
SHARE = 0.95
# f16 rounds to 5e-4.
ROUNDING = 1e-3


def distance(found, expected):
    """The root of the mean square of the differences, as a share of the output: the largest of the outputs. Elements that
    are not finite in the original are left out."""
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype, f"{one.dtype}{one.shape}, not {other.dtype}{other.shape}"
        if other.dtype.kind == "f" and (known := np.isfinite(other)).any():
            one, other = one[known].astype(np.float64), other[known].astype(np.float64)
            share = float(np.sqrt(np.mean((one - other) ** 2) / max(np.mean(other**2), 1e-30)))
            largest = max(largest, share if share >= 0 else np.inf)
    return largest


def converted_by_other(model, output):
    """Whether onnxconverter-common converts a model into one that ONNX Runtime loads."""
    try:
        onnx.save(float16.convert_float_to_float16(onnx.load(model), keep_io_types=True, disable_shape_infer=False), output)
        judge.session(str(output))
        return True
    except Exception:
        return False


def with_intermediates(path, output):
    """Writes a model that returns every value of its graph."""
    model = onnx.load(path)
    known = {port.name for port in model.graph.output}
    for node in model.graph.node:
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name and name not in known)
    onnx.save(model, output)


def not_finite(path, feeds, folder):
    """The names of values that hold NaN or an infinity."""
    with_intermediates(path, folder / "all.onnx")
    session = judge.session(str(folder / "all.onnx"))
    values = session.run(None, feeds)
    names = [port.name for port in session.get_outputs()]
    floats = [(name, value) for name, value in zip(names, values) if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    return {name for name, value in floats if not np.isfinite(value).all()}


def judge_model(program, path, way, folder):
    """The columns of the table, how many operators are fused and wanted, and what is wrong."""
    flags = WAYS[way]
    wide, narrow, again, back, other = (folder / f"{name}.onnx" for name in ["wide", "narrow", "again", "back", "other"])
    judge.optimize(program, path, wide, flags)
    judge.optimize(program, path, narrow, [*flags, "--dtype", "f16"])
    judge.optimize(program, narrow, again, [*flags, "--dtype", "f16"])
    judge.optimize(program, narrow, back, [*flags, "--dtype", "f32"])
    wrong = []
    if narrow.read_bytes() != again.read_bytes():
        wrong.append("converting again changes the result")
    model = onnx.load(narrow)
    if not all(node.name for node in judge.nodes(model.graph)):
        wrong.append("a node has no name")
    if message := judge.interface_change(model.graph, onnx.load(path).graph):
        wrong.append(message)
    if narrow.stat().st_size > 0.95 * wide.stat().st_size:
        wrong.append("it is not smaller")
    count, total = fused_of(narrow, wide)
    sessions = {name: judge.session(str(file)) for name, file in {"own": path, "new": narrow, "back": back}.items()}
    if converted_by_other(path, other):
        sessions["other"] = judge.session(str(other))
    farthest = collections.Counter()
    original = onnx.load(path)
    for binding, padding in itertools.product(corpus.BINDINGS, corpus.PADDINGS):
        feeds = corpus.feeds(original, binding, padding)
        results = {name: session.run(None, feeds) for name, session in sessions.items()}
        for name in set(results) - {"own"}:
            farthest[name] = max(farthest[name], distance(results[name], results["own"]))
        infinite, known = not_finite(narrow, feeds, folder), not_finite(wide, feeds, folder)
        # A mask that is not finite is computed from such a one.
        names = sorted(name for name in infinite if not any(f"{name}.".startswith(f"{own}.") for own in known))
        wrong += [f"not finite: {name}" for name in names[:1] if f"not finite: {name}" not in wrong]
    if "other" in sessions and not farthest["new"] <= 1.1 * farthest["other"] + ROUNDING:
        wrong.append("it lies further away")
    if not max(farthest["new"], farthest["back"]) <= 2e-3:
        wrong.append("it lies far away")
    cells = [f"{farthest[name]:.1e}" if name in sessions else "-" for name in ["new", "other"]]
    return cells, count, total, wrong


if __name__ == "__main__":
    judge_models("precision", __doc__, "models", WAYS, dict.fromkeys(WAYS, SHARE), ["distance", "other"], judge_model)
