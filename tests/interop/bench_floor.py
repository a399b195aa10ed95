"""Writes the unavoidable part of a decode step of GPT-2 (124 million parameters), to be measured in tract: its matrix
products, and the caches that it returns unless `--without-caches` is given.

Not part of CI: `bench_floor.py FILE.onnx`, then `netwright bench FILE.onnx --dim batch=1 --dim seq=1 --dim past=511`.
"""

import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, WIDTH, VOCAB = 12, 12, 768, 50257
SIZE = WIDTH // HEADS


class Floor:
    def __init__(self, has_caches):
        self.has_caches = has_caches
        self.random = np.random.default_rng(0)
        self.nodes, self.tensors = [], []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "seq", WIDTH])]
        self.outputs = []

    def add(self, op_type, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def constant(self, name, array):
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def product(self, x, outputs, name):
        inputs = 4 * WIDTH if name.endswith("down") else WIDTH
        weight = 0.02 * self.random.standard_normal((inputs, outputs), np.float32)
        return self.add("MatMul", [x, self.constant(f"{name}.weight", weight)], name)

    def cache(self, x, name):
        shape = self.constant(f"{name}.shape", np.array([0, 0, HEADS, SIZE]))
        heads = self.add("Reshape", [x, shape], f"{name}.heads")
        heads = self.add("Transpose", [heads], f"{name}.turned", perm=[0, 2, 1, 3])
        for ports, kind, length in ((self.inputs, "past", "past"), (self.outputs, "present", "past + seq")):
            shape = ["batch", HEADS, length, SIZE]
            ports.append(helper.make_tensor_value_info(f"{kind}.{name}", TensorProto.FLOAT, shape))
        self.add("Concat", [f"past.{name}", heads], f"present.{name}", axis=2)

    def model(self):
        x = "x"
        thirds = self.constant("thirds", np.array([WIDTH] * 3))
        for layer in range(LAYERS):
            packed = self.product(x, 3 * WIDTH, f"{layer}.packed")
            parts = [f"{layer}.{part}" for part in ("query", "key", "value")]
            self.nodes.append(helper.make_node("Split", [packed, thirds], parts, axis=2))
            if self.has_caches:
                for part in parts[1:]:
                    self.cache(part, part)
            else:
                # Otherwise tract would compute only the query.
                parts[0] = self.add("Sum", parts, f"{layer}.sum")
            x = self.product(parts[0], WIDTH, f"{layer}.output")
            x = self.product(self.product(x, 4 * WIDTH, f"{layer}.up"), WIDTH, f"{layer}.down")
        logits = self.product(x, VOCAB, "logits")
        self.outputs.insert(0, helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["batch", "seq", VOCAB]))
        graph = helper.make_graph(self.nodes, "floor", self.inputs, self.outputs, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", help="what to write")
    parser.add_argument("--without-caches", action="store_true", help="only the matrix products")
    args = parser.parse_args()
    onnx.save(Floor(not args.without_caches).model(), args.file)


if __name__ == "__main__":
    main()
