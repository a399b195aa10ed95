"""Compares models built from the Hugging Face folders in tests/families with the results of PyTorch.

Every folder is built without optimization and for every target, and with a past if it supports one. Each file must pass
the ONNX checker with full shape inference, and its results in ONNX Runtime must equal those of PyTorch within 1e-4,
except for padding. With a past, a prompt and three steps must give the results of one pass over all tokens.
"""

import argparse
import pathlib
import sys
import tempfile

import judge
import numpy as np
import onnx
from safetensors.numpy import load_file

FOLDERS = pathlib.Path(__file__).parents[1] / "families"
WAYS = {
    "declared": ["--no-optimize"],
    "onnx": [],
    "onnx 23": ["--opset", "23"],
    "tract": ["--target", "tract"],
    "ort": ["--target", "ort"],
}
TOLERANCE = 1e-4
# The tolerances of half precision; bf16 is only checked, since ONNX Runtime has no CPU kernels for it.
HALF = ["bert_mlm", "gpt2", "gpt_neox", "llama", "qwen3", "phi3", "gemma2", "t5", "bart", "m2m_100", "whisper", "vit", "clip"]
HALF_TOLERANCE = 0.1
STEPS = 3
# Decoders without steps: their rotary frequencies depend on the length, so keys of earlier steps were rotated with other
# frequencies, or their tokens see later ones.
WITHOUT_STEPS = {"gemma3_base", "llama_dynamic", "phi3", "phi3_base"}


class Wrong(Exception):
    pass


def cases(folder):
    """Returns the inputs and outputs of each shape, by name."""
    tensors = load_file(folder / "expected.safetensors")
    for at in sorted({name.split("/")[0] for name in tensors}):
        yield [
            {name.split("/", 2)[2]: value for name, value in tensors.items() if name.startswith(f"{at}/{part}/")}
            for part in ("in", "out")
        ]


def build(program, folder, output, *arguments):
    outcome = judge.netwright(program, "build", str(folder), "-o", str(output), "--quiet", *arguments)
    if outcome.code != 0:
        raise Wrong(outcome.stderr.strip())
    return {path.stem: path for path in sorted(output.glob("*.onnx"))} if output.suffix != ".onnx" else output


def load(path):
    onnx.checker.check_model(str(path), full_check=True)
    return judge.session(str(path), judge.OPTIMIZED)


def run(session, values):
    """Returns all outputs by name; the session gets exactly the inputs that it requires."""
    asked = {port.name for port in session.get_inputs()}
    missing, unasked = asked - values.keys(), values.keys() - asked
    if missing or unasked:
        raise Wrong(f"inputs: {sorted(missing)} are missing, {sorted(unasked)} are not inputs of the model")
    return dict(zip((port.name for port in session.get_outputs()), session.run(None, values)))


def difference(found, expected, mask):
    """Returns the largest difference from PyTorch, relative to values over 1, without rows of padding."""
    largest = 0.0
    for name, value in expected.items():
        if name not in found:
            raise Wrong(f"the output {name} is not there")
        other = found[name]
        if other.shape != value.shape:
            raise Wrong(f"{name} is {other.shape}, not {value.shape}")
        if mask is not None and value.shape[:2] == mask.shape:
            value, other = value[mask == 1], other[mask == 1]
        largest = max(largest, float(np.max(np.abs(value - other) / np.maximum(1, np.abs(value)), initial=0)))
    return largest


def empty_cache(session, batch):
    ports = [port for port in session.get_inputs() if port.name.startswith("past_key_values")]
    return {port.name: np.zeros((batch, port.shape[1], 0, port.shape[3]), np.float32) for port in ports}


def present_to_past(found):
    return {f"past_key_values{name[len('present'):]}": value for name, value in found.items() if name.startswith("present")}


def in_steps(session, values):
    """Runs a prompt and single steps, and concatenates the results."""
    ids, mask, positions = values["input_ids"], values["attention_mask"], values["position_ids"]
    length = ids.shape[1]
    prompt = max(length - STEPS, 1)
    cache = empty_cache(session, len(ids))
    pieces = []
    for first, last in [(0, prompt)] + [(at, at + 1) for at in range(prompt, length)]:
        step = {"input_ids": ids[:, first:last], "attention_mask": mask[:, :last], "position_ids": positions[:, first:last]}
        found = run(session, step | cache)
        cache = present_to_past(found)
        pieces.append(found)
    names = [name for name in pieces[0] if not name.startswith("present")]
    return {name: np.concatenate([piece[name] for piece in pieces], 1) for name in names}


