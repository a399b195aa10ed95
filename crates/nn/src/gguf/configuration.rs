//! Derives `config.json` from the metadata.

use super::container::{Container, MetadataValue};
use super::names::GgufFamily;
use super::{Factors, Outcome, malformed};
use serde_json::{Map, Value as Json, json};

/// Keys without the architecture, and the options that they are.
const OPTIONS: [(&str, &str); 13] = [
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("rope.freq_base", "rope_theta"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
];

/// Keys that count as absent if their value is 0.
const ABSENT_IF_0: [&str; 3] = ["attention.sliding_window", "expert_count", "expert_used_count"];

/// Keys that do not affect the results, or repeat other keys and tensors.
const HARMLESS: [&str; 5] = [
    "attention.layer_norm_epsilon",
    "attention.value_length",
    "rope.dimension_count",
    "rope.scaling.finetuned",
    "vocab_size",
];

/// Keys without a prefix, and the options that they are.
const TOKENS: [(&str, &str); 3] = [
    ("tokenizer.ggml.bos_token_id", "bos_token_id"),
    ("tokenizer.ggml.eos_token_id", "eos_token_id"),
    ("tokenizer.ggml.padding_token_id", "pad_token_id"),
];

/// Returns `config.json`. Keys that are not known are options under their own names, which no family reads.
pub(super) fn read(file: &Container, family: &GgufFamily, factors: &Factors) -> Outcome<Map<String, Json>> {
    let mut options = Map::new();
    options.insert("architectures".to_owned(), json!([format!("{}ForCausalLM", family.class)]));
    options.insert("model_type".to_owned(), json!(family.model_type));
    if file.metadata.get("split.count").is_some_and(|count| *count != MetadataValue::Integer(1)) {
        return malformed("it is one part of a model\n  help: merge the parts with `llama-gguf-split --merge`");
    }
    let prefix = format!("{}.", family.architecture);
    let own = |key: &str| file.metadata.get(&format!("{prefix}{key}"));
    let number = |key: &str| match own(key) {
        Some(MetadataValue::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let scalings = ["rope.scaling.type", "rope.scaling.factor", "rope.scaling.attn_factor", "rope.scale_linear"];
    for (key, value) in &file.metadata {
        let Some(key) = key.strip_prefix(&prefix) else { continue };
        let is_absent = *value == MetadataValue::Integer(0) && ABSENT_IF_0.contains(&key);
        if HARMLESS.contains(&key) || scalings.contains(&key) || is_absent {
            continue;
        }
        let known = OPTIONS.iter().find(|(known, _)| *known == key);
        let name = known.map_or_else(|| format!("{prefix}{key}"), |(_, option)| (*option).to_owned());
        options.insert(name, value.json());
    }
    for (key, option) in TOKENS {
        options.extend(file.metadata.get(key).map(|value| (option.to_owned(), value.json())));
    }
    let Some([vocab, _]) = file.tensors.get("token_embd.weight").map(|table| &*table.dims) else {
        return malformed("the tensor token_embd.weight is missing, or not a matrix");
    };
    options.insert("vocab_size".to_owned(), json!(vocab));
    options.insert("tie_word_embeddings".to_owned(), json!(!file.tensors.contains_key("output.weight")));
    let has = |tensor: &str| file.tensors.contains_key(tensor);
    // Qwen2 always has biases, and Phi-3 none.
    if matches!(family.architecture, "llama" | "qwen3" | "gemma2") && has("blk.0.attn_q.bias") {
        options.insert("attention_bias".to_owned(), json!(true));
    }
    if has("blk.0.ffn_up.bias") {
        options.insert("mlp_bias".to_owned(), json!(true));
    }
    let (heads, width) = (number("attention.head_count"), number("embedding_length"));
    let head = number("attention.key_length").or_else(|| width?.checked_div(heads?)).unwrap_or(0);
    if own("attention.value_length").is_some() && number("attention.value_length") != Some(head) {
        return malformed("values have another width than keys, which is not supported");
    }
    if let Some(turned) = number("rope.dimension_count").filter(|turned| *turned != head) {
        options.insert("partial_rotary_factor".to_owned(), json!(turned as f64 / head.max(1) as f64));
    }
    if family.architecture == "gemma2" {
        // As in llama.cpp, which tells the largest model by its layers.
        let is_largest = number("block_count") == Some(46);
        let scalar =
            if is_largest { width.zip(heads).and_then(|(width, heads)| width.checked_div(heads)) } else { None };
        options.insert("query_pre_attn_scalar".to_owned(), json!(scalar.unwrap_or(head)));
    }
    let context = number("context_length").unwrap_or(0);
    if let Some(scaling) = scaling(own, factors, context)? {
        options.insert("rope_scaling".to_owned(), Json::Object(scaling));
    }
    Ok(options)
}

/// Returns the scaling of rotary positions, if there is one.
fn scaling<'f>(
    own: impl Fn(&str) -> Option<&'f MetadataValue>,
    factors: &Factors,
    context: u64,
) -> Outcome<Option<Map<String, Json>>> {
    let mut scaling = Map::new();
    let mut set = |option: &str, value: Json| scaling.insert(option.to_owned(), value);
    let (factor, attention) = (own("rope.scaling.factor"), own("rope.scaling.attn_factor"));
    let kind = match own("rope.scaling.type") {
        // As in llama.cpp.
        None if factor.is_some() => "linear",
        None => "none",
        Some(MetadataValue::Text(kind)) => kind,
        Some(_) => return malformed("rope.scaling.type is not a text"),
    };
    if own("rope.scale_linear").is_some() {
        return malformed("rope.scale_linear is not supported\n  help: convert the model again with today's llama.cpp");
    }
    let long = (factors.get("rope_factors_long.weight"), factors.get("rope_factors_short.weight"));
    match (kind, factors.get("rope_freqs.weight"), long) {
        ("none" | "longrope", None, (Some(long), Some(short))) => {
            set("rope_type", json!("longrope"));
            set("long_factor", json!(long));
            set("short_factor", json!(short));
            if let Some(factor) = attention {
                set("attention_factor", factor.json());
            }
        }
        (_, _, (None, None)) if attention.is_some() => {
            return malformed(format!("rope.scaling.attn_factor is not supported with {kind}"));
        }
        ("none", Some(factors), (None, None)) => {
            // The file has the result of the formula of Llama 3, not its parameters.
            let Some(factor) = llama3(factors, &own) else {
                return malformed(
                    "rope_freqs.weight is not that of Llama 3.1, 3.2 or 3.3, and others are not supported",
                );
            };
            set("rope_type", json!("llama3"));
            set("factor", json!(factor));
            set("low_freq_factor", json!(LOW));
            set("high_freq_factor", json!(HIGH));
            set("original_max_position_embeddings", json!(ORIGINAL));
        }
        ("none", None, (None, None)) => return Ok(None),
        ("linear" | "yarn", None, (None, None)) => {
            set("rope_type", json!(kind));
            match factor {
                Some(factor) => set("factor", factor.json()),
                None => return malformed("rope.scaling.factor is missing"),
            };
            if kind == "yarn" && own("rope.scaling.original_context_length").is_none() {
                set("original_max_position_embeddings", json!(context));
            }
        }
        _ => return malformed(format!("the scaling of rotary positions `{kind}` is not supported with its tensors")),
    }
    Ok(Some(scaling))
}

/// The other parameters of all models of Llama 3.1 to 3.3.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const ORIGINAL: f64 = 8192.0;

/// Returns the factor with which the formula of Llama 3 has these results, by which frequencies are divided.
fn llama3<'f>(found: &[f64], own: &impl Fn(&str) -> Option<&'f MetadataValue>) -> Option<f64> {
    let base = match own("rope.freq_base") {
        Some(MetadataValue::Float(base)) => *base,
        _ => 10_000.0,
    };
    let factor = found.iter().copied().fold(0.0, f64::max);
    let width = 2.0 * found.len() as f64;
    let fits = found.iter().enumerate().all(|(at, found)| {
        let wave = 2.0 * std::f64::consts::PI * base.powf(2.0 * at as f64 / width);
        let smooth = (ORIGINAL / wave - LOW) / (HIGH - LOW);
        let expected = if wave < ORIGINAL / HIGH {
            1.0
        } else if wave > ORIGINAL / LOW {
            factor
        } else {
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        (found - expected).abs() <= 1e-3 * expected
    });
    fits.then_some(factor)
}

impl MetadataValue {
    fn json(&self) -> Json {
        match self {
            Self::Integer(number) => {
                i64::try_from(*number).map_or_else(|_| json!(number.to_string()), |number| json!(number))
            }
            Self::Float(number) => json!(number),
            Self::Bool(value) => json!(value),
            Self::Text(text) => json!(text),
            Self::Array(array) => array
                .values(MAX_ELEMENTS)
                .map_or_else(|_| json!("a long array"), |values| values.iter().map(Self::json).collect()),
        }
    }
}

/// Longer arrays are not shown in errors.
const MAX_ELEMENTS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::{HIGH, LOW, MetadataValue, ORIGINAL, llama3};
    use std::f64::consts::PI;

    /// The factors as llama.cpp's converter computes them.
    fn factors(factor: f64, base: f64, width: usize) -> Vec<f64> {
        let one = |at: usize| {
            let wave = 2.0 * PI * base.powf(2.0 * at as f64 / width as f64);
            if wave < ORIGINAL / HIGH {
                1.0
            } else if wave > ORIGINAL / LOW {
                factor
            } else {
                let smooth = (ORIGINAL / wave - LOW) / (HIGH - LOW);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        (0..width / 2).map(one).collect()
    }

    #[test]
    fn the_factor_of_llama_3_is_found() {
        let base = MetadataValue::Float(500_000.0);
        let own = |key: &str| (key == "rope.freq_base").then_some(&base);
        for factor in [8.0, 32.0] {
            let mut found = factors(factor, 500_000.0, 64);
            assert_eq!(llama3(&found, &own), Some(factor));
            found[20] *= 1.01;
            assert_eq!(llama3(&found, &own), None);
        }
    }
}
