//! The families of decoders, and the names and layouts of their tensors.

use super::container::{Container, MetadataValue};
use super::{Outcome, malformed};
use netwright_ir::{ElementType, Tensor, TensorError};

/// A family of decoders, and what the layout of a tensor depends on.
pub(super) struct GgufFamily {
    /// The name in GGUF, which prefixes the keys of its metadata.
    pub(super) architecture: &'static str,
    /// The `model_type` in Hugging Face.
    pub(super) model_type: &'static str,
    /// The class in Hugging Face.
    pub(super) class: &'static str,
    /// The numbers of query heads and of key-value heads.
    heads: [u64; 2],
}

/// The names in GGUF, `model_type`, and the class, without its suffix.
const FAMILIES: [(&str, &str, &str); 5] = [
    ("llama", "llama", "Llama"),
    ("qwen2", "qwen2", "Qwen2"),
    ("qwen3", "qwen3", "Qwen3"),
    ("phi3", "phi3", "Phi3"),
    ("gemma2", "gemma2", "Gemma2"),
];

/// Tensors outside the layers, in GGUF and in Hugging Face.
const OUTER: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Tensors of a layer, in GGUF and in Hugging Face.
const INNER: [(&str, &str); 13] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Returns the family that `general.architecture` names.
pub(super) fn family(file: &Container) -> Outcome<GgufFamily> {
    let Some(MetadataValue::Text(name)) = file.metadata.get("general.architecture") else {
        return malformed("general.architecture is missing");
    };
    let Some((architecture, model_type, class)) = FAMILIES.into_iter().find(|(known, _, _)| known == name) else {
        let known: Vec<_> = FAMILIES.iter().map(|(name, _, _)| *name).collect();
        return malformed(format!("the architecture `{name}` is not supported; {} are", known.join(", ")));
    };
    let number = |key: &str| match file.metadata.get(&format!("{architecture}.{key}")) {
        Some(MetadataValue::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let Some(queries @ 1..) = number("attention.head_count") else {
        return malformed(format!("{architecture}.attention.head_count must be a number of at least 1 for all layers"));
    };
    let heads = [queries, number("attention.head_count_kv").unwrap_or(queries)];
    // Mistral has the names of Llama, and a window; a window of 0 is none.
    let window = file.metadata.get("llama.attention.sliding_window");
    let slides = architecture == "llama" && window.is_some_and(|window| *window != MetadataValue::Integer(0));
    let (model_type, class) = if slides { ("mistral", "Mistral") } else { (model_type, class) };
    Ok(GgufFamily { architecture, model_type, class, heads })
}

impl GgufFamily {
    /// Returns the name of a tensor in Hugging Face.
    pub(super) fn name(&self, stored: &str) -> Option<String> {
        let (layer, part) = stored.rsplit_once('.')?;
        let named = |names: &[(&str, &'static str)], name: &str| {
            names.iter().find(|(stored, _)| *stored == name).map(|(_, trained)| *trained)
        };
        let Some(inner) = layer.strip_prefix("blk.") else {
            return named(&OUTER, layer).map(|name| format!("{name}.{part}"));
        };
        let (at, inner) = inner.split_once('.')?;
        let name = match (inner, self.architecture) {
            // Gemma 2 has a norm after the attention too.
            ("ffn_norm", "gemma2") => "pre_feedforward_layernorm",
            ("ffn_norm", _) => "post_attention_layernorm",
            // Phi-3 has both in one.
            ("ffn_up", "phi3") => "mlp.gate_up_proj",
            _ => named(&INNER, inner)?,
        };
        let at: u32 = at.parse().ok()?;
        Some(format!("model.layers.{at}.{name}.{part}"))
    }

    /// Returns a tensor as it is in Hugging Face.
    pub(super) fn as_trained(&self, name: &str, tensor: Tensor) -> Result<Tensor, TensorError> {
        // Gemma's norms are stored plus 1.
        if self.architecture == "gemma2" && name.ends_with("norm.weight") {
            return less_one(tensor);
        }
        let heads = match self.architecture {
            "llama" if name.contains(".q_proj.") => self.heads[0],
            "llama" if name.contains(".k_proj.") => self.heads[1],
            _ => return Ok(tensor),
        };
        // The two halves of each head are interleaved, as their elements are turned in pairs.
        let rows = tensor.dims().first().copied().unwrap_or(0);
        let half = rows.checked_div(heads).unwrap_or(0) / 2;
        match (tensor.quantization(), tensor.dims()) {
            (Some(quantized), _) => quantized.with_rows_interleaved(half, 2)?.dequantized(tensor.element()),
            (None, [_]) => tensor.reshaped(&[rows, 1])?.with_rows_interleaved(half, 2)?.reshaped(&[rows]),
            (None, _) => tensor.with_rows_interleaved(half, 2),
        }
    }
}

/// Subtracts 1 from the elements of a vector.
fn less_one(tensor: Tensor) -> Result<Tensor, TensorError> {
    /// Vectors are in memory; no model has longer ones.
    const MOST: u64 = 1 << 20;
    if tensor.dims().len() != 1 || tensor.count() > MOST {
        return Ok(tensor);
    }
    let wide = tensor.cast(ElementType::F32)?;
    let less = |raw: &[u8; 4]| (f32::from_le_bytes(*raw) - 1.0).to_le_bytes();
    let bytes: Vec<u8> = wide.to_bytes()?.as_chunks().0.iter().flat_map(less).collect();
    Tensor::from_bytes(ElementType::F32, wide.dims(), bytes)
}
