"""Compares the speed of exported models in ONNX Runtime before and after `netwright optimize --target ort`.

Not part of CI: `export_models.py --large FOLDER` creates the models, and requires torch. One thread, with all
optimizations of ONNX Runtime enabled for both. With a shared cache, past and present are one buffer. Runs are
interleaved; the output is medians, their ratio, and the range of the middle half of the ratios of neighboring runs.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import judge
import numpy as np
import onnxruntime

ROUNDS = 31


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(session, sizes):
    random = np.random.default_rng(0)
    arrays = {}
    for port in session.get_inputs():
        shape = [sizes.get(dim, dim) for dim in port.shape]
        if port.name.endswith("mask"):
            arrays[port.name] = np.ones(shape, np.int64)
        elif "int64" in port.type:
            arrays[port.name] = random.integers(0, 2, shape)
        else:
            arrays[port.name] = random.standard_normal(shape, np.float32)
    return arrays


def run(session, sizes):
    """Runs a session on inputs of the given sizes."""
    arrays = feeds(session, sizes)
    return lambda: session.run(None, arrays)


def run_shared(session, sizes):
    """Runs a session whose caches are shared buffers."""
    arrays = feeds(session, sizes)
    pasts = [name for name in arrays if name.startswith("past")]
    buffers = {name: onnxruntime.OrtValue.ortvalue_from_numpy(arrays.pop(name)) for name in pasts}
    binding = judge.bind_shared(session, arrays, buffers)
    return lambda: session.run_with_iobinding(binding)


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def compare(name, before, after, rounds):
    for step in (before, after):
        seconds(step)
    pairs = [(seconds(before), seconds(after)) for _ in range(rounds)]
    medians = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
    ratios = sorted(pair[1] / pair[0] for pair in pairs)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    print(
        f"{name:48}{medians[0] * 1e3:9.2f} ms{medians[1] * 1e3:9.2f} ms{medians[1] / medians[0]:8.3f}"
        f"  ({low:.3f} to {high:.3f})",
        flush=True,
    )


SHARED = ["--kv-cache", "shared"]
CASES = [
    ("bert_base", {"batch": 1, "seq": 128}, []),
    ("gpt2_past", {"batch": 1, "seq": 1, "past": 511, "past_plus_seq": 512}, []),
    ("gpt2_past", {"batch": 1, "seq": 1, "past": 1023, "past_plus_seq": 1024}, []),
    ("gpt2_past", {"batch": 1, "seq": 1, "past": 1023, "past_plus_seq": 1024}, SHARED),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    parser.add_argument("folder", type=pathlib.Path, help="the models")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    print(f"{'':48}{'as it is':>12}{'optimized':>12}{'ratio':>8}")
    for exporter in ("legacy", "dynamo"):
        for name, sizes, flags in CASES:
            path = args.folder / f"{name}.{exporter}.onnx"
            with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                output = pathlib.Path(folder) / "model.onnx"
                command = [args.netwright, "-q", "optimize", path, "-o", output, "--target", "ort", *flags]
                subprocess.run(command, check=True)
                before, after = session(path), session(output)
            if flags == SHARED:
                # The buffers are twice as long as the past.
                after = run_shared(after, sizes | {"past + seq": sizes["past_plus_seq"], "max_length": 2048})
            else:
                after = run(after, sizes)
            label = " ".join([f"{name}.{exporter}", *(f"{key}={size}" for key, size in sizes.items() if "_" not in key)])
            compare(label + (" shared" if flags else ""), run(before, sizes), after, args.rounds)


if __name__ == "__main__":
    main()
