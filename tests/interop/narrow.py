"""Models in f16 (narrow_models), beside the exports in f32 that they were made from, for three targets.

Each optimized model must load in ONNX Runtime, keep its interface, and lie no further
from the export in f32 than the model did before: by a tenth of that distance and 1e-4 of the output at most. Of the
attentions, normalizations, activations and rotary embeddings that the export has when it is optimized, 95 % must be in the
optimized model too.
"""

import argparse
import collections
import itertools
import pathlib
import sys
import tempfile

import corpus
import judge
import numpy as np
import onnx

HERE = pathlib.Path(__file__).parent
WAYS = {"onnx": ["--opset", "23"], "tract": ["--target", "tract"], "ort": ["--target", "ort"]}
# The operators that stand for the same; those of com.microsoft have names of their own.
FUSED = {
    "Attention": "attention",
    "LayerNormalization": "normalization",
    "RMSNormalization": "normalization",
    "Gelu": "activation",
    "BiasGelu": "activation",
    "FastGelu": "activation",
    "QuickGelu": "activation",
    "RotaryEmbedding": "rotary embedding",
}
# The share of the operators that are fused in f32; ONNX Runtime has QuickGelu in f32 only.
SHARE = {"onnx": 1.0, "tract": 1.0, "ort": 0.95}


def fused(path):
    names = [FUSED.get(node.op_type) for node in judge.nodes(onnx.load(path).graph)]
    return collections.Counter(name for name in names if name)


def fused_of(narrow, wide):
    """How many of the operators that are fused in a file are fused in the narrow one, and how many there are."""
    found, wanted = fused(narrow), fused(wide)
    return sum(min(found[name], times) for name, times in wanted.items()), wanted.total()


def distance(found, expected):
    """The root of the mean square of the differences, as a share of that of the output: the largest of the outputs.

    The largest difference of an element is a matter of luck: between two orders of the same sums, it doubles.
    """
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape, f"shape {one.shape}, not {other.shape}"
        if other.dtype.kind == "f" and other.size:
            one, other = one.astype(np.float64), other.astype(np.float64)
            share = float(np.sqrt(np.mean((one - other) ** 2) / np.mean(other**2)))
            largest = max(largest, share if share >= 0 else np.inf)
    return largest


def results(session, feeds):
    def fitting(port):
        array = feeds[port.name]
        return array.astype(np.float16) if port.type == "tensor(float16)" else array

    return session.run(None, {port.name: fitting(port) for port in session.get_inputs()})


def distances(export, model, optimized):
    """How far the model lies from the export, before and after."""
    wide = onnx.load(export)
    sessions = [judge.session(str(path)) for path in (export, model, optimized)]
    before = after = 0.0
    for binding in corpus.BINDINGS:
        for padding in corpus.PADDINGS:
            feeds = corpus.feeds(wide, binding, padding)
            # What f16 holds, so that the inputs are the same.
            feeds = {
                name: array.astype(np.float16).astype(array.dtype) if array.dtype.kind == "f" else array
                for name, array in feeds.items()
            }
            expected, own, new = (results(session, feeds) for session in sessions)
            before, after = max(before, distance(own, expected)), max(after, distance(new, expected))
    return before, after


def judge_model(program, path, way, folder):
    """The columns of the table, how many operators are fused and wanted, and what is wrong."""
    export = HERE / "models" / f"{path.stem.rsplit('.', 1)[0]}.dynamo.onnx"
    narrow, wide = folder / "narrow.onnx", folder / "wide.onnx"
    judge.optimize(program, path, narrow, WAYS[way])
    judge.optimize(program, export, wide, WAYS[way])
    count, total = fused_of(narrow, wide)
    before, after = distances(export, path, narrow)
    wrong = []
    if message := judge.interface_change(onnx.load(narrow).graph, onnx.load(path).graph):
        wrong.append(message)
    if not after <= 1.1 * before + 1e-4:
        wrong.append("it lies further from the export")
    return [f"{before:.1e}", f"{after:.1e}"], count, total, wrong


def judge_models(name, doc, default, ways, share, columns, judge_model):
    """Judges every model in every way, prints a table, and ends the process. `judge_model` returns two cells, how many
    operators are fused, how many should be, and what is wrong."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netwright")
    parser.add_argument("models", nargs="*", type=pathlib.Path, default=sorted((HERE / default).glob("*.onnx")))
    arguments = parser.parse_args()
    failed, counts, wanted = 0, collections.Counter(), collections.Counter()
    print(f"{'model':26}{'way':8}{'fused':>8}{columns[0]:>10}{columns[1]:>10}")
    for path, way in itertools.product(arguments.models, ways):
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells, count, total, wrong = judge_model(arguments.netwright, path, way, pathlib.Path(folder))
                cells = [f"{count}/{total}", *cells]
            except Exception as error:
                cells, count, total, wrong = [""] * 3, 0, 0, [judge.first_line(error)]
        failed += bool(wrong)
        counts[way] += count
        wanted[way] += total
        text = "".join(f"{cell:>{width}}" for cell, width in zip(cells, [8, 10, 10]))
        print(f"{path.stem:26}{way:8}{text}  {'; '.join(wrong)}".rstrip(), flush=True)
    for way in ways:
        few = counts[way] < share[way] * wanted[way]
        failed += few
        print(f"{way}: {counts[way]} of {wanted[way]} are fused{', which are too few' if few else ''}")
    print(f"{name}: {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    judge_models("narrow", __doc__, "narrow_models", WAYS, SHARE, ["before", "after"], judge_model)
