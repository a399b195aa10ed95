"""Builds scaled-down copies of a hundred popular models, and compares them with PyTorch.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install --requirement tests/interop/requirements-bench.txt
    /tmp/venv/bin/python tests/interop/hundred.py target/release/netwright [NAME ...] [--write]

`hundred.json` has each model's name on the Hugging Face Hub and the keys and odd values of its `config.json`, with small
sizes; they are from public copies and from memory, since the script needs no network. `checkpoint` says what the
published weights have that `save_pretrained` does not write today. Each model gets random weights; what Netwright builds
from the folder for ONNX Runtime must equal PyTorch within 1e-4, with padding: whole, in parts, and in steps with a past.
`--write` puts the results into docs/families.md.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import judge
import torch
import transformers as t
from families import TOLERANCE, Wrong, judge_folder
from make_families import cases, randomized
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/families.md"
HEAD = "| model | `model_type` | result |\n| --- | --- | --- |\n"
DECODERS = """bloom cohere2 exaone exaone4 falcon gemma gemma2 gemma3_text gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite llama
mistral mpt olmo olmo2 olmo3 opt phi phi3 qwen2 qwen3 smollm3 stablelm starcoder2""".split()
WITH_TYPES = ("bert", "albert", "big_bird", "electra", "nomic_bert", "layoutlm")


def kind_of(row):
    """Returns the kind of inputs, as in make_families.py."""
    config = row["config"]
    architecture = (config.get("architectures") or [""])[0]
    if row.get("input"):
        return row["input"]
    if config.get("is_encoder_decoder") and "sentence_transformers" not in row and "Encoder" not in architecture:
        return "seq2seq"
    if config["model_type"] == "clip_text_model":
        return "clip text"
    if config["model_type"] in DECODERS:
        return "causal"
    return "types" if config["model_type"] in WITH_TYPES and "sentence_transformers" not in row else "text"


def reference(row):
    """Returns the model in PyTorch, with random weights."""
    config = {key: value for key, value in row["config"].items() if key not in ("auto_map", "dtype", "torch_dtype")}
    config |= row.get("reference", {})
    scaling = config.get("rope_scaling")
    is_ntk = isinstance(scaling, dict) and scaling.get("type") == "ntk"
    if is_ntk:
        del config["rope_scaling"]
    name = row.get("reference_class") or row.get("class_name") or config["architectures"][0]
    model_class = getattr(t, name)
    config_class = t.ExaoneConfig if config["model_type"] == "exaone" else model_class.config_class
    config.pop("model_type")
    config = config_class.from_dict(config, attn_implementation="eager")
    if "sentence_transformers" in row and name != "T5EncoderModel":
        model = t.AutoModel.from_config(config)
    else:
        model = model_class._from_config(config)
    if is_ntk:
        width = config.hidden_size // config.num_attention_heads
        base = config.rope_parameters["rope_theta"] * scaling["factor"]
        powers = torch.arange(0, width, 2, dtype=torch.float32) / width
        model.base_model.rotary_emb.inv_freq = 1.0 / base**powers / scaling["factor"] ** (2 / width)
    return randomized(model.float())


def published(tensors, checkpoint, config):
    """Returns the tensors with the names and additions of the published checkpoint."""
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
    for what in checkpoint:
        what, _, rest = what.partition(":")
        base = next((name.split("embeddings.")[0] for name in tensors if "embeddings.word_embeddings" in name), "")
        width = config.get("hidden_size") or config.get("n_embd")
        match what:
            case "gamma":
                names = {"weight": "gamma", "bias": "beta"}
                tensors = {name.rpartition(".")[0] + "." + names[name.rpartition(".")[2]] if "LayerNorm" in name else name: value for name, value in tensors.items()}
            case "posids" | "clipposids":
                base = "text_model." if what == "clipposids" else base
                tensors[f"{base}embeddings.position_ids"] = torch.arange(64)[None]
            case "pooler":
                tensors[f"{base}pooler.dense.weight"], tensors[f"{base}pooler.dense.bias"] = torch.randn(width, width), torch.randn(width)
            case "nsp":
                tensors["cls.seq_relationship.weight"], tensors["cls.seq_relationship.bias"] = torch.randn(2, width), torch.randn(2)
            case "mlmdec":
                tensors["lm_head.decoder.weight"] = tensors[f"{base}embeddings.word_embeddings.weight"].clone()
                tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"].clone()
            case "notieddec" | "nolmhead":
                tensors = {name: value for name, value in tensors.items() if name not in ("lm_head.weight", "cls.predictions.decoder.weight")}
            case "noprefix":
                tensors = {name.removeprefix(rest): value for name, value in tensors.items()}
            case "prefix":
                old, new = rest.split("=")
                tensors = {new + name.removeprefix(old) if name.startswith(old) else name: value for name, value in tensors.items()}
            case "gpt2bias":
                tensors |= {f"h.{at}.attn.bias": torch.ones(1, 1, 8, 8).tril() for at in range(layers)}
            case "neoxbias":
                for at in range(layers):
                    tensors[f"gpt_neox.layers.{at}.attention.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
                    tensors[f"gpt_neox.layers.{at}.attention.masked_bias"] = torch.tensor(-1e9)
                    tensors[f"gpt_neox.layers.{at}.attention.rotary_emb.inv_freq"] = torch.ones(2)
            case "invfreq":
                tensors |= {f"model.layers.{at}.self_attn.rotary_emb.inv_freq": torch.ones(4) for at in range(layers)}
            case "t5crossbias":
                bias = tensors["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
                tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.randn_like(bias)
            case "t5embeds":
                tensors |= {f"{side}.embed_tokens.weight": tensors["shared.weight"].clone() for side in ("encoder", "decoder")}
            case _:
                raise ValueError(what)
    return tensors


def write_sentence_modules(folder, options, width):
    """Writes the files of sentence-transformers, and returns what they do to the states."""
    modules, layers = ["Transformer", "Pooling"], []
    modes = {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}
    (folder / "1_Pooling").mkdir()
    pooling = {f"pooling_mode_{mode}": mode == modes[options["mode"]] for mode in modes.values()}
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": width} | pooling))
    if options.get("extra") == "dense":
        dense = torch.nn.Linear(width, width // 2)
        (folder / "2_Dense").mkdir()
        (folder / "2_Dense/config.json").write_text(json.dumps(dict(in_features=width, out_features=width // 2, bias=True, activation_function="torch.nn.modules.activation.Tanh")))
        save_file({f"linear.{name}": value.detach() for name, value in dense.named_parameters()}, folder / "2_Dense/model.safetensors")
        modules.append("Dense")
        layers.append(lambda x: torch.tanh(dense(x)))
    if options["norm"]:
        modules.append("Normalize")
        layers.append(lambda x: torch.nn.functional.normalize(x, dim=1))
    paths = [f"{at}_{name}" if at else "" for at, name in enumerate(modules)]
    rows = [dict(idx=at, name=str(at), path=path, type=f"sentence_transformers.models.{name}") for at, (name, path) in enumerate(zip(modules, paths))]
    (folder / "modules.json").write_text(json.dumps(rows))

    def embed(states, mask):
        if options["mode"] == "mean":
            keep = mask[..., None].float()
            x = (states * keep).sum(1) / keep.sum(1)
        elif options["mode"] == "cls":
            x = states[:, 0]
        else:
            x = states[torch.arange(len(states)), (mask * torch.arange(mask.shape[1])).argmax(1)]
        for layer in layers:
            x = layer(x)
        return x

    return embed


def write(row, folder):
    """Writes a folder with the model as it is published, and with what PyTorch computes."""
    torch.manual_seed(0)
    model = reference(row)
    model.save_pretrained(folder)
    config = row["config"]
    weights = published(load_file(folder / "model.safetensors"), row.get("checkpoint", ()), config)
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    sentence = row.get("sentence_transformers")
    embed = write_sentence_modules(folder, sentence, model.config.hidden_size) if sentence else None
    tensors = {}
    with torch.no_grad():
        for at, (inputs, outputs) in enumerate(cases(model, kind_of(row))):
            if embed:
                states = outputs["last_hidden_state"]
                outputs = dict(token_embeddings=states, sentence_embedding=embed(states, inputs["attention_mask"]))
            for part, values in (("in", inputs), ("out", outputs)):
                tensors |= {f"{at}/{part}/{name}": value.clone().contiguous() for name, value in values.items()}
    save_file(tensors, folder / "expected.safetensors")


def judged(program, row):
    """Returns the result of a model."""
    with tempfile.TemporaryDirectory() as place:
        # Names that end so have no steps.
        folder = Path(place) / ("model_sequence" if "Classification" in str(row["config"].get("architectures")) else "model")
        folder.mkdir()
        if row.get("refused"):
            (folder / "config.json").write_text(json.dumps(row["config"]))
            save_file({"weight": torch.zeros(1)}, folder / "model.safetensors")
        else:
            write(row, folder)
        try:
            largest = judge_folder(program, folder, ["--target", "ort"])
        except Wrong as error:
            why = re.sub(r"^error(\[NW\d{4}\])?: ", "", str(error).replace(f"{folder}/", ""))
            return f"refused: {why.splitlines()[0] if why else 'no reason'}"
        return f"equal within {largest:.0e}" if largest <= TOLERANCE else f"differs by {largest:.0e}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    t.logging.set_verbosity_error()
    t.logging.disable_progress_bar()
    rows = json.loads((HERE / "hundred.json").read_text())
    wrong, lines = 0, []
    for row in rows:
        if arguments.names and row["name"] not in arguments.names:
            continue
        result = judged(arguments.program, row)
        is_right = result.startswith("refused") if row.get("refused") else result.startswith("equal")
        wrong += not is_right
        print(f"{'' if is_right else 'WRONG '}{row['name']}: {result}", flush=True)
        lines.append(f"| {row['name']} | `{row['config']['model_type']}` | {result} |\n")
    print(f"{len(lines)} models, {sum('equal' in line for line in lines)} equal, {wrong} not as expected")
    if arguments.write and not arguments.names:
        page = PAGE.read_text()
        start = page.index(HEAD) + len(HEAD)
        end = page.index("\n\n", start - 1) + 1
        PAGE.write_text(page[:start] + "".join(lines) + page[end:])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
