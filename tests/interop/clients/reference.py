"""Creates a model that is wide enough for its weights to be quantized, and prints what PyTorch gives for it, as JSON.

    reference.py FAMILY FOLDER

The weights are random with a fixed seed. The options are those of the tiny model of the family in make_families.py, but
with the sizes of WIDE.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import transformers

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
import make_families  # noqa: E402

# Widths are whole blocks of 32, and the width of a head is that of the model divided by the number of heads.
WIDE = dict.fromkeys(["hidden_size", "n_embd", "dim", "d_model", "embedding_size", "projection_dim"], 64)
WIDE |= dict.fromkeys(["intermediate_size", "hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"], 128)
WIDE |= dict.fromkeys(
    ["num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads"], 4
)
WIDE |= dict(num_key_value_heads=2, head_dim=16, d_kv=16, vocab_size=96, max_position_embeddings=64, n_positions=64)
OWN = {
    # A window of 3 would hide most of the text.
    "mistral": dict(sliding_window=8),
    "gemma2": dict(sliding_window=8, query_pre_attn_scalar=16),
    # As in Phi-3-mini-4k.
    "phi3": dict(
        rope_parameters=dict(rope_type="default", rope_theta=10000.0), original_max_position_embeddings=64, num_key_value_heads=4
    ),
}
NEW_TOKENS = 12
SEARCH = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
SEARCHES = [SEARCH, SEARCH | {"num_beams": 3}]


def widened(name, options):
    """Returns options with the sizes of WIDE, and those of the configurations in them."""
    both = {}
    for key, value in options.items():
        both[key] = widened(name, value) if key.endswith("_config") else WIDE.get(key, value)
    if name == "qwen2":
        both |= dict(use_sliding_window=False)
    return both | OWN.get(name, {})


def stepped(parameter):
    """Returns random integers from -7 to 7, with the greatest in each block of 32, which 4 bits hold exactly.

    What quantization to 4 bits loses would hide what a client computes wrong."""
    numbers = torch.randint(-7, 8, parameter.shape).float()
    greatest = torch.zeros(parameter.shape, dtype=torch.bool)
    greatest[::32] = greatest[:, ::32] = True
    return torch.where(greatest, 7 * (2 * torch.randint(0, 2, parameter.shape) - 1), numbers)


def create(name, folder):
    """Writes the folder of a model, and returns the model and the kind of its inputs."""
    class_name, options, kind = make_families.MODELS[name]
    model_class = getattr(transformers, class_name)
    torch.manual_seed(0)
    config = model_class.config_class(attn_implementation="eager", **widened(name, options))
    model = make_families.randomized(model_class._from_config(config))
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            # Tables and biases are small next to what layers compute, or the same token would follow any other.
            is_small = part.endswith("bias") or any(word in part for word in ("embed", "shared", "wte", "wpe"))
            if not parameter.requires_grad:
                # Sinusoidal positions, which files may leave out.
                continue
            if parameter.dim() > 1:
                parameter.copy_(stepped(parameter.flatten(1)).view_as(parameter) * (0.01 if is_small else 0.035))
            elif is_small:
                parameter.mul_(0.1)
    model.save_pretrained(folder)
    return model, kind


def inputs(model, kind):
    """Returns inputs for two samples, of which the second one has padding."""
    ids = torch.tensor(np.random.default_rng(0).integers(4, 40, (2, 6)))
    mask = torch.ones_like(ids)
    text = {"input_ids": ids, "attention_mask": mask}
    mask[1, slice(0, 2) if kind == "causal" else slice(4, 6)] = 0
    if kind == "types":
        text["token_type_ids"] = torch.zeros_like(ids)
    if kind in ("image", "clip"):
        vision = getattr(model.config, "vision_config", model.config)
        pixels = torch.tensor(np.random.default_rng(1).standard_normal((2, 3, vision.image_size, vision.image_size)), dtype=torch.float32)
        if kind == "image":
            return {"pixel_values": pixels}
        ids[:, 3] = 47
        text["pixel_values"] = pixels
    if kind == "sound":
        shape = (2, model.config.num_mel_bins, 2 * model.config.max_source_positions)
        return {"input_features": torch.tensor(np.random.default_rng(1).standard_normal(shape), dtype=torch.float32)}
    return text


def main():
    name, folder = sys.argv[1:]
    model, kind = create(name, folder)
    given = inputs(model, kind)
    answer = {"kind": kind, "inputs": {name: {"type": str(value.dtype).removeprefix("torch."), "dims": value.shape, "data": value.flatten().tolist()} for name, value in given.items()}}
    with torch.no_grad():
        if kind in ("causal", "seq2seq", "sound"):
            tokens = [model.generate(**given, **search) for search in SEARCHES]
            answer["tokens"] = [found.tolist() for found in tokens]
            if kind == "causal":
                mask = torch.cat([given["attention_mask"], torch.ones(2, NEW_TOKENS, dtype=torch.int64)], 1)
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                logits = model(input_ids=tokens[0], attention_mask=mask, position_ids=positions).logits
                answer["text"] = tokens[0].tolist()
            else:
                text = torch.tensor(np.random.default_rng(2).integers(4, 40, (2, NEW_TOKENS)))
                text[:, 0] = model.config.decoder_start_token_id
                logits = model(**given, decoder_input_ids=text).logits
                answer["text"] = text.tolist()
            # What follows each token of the text.
            answer["logits"] = logits.tolist()
        else:
            outputs = model(**given)
            names = ["text_embeds", "image_embeds"] if kind == "clip" else ["last_hidden_state"]
            answer["outputs"] = {name: outputs[name].tolist() for name in names}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
