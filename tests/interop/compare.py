"""Optimizes exports in `models` with netwright and other tools, and compares what each writes.

Prints the table of docs/comparison.md: the models that a tool writes, those that ONNX Runtime then loads and runs with
equal results (largest error 1e-4, for the sizes and paddings of corpus.py), and over the models that all tools write,
nodes and fused attentions. Not part of CI: `pip install -r requirements-bench.txt` installs the other tools; torch is
not needed.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import corpus
import judge
import onnx

FOLDER = pathlib.Path(__file__).parent / "models"
MODELS = ["bert", "gpt2_past", "llama_past", "t5_encoder", "vit"]
MOST_SECONDS = 60

ONNXSCRIPT = """
import sys, onnx_ir, onnxscript.optimizer
model = onnx_ir.load(sys.argv[1])
onnxscript.optimizer.optimize(model)
onnx_ir.save(model, sys.argv[2])
"""
# The optimizer of ONNX Runtime for Transformers wants to know the family.
TRANSFORMERS = """
import sys
from onnxruntime.transformers.optimizer import optimize_model
name = sys.argv[3]
family = next((family for family in ["gpt2", "t5", "vit", "bart"] if name.startswith(family)), "bert")
optimize_model(sys.argv[1], model_type=family, opt_level=0).save_model_to_file(sys.argv[2])
"""
# What ONNX Runtime itself does when it loads a model.
RUNTIME = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.optimized_model_filepath = sys.argv[2]
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""


def commands(program, model, output):
    """Returns the command line of each tool."""
    here, name = pathlib.Path(sys.executable).parent, model.stem
    python = [sys.executable, "-c"]
    return {
        "as exported": ["cp", model, output],
        "netwright": [program, "optimize", model, "-o", output],
        "netwright --target ort": [program, "optimize", model, "-o", output, "--target", "ort"],
        "onnxslim": [here / "onnxslim", model, output],
        "onnxsim": [here / "onnxsim", model, output],
        "onnxoptimizer": [sys.executable, "-m", "onnxoptimizer", model, output],
        "onnxscript": [*python, ONNXSCRIPT, model, output],
        "onnxruntime.transformers": [*python, TRANSFORMERS, model, output, name],
        "ONNX Runtime, extended": [*python, RUNTIME, model, output],
    }


def written(command, output):
    """Returns the nodes and the fused attentions of what a tool writes, or None."""
    try:
        process = subprocess.run(list(map(str, command)), capture_output=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if process.returncode or not output.exists():
        return None
    model = onnx.load(output)
    attentions = sum("Attention" in node.op_type for node in judge.nodes(model.graph))
    return corpus.count(model), attentions


def is_equal(model, output):
    try:
        return corpus.worst_difference(model, output) <= 1e-4
    except Exception:  # noqa: BLE001 - the runtime refuses the model or an input, with errors of its own
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("netwright", type=lambda path: pathlib.Path(path).resolve(), help="the program")
    parser.add_argument("models", nargs="*", default=[f"{name}.{way}" for name in MODELS for way in ["legacy", "dynamo"]])
    args = parser.parse_args()
    program, models = args.netwright, [FOLDER / f"{name}.onnx" for name in args.models]
    found, equal = {}, {}
    for model in models:
        for tool in commands(program, model, model):
            with tempfile.TemporaryDirectory() as folder:
                output = pathlib.Path(folder) / "model.onnx"
                result = written(commands(program, model, output)[tool], output)
                print(model.stem, tool, result, file=sys.stderr, flush=True)
                found.setdefault(tool, {})
                if result:
                    found[tool][model.stem] = result
                    equal[tool] = equal.get(tool, 0) + is_equal(model, output)
    common = [model.stem for model in models if all(model.stem in results for results in found.values() if results)]
    print(f"| tool | written, of {len(models)} | equal | nodes of {len(common)} models | fused attentions |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for tool, results in found.items():
        nodes, attentions = (sum(results[name][at] for name in common if results) for at in range(2))
        print(f"| {tool} | {len(results)} | {equal.get(tool, 0)} | {nodes:,} | {attentions} |")


if __name__ == "__main__":
    main()
