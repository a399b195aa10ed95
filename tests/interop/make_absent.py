"""Writes tests/absent.json: what PyTorch computes if an option is absent in `config.json`.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install --requirement tests/interop/requirements-bench.txt
    /tmp/venv/bin/python tests/interop/make_absent.py [NAME ...]

For each folder of tests/families and each option, with sections: "same" if nothing changes, "refused" if transformers
raises an error or has no weights for the model, or else some values of each output for the second shape of
`expected.safetensors`: those of the first text, at equal distances.
"""

import copy
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TESTS = Path(__file__).resolve().parents[1]
# They choose the class of the model.
CHOICE = ("architectures", "model_type")
MOST = 12


def options(config, prefix=""):
    """Returns the names of all options, those of sections after the section."""
    for name, value in config.items():
        if name in CHOICE:
            continue
        yield prefix + name
        if isinstance(value, dict) and name not in ("id2label", "label2id"):
            yield from options(value, f"{prefix}{name}.")


def without(config, name):
    """Returns a configuration without one option."""
    first, _, rest = name.partition(".")
    if rest:
        return {**config, first: without(config[first], rest)}
    return {key: value for key, value in config.items() if key != first}


def run(folder, config, inputs, names):
    """Returns the outputs of the model, or why there are none."""
    model_class = getattr(transformers, config["architectures"][0])
    try:
        config_class = CONFIG_MAPPING[config["model_type"]]
        config = config_class.from_dict(copy.deepcopy(config), attn_implementation="eager")
        model, info = model_class.from_pretrained(folder, config=config, output_loading_info=True, dtype=torch.float32)
        if info["missing_keys"] or info["mismatched_keys"]:
            return f"missing {sorted(info['missing_keys'])[:2]}"
        with torch.no_grad():
            outputs = model.eval()(**inputs)
        return {name: outputs[name] for name in names}
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"


def some(values):
    """Returns values of the first text at equal distances."""
    row = values[0].flatten().tolist()
    step = max(1, len(row) // MOST)
    return [float(f"{value:.6g}") for value in row[::-step]]


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    path, reasons = TESTS / "absent.json", {}
    table = json.loads(path.read_text()) if sys.argv[1:] else {}
    for folder in sorted((TESTS / "families").iterdir()):
        if sys.argv[1:] and folder.name not in sys.argv[1:]:
            continue
        config = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / "expected.safetensors")
        inputs = {key[5:]: value for key, value in stored.items() if key.startswith("1/in/")}
        expected = {key[6:]: value for key, value in stored.items() if key.startswith("1/out/")}
        if "sentence_embedding" in expected:
            expected = {"last_hidden_state": expected["token_embeddings"]}
        mask = inputs.get("attention_mask")

        def differs(outputs, others, most):
            for name, value in others.items():
                if outputs[name].shape != value.shape:
                    return True
                error = (outputs[name] - value).abs()
                if mask is not None and mask.shape == value.shape[:2]:
                    error = error[mask.bool()]
                if not error.max() <= most:
                    return True
            return False

        whole = run(folder, config, inputs, expected)
        assert isinstance(whole, dict) and not differs(whole, expected, 1e-5), (folder, whole)
        rows = table[folder.name] = {}
        for name in options(config):
            outputs = run(folder, without(config, name), inputs, expected)
            if isinstance(outputs, str):
                reasons[f"{folder.name} {name}"] = outputs
                rows[name] = "refused"
            else:
                rows[name] = {key: some(value) for key, value in outputs.items()} if differs(outputs, whole, 1e-6) else "same"
        print(folder.name, {value: list(rows.values()).count(value) for value in ("same", "refused")}, len(rows), flush=True)
    lines = ",\n".join(
        f" {json.dumps(folder)}: {{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()) + "\n }"
        for folder, rows in sorted(table.items())
    )
    path.write_text("{\n" + lines + "\n}\n")
    for what, reason in reasons.items():
        print(what, reason, sep="\t")


main()
