"""Checks built models with two independent judges.

Each model that netwright builds must pass the ONNX checker with full and strict shape inference, load in ONNX Runtime
with and without its own optimizations, and compute the same as in tract, for three bindings of its symbols
(`netwright verify --dump` writes the inputs and the outputs of tract).
"""

import itertools
import pathlib
import subprocess
import sys
import tempfile

import judge
from safetensors.numpy import load_file

TOLERANCE = 1e-4


def differ(netwright, path, folder):
    """Returns the largest difference between tract and ONNX Runtime."""
    judge.check_strictly(path, folder)
    dump = folder / "dump"
    subprocess.run([netwright, "-q", "verify", path, "--dump", dump], check=True)
    sessions = [judge.session(path, level, threads=2) for level in [judge.PLAIN, judge.OPTIMIZED]]
    worst = 0.0
    files = sorted(dump.glob("*.safetensors"))
    assert len(files) >= 3, f"{len(files)} bindings were dumped"
    for file in files:
        tensors = load_file(file)
        inputs = {name.removeprefix("input."): array for name, array in tensors.items() if name.startswith("input.")}
        # The attention kernels of ONNX Runtime refuse batches and lengths of 0.
        if any(array.size == 0 and "past" not in name for name, array in inputs.items()):
            continue
        for runner in sessions:
            names = [output.name for output in runner.get_outputs()]
            for name, found in zip(names, runner.run(names, inputs)):
                worst = max(worst, judge.largest_difference(found, tensors[f"output.{name}"]))
    assert worst <= TOLERANCE, f"ONNX Runtime and tract differ by {worst}"
    return worst


def main(netwright):
    dates = "examples/dates"
    cases = [["transformer-base"]]
    cases += [
        [dates, "--part", part, "--target", target, "--opset", opset]
        for part, target, opset in itertools.product(
            ["encoder", "decoder", "both"], ["onnx", "tract", "ort"], ["17", "20", "21", "24"]
        )
    ]
    cases += [[dates, "--part", "both", "--no-optimize"], [dates, "--part", "both", "--outputs-attention"]]
    cases += [[dates, "--part", "both", "--external-data", "always"]]
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            path = str(folder / "model.onnx")
            subprocess.run([netwright, "-q", "build", *case, "-o", path], check=True)
            print(f"{differ(netwright, path, folder):.1e}  {' '.join(case)}", flush=True)
    print(f"{len(cases)} passed, 0 failed")


if __name__ == "__main__":
    main(sys.argv[1])
