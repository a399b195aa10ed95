"""Exports small Transformers with both exporters of PyTorch, as test fixtures, and large ones for benchmarks.

Not part of CI: `pip install -r requirements-bench.txt` installs torch and transformers. Weights are random and seeded,
including biases and the weights of norms. `legacy` is `torch.onnx.export(dynamo=False)` at opset 17; `dynamo` is
`dynamo=True` at opset 20, with the exporter's own optimizer disabled. Half of the models use eager attention, half
`scaled_dot_product_attention`.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import traceback
import warnings

import onnx
import torch
import transformers as hf
from torch import nn

VOCAB = 64


class Cached(nn.Module):
    """A causal language model whose past and present are plain tensors."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, *past):
        cache = hf.DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        result = self.model(input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True)
        presents = [tensor for layer in result.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (result.logits, *presents)


class Call(nn.Module):
    """A model that is called with named tensors and returns one of its results."""

    def __init__(self, model, names, result, **options):
        super().__init__()
        self.model, self.names, self.result, self.options = model, names, result, options

    def forward(self, *tensors):
        return self.model(**dict(zip(self.names, tensors)), **self.options)[self.result]


class Decoder(nn.Module):
    """The decoder of an encoder-decoder, with its output layer."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, decoder_input_ids, encoder_hidden_states, *mask):
        result = self.model(
            decoder_input_ids=decoder_input_ids,
            # Without a mask, the model checks for packed sequences, which no exporter supports.
            decoder_attention_mask=torch.ones_like(decoder_input_ids),
            encoder_outputs=(encoder_hidden_states,),
            attention_mask=mask[0] if mask else None,
            use_cache=False,
        )
        return result.logits


class Plain(nn.Module):
    """`torch.nn.Transformer` between an embedding and a projection."""

    def __init__(self, width, heads, layers):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, width)
        self.inner = nn.Transformer(width, heads, layers, layers, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.project = nn.Linear(width, VOCAB)

    def forward(self, source, target, padding):
        size = target.shape[1]
        causal = torch.triu(torch.full((size, size), float("-inf")), 1)
        padded = torch.zeros(padding.shape).masked_fill(padding == 0, float("-inf"))
        state = self.inner(
            self.embed(source), self.embed(target), tgt_mask=causal,
            src_key_padding_mask=padded, memory_key_padding_mask=padded,
            # Otherwise the elements of the mask are checked, which no exporter supports.
            src_is_causal=False, tgt_is_causal=True, memory_is_causal=False,
        )
        return self.project(state)


class PackedAttention(nn.Module):
    """One projection for queries, keys and values, split by an axis of size 3, as in timm."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        packed = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = packed.unbind(0)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).reshape(batch, length, width))


class Packed(nn.Module):
    """Layers of a vision Transformer, as in timm."""

    def __init__(self, width, heads, layers):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))
        self.attentions = nn.ModuleList(PackedAttention(width, heads) for _ in range(layers))
        self.forwards = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(layers)
        )

    def forward(self, x):
        for at, (attend, forward) in enumerate(zip(self.attentions, self.forwards)):
            x = x + attend(self.norms[2 * at](x))
            x = x + forward(self.norms[2 * at + 1](x))
        return x


def ids(*axes):
    return ("ids", axes)


def mask(*axes):
    return ("mask", axes)


def floats(*axes):
    return ("floats", axes)


def encoder(model_class, config, names, result="last_hidden_state"):
    kinds = {name: "mask" if "mask" in name else "types" if "type" in name else "ids" for name in names}
    inputs = {name: (kind, ("batch", "seq")) for name, kind in kinds.items()}
    return Call(model_class(config), names, result, return_dict=True), inputs, [result]


def causal(model, layers, heads, size):
    """A model with past keys and values as inputs and present ones as outputs."""
    inputs = {"input_ids": ids("batch", "seq"), "attention_mask": mask("batch", "past + seq")}
    outputs = ["logits"]
    for layer in range(layers):
        for what in ("key", "value"):
            inputs[f"past_key_values.{layer}.{what}"] = floats("batch", heads, "past", size)
            outputs.append(f"present.{layer}.{what}")
    return Cached(model), inputs, outputs


def decoder(model, width):
    inputs = {
        "decoder_input_ids": ids("batch", "seq"),
        "encoder_hidden_states": floats("batch", "enc", width),
        "encoder_attention_mask": mask("batch", "enc"),
    }
    return Decoder(model), inputs, ["logits"]


def bert(attn, width=16, heads=2, layers=2):
    config = hf.BertConfig(
        vocab_size=VOCAB if width == 16 else 30522, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=2 * width if width == 16 else 4 * width,
        max_position_embeddings=64 if width == 16 else 512, attn_implementation=attn,
    )
    return encoder(hf.BertModel, config, ["input_ids", "attention_mask", "token_type_ids"])


def distilbert(attn):
    config = hf.DistilBertConfig(
        vocab_size=VOCAB, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64,
        attn_implementation=attn,
    )
    return encoder(hf.DistilBertModel, config, ["input_ids", "attention_mask"])


