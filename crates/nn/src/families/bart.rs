//! BART (Lewis et al., 2020), Marian, M2M-100, mBART, Pegasus, Blenderbot and Whisper: the paper's encoder-decoder with
//! other positions, norms and names.

use super::encoder_decoder::{EncoderDecoder, Output, SOURCE, Seq2Seq, Step};
use super::{Family, Head, ids, positions_of_tokens};
use crate::layers::{
    Activation, Cache, Embedding, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, Projections, Span,
};
use crate::{Builder, Init, Settings, SettingsError, Task, Var, signed};
use netwright_ir::tensor::Wave;
use netwright_ir::{Dim, Tensor};

/// BART and mBART-like models with norms after the blocks.
pub(super) const BART: Family = Family {
    name: "BART",
    model_types: &["bart"],
    example: Some("facebook/bart-base"),
    architectures: &[
        ("BartForConditionalGeneration", Task::Text2TextGeneration),
        ("BartModel", Task::FeatureExtraction),
        ("BartForSequenceClassification", Task::TextClassification),
        ("BartForQuestionAnswering", Task::QuestionAnswering),
    ],
    read: |settings, head| {
        // Old configurations have these options with their only possible value.
        settings.must_be("add_final_layer_norm", false)?;
        settings.must_be("normalize_before", false)?;
        settings.must_be("add_bias_logits", false)?;
        settings.must_be("normalize_embedding", true)?;
        settings.must_be("static_position_embeddings", false)?;
        settings.must_be("extra_pos_embeddings", 2)?;
        let kind = Kind { embedding_norm: true, scale: false, ..Kind::default() };
        let model = read(settings, head, &kind)?;
        let output = Output::read(settings, head, model.encoder.d_model, 2)?;
        Ok(Box::new(Seq2Seq::with_output(model, head, output)))
    },
};

/// Marian, used by the OPUS-MT models.
pub(super) const MARIAN: Family = Family {
    name: "Marian",
    model_types: &["marian"],
    example: Some("Helsinki-NLP/opus-mt-en-de"),
    architectures: &[("MarianMTModel", Task::Text2TextGeneration), ("MarianModel", Task::FeatureExtraction)],
    read: |settings, head| {
        settings.must_be("add_final_layer_norm", false)?;
        settings.must_be("normalize_before", false)?;
        settings.must_be("add_bias_logits", false)?;
        settings.must_be("normalize_embedding", false)?;
        settings.must_be("static_position_embeddings", true)?;
        settings.must_be("share_encoder_decoder_embeddings", true)?;
        let vocab = settings.size("vocab_size")?;
        settings.must_be("decoder_vocab_size", vocab)?;
        settings.must_be("extra_pos_embeddings", vocab)?;
        let kind = Kind { positions: sinusoids(head), ..Kind::default() };
        Ok(Box::new(Seq2Seq::new(read(settings, head, &kind)?, head)))
    },
};

/// M2M-100 and NLLB.
pub(super) const M2M_100: Family = Family {
    name: "M2M-100, NLLB",
    model_types: &["m2m_100"],
    example: Some("facebook/nllb-200-distilled-600M"),
    architectures: &[
        ("M2M100ForConditionalGeneration", Task::Text2TextGeneration),
        ("M2M100Model", Task::FeatureExtraction),
    ],
    read: |settings, head| {
        let padding = settings.token("pad_token_id")?.unwrap_or(1);
        let positions = Positions::Waves { padding };
        let kind = Kind {
            pre_norm: true,
            final_norm: true,
            positions,
            scale: true,
            activation: Activation::Relu,
            ..Kind::default()
        };
        Ok(Box::new(Seq2Seq::new(read(settings, head, &kind)?, head)))
    },
};

/// mBART and mBART-50.
pub(super) const MBART: Family = Family {
    name: "mBART",
    model_types: &["mbart"],
    example: Some("facebook/mbart-large-50-many-to-many-mmt"),
    architectures: &[
        ("MBartForConditionalGeneration", Task::Text2TextGeneration),
        ("MBartModel", Task::FeatureExtraction),
    ],
    read: |settings, head| {
        settings.must_be("static_position_embeddings", false)?;
        pre_norm(settings, true, 2)?;
        let kind = Kind { pre_norm: true, final_norm: true, embedding_norm: true, ..Kind::default() };
        Ok(Box::new(Seq2Seq::new(read(settings, head, &kind)?, head)))
    },
};

