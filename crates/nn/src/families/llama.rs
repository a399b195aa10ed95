//! Llama (Touvron et al., 2023) and its variants: decoders with rotary positions whose norms, projections and blocks
//! differ. [`variants`] has the options of each.

use super::causal::{DecoderInputs, Output, times};
use super::{Architecture, Head};
use crate::layers::{
    Activation, DotProduct, Embedding, FeedForward, Linear, Norm, NormKind, Rotary, merge_heads, repeat_heads,
    split_heads,
};
use crate::{Builder, Part, Settings, SettingsError, Task, Var, signed};

mod options;
mod variants;

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
    layers: &'static str,
    norm: &'static str,
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
            layers: "layers",
            norm: "norm",
            attention: "self_attn",
            output: "o_proj",
            token_classifier: "score",
        }
    }
}

/// The layout of query, key and value.
#[derive(Clone, Copy, Debug, Default)]
enum Layout {
    /// Three layers.
    #[default]
    Separate,
    /// One layer: all queries, all keys, all values.
    Packed,
    /// One layer of this name: for each key-value head in turn its queries, its key and its value.
    Grouped(&'static str),
}

/// The feed-forward network of a variant.
#[derive(Clone, Copy, Debug, Default)]
enum Feed {
    /// Gated, with three layers.
    #[default]
    Gated,
    /// Gated; gate and up projection are one layer.
    Packed,
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
    /// Whether query, key, value and output have biases.
    bias: [bool; 4],
    mlp_bias: bool,
    output_bias: bool,
    layout: Layout,
    feed: Feed,
    activation: Activation,
    norm: NormKind,
    epsilon: f32,
    /// The names of the norms before and after the attention, and before and after the feed-forward network.
    norms: [Option<&'static str>; 4],
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
    rotaries: Vec<Rotary>,
    layers: Vec<LayerKind>,
}

impl Kind {
    /// Returns the options of Llama without biases.
    fn new(sizes: Sizes, activation: Activation, epsilon: f32, rotary: Rotary) -> Self {
        Self {
            sizes,
            names: Names::default(),
            bias: [false; 4],
            mlp_bias: false,
            output_bias: false,
            layout: Layout::Separate,
            feed: Feed::Gated,
            activation,
            norm: NormKind::RmsNorm,
            epsilon,
            norms: options::BEFORE,
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
            rotaries: vec![rotary],
            layers: (0..sizes.layers).map(|_| LayerKind { window: None, rotary: Some(0) }).collect(),
        }
    }
}

/// A decoder.
#[derive(Debug)]
struct Llama {
    embeddings: Embedding,
    embedding_factor: f32,
    rotaries: Vec<Rotary>,
    layers: Vec<Layer>,
    norm: Norm,
    output: Output,
    with_past: bool,
    is_bidirectional: bool,
    kv_heads: u64,
    d_k: u64,
}

#[derive(Debug)]
struct Layer {
    scope: String,
    entry: String,
    kind: LayerKind,
    attention: Attention,
    attention_norm: Option<Norm>,
    /// The norm after the attention, before the residual sum.
    attended_norm: Option<Norm>,
    mlp: Mlp,
    mlp_norm: Option<Norm>,
    /// The norm after the feed-forward network, before the residual sum.
    fed_norm: Option<Norm>,
    is_parallel: bool,
    factor: f32,
}

#[derive(Debug)]
struct Attention {
    projections: Projections,
    output: Linear,
    /// The norms of queries and keys, and whether they are over all heads together.
    norms: Option<([Norm; 2], bool)>,
    clip: Option<f32>,
    heads: u64,
    kv_heads: u64,
    d_k: u64,
    scores: DotProduct,
}

#[derive(Debug)]
enum Projections {
    Separate([Linear; 3]),
    Packed(Linear),
    Grouped(Linear),
}

#[derive(Debug)]
enum Mlp {
    Layers(FeedForward),
    Packed { gate_up: Linear, down: Linear, d_ff: u64, activation: Activation },
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
    let layer =
        |(at, layer): (usize, &LayerKind)| Layer::new(kind, *layer, at, &format!("{base}{}.{at}", names.layers));
    let scores = Output::Tokens {
        layer: (!kind.is_tied).then(|| Linear::new("lm_head", sizes.d_model, vocab, kind.output_bias)),
        factor: kind.output_factor,
        softcap: kind.output_softcap,
    };
    Ok(Llama {
        embeddings: Embedding::new(format!("{base}{}", names.words), vocab, sizes.d_model, kind.scales_words),
        embedding_factor: kind.embedding_factor,
        rotaries: kind.rotaries.clone(),
        layers: kind.layers.iter().enumerate().map(layer).collect(),
        norm: Norm::new(format!("{base}{}", names.norm), kind.norm, sizes.d_model, kind.epsilon),
        output: Output::read(settings, head, sizes.d_model, scores, names.token_classifier)?,
        with_past: head.with_past,
        is_bidirectional: kind.is_bidirectional,
        kv_heads: sizes.kv_heads,
        d_k: sizes.d_k,
    })
}

impl Layer {
    fn new(kind: &Kind, layer: LayerKind, at: usize, name: &str) -> Self {
        let &Kind { sizes: Sizes { d_model, heads, kv_heads, d_k, d_ff, .. }, activation, epsilon, .. } = kind;
        let linear = |part: &str, inputs, outputs, bias| Linear::new(format!("{name}.{part}"), inputs, outputs, bias);
        let scope = format!("{name}.{}", kind.names.attention);
        let projection = |part: &str, outputs, bias| Linear::new(format!("{scope}.{part}"), d_model, outputs, bias);
        let (queries, keys) = (heads * d_k, kv_heads * d_k);
        let [q_bias, k_bias, v_bias, o_bias] = kind.bias;
        let projections = match kind.layout {
            Layout::Separate => Projections::Separate([
                projection("q_proj", queries, q_bias),
                projection("k_proj", keys, k_bias),
                projection("v_proj", keys, v_bias),
            ]),
            Layout::Packed => Projections::Packed(projection("qkv_proj", queries + 2 * keys, q_bias)),
            Layout::Grouped(part) => Projections::Grouped(projection(part, queries + 2 * keys, q_bias)),
        };
        let head_norms = |norm: NormKind, names: [&str; 2], widths: [u64; 2]| {
            [0, 1].map(|at| Norm::new(format!("{scope}.{}", names[at]), norm, widths[at], epsilon))
        };
        let norms = kind.head_norms.map(|norms| match norms {
            HeadNorms::Shared(norm, names) => (head_norms(norm, names, [d_k; 2]), false),
            HeadNorms::Whole(norm, names) => (head_norms(norm, names, [queries, keys]), true),
            HeadNorms::ByHead(norm, names) => {
                let [query, key] = head_norms(norm, names, [d_k; 2]);
                ([query.by_head(heads), key.by_head(kv_heads)], false)
            }
        });
        let plain = |up: Linear, down: Linear, gate| {
            Mlp::Layers(FeedForward::with_layers(format!("{name}.mlp"), activation, up, down, gate))
        };
        let mlp = match kind.feed {
            Feed::Gated => {
                let [gate, up] =
                    ["mlp.gate_proj", "mlp.up_proj"].map(|part| linear(part, d_model, d_ff, kind.mlp_bias));
                plain(up, linear("mlp.down_proj", d_ff, d_model, kind.mlp_bias), Some(gate))
            }
            Feed::Packed => {
                let gate_up = linear("mlp.gate_up_proj", d_model, 2 * d_ff, kind.mlp_bias);
                Mlp::Packed { gate_up, down: linear("mlp.down_proj", d_ff, d_model, kind.mlp_bias), d_ff, activation }
            }
            Feed::Plain([up, down]) => {
                plain(linear(up, d_model, d_ff, kind.mlp_bias), linear(down, d_ff, d_model, kind.mlp_bias), None)
            }
        };
        let [attention_norm, attended_norm, mlp_norm, fed_norm] =
            kind.norms.map(|part| part.map(|part| Norm::new(format!("{name}.{part}"), kind.norm, d_model, epsilon)));
        let output = linear(&format!("{}.{}", kind.names.attention, kind.names.output), queries, d_model, o_bias);
        let (clip, scores) = (kind.clip, kind.scores);
        Self {
            entry: at.to_string(),
            kind: layer,
            attention: Attention { projections, output, norms, clip, heads, kv_heads, d_k, scores },
            attention_norm,
            attended_norm,
            mlp,
            mlp_norm,
            fed_norm,
            is_parallel: kind.is_parallel,
            factor: kind.residual_factor,
            scope,
        }
    }

