"""Compares the speed of quantized models in ONNX Runtime with that in f32: `bench_quantized.py PROGRAM FOLDER`.

Not part of CI. The models have random weights: a decode step of a Llama of 316 million parameters and of GPT-2 after
16 and 511 tokens, and sentence embeddings as of all-MiniLM-L6-v2. `netwright build --target ort` writes them into the folder,
which takes 5 GB, unless they are there. One thread, with all optimizations of ONNX Runtime. Runs of all schemes are
interleaved; the output is medians, the median of the ratios to the neighboring run in f32, and the range of the middle
half of the ratios. MatMulNBitsQuantizer, ONNX Runtime's own quantizer, quantizes the decoder in f32 too; it requires
onnx-ir, which requirements-bench.txt names.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import numpy as np
from bench_speed import run, seconds, session

ROUNDS = 25

PEER = """
import sys
import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

bits = int(sys.argv[3])
model = onnx.load(sys.argv[1])
quantizer = MatMulNBitsQuantizer(model, bits=bits, block_size=32, is_symmetric=True, accuracy_level=4)
quantizer.process()
quantizer.model.save_model_to_file(sys.argv[2], False)
"""

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000, "hidden_size": 1024,
    "intermediate_size": 2816, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 8,
    "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
GPT2 = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12,
    "n_head": 12, "n_positions": 1024, "activation_function": "gelu_new",
}  # fmt: skip
MINILM = {
    "architectures": ["BertModel"], "model_type": "bert", "vocab_size": 30522, "hidden_size": 384,
    "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536, "hidden_act": "gelu",
    "max_position_embeddings": 512, "type_vocab_size": 2,
}  # fmt: skip


def llama_tensors(config):
    width, inner = config["hidden_size"], config["intermediate_size"]
    cache = width // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    yield "model.norm.weight", (width,)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}{name}.weight", (width,)
        for name, shape in [
            ("self_attn.q_proj", (width, width)), ("self_attn.k_proj", (cache, width)),
            ("self_attn.v_proj", (cache, width)), ("self_attn.o_proj", (width, width)),
            ("mlp.gate_proj", (inner, width)), ("mlp.up_proj", (inner, width)), ("mlp.down_proj", (width, inner)),
        ]:  # fmt: skip
            yield f"{prefix}{name}.weight", shape


def gpt2_tensors(config):
    width = config["n_embd"]
    yield "wte.weight", (config["vocab_size"], width)
    yield "wpe.weight", (config["n_positions"], width)
    yield from norm("ln_f", width)
    for layer in range(config["n_layer"]):
        prefix = f"h.{layer}."
        yield from norm(f"{prefix}ln_1", width)
        yield from norm(f"{prefix}ln_2", width)
        for name, rows, columns in [
            ("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1),
        ]:  # fmt: skip
            yield f"{prefix}{name}.weight", (rows * width, columns * width)
            yield f"{prefix}{name}.bias", (columns * width,)


TABLES = [("word", "vocab_size"), ("position", "max_position_embeddings"), ("token_type", "type_vocab_size")]


def minilm_tensors(config):
    width, inner = config["hidden_size"], config["intermediate_size"]
    for name, rows in TABLES:
        yield f"embeddings.{name}_embeddings.weight", (config[rows], width)
    yield from norm("embeddings.LayerNorm", width)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}."
        for name, rows, columns in [
            ("attention.self.query", width, width), ("attention.self.key", width, width),
            ("attention.self.value", width, width), ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width), ("output.dense", width, inner),
        ]:  # fmt: skip
            yield f"{prefix}{name}.weight", (rows, columns)
            yield f"{prefix}{name}.bias", (rows,)
        yield from norm(f"{prefix}attention.output.LayerNorm", width)
        yield from norm(f"{prefix}output.LayerNorm", width)
    yield "pooler.dense.weight", (width, width)
    yield "pooler.dense.bias", (width,)


def norm(name, width):
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def write_folder(folder, config, tensors):
    """Writes a Hugging Face folder with normally distributed weights; the factors of norms are 1."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    tensors, random = list(tensors), np.random.default_rng(0)
    header, end = {}, 0
    for name, shape in tensors:
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, shape in tensors:
            is_factor = len(shape) == 1 and name.endswith("weight")
            file.write(np.ones(shape, np.float32) if is_factor else 0.02 * random.standard_normal(shape, np.float32))




def decode(past):
    return {
        "batch_size": 1, "sequence_length": 1, "past_sequence_length": past,
        "past_sequence_length + sequence_length": past + 1,
    }  # fmt: skip


DECODE = [decode(16), decode(511)]
PREFILL = [{"batch_size": 1, "sequence_length": 128}]

PEERS = ["MatMulNBitsQuantizer, 4", "MatMulNBitsQuantizer, 8"]

CASES = [
    ("llama", LLAMA, llama_tensors, ["--with-past"], DECODE, ["int4", "int8", *PEERS]),
    ("gpt2", GPT2, gpt2_tensors, ["--with-past"], DECODE, ["int4", "int8", *PEERS]),
    ("minilm", MINILM, minilm_tensors, [], PREFILL, ["int8-dynamic", "int8", "int4"]),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright", help="the program")
    parser.add_argument("folder", type=pathlib.Path, help="where the models are, or will be")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'':28}{'median':>12}{'ratio':>8}")
    for name, config, tensors, flags, bindings, schemes in CASES:
        folder = args.folder / name
        if not folder.exists():
            write_folder(folder, config, tensors(config))
        sessions = {}
        for scheme in ["none", *schemes]:
            path = args.folder / f"{name}.{scheme}.onnx"
            if not path.exists() and scheme in PEERS:
                source = args.folder / f"{name}.none.onnx"
                subprocess.run([sys.executable, "-c", PEER, source, path, scheme[-1]], check=True)
            elif not path.exists():
                command = [args.netwright, "-q", "build", folder, "-o", path, "--target", "ort", *flags]
                subprocess.run([*command, "--quantize", scheme], check=True)
            sessions[scheme] = session(path)
        for sizes in bindings:
            report(name, sizes, sessions, args.rounds)


def report(name, sizes, sessions, rounds):
    """Runs the sessions in turn and prints a line for each."""
    steps = {scheme: run(loaded, sizes) for scheme, loaded in sessions.items()}
    for step in steps.values():
        seconds(step)
    rounds = [{scheme: seconds(step) for scheme, step in steps.items()} for _ in range(rounds)]
    past = f", {sizes['past_sequence_length']} past" if "past_sequence_length" in sizes else ""
    print(f"{name}, {sizes['sequence_length']} tokens{past}")
    for scheme in steps:
        ratios = sorted(times[scheme] / times["none"] for times in rounds)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        median = statistics.median(times[scheme] for times in rounds)
        shown = "f32" if scheme == "none" else scheme
        spread = "" if scheme == "none" else f"{statistics.median(ratios):8.3f}  ({low:.3f} to {high:.3f})"
        print(f"    {shown:24}{median * 1e3:9.2f} ms{spread}", flush=True)


if __name__ == "__main__":
    main()
