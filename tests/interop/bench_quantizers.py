"""Compares quantizing to 4 bits with ONNX Runtime's own quantizer, and with `cp`: `bench_quantizers.py PROGRAM MODEL`.

Not part of CI: the quantizer of ONNX Runtime requires onnx-ir, which requirements-bench.txt names. Whole processes take
turns, with the model in the page cache; the output is the median of their wall times and processor times, and the peak
of resident memory. Both quantize blocks of 32 to the nearest codes; netwright also with a search, and embeddings too.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5

QUANTIZE = """
import sys
import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

quantizer = MatMulNBitsQuantizer(onnx.load(sys.argv[1]), bits=4, block_size=32, is_symmetric=True, accuracy_level=4)
quantizer.process()
quantizer.model.save_model_to_file(sys.argv[2], False)
"""


def run(command):
    """Returns wall time and processor time in seconds, and peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    parser.add_argument("model", type=pathlib.Path, help="an .onnx file in f32")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.model.parent) as folder:
        output = pathlib.Path(folder) / "model.onnx"
        optimize = [args.netwright, "-q", "optimize", args.model, "-o", output, "--target", "ort", "--quantize", "int4"]
        commands = {
            "cp": ["cp", args.model, output],
            "netwright, nearest": [*optimize, "--rounding", "nearest"],
            "netwright, search": [*optimize, "--rounding", "search"],
            "ONNX Runtime": [sys.executable, "-c", QUANTIZE, args.model, output],
        }
        runs = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                runs[name].append((*run(command), output.stat().st_size))
                output.unlink()
    print(f"{'':20}{'wall':>9}{'processor':>11}{'peak':>10}{'bytes':>14}")
    for name, found in runs.items():
        wall, processor, peak, size = map(statistics.median, zip(*found, strict=True))
        print(f"{name:20}{wall:7.2f} s{processor:9.2f} s{peak:7.0f} MB{size:14.0f}")


if __name__ == "__main__":
    main()
