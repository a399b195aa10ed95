#!/usr/bin/env python3
"""nnsmith_models.py FOLDER [COUNT]: generates models with NNSmith, an independent generator, into a folder.

Not part of CI. Its requirements are in requirements-nnsmith.txt, and its models are judged by
`cargo run -p netwright-fuzz -- FOLDER/*.onnx`. NNSmith 0.1.0 exports with torch, whose default exporter has changed
since, so this script requests the old one.
"""

import contextlib
import functools
import io
import logging
import pathlib
import shutil
import sys
import tempfile
import warnings

import torch

torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)

from nnsmith.graph_gen import model_gen
from nnsmith.materialize import Model
from nnsmith.narrow_spec import infer_topset_from_scratch


def opset(model_type):
    """Returns the operators that can be exported, with their element types."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = infer_topset_from_scratch(model_type, None)
    found = []
    for op in model_type.operators():
        if op.name() in known and not op.limit_domain:
            op.in_dtypes, op.out_dtypes = known[op.name()].in_dtypes, known[op.name()].out_dtypes
            found.append(op)
    return found


def main():
    folder = pathlib.Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    model_type = Model.init("onnx", backend_target="cpu")
    operators = opset(model_type)
    written = 0
    for seed in range(count):
        try:
            graph = model_gen(opset=operators, method="symbolic-cinit", seed=seed, max_nodes=10, timeout_ms=5000)
            model = model_type.from_gir(graph.make_concrete())
            with tempfile.TemporaryDirectory() as scratch:
                path = pathlib.Path(scratch) / "model.onnx"
                model.dump(str(path))
                shutil.copy(path, folder / f"nnsmith_{seed}.onnx")
            written += 1
        except Exception as error:
            print(f"seed {seed}: {type(error).__name__}: {str(error).splitlines()[:1]}")
    print(f"{written} models of {len(operators)} operators")


if __name__ == "__main__":
    main()
