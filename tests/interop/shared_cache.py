"""Checks `--kv-cache shared`: compares models that update the caller's buffers with models that return a longer cache
each step, for exports and for models built from Hugging Face folders.

Runs a prompt with left padding and three steps for a batch of two; and a prompt, several tokens at once and a step for
one sequence. Past and present are the same memory. Logits and caches must equal those of the export within 1e-4, except
for rows of padding. `--verify` must accept the same models. Exports that are converted to f16, with
their caches or after them, must equal the converted export; `--verify` must accept models that are built in f16.
"""

import argparse
import pathlib
import sys
import tempfile

import judge
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TOLERANCE = 1e-4
# A unit in the last place of numbers up to 8.
NARROW_TOLERANCE = 4e-3
MAX_LENGTH = 16
MODELS = [
    "gpt2_past.legacy",
    "gpt2_past.dynamo",
    "gpt2_kv.legacy",
    "gpt2_kv.dynamo",
    "llama_past.legacy",
    "llama_past.dynamo",
    "llama4_kv.dynamo",
]
# Whether the caches are shared before the conversion.
CONVERTED_MODELS = [("llama_past.legacy", False), ("llama_past.legacy", True), ("gpt2_past.legacy", True)]
CONVERTED = ["--target", "ort", "--dtype", "f16", "--io-dtype", "past|present=f16"]
NARROW_FOLDERS = ["llama", "qwen3", "gemma2", "mistral"]
NARROW_MODELS = ["gpt2_past.f16", "llama4_kv.f16", "llama_past.f16"]
FOLDERS = """exaone exaone4 falcon_serial gemma gemma2 gemma3 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_neox_serial gptj granite
    llama llama_linear llama_llama3 llama_yarn mistral olmo olmo2 olmo3 opt opt_projected qwen2 qwen3 smollm
    smollm3""".split()
# Their heads are too small for GroupQueryAttention.
SMALL = ["falcon_serial"]
# The number of tokens of each step, and the left padding of the first sequence.
RUNS = [(2, [5, 1, 1, 1], 2), (1, [4, 3, 1], 0)]


def caches(session, batch, length):
    """Returns empty past keys and values, by name."""
    ports = [port for port in session.get_inputs() if port.name.startswith("past_key_values")]
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    shapes = [(batch, port.shape[1], length, port.shape[3]) for port in ports]
    return {port.name: np.zeros(shape, dtypes[port.type]) for port, shape in zip(ports, shapes)}


PADDED = [
    helper.make_node("Cast", ["attention_mask"], ["seen"], to=TensorProto.BOOL),
    helper.make_node("Where", ["seen", "kept", "masked"], ["row"]),
    helper.make_node("Unsqueeze", ["row", "axes"], ["rows"]),
    helper.make_node("Concat", ["queries", "one"], ["square"], axis=0),
    helper.make_node("Expand", ["zeros", "square"], ["wide"]),
    helper.make_node("Add", ["rows", "wide"], ["mask"]),
]
CAUSAL = [
    helper.make_node("Shape", ["past_key_values.0.key"], ["before"], start=2, end=3),
    helper.make_node("Add", ["before", "queries"], ["all"]),
    helper.make_node("Squeeze", ["before"], ["first"]),
    helper.make_node("Squeeze", ["all"], ["total"]),
    helper.make_node("Range", ["number_0", "total", "number_1"], ["keys"]),
    helper.make_node("Range", ["first", "total", "number_1"], ["places"]),
    helper.make_node("Unsqueeze", ["places", "last"], ["column"]),
    helper.make_node("LessOrEqual", ["keys", "column"], ["seen"]),
    helper.make_node("Where", ["seen", "kept", "masked"], ["mask"]),
]


def small_heads(padded):
    """Returns a model whose heads are too small for GroupQueryAttention, and whose mask hides padding or later keys, so
    that no input determines the length of the past."""
    cache = ["batch", 4, "past", 4]
    ports = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "seq"]),
        *([helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "past + seq"])] if padded else []),
        helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT, cache),
        helper.make_tensor_value_info("past_key_values.0.value", TensorProto.FLOAT, cache),
    ]
    cache = ["batch", 4, "past + seq", 4]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "seq", 16]),
        helper.make_tensor_value_info("present.0.key", TensorProto.FLOAT, cache),
        helper.make_tensor_value_info("present.0.value", TensorProto.FLOAT, cache),
    ]
    random = np.random.default_rng(0)
    constants = {
        "table": random.standard_normal((64, 16), np.float32),
        "kept": np.float32(0),
        "masked": np.float32(-1e30),
        "axes": np.array([1, 2]),
        "zeros": np.zeros((1, 1), np.float32),
        "one": np.array([1]),
        "number_0": np.array(0),
        "number_1": np.array(1),
        "last": np.array([-1]),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]),
        helper.make_node("Shape", ["input_ids"], ["queries"], start=1),
        *(PADDED if padded else CAUSAL),
        helper.make_node(
            "Attention",
            ["x", "x", "x", "mask", "past_key_values.0.key", "past_key_values.0.value"],
            ["logits", "present.0.key", "present.0.value"],
            q_num_heads=4,
            kv_num_heads=4,
        ),
    ]
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, "small_heads", ports, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)


