//! Llama (Touvron et al., 2023) and its variants: decoders and encoders whose positions, norms, projections and blocks
//! differ. [`variants`], [`older`], [`learned`] and [`encoders`] have the options of each.

use super::causal::{DecoderInputs, Output};
use super::{Architecture, Head};
use crate::layers::{Activation, Alibi, CacheForm, DotProduct, Linear, NormKind, Rotary};
use crate::{Builder, Part, Settings, SettingsError, Task};
use stack::Stack;

mod encoders;
mod learned;
mod older;
mod options;
mod stack;
mod variants;

pub(super) use encoders::*;
pub(super) use learned::*;
pub(super) use older::*;
pub(super) use variants::*;

/// The sizes of a decoder.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    d_model: u64,
    heads: u64,
    kv_heads: u64,
    d_k: u64,
    d_ff: u64,
    layers: u64,
}

impl Sizes {
    /// Reads the usual options.
    fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let d_model = settings.size("hidden_size")?;
        let heads = settings.size("num_attention_heads")?;
        let kv_heads = settings.optional_size("num_key_value_heads")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(settings.wrong("num_key_value_heads", format!("a divisor of num_attention_heads, {heads}")));
        }
        let d_k = match settings.optional_size("head_dim")? {
            Some(d_k) => d_k,
            None => d_model / settings.heads("num_attention_heads", d_model)?,
        };
        let (d_ff, layers) = (settings.size("intermediate_size")?, settings.layers("num_hidden_layers")?);
        Ok(Self { d_model, heads, kv_heads, d_k, d_ff, layers })
    }
}

/// The names of modules that differ between variants, below the base and below a layer.
#[derive(Clone, Copy, Debug)]
struct Names {
    base: &'static str,
    words: &'static str,
    /// Of the norm after the embeddings.
    words_norm: Option<&'static str>,
    layers: &'static str,
    /// Of the norm after the layers.
    norm: Option<&'static str>,
    attention: &'static str,
    /// Of the output projection.
    output: &'static str,
    token_classifier: &'static str,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            base: "model",
            words: "embed_tokens",
            words_norm: None,
            layers: "layers",
            norm: Some("norm"),
            attention: "self_attn",
            output: "self_attn.o_proj",
            token_classifier: "score",
        }
    }
}