    #[track_caller]
    fn forward<'b>(
        &self,
        x: Var<'b>,
        inputs: &DecoderInputs<'b>,
        rotary: Option<(&Rotary, (Var<'b>, Var<'b>))>,
        mask: Var<'b>,
    ) -> Var<'b> {
        let norm = |norm: &Option<Norm>, x: Var<'b>| norm.as_ref().map_or(x, |norm| norm.forward(x));
        let normed = norm(&self.attention_norm, x);
        let _scope = x.builder.enter(&self.scope);
        let attended = self.attention.forward(normed, inputs, &self.entry, rotary, mask);
        let attended = x + times(norm(&self.attended_norm, attended), self.factor);
        let source = match (self.is_parallel, &self.mlp_norm) {
            (true, None) => normed,
            (true, Some(norm)) => norm.forward(x),
            (false, own) => norm(own, attended),
        };
        attended + times(norm(&self.fed_norm, self.mlp.forward(source)), self.factor)
    }
}

impl Architecture for Llama {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let inputs = DecoderInputs::declare(builder, self.with_past, self.layers.len() as u64, self.kv_heads, self.d_k);
        let mut x = times(self.embeddings.forward(inputs.input_ids), self.embedding_factor);
        let used = |at: usize| self.layers.iter().any(|layer| layer.kind.rotary == Some(at));
        let table = |(at, rotary): (usize, &Rotary)| used(at).then(|| rotary.tables(inputs.position_ids));
        let tables: Vec<_> = self.rotaries.iter().enumerate().map(table).collect();
        let mut masks: Vec<(Option<u64>, Var<'b>)> = vec![];
        for layer in &self.layers {
            let window = layer.kind.window;
            let known = masks.iter().find(|(other, _)| *other == window).map(|(_, mask)| *mask);
            let mask = known.unwrap_or_else(|| {
                if self.is_bidirectional { inputs.bidirectional_mask(window) } else { inputs.mask(window) }
            });
            if known.is_none() {
                masks.push((window, mask));
            }
            let rotary = layer.kind.rotary.and_then(|at| Some((&self.rotaries[at], tables[at]?)));
            x = layer.forward(x, &inputs, rotary, mask);
        }
        let x = self.norm.forward(x);
        self.output.declare(builder, &inputs, x, |x| self.embeddings.scores(x));
    }