def roberta(attn):
    config = hf.RobertaConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, attn_implementation=attn,
    )
    return encoder(hf.RobertaModel, config, ["input_ids", "attention_mask"])


def deberta(attn):
    config = hf.DebertaV2Config(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8,
        norm_rel_ebd="layer_norm", share_att_key=True, type_vocab_size=0, attn_implementation="eager",
    )
    return encoder(hf.DebertaV2Model, config, ["input_ids", "attention_mask"])


def gpt2_config(attn, width=16, heads=2, layers=2):
    return hf.GPT2Config(
        vocab_size=VOCAB if width == 16 else 50257, n_embd=width, n_layer=layers, n_head=heads,
        n_positions=64 if width == 16 else 2048, bos_token_id=0, eos_token_id=0, attn_implementation=attn,
    )


def gpt2(attn):
    return encoder(hf.GPT2LMHeadModel, gpt2_config(attn), ["input_ids", "attention_mask"], "logits")


def gpt2_past(attn, width=16, heads=2, layers=2):
    return causal(hf.GPT2LMHeadModel(gpt2_config(attn, width, heads, layers)), layers, heads, width // heads)


def llama_past(attn):
    config = hf.LlamaConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        intermediate_size=32, max_position_embeddings=64, attn_implementation=attn,
    )
    return causal(hf.LlamaForCausalLM(config), 2, 2, 8)


def gptj_past(attn):
    config = hf.GPTJConfig(
        vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=64, rotary_dim=4, bos_token_id=0, eos_token_id=0,
        attn_implementation=attn,
    )
    return causal(hf.GPTJForCausalLM(config), 2, 2, 8)


def cohere_past(attn):
    config = hf.CohereConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=32, max_position_embeddings=64, use_qk_norm=True, attn_implementation=attn,
    )
    return causal(hf.CohereForCausalLM(config), 2, 2, 4)


def t5_config(attn):
    return hf.T5Config(
        vocab_size=VOCAB, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0,
        relative_attention_num_buckets=8, feed_forward_proj="gated-gelu", attn_implementation=attn,
    )


def t5_encoder(attn):
    return encoder(hf.T5EncoderModel, t5_config(attn), ["input_ids", "attention_mask"])


def t5_decoder(attn):
    return decoder(hf.T5ForConditionalGeneration(t5_config(attn)), 16)


def whisper_model(attn):
    return hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(
            vocab_size=VOCAB, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=8, max_source_positions=16,
            max_target_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            attn_implementation=attn,
        )
    )


def whisper_encoder(attn):
    encoder = whisper_model(attn).model.encoder
    inputs = {"input_features": floats("batch", 8, 32)}
    return Call(encoder, list(inputs), "last_hidden_state", return_dict=True), inputs, ["last_hidden_state"]


def whisper_decoder(attn):
    inputs = {"decoder_input_ids": ids("batch", "seq"), "encoder_hidden_states": floats("batch", "enc", 16)}
    return Decoder(whisper_model(attn)), inputs, ["logits"]


def marian_model(attn):
    return hf.MarianMTModel(
        hf.MarianConfig(
            vocab_size=VOCAB, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32,
            pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, attn_implementation=attn,
        )
    )


def marian_encoder(attn):
    names = ["input_ids", "attention_mask"]
    inputs = {"input_ids": ids("batch", "seq"), "attention_mask": mask("batch", "seq")}
    model = Call(marian_model(attn).model.encoder, names, "last_hidden_state", return_dict=True)
    return model, inputs, ["last_hidden_state"]


def marian_decoder(attn):
    return decoder(marian_model(attn), 16)


def vit(attn):
    config = hf.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=4,
        attn_implementation=attn,
    )
    inputs = {"pixel_values": floats("batch", 3, 16, 16)}
    return Call(hf.ViTModel(config), list(inputs), "last_hidden_state", return_dict=True), inputs, ["last_hidden_state"]


def transformer(_attn):
    # The legacy exporter treats the lengths as constants.
    inputs = {"source": ids("batch", 6), "target": ids("batch", 5), "padding_mask": mask("batch", 6)}
    return Plain(16, 2, 1), inputs, ["logits"]


def packed(_attn):
    return Packed(16, 2, 2), {"patches": floats("batch", "seq", 16)}, ["features"]


# The name, constructor and attention implementation of each model.
SMALL = {
    "bert": (bert, "sdpa"),
    "bert_eager": (bert, "eager"),
    "distilbert": (distilbert, "eager"),
    "roberta": (roberta, "sdpa"),
    "deberta_v2": (deberta, "eager"),
    "gpt2": (gpt2, "sdpa"),
    "gpt2_past": (gpt2_past, "eager"),
    "llama_past": (llama_past, "sdpa"),
    "gptj_past": (gptj_past, "eager"),
    "cohere_past": (cohere_past, "sdpa"),
    "t5_encoder": (t5_encoder, "eager"),
    "t5_decoder": (t5_decoder, "eager"),
    "whisper_encoder": (whisper_encoder, "sdpa"),
    "whisper_decoder": (whisper_decoder, "eager"),
    "marian_encoder": (marian_encoder, "eager"),
    "marian_decoder": (marian_decoder, "sdpa"),
    "vit": (vit, "eager"),
    "transformer": (transformer, "sdpa"),
    "packed": (packed, "sdpa"),
}
LARGE = {
    "bert_base": (lambda attn: bert(attn, 768, 12, 12), "eager"),
    "gpt2_past": (lambda attn: gpt2_past(attn, 768, 12, 12), "eager"),
}
SIZES = {"batch": 2, "seq": 5, "enc": 6, "past": 3, "past + seq": 8}