def takes_past(folder, values, expected):
    """Returns whether it is a decoder that returns states or scores of every token."""
    is_decoder = "position_ids" in values and {"last_hidden_state", "logits"} & expected.keys()
    return is_decoder and not folder.name.endswith(("_sequence", "_token")) and folder.name not in WITHOUT_STEPS


def seq2seq_whole(encoder, decoder, values):
    """Runs encoder and decoder, in separate files, over all tokens at once."""
    source = {name: value for name, value in values.items() if name != "decoder_input_ids"}
    memory = run(encoder, source)["last_hidden_state"]
    mask = {"encoder_attention_mask": values["attention_mask"]} if "attention_mask" in values else {}
    return run(decoder, {"input_ids": values["decoder_input_ids"], "encoder_hidden_states": memory} | mask), mask


def seq2seq_in_steps(encoder, first, later, values):
    """Runs a prompt through the first decoder, and single steps through the decoder with a past."""
    ids = values["decoder_input_ids"]
    prompt = max(ids.shape[1] - STEPS, 1)
    found, mask = seq2seq_whole(encoder, first, values | {"decoder_input_ids": ids[:, :prompt]})
    cache, pieces = present_to_past(found), [found["logits"]]
    for at in range(prompt, ids.shape[1]):
        found = run(later, {"input_ids": ids[:, at : at + 1]} | mask | cache)
        cache |= present_to_past(found)
        pieces.append(found["logits"])
    return {"logits": np.concatenate(pieces, 1)}


def judge_folder(program, folder, arguments):
    """Returns the largest difference of a folder, built in one way."""
    differences = []
    with tempfile.TemporaryDirectory() as out:
        out = pathlib.Path(out)

        def compare(of):
            for values, expected in cases(folder):
                differences.append(difference(of(values), expected, values.get("attention_mask")))

        whole = load(build(program, folder, out / "whole.onnx", *arguments))
        compare(lambda values: run(whole, values))
        files = build(program, folder, out / "parts", *arguments)
        values, expected = next(cases(folder))
        if set(files) == {"model"}:
            if takes_past(folder, values, expected):
                past = load(build(program, folder, out / "past.onnx", "--with-past", *arguments))
                compare(lambda values: in_steps(past, values))
        else:
            encoder, decoder = load(files["encoder_model"]), load(files["decoder_model"])
            compare(lambda values: seq2seq_whole(encoder, decoder, values)[0])
            files = build(program, folder, out / "past", "--with-past", *arguments)
            steps = [load(files[name]) for name in ("encoder_model", "decoder_model", "decoder_with_past_model")]
            compare(lambda values: seq2seq_in_steps(*steps, values))
    return max(differences)


def in_half_precision(program, folder):
    """Returns the largest difference of a model whose weights were converted while they were written."""
    differences = []
    with tempfile.TemporaryDirectory() as out:
        out = pathlib.Path(out)
        for arguments in ([], ["--target", "ort"]):
            whole = load(build(program, folder, out / "f16.onnx", "--dtype", "f16", *arguments))
            for values, expected in cases(folder):
                differences.append(difference(run(whole, values), expected, values.get("attention_mask")))
            path = build(program, folder, out / "bf16.onnx", "--dtype", "bf16", *arguments)
            onnx.checker.check_model(str(path), full_check=True)
    return max(differences)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folders", nargs="*")
    arguments = parser.parse_args()
    failures = 0
    folders = [path for path in sorted(FOLDERS.iterdir()) if not arguments.folders or path.name in arguments.folders]
    for folder in folders:
        largest = 0.0
        for way, flags in WAYS.items():
            try:
                found = judge_folder(arguments.program, folder, flags)
                largest = max(largest, found)
                if not found <= TOLERANCE:
                    raise Wrong(f"differs by {found:.3g}")
            except Exception as error:
                failures += 1
                print(f"{folder.name} for {way}: {str(error)[:600]}")
        half = ""
        if folder.name in HALF:
            try:
                found = in_half_precision(arguments.program, folder)
                half = f"{found:.1e} in f16"
                if not 1e-6 < found <= HALF_TOLERANCE:
                    raise Wrong(f"differs by {found:.3g}")
            except Exception as error:
                failures += 1
                print(f"{folder.name} in half precision: {str(error)[:600]}")
        print(f"{folder.name:<24} {largest:.1e} {half}")
    print(f"{len(folders)} folders in {len(WAYS)} ways, {failures} failures")
    return 1 if failures or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
