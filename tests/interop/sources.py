"""Judges models that are built from folders whose weights are quantized already.

For each format, NumPy alone quantizes a tiny Llama and stores it as the tools of that format do. The model that is built
from it must give the results of one built from the dequantized weights, and keep every code, scale and zero point.
"""

import argparse
import itertools
import json
import pathlib
import sys
import tempfile

import judge
import ml_dtypes
import numpy as np
import onnx
from tiny_llama import shapes

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "head_dim": 16,
    "hidden_size": 64,
    "intermediate_size": 256,
    "max_position_embeddings": 32,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "vocab_size": 48,
}
TYPES = {
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3",
}
WAYS = {
    "declared": ["--no-optimize"],
    "onnx": [],
    "ort": ["--target", "ort"],
    "f16": ["--dtype", "f16"],
}
# Half precision is compared with a model of floats in half precision.
TOLERANCE = {"f16": 2e-2}


class Wrong(Exception):
    pass


def save(path, tensors):
    """Writes a safetensors file; the package does not write all types."""
    header, blobs, at = {}, [], 0
    for name, tensor in tensors.items():
        blob = np.ascontiguousarray(tensor).tobytes()
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": tensor.shape, "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def pack(codes, order=range(8)):
    """Packs eight codes of the last axis in each i32; code i goes to the place order[i], from the lowest bits on."""
    codes = codes.reshape(*codes.shape[:-1], -1, 8).astype(np.uint32)
    words = np.zeros(codes.shape[:-1], np.uint32)
    for at, place in enumerate(order):
        words |= codes[..., at] << np.uint32(4 * place)
    return words.view(np.int32)


class Codes:
    """A weight [N, K] quantized to codes of 4 bits in groups along K."""

    def __init__(self, random, shape, size, symmetric, scale=np.float16):
        rows, width = shape
        groups = width // size
        self.codes = random.integers(0, 16, shape, np.uint8)
        self.scales = random.uniform(0.005, 0.02, (rows, groups)).astype(scale)
        self.zeros = np.full((rows, groups), 8, np.uint8) if symmetric else random.integers(0, 16, (rows, groups), np.uint8)
        exact = self.codes.astype(np.int32) - np.repeat(self.zeros, size, 1)
        self.floats = exact.astype(np.float32) * np.repeat(self.scales.astype(np.float32), size, 1)


def gptq(random, shape, size, symmetric, v2=False):
    weight = Codes(random, shape, shape[1] if size < 0 else size, symmetric)
    stored = weight.zeros if v2 else (weight.zeros - 1) & 15
    return weight, {
        "qweight": pack(weight.codes).T,
        "qzeros": pack(stored.T),
        "scales": weight.scales.T,
        "g_idx": (np.arange(shape[1]) // (shape[1] if size < 0 else size)).astype(np.int32),
    }


def gptq_options(size, **others):
    return {"quant_method": "gptq", "bits": 4, "group_size": size, "desc_act": False, "sym": False, **others}


# Where AutoAWQ puts columns 0 to 7 of an integer.
AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7]


def awq(random, shape, size):
    weight = Codes(random, shape, size, symmetric=False)
    return weight, {
        "qweight": pack(weight.codes.T, AWQ_PLACES),
        "qzeros": pack(weight.zeros.T, AWQ_PLACES),
        "scales": weight.scales.T,
    }


def compressed(random, shape, size, symmetric):
    weight = Codes(random, shape, size, symmetric, ml_dtypes.bfloat16)
    zeros = {} if symmetric else {"weight_zero_point": pack(weight.zeros.T).T}
    return weight, {
        "weight_packed": pack(weight.codes),
        "weight_scale": weight.scales,
        "weight_shape": np.array(shape, np.int64),
        **zeros,
    }


def compressed_options(format, **weights):
    return {
        "quant_method": "compressed-tensors",
        "format": format,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
    }