/// The layout of query, key and value.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Three layers of these names.
    Separate([&'static str; 3]),
    /// One layer of this name: all queries, all keys, all values.
    Packed(&'static str),
    /// One layer of this name: for each key-value head in turn its queries, its key and its value.
    Grouped(&'static str),
}

/// The feed-forward network of a variant.
#[derive(Clone, Copy, Debug)]
enum Feed {
    /// Gated, with three layers of these names: gate, up and down projection.
    Gated([&'static str; 3]),
    /// Gated; one layer is the gate and then the up projection.
    GateUp([&'static str; 2]),
    /// Gated; one layer is the up projection and then the gate.
    UpGate([&'static str; 2]),
    /// Two layers of these names.
    Plain([&'static str; 2]),
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug)]
enum HeadNorms {
    /// One weight for all heads.
    Shared(NormKind, [&'static str; 2]),
    /// A weight for each head.
    ByHead(NormKind, [&'static str; 2]),
    /// Over all heads together.
    Whole(NormKind, [&'static str; 2]),
}

/// The positions between which the distances of ALiBi are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    /// All tokens, padding too.
    All,
    /// Those of tokens that are not padding.
    Counted,
}

/// What differs between layers.
#[derive(Clone, Copy, Debug)]
struct LayerKind {
    window: Option<u64>,
    /// The index of its rotary positions; `None` without positions.
    rotary: Option<usize>,
}

/// Options that vary between variants.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of a family")]
struct Kind {
    sizes: Sizes,
    names: Names,
    /// The name and the number of learned positions.
    positions: Option<(&'static str, u64)>,
    /// Whether query, key, value and output have biases.
    bias: [bool; 4],
    /// Whether the first layers of the feed-forward network and its last one have biases.
    mlp_bias: [bool; 2],
    output_bias: bool,
    layout: Layout,
    feed: Feed,
    activation: Activation,
    norm: NormKind,
    epsilon: f32,
    /// The names of the norms before and after the attention, and before and after the feed-forward network.
    norms: [Option<&'static str>; 4],
    /// Whether the norms after the blocks come after the residual sums.
    norms_sums: bool,
    /// Whether the first layer has a norm before its attention.
    has_first_norm: bool,
    /// Whether attention and feed-forward network have the same input.
    is_parallel: bool,
    head_norms: Option<HeadNorms>,
    /// The largest absolute value of queries, keys and values.
    clip: Option<f32>,
    scores: DotProduct,
    /// Whether embeddings are multiplied by `sqrt(d_model)`.
    scales_words: bool,
    /// Another factor of embeddings.
    embedding_factor: f32,
    /// The factor of what a block adds.
    residual_factor: f32,
    output_factor: f32,
    output_softcap: Option<f32>,
    is_tied: bool,
    /// Whether tokens see later ones.
    is_bidirectional: bool,
    /// The biases by distance, and the positions between which it is.
    alibi: Option<(Alibi, Places)>,
    rotaries: Vec<Rotary>,
    layers: Vec<LayerKind>,
}

impl Kind {
    /// Returns the options of Llama without biases.
    fn new(sizes: Sizes, activation: Activation, epsilon: f32, rotary: Rotary) -> Self {
        Self {
            sizes,
            names: Names::default(),
            positions: None,
            bias: [false; 4],
            mlp_bias: [false; 2],
            output_bias: false,
            layout: Layout::Separate(["q_proj", "k_proj", "v_proj"]),
            feed: Feed::Gated(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]),
            activation,
            norm: NormKind::RmsNorm,
            epsilon,
            norms: options::BEFORE,
            norms_sums: false,
            has_first_norm: true,
            is_parallel: false,
            head_norms: None,
            clip: None,
            scores: DotProduct::new(sizes.d_k),
            scales_words: false,
            embedding_factor: 1.0,
            residual_factor: 1.0,
            output_factor: 1.0,
            output_softcap: None,
            is_tied: false,
            is_bidirectional: false,
            alibi: None,
            rotaries: vec![rotary],
            layers: (0..sizes.layers).map(|_| LayerKind { window: None, rotary: Some(0) }).collect(),
        }
    }
}

/// A decoder.
#[derive(Debug)]
struct Llama {
    stack: Stack,
    output: Output,
    cache: Option<CacheForm>,
    is_bidirectional: bool,
    alibi: Option<(Alibi, Places)>,
}

fn read(settings: &Settings, head: &Head<'_>, kind: &Kind) -> Result<Llama, SettingsError> {
    settings.must_be("is_decoder", false)?;
    settings.must_be("rope_interleaved", false)?;
    let &Kind { sizes, names, .. } = kind;
    // Models for question answering are saved with another prefix.
    let base = if head.task == Task::QuestionAnswering && head.weights.has("transformer.") {
        "transformer.".to_owned()
    } else {
        head.base(names.base)
    };
    let vocab = settings.size("vocab_size")?;
    let scores = Output::Tokens {
        layer: (!kind.is_tied).then(|| Linear::new("lm_head", sizes.d_model, vocab, kind.output_bias)),
        factor: kind.output_factor,
        softcap: kind.output_softcap,
    };
    Ok(Llama {
        stack: Stack::new(kind, &base, vocab),
        output: Output::read(settings, head, sizes.d_model, scores, names.token_classifier)?,
        cache: head.cache,
        is_bidirectional: kind.is_bidirectional,
        alibi: kind.alibi.clone(),
    })
}

impl Architecture for Llama {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let Stack { kv_heads, d_k, .. } = &self.stack;
        let inputs = DecoderInputs::declare(builder, self.cache, &self.windows(), *kv_heads, *d_k);
        let bias = self.alibi.as_ref().map(|(alibi, places)| {
            let [queries, keys] =
                if *places == Places::Counted { inputs.counted_positions() } else { inputs.all_positions() };
            alibi.forward(queries, keys)
        });
        let mask = |window| {
            let mask = if self.is_bidirectional { inputs.bidirectional_mask(window) } else { inputs.mask(window) };
            bias.map_or(mask, |bias| mask + bias)
        };
        let x =
            self.stack.forward(self.stack.words.forward(inputs.input_ids), inputs.position_ids, &inputs.cache, mask);
        self.output.declare(builder, &inputs, x, |x| self.stack.words.scores(x));
    }

    fn windows(&self) -> Vec<Option<u64>> {
        self.stack.windows()
    }

    fn has_cache(&self) -> bool {
        self.output.has_cache() && !self.is_bidirectional
    }

    fn leaves(&self) -> &'static [&'static str] {
        &[
            "rotary_emb.inv_freq",
            ".attn.bias",
            ".attn.masked_bias",
            ".attn.attention.bias",
            ".attn.attention.masked_bias",
        ]
    }

    fn copies(&self) -> &'static [&'static str] {
        self.output.copies()
    }
}
