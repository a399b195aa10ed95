"""Makes the GGUF files in tests/gguf, with the package of llama.cpp.

    python3 -m venv target/gguf && target/gguf/bin/pip install -r tests/interop/requirements-gguf.txt
    target/gguf/bin/python tests/interop/make_gguf.py

- For each family, the weights of a folder in tests/families, as llama.cpp's converter stores them.
- `blocks.safetensors`: random blocks of each format, and the floats that the package decodes them to.
- `quantized.gguf`: a tiny Llama in Q4_0 and Q8_0, with a tokenizer; `quantized/` has the same weights as floats.
"""

import json
import math
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants
from safetensors.numpy import load_file, save_file
from tiny_llama import shapes

TESTS = pathlib.Path(__file__).parents[1]
OUTPUT = TESTS / "gguf"

OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GEMMA2 = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
# The folder of each file, the architecture, and the type of matrices.
FAMILIES = {
    "llama": ("llama", Type.F32),
    "mistral": ("llama", Type.F16),
    "smollm": ("llama", Type.BF16),
    "qwen2": ("qwen2", Type.F16),
    "qwen3": ("qwen3", Type.F16),
    "phi3": ("phi3", Type.F16),
    "gemma2": ("gemma2", Type.F16),
}


def stored_name(name, architecture):
    layer, part = name.rsplit(".", 1)
    if layer in OUTER:
        return f"{OUTER[layer]}.{part}"
    _, _, at, inner = layer.split(".", 3)
    names = INNER | (GEMMA2 if architecture == "gemma2" else {})
    return f"blk.{at}.{names[inner]}.{part}"


def permute(rows, heads):
    """Interleaves the halves of each head, as llama.cpp's converter does."""
    return rows.reshape(heads, 2, len(rows) // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def add_options(writer, options, head):
    writer.add_context_length(options["max_position_embeddings"])
    writer.add_embedding_length(options["hidden_size"])
    writer.add_block_count(options["num_hidden_layers"])
    writer.add_feed_forward_length(options["intermediate_size"])
    writer.add_head_count(options["num_attention_heads"])
    writer.add_head_count_kv(options["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(options["rms_norm_eps"])
    writer.add_vocab_size(options["vocab_size"])
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(options["rope_parameters"]["rope_theta"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_file_type(1)


def add_tensors(writer, tensors, architecture, options, type_of):
    for name, tensor in tensors.items():
        if architecture == "llama" and ".q_proj." in name:
            tensor = permute(tensor, options["num_attention_heads"])
        if architecture == "llama" and ".k_proj." in name:
            tensor = permute(tensor, options["num_key_value_heads"])
        if architecture == "gemma2" and name.endswith("norm.weight"):
            tensor = tensor + 1
        kind = type_of(name) if tensor.ndim == 2 else Type.F32
        writer.add_tensor(stored_name(name, architecture), quants.quantize(tensor, kind), raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_family(name, architecture, kind):
    folder = TESTS / "families" / name
    options = json.loads((folder / "config.json").read_text())
    head = options.get("head_dim") or options["hidden_size"] // options["num_attention_heads"]
    writer = gguf.GGUFWriter(OUTPUT / f"{name}.gguf", architecture)
    add_options(writer, options, head)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(options["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(options["final_logit_softcapping"])
    if name in ("mistral", "gemma2"):
        writer.add_sliding_window(options["sliding_window"])
    if architecture == "phi3":
        rope = options["rope_parameters"]
        original = rope["original_max_position_embeddings"]
        ratio = options["max_position_embeddings"] / original
        writer.add_sliding_window(0)
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(ratio) / math.log(original)))
        for length in ["long", "short"]:
            writer.add_tensor(f"rope_factors_{length}.weight", np.array(rope[f"{length}_factor"], np.float32))
    add_tensors(writer, load_file(folder / "model.safetensors"), architecture, options, lambda _: kind)
    finish(writer)


def make_blocks():
    """The package quantizes to few formats, but decodes all: blocks are random bytes whose scales are finite."""
    random = np.random.default_rng(0)
    # The places of the f16 of a block.
    halves = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
    tensors = {}
    for kind, places in halves.items():
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (2, 512 // elements, size), np.uint8)
        for place in places:
            scales = random.uniform(-1, 1, blocks.shape[:2]).astype(np.float16)
            blocks[..., place : place + 2] = scales[..., None].view(np.uint8)
        raw = blocks.reshape(2, -1)
        tensors[f"{kind.name}.raw"] = raw
        tensors[f"{kind.name}.floats"] = quants.dequantize(raw, kind)
    save_file(tensors, OUTPUT / "blocks.safetensors")


OPTIONS = {
    "architectures": ["LlamaForCausalLM"],
    "head_dim": 16,
    "hidden_size": 32,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "vocab_size": 24,
}


def kind_of(name):
    return Type.Q8_0 if "embed_tokens" in name or "down_proj" in name else Type.Q4_0


def make_quantized():
    random = np.random.default_rng(1)
    norms = ["model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"]
    tensors = {f"{name}.weight": random.uniform(0.5, 1.5, 32).astype(np.float32) for name in norms}
    layer = {f"model.layers.0.{name}": shape for name, shape in shapes(OPTIONS).items()}
    matrices = {"model.embed_tokens": (24, 32)} | layer
    for name, shape in matrices.items():
        tensors[f"{name}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)
    writer = gguf.GGUFWriter(OUTPUT / "quantized.gguf", "llama")
    add_options(writer, OPTIONS, OPTIONS["head_dim"])
    # Single bytes, two merges and a token that ends a text.
    letters = ["h", "e", "l", "o", "Ġ", "w", "r", "d", "!", "a", "b", "c", "f", "g", "i", "j", "k", "m", "n", "p"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([*letters, "ll", "he", "hell", "<|end_of_text|>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 23 + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["l l", "h e", "he ll"])
    writer.add_eos_token_id(23)
    add_tensors(writer, tensors, "llama", OPTIONS, kind_of)
    finish(writer)
    folder = OUTPUT / "quantized"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(OPTIONS, indent=2) + "\n")
    exact = {name: quants.dequantize(quants.quantize(tensor, kind_of(name)), kind_of(name)) if tensor.ndim == 2 else tensor for name, tensor in tensors.items()}
    save_file(exact, folder / "model.safetensors")


def main():
    OUTPUT.mkdir(exist_ok=True)
    for name, (architecture, kind) in FAMILIES.items():
        make_family(name, architecture, kind)
    make_blocks()
    make_quantized()


if __name__ == "__main__":
    main()
