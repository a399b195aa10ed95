//! T5 (Raffel et al., 2020) and its variants: relative position biases, unscaled scores, and RMS norms before the
//! blocks.

use super::encoder_decoder::{EncoderDecoder, Output, SOURCE, Seq2Seq, Step};
use super::{Family, Head, ids};
use crate::layers::{
    Activation, Cache, DotProduct, Embedding, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, Projections,
    RelativeBias, Span, local_mask,
};
use crate::{Builder, Settings, SettingsError, Task, Var, signed};
use netwright_ir::Dim;

macro_rules! family {
    (
        $(#[$doc:meta])* $constant:ident, $name:literal, $model_type:literal, $example:literal, $class:literal,
        $kind:expr $(, $more:expr)*
    ) => {
        $(#[$doc])*
        pub(super) const $constant: Family = Family {
            name: $name,
            model_types: &[$model_type],
            example: Some($example),
            architectures: &[
                (concat!($class, "ForConditionalGeneration"), Task::Text2TextGeneration),
                (concat!($class, "Model"), Task::FeatureExtraction),
                (concat!($class, "EncoderModel"), Task::FeatureExtraction),
                (concat!($class, "EncoderModel"), Task::SentenceSimilarity),
                $($more,)*
            ],
            read: |settings, head| {
                let model = read(settings, head, $kind)?;
                let output = Output::read(settings, head, model.d_model, 1)?;
                Ok(Box::new(Seq2Seq::with_output(model, head, output)))
            },
        };
    };
}

family! {
    /// T5, T5 1.1 and FLAN-T5.
    T5, "T5", "t5", "google/flan-t5-small", "T5", Kind::default(),
    ("T5WithLMHeadModel", Task::Text2TextGeneration),
    ("T5ForSequenceClassification", Task::TextClassification),
    ("T5ForTokenClassification", Task::TokenClassification),
    ("T5ForQuestionAnswering", Task::QuestionAnswering)
}

family! {
    /// mT5: T5 1.1 for many languages.
    MT5, "mT5", "mt5", "google/mt5-small", "MT5", Kind { is_scaled: false, ..Kind::default() },
    ("MT5ForSequenceClassification", Task::TextClassification),
    ("MT5ForTokenClassification", Task::TokenClassification),
    ("MT5ForQuestionAnswering", Task::QuestionAnswering)
}

family! {
    /// UMT5: biases of its own in every layer.
    UMT5, "UMT5", "umt5", "google/umt5-small", "UMT5", Kind { bias_of_layers: true, ..Kind::default() },
    ("UMT5ForSequenceClassification", Task::TextClassification),
    ("UMT5ForTokenClassification", Task::TokenClassification),
    ("UMT5ForQuestionAnswering", Task::QuestionAnswering)
}

family! {
    /// LongT5: local attention in the encoder.
    LONGT5, "LongT5", "longt5", "google/long-t5-local-base", "LongT5", Kind { is_local: true, ..Kind::default() }
}

/// Options that vary between T5 variants.
#[derive(Clone, Copy)]
struct Kind {
    /// Whether the states are scaled before tied embeddings compute the scores.
    is_scaled: bool,
    /// Whether every layer has a position bias, instead of only the first one.
    bias_of_layers: bool,
    /// Whether the attention of the encoder is local.
    is_local: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Self { is_scaled: true, bias_of_layers: false, is_local: false }
    }
}

#[derive(Debug)]
struct T5Model {
    embeddings: Embedding,
    encoder: Stack,
    decoder: Stack,
    scores: Option<Linear>,
    /// The scale of the states before tied embeddings compute the scores.
    scale: Option<f32>,
    d_model: u64,
    heads: u64,
    d_k: u64,
}

#[derive(Debug)]
struct Stack {
    /// The longest distance between tokens that see each other.
    radius: Option<u64>,
    layers: Vec<Layer>,
    norm: Norm,
}

#[derive(Debug)]
struct Layer {
    /// The position bias of this layer and of later ones without their own.
    bias: Option<RelativeBias>,
    attention: MultiHeadAttention,
    attention_norm: Norm,
    cross: Option<(MultiHeadAttention, Norm)>,
    ffn: FeedForward,
    ffn_norm: Norm,
}

fn read(settings: &Settings, head: &Head<'_>, kind: Kind) -> Result<T5Model, SettingsError> {
    // Encoders on their own are saved under either name.
    settings.ignore(&["is_encoder_decoder", "n_positions", "output_past", "is_decoder"]);
    let d_model = settings.size("d_model")?;
    let (heads, d_k) = (settings.size("num_heads")?, settings.size("d_kv")?);
    let d_ff = settings.size("d_ff")?;
    let vocab = settings.size("vocab_size")?;
    let epsilon = settings.epsilon("layer_norm_epsilon", 1e-6)?;
    let buckets = settings.optional_size("relative_attention_num_buckets")?.unwrap_or(32);
    let max_distance = settings.optional_size("relative_attention_max_distance")?.unwrap_or(128);
    // Each direction has half of the buckets; half of those are for exact distances.
    if buckets < 4 || max_distance <= buckets / 2 {
        return Err(settings.wrong(
            "relative_attention_num_buckets",
            "at least 4, and less than twice relative_attention_max_distance",
        ));
    }
    let (is_gated, activation) = match settings.word("feed_forward_proj")?.unwrap_or("relu") {
        "relu" => (false, Activation::Relu),
        "gelu" => (false, Activation::Gelu),
        "gated-gelu" => (true, Activation::GeluTanh),
        "gated-silu" => (true, Activation::Silu),
        _ => return Err(settings.wrong("feed_forward_proj", "relu, gelu, gated-gelu or gated-silu")),
    };
    // Where the configuration has both, transformers follows these.
    let is_gated = settings.flag("is_gated_act", is_gated)?;
    let activation = settings.activation("dense_act_fn", activation)?;
    let radius = if kind.is_local {
        settings.must_be("encoder_attention_type", "local")?;
        settings.ignore(&["global_block_size"]);
        Some(settings.size("local_radius")?)
    } else {
        None
    };
    let norm = |name: String| Norm::new(name, NormKind::RmsNorm, d_model, epsilon);
    let attention = |name: String| {
        let linear = |part: &str, inputs, outputs| Linear::new(format!("{name}.{part}"), inputs, outputs, false);
        let projections = Projections {
            query: linear("q", d_model, heads * d_k),
            key: linear("k", d_model, heads * d_k),
            value: linear("v", d_model, heads * d_k),
            output: linear("o", heads * d_k, d_model),
        };
        let scores = DotProduct { scale: 1.0, softcap: None };
        MultiHeadAttention::with_projections(name, projections, heads, d_k).with_scores(scores)
    };
    // Classifiers are saved with a prefix for the base model.
    let base = head.base("transformer");
    let stack = |part: &str, count: u64| {
        let is_decoder = part == "decoder";
        let stack = format!("{base}{part}");
        let own = if kind.is_local && !is_decoder { "LocalSelfAttention" } else { "SelfAttention" };
        let layer = |at: u64| {
            let name = format!("{stack}.block.{at}.layer");
            let bias = RelativeBias {
                name: format!("{name}.0.{own}.relative_attention_bias"),
                buckets,
                max_distance,
                heads,
                bidirectional: !is_decoder,
            };
            let ffn = if is_decoder { 2 } else { 1 };
            let dense = format!("{name}.{ffn}.DenseReluDense");
            let linear = |part: &str, inputs, outputs| Linear::new(format!("{dense}.{part}"), inputs, outputs, false);
            let (up, gate) = if is_gated {
                (linear("wi_1", d_model, d_ff), Some(linear("wi_0", d_model, d_ff)))
            } else {
                (linear("wi", d_model, d_ff), None)
            };
            let cross = || (attention(format!("{name}.1.EncDecAttention")), norm(format!("{name}.1.layer_norm")));
            Layer {
                bias: (at == 0 || kind.bias_of_layers).then_some(bias),
                attention: attention(format!("{name}.0.{own}")),
                attention_norm: norm(format!("{name}.0.layer_norm")),
                cross: is_decoder.then(cross),
                ffn: FeedForward::with_layers(dense.clone(), activation, up, linear("wo", d_ff, d_model), gate),
                ffn_norm: norm(format!("{name}.{ffn}.layer_norm")),
            }
        };
        Stack {
            radius: radius.filter(|_| !is_decoder),
            layers: (0..count).map(layer).collect(),
            norm: norm(format!("{stack}.final_layer_norm")),
        }
    };
    let layers = settings.layers("num_layers")?;
    let decoder_layers =
        if settings.has("num_decoder_layers") { settings.layers("num_decoder_layers")? } else { layers };
    // T5 1.1 is untied: it has its own output layer, or does not scale the states before the shared one.
    let tied = settings.flag("tie_word_embeddings", true)? && settings.flag("scale_decoder_outputs", true)?;
    let embeddings = [format!("{base}shared"), format!("{base}encoder.embed_tokens")];
    let embeddings = embeddings.iter().find(|name| head.weights.has(name)).unwrap_or(&embeddings[0]).clone();
    let own_scores = (!tied || !kind.is_scaled) && head.weights.has("lm_head.");
    #[expect(clippy::cast_possible_truncation, reason = "the scale is applied in f32")]
    let scale = (tied && kind.is_scaled).then(|| (d_model as f64).powf(-0.5) as f32);
    Ok(T5Model {
        embeddings: Embedding::new(embeddings, vocab, d_model, false),
        encoder: stack("encoder", layers),
        decoder: stack("decoder", decoder_layers),
        scores: own_scores.then(|| Linear::new("lm_head", d_model, vocab, false)),
        scale,
        d_model,
        heads,
        d_k,
    })
}

impl Layer {
    /// Returns the position bias of the layer with a mask, if the layer has its own.
    #[track_caller]
    fn bias<'b>(&self, span: Span<'b>, mask: Option<Var<'b>>) -> Option<Var<'b>> {
        let bias = self.bias.as_ref()?.forward(span);
        Some(mask.map_or(bias, |mask| bias + mask))
    }
}

impl EncoderDecoder for T5Model {
    fn source<'b>(&self, builder: &'b Builder<'b>) -> Var<'b> {
        builder.input("input_ids", ids(SOURCE))
    }

    fn encode<'b>(&self, source: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let span = Span::new(source, &Cache::none(source.builder()));
        let local = self.encoder.radius.map(|radius| local_mask(source, radius));
        let hidden = mask.into_iter().chain(local).reduce(|mask, local| mask + local);
        let mut bias = hidden;
        let mut x = self.embeddings.forward(source);
        for layer in &self.encoder.layers {
            bias = layer.bias(span, hidden).or(bias);
            x = x + layer.attention.self_attention(layer.attention_norm.forward(x), bias);
            x = x + layer.ffn.forward(layer.ffn_norm.forward(x));
        }
        self.encoder.norm.forward(x)
    }

    fn decode<'b>(&self, step: &Step<'b>) -> Var<'b> {
        let later = Some(step.span.mask(None, None));
        let mut bias = later;
        let mut x = self.embeddings.forward(step.ids);
        for (at, layer) in self.decoder.layers.iter().enumerate() {
            let [own, other] = Step::entries(at);
            bias = layer.bias(step.span, later).or(bias);
            x = x + layer.attention.cached_self_attention(layer.attention_norm.forward(x), bias, &step.cache, &own);
            if let Some((cross, norm)) = &layer.cross {
                x = x + cross.cached_cross_attention(norm.forward(x), step.memory, step.padding, &step.cache, &other);
            }
            x = x + layer.ffn.forward(layer.ffn_norm.forward(x));
        }
        self.decoder.norm.forward(x)
    }

    fn scores<'b>(&self, x: Var<'b>) -> Var<'b> {
        let x = self.scale.map_or(x, |scale| x * scale);
        self.scores.as_ref().map_or_else(|| self.embeddings.scores(x), |layer| layer.forward(x))
    }

    fn memory(&self) -> [Dim; 2] {
        [Dim::symbol(SOURCE), Dim::Known(signed(self.d_model))]
    }

    fn cache(&self) -> [u64; 3] {
        [self.decoder.layers.len() as u64, self.heads, self.d_k]
    }

    fn leaves(&self) -> &'static [&'static str] {
        // No cross-attention layer reads it.
        &["EncDecAttention.relative_attention_bias"]
    }

    fn copies(&self) -> &'static [&'static str] {
        if self.scores.is_some() { &["embed_tokens.weight"] } else { &["embed_tokens.weight", "lm_head.weight"] }
    }
}
