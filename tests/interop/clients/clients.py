"""Opens folders that `build` writes in the programs that they are for, and compares with PyTorch.

    clients.py NETWRIGHT [FAMILY ...] --torch PYTHON [--client NAME ...] [--node-modules FOLDER] [--openvino PYTHON] [--runtimes PROGRAM]

This runs in the environment of requirements.txt. PYTHON of --torch has the torch and the transformers of
../requirements-bench.txt, which are newer than what optimum-onnx runs with; that of --openvino has `openvino==2026.4.1`
and numpy. FOLDER has `npm install @huggingface/transformers@4.3.2`. PROGRAM is the example `runtimes` of the workspace.
ORT_DYLIB_PATH names the library of ONNX Runtime. It takes minutes per client, so it is not part of the tests;
docs/clients.md has its tables.

A model of two layers is created for each family, wide enough for its weights to be quantized. In f32, the tokens of
greedy search and of beam search must be PyTorch's, and logits and states equal within 1e-4. In other precisions, a cell is
the cosine of the logits or states, and of how many tokens of greedy search are equal. A quantized file must have
quantized products, or its cell says so. The exit code is 1 if a cell of f32 differs, or a variant does not run.
"""

import argparse
import collections
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import chain
import numpy as np
import onnx

HERE = pathlib.Path(__file__).resolve().parent
NEW_TOKENS = 12
SEARCH = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
SEARCHES = [SEARCH, SEARCH | {"num_beams": 3}]
TEXTS = ["w1 w2 w3", "w4", "w5 w1 w7 w8 w2"]
TOLERANCE = 1e-4
# Rounding leaves more than this; a program that computes something else does not.
LEAST = 0.99
ENCODERS = ["bert", "roberta", "distilbert", "electra", "mpnet", "modernbert", "vit", "clip"]
DECODERS = ["gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3"]
ENCODER_DECODERS = ["t5", "bart", "marian", "m2m_100", "whisper"]
VARIANTS = {
    "fp32": [],
    "fp16": ["--dtype", "f16"],
    "q8": ["--quantize", "int8-dynamic"],
    "uint8": ["--quantize", "uint8-dynamic"],
    "q4": ["--quantize", "int4"],
    "q4f16": ["--quantize", "int4", "--dtype", "f16"],
}
QUANTIZED = {"MatMulNBits", "MatMulInteger", "DequantizeLinear"}


