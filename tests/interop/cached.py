"""Checks `--add-kv-cache`: decoders without a KV cache that are given one compute in ONNX Runtime, step by step, what the
model computes for all tokens at once, within 1e-4, except for rows of padding.

Runs a prompt and steps of one and several tokens, for batches of one to three, with left padding. The weights of the
exports are made larger, so that attention decides the result; another past must change it. Decoders of tests/families are
given a cache in f32 and with weights of 4 bits. With `--kv-cache shared`, past and present are the same memory.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import judge
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

TOLERANCE = 1e-4
FOLDER = pathlib.Path(__file__).parent / "models"
MODELS = [f"{name}.{exporter}" for name in ("gpt2", "marian_decoder", "t5_decoder", "whisper_decoder") for exporter in ("legacy", "dynamo")]
FAMILIES = pathlib.Path(__file__).parents[1] / "families"
FOLDERS = ["gemma2", "gpt2", "llama", "qwen3"]
# The tiny matrices have blocks of 16.
BITS = ["--quantize-tensor", ".*=int4", "--block-size", "16"]
# How decoders are built by the operator with which they multiply, and the targets for which it stays. For another one,
# MatMulNBits at accuracy level 4 rounds activations too.
BUILDS = {
    "floats": ([], ["onnx", "opset 23", "ort", "tract", "shared"]),
    "MatMulNBits": (["--target", "ort", *BITS], ["ort", "tract", "shared"]),
    "DequantizeLinear": (BITS, ["onnx", "opset 23"]),
}
PRODUCTS = {"MatMulNBits", "DequantizeLinear"}
TARGETS = {"onnx": [], "opset 23": ["--opset", "23"], "ort": ["--target", "ort"], "tract": ["--target", "tract"]}
TARGETS["shared"] = ["--target", "ort", "--kv-cache", "shared"]
# The kernels with a shared cache have no bias of positions.
UNSHARED = "t5"
MAX_LENGTH = 16
# The size of the batch, the number of tokens of each step, and how many more tokens of padding each sample has.
RUNS = [(1, [5, 1, 1, 1], 0), (3, [4, 1, 3, 1], 1), (2, [1, 1, 1, 2], 0), (1, [7], 0)]
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
# Several tokens after a past are for a batch of one.
SHARED_RUNS = [(2, [5, 1, 1, 1], 2), (1, [4, 3, 1], 0)]
ENCODED = 7


def loud(path, to):
    """Writes a model whose matrices have a deviation of 0.3."""
    model = onnx.load(path)
    constants = [attribute.t for node in model.graph.node if node.op_type == "Constant" for attribute in node.attribute if attribute.name == "value"]
    for tensor in [*model.graph.initializer, *constants]:
        if len(tensor.dims) < 2 or tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if 0 < values.std() < 0.15 and np.abs(values).max() < 2:
            tensor.CopyFrom(numpy_helper.from_array((values * (0.3 / values.std())).astype(np.float32), tensor.name))
    onnx.save(model, to)


def all_inputs(session, batch, length, padding, seed):
    """Returns inputs for all tokens, and where there is no padding."""
    generator = np.random.default_rng(seed)
    feeds, seen = {}, np.ones((batch, length), bool)
    for port in session.get_inputs():
        of_encoder = port.name.startswith("encoder")
        sizes = {0: batch, 1: ENCODED if of_encoder else length}
        shape = [size if isinstance(size, int) else sizes[axis] for axis, size in enumerate(port.shape)]
        dtype = DTYPES[port.type]
        if "mask" in port.name:
            value = np.ones(shape, dtype)
            for row in range(batch):
                if of_encoder:
                    value[row, ENCODED - row :] = 0
                else:
                    value[row, : padding * row] = 0
            if not of_encoder:
                seen = value != 0
        elif "position" in port.name:
            value = np.broadcast_to(np.arange(length, dtype=dtype), shape)
        elif dtype == np.int64:
            value = generator.integers(3, 48, shape)
        else:
            value = generator.standard_normal(shape).astype(dtype)
        feeds[port.name] = np.ascontiguousarray(value)
    return feeds, seen


def run(session, feeds):
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def compare(plain, cached, shared, batch, steps, padding, seed):
    """Returns the greatest difference of the steps, and how much another past changes them."""
    feeds, seen = all_inputs(plain, batch, sum(steps), padding, seed)
    expected = run(plain, feeds)["logits"]
    ports = [port for port in cached.get_inputs() if port.name.startswith("past_key_values")]
    room = MAX_LENGTH if shared else 0
    past = {port.name: np.zeros((batch, port.shape[1], room, port.shape[3]), DTYPES[port.type]) for port in ports}
    if shared:
        past = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in past.items()}
    done, worst, felt = 0, 0.0, 0.0
    for count in steps:
        upto = done + count
        step = {} if shared else dict(past)
        for name, value in feeds.items():
            from_ = 0 if "mask" in name else done
            step[name] = value if name.startswith("encoder") else value[:, from_:upto]
        rows = seen[:, done:upto]
        if shared:
            step |= {port.name: np.array([done]) for port in cached.get_inputs() if port.name == "past_sequence_length"}
            binding = judge.bind_shared(cached, step, past)
            cached.run_with_iobinding(binding)
            apart = np.abs(binding.get_outputs()[0].numpy() - expected[:, done:upto])[rows]
            worst, felt, done = max(worst, float(apart.max(initial=0))), np.inf, upto
            continue
        outputs = run(cached, step)
        apart = np.abs(outputs["logits"] - expected[:, done:upto])[rows]
        worst = max(worst, float(apart.max(initial=0)), np.inf if np.isnan(apart).any() else 0)
        if done:
            other = {name: -value if name.startswith("past") and name.endswith("value") else value for name, value in step.items()}
            felt = max(felt, float(np.abs(run(cached, other)["logits"] - outputs["logits"])[rows].max(initial=0)))
        past = {name: outputs["present" + name.removeprefix("past_key_values")] for name in past}
        done = upto
    return worst, felt


def check(netwright, name, before, targets, folder):
    """Returns what is wrong with the cached forms of a model."""
    failures = []
    plain = onnxruntime.InferenceSession(str(before), providers=["CPUExecutionProvider"])
    for target in targets:
        after = folder / "after.onnx"
        after.unlink(missing_ok=True)
        command = [netwright, "optimize", before, "-q", "-o", after, "--add-kv-cache", *TARGETS[target]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failures.append(f"{name} for {target}: {done.stderr.strip()}")
            continue
        cached = onnxruntime.InferenceSession(str(after), providers=["CPUExecutionProvider"])
        shared = target == "shared"
        found = [compare(plain, cached, shared, *of, seed) for seed, of in enumerate(SHARED_RUNS if shared else RUNS)]
        worst, felt = (max(part) for part in zip(*found))
        if not worst <= TOLERANCE or felt < 100 * TOLERANCE:
            failures.append(f"{name} for {target}: steps differ by {worst:.1e}; another past changes them by {felt:.1e}")
        kinds = {node.op_type for node in onnx.load(after).graph.node}
        if name.endswith(tuple(PRODUCTS)) and not kinds & PRODUCTS:
            failures.append(f"{name} for {target}: the weights are floats now")
    return failures


def models(netwright, exports, folder):
    """Yields the names, files and targets of exports, or else of all decoders."""
    before = folder / "before.onnx"
    for path in exports or [FOLDER / f"{name}.onnx" for name in MODELS]:
        loud(path, before)
        yield path.name.removesuffix(".onnx"), before, [target for target in TARGETS if target != "shared" or not path.name.startswith(UNSHARED)]
    for name in [] if exports else FOLDERS:
        for kind, (flags, targets) in BUILDS.items():
            subprocess.run([netwright, "-q", "build", FAMILIES / name, "-o", before, *flags], check=True)
            yield f"{name} with {kind}", before, targets


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("netwright")
    parser.add_argument("models", nargs="*", type=pathlib.Path, help="other decoders without a cache")
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    failures, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, path, targets in models(arguments.netwright, arguments.models, folder):
            failures += check(arguments.netwright, name, path, targets, folder)
            count += len(targets)
    for failure in failures:
        print(failure)
    print(f"cached: {count} forms, {len(failures)} wrong or refused")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
