"""Compares time and memory of netwright and similar tools, as whole processes, on two exported models.

Not part of CI: `pip install -r requirements-bench.txt` installs torch. Run it on an idle machine. The tools take turns;
each run starts after the output of the last one is on disk, with the input in the page cache.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# The parts that need more than the standard library run in separate processes: the peak memory of a child starts at
# that of its parent.
EXPORT = """
import pathlib, sys, tempfile
import onnx, torch
from transformers import BertConfig, BertModel

class Bert(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bert = BertModel(config)

    def forward(self, input_ids, attention_mask, token_type_ids):
        result = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return result.last_hidden_state, result.pooler_output

path, layers, width = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
config = BertConfig(
    num_hidden_layers=layers, hidden_size=width, num_attention_heads=width // 64, intermediate_size=4 * width,
    attn_implementation="eager",
)
torch.manual_seed(0)
names = ["input_ids", "attention_mask", "token_type_ids"]
tokens = torch.ones(2, 8, dtype=torch.int64)
outputs = ["last_hidden_state", "pooler_output"]
with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    exported = pathlib.Path(folder) / "model.onnx"
    with torch.no_grad():
        torch.onnx.export(
            Bert(config).eval(), (tokens,) * 3, str(exported), opset_version=17, dynamo=False,
            input_names=names, output_names=outputs,
            dynamic_axes={name: {0: "batch", 1: "seq"} for name in names + outputs[:1]} | {outputs[1]: {0: "batch"}},
        )
    model = onnx.load(exported)
onnx.save(model, path, save_as_external_data=sys.argv[4] == "True", location=path.name + ".data")
"""

COUNT = """
import sys
import onnx, onnx.inliner

def count(graph):
    bodies = [body for node in graph.node for attribute in node.attribute for body in [attribute.g, *attribute.graphs]]
    return sum(node.op_type != "Constant" for node in graph.node) + sum(map(count, bodies))

print(count(onnx.inliner.inline_local_functions(onnx.load(sys.argv[1], load_external_data=False)).graph))
"""

ONNXSCRIPT = """
import sys
import onnx_ir, onnxscript.optimizer

model = onnx_ir.load(sys.argv[1])
onnxscript.optimizer.optimize(model)
onnx_ir.save(model, sys.argv[2], external_data=sys.argv[3] if len(sys.argv) > 3 else None)
"""

# The layers and width of BERT, and whether its weights are external data.
MODELS = {"bert-base": (12, 768, False), "bert-2.7GB": (12, 2048, True)}

MOST_SECONDS = 900


def export(cache, name):
    """Creates the model in its own folder, once."""
    path = cache / name / "model.onnx"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = pathlib.Path(folder) / "model.onnx"
            subprocess.run([sys.executable, "-c", EXPORT, made, *map(str, MODELS[name])], check=True)
            path.parent.mkdir(exist_ok=True)
            for file in sorted(pathlib.Path(folder).iterdir(), reverse=True):
                file.rename(path.parent / file.name)
    return path


def commands(netwright, model, output, external):
    """Returns the command line of each tool that reads `model` and writes `output`."""
    here = pathlib.Path(sys.executable).parent
    beside = ["--save-as-external-data"] if external else []
    # The weights stay in the input's file, so the output is written beside it.
    shared = model.parent / "shared.onnx"
    tools = {
        "cp": ["cp", *model.parent.glob("model.onnx*"), output.parent],
        "netwright": [netwright, "-q", "optimize", model, "-o", output],
        "netwright --share-weights": [netwright, "-q", "optimize", "--share-weights", model, "-o", shared],
        "onnxscript": [sys.executable, "-c", ONNXSCRIPT, model, output, *(["model.onnx.data"] if external else [])],
        "onnxslim": [here / "onnxslim", model, output, *beside],
        "onnxsim": [here / "onnxsim", model, output, *beside],
        "onnxoptimizer": [sys.executable, "-m", "onnxoptimizer", model, output],
    }
    if "--share-weights" not in subprocess.run([netwright, "optimize", "--help"], capture_output=True, text=True).stdout:
        del tools["netwright --share-weights"]
    return tools


def run(command):
    """Returns the seconds and peak bytes of a process, or how it failed."""
    os.sync()
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        process = subprocess.Popen(["timeout", str(MOST_SECONDS), *map(str, command)], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            lines = log.read().decode(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            return f"exit code {process.returncode}: {last[:120]}"
    return seconds, usage.ru_maxrss * 1024


def measure(netwright, model, external, cache, tools, runs):
    """Prints a line for each tool."""
    results = {}
    outputs = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            output = pathlib.Path(folder) / "model.onnx"
            for tool, command in commands(netwright, model, output, external).items():
                if tools and tool not in tools or isinstance(results.get(tool), str):
                    continue
                result = run(command)
                if isinstance(result, str):
                    results[tool] = result
                else:
                    results.setdefault(tool, []).append(result)
                    written = [pathlib.Path(command[-1])] if "--share-weights" in tool else output.parent.iterdir()
                    outputs[tool] = described(list(written))
                for file in [*output.parent.iterdir(), model.parent / "shared.onnx"]:
                    file.unlink(missing_ok=True)
    print(f"{model.parent.name}: medians of {runs} runs (least to most)")
    print(f"{'':27}{'seconds':>9}{'':18}{'of cp':>8}{'peak MB':>9}{'output MB':>11}{'nodes':>7}")
    floor = statistics.median(seconds for seconds, _ in results["cp"]) if "cp" in results else None
    for tool, result in results.items():
        if isinstance(result, str):
            print(f"{tool:27}{result}")
            continue
        seconds = [seconds for seconds, _ in result]
        median, peak = statistics.median(seconds), max(peak for _, peak in result)
        spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
        ratio = f"{median / floor:.2f}" if floor else ""
        size, nodes = outputs[tool]
        print(f"{tool:27}{median:9.2f} {spread:17}{ratio:>8}{peak / 1e6:9.0f}{size / 1e6:11.1f}{nodes:>7}", flush=True)


def described(files):
    """Returns the size of all files and the number of nodes, without Constant nodes."""
    model = next(file for file in files if file.suffix == ".onnx")
    counted = subprocess.run([sys.executable, "-c", COUNT, model], capture_output=True, text=True, check=True)
    return sum(file.stat().st_size for file in files), counted.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("netwright", type=lambda path: pathlib.Path(path).resolve(), help="the program")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="a folder outside the tree: 7 GB")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--tools", nargs="+", help="those to run [default: all]")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    cache = args.cache.resolve()
    for name in args.models:
        model = export(cache, name)
        measure(args.netwright, model, MODELS[name][2], cache, args.tools, args.runs)


if __name__ == "__main__":
    main()
