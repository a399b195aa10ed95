"""Writes the results of PyTorch for tests/published: folders with configurations and weights as they are published.

    /tmp/venv/bin/pip install torch transformers==4.57.6
    /tmp/venv/bin/python tests/interop/make_published.py [NAME ...]

Each folder has a `config.json` and safetensors; `expected.safetensors` has the format of `make_families.py`.
"""

import sys
from pathlib import Path

import torch
import transformers
from make_families import save_expected

PUBLISHED = Path(__file__).resolve().parents[1] / "published"
# The name: model, kind of inputs.
MODELS = {
    "bart_untied_tables": ("BartForConditionalGeneration", "seq2seq"),
    "clip_text_config_dict": ("CLIPModel", "clip"),
    "bert_mlm_as_published": ("BertForMaskedLM", "types"),
    "gemma2_absent_caps": ("Gemma2ForCausalLM", "causal"),
    "qwen_use_mrope_false": ("Qwen2ForCausalLM", "causal"),
    "reranker_sentence_transformers_key": ("BertForSequenceClassification", "types"),
}


def main():
    for name, (model_class, kind) in MODELS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        torch.manual_seed(0)
        folder = PUBLISHED / name
        model = getattr(transformers, model_class).from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
        save_expected(model.eval(), kind, folder)


main()
