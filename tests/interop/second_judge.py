"""ONNX Runtime as the judge of `netwright verify`.

Usage: second_judge.py NETWRIGHT

Every exported model of `models`, optimized for ONNX Runtime and verified against itself with `--runtime auto` and
`--runtime ort`, with the library of this Python's onnxruntime: none may differ, fail or be beyond judgement. With tract
alone, the models that it cannot judge are those listed here.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import onnxruntime

HERE = pathlib.Path(__file__).resolve().parent
[LIBRARY] = (pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")

# What tract alone cannot judge.
BEYOND_TRACT = {}

DIMS = {name: ["--dim", "past_plus_seq=past+seq"] for name in ["llama_past.legacy"]}


def run(netwright, *arguments, library=LIBRARY):
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    environment["ORT_DYLIB_PATH"] = str(library) if library else ""
    return subprocess.run([netwright, *map(str, arguments)], env=environment, capture_output=True, text=True)


def judge(netwright, model, folder):
    """What is wrong with a model, and whether tract alone judges it."""
    name = model.stem
    dims = DIMS.get(name, [])
    output = folder / model.name
    wrong = []
    written = run(netwright, "-q", "optimize", model, "-o", output, "--target", "ort")
    if written.returncode != 0:
        return name, [f"{name} is not optimized: {written.stderr}"], None
    for arguments in [["--runtime", "auto"], ["--runtime", "ort"], ["--runtime", "ort", "--ort-level", "all"]]:
        told = run(netwright, "verify", model, output, *arguments, *dims)
        expected = 0 if "ONNX Runtime" in told.stdout or arguments[1] == "auto" else None
        if told.returncode != expected:
            wrong.append(f"{name} {' '.join(arguments)}: exit code {told.returncode}\n{told.stdout}{told.stderr}")
    alone = run(netwright, "verify", model, output, "--runtime", "tract", "--json", *dims)
    if alone.returncode not in (0, 3):
        wrong.append(f"{name} in tract alone: exit code {alone.returncode}\n{alone.stdout}{alone.stderr}")
    return name, wrong, alone.returncode == 0


def messages(netwright, model, folder):
    """What is wrong with what is said of libraries that cannot be used."""
    text = folder / "text.so"
    text.write_text("not a library")
    cases = [
        (["--runtime", "ort", "--ort-library", "/nowhere.so"], 2, '"/nowhere.so" cannot be used as ONNX Runtime'),
        (["--runtime", "ort", "--ort-library", folder], 2, "it is not a file"),
        (["--runtime", "ort", "--ort-library", text], 2, "cannot be used as ONNX Runtime"),
        (["--runtime", "tract", "--ort-library", LIBRARY], 2, "--runtime tract does not use ONNX Runtime"),
    ]
    wrong = []
    for arguments, code, message in cases:
        told = run(netwright, "verify", model, *arguments)
        if told.returncode != code or message not in told.stderr:
            wrong.append(f"{' '.join(map(str, arguments))}: exit code {told.returncode}\n{told.stderr}")
    return wrong


def main():
    netwright = pathlib.Path(sys.argv[1]).resolve()
    models = sorted((HERE / "models").glob("*.onnx"))
    wrong, beyond = [], set()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, found, in_tract in pool.map(lambda model: judge(netwright, model, folder), models):
                wrong += found
                if in_tract is False:
                    beyond.add(name)
        wrong += messages(netwright, models[0], folder)
    if beyond != set(BEYOND_TRACT):
        wrong.append(f"tract alone cannot judge {sorted(beyond)}; expected {sorted(BEYOND_TRACT)}")
    print("\n".join(wrong))
    print(f"second judge: {len(models)} models, {len(beyond)} of them beyond tract, {len(wrong)} wrong")
    sys.exit(bool(wrong))


main()