/// Pegasus.
pub(super) const PEGASUS: Family = Family {
    name: "Pegasus",
    model_types: &["pegasus"],
    example: Some("google/pegasus-xsum"),
    architectures: &[
        ("PegasusForConditionalGeneration", Task::Text2TextGeneration),
        ("PegasusModel", Task::FeatureExtraction),
    ],
    read: |settings, head| {
        settings.must_be("static_position_embeddings", true)?;
        pre_norm(settings, false, 1)?;
        let kind = Kind { pre_norm: true, final_norm: true, positions: sinusoids(head), ..Kind::default() };
        Ok(Box::new(Seq2Seq::new(read(settings, head, &kind)?, head)))
    },
};

/// Blenderbot.
pub(super) const BLENDERBOT: Family = Family {
    name: "Blenderbot",
    model_types: &["blenderbot"],
    example: Some("facebook/blenderbot-400M-distill"),
    architectures: &[
        ("BlenderbotForConditionalGeneration", Task::Text2TextGeneration),
        ("BlenderbotModel", Task::FeatureExtraction),
    ],
    read: |settings, head| {
        settings.must_be("static_position_embeddings", false)?;
        pre_norm(settings, false, 0)?;
        settings.must_be("layernorm_variant", "prelayernorm")?;
        settings.must_be("variant", "prelayernorm")?;
        settings.must_be("extra_layer_norm", false)?;
        // The norms have the same place with either value.
        settings.ignore(&["do_blenderbot_90_layernorm"]);
        let positions = Positions::Table { offset: 0 };
        let kind = Kind { pre_norm: true, final_norm: true, positions, ..Kind::default() };
        Ok(Box::new(Seq2Seq::new(read(settings, head, &kind)?, head)))
    },
};

/// Checks options of old configurations that have only one possible value in models with norms before the blocks.
fn pre_norm(settings: &Settings, embedding_norm: bool, extra_positions: u64) -> Result<(), SettingsError> {
    settings.must_be("add_final_layer_norm", true)?;
    settings.must_be("normalize_before", true)?;
    settings.must_be("normalize_embedding", embedding_norm)?;
    settings.must_be("add_bias_logits", false)?;
    settings.must_be("extra_pos_embeddings", extra_positions)
}

/// Returns sinusoidal positions, from the table of the weights if they have one.
fn sinusoids(head: &Head<'_>) -> Positions {
    let has_table = head.weights.has(&format!("{}encoder.embed_positions.", head.base("model")));
    if has_table { Positions::Table { offset: 0 } } else { Positions::Grouped }
}

/// Options that vary between BART variants.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of a family")]
pub(super) struct Kind {
    pub(super) pre_norm: bool,
    /// Whether a norm follows the last layer.
    pub(super) final_norm: bool,
    /// Whether a norm follows the embeddings.
    pub(super) embedding_norm: bool,
    pub(super) positions: Positions,
    /// Whether embeddings are scaled if the configuration does not say.
    pub(super) scale: bool,
    pub(super) activation: Activation,
    pub(super) key_bias: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            pre_norm: false,
            final_norm: false,
            embedding_norm: false,
            positions: Positions::Table { offset: 2 },
            scale: false,
            activation: Activation::Gelu,
            key_bias: true,
        }
    }
}

/// The source of position vectors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Positions {
    /// A trained table, with this many unused rows before the first position.
    Table { offset: u64 },
    /// Sinusoids, which are not trained.
    Grouped,
    /// Sinusoids; positions count tokens without padding, starting after the padding id.
    Waves { padding: u64 },
}

#[derive(Debug)]
struct Bart {
    source_embeddings: Embedding,
    target_embeddings: Embedding,
    encoder: Stack,
    decoder: Stack,
    scores: Option<Linear>,
    /// Whether the scores have a bias.
    has_bias: bool,
    vocab: u64,
}

/// An encoder or a decoder.
#[derive(Debug)]
pub(super) struct Stack {
    name: String,
    positions: Positions,
    longest: u64,
    d_model: u64,
    embedding_norm: Option<Norm>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    heads: u64,
}

#[derive(Debug)]
struct Layer {
    pre_norm: bool,
    attention: MultiHeadAttention,
    attention_norm: Norm,
    cross: Option<(MultiHeadAttention, Norm)>,
    ffn: FeedForward,
    ffn_norm: Norm,
}