class Case:
    """A model of a family, and what PyTorch gives for it."""

    def __init__(self, name, folder, torch):
        self.name, self.folder = name, folder
        done = subprocess.run([torch, HERE / "reference.py", name, folder], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr.strip()[-300:]
        self.wanted = json.loads(done.stdout.splitlines()[-1])
        self.given = {name: np.array(of["data"], of["type"]).reshape(of["dims"]) for name, of in self.wanted["inputs"].items()}
        self.is_decoder = self.wanted["kind"] == "causal"
        self.is_encoder = "outputs" in self.wanted

    def cell(self, outputs, tokens=(), exact=False):
        """Returns the cell for the logits or states of a client, and for the tokens of its searches."""
        wanted = self.wanted.get("outputs") or {"logits": self.wanted["logits"]}
        found, expected = [], []
        for name, values in wanted.items():
            values, other = np.array(values), np.array(outputs[name], float)
            if other.shape != values.shape:
                return f"**{name} is {list(other.shape)}, not {list(values.shape)}**"
            rows = self.rows(values.shape)
            found.append(other[rows].flatten())
            expected.append(values[rows].flatten())
        found, expected = np.concatenate(found), np.concatenate(expected)
        is_close = np.abs(found - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())
        pairs = [(np.array(own)[:, -NEW_TOKENS:], np.array(other)[:, -NEW_TOKENS:]) for own, other in zip(tokens, self.wanted.get("tokens", []))]
        same = [(own == other).mean() if own.shape == other.shape else 0 for own, other in pairs]
        if is_close and all(share == 1 for share in same):
            return "equal"
        cosine = float((found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected))
        shares = "".join(f", {share:.0%}" for share in (same if exact else same[:1]))
        is_wrong = exact or cosine < LEAST
        return f"**{cosine:.4f}{shares}**" if is_wrong else f"{cosine:.4f}{shares}"

    def rows(self, shape):
        """Returns which rows are those of tokens, not of padding."""
        mask = self.given.get("attention_mask")
        if mask is None or not self.is_decoder and shape[:2] != mask.shape:
            return np.ones(shape[:2], bool)
        longer = np.ones((len(mask), shape[1] - mask.shape[1]), bool)
        return np.concatenate([mask.astype(bool), longer], 1)


def build(program, case, output, *arguments):
    done = subprocess.run([program, "-q", "build", case.folder, "-o", output, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, " ".join(done.stderr.split())
    # A variant that is not good enough is not written.
    assert "is not written" not in done.stderr, " ".join(done.stderr.split())


def not_quantized(output, variant):
    """Returns a remark if a quantized variant has no quantized operator."""
    files = [output] if output.is_file() else output.rglob("*.onnx")
    kinds = {node.op_type for file in files for node in onnx.load(file, load_external_data=False).graph.node}
    return "" if variant in ("fp32", "fp16") or kinds & QUANTIZED else " **not quantized**"


def tensors(case):
    import torch

    return {name: torch.tensor(value) for name, value in case.given.items()}


def in_optimum(args, case, variant, output):
    import torch
    from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForFeatureExtraction, ORTModelForSeq2SeqLM, ORTModelForSpeechSeq2Seq

    if case.name in ("vit", "clip"):
        return "-"
    build(args.netwright, case, output, "--for", "optimum", *VARIANTS[variant])
    given = tensors(case)
    if case.is_encoder:
        return case.cell({"last_hidden_state": ORTModelForFeatureExtraction.from_pretrained(output)(**given).last_hidden_state.detach().float()}, exact=variant == "fp32")
    if case.name == "whisper":
        model = ORTModelForSpeechSeq2Seq.from_pretrained(output)
    else:
        model = (ORTModelForCausalLM if case.is_decoder else ORTModelForSeq2SeqLM).from_pretrained(output)
    text = torch.tensor(case.wanted["text"])
    if case.is_decoder:
        mask = torch.cat([given["attention_mask"], torch.ones(2, NEW_TOKENS, dtype=torch.int64)], 1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=text, attention_mask=mask, position_ids=positions).logits
    else:
        logits = model(**given, decoder_input_ids=text).logits
    found = [model.generate(**given, **search).tolist() for search in SEARCHES]
    return case.cell({"logits": logits.detach().float()}, found, exact=variant == "fp32")


def in_transformers_js(args, case, variant, output):
    # All variants are built at once, as --variants does.
    if not output.parent.joinpath("all").exists():
        build(args.netwright, case, output.parent / "all", "--for", "transformers.js", "--variants", "all", "--min-cosine", "0.5", "--runtime", "ort")
    output = output.parent / "all"
    kinds = {"whisper": "AutoModelForSpeechSeq2Seq"}
    request = {
        "folder": str(output),
        "modules": str(args.node_modules.resolve()),
        "class": "AutoModel" if case.is_encoder else kinds.get(case.name, "AutoModelForCausalLM" if case.is_decoder else "AutoModelForSeq2SeqLM"),
        "precision": variant,
        "inputs": case.wanted["inputs"],
        "outputs": list(case.wanted.get("outputs", ["logits"])),
        "search": None if case.is_encoder else SEARCH,
        "text": case.wanted.get("text"),
        "is_decoder": case.is_decoder,
        "is_single": case.name == "whisper",
    }
    path = output.parent / "request.json"
    path.write_text(json.dumps(request))
    done = subprocess.run(["node", HERE / "generate.mjs", path], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if "Error" in line]
    assert done.returncode == 0, errors[0] if errors else done.stderr.strip()[-300:]
    answer = json.loads(done.stdout.splitlines()[-1])
    outputs = {name: np.array(value["data"]).reshape(value["dims"]) for name, value in answer["outputs"].items()}
    return case.cell(outputs, [answer["tokens"]] if "tokens" in answer else [], exact=variant == "fp32")


def in_genai(args, case, variant, output):
    import onnxruntime_genai as genai

    if not case.is_decoder:
        return "-"
    own = VARIANTS[variant] if "--quantize" in VARIANTS[variant] else ["--quantize", "none", *VARIANTS[variant]]
    build(args.netwright, case, output, "--for", "genai", *own)
    model, found, logits = genai.Model(str(output)), [], np.zeros(np.shape(case.wanted["logits"]))
    # Each prompt runs alone, without its padding.
    for row, (ids, mask) in enumerate(zip(case.given["input_ids"], case.given["attention_mask"])):
        def generator(tokens, length):
            parameters = genai.GeneratorParams(model)
            parameters.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=1)
            generator = genai.Generator(model, parameters)
            generator.append_tokens(tokens.astype(np.int32))
            return generator

        prompt = ids[mask == 1]
        search = generator(prompt, len(prompt) + NEW_TOKENS)
        while not search.is_done():
            search.generate_next_token()
        found.append([int(token) for token in search.get_sequence(0)][-NEW_TOKENS:])
        text = np.array(case.wanted["text"][row])[len(ids) - len(prompt) :]
        logits[row, -len(text) :] = generator(text, len(text) + 1).get_output("logits")[0]
    return case.cell({"logits": logits}, [found], exact=variant == "fp32")


def in_sentence_transformers(args, case, variant, output):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if not case.is_encoder or case.name in ("vit", "clip"):
        return "-"
    folder = output.parent / "sentences"
    if not folder.exists():
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(92))]
        tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if "token_type_ids" in case.given else [])]
        plain = output.parent / "plain"
        shutil.copytree(case.folder, plain)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_input_names=names).save_pretrained(plain)
        transformer = Transformer(str(plain))
        # The state of the first token: a client that misses the modules takes the mean.
        pooling = Pooling(transformer.get_word_embedding_dimension(), pooling_mode="cls")
        SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu").save_pretrained(str(folder))
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    done = subprocess.run([args.netwright, "-q", "build", folder, "-o", output, "--for", "sentence-transformers", *VARIANTS[variant]], capture_output=True, text=True)
    assert done.returncode == 0, " ".join(done.stderr.split())
    found = SentenceTransformer(str(output), device="cpu", backend="onnx").encode(TEXTS)
    if np.abs(found - expected).max() <= TOLERANCE:
        return "equal"
    cosine = float((found * expected).sum(1).min())
    return f"{cosine:.4f}" if variant != "fp32" else f"**{cosine:.4f}**"