class Floats:
    """A weight of 8-bit floats with a scale for each tile."""

    codes = None

    def __init__(self, random, shape, tile, scale):
        self.stored = random.normal(0, 0.5, shape).astype(ml_dtypes.float8_e4m3fn)
        counts = [-(-size // side) for size, side in zip(shape, tile)]
        self.scales = random.uniform(0.1, 0.3, counts).astype(scale)
        spread = self.scales.astype(np.float32)
        for axis, side in enumerate(tile):
            spread = np.repeat(spread, side, axis)
        self.floats = self.stored.astype(np.float32) * spread[: shape[0], : shape[1]]


def float8(random, shape, tile=None, name="weight_scale_inv", scale=np.float32, dims=None):
    weight = Floats(random, shape, tile or shape, scale)
    return weight, {"weight": weight.stored, name: weight.scales.reshape(dims or weight.scales.shape)}


# The options of each case, and how a weight is stored.
CASES = {
    "gptq_32": (gptq_options(32), lambda r, s: gptq(r, s, 32, symmetric=False)),
    "gptq_64_symmetric": (gptq_options(64, checkpoint_format="gptq"), lambda r, s: gptq(r, s, 64, symmetric=True)),
    "gptq_v2": (gptq_options(32, checkpoint_format="gptq_v2"), lambda r, s: gptq(r, s, 32, False, v2=True)),
    "gptq_whole_rows": (gptq_options(-1), lambda r, s: gptq(r, s, -1, symmetric=False)),
    "awq_32": ({"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}, lambda r, s: awq(r, s, 32)),
    "awq_64": ({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"}, lambda r, s: awq(r, s, 64)),
    "compressed_symmetric": (
        compressed_options("pack-quantized", num_bits=4, type="int", group_size=32, symmetric=True, strategy="group"),
        lambda r, s: compressed(r, s, 32, symmetric=True),
    ),
    "compressed_asymmetric": (
        compressed_options("pack-quantized", num_bits=4, type="int", group_size=64, symmetric=False, strategy="group"),
        lambda r, s: compressed(r, s, 64, symmetric=False),
    ),
    "fp8_tiles": ({"quant_method": "fp8", "weight_block_size": [24, 40]}, lambda r, s: float8(r, s, (24, 40))),
    "fp8_tensor": ({"quant_method": "fp8"}, lambda r, s: float8(r, s, name="weight_scale", dims=[])),
    "compressed_float": (
        compressed_options("float-quantized", num_bits=8, type="float", symmetric=True, strategy="channel"),
        lambda r, s: float8(r, s, (1, s[1]), "weight_scale", ml_dtypes.bfloat16),
    ),
}


def write_folders(folder, case, config=CONFIG):
    """Writes the model quantized and as floats; returns the quantized weights by the names of their layers."""
    options, store = CASES[case]
    random = np.random.default_rng(sum(case.encode()))
    width = config["hidden_size"]
    norm = lambda: random.uniform(0.5, 1.5, width).astype(np.float32)
    table = lambda: random.normal(0, 1, (config["vocab_size"], width)).astype(np.float32)
    shared = {
        "model.embed_tokens.weight": table(),
        "lm_head.weight": table(),
        "model.norm.weight": norm(),
        "model.layers.0.input_layernorm.weight": norm(),
        "model.layers.0.post_attention_layernorm.weight": norm(),
    }
    quantized, floats, weights = dict(shared), dict(shared), {}
    for layer, shape in shapes(config).items():
        name = f"model.layers.0.{layer}"
        weights[name], stored = store(random, shape)
        floats[f"{name}.weight"] = weights[name].floats
        quantized |= {f"{name}.{part}": value for part, value in stored.items()}
    for name, tensors, others in [("quantized", quantized, {"quantization_config": options}), ("floats", floats, {})]:
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config | others))
        save(folder / name / "model.safetensors", tensors)
    return weights


def unpack(raw, count):
    """Returns codes of 4 bits, the lowest of a byte first."""
    raw = np.frombuffer(raw, np.uint8)
    return np.stack([raw & 15, raw >> 4], -1).reshape(-1)[:count]


def numbers(tensor):
    """Returns the elements of an initializer; codes of 4 bits count from the smallest."""
    count = int(np.prod(tensor.dims))
    if tensor.data_type in (onnx.TensorProto.UINT4, onnx.TensorProto.INT4):
        codes = unpack(tensor.raw_data, count)
        return (codes ^ 8 if tensor.data_type == onnx.TensorProto.INT4 else codes).reshape(tensor.dims)
    return onnx.numpy_helper.to_array(tensor)


def kept(model):
    """Yields codes, scales and zero points [N, ..] of each quantized weight, by the operators that read them."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        parts = [held.get(name) for name in node.input]
        options = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "DequantizeLinear":
            arrays = [numbers(part) for part in parts]
            turned = [array.T if options.get("axis", 1) == 0 else array for array in arrays]
            yield turned + [None] * (3 - len(turned))
        elif node.op_type == "MatMulNBits":
            rows, width = options["N"], options["K"]
            codes = unpack(parts[1].raw_data, parts[1].dims[1] * parts[1].dims[2] * 2 * rows).reshape(rows, -1)[:, :width]
            scales = numbers(parts[2]).reshape(rows, -1)
            zeros = None
            if len(parts) > 3:
                bytes_ = numbers(parts[3]).reshape(rows, -1)
                zeros = np.stack([bytes_ & 15, bytes_ >> 4], -1).reshape(rows, -1)[:, : scales.shape[1]]
            yield [codes, scales, zeros]


def check_codes(path, weights):
    """Checks that the model holds exactly the codes, scales and zero points of the folder."""
    model = onnx.load(path)
    found = list(kept(model))
    expected = [weight for weight in weights.values() if weight.codes is not None]
    if len(found) != len(expected):
        raise Wrong(f"{len(found)} weights are quantized, not {len(expected)}")
    for weight in expected:
        if not any(is_same(weight, *parts) for parts in found):
            raise Wrong("the codes, scales or zero points of a weight are not kept")


def is_same(weight, codes, scales, zeros):
    if codes.shape != weight.codes.shape or not np.array_equal(codes, weight.codes):
        return False
    # Whole rows may be stored as several blocks.
    repeats = scales.shape[1] // weight.scales.shape[1]
    zeros = np.full(scales.shape, 8) if zeros is None else zeros
    spread = [np.repeat(part, repeats, 1) for part in (weight.scales, weight.zeros)]
    return np.array_equal(scales.astype(np.float32), spread[0].astype(np.float32)) and np.array_equal(zeros, spread[1])


def run(path, ids):
    # At level 4, ONNX Runtime quantizes the other operand of a product too.
    model = onnx.load(path)
    for node in model.graph.node:
        for item in node.attribute:
            if item.name == "accuracy_level":
                item.i = 1
    session = judge.session(model.SerializeToString())
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(ids.shape[1])[None].repeat(len(ids), 0)}
    asked = [port.name for port in session.get_inputs()]
    return session.run(None, {name: feeds[name] for name in asked})[0].astype(np.float32)


def judge_case(program, folder, case):
    weights = write_folders(folder, case)
    ids = np.random.default_rng(0).integers(0, 48, (2, 7))
    largest = 0.0
    for way, arguments in WAYS.items():
        paths = {}
        for name in ["quantized", "floats"]:
            paths[name] = folder / f"{name}_{way}.onnx"
            outcome = judge.netwright(program, "build", str(folder / name), "-o", str(paths[name]), "--quiet", *arguments)
            if outcome.code != 0:
                raise Wrong(f"{way}: {outcome.stderr.strip()}")
        onnx.checker.check_model(str(paths["quantized"]), full_check=True)
        if way != "f16":
            check_codes(paths["quantized"], weights)
        found, expected = [run(paths[name], ids) for name in ["quantized", "floats"]]
        difference = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
        if not difference <= TOLERANCE.get(way, 1e-5):
            raise Wrong(f"{way}: the results differ by {difference:.1e} of the largest")
        if way != "f16":
            largest = max(largest, difference)
    return largest


GGUF = pathlib.Path(__file__).parents[1] / "gguf"


def judge_gguf(program, folder, case):
    """Compares a GGUF file with a folder of the floats that the package of llama.cpp decodes it to."""
    ids = np.random.default_rng(0).integers(0, 24, (2, 7))
    largest = 0.0
    for way, arguments in WAYS.items():
        results = []
        for source in [GGUF / f"{case}.gguf", GGUF / case]:
            output = folder / f"{source.suffix}_{way}.onnx"
            outcome = judge.netwright(program, "build", str(source), "-o", str(output), "--quiet", *arguments)
            if outcome.code != 0:
                raise Wrong(f"{way}: {outcome.stderr.strip()}")
            onnx.checker.check_model(str(output), full_check=True)
            results.append(run(output, ids))
        difference = np.max(np.abs(results[0] - results[1])) / np.max(np.abs(results[1]))
        if not difference <= TOLERANCE.get(way, 1e-5):
            raise Wrong(f"{way}: the results differ by {difference:.1e} of the largest")
        if way != "f16":
            largest = max(largest, difference)
    return largest


def gptq_part(name, change):
    """Returns a case of GPTQ in which one tensor is changed."""
    def store(random, shape):
        weight, parts = gptq(random, shape, 32, symmetric=False)
        parts[name] = change(parts[name])
        return weight, {part: value for part, value in parts.items() if value is not None}

    return gptq_options(32, desc_act=True), store


# What is refused, with a part of the message.
REFUSED = {
    "rows_out_of_order": (gptq_part("g_idx", lambda groups: groups[::-1].copy()), "desc_act = false"),
    "tensor_missing": (gptq_part("scales", lambda _: None), ".scales is missing"),
    "scales_of_another_shape": (gptq_part("scales", lambda scales: scales[:1].copy()), "one f32, f16 or bf16 for each block"),
    "codes_of_another_type": (gptq_part("qweight", lambda codes: codes.astype(np.float32)), "must be an i32 matrix"),
    "zeros_of_another_shape": (gptq_part("qzeros", lambda zeros: zeros[:, :1].copy()), "one code for each block"),
    "eight_bits": ((gptq_options(32, bits=8), CASES["gptq_32"][1]), "`quantization_config.bits` is 8"),
    "group_of_48": ((gptq_options(48), CASES["gptq_32"][1]), "no kernels for other blocks"),
    "unknown_format": ((gptq_options(32, checkpoint_format="marlin"), CASES["gptq_32"][1]), "save the model in the format gptq"),
    "unknown_option": ((gptq_options(32, secret=1), CASES["gptq_32"][1]), "`quantization_config.secret`"),
    "unknown_method": (({"quant_method": "bitsandbytes", "load_in_4bit": True}, CASES["gptq_32"][1]), "gptq, awq, compressed-tensors or fp8"),
    "awq_for_vectors": (({**CASES["awq_32"][0], "version": "gemv"}, CASES["awq_32"][1]), "version = gemm"),
    "compressed_8_bits": (
        (compressed_options("pack-quantized", num_bits=8, type="int"), CASES["compressed_symmetric"][1]),
        "`quantization_config.config_groups.group_0.weights.num_bits` is 8",
    ),
    "compressed_integers": ((compressed_options("int-quantized"), CASES["compressed_symmetric"][1]), "pack-quantized or float-quantized"),
    "tile_of_another_size": (({"quant_method": "fp8", "weight_block_size": [16, 16]}, CASES["fp8_tiles"][1]), "one f32, f16 or bf16 for each tile"),
    "no_options": ((None, CASES["gptq_32"][1]), "has no quantization_config"),
}


def judge_refusal(program, folder, case):
    refused, message = REFUSED[case]
    CASES[case] = refused
    write_folders(folder, case)
    output = folder / "model.onnx"
    outcome = judge.netwright(program, "build", str(folder / "quantized"), "-o", str(output), "--quiet")
    if outcome.crash or outcome.code == 0 or message not in outcome.stderr:
        raise Wrong(f"expected {message!r}, but: {outcome.stderr.strip()}")
    if output.exists():
        raise Wrong("a file was written")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    failures = 0
    judges = itertools.chain(
        ((case, judge_case) for case in list(CASES)),
        [("quantized", judge_gguf)],
        ((case, judge_refusal) for case in REFUSED),
    )
    for case, check in judges:
        if arguments.cases and case not in arguments.cases:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = check(arguments.program, pathlib.Path(folder), case)
                print(f"{case}: {'refused' if found is None else f'{found:.1e}'}")
            except Wrong as error:
                failures += 1
                print(f"{case}: FAILED: {error}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
