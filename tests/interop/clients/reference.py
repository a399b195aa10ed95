"""Prints what PyTorch gives for a folder: reference.py FOLDER KIND, as one line of JSON. KIND is encoder, decoder or
encoder-decoder."""

import json
import sys

import numpy as np
import torch
import transformers

NEW_TOKENS = 12
SEARCH = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
SEARCHES = [SEARCH, SEARCH | {"num_beams": 3}]


def inputs():
    ids = torch.tensor(np.random.default_rng(0).integers(4, 40, (2, 6)))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def main():
    folder, kind = sys.argv[1:]
    if kind == "encoder":
        model = transformers.AutoModel.from_pretrained(folder).eval()
        with torch.no_grad():
            print(json.dumps(model(**inputs()).last_hidden_state.tolist()))
        return
    auto = transformers.AutoModelForSeq2SeqLM if kind == "encoder-decoder" else transformers.AutoModelForCausalLM
    model = auto.from_pretrained(folder, attn_implementation="eager").eval()
    print(json.dumps([model.generate(**inputs(), **search).tolist() for search in SEARCHES]))


if __name__ == "__main__":
    main()