def convert(program, path, folder, in_steps):
    """Returns the files of an export in f16 and of the same with shared caches, converted before or after they are."""
    longer, wide, output = (folder / f"{name}.onnx" for name in ["longer", "wide", "shared"])
    shared = ["--target", "ort", "--kv-cache", "shared"]
    steps = [(path, longer, CONVERTED), (path, wide, shared), (wide, output, CONVERTED)]
    for source, target, flags in steps if in_steps else [steps[0], (path, output, CONVERTED + shared[2:])]:
        outcome = judge.netwright(program, "-q", "optimize", source, "-o", target, *flags)
        assert outcome.code == 0, outcome.message
    return longer, output


def share(program, path, folder):
    """Returns the files of a model and of the same with shared caches."""
    output = folder / "shared.onnx"
    # The program's own judge, in one model with all steps.
    shared = ["--target", "ort", "--kv-cache", "shared", "--verify", "--runtime", "ort"]
    if path.suffix == ".onnx":
        outcome = judge.netwright(program, "-q", "optimize", path, "-o", output, *shared)
    else:
        outcome = judge.netwright(program, "-q", "build", path, "-o", output, "--with-past", *shared)
        assert outcome.code == 0, outcome.message
        longer = folder / "longer.onnx"
        outcome = judge.netwright(program, "-q", "build", path, "-o", longer, "--with-past", "--no-optimize")
        path = longer
    assert outcome.code == 0, outcome.message
    return path, output


def judge_model(path, output, kernel):
    assert judge.invalid(output, False) is None, judge.invalid(output, False)
    assert kernel in {node.op_type for node in onnx.load(output).graph.node}, f"{path.stem}: no {kernel}"
    export, shared = (onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]) for each in (path, output))
    worst = 0.0
    random = np.random.default_rng(0)
    for batch, lengths, padding in RUNS:
        past = caches(export, batch, 0)
        buffers = caches(shared, batch, MAX_LENGTH)
        buffers = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in buffers.items()}
        mask = np.ones((batch, sum(lengths)), np.int64)
        mask[0, :padding] = 0
        done = 0
        names = {port.name for port in export.get_inputs()}
        for length in lengths:
            total = done + length
            tokens = random.integers(0, 48, (batch, length))
            feeds = {"input_ids": tokens}
            if "attention_mask" in names:
                feeds["attention_mask"] = np.ascontiguousarray(mask[:, :total])
            if "position_ids" in names:
                feeds["position_ids"] = np.maximum(mask.cumsum(1) - 1, 0)[:, done:total]
            expected = dict(zip((port.name for port in export.get_outputs()), export.run(None, feeds | past), strict=True))
            past = {name: expected[name.replace("past_key_values", "present")] for name in past}
            if "attention_mask" not in names:
                feeds["past_sequence_length"] = np.array([done])
            binding = judge.bind_shared(shared, feeds, buffers)
            shared.run_with_iobinding(binding)
            logits = binding.get_outputs()[0].numpy()
            real = mask[:, :total].astype(bool)
            pairs = [(logits[real[:, done:]], expected["logits"][real[:, done:]])]
            for key, buffer in buffers.items():
                found = buffer.numpy()[:, :, :total].swapaxes(1, 2)
                pairs.append((found[real], past[key].swapaxes(1, 2)[real]))
            worst = max(worst, *(judge.largest_difference(*pair) for pair in pairs))
            done = total
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    args = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(small_heads(True), folder / "small_heads.onnx")
        onnx.save(small_heads(False), folder / "without_padding.onnx")
        exports = pathlib.Path(__file__).parent / "models"
        cases = [(exports / f"{name}.onnx", "GroupQueryAttention") for name in MODELS]
        narrow = pathlib.Path(__file__).parent / "narrow_models"
        cases += [(narrow / f"{name}.onnx", "GroupQueryAttention") for name in NARROW_MODELS]
        cases += [(folder / f"{name}.onnx", "MultiHeadAttention") for name in ["small_heads", "without_padding"]]
        families = pathlib.Path(__file__).parents[1] / "families"
        cases += [(families / name, "MultiHeadAttention" if name in SMALL else "GroupQueryAttention") for name in FOLDERS]
        for path, kernel in cases:
            worst = judge_model(*share(args.netwright, path, folder), kernel)
            wrong += not worst <= (NARROW_TOLERANCE if path.parent == narrow else TOLERANCE)
            print(f"{path.stem:20}{kernel:22}{worst:10.1e}")
        for name, in_steps in CONVERTED_MODELS:
            pair = convert(args.netwright, exports / f"{name}.onnx", folder, in_steps)
            worst = judge_model(*pair, "GroupQueryAttention")
            wrong += not worst <= NARROW_TOLERANCE
            print(f"{name:20}{'f16 in a second step' if in_steps else 'f16':22}{worst:10.1e}")
        for name in NARROW_FOLDERS:
            shared = ["--with-past", "--target", "ort", "--kv-cache", "shared", "--dtype", "f16", "--verify"]
            outcome = judge.netwright(args.netwright, "-q", "build", families / name, "-o", folder / "narrow.onnx", *shared)
            wrong += outcome.code != 0
            print(f"{name:20}{'verified in f16':22}{outcome.message}")
    count = len(cases) + len(CONVERTED_MODELS) + len(NARROW_FOLDERS)
    print(f"shared_cache: {count} models, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