def in_runtime(target, command):
    def open_in(args, case, variant, output):
        given = case.given
        flags = ["--target", target, *VARIANTS[variant]]
        if case.is_encoder:
            output = output.with_suffix(".onnx")
            build(args.netwright, case, output, *flags)
            run = chain.encoder(output, given, list(case.wanted["outputs"]))
        elif case.is_decoder:
            output = output.with_suffix(".onnx")
            build(args.netwright, case, output, "--with-past", *flags)
            run = chain.decoder(output, np.array(case.wanted["text"]), given["attention_mask"], given["input_ids"].shape[1])
        else:
            build(args.netwright, case, output, "--with-past", *flags)
            run = chain.encoder_decoder(output, given, np.array(case.wanted["text"]))
        return case.cell(run(command(args)), exact=variant == "fp32") + not_quantized(output, variant)

    return open_in


CLIENTS = {
    "optimum": in_optimum,
    "transformers.js": in_transformers_js,
    "sentence-transformers": in_sentence_transformers,
    "genai": in_genai,
    "ort": in_runtime("ort", lambda args: [args.runtimes, "ort"]),
    "openvino": in_runtime("onnx", lambda args: [args.openvino, HERE / "in_openvino.py"]),
    "tract": in_runtime("tract", lambda args: [args.runtimes, "tract"]),
}


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("netwright")
    parser.add_argument("families", nargs="*")
    parser.add_argument("--torch", type=pathlib.Path, required=True)
    parser.add_argument("--client", action="append", choices=CLIENTS)
    parser.add_argument("--node-modules", type=pathlib.Path)
    parser.add_argument("--openvino", type=pathlib.Path)
    parser.add_argument("--runtimes", type=pathlib.Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows, failures = collections.defaultdict(list), []
    for name in args.families or ENCODERS + DECODERS + ENCODER_DECODERS:
        with tempfile.TemporaryDirectory() as scratch:
            case = Case(name, pathlib.Path(scratch) / "folder", args.torch)
            for client in args.client or CLIENTS:
                cells = []
                for variant in VARIANTS:
                    output = pathlib.Path(scratch) / client / variant
                    output.parent.mkdir(exist_ok=True)
                    try:
                        cells.append(CLIENTS[client](args, case, variant, output))
                    except Exception as error:
                        cells.append("**fails**")
                        failures.append(f"{client}, {name}, {variant}: {' '.join(str(error).split())[-400:]}")
                rows[client].append((name, cells))
                print(client, name, *cells, sep="\t", file=sys.stderr, flush=True)
    for client, of_client in rows.items():
        print(f"\n### {client}\n\n| family | {' | '.join(VARIANTS)} |\n| --- |{' --- |' * len(VARIANTS)}")
        for name, cells in of_client:
            if set(cells) != {"-"}:
                print(f"| {name} | {' | '.join(cells)} |")
    print("", *failures, sep="\n")
    sys.exit(any("**" in cell for of_client in rows.values() for _, cells in of_client for cell in cells))


if __name__ == "__main__":
    main()