fn read(settings: &Settings, head: &Head<'_>, kind: &Kind) -> Result<Bart, SettingsError> {
    let base = head.base("model");
    let vocab = settings.size("vocab_size")?;
    let longest = settings.size("max_position_embeddings")?;
    let encoder = stack(settings, kind, &format!("{base}encoder"), longest)?;
    let decoder = stack(settings, kind, &format!("{base}decoder"), longest)?;
    let scaled = settings.flag("scale_embedding", kind.scale)?;
    let tied = settings.flag("tie_word_embeddings", true)?;
    let d_model = encoder.d_model;
    let embeddings = |own: &str| {
        // Tied tables are one tensor under any of these names; untied tables have their own names, which are tried
        // first.
        let shared = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];
        let names = (!tied).then_some(own).into_iter().chain(shared).map(|name| format!("{base}{name}"));
        let stored = names.clone().find(|name| head.weights.has(&format!("{name}.weight")));
        let name = stored.unwrap_or_else(|| format!("{base}shared"));
        Embedding::new(name, vocab, d_model, scaled)
    };
    Ok(Bart {
        source_embeddings: embeddings("encoder.embed_tokens"),
        target_embeddings: embeddings("decoder.embed_tokens"),
        encoder,
        decoder,
        scores: (!tied).then(|| Linear::new("lm_head", d_model, vocab, false)),
        has_bias: head.weights.has("final_logits_bias"),
        vocab,
    })
}

/// Reads the encoder or the decoder, whichever `name` ends with.
pub(super) fn stack(settings: &Settings, kind: &Kind, name: &str, longest: u64) -> Result<Stack, SettingsError> {
    settings.must_be("is_encoder_decoder", true)?;
    settings.must_be("is_decoder", false)?;
    settings.ignore(&["num_hidden_layers", "classifier_dropout", "gradient_checkpointing"]);
    let is_decoder = name.ends_with("decoder");
    let part = if is_decoder { "decoder" } else { "encoder" };
    let d_model = settings.size("d_model")?;
    let heads = settings.heads(&format!("{part}_attention_heads"), d_model)?;
    let d_ff = settings.size(&format!("{part}_ffn_dim"))?;
    let count = settings.layers(&format!("{part}_layers"))?;
    let activation = settings.activation("activation_function", kind.activation)?;
    let norm = |name: String| Norm::new(name, NormKind::LayerNorm, d_model, 1e-5);
    let attention = |name: String| {
        let linear = |part: &str, bias| Linear::new(format!("{name}.{part}"), d_model, d_model, bias);
        let projections = Projections {
            query: linear("q_proj", true),
            key: linear("k_proj", kind.key_bias),
            value: linear("v_proj", true),
            output: linear("out_proj", true),
        };
        MultiHeadAttention::with_projections(name, projections, heads, d_model / heads)
    };
    let layer = |at: u64| {
        let name = format!("{name}.layers.{at}");
        let linear = |part: &str, inputs, outputs| Linear::new(format!("{name}.{part}"), inputs, outputs, true);
        let (up, down) = (linear("fc1", d_model, d_ff), linear("fc2", d_ff, d_model));
        let cross = || (attention(format!("{name}.encoder_attn")), norm(format!("{name}.encoder_attn_layer_norm")));
        Layer {
            pre_norm: kind.pre_norm,
            attention: attention(format!("{name}.self_attn")),
            attention_norm: norm(format!("{name}.self_attn_layer_norm")),
            cross: is_decoder.then(cross),
            ffn: FeedForward::with_layers(name.clone(), activation, up, down, None),
            ffn_norm: norm(format!("{name}.final_layer_norm")),
        }
    };
    Ok(Stack {
        name: name.to_owned(),
        positions: kind.positions,
        longest,
        d_model,
        embedding_norm: kind.embedding_norm.then(|| norm(format!("{name}.layernorm_embedding"))),
        layers: (0..count).map(layer).collect(),
        final_norm: kind.final_norm.then(|| norm(format!("{name}.layer_norm"))),
        heads,
    })
}

impl Stack {
    /// Returns the position vectors, `[seq, d_model]` or `[batch, seq, d_model]`.
    #[track_caller]
    pub(super) fn positions<'b>(&self, ids: Var<'b>, span: Span<'b>) -> Var<'b> {
        let builder = ids.builder();
        match self.positions {
            Positions::Table { offset } => {
                let name = format!("{}.embed_positions.weight", self.name);
                let table = builder.parameter(&name, &[self.longest + offset, self.d_model], Init::Xavier);
                let place = span.positions();
                let offset = signed(offset);
                table.gather(if offset == 0 { place } else { place + builder.index(offset) })
            }
            Positions::Grouped => {
                let table = builder.table("positions", || {
                    Tensor::sinusoidal(Wave::Grouped, self.longest, self.d_model)?.cast(builder.element())
                });
                table.gather(span.positions())
            }
            Positions::Waves { padding } => {
                let table = builder.table("positions", || {
                    Tensor::sinusoidal(Wave::Halves, self.longest + 2, self.d_model)?.cast(builder.element())
                });
                let padding = builder.index(signed(padding));
                let (positions, keep) = positions_of_tokens(ids, padding, span.past_length());
                // Padding has no position.
                table.gather(positions) * keep.cast(builder.element()).unsqueeze(&[2])
            }
        }
    }