def randomize(model):
    """Sets biases and norm weights to random values, as after training."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def tensor(kind, axes):
    shape = [SIZES.get(axis, axis) for axis in axes]
    generator = torch.Generator().manual_seed(1)
    if kind == "ids":
        return torch.randint(3, VOCAB, shape, generator=generator)
    if kind == "types":
        return torch.randint(0, 2, shape, generator=generator)
    if kind == "mask":
        return torch.ones(shape, dtype=torch.int64)
    return torch.randn(shape, generator=generator)


def export(make, attn, exporter, path):
    torch.manual_seed(0)
    model, inputs, outputs = make(attn)
    model.eval()
    randomize(model)
    example = tuple(tensor(*of) for of in inputs.values())
    symbols = {name: {at: axis for at, axis in enumerate(axes) if isinstance(axis, str)} for name, (_, axes) in inputs.items()}
    names = {axis: axis.replace(" + ", "_plus_") for axis in SIZES}
    common = dict(input_names=list(inputs), output_names=outputs)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pathlib.Path(folder) / "model.onnx"
        if exporter == "legacy":
            axes = {name: {at: names[axis] for at, axis in of.items()} for name, of in symbols.items()}
            torch.onnx.export(model, example, str(file), opset_version=17, dynamo=False, dynamic_axes=axes, **common)
        else:
            dims = {axis: torch.export.Dim.DYNAMIC for axis in SIZES}
            # Arguments after `*` are passed as one tuple.
            shapes = tuple({at: dims[axis] for at, axis in of.items()} for of in symbols.values())
            program = torch.onnx.export(
                model, example, dynamo=True, opset_version=20, optimize=False, verbose=False,
                dynamic_shapes=pack(model, shapes), **common,
            )
            program.save(str(file))
        proto = onnx.load(file)
    strip(proto)
    rename(proto, {name: {at: names[axis] for at, axis in of.items()} for name, of in symbols.items()})
    large = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > 1 << 20
    onnx.save(proto, path, save_as_external_data=False)
    return {
        "inputs": {
            name: {"kind": kind, "shape": [names.get(axis, axis) for axis in axes]} for name, (kind, axes) in inputs.items()
        },
        "outputs": outputs,
        "attention": attn,
        **({} if not large else {"large": True}),
    }


def pack(model, shapes):
    """Returns the shapes in the form of the arguments of `forward`: those after `*` are one tuple."""
    import inspect

    parameters = inspect.signature(model.forward).parameters.values()
    plain = sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    return shapes[:plain] + ((shapes[plain:],) if plain < len(shapes) else ())


def strip(proto):
    """Removes unused data that makes files large: stack traces and doc strings."""
    proto.doc_string = ""
    del proto.metadata_props[:]
    for graph in [proto.graph, *proto.functions]:
        del graph.metadata_props[:]
        graph.doc_string = ""
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in getattr(graph, "value_info", []):
            value.doc_string = ""
            del value.metadata_props[:]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]


def rename(proto, symbols):
    """Renames the symbols of the inputs to our names; the exporter generates its own."""
    renamed = {}
    for value in proto.graph.input:
        for at, name in symbols.get(value.name, {}).items():
            own = value.type.tensor_type.shape.dim[at].dim_param
            if own.isidentifier():
                renamed.setdefault(own, name)
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in renamed:
                dim.dim_param = renamed[dim.dim_param]
            elif dim.dim_param:
                # An expression over symbols, which contains their names.
                import re

                dim.dim_param = re.sub(r"[A-Za-z_]\w*", lambda word: renamed.get(word[0], word[0]), dim.dim_param)


def main():
    # The fast path is a single PyTorch operator that no exporter supports.
    torch.backends.mha.set_fastpath_enabled(False)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--large", action="store_true", help="those to measure with")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    index_path = args.folder / "index.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {}
    models = LARGE if args.large else SMALL
    for name in args.names or models:
        make, attn = models[name]
        for exporter in ("legacy", "dynamo"):
            key = f"{name}.{exporter}"
            try:
                index[key] = export(make, attn, exporter, args.folder / f"{key}.onnx")
                print(key, (args.folder / f"{key}.onnx").stat().st_size, flush=True)
            except Exception as error:
                traceback.print_exc(limit=-3)
                index[key] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
                print(key, "FAILED", index[key]["failed"], flush=True)
            index_path.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    sys.exit(0)


if __name__ == "__main__":
    main()
