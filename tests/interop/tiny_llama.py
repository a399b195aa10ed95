"""The matrices of a layer of a Llama."""


def shapes(config):
    """The shapes `[outputs, inputs]` of the projections of a layer, in the order in which they are stored."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries, keys = (config[count] * config["head_dim"] for count in ["num_attention_heads", "num_key_value_heads"])
    return {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
