//! The encoder-decoder of "Attention Is All You Need".

use crate::config::{Config, RangeError};
use crate::decoder::{Decoder, entries};
use crate::encoder::Encoder;
use crate::families::{Architecture, Head};
use crate::layers::{Cache, Embedding, Linear, Positions, Span, cache_type, causal_mask, padding_mask};
use crate::{BuildErrors, Builder, Settings, SettingsError, Var, Weights, signed};
use netwright_ir::{Dim, ElementType, Graph, TensorType, shape};

/// A graph of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `input_ids`, `attention_mask` `[batch, source]` to `last_hidden_state` `[batch, source, d_model]`.
    Encoder,
    /// `decoder_input_ids` `[batch, target]`, `encoder_hidden_states` `[batch, source, d_model]`,
    /// `encoder_attention_mask` `[batch, source]` to `logits` `[batch, target, vocab]`, in one pass over the target.
    Decoder,
    /// A decode step of the decoder, with a KV cache: without `encoder_hidden_states`, whose keys and values are in the
    /// cache.
    DecoderWithPast,
    /// The whole model in one graph; for the paper's model `input_ids`, `attention_mask`, `decoder_input_ids` to
    /// `logits`.
    Whole,
}

/// An encoder-decoder with its embeddings and generator, declared once for all its graphs.
///
/// ```
/// use netwright_nn::{Config, Part, Transformer, Weights};
/// let config = Config { encoder_layers: 1, decoder_layers: 1, ..Config::transformer_base() };
/// let transformer = Transformer::new(&config)?;
/// let encoder = transformer.build(Part::Encoder, &Weights::Random { seed: 0 }, false)?;
/// assert_eq!(encoder.outputs()[0].name.as_ref(), "last_hidden_state");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Transformer {
    d_model: u64,
    layers: u64,
    heads: u64,
    /// Whether the decoder of the first step returns its KV cache.
    with_past: bool,
    source_embedding: Embedding,
    target_embedding: Embedding,
    encoder_positions: Positions,
    decoder_positions: Positions,
    encoder: Encoder,
    decoder: Decoder,
    /// `None` if the target embedding computes the scores.
    generator: Option<Linear>,
}

impl Transformer {
    /// Creates the model of a configuration.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: &Config) -> Result<Self, RangeError> {
        config.check()?;
        let embedding = |name: &str| {
            let name = if config.tie_embeddings { "shared" } else { name };
            Embedding::new(name, config.vocab_size, config.d_model, config.scale_embedding)
        };
        Ok(Self {
            d_model: config.d_model,
            layers: config.decoder_layers,
            heads: config.num_heads,
            with_past: false,
            source_embedding: embedding("encoder.embed_tokens"),
            target_embedding: embedding("decoder.embed_tokens"),
            encoder_positions: config.positions("encoder.embed_positions"),
            decoder_positions: config.positions("decoder.embed_positions"),
            encoder: Encoder::new("encoder", config),
            decoder: Decoder::new("decoder", config),
            generator: (!config.tie_embeddings)
                .then(|| Linear::new("generator", config.d_model, config.vocab_size, true)),
        })
    }

    /// Returns the encoder's states: ids and mask `[batch, source]` to `[batch, source, d_model]`.
    #[track_caller]
    pub fn encode<'b>(&self, input_ids: Var<'b>, attention_mask: Var<'b>) -> Var<'b> {
        let mask = padding_mask(attention_mask);
        let x = self.encoder_positions.forward(self.source_embedding.forward(input_ids));
        self.encoder.forward(x, Some(mask))
    }

    /// Returns the scores of next tokens, `[batch, target, vocab]`.
    #[track_caller]
    pub fn decode<'b>(&self, decoder_input_ids: Var<'b>, memory: Var<'b>, memory_mask: Var<'b>) -> Var<'b> {
        let (causal, padding) = (causal_mask(decoder_input_ids), padding_mask(memory_mask));
        let x = self.decoder_positions.forward(self.target_embedding.forward(decoder_input_ids));
        self.scores(self.decoder.forward(x, memory, Some(causal), Some(padding)))
    }

    /// Returns the scores of next tokens with a KV cache; decode steps have no memory.
    #[track_caller]
    fn decode_cached<'b>(
        &self,
        decoder_input_ids: Var<'b>,
        memory: Option<Var<'b>>,
        memory_mask: Var<'b>,
        cache: &Cache<'b>,
    ) -> Var<'b> {
        let span = Span::new(decoder_input_ids, cache);
        let (causal, padding) = (span.mask(None, None), padding_mask(memory_mask));
        let embedded = self.target_embedding.forward(decoder_input_ids);
        let x = self.decoder_positions.forward_at(embedded, || span.positions());
        self.scores(self.decoder.cached_forward(x, memory, Some(causal), Some(padding), cache))
    }

    #[track_caller]
    fn scores<'b>(&self, x: Var<'b>) -> Var<'b> {
        match &self.generator {
            Some(generator) => generator.forward(x),
            None => self.target_embedding.scores(x),
        }
    }

    /// Builds one of its graphs; with `attention_weights`, the attention weights of every layer are outputs too.
    ///
    /// # Errors
    /// If weights are missing or have another shape.
    pub fn build(&self, part: Part, weights: &Weights, attention_weights: bool) -> Result<Graph, BuildErrors> {
        let builder = Builder::new(part.name(), weights);
        self.declare(&builder, part);
        if attention_weights {
            builder.output_attention_weights();
        }
        builder.finish()
    }

    /// Reads a `config.json`.
    pub(crate) fn from_settings(settings: &Settings, head: &Head<'_>) -> Result<Box<dyn Architecture>, SettingsError> {
        let config: Config = settings.deserialize()?;
        let mut transformer =
            Self::new(&config).map_err(|RangeError { option, law, .. }| settings.wrong(option, law))?;
        transformer.with_past = head.cache.is_some();
        Ok(Box::new(transformer))
    }
}

