"""Checks `netwright verify` with ONNX Runtime as the judge.

Usage: second_judge.py NETWRIGHT

Every exported model of `models` is compared with its form optimized for ONNX Runtime, in every runtime, with the
library of this Python's onnxruntime: none may differ, fail or be unverifiable. Also checks the errors for libraries that
cannot be used.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

import judge

HERE = pathlib.Path(__file__).resolve().parent

WAYS = {
    "tract": ["--runtime", "tract"],
    "auto": ["--runtime", "auto"],
    "ort": ["--runtime", "ort"],
    "ort, optimized": ["--runtime", "ort", "--ort-level", "all"],
}


def run(netwright, *arguments):
    return subprocess.run([netwright, *map(str, arguments)], env=judge.ENVIRONMENT, capture_output=True, text=True, check=False)


def judge_model(netwright, model, folder):
    """Returns what is wrong with the verdicts on a model."""
    name = model.stem
    output = folder / model.name
    written = run(netwright, "-q", "optimize", model, "-o", output, "--target", "ort")
    if written.returncode != 0:
        return [f"{name} is not optimized: {written.stderr}"]
    dims = ["--dim", "past_plus_seq=past+seq"] if "past" in name or "_kv" in name else []
    wrong = []
    for way, arguments in WAYS.items():
        told = run(netwright, "verify", model, output, *arguments, *dims)
        runtime = "ONNX Runtime" if way.startswith("ort") else "tract"
        if told.returncode != 0 or not told.stdout.startswith(f"equal in {runtime}"):
            wrong.append(f"{name}, {way}: exit code {told.returncode}\n{told.stdout}{told.stderr}")
    return wrong


def messages(netwright, model, folder):
    """Returns what is wrong with the errors for libraries that cannot be used."""
    text = folder / "text.so"
    text.write_text("not a library")
    cases = [
        (["--runtime", "ort", "--ort-library", folder / "nowhere.so"], "nowhere.so\" cannot be used as ONNX Runtime"),
        (["--runtime", "ort", "--ort-library", folder], "it is not a file"),
        (["--runtime", "ort", "--ort-library", text], "text.so\" cannot be used as ONNX Runtime"),
        (["--runtime", "tract", "--ort-library", judge.LIBRARY], "--runtime tract does not use ONNX Runtime"),
    ]
    wrong = []
    for arguments, message in cases:
        told = run(netwright, "verify", model, *arguments)
        if told.returncode != 2 or message not in told.stderr:
            wrong.append(f"{' '.join(map(str, arguments))}: exit code {told.returncode}\n{told.stderr}")
    return wrong


def main():
    netwright = pathlib.Path(sys.argv[1]).resolve()
    models = sorted((HERE / "models").glob("*.onnx"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda model: judge_model(netwright, model, folder), models)
            wrong = [line for lines in found for line in lines] + messages(netwright, models[0], folder)
    print("\n".join(wrong))
    print(f"second judge: {len(models)} models in {len(WAYS)} ways, {len(wrong)} failed")
    sys.exit(bool(wrong))


main()
