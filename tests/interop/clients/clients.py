"""Opens folders that `build --for` writes in the programs that they are for, and compares with PyTorch.

    clients.py NETWRIGHT [FAMILY ...] --node-modules FOLDER --torch PYTHON

The environment is that of requirements.txt; FOLDER has `npm install @huggingface/transformers@4.3.2`; PYTHON has the
torch and the transformers that made tests/families (../requirements-bench.txt), which are newer than what optimum-onnx
runs with. It takes minutes, so it is not part of the tests; docs/clients.md has its table. In f32, tokens must be those of PyTorch, by greedy and by
beam search, and the outputs of encoders equal within 1e-4; in other precisions, a cell is the share of equal tokens of
greedy search, or the cosine.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnxruntime_genai as genai
from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForFeatureExtraction, ORTModelForSeq2SeqLM
from reference import NEW_TOKENS, SEARCHES, inputs
from sentence_transformers import SentenceTransformer
from transformers import BertTokenizerFast

FAMILIES = pathlib.Path(__file__).parents[2] / "families"
DECODERS = ["gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3"]
ENCODER_DECODERS = ["t5", "bart", "marian", "m2m_100"]
ENCODERS = ["bert", "roberta", "distilbert", "electra"]
PRECISIONS = ["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16"]
TOLERANCE = 1e-4


def netwright(program, *arguments):
    done = subprocess.run([program, "-q", *map(str, arguments)], capture_output=True, text=True)
    # A variant that is not good enough is not written.
    return done.stderr.strip()


def reference(python, folder, kind):
    """Returns PyTorch's result: the states, or the tokens of each search."""
    script = pathlib.Path(__file__).parent / "reference.py"
    done = subprocess.run([python, script, folder, kind], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip()[-300:]
    return json.loads(done.stdout.splitlines()[-1])


def in_optimum(program, folder, kind, output, wanted):
    said = netwright(program, "build", folder, "-o", output, "--for", "optimum")
    assert not said, said
    if kind == "encoder":
        found = ORTModelForFeatureExtraction.from_pretrained(output)(**inputs()).last_hidden_state.detach().numpy()
        return {"f32": bool(np.abs(found - np.array(wanted)).max() <= TOLERANCE)}
    model = (ORTModelForSeq2SeqLM if kind == "encoder-decoder" else ORTModelForCausalLM).from_pretrained(output)
    found = [model.generate(**inputs(), **search).tolist() for search in SEARCHES]
    return {"f32": found == wanted}


def in_transformers_js(program, folder, kind, output, wanted, modules):
    said = netwright(program, "build", folder, "-o", output, "--for", "transformers.js", "--variants", "all")
    tensors = {
        name: {"type": "int64", "data": value.flatten().tolist(), "dims": list(value.shape)}
        for name, value in inputs().items()
    }
    request = {
        "folder": str(output),
        "modules": str(modules),
        "class": "AutoModel",
        "precisions": PRECISIONS,
        "inputs": tensors,
        "output": "last_hidden_state",
    }
    if kind == "encoder":
        # The tokenizers of these families give them.
        if folder.name in ["bert", "electra"]:
            zeros = [0] * len(tensors["input_ids"]["data"])
            tensors["token_type_ids"] = tensors["input_ids"] | {"data": zeros}
    else:
        request["class"] = "AutoModelForSeq2SeqLM" if kind == "encoder-decoder" else "AutoModelForCausalLM"
        request["generate"] = SEARCHES[0]
        wanted = wanted[0]
    path = output.parent / "request.json"
    path.write_text(json.dumps(request))
    done = subprocess.run(["node", pathlib.Path(__file__).parent / "generate.mjs", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip()[-300:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert "is not written" not in said, said
    return {precision: agreement(answer, wanted) for precision, answer in answers.items()}


def in_genai(program, folder, kind, output, wanted):
    if kind != "decoder":
        return {"f32": "-"}
    said = netwright(program, "build", folder, "-o", output, "--for", "genai", "--quantize", "none")
    assert not said, said
    model, found = genai.Model(str(output)), []
    for prompt in inputs()["input_ids"].numpy():
        length = len(prompt) + NEW_TOKENS
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=1)
        generator = genai.Generator(model, parameters)
        generator.append_tokens(prompt.astype(np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        found.append([int(token) for token in generator.get_sequence(0)])
    return {"f32": found == wanted[0]}


def in_sentence_transformers(program, scratch):
    """Returns whether a folder of sentence-transformers gives the same vectors in ONNX as in PyTorch."""
    folder, output = scratch / "source", scratch / "sentences"
    shutil.copytree(FAMILIES / "minilm", folder)
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(size - 5))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    said = netwright(program, "build", folder, "-o", output, "--for", "sentence-transformers")
    assert not said, said
    texts = ["w1 w2 w3", "w4", "w5 w1 w7 w8 w2"]
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    found = SentenceTransformer(str(output), device="cpu", backend="onnx").encode(texts)
    return bool(np.abs(found - expected).max() <= TOLERANCE)


def agreement(answer, wanted):
    if isinstance(answer, dict) and "error" in answer:
        return answer["error"]
    if isinstance(answer, dict):
        found, wanted = np.array(answer["data"]).reshape(answer["dims"]), np.array(wanted)
        if np.abs(found - wanted).max() <= TOLERANCE:
            return True
        return round(float((found * wanted).sum() / np.linalg.norm(found) / np.linalg.norm(wanted)), 4)
    found, wanted = np.array(answer), np.array(wanted)
    if found.shape != wanted.shape:
        return f"{found.shape} tokens, not {wanted.shape}"
    new = wanted.shape[1] - NEW_TOKENS
    share = (found[:, new:] == wanted[:, new:]).mean()
    return True if share == 1 else round(float(share), 2)


def cell(value):
    return {True: "equal", False: "**differs**"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("netwright")
    parser.add_argument("families", nargs="*")
    parser.add_argument("--node-modules", type=pathlib.Path, required=True)
    parser.add_argument("--torch", type=pathlib.Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    wrong = 0
    print(f"| family | optimum | genai | {' | '.join(PRECISIONS)} |\n| --- | --- | --- | {' | '.join('---' for _ in PRECISIONS)} |")
    kinds = {"encoder": ENCODERS, "decoder": DECODERS, "encoder-decoder": ENCODER_DECODERS}
    for kind, name in ((kind, name) for kind, names in kinds.items() for name in names):
        if args.families and name not in args.families:
            continue
        folder, cells = FAMILIES / name, []
        wanted = reference(args.torch, folder, kind)
        with tempfile.TemporaryDirectory() as output:
            output = pathlib.Path(output)
            for open_in in [
                lambda: in_optimum(args.netwright, folder, kind, output / "optimum", wanted),
                lambda: in_genai(args.netwright, folder, kind, output / "genai", wanted),
                lambda: in_transformers_js(
                    args.netwright, folder, kind, output / "js", wanted, args.node_modules.resolve()
                ),
            ]:
                try:
                    cells += open_in().values()
                except Exception as error:
                    cells.append(f"**{' '.join(str(error).split())[:200]}**")
        wrong += any(value not in (True, "-") for value in cells[:3])
        print(f"| {name} | {' | '.join(map(cell, cells))} |", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        is_equal = in_sentence_transformers(args.netwright, pathlib.Path(scratch))
    print(f"\nsentence-transformers: {cell(is_equal)}")
    wrong += not is_equal
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
