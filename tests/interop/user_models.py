"""Checks small models of users, each of a kind that an optimizer once got wrong: user_models/*.onnx.

Each is optimized in five ways. The result must load in ONNX Runtime if the original does, have equal results with left
padding, fully masked rows and sizes of 1, and must not change when it is optimized again.
"""

import argparse
import pathlib
import sys
import tempfile

import judge
import numpy as np

WAYS = {
    "none": ["--passes", "none"],
    "onnx": [],
    "opset 23": ["--opset", "23"],
    "tract": ["--target", "tract"],
    "ort": ["--target", "ort"],
}
# The sizes of symbols in each run; all others are 5.
DEFAULTS = {"b": 2, "B": 2, "batch": 2, "p": 3, "P": 3, "PS": 8, "past": 3}
ONES = dict.fromkeys(["b", "B", "batch", "s", "S", "seq", "t"], 1)
RUNS = [DEFAULTS, DEFAULTS | ONES, DEFAULTS | {"b": 3, "B": 3, "batch": 3}]
# Lengths that must agree with another input.
LENGTHS = {"sl": 4, "tl": 5, "tot": 5}
# In f16 the originals themselves are up to 7e-3 of their scale from the same models in f32.
TOLERANCES = {"float16": 1e-2, "float32": 1e-5, "float64": 1e-5}
DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({name})": name for name in ["float16", "int8", "uint8", "int32", "int64"]},
}


def feeds(session, at):
    """Returns the inputs of a run: the last run masks its last row fully."""
    random = np.random.default_rng(at)
    arrays = {}
    for port in session.get_inputs():
        shape = [RUNS[at].get(dim, 5) if isinstance(dim, str) else dim or 3 for dim in port.shape]
        dtype = np.dtype(DTYPES[port.type])
        if "mask" in port.name or (port.name == "m" and len(shape) == 2):
            array = np.ones(shape)
            if shape[-1] > 3:
                array[0, :2] = 0
            if at == 2:
                array[-1] = 0
        elif port.name in LENGTHS:
            array = np.full(shape, LENGTHS[port.name])
        elif dtype.kind in "iu":
            array = random.integers(1, 4, shape)
        elif dtype.kind == "b":
            array = random.integers(0, 2, shape)
        else:
            array = random.standard_normal(shape) * 2
        arrays[port.name] = array.astype(dtype)
    return arrays


def references(path):
    """Returns inputs that ONNX Runtime accepts, and its results; None if it does not load the model."""
    try:
        session = judge.session(str(path))
    except Exception:
        return None
    found = []
    for at in range(len(RUNS)):
        given = feeds(session, at)
        try:
            found.append((given, session.run(None, given)))
        except Exception:
            continue
    return found


def difference(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return f"shape {found.shape}, not {expected.shape}"
    tolerance = TOLERANCES.get(expected.dtype.name, 0)
    scale = np.nanmedian(np.abs(expected)) if expected.dtype == np.float16 and expected.size else 1
    if expected.dtype.kind == "f" and np.allclose(found, expected, tolerance, tolerance * scale, equal_nan=True):
        return None
    return judge.difference(found, expected)


def fault(program, path, flags, expected, folder):
    """Returns what is wrong with one way, or None."""
    written, again = folder / "written.onnx", folder / "again.onnx"
    outcome = judge.netwright(program, "-q", "optimize", path.resolve(), "-o", written, *flags)
    if outcome.crash or outcome.code != 0:
        return outcome.crash or outcome.message
    try:
        session = judge.session(str(written))
        for given, results in expected:
            pairs = zip(session.run(None, given), results, strict=True)
            if text := next((text for pair in pairs if (text := difference(*pair))), None):
                return text
    except Exception as error:
        return judge.first_line(error)
    outcome = judge.netwright(program, "-q", "optimize", written, "-o", again, *flags)
    if outcome.crash or outcome.code != 0:
        return f"the second run: {outcome.crash or outcome.message}"
    return None if written.read_bytes() == again.read_bytes() else "a second run changes it"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netwright")
    arguments = parser.parse_args()
    wrong, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((pathlib.Path(__file__).parent / "user_models").glob("*.onnx")):
            expected = references(path)
            for way, flags in WAYS.items():
                count += 1
                found = fault(arguments.netwright, path, flags, expected, pathlib.Path(folder))
                if found:
                    wrong.append(f"{path.stem} {way}: {found}")
    print("\n".join(wrong))
    print(f"user models: {count - len(wrong)} of {count} runs are as expected")
    sys.exit(bool(wrong))


main()
