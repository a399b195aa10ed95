"""Converts exports of `models` to f16, as users do it with ONNX Runtime: writes narrow_models/*.onnx.

    target/interop/venv/bin/python tests/interop/make_narrow.py

Each becomes two models. `NAME.f16.onnx` has f16 everywhere. `NAME.islands.onnx` has f32 inputs and outputs, and computes
the operators of `ISLANDS` in f32 too, each between two casts.
"""

import pathlib

import numpy as np
import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

HERE = pathlib.Path(__file__).parent
NAMES = [
    "bert.dynamo",
    "gpt2_past.dynamo",
    "llama4_kv.dynamo",
    "llama_past.dynamo",
    "marian_decoder.dynamo",
    "t5_decoder.dynamo",
    "vit.dynamo",
    "whisper_decoder.dynamo",
]
ISLANDS = ["Softmax", "LayerNormalization", "ReduceMean", "Pow", "Sqrt", "Reciprocal"]
FORMS = {
    "f16": {},
    "islands": {"keep_io_types": True, "op_block_list": DEFAULT_OP_BLOCK_LIST + ISLANDS},
}


def loaded(path):
    """The model with constants that the converter sees, and types that are inferred."""
    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else []:
            if attribute.name in ("value_float", "value_floats"):
                numbers = attribute.f if attribute.name == "value_float" else list(attribute.floats)
                tensor = onnx.numpy_helper.from_array(np.array(numbers, np.float32))
                attribute.CopyFrom(onnx.helper.make_attribute("value", tensor))
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def main():
    folder = HERE / "narrow_models"
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        for form, settings in FORMS.items():
            model = convert_float_to_float16(loaded(HERE / "models" / f"{name}.onnx"), **settings)
            del model.graph.value_info[:]
            for node in model.graph.node:
                node.ClearField("doc_string")
                del node.metadata_props[:]
            onnx.save(model, folder / f"{name.removesuffix('.dynamo')}.{form}.onnx")


main()