    /// Returns the encoder's states for the sum of embeddings and positions.
    #[track_caller]
    pub(super) fn encode<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let mut x = self.embedding_norm.iter().fold(x, |x, norm| norm.forward(x));
        for layer in &self.layers {
            x = layer.around(x, &layer.attention_norm, |x| layer.attention.self_attention(x, mask));
            x = layer.around(x, &layer.ffn_norm, |x| layer.ffn.forward(x));
        }
        self.final_norm.iter().fold(x, |x, norm| norm.forward(x))
    }

    /// Returns the decoder's states for the sum of embeddings and positions.
    #[track_caller]
    pub(super) fn decode<'b>(&self, x: Var<'b>, step: &Step<'b>) -> Var<'b> {
        let mask = step.span.mask(None, None);
        let mut x = self.embedding_norm.iter().fold(x, |x, norm| norm.forward(x));
        for (at, layer) in self.layers.iter().enumerate() {
            let [own, other] = Step::entries(at);
            x = layer.around(x, &layer.attention_norm, |x| {
                layer.attention.cached_self_attention(x, Some(mask), &step.cache, &own)
            });
            if let Some((cross, norm)) = &layer.cross {
                x = layer.around(x, norm, |x| {
                    cross.cached_cross_attention(x, step.memory, step.padding, &step.cache, &other)
                });
            }
            x = layer.around(x, &layer.ffn_norm, |x| layer.ffn.forward(x));
        }
        self.final_norm.iter().fold(x, |x, norm| norm.forward(x))
    }

    /// Returns the number of layers, the number of heads and the width of a head.
    pub(super) fn cache(&self) -> [u64; 3] {
        [self.layers.len() as u64, self.heads, self.d_model / self.heads]
    }

    /// Returns the width of the states.
    pub(super) fn width(&self) -> Dim {
        Dim::Known(signed(self.d_model))
    }
}

impl Layer {
    /// Applies a block within its residual connection.
    #[track_caller]
    fn around<'b>(&self, x: Var<'b>, norm: &Norm, part: impl FnOnce(Var<'b>) -> Var<'b>) -> Var<'b> {
        if self.pre_norm { x + part(norm.forward(x)) } else { norm.forward(x + part(x)) }
    }
}

impl EncoderDecoder for Bart {
    fn source<'b>(&self, builder: &'b Builder<'b>) -> Var<'b> {
        builder.input("input_ids", ids(SOURCE))
    }

    fn encode<'b>(&self, source: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let span = Span::new(source, &Cache::none(source.builder()));
        self.encoder.encode(self.source_embeddings.forward(source) + self.encoder.positions(source, span), mask)
    }

    fn decode<'b>(&self, step: &Step<'b>) -> Var<'b> {
        let positions = self.decoder.positions(step.ids, step.span);
        self.decoder.decode(self.target_embeddings.forward(step.ids) + positions, step)
    }

    fn scores<'b>(&self, x: Var<'b>) -> Var<'b> {
        let scores = self.scores.as_ref().map_or_else(|| self.target_embeddings.scores(x), |layer| layer.forward(x));
        if !self.has_bias {
            return scores;
        }
        scores + x.builder().parameter("final_logits_bias", &[1, self.vocab], Init::Zeros)
    }

    fn memory(&self) -> [Dim; 2] {
        [Dim::symbol(SOURCE), self.encoder.width()]
    }

    fn cache(&self) -> [u64; 3] {
        self.decoder.cache()
    }

    fn leaves(&self) -> &'static [&'static str] {
        // Sinusoids are computed; the shared table is unused if encoder and decoder have their own tables.
        match (self.scores.is_some(), self.encoder.positions) {
            (true, Positions::Waves { .. }) => &["embed_positions.weights", "shared.weight"],
            (true, _) => &["shared.weight"],
            (false, Positions::Waves { .. }) => &["embed_positions.weights"],
            (false, Positions::Table { .. } | Positions::Grouped) => &[],
        }
    }

    fn copies(&self) -> &'static [&'static str] {
        if self.scores.is_some() { &[] } else { &["embed_tokens.weight", "lm_head.weight"] }
    }
}
