//! Decoders with linear biases, and EXAONE 3, whose names are its own.

use super::super::Family;
use super::options::{BEFORE, Outcome, small, with_epsilon};
use super::{Feed, Kind, LayerKind, Layout, Names, Places, Sizes};
use crate::layers::{Activation, Alibi, NormKind, Rotary};
use crate::{Settings, Task};
use serde_json::Value;

/// BLOOM: biases by distance instead of positions, a norm after the embeddings.
pub(in super::super) const BLOOM: Family = Family {
    name: "BLOOM",
    model_types: &["bloom"],
    example: Some("bigscience/bloom-560m"),
    architectures: &[
        ("BloomForCausalLM", Task::TextGeneration),
        ("BloomModel", Task::FeatureExtraction),
        ("BloomForSequenceClassification", Task::TextClassification),
        ("BloomForTokenClassification", Task::TokenClassification),
        ("BloomForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.must_be("apply_residual_connection_post_layernorm", false)?;
        settings.ignore(&["attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion"]);
        settings.ignore(&["offset_alibi", "seq_length", "skip_bias_add", "skip_bias_add_qkv", "slow_but_exact"]);
        let settings = &settings.with_older_names(&[
            ("n_embed", "hidden_size"),
            ("num_attention_heads", "n_head"),
            ("num_hidden_layers", "n_layer"),
        ])?;
        let d_model = settings.size("hidden_size")?;
        let (heads, layers) = (settings.heads("n_head", d_model)?, settings.layers("n_layer")?);
        let sizes = Sizes { d_model, heads, kv_heads: heads, d_k: d_model / heads, d_ff: 4 * d_model, layers };
        let kind = Kind {
            names: Names {
                base: "transformer",
                words: "word_embeddings",
                words_norm: Some("word_embeddings_layernorm"),
                layers: "h",
                norm: Some("ln_f"),
                attention: "self_attention",
                output: "self_attention.dense",
                token_classifier: "classifier",
            },
            bias: [true; 4],
            mlp_bias: [true; 2],
            layout: Layout::Grouped("query_key_value"),
            feed: Feed::Plain(["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]),
            norm: NormKind::LayerNorm,
            norms: BEFORE,
            ..biased(settings, sizes, Activation::GeluTanh, Places::Counted)?
        };
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};

/// MPT: biases by distance instead of positions, no other biases.
pub(in super::super) const MPT: Family = Family {
    name: "MPT",
    model_types: &["mpt"],
    example: Some("mosaicml/mpt-7b"),
    architectures: &[
        ("MptForCausalLM", Task::TextGeneration),
        ("MPTForCausalLM", Task::TextGeneration),
        ("MptModel", Task::FeatureExtraction),
        ("MptForSequenceClassification", Task::TextClassification),
        ("MptForTokenClassification", Task::TokenClassification),
        ("MptForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.must_be("expansion_ratio", 4)?;
        settings.must_be("no_bias", true)?;
        settings.must_be("norm_type", "low_precision_layernorm")?;
        settings.must_be("logit_scale", Value::Null)?;
        settings.ignore(&["learned_pos_emb", "embedding_fraction", "init_device", "init_config", "max_seq_len"]);
        settings.ignore(&["tokenizer_name", "verbose", "emb_pdrop", "emb_init_std", "emb_init_uniform_lim"]);
        let d_model = settings.size("d_model")?;
        let heads = settings.heads("n_heads", d_model)?;
        let layers = settings.layers("n_layers")?;
        let sizes = Sizes { d_model, heads, kv_heads: heads, d_k: d_model / heads, d_ff: 4 * d_model, layers };
        let mut kind = biased(settings, sizes, Activation::Gelu, Places::All)?;
        if let Some(attention) = settings.section("attn_config")? {
            attention.must_be("attn_type", "multihead_attention")?;
            attention.must_be("alibi", true)?;
            attention.must_be("alibi_bias_max", 8)?;
            for option in ["prefix_lm", "qk_ln", "attn_uses_sequence_id"] {
                attention.must_be(option, false)?;
            }
            attention.ignore(&["attn_impl", "attn_pdrop"]);
            kind.clip = small(attention.positive("clip_qkv")?);
            kind.scores.scale = small(attention.positive("softmax_scale")?).unwrap_or(kind.scores.scale);
        }
        let kind = Kind {
            names: Names {
                base: "transformer",
                words: "wte",
                layers: "blocks",
                norm: Some("norm_f"),
                attention: "attn",
                output: "attn.out_proj",
                token_classifier: "classifier",
                ..Names::default()
            },
            layout: Layout::Packed("Wqkv"),
            feed: Feed::Plain(["ffn.up_proj", "ffn.down_proj"]),
            norm: NormKind::ScaledLayerNorm,
            norms: [Some("norm_1"), None, Some("norm_2"), None],
            ..kind
        };
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};

/// EXAONE 3 and EXAONE Deep: Llama with other names.
pub(in super::super) const EXAONE: Family = Family {
    name: "EXAONE 3",
    model_types: &["exaone"],
    example: Some("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct"),
    architectures: &[
        ("ExaoneForCausalLM", Task::TextGeneration),
        ("LlamaForCausalLM", Task::TextGeneration),
        ("ExaoneModel", Task::FeatureExtraction),
        ("LlamaModel", Task::FeatureExtraction),
        ("LlamaModel", Task::SentenceSimilarity),
    ],
    read: |settings, head| {
        settings.ignore(&["embed_dropout"]);
        let settings = &settings.with_older_names(&[
            ("num_layers", "num_hidden_layers"),
            ("layer_norm_epsilon", "rms_norm_eps"),
            ("activation_function", "hidden_act"),
        ])?;
        let (bias, mlp_bias) = (settings.flag("attention_bias", false)?, settings.flag("mlp_bias", false)?);
        let kind = with_epsilon(settings, settings.epsilon("rms_norm_eps", 1e-5)?)?;
        let kind = Kind {
            names: Names {
                base: "transformer",
                words: "wte",
                layers: "h",
                norm: Some("ln_f"),
                attention: "attn.attention",
                output: "attn.attention.out_proj",
                ..Names::default()
            },
            bias: [bias; 4],
            mlp_bias: [mlp_bias; 2],
            feed: Feed::Gated(["mlp.c_fc_0", "mlp.c_fc_1", "mlp.c_proj"]),
            norms: [Some("ln_1"), None, Some("ln_2"), None],
            ..kind
        };
        Ok(Box::new(super::read(settings, head, &kind)?))
    },
};

/// Reads the options of decoders with linear biases.
fn biased(settings: &Settings, sizes: Sizes, activation: Activation, places: Places) -> Outcome {
    let epsilon = settings.epsilon("layer_norm_epsilon", 1e-5)?;
    let kind = Kind::new(sizes, activation, epsilon, Rotary::new(sizes.d_k, 10_000.0));
    Ok(Kind {
        rotaries: vec![],
        layers: (0..sizes.layers).map(|_| LayerKind { window: None, rotary: None }).collect(),
        alibi: Some((Alibi::new(sizes.heads), places)),
        is_tied: settings.flag("tie_word_embeddings", true)?,
        ..kind
    })
}
