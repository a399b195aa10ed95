//! Text encoders with rotary positions.

use super::super::text::{ClassPooling, Decoder, Output, Text, TextEncoder, TextModel, Transform};
use super::super::{Family, Head, Read, rope};
use super::options::{Outcome, windows, with_epsilon};
use super::stack::Stack;
use super::{Feed, Kind, Layout, Names, Sizes};
use crate::layers::{
    Activation, Cache, Embedding, Frequencies, Linear, Norm, NormKind, Rotary, inverse_frequencies, local_mask,
    padding_mask,
};
use crate::{Settings, SettingsError, Task, Var, signed};
use netwright_ir::ElementType;
use serde_json::Value;

/// ModernBERT: norms before the blocks, local attention in two of three layers.
pub(in super::super) const MODERN_BERT: Family = Family {
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

/// NomicBERT: gated feed-forward networks, norms after the residual sums.
pub(in super::super) const NOMIC_BERT: Family = Family {
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
pub(in super::super) const GTE: Family = Family {
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
pub(in super::super) const JINA: Family = Family {
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

/// EuroBERT: the layers of Llama.
pub(in super::super) const EURO_BERT: Family = Family {
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
pub(in super::super) const ESM: Family = Family {
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
        layers: layers.into_iter().map(super::options::by_window).collect(),
        ..kind
    };
    Ok((kind, sizes.d_model))
}

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

/// The head of text classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClassHead {
    /// The pooler of the base model, then a layer.
    Pooler,
    /// Two layers of its own.
    Own,
}

/// Dense layer and norm, then decoder and bias of the masked-language-modeling head.
type MaskedNames = ([&'static str; 2], [&'static str; 2]);

/// Reads an encoder with the heads of BERT or RoBERTa, whose names start with the first of the prefixes that the weights
/// have.
fn bert_like(
    settings: &Settings,
    head: &Head<'_>,
    kind: &Kind,
    prefixes: [&str; 2],
    masked: MaskedNames,
    activation: Activation,
    class: ClassHead,
) -> Read {
    let [own, older] = prefixes.map(|prefix| head.base(prefix));
    let base = if own.is_empty() { older } else { own };
    let output = bert_output(settings, head, kind, &base, masked, activation, class)?;
    let encoder = RotaryEncoder::new(settings, kind, &base)?;
    Ok(Box::new(TextModel { encoder, output }))
}

fn bert_output(
    settings: &Settings,
    head: &Head<'_>,
    kind: &Kind,
    base: &str,
    ([dense, norm], names): MaskedNames,
    activation: Activation,
    class: ClassHead,
) -> Result<Output, SettingsError> {
    let d_model = kind.sizes.d_model;
    let square = |name: &str| Linear::new(name, d_model, d_model, true);
    let norm = Norm::new(norm, NormKind::LayerNorm, d_model, kind.epsilon);
    let masked = Output::MaskedTokens {
        transform: Some(Transform { dense: square(dense), activation, norm: Some(norm) }),
        decoder: decoder(settings, names, d_model, true)?,
    };
    let pooler = format!("{base}pooler.dense");
    let [dense, last] = match class {
        ClassHead::Pooler => [&pooler, "classifier"],
        ClassHead::Own => ["classifier.dense", "classifier.out_proj"],
    };
    let transform = Transform { dense: square(dense), activation: Activation::Tanh, norm: None };
    let class = |labels| Output::Class {
        pooling: ClassPooling::First,
        transform,
        classifier: Linear::new(last, d_model, labels, true),
    };
    Output::read(settings, head, d_model, masked, class, Some(pooler.clone()))
}

/// Reads the last layer of the masked-language-modeling head, which may lack a bias.
fn decoder(settings: &Settings, names: [&str; 2], d_model: u64, has_bias: bool) -> Result<Decoder, SettingsError> {
    let vocab = settings.size("vocab_size")?;
    Ok(if settings.flag("tie_word_embeddings", true)? {
        Decoder::Tied { bias: has_bias.then(|| names[1].to_owned()), vocab }
    } else {
        Decoder::Own(Linear::new(names[0], d_model, vocab, has_bias))
    })
}

/// An encoder without a head.
#[derive(Debug)]
struct RotaryEncoder {
    stack: Stack,
    types: Option<Embedding>,
    reads_types: bool,
    /// If the embeddings are scaled by how many tokens are masked: the id of the mask.
    masked_token: Option<u64>,
}

impl RotaryEncoder {
    fn new(settings: &Settings, kind: &Kind, base: &str) -> Result<Self, SettingsError> {
        let vocab = settings.size("vocab_size")?;
        // 0 means that tokens have no types.
        let has_types = settings.number("type_vocab_size")?.is_some_and(|rows| rows != 0.0);
        let rows = if has_types { settings.optional_size("type_vocab_size")? } else { None };
        let table =
            |rows| Embedding::new(format!("{base}embeddings.token_type_embeddings"), rows, kind.sizes.d_model, false);
        Ok(Self {
            stack: Stack::new(kind, base, vocab),
            types: rows.map(table),
            reads_types: rows.is_some_and(|rows| rows > 1),
            masked_token: None,
        })
    }

    /// Sets the embeddings of masked tokens to 0 and scales the others, so that their sum is what it was in the training
    /// on average: 12 % of the tokens were masked.
    #[track_caller]
    fn without_masked<'b>(&self, words: Var<'b>, text: &Text<'b>) -> Var<'b> {
        let Some(token) = self.masked_token else { return words };
        let builder = words.builder();
        let is_masked = text.input_ids.equal(builder.index(signed(token)));
        let [masked, tokens] = [is_masked.cast(ElementType::I64), text.attention_mask]
            .map(|counted| counted.cast_like_parameters().sum(-1).unsqueeze(&[2]));
        let seen = builder.scalar("zero", 0.0).where_else(is_masked.unsqueeze(&[2]), words);
        seen * builder.scalar("usual", 1.0 - 0.15 * 0.8) / (builder.scalar("one", 1.0) - masked / tokens)
    }
}

impl TextEncoder for RotaryEncoder {
    fn encode<'b>(&self, text: &Text<'b>) -> Var<'b> {
        let builder = text.input_ids.builder();
        let mut x = self.without_masked(self.stack.words.forward(text.input_ids), text);
        if let Some(table) = &self.types {
            x = x + table.forward(text.types.unwrap_or_else(|| builder.index(0)));
        }
        let positions = text.input_ids.size(1).range().unsqueeze(&[0]);
        let padding = padding_mask(text.attention_mask);
        let mask = |window: Option<u64>| {
            window.map_or(padding, |window| local_mask(text.input_ids, window.saturating_sub(1)) + padding)
        };
        self.stack.forward(x, positions, &Cache::none(builder), mask)
    }

    fn words(&self) -> &Embedding {
        &self.stack.words
    }

    fn reads_types(&self) -> bool {
        self.reads_types
    }
}
