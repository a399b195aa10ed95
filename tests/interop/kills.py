"""Kills netwright at many moments: files stay whole, no files are left over, and no child outlives its parent.

For each command and signal, 50 runs are killed after delays spread over the duration of the command.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIGNALS = [signal.SIGKILL, signal.SIGTERM]
POINTS = 50
LAYERS = 12
WIDTH = 1024


def make_model(path):
    """Writes a model of matrix products with 48 MB, so that writing takes a while."""
    random = np.random.default_rng(0)
    names = [f"w{at}" for at in range(LAYERS)]
    tensors = [numpy_helper.from_array(random.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 32, name) for name in names]
    nodes = [helper.make_node("MatMul", [f"x{at}", name], [f"x{at + 1}"], f"product{at}") for at, name in enumerate(names)]
    port = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
    graph = helper.make_graph(nodes, "products", [port("x0")], [port(f"x{LAYERS}")], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def processes():
    """Returns the command lines of all live processes, by process id."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().split(b"\0")
            if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found[int(entry.name)] = line
        except OSError:
            continue
    return found


def workers(program):
    """Returns the processes that verify for a parent."""
    return [number for number, line in processes().items() if line[0] == os.fsencode(program) and b"__verify-worker" in line]


def run(command, folder, delay, number):
    """Starts a command, and kills it after the delay; returns whether it was still running."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, **quiet)
    try:
        process.wait(delay)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait(5)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netwright")
    program = str(pathlib.Path(parser.parse_args().netwright).resolve())
    family = pathlib.Path(__file__).resolve().parents[1] / "families/gpt2"
    wrong, killed, count = [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_model(folder / "original.onnx")
        original = (folder / "original.onnx").read_bytes()
        subprocess.run([program, "-q", "optimize", "original.onnx", "-o", "optimized.onnx"], cwd=folder, check=True)
        optimized = (folder / "optimized.onnx").read_bytes()
        commands = {
            "optimize": ["optimize", "m.onnx", "-o", "m.onnx"],
            "build": ["build", str(family), "-o", "out"],
            "verify": ["verify", "m.onnx", "original.onnx"],
        }
        for what, arguments in commands.items():
            shutil.copy(folder / "original.onnx", folder / "m.onnx")
            begun = time.monotonic()
            subprocess.run([program, "-q", *arguments], cwd=folder, check=True)
            whole = time.monotonic() - begun
            for number in SIGNALS:
                for point in range(POINTS):
                    count += 1
                    shutil.copy(folder / "original.onnx", folder / "m.onnx")
                    killed += run([program, "-q", *arguments], folder, whole * (point + 0.5) / POINTS, number)
                    label = f"{what}, {number.name}, moment {point}"
                    if (folder / "m.onnx").read_bytes() not in (original, optimized):
                        wrong.append(f"{label}: the model is broken")
                    left = [path.name for path in folder.rglob("*.tmp")]
                    if left:
                        wrong.append(f"{label}: {left} is left")
                    deadline = time.monotonic() + 1
                    while (alive := workers(program)) and time.monotonic() < deadline:
                        time.sleep(0.02)
                    if alive:
                        wrong.append(f"{label}: a child is alive after a second")
                        [os.kill(child, signal.SIGKILL) for child in alive]
    print("\n".join(wrong))
    print(f"kills: {count - len(wrong)} of {count} runs passed; {killed} were killed while they ran")
    sys.exit(bool(wrong) or killed < count / 4)


main()