impl Architecture for Transformer {
    fn declare<'b>(&self, builder: &'b Builder<'b>, part: Part) {
        let ids =
            |name: &str, length: &str| builder.input(name, TensorType::new(ElementType::I64, shape!["batch", length]));
        match part {
            Part::Encoder => {
                let state = self.encode(ids("input_ids", "source"), ids("attention_mask", "source"));
                builder.output("last_hidden_state", state);
            }
            Part::Decoder => {
                let target = ids("decoder_input_ids", "target");
                let d_model = signed(self.d_model);
                let memory = TensorType::new(builder.element(), shape!["batch", "source", d_model]);
                let memory = builder.input("encoder_hidden_states", memory);
                let mask = ids("encoder_attention_mask", "source");
                if self.with_past {
                    let cache = Cache::first(builder);
                    builder.output("logits", self.decode_cached(target, Some(memory), mask, &cache));
                    cache.outputs();
                } else {
                    builder.output("logits", self.decode(target, memory, mask));
                }
            }
            Part::Whole => {
                let (source, mask) = (ids("input_ids", "source"), ids("attention_mask", "source"));
                let target = ids("decoder_input_ids", "target");
                builder.output("logits", self.decode(target, self.encode(source, mask), mask));
            }
            Part::DecoderWithPast => {
                let target = ids("decoder_input_ids", "target");
                let mask = ids("encoder_attention_mask", "source");
                let (batch, width) = (Dim::symbol("batch"), self.d_model / self.heads.max(1));
                let entry = |name: String, length: &str| {
                    (name, cache_type(builder, &batch, self.heads, &Dim::symbol(length), width))
                };
                let layers = (0..self.layers).map(|layer| entries(usize::try_from(layer).unwrap_or(usize::MAX)));
                let cache =
                    Cache::later(builder, layers.flat_map(|[own, cross]| [entry(own, "past"), entry(cross, "source")]));
                builder.output("logits", self.decode_cached(target, None, mask, &cache));
                cache.outputs();
            }
        }
    }

    fn is_encoder_decoder(&self) -> bool {
        true
    }

    fn has_cache(&self) -> bool {
        true
    }
}

impl Part {
    /// Returns the name of the graph.
    pub fn name(self) -> &'static str {
        match self {
            Part::Encoder => "encoder",
            Part::Decoder => "decoder",
            Part::DecoderWithPast => "decoder_with_past",
            Part::Whole => "model",
        }
    }
}
