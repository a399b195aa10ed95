//! Decoders with learned positions whose projections differ from those of GPT-2: GPT-Neo, GPT-BigCode.

use super::super::Family;
use super::{Feed, Kind, LayerKind, Layout, Names, Sizes};
use crate::layers::{Activation, NormKind, Rotary};
use crate::{Settings, SettingsError, Task};

/// GPT-Neo: local attention in every second layer, unscaled scores.
pub(in super::super) const GPT_NEO: Family = Family {
    name: "GPT-Neo",
    model_types: &["gpt_neo"],
    example: Some("EleutherAI/gpt-neo-125m"),
    architectures: &[
        ("GPTNeoForCausalLM", Task::TextGeneration),
        ("GPTNeoModel", Task::FeatureExtraction),
        ("GPTNeoForSequenceClassification", Task::TextClassification),
        ("GPTNeoForTokenClassification", Task::TokenClassification),
        ("GPTNeoForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.ignore(&["classifier_dropout", "embed_dropout", "resid_dropout"]);
        settings.ignore(&["summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"]);
        let d_model = settings.size("hidden_size")?;
        let heads = settings.heads("num_heads", d_model)?;
        let d_ff = settings.optional_size("intermediate_size")?.unwrap_or(4 * d_model);
        let layers = settings.layers("num_layers")?;
        let sizes = Sizes { d_model, heads, kv_heads: heads, d_k: d_model / heads, d_ff, layers };
        let window = settings.size("window_size")?;
        let kind = learned(settings, sizes, ["max_position_embeddings", "activation_function"], Activation::GeluTanh)?;
        let mut kind = Kind {
            names: Names { attention: "attn.attention", output: "attn.attention.out_proj", ..kind.names },
            bias: [false, false, false, true],
            layers: attention_types(settings, layers)?
                .into_iter()
                .map(|is_local| LayerKind { window: is_local.then_some(window), rotary: None })
                .collect(),
            ..kind
        };
        kind.scores.scale = 1.0;
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};

/// GPT-BigCode (SantaCoder, StarCoder): one head of keys and values for all queries.
pub(in super::super) const GPT_BIGCODE: Family = Family {
    name: "GPT-BigCode",
    model_types: &["gpt_bigcode"],
    example: Some("bigcode/starcoderbase-1b"),
    architectures: &[
        ("GPTBigCodeForCausalLM", Task::TextGeneration),
        ("GPTBigCodeModel", Task::FeatureExtraction),
        ("GPTBigCodeForSequenceClassification", Task::TextClassification),
        ("GPTBigCodeForTokenClassification", Task::TokenClassification),
    ],
    read: |settings, head| {
        settings.must_be("add_cross_attention", false)?;
        settings.ignore(&["attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "num_key_value_heads"]);
        settings.ignore(&["inference_runner", "max_batch_size", "max_sequence_length", "pre_allocate_kv_cache"]);
        settings.ignore(&["pad_key_length", "validate_runner_input", "n_ctx"]);
        settings.ignore(&["summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"]);
        let d_model = settings.size("n_embd")?;
        let heads = settings.heads("n_head", d_model)?;
        let has_one = settings.flag("multi_query", true)?;
        let d_ff = settings.optional_size("n_inner")?.unwrap_or(4 * d_model);
        let (kv_heads, layers) = (if has_one { 1 } else { heads }, settings.layers("n_layer")?);
        let sizes = Sizes { d_model, heads, kv_heads, d_k: d_model / heads, d_ff, layers };
        let kind = learned(settings, sizes, ["n_positions", "activation_function"], Activation::GeluTanh)?;
        let mut kind = Kind {
            names: Names { attention: "attn", output: "attn.c_proj", ..kind.names },
            bias: [true; 4],
            layout: if has_one { Layout::Packed("c_attn") } else { Layout::Grouped("c_attn") },
            ..kind
        };
        if !settings.flag("scale_attn_weights", true)? {
            kind.scores.scale = 1.0;
        }
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};

/// Reads the options that both have; `options` are those of the number of positions and of the activation.
fn learned(
    settings: &Settings,
    sizes: Sizes,
    [positions, activation]: [&str; 2],
    default: Activation,
) -> Result<Kind, SettingsError> {
    let activation = settings.activation(activation, default)?;
    let epsilon = settings.epsilon("layer_norm_epsilon", 1e-5)?;
    let names = Names {
        base: "transformer",
        words: "wte",
        layers: "h",
        norm: Some("ln_f"),
        token_classifier: "classifier",
        ..Names::default()
    };
    Ok(Kind {
        names,
        positions: Some(("wpe", settings.size(positions)?)),
        mlp_bias: [true; 2],
        feed: Feed::Plain(["mlp.c_fc", "mlp.c_proj"]),
        norm: NormKind::LayerNorm,
        norms: [Some("ln_1"), None, Some("ln_2"), None],
        is_tied: settings.flag("tie_word_embeddings", true)?,
        rotaries: vec![],
        layers: (0..sizes.layers).map(|_| LayerKind { window: None, rotary: None }).collect(),
        ..Kind::new(sizes, activation, epsilon, Rotary::new(sizes.d_k, 10_000.0))
    })
}

/// Returns whether the attention of each layer is local: global and local ones alternate unless `attention_types` or
/// `attention_layers` says otherwise.
fn attention_types(settings: &Settings, layers: u64) -> Result<Vec<bool>, SettingsError> {
    let is_local = |word: &String| match word.as_str() {
        "global" => Some(false),
        "local" => Some(true),
        _ => None,
    };
    let read = |words: &[String]| {
        let types: Option<Vec<bool>> = words.iter().map(is_local).collect();
        types.filter(|types| types.len() as u64 == layers)
    };
    let (types, listed) = (settings.repeated_words("attention_types", layers)?, settings.words("attention_layers")?);
    let wrong = |option: &str| {
        let law =
            format!("`global` and `local` for {layers} layers in total, as in attention_types and attention_layers");
        settings.wrong(option, law)
    };
    let listed = listed.map(|words| read(&words).ok_or_else(|| wrong("attention_layers"))).transpose()?;
    let types = match (types, &listed) {
        (Some(words), _) => read(&words).ok_or_else(|| wrong("attention_types"))?,
        (None, Some(listed)) => listed.clone(),
        (None, None) => read(&["global", "local"].repeat(12).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .ok_or_else(|| wrong("attention_types"))?,
    };
    // Where they differ, transformers follows attention_layers.
    if listed.is_some_and(|listed| listed != types) {
        return Err(wrong("attention_layers"));
    }
    Ok(types)
}
