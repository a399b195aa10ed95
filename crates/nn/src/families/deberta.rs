//! DeBERTa (He et al., 2021) and DeBERTa-v2: disentangled attention.

use super::encoder::{LayerNames, LayerSizes};
use super::text::{ClassPooling, Decoder, Output, Text, TextEncoder, TextModel, Transform};
use super::{Family, Head, Read};
use crate::layers::{
    Activation, ContentProjections, DisentangledAttention, Distances, Embedding, FeedForward, Linear, Norm, NormKind,
    padding_mask,
};
use crate::{Init, Settings, SettingsError, Task, Var};

/// DeBERTa: one projection for queries, keys and values, and a vector for every distance.
pub(super) const DEBERTA: Family = Family {
    name: "DeBERTa",
    model_types: &["deberta"],
    example: Some("microsoft/deberta-base"),
    architectures: &[
        ("DebertaModel", Task::FeatureExtraction),
        ("DebertaModel", Task::SentenceSimilarity),
        ("DebertaForMaskedLM", Task::FillMask),
        ("DebertaForSequenceClassification", Task::TextClassification),
        ("DebertaForTokenClassification", Task::TokenClassification),
        ("DebertaForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.must_be("talking_head", false)?;
        read(settings, head, true)
    },
};

/// DeBERTa-v2 and DeBERTa-v3.
pub(super) const DEBERTA_V2: Family = Family {
    name: "DeBERTa-v2, DeBERTa-v3",
    model_types: &["deberta-v2"],
    example: Some("microsoft/deberta-v3-base"),
    architectures: &[
        ("DebertaV2Model", Task::FeatureExtraction),
        ("DebertaV2Model", Task::SentenceSimilarity),
        ("DebertaV2ForMaskedLM", Task::FillMask),
        ("DebertaV2ForSequenceClassification", Task::TextClassification),
        ("DebertaV2ForTokenClassification", Task::TokenClassification),
        ("DebertaV2ForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        settings.must_be("conv_kernel_size", 0)?;
        settings.ignore(&["conv_act", "conv_groups"]);
        read(settings, head, false)
    },
};

#[derive(Debug)]
struct Deberta {
    words: Embedding,
    positions: Option<Embedding>,
    types: Option<Embedding>,
    project: Option<Linear>,
    norm: Norm,
    distances: Distances,
    /// The name of the vectors of distances.
    vectors: String,
    vectors_norm: Option<Norm>,
    d_model: u64,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    attention: DisentangledAttention,
    attention_norm: Norm,
    ffn: FeedForward,
    ffn_norm: Norm,
}

/// Reads a whole number that is negative if it is unset.
fn positive(settings: &Settings, option: &str) -> Result<Option<u64>, SettingsError> {
    let is_set = settings.number(option)?.is_some_and(|number| number > 0.0);
    if is_set { settings.optional_size(option) } else { Ok(None) }
}

/// Reads a configuration; `is_first` is whether it is one of the first version.
fn read(settings: &Settings, head: &Head<'_>, is_first: bool) -> Read {
    settings.must_be("relative_attention", true)?;
    settings.ignore(&["pooler_dropout", "position_embedding_type"]);
    let base = head.base("deberta");
    let LayerSizes { count, d_model, heads, d_ff, activation, epsilon, .. } =
        LayerSizes::read(settings, Activation::Gelu, 1e-7)?;
    settings.must_be("attention_head_size", d_model / heads)?;
    settings.must_be("pooler_hidden_size", d_model)?;
    let width = settings.optional_size("embedding_size")?.unwrap_or(d_model);
    let longest = settings.size("max_position_embeddings")?;
    let distances = Distances {
        buckets: if is_first { None } else { positive(settings, "position_buckets")? },
        longest: positive(settings, "max_relative_positions")?.unwrap_or(longest),
    };
    if distances.buckets.is_some_and(|buckets| buckets % 2 == 1 || buckets < 4 || distances.longest <= buckets / 2 + 1)
    {
        return Err(settings.wrong("position_buckets", "even, at least 4, and less than twice max_relative_positions"));
    }
    // Either a list or words with bars between them.
    let kinds = settings.words("pos_att_type").or_else(|error| match settings.word("pos_att_type") {
        Ok(word) => Ok(word.map(|word| word.split('|').map(|kind| kind.trim().to_owned()).collect())),
        Err(_) => Err(error),
    })?;
    let kinds = kinds.unwrap_or_default();
    let law = "a list of c2p and p2c";
    if !kinds.iter().all(|kind| ["c2p", "p2c"].contains(&kind.as_str())) {
        return Err(settings.wrong("pos_att_type", law));
    }
    let has = |kind: &str| kinds.iter().any(|own| own == kind);
    let shared = !is_first && settings.flag("share_att_key", false)?;
    let vectors_norm = match if is_first { None } else { settings.word("norm_rel_ebd")? } {
        None | Some("none") => false,
        Some("layer_norm") => true,
        Some(_) => return Err(settings.wrong("norm_rel_ebd", "layer_norm or none")),
    };
    let linear = |name: String, inputs, outputs| Linear::new(name, inputs, outputs, true);
    let square = |name: String| linear(name, d_model, d_model);
    let norm = |name: String, width| Norm::new(name, NormKind::LayerNorm, width, epsilon);
    let table = |name: &str, rows| Embedding::new(format!("{base}embeddings.{name}"), rows, width, false);
    let names = LayerNames {
        attention: [
            "attention.self.query_proj",
            "attention.self.key_proj",
            "attention.self.value_proj",
            "attention.output.dense",
        ],
        norms: ["attention.output.LayerNorm", "output.LayerNorm"],
        ffn: ["intermediate.dense", "output.dense"],
    };
    let layer = |at: u64| {
        let name = format!("{base}encoder.layer.{at}");
        let part = |part: &str| format!("{name}.{part}");
        let [query, key, value, output] = names.attention.map(|part| square(format!("{name}.{part}")));
        let own = |part: &str| format!("{name}.attention.self.{part}");
        let unbiased = |part: &str, outputs| Linear::new(own(part), d_model, outputs, false);
        let (distance_key, distance_query, projections) = if is_first {
            let biases = ["q_bias", "v_bias"].map(own);
            let packed = ContentProjections::Packed(unbiased("in_proj", 3 * d_model), biases);
            (unbiased("pos_proj", d_model), square(own("pos_q_proj")), packed)
        } else {
            let distances = if shared {
                [key.clone(), query.clone()]
            } else {
                ["pos_key_proj", "pos_query_proj"].map(|part| square(own(part)))
            };
            let [distance_key, distance_query] = distances;
            (distance_key, distance_query, ContentProjections::Separate([query, key, value]))
        };
        Layer {
            attention: DisentangledAttention {
                name: part("attention"),
                distance_key: has("c2p").then_some(distance_key),
                distance_query: has("p2c").then_some(distance_query),
                projections,
                output,
                heads,
                d_k: d_model / heads,
            },
            attention_norm: norm(part(names.norms[0]), d_model),
            ffn: FeedForward::with_layers(
                name.clone(),
                activation,
                linear(part(names.ffn[0]), d_model, d_ff),
                linear(part(names.ffn[1]), d_ff, d_model),
                None,
            ),
            ffn_norm: norm(part(names.norms[1]), d_model),
        }
    };
    let (masked, masked_width) =
        if settings.flag("legacy", true)? { ("cls.predictions.", width) } else { ("lm_predictions.lm_head.", d_model) };
    let transform = if masked.starts_with("cls") { "cls.predictions.transform." } else { masked };
    let bias = format!("{masked}bias");
    let masked = Output::MaskedTokens {
        transform: Some(Transform {
            dense: linear(format!("{transform}dense"), d_model, masked_width),
            activation,
            norm: Some(norm(format!("{transform}LayerNorm"), masked_width)),
        }),
        decoder: Decoder::read(settings, [&format!("{masked}decoder"), &bias], masked_width)?,
    };
    let pooler = settings.activation("pooler_hidden_act", Activation::Gelu)?;
    let class = |labels| Output::Class {
        pooling: ClassPooling::First,
        transform: Transform { dense: square("pooler.dense".to_owned()), activation: pooler, norm: None },
        classifier: linear("classifier".to_owned(), d_model, labels),
    };
    let output = Output::read(settings, head, d_model, masked, class, None)?;
    let has_positions = settings.flag("position_biased_input", true)?;
    let types = if settings.has("type_vocab_size") { positive(settings, "type_vocab_size")? } else { None };
    let encoder = Deberta {
        words: table("word_embeddings", settings.size("vocab_size")?),
        positions: has_positions.then(|| table("position_embeddings", longest)),
        types: types.map(|types| table("token_type_embeddings", types)),
        project: (width != d_model).then(|| Linear::new(format!("{base}embeddings.embed_proj"), width, d_model, false)),
        norm: norm(format!("{base}embeddings.LayerNorm"), d_model),
        distances,
        vectors: format!("{base}encoder.rel_embeddings.weight"),
        vectors_norm: vectors_norm.then(|| norm(format!("{base}encoder.LayerNorm"), d_model)),
        d_model,
        layers: (0..count).map(layer).collect(),
    };
    Ok(Box::new(TextModel { encoder, output }))
}

impl TextEncoder for Deberta {
    fn encode<'b>(&self, text: &Text<'b>) -> Var<'b> {
        let builder = text.input_ids.builder();
        let mut x = self.words.forward(text.input_ids);
        if let Some(positions) = &self.positions {
            x = x + positions.forward(text.input_ids.size(1).range());
        }
        if let Some(table) = &self.types {
            x = x + table.forward(text.types.unwrap_or_else(|| builder.index(0)));
        }
        x = self.project.iter().fold(x, |x, project| project.forward(x));
        x = self.norm.forward(x);
        let vectors = builder.parameter(&self.vectors, &[self.distances.rows(), self.d_model], Init::Xavier);
        let vectors = self.vectors_norm.iter().fold(vectors, |vectors, norm| norm.forward(vectors));
        let (rows, mask) = (self.distances.between(text.input_ids), padding_mask(text.attention_mask));
        for layer in &self.layers {
            x = layer.attention_norm.forward(x + layer.attention.forward(x, vectors, rows, mask));
            x = layer.ffn_norm.forward(x + layer.ffn.forward(x));
        }
        x
    }

    fn words(&self) -> &Embedding {
        &self.words
    }

    fn reads_types(&self) -> bool {
        self.types.is_some()
    }
}
