"""Shared by the judges of this folder: running netwright, running models in other runtimes, and comparing results."""

import os

# By default ONNX Runtime refuses opsets that were not final when it was built; it runs those that it implements.
os.environ.setdefault("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")

import pathlib
import re
import subprocess
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

EXIT_CODES = range(4)
# A verification runs a model a dozen times, and the machine may be busy.
MOST_SECONDS = 100

# netwright finds ONNX Runtime in this Python's package, whatever else the machine has.
[LIBRARY] = (pathlib.Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*")
ENVIRONMENT = {**os.environ, "ORT_DYLIB_PATH": str(LIBRARY)}

PLAIN = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
OPTIMIZED = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


@dataclass
class Outcome:
    """The result of a run of netwright."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def crash(self):
        """Returns a failure that no input may cause, or None: signal, panic, undocumented exit code or timeout."""
        if self.code is None:
            return f"over {MOST_SECONDS} s"
        if "panicked at" in self.stderr:
            return self.message
        return None if self.code in EXIT_CODES else f"exit code {self.code}"

    @property
    def message(self):
        """Returns the first line of the error, and the next one if the first ends with a colon."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()] or [f"exit code {self.code}"]
        return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def netwright(program, *arguments, folder=None):
    """Runs a command in the folder, so that messages do not contain the path of this run."""
    command = [pathlib.Path(program).resolve(), *arguments]
    kept = {"env": ENVIRONMENT, "capture_output": True, "text": True, "errors": "replace"}
    try:
        process = subprocess.run(command, cwd=folder, timeout=MOST_SECONDS, check=False, **kept)
    except subprocess.TimeoutExpired:
        return Outcome(None, "", "")
    return Outcome(process.returncode, process.stdout, process.stderr)


def session(model, level=PLAIN, threads=1):
    """Creates a session of ONNX Runtime for a path or bytes."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def in_onnxruntime(path, feeds):
    return session(str(path)).run(None, feeds)


def in_reference(path, feeds):
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(str(path)).run(None, feeds)


RUNTIMES = {"ONNX Runtime": in_onnxruntime, "the reference evaluator": in_reference}


def invalid(path, full=True):
    """Returns the error of the ONNX checker for a model, or None; `full` infers shapes strictly."""
    try:
        onnx.checker.check_model(str(path), full_check=full)
        return None
    except Exception as error:
        return first_line(error)


def check_strictly(path, folder):
    """Fails unless the ONNX checker accepts a model with full and strict shape inference."""
    onnx.checker.check_model(str(path), full_check=True)
    inferred = str(folder / "inferred.onnx")
    onnx.shape_inference.infer_shapes_path(str(path), inferred, check_type=True, strict_mode=True)


def first_line(error):
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def optimize(program, model, output, flags):
    """Runs `netwright optimize`, which must succeed."""
    outcome = netwright(program, "-q", "optimize", model.resolve(), "-o", output, *flags)
    assert not outcome.crash and outcome.code == 0, outcome.crash or outcome.message


def difference(found, expected, elements=True, tolerance=0.0):
    """Returns how two results differ in type, shape, any bit (with `elements`) or beyond the tolerance; or None."""
    if isinstance(expected, list):
        if not isinstance(found, list):
            return f"{type(found).__name__}, not a list"
        if elements and len(found) != len(expected):
            return f"{len(found)} elements, not {len(expected)}"
        pairs = enumerate(zip(found, expected))
        return next((f"[{at}]: {text}" for at, pair in pairs if (text := difference(*pair, elements, tolerance))), None)
    if expected is None or found is None:
        return None if found is expected else "one of the two is nothing"
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype:
        return f"type {found.dtype}, not {expected.dtype}"
    if found.shape != expected.shape:
        return f"shape {list(found.shape)}, not {list(expected.shape)}"
    if not elements or equal_bits(found, expected):
        return None
    if tolerance and found.dtype.kind == "f" and largest_difference(found, expected) <= tolerance:
        return None
    at = np.flatnonzero(found != expected)
    if not at.size:
        return "the bits differ: the sign of a zero, or a NaN's"
    return f"{at.size} of {found.size} elements differ, the first {found.flat[at[0]]}, not {expected.flat[at[0]]}"


def bind_shared(session, feeds, buffers):
    """Binds the inputs of a model with `--kv-cache shared`: each buffer is past and present. Returns the logits."""
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("logits")
    for name, buffer in buffers.items():
        binding.bind_ortvalue_input(name, buffer)
        binding.bind_ortvalue_output(name.replace("past_key_values", "present"), buffer)
    return binding


def equal_bits(found, expected):
    # Strings, whose bytes may be pointers.
    if expected.dtype.kind in "OUST":
        return found.tolist() == expected.tolist()
    return found.tobytes() == expected.tobytes()


def largest_difference(found, expected):
    """Returns the largest |a - b| / max(1, |b|)."""
    assert found.shape == expected.shape, f"shape {found.shape}, not {expected.shape}"
    assert found.dtype == expected.dtype, f"type {found.dtype}, not {expected.dtype}"
    differs = (found != expected) & ~(np.isnan(found) & np.isnan(expected))
    found, expected = found[differs].astype(np.float64), expected[differs].astype(np.float64)
    distances = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    # A NaN on one side would be lost in comparisons; equal infinities are not among what differs.
    return float(np.max(np.nan_to_num(distances, nan=np.inf), initial=0))


def nodes(graph):
    """Returns every node of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from nodes(body)


def interface_change(found, expected):
    """Returns how inputs and outputs differ in name, order or declared type, or None; new declarations are allowed."""
    for side in ["input", "output"]:
        ports, wanted = getattr(found, side), getattr(expected, side)
        names, wanted_names = [port.name for port in ports], [port.name for port in wanted]
        if names != wanted_names:
            return f"{side}s {names}, not {wanted_names}"
        for port, want in zip(ports, wanted):
            text, (pattern, wanted_text) = type_pattern(port.type)[1], type_pattern(want.type)
            if not re.fullmatch(pattern, text):
                return f"{side} `{port.name}`: {text}, not {wanted_text}"
    return None


def type_pattern(declared):
    """Returns a declared type as netwright prints it: as a pattern with undeclared parts open, and as text."""
    kind = declared.WhichOneof("value")
    if kind in ("sequence_type", "optional_type"):
        word = kind.removesuffix("_type")
        pattern, text = type_pattern(getattr(declared, kind).elem_type)
        return rf"{word}\({pattern}\)", f"{word}({text})"
    if kind != "tensor_type":
        return "(?!)", str(kind)
    tensor = declared.tensor_type
    element = element_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return rf"{element}\[.*\]", f"{element}[*]"
    dims = [str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim]
    pattern = ", ".join(re.escape(dim) or "[^,]+" for dim in dims)
    return rf"{element}\[{pattern}\]", f"{element}[{', '.join(dim or '?' for dim in dims)}]"


def element_name(number):
    """Returns the name of an element type: f32 for `FLOAT`, bf16 for `BFLOAT16`, f8e4m3fn for `FLOAT8E4M3FN`."""
    name = onnx.TensorProto.DataType.Name(number)
    if name in ("FLOAT", "DOUBLE"):
        return {"FLOAT": "f32", "DOUBLE": "f64"}[name]
    short = {"FLOAT": "F", "UINT": "U", "INT": "I", "COMPLEX": "C"}
    return re.sub("FLOAT|UINT|INT|COMPLEX", lambda match: short[match[0]], name).lower()
