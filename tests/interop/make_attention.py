"""Writes tests/attention.safetensors: the attention weights of tiny models of tests/families in PyTorch.

    /tmp/venv/bin/pip install --requirement tests/interop/requirements-bench.txt
    /tmp/venv/bin/python tests/interop/make_attention.py

`NAME/ids` and `NAME/decoder_ids` are the tokens, and `NAME/KIND/LAYER` the weights [heads, queries, keys] of a layer.
"""

from pathlib import Path

import torch
import transformers as t
from safetensors.torch import save_file

TESTS = Path(__file__).resolve().parents[1]
IDS = [3, 17, 5, 40, 8, 29, 4]
DECODER_IDS = [0, 11, 6, 33, 9]
# What transformers calls the weights of a model that is one stack, and of one that is two.
ENCODER = {"attentions": "encoder"}
DECODER = {"attentions": "decoder"}
BOTH = {"encoder_attentions": "encoder", "decoder_attentions": "decoder", "cross_attentions": "cross"}
MODELS = {
    "bert": (t.BertModel, ENCODER),
    "deberta_v2": (t.DebertaV2Model, ENCODER),
    "gpt2": (t.GPT2LMHeadModel, DECODER),
    "llama": (t.LlamaForCausalLM, DECODER),
    "gemma2": (t.Gemma2ForCausalLM, DECODER),
    "t5": (t.T5ForConditionalGeneration, BOTH),
    "bart": (t.BartForConditionalGeneration, BOTH),
}


def main():
    tensors = {}
    for name, (model, kinds) in MODELS.items():
        model = model.from_pretrained(TESTS / "families" / name, attn_implementation="eager").eval()
        inputs = {"ids": IDS} | ({"decoder_ids": DECODER_IDS} if kinds is BOTH else {})
        inputs = {key: torch.tensor([ids]) for key, ids in inputs.items()}
        tensors |= {f"{name}/{key}": ids[0] for key, ids in inputs.items()}
        with torch.no_grad():
            ids = {key.replace("ids", "input_ids"): ids for key, ids in inputs.items()}
            results = model(**ids, output_attentions=True)
        for key, kind in kinds.items():
            tensors |= {f"{name}/{kind}/{layer}": weights[0] for layer, weights in enumerate(results[key])}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, TESTS / "attention.safetensors")


main()
