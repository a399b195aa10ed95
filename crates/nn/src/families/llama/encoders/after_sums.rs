//! Text encoders with layer norms after the residual sums: NomicBERT, GTE, Jina Embeddings v3.

use super::super::super::{Family, rope};
use super::super::options::Outcome;
use super::super::{Feed, Kind, Layout, Names, Sizes};
use super::{ClassHead, bert_like};
use crate::layers::{Activation, Frequencies, NormKind, Rotary, inverse_frequencies};
use crate::{Settings, SettingsError, Task};
use serde_json::Value;

/// NomicBERT: gated feed-forward networks, norms after the residual sums.
pub(in super::super::super) const NOMIC_BERT: Family = Family {
    name: "NomicBERT",
    model_types: &["nomic_bert"],
    example: Some("nomic-ai/nomic-embed-text-v1.5"),
    architectures: &[
        ("NomicBertModel", Task::FeatureExtraction),
        ("NomicBertModel", Task::SentenceSimilarity),
        ("NomicBertForMaskedLM", Task::FillMask),
        ("NomicBertForPreTraining", Task::FillMask),
        ("NomicBertForSequenceClassification", Task::TextClassification),
        ("NomicBertForTokenClassification", Task::TokenClassification),
    ],
    read: |settings, head| {
        let kind = nomic_bert(settings)?;
        let transform = ["cls.predictions.transform.dense", "cls.predictions.transform.layer_norm"];
        let decoder = ["cls.predictions.decoder", "cls.predictions.bias"];
        bert_like(
            settings,
            head,
            &kind,
            ["nomic_bert", "bert"],
            (transform, decoder),
            kind.activation,
            ClassHead::Pooler,
        )
    },
};

/// GTE: gated feed-forward networks whose projections are one layer, norms after the residual sums.
pub(in super::super::super) const GTE: Family = Family {
    name: "GTE",
    model_types: &["gte", "new"],
    example: Some("Alibaba-NLP/gte-base-en-v1.5"),
    architectures: &[
        ("GteModel", Task::FeatureExtraction),
        ("GteModel", Task::SentenceSimilarity),
        ("GteForMaskedLM", Task::FillMask),
        ("GteForSequenceClassification", Task::TextClassification),
        ("GteForTokenClassification", Task::TokenClassification),
        ("NewModel", Task::FeatureExtraction),
        ("NewModel", Task::SentenceSimilarity),
        ("NewForMaskedLM", Task::FillMask),
        ("NewForSequenceClassification", Task::TextClassification),
        ("NewForTokenClassification", Task::TokenClassification),
    ],
    read: |settings, head| {
        let kind = gte(settings)?;
        let names = (["lm_head.dense", "lm_head.norm"], ["lm_head.decoder", "lm_head.decoder.bias"]);
        bert_like(settings, head, &kind, ["gte", "new"], names, Activation::Gelu, ClassHead::Pooler)
    },
};

