"""Compares exported models in ONNX Runtime before and after `netwright optimize`.

Each result must pass the ONNX checker with full and strict shape inference, keep the interface, have equal results for
four bindings of the symbols and four paddings, and be deterministic; optimizing it again must change nothing. Models of
the corpus have a limit on nodes, which counts those of subgraphs and functions, without Constant nodes.
"""

import argparse
import itertools
import pathlib
import sys
import tempfile

import judge
import numpy as np
import onnx
import onnx.inliner

# The options of netwright, the tolerance, and the most nodes for the models of the corpus.
WAYS = {
    "onnx": ([], 1e-5, [86, 78, 97, 85, 312, 312, 148]),
    "onnx 23": (["--opset", "23"], 1e-4, [55, 55, 51, 53, 243, 243, 60]),
    # Five more nodes: tract does not compute fully masked rows unless their mask is lifted.
    "tract": (["--target", "tract"], 1e-4, [60, 60, 56, 58, 248, 248, 65]),
    "ort": (["--target", "ort"], 1e-4, [40, 40, 43, 45, 195, 195, 52]),
}
CORPUS = [
    "bert_base.legacy",
    "bert_base.dynamo",
    "gpt2_kv.legacy",
    "gpt2_kv.dynamo",
    "annotated.legacy",
    "annotated.dynamo",
    "llama4_kv.dynamo",
]

BINDINGS = [
    {"batch": 1, "seq": 5, "enc": 3, "past": 0, "past_plus_seq": 5},
    {"batch": 3, "seq": 7, "enc": 11, "past": 5, "past_plus_seq": 12},
    {"batch": 2, "seq": 1, "enc": 4, "past": 9, "past_plus_seq": 10},
    # A symbol of its own: the mask may be longer than the keys.
    {"batch": 2, "seq": 2, "enc": 1, "past": 3, "past_plus_seq": 8},
]
PADDINGS = ["none", "right", "left", "holes"]
# The embeddings of the models have at least this many tokens.
TOKENS = 60


def mask(padding, shape, random):
    """Returns a mask with 1 for tokens; every row has another length."""
    lengths = shape[1] - np.arange(shape[0]) % max(1, shape[1])
    places = np.arange(shape[1])
    rows = {
        "none": lambda: np.ones(shape),
        "right": lambda: places < lengths[:, None],
        "left": lambda: places >= shape[1] - lengths[:, None],
        "holes": lambda: random.integers(0, 2, shape),
    }
    return rows[padding]()


def feeds(model, binding, padding):
    """Returns inputs for a model, from the names and types that it declares."""
    random = np.random.default_rng(0)
    arrays = {}
    for port in model.graph.input:
        tensor = port.type.tensor_type
        shape = [binding[dim.dim_param] if dim.dim_param else dim.dim_value for dim in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if port.name.endswith("mask"):
            array = mask(padding, shape, random)
        elif np.issubdtype(dtype, np.integer):
            array = random.integers(0, 2 if "type" in port.name else TOKENS, shape)
        else:
            array = random.standard_normal(shape)
        arrays[port.name] = array.astype(dtype)
    return arrays


def count(model):
    """Counts nodes, with functions inlined, including subgraphs and excluding Constant nodes."""
    inlined = onnx.inliner.inline_local_functions(model)
    return sum(node.op_type != "Constant" for node in judge.nodes(inlined.graph))


def worst_difference(original, optimized):
    sessions = [judge.session(str(path)) for path in (original, optimized)]
    model = onnx.load(original)
    worst = 0.0
    for binding in BINDINGS:
        for padding in PADDINGS:
            expected, found = (session.run(None, feeds(model, binding, padding)) for session in sessions)
            worst = max([worst, *(judge.largest_difference(*pair) for pair in zip(found, expected, strict=True))])
    return worst


def judge_model(program, path, way, folder):
    """Returns the model's line of the table, and what is wrong with the result."""
    flags, tolerance, limits = WAYS[way]

    first, second, again = (folder / name for name in ["first.onnx", "second.onnx", "again.onnx"])
    wrong = []
    judge.optimize(program, path, first, flags)
    judge.optimize(program, path, second, flags)
    if first.read_bytes() != second.read_bytes():
        wrong.append("two runs give different bytes")
    judge.optimize(program, first, again, flags)
    if first.read_bytes() != again.read_bytes():
        wrong.append("optimizing again changes the result")
    judge.check_strictly(first, folder)
    before, after = onnx.load(path), onnx.load(first)
    if message := judge.interface_change(after.graph, before.graph):
        wrong.append(message)
    worst = worst_difference(path, first)
    if not worst <= tolerance:
        wrong.append("the results differ")
    nodes, limit = count(after), dict(zip(CORPUS, limits)).get(path.stem)
    if limit is not None and nodes > limit:
        wrong.append("too many nodes")
    sizes = [path.stat().st_size, first.stat().st_size]
    if sizes[1] > sizes[0]:
        wrong.append("the file grew")
    cells = [f"{count(before):,}", f"{nodes:,}", f"{limit or '-'}", *(f"{size:,}" for size in sizes), f"{worst:.1e}"]
    return cells, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    models = sorted((pathlib.Path(__file__).parent / "models").glob("*.onnx"))
    parser.add_argument("models", nargs="*", type=pathlib.Path, default=models, help="[default: those of models/]")
    args = parser.parse_args()
    failed = 0
    print(f"{'model':20}{'way':10}{'nodes':>8}{'after':>8}{'limit':>8}{'bytes':>10}{'after':>10}{'differs':>10}")
    for path, way in itertools.product(args.models, WAYS):
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells, wrong = judge_model(args.netwright, path, way, pathlib.Path(folder))
            except Exception as error:
                cells, wrong = [""] * 6, [judge.first_line(error)]
        failed += bool(wrong)
        widths = [8, 8, 8, 10, 10, 10]
        columns = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths))
        print(f"{path.stem:20}{way:10}{columns}  {'; '.join(wrong)}".rstrip(), flush=True)
    print(f"{len(args.models) * len(WAYS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