    fn has_cache(&self) -> bool {
        self.output.has_cache() && !self.is_bidirectional
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"]
    }

    fn copies(&self) -> &'static [&'static str] {
        self.output.copies()
    }
}

impl Attention {
    #[track_caller]
    fn forward<'b>(
        &self,
        x: Var<'b>,
        inputs: &DecoderInputs<'b>,
        entry: &str,
        rotary: Option<(&Rotary, (Var<'b>, Var<'b>))>,
        mask: Var<'b>,
    ) -> Var<'b> {
        let [query, key, value] = self.project(x);
        let turn = |x: Var<'b>| rotary.map_or(x, |(rotary, turned)| rotary.rotate(x, turned, self.d_k));
        let (query, key) = (turn(query), turn(key));
        let (key, value) = inputs.cache.extend(entry, key, value);
        let [key, value] = [key, value].map(|x| repeat_heads(x, self.kv_heads, self.heads / self.kv_heads, self.d_k));
        let (context, _) = self.scores.attend(query, key, value, Some(mask));
        self.output.forward(merge_heads(context))
    }

    /// Returns queries, keys and values, `[batch, heads, seq, d_k]`.
    #[track_caller]
    fn project<'b>(&self, x: Var<'b>) -> [Var<'b>; 3] {
        let (queries, keys) = (self.heads * self.d_k, self.kv_heads * self.d_k);
        let projected = match &self.projections {
            Projections::Separate(layers) => layers.each_ref().map(|layer| layer.forward(x)),
            Projections::Packed(layer) => layer.forward(x).split(-1, [queries, keys, keys]),
            Projections::Grouped(layer) => {
                let group = self.heads / self.kv_heads;
                let sizes = [0, 0, self.kv_heads, group + 2, self.d_k].map(signed);
                layer.forward(x).reshape(&sizes).split(3, [group, 1, 1]).map(|part| part.reshape(&[0, 0, -1]))
            }
        };
        let clip = |x: Var<'b>| match self.clip {
            Some(most) => x.max(x.builder.scalar("least", -most)).min(x.builder.scalar("most", most)),
            None => x,
        };
        let [query, key, value] = projected.map(clip);
        let split = |x: Var<'b>, heads, norm: Option<(&Norm, bool)>| match norm {
            Some((norm, false)) => {
                let sizes = [0, 0, heads, self.d_k].map(signed);
                norm.forward(x.reshape(&sizes)).transpose(&[0, 2, 1, 3])
            }
            Some((norm, true)) => split_heads(norm.forward(x), heads, self.d_k),
            None => split_heads(x, heads, self.d_k),
        };
        let norm = |at: usize| self.norms.as_ref().map(|(norms, is_whole)| (&norms[at], *is_whole));
        [split(query, self.heads, norm(0)), split(key, self.kv_heads, norm(1)), split(value, self.kv_heads, None)]
    }
}

impl Mlp {
    #[track_caller]
    fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        match self {
            Mlp::Layers(layers) => layers.forward(x),
            Mlp::Packed { gate_up, down, d_ff, activation } => {
                let [gate, up] = gate_up.forward(x).split(-1, [*d_ff, *d_ff]);
                down.forward(up * activation.forward(gate))
            }
        }
    }
}
