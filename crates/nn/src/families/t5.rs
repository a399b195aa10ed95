//! T5 (Raffel et al., 2020): relative position biases, unscaled scores, and RMS norms before the blocks.

use super::encoder_decoder::{EncoderDecoder, Output, SOURCE, Seq2Seq, Step};
use super::{Family, Head, ids};
use crate::layers::{
    Activation, Cache, DotProduct, Embedding, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, Projections,
    RelativeBias, Span,
};
use crate::{Builder, Settings, SettingsError, Task, Var, signed};
use netwright_ir::Dim;

/// T5, T5 1.1 and FLAN-T5.
pub(super) const T5: Family = Family {
    name: "T5",
    model_types: &["t5"],
    architectures: &[
        ("T5ForConditionalGeneration", Task::Text2TextGeneration),
        ("T5WithLMHeadModel", Task::Text2TextGeneration),
        ("T5Model", Task::FeatureExtraction),
        ("T5EncoderModel", Task::FeatureExtraction),
        ("T5ForSequenceClassification", Task::TextClassification),
        ("T5ForTokenClassification", Task::TokenClassification),
        ("T5ForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        let model = read(settings, head)?;
        let output = Output::read(settings, head, model.d_model, 1)?;
        Ok(Box::new(Seq2Seq::with_output(model, head, output)))
    },
};

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
    bias: RelativeBias,
    layers: Vec<Layer>,
    norm: Norm,
}

#[derive(Debug)]
struct Layer {
    attention: MultiHeadAttention,
    attention_norm: Norm,
    cross: Option<(MultiHeadAttention, Norm)>,
    ffn: FeedForward,
    ffn_norm: Norm,
}

fn read(settings: &Settings, head: &Head<'_>) -> Result<T5Model, SettingsError> {
    // Encoders on their own are saved under either name.
    settings.ignore(&[
        "is_encoder_decoder",
        "n_positions",
        "output_past",
        "is_decoder",
        "is_gated_act",
        "dense_act_fn",
    ]);
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
        let layer = |at: u64| {
            let name = format!("{stack}.block.{at}.layer");
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
                attention: attention(format!("{name}.0.SelfAttention")),
                attention_norm: norm(format!("{name}.0.layer_norm")),
                cross: is_decoder.then(cross),
                ffn: FeedForward::with_layers(dense.clone(), activation, up, linear("wo", d_ff, d_model), gate),
                ffn_norm: norm(format!("{name}.{ffn}.layer_norm")),
            }
        };
        Stack {
            bias: RelativeBias {
                name: format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"),
                buckets,
                max_distance,
                heads,
                bidirectional: !is_decoder,
            },
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
    let own_scores = !tied && head.weights.has("lm_head.");
    #[expect(clippy::cast_possible_truncation, reason = "the scale is applied in f32")]
    let scale = tied.then(|| (d_model as f64).powf(-0.5) as f32);
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

impl EncoderDecoder for T5Model {
    fn source<'b>(&self, builder: &'b Builder<'b>) -> Var<'b> {
        builder.input("input_ids", ids(SOURCE))
    }

    fn encode<'b>(&self, source: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let span = Span::new(source, &Cache::none(source.builder()));
        let bias = self.encoder.bias.forward(span);
        let bias = mask.map_or(bias, |mask| bias + mask);
        let mut x = self.embeddings.forward(source);
        for layer in &self.encoder.layers {
            x = x + layer.attention.self_attention(layer.attention_norm.forward(x), Some(bias));
            x = x + layer.ffn.forward(layer.ffn_norm.forward(x));
        }
        self.encoder.norm.forward(x)
    }

    fn decode<'b>(&self, step: &Step<'b>) -> Var<'b> {
        let bias = self.decoder.bias.forward(step.span) + step.span.mask(None, None);
        let mut x = self.embeddings.forward(step.ids);
        for (at, layer) in self.decoder.layers.iter().enumerate() {
            let [own, other] = Step::entries(at);
            x = x + layer.attention.cached_self_attention(
                layer.attention_norm.forward(x),
                Some(bias),
                &step.cache,
                &own,
            );
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
