//! Text encoders with norms before their blocks: ModernBERT, EuroBERT, ESM-2.

use super::super::super::text::{ClassPooling, Output, TextModel, Transform};
use super::super::super::{Family, rope};
use super::super::options::{by_window, windows, with_epsilon};
use super::super::{Feed, Kind, Layout, Names, Sizes};
use super::{ClassHead, RotaryEncoder, bert_output, decoder};
use crate::layers::{Activation, Linear, Norm, NormKind, Rotary};
use crate::{Settings, SettingsError, Task};
use serde_json::Value;

/// ModernBERT: norms before the blocks, local attention in two of three layers.
pub(in super::super::super) const MODERN_BERT: Family = Family {
    name: "ModernBERT",
    model_types: &["modernbert"],
    example: Some("answerdotai/ModernBERT-base"),
    architectures: &[
        ("ModernBertModel", Task::FeatureExtraction),
        ("ModernBertModel", Task::SentenceSimilarity),
        ("ModernBertForMaskedLM", Task::FillMask),
        ("ModernBertForSequenceClassification", Task::TextClassification),
        ("ModernBertForTokenClassification", Task::TokenClassification),
        ("ModernBertForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        let (kind, d_model) = modern_bert(settings)?;
        let norm = Norm::new("head.norm", kind.norm, d_model, kind.epsilon);
        let dense = Linear::new("head.dense", d_model, d_model, settings.flag("classifier_bias", false)?);
        let activation = settings.activation("classifier_activation", Activation::Gelu)?;
        let transform = Transform { dense, activation, norm: Some(norm) };
        let pooling = match settings.word("classifier_pooling")? {
            None | Some("cls") => ClassPooling::First,
            Some("mean") => ClassPooling::Mean,
            Some(_) => return Err(settings.wrong("classifier_pooling", "cls or mean")),
        };
        let has_bias = settings.flag("decoder_bias", true)?;
        let decoder = decoder(settings, ["decoder", "decoder.bias"], d_model, has_bias)?;
        let classifier = |labels| Linear::new("classifier", d_model, labels, true);
        let output = match head.task {
            Task::TokenClassification => {
                Output::Tokens { transform: Some(transform), classifier: classifier(settings.labels()?) }
            }
            Task::QuestionAnswering => Output::Answer { transform: Some(transform), layer: classifier(2) },
            _ => {
                let masked = Output::MaskedTokens { transform: Some(transform.clone()), decoder };
                let class = |labels| Output::Class { pooling, transform, classifier: classifier(labels) };
                Output::read(settings, head, d_model, masked, class, None)?
            }
        };
        let encoder = RotaryEncoder::new(settings, &kind, &head.base("model"))?;
        Ok(Box::new(TextModel { encoder, output }))
    },
};

/// EuroBERT: the layers of Llama.
pub(in super::super::super) const EURO_BERT: Family = Family {
    name: "EuroBERT",
    model_types: &["eurobert"],
    example: Some("EuroBERT/EuroBERT-210m"),
    architectures: &[
        ("EuroBertModel", Task::FeatureExtraction),
        ("EuroBertModel", Task::SentenceSimilarity),
        ("EuroBertForMaskedLM", Task::FillMask),
        ("EuroBertForSequenceClassification", Task::TextClassification),
        ("EuroBertForTokenClassification", Task::TokenClassification),
    ],
    read: |settings, head| {
        settings.must_be("is_decoder", false)?;
        settings.ignore(&["bos_token", "eos_token", "pad_token", "mask_token"]);
        let settings = &settings.with_older_names(&[("clf_pooling", "classifier_pooling")])?;
        let pooling = match settings.word("classifier_pooling")? {
            None | Some("late") => ClassPooling::MeanOfScores,
            Some("bos") => ClassPooling::First,
            Some("mean") => ClassPooling::Mean,
            Some(_) => return Err(settings.wrong("classifier_pooling", "bos, mean or late")),
        };
        let (bias, mlp_bias) = (settings.flag("attention_bias", false)?, settings.flag("mlp_bias", false)?);
        let kind = with_epsilon(settings, settings.epsilon("rms_norm_eps", 1e-5)?)?;
        let kind = Kind { bias: [bias; 4], mlp_bias: [mlp_bias; 2], ..kind };
        let d_model = kind.sizes.d_model;
        let decoder = decoder(settings, ["lm_head", "lm_head.bias"], d_model, mlp_bias)?;
        let masked = Output::MaskedTokens { transform: None, decoder };
        let dense = Linear::new("dense", d_model, d_model, true);
        let transform = Transform { dense, activation: Activation::Gelu, norm: None };
        let classifier = |labels| Linear::new("classifier", d_model, labels, true);
        let class = |labels| Output::Class { pooling, transform, classifier: classifier(labels) };
        let output = Output::read(settings, head, d_model, masked, class, None)?;
        let encoder = RotaryEncoder::new(settings, &kind, &head.base("model"))?;
        Ok(Box::new(TextModel { encoder, output }))
    },
};

/// ESM-2, whose tokens are amino acids: norms before the blocks, and embeddings scaled by how many tokens are masked.
pub(in super::super::super) const ESM: Family = Family {
    name: "ESM-2",
    model_types: &["esm"],
    example: Some("facebook/esm2_t6_8M_UR50D"),
    architectures: &[
        ("EsmModel", Task::FeatureExtraction),
        ("EsmForMaskedLM", Task::FillMask),
        ("EsmForSequenceClassification", Task::TextClassification),
        ("EsmForTokenClassification", Task::TokenClassification),
    ],
    read: |settings, head| {
        settings.must_be("is_decoder", false)?;
        settings.must_be("add_cross_attention", false)?;
        settings.must_be("is_folding_model", false)?;
        if settings.word("position_embedding_type")? != Some("rotary") {
            return Err(settings.wrong("position_embedding_type", "rotary, as in ESM-2"));
        }
        settings.ignore(&["hidden_act", "max_position_embeddings"]);
        let d_model = settings.size("hidden_size")?;
        let heads = settings.heads("num_attention_heads", d_model)?;
        let (d_ff, layers) = (settings.size("intermediate_size")?, settings.layers("num_hidden_layers")?);
        let sizes = Sizes { d_model, heads, kv_heads: heads, d_k: d_model / heads, d_ff, layers };
        let rotary = Rotary::new(sizes.d_k, settings.positive("rope_theta")?.unwrap_or(10_000.0));
        let has_norm = settings.flag("emb_layer_norm_before", false)?;
        let kind = Kind {
            names: Names {
                words: "embeddings.word_embeddings",
                words_norm: has_norm.then_some("embeddings.layer_norm"),
                layers: "encoder.layer",
                norm: Some("encoder.emb_layer_norm_after"),
                attention: "attention.self",
                output: "attention.output.dense",
                ..Names::default()
            },
            bias: [true; 4],
            mlp_bias: [true; 2],
            layout: Layout::Separate(["query", "key", "value"]),
            feed: Feed::Plain(["intermediate.dense", "output.dense"]),
            norm: NormKind::LayerNorm,
            norms: [Some("attention.LayerNorm"), None, Some("LayerNorm"), None],
            ..Kind::new(sizes, Activation::Gelu, settings.epsilon("layer_norm_eps", 1e-12)?, rotary)
        };
        let masked_token = if settings.flag("token_dropout", false)? {
            let law = "the id of the mask, which the embeddings are scaled by";
            Some(settings.token("mask_token_id")?.ok_or_else(|| settings.wrong("mask_token_id", law))?)
        } else {
            None
        };
        let names = (["lm_head.dense", "lm_head.layer_norm"], ["lm_head.decoder", "lm_head.bias"]);
        let base = head.base("esm");
        let output = bert_output(settings, head, &kind, &base, names, Activation::Gelu, ClassHead::Own)?;
        let encoder = RotaryEncoder { masked_token, ..RotaryEncoder::new(settings, &kind, &base)? };
        Ok(Box::new(TextModel { encoder, output }))
    },
};

fn modern_bert(settings: &Settings) -> Result<(Kind, u64), SettingsError> {
    settings.must_be("rope_scaling", Value::Null)?;
    settings.ignore(&["deterministic_flash_attn", "reference_compile", "repad_logits_with_grad"]);
    settings.ignore(&["sparse_prediction", "sparse_pred_ignore_index", "embedding_dropout", "mlp_dropout"]);
    settings.ignore(&["layer_norm_eps", "position_embedding_type"]);
    let sizes = Sizes::read(settings)?;
    let theta = ["global_rope_theta", "local_rope_theta"];
    let [full, local] = rope::rotary_by_type(settings, sizes.d_k, theta)?;
    let (bias, mlp_bias) = (settings.flag("attention_bias", false)?, settings.flag("mlp_bias", false)?);
    let norm = if settings.flag("norm_bias", false)? { NormKind::LayerNorm } else { NormKind::ScaledLayerNorm };
    let activation = settings.activation("hidden_activation", Activation::Gelu)?;
    let kind = Kind::new(sizes, activation, settings.epsilon("norm_eps", 1e-5)?, full.clone());
    // The window is as wide on both sides of a token.
    let window = settings.size("local_attention")? / 2 + 1;
    let interval = settings.size("global_attn_every_n_layers")?;
    let layers = windows(settings, &kind, Some(window), |at| !at.is_multiple_of(interval))?;
    let kind = Kind {
        names: Names {
            words: "embeddings.tok_embeddings",
            words_norm: Some("embeddings.norm"),
            norm: Some("final_norm"),
            attention: "attn",
            output: "attn.Wo",
            ..Names::default()
        },
        bias: [bias; 4],
        mlp_bias: [mlp_bias; 2],
        layout: Layout::Packed("Wqkv"),
        feed: Feed::GateUp(["mlp.Wi", "mlp.Wo"]),
        norm,
        norms: [Some("attn_norm"), None, Some("mlp_norm"), None],
        has_first_norm: false,
        rotaries: vec![full, local],
        layers: layers.into_iter().map(by_window).collect(),
        ..kind
    };
    Ok((kind, sizes.d_model))
}
