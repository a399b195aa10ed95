"""Opens folders that `build --for` writes in the programs that they are for, and compares with PyTorch.

    clients.py NETWRIGHT --node-modules FOLDER

The environment is that of requirements.txt; FOLDER has `npm install @huggingface/transformers@4.3.2`. It takes minutes,
so it is not part of the tests; docs/clients.md has its table. In f32, tokens must be those of PyTorch, by greedy and by
beam search, and the outputs of encoders equal within 1e-4; in other precisions, a cell is the share of equal tokens of
greedy search, or the cosine.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
import transformers

FAMILIES = pathlib.Path(__file__).parents[2] / "families"
DECODERS = ["gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3"]
ENCODER_DECODERS = ["t5", "bart", "marian", "m2m_100"]
ENCODERS = ["bert", "roberta", "distilbert", "electra"]
PRECISIONS = ["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16"]
NEW_TOKENS = 12
TOLERANCE = 1e-4


def netwright(program, *arguments):
    done = subprocess.run([program, "-q", *map(str, arguments)], capture_output=True, text=True)
    # A variant that is not good enough is not written.
    return done.stderr.strip()


def reference(folder, name):
    """Returns a function of the options of a search, or of nothing, that gives PyTorch's result; and the inputs."""
    random = np.random.default_rng(0)
    ids = torch.tensor(random.integers(4, 40, (2, 6)))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if name in ENCODERS:
        model = transformers.AutoModel.from_pretrained(folder).eval()
        with torch.no_grad():
            return inputs, lambda: model(**inputs).last_hidden_state.numpy()
    kind = transformers.AutoModelForSeq2SeqLM if name in ENCODER_DECODERS else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(folder, attn_implementation="eager").eval()
    return inputs, lambda **options: model.generate(**inputs, **options).tolist()


def searches():
    shared = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    return [shared, shared | {"num_beams": 3}]


def in_optimum(program, folder, name, output):
    from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForFeatureExtraction, ORTModelForSeq2SeqLM

    said = netwright(program, "build", folder, "-o", output, "--for", "optimum")
    assert not said, said
    inputs, expected = reference(folder, name)
    if name in ENCODERS:
        found = ORTModelForFeatureExtraction.from_pretrained(output)(**inputs).last_hidden_state.numpy()
        return {"f32": bool(np.abs(found - expected()).max() <= TOLERANCE)}
    kind = ORTModelForSeq2SeqLM if name in ENCODER_DECODERS else ORTModelForCausalLM
    model = kind.from_pretrained(output)
    return {"f32": all(model.generate(**inputs, **each).tolist() == expected(**each) for each in searches())}


def in_transformers_js(program, folder, name, output, modules):
    said = netwright(program, "build", folder, "-o", output, "--for", "transformers.js", "--variants", "all")
    inputs, expected = reference(folder, name)
    request = {
        "folder": str(output),
        "modules": str(modules),
        "class": "AutoModel",
        "precisions": PRECISIONS,
        "inputs": {key: {"type": "int64", "data": value.flatten().tolist(), "dims": list(value.shape)} for key, value in inputs.items()},
    }
    if name in ENCODERS:
        # Its tokenizers always give them.
        if name in ["bert", "electra"]:
            zeros = torch.zeros_like(inputs["input_ids"]).flatten().tolist()
            request["inputs"]["token_type_ids"] = request["inputs"]["input_ids"] | {"data": zeros}
        request["output"] = "last_hidden_state"
        wanted = expected()
    else:
        request["class"] = "AutoModelForSeq2SeqLM" if name in ENCODER_DECODERS else "AutoModelForCausalLM"
        request["generate"] = searches()[0]
        wanted = expected(**searches()[0])
    path = output.parent / "request.json"
    path.write_text(json.dumps(request))
    done = subprocess.run(["node", pathlib.Path(__file__).parent / "generate.mjs", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip()[-300:]
    return {precision: agreement(answer, wanted) for precision, answer in json.loads(done.stdout.splitlines()[-1]).items()}


def agreement(answer, wanted):
    if isinstance(answer, dict) and "error" in answer:
        return answer["error"]
    if isinstance(answer, dict):
        found = np.array(answer["data"]).reshape(answer["dims"])
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
    parser.add_argument("--node-modules", type=pathlib.Path, required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    wrong = 0
    print(f"| family | optimum | {' | '.join(PRECISIONS)} |\n| --- | --- | {' | '.join('---' for _ in PRECISIONS)} |")
    for name in [*ENCODERS, *DECODERS, *ENCODER_DECODERS]:
        cells = []
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for open_in in [
                lambda: in_optimum(args.netwright, FAMILIES / name, name, folder / "optimum"),
                lambda: in_transformers_js(args.netwright, FAMILIES / name, name, folder / "js", args.node_modules.resolve()),
            ]:
                try:
                    cells += open_in().values()
                except Exception as error:
                    cells.append(f"**{str(error).splitlines()[0][:200]}**")
        wrong += any(value is not True for value in cells[:2])
        print(f"| {name} | {' | '.join(map(cell, cells))} |", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
