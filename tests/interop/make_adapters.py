"""Writes tests/adapters: adapters of PEFT for folders of tests/families, and what merge_and_unload() makes of them.

    /tmp/venv/bin/pip install torch transformers peft
    /tmp/venv/bin/python tests/interop/make_adapters.py

`merged.safetensors` has the weights that the adapter changes, by their names in the base folder, and
`expected.safetensors` inputs and outputs in the format of `make_families.py`.
"""

import json
import shutil
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

TESTS = Path(__file__).resolve().parents[1]
# The name: base in tests/families, class, options of LoraConfig.
ADAPTERS = {
    # Ranks and scales that differ between layers.
    "llama": ("llama", "AutoModelForCausalLM", dict(
        task_type="CAUSAL_LM", r=2, lora_alpha=3, target_modules=["q_proj"],
        rank_pattern={"layers.1.self_attn.q_proj": 3}, alpha_pattern={"^model.layers.0.self_attn.q_proj": 5})),
    # Weights [inputs, outputs], square ones too, and scales by the root of the rank; a file of torch.save.
    "gpt2": ("gpt2", "AutoModelForCausalLM", dict(
        task_type="CAUSAL_LM", r=3, lora_alpha=2, target_modules=["c_attn", "attn.c_proj"], fan_in_fan_out=True,
        use_rslora=True, layers_to_transform=[1])),
    # A classifier that the base does not have, names without its prefix, a table, and biases.
    "bert": ("bert", "AutoModelForSequenceClassification", dict(
        task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["query", "word_embeddings"], bias="lora_only")),
}


def main():
    shutil.rmtree(TESTS / "adapters", ignore_errors=True)
    for name, (base, model_class, options) in ADAPTERS.items():
        torch.manual_seed(0)
        source, folder = TESTS / "families" / base, TESTS / "adapters" / name
        model = getattr(transformers, model_class).from_pretrained(source, dtype=torch.float32)
        model = peft.get_peft_model(model, peft.LoraConfig(**options))
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
        model.peft_config["default"].base_model_name_or_path = f"example/{base}"
        model.save_pretrained(folder, safe_serialization=name != "gpt2")
        (folder / "README.md").unlink()
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        original = load_file(source / "model.safetensors")
        changed = {}
        model = model.merge_and_unload().eval()
        for key, tensor in model.state_dict().items():
            own = key if key in original else key.removeprefix("bert.")
            if own not in original or not torch.equal(original[own], tensor):
                changed[own] = tensor.contiguous().clone()
        # A tied table is stored once.
        changed.pop("lm_head.weight", None)
        save_file(changed, folder / "merged.safetensors")
        last = "token_type_ids" if name == "bert" else "position_ids"
        inputs = dict(input_ids=torch.tensor([[5, 17, 40]]), attention_mask=torch.ones(1, 3, dtype=torch.int64))
        inputs[last] = torch.tensor([[0, 1, 1]]) if name == "bert" else torch.arange(3).unsqueeze(0)
        with torch.no_grad():
            logits = model(**inputs).logits
        save_file({f"0/in/{key}": value for key, value in inputs.items()} | {"0/out/logits": logits}, folder / "expected.safetensors")


main()