/// Jina Embeddings v3 without adapters: norms after the residual sums.
pub(in super::super::super) const JINA: Family = Family {
    name: "Jina Embeddings v3",
    model_types: &["jina_embeddings_v3"],
    example: Some("jinaai/jina-embeddings-v3-hf"),
    architectures: &[
        ("JinaEmbeddingsV3Model", Task::FeatureExtraction),
        ("JinaEmbeddingsV3Model", Task::SentenceSimilarity),
        ("JinaEmbeddingsV3ForMaskedLM", Task::FillMask),
        ("JinaEmbeddingsV3ForSequenceClassification", Task::TextClassification),
        ("JinaEmbeddingsV3ForTokenClassification", Task::TokenClassification),
        ("JinaEmbeddingsV3ForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        let kind = after_sums(settings, Activation::Gelu, 1e-5)?;
        let kind = Kind {
            names: Names {
                words: "embeddings.word_embeddings",
                words_norm: Some("emb_ln"),
                layers: "encoder.layers",
                norm: None,
                attention: "mixer",
                output: "mixer.out_proj",
                ..Names::default()
            },
            bias: [true; 4],
            mlp_bias: [true; 2],
            layout: Layout::Packed("Wqkv"),
            feed: Feed::Plain(["mlp.fc1", "mlp.fc2"]),
            norms: [None, Some("norm1"), None, Some("norm2")],
            ..kind
        };
        let names = (["lm_head.dense", "lm_head.layer_norm"], ["lm_head.decoder", "lm_head.bias"]);
        bert_like(settings, head, &kind, ["roberta"; 2], names, Activation::Gelu, ClassHead::Own)
    },
};

fn nomic_bert(settings: &Settings) -> Outcome {
    // Options of the published code.
    for option in ["qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "prenorm", "parallel_block", "use_rms_norm"] {
        settings.must_be(option, false)?;
    }
    for option in ["causal", "rotary_emb_interleaved", "scale_attn_by_inverse_layer_idx"] {
        settings.must_be(option, false)?;
    }
    for option in ["rotary_emb_scale_base", "rotary_scaling_factor"] {
        settings.must_be(option, Value::Null)?;
    }
    settings.must_be("rotary_emb_fraction", 1.0)?;
    settings.must_be("scale_attn_weights", true)?;
    settings.must_be("activation_function", "swiglu")?;
    settings.ignore(&["n_positions", "max_trained_positions", "fused_bias_fc", "fused_dropout_add_ln"]);
    settings.ignore(&["use_flash_attn", "use_xentropy", "dense_seq_output", "summary_type", "summary_use_proj"]);
    settings.ignore(&["parallel_block_tied_norm"]);
    settings.ignore(&["summary_activation", "summary_proj_to_labels"]);
    let multiple = settings.optional_size("pad_vocab_size_multiple")?.unwrap_or(1);
    if !settings.size("vocab_size")?.is_multiple_of(multiple) {
        return Err(settings.wrong("vocab_size", format!("a multiple of pad_vocab_size_multiple, {multiple}")));
    }
    let settings = settings.with_older_names(&[
        ("n_embd", "hidden_size"),
        ("n_head", "num_attention_heads"),
        ("n_inner", "intermediate_size"),
        ("n_layer", "num_hidden_layers"),
        ("layer_norm_epsilon", "layer_norm_eps"),
        ("rotary_emb_base", "rope_theta"),
    ])?;
    Ok(Kind {
        names: Names {
            words: "embeddings.word_embeddings",
            words_norm: Some("emb_ln"),
            layers: "encoder.layers",
            norm: None,
            attention: "attn",
            output: "attn.out_proj",
            ..Names::default()
        },
        layout: Layout::Packed("Wqkv"),
        feed: Feed::Gated(["mlp.fc12", "mlp.fc11", "mlp.fc2"]),
        norms: [None, Some("norm1"), None, Some("norm2")],
        ..after_sums(&settings, Activation::Silu, 1e-12)?
    })
}

fn gte(settings: &Settings) -> Outcome {
    settings.must_be("layer_norm_type", "layer_norm")?;
    settings.must_be("position_embedding_type", "rope")?;
    settings.must_be("pack_qkv", true)?;
    settings.must_be("logn_attention_scale", false)?;
    settings.must_be("logn_attention_clip1", false)?;
    settings.ignore(&["max_position_embeddings", "unpad_inputs", "use_memory_efficient_attention"]);
    let kind = after_sums(settings, Activation::Gelu, 1e-12)?;
    Ok(Kind {
        names: Names {
            words: "embeddings.word_embeddings",
            words_norm: Some("embeddings.LayerNorm"),
            layers: "encoder.layer",
            norm: None,
            attention: "attention",
            output: "attention.o_proj",
            ..Names::default()
        },
        bias: [true; 4],
        mlp_bias: [false, true],
        layout: Layout::Packed("qkv_proj"),
        feed: Feed::UpGate(["mlp.up_gate_proj", "mlp.down_proj"]),
        norms: [None, Some("attn_ln"), None, Some("mlp_ln")],
        ..kind
    })
}

/// Reads the usual options of encoders with layer norms after the residual sums.
fn after_sums(settings: &Settings, activation: Activation, epsilon: f64) -> Outcome {
    let sizes = Sizes::read(settings)?;
    let activation = settings.activation("hidden_act", activation)?;
    let epsilon = settings.epsilon("layer_norm_eps", epsilon)?;
    let kind = Kind::new(sizes, activation, epsilon, ntk(settings, sizes.d_k)?);
    Ok(Kind { norm: NormKind::LayerNorm, norms_sums: true, ..kind })
}

/// Reads rotary positions, which the published code of GTE can also scale for longer texts: the base is `factor` times
/// as large, and each frequency is divided by `factor^(2 / d_k)`.
fn ntk(settings: &Settings, d_k: u64) -> Result<Rotary, SettingsError> {
    let scaling = settings.section("rope_scaling")?;
    let is_ntk = |scaling: &Settings| Ok::<_, SettingsError>(scaling.word("type")? == Some("ntk"));
    let Some(scaling) = scaling.filter(|_| settings.model_type() == "new") else {
        return rope::rotary(settings, d_k, false);
    };
    if !is_ntk(&scaling)? {
        return Err(scaling.wrong("type", "ntk"));
    }
    let least_one = |factor: Option<f64>| factor.filter(|factor| *factor >= 1.0);
    let factor = least_one(scaling.number("factor")?).ok_or_else(|| scaling.wrong("factor", "at least 1"))?;
    let theta = settings.positive("rope_theta")?.ok_or_else(|| settings.wrong("rope_theta", "a number above 0"))?;
    if d_k % 2 == 1 {
        return Err(settings.wrong("num_attention_heads", "such that the width of a head is even"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "frequencies are computed in f32")]
    let divisor = factor.powf(2.0 / d_k as f64) as f32;
    let frequencies = inverse_frequencies(d_k, theta * factor).into_iter().map(|frequency| frequency / divisor);
    Ok(Rotary { frequencies: Frequencies::Fixed(frequencies.collect()), ..Rotary::new(d_k, theta) })
}
