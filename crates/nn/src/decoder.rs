//! The decoder of the paper.

use crate::Var;
use crate::config::Config;
use crate::encoder::Residual;
use crate::layers::{Cache, FeedForward, MultiHeadAttention, Norm};

/// A decoder layer: self-attention, cross-attention over the memory and feed-forward, each with a residual connection
/// and a norm (paper, 3.1): `[batch, target, d_model]` to the same.
///
/// Parameters: those of `self_attn`, `norm1`, `cross_attn`, `norm2`, `ffn` and `norm3`.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    name: String,
    self_attn: MultiHeadAttention,
    residual1: Residual,
    cross_attn: MultiHeadAttention,
    residual2: Residual,
    ffn: FeedForward,
    residual3: Residual,
}

impl DecoderLayer {
    /// Creates a layer.
    pub fn new(name: impl Into<String>, config: &Config) -> Self {
        let name = name.into();
        Self {
            self_attn: config.attention(format!("{name}.self_attn")),
            residual1: Residual::new(format!("{name}.norm1"), config),
            cross_attn: config.attention(format!("{name}.cross_attn")),
            residual2: Residual::new(format!("{name}.norm2"), config),
            ffn: config.feed_forward(format!("{name}.ffn")),
            residual3: Residual::new(format!("{name}.norm3"), config),
            name,
        }
    }

    /// Applies the layers; `mask` is added to the scores over the target, `memory_mask` to those over the memory.
    #[track_caller]
    pub fn forward<'b>(
        &self,
        x: Var<'b>,
        memory: Var<'b>,
        mask: Option<Var<'b>>,
        memory_mask: Option<Var<'b>>,
    ) -> Var<'b> {
        self.cached_forward(x, Some(memory), mask, memory_mask, &Cache::none(x.builder), 0)
    }

    /// Applies the layers with the entries `N.decoder` and `N.encoder` of a KV cache, where `N` is `layer`. Decode steps
    /// have no memory: they read its keys and values from the cache.
    #[track_caller]
    pub fn cached_forward<'b>(
        &self,
        x: Var<'b>,
        memory: Option<Var<'b>>,
        mask: Option<Var<'b>>,
        memory_mask: Option<Var<'b>>,
        cache: &Cache<'b>,
        layer: usize,
    ) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let [own, cross] = entries(layer);
        let attended = self.self_attn.cached_self_attention(self.residual1.before(x), mask, cache, &own);
        let x = self.residual1.after(x, attended);
        let before = self.residual2.before(x);
        let attended = self.cross_attn.cached_cross_attention(before, memory, memory_mask, cache, &cross);
        let x = self.residual2.after(x, attended);
        let transformed = self.ffn.forward(self.residual3.before(x));
        self.residual3.after(x, transformed)
    }
}

/// Returns the names of the cache entries of a layer: those of self-attention and of cross-attention.
pub(crate) fn entries(layer: usize) -> [String; 2] {
    [format!("{layer}.decoder"), format!("{layer}.encoder")]
}

/// A stack of decoder layers: `[batch, target, d_model]` to the same. With the norm first, a final norm follows.
#[derive(Clone, Debug)]
pub struct Decoder {
    name: String,
    layers: Vec<DecoderLayer>,
    final_norm: Option<Norm>,
}

impl Decoder {
    /// Creates a stack.
    pub fn new(name: impl Into<String>, config: &Config) -> Self {
        let name = name.into();
        Self {
            layers: (0..config.decoder_layers)
                .map(|at| DecoderLayer::new(format!("{name}.layers.{at}"), config))
                .collect(),
            final_norm: config.final_norm(format!("{name}.norm")),
            name,
        }
    }

    /// Applies the layers; `mask` is added to the scores over the target, `memory_mask` to those over the memory.
    #[track_caller]
    pub fn forward<'b>(
        &self,
        x: Var<'b>,
        memory: Var<'b>,
        mask: Option<Var<'b>>,
        memory_mask: Option<Var<'b>>,
    ) -> Var<'b> {
        self.cached_forward(x, Some(memory), mask, memory_mask, &Cache::none(x.builder))
    }

    /// Applies the layers with a KV cache; see [`DecoderLayer::cached_forward`].
    #[track_caller]
    pub fn cached_forward<'b>(
        &self,
        x: Var<'b>,
        memory: Option<Var<'b>>,
        mask: Option<Var<'b>>,
        memory_mask: Option<Var<'b>>,
        cache: &Cache<'b>,
    ) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let mut x = x;
        for (at, layer) in self.layers.iter().enumerate() {
            x = layer.cached_forward(x, memory, mask, memory_mask, cache, at);
        }
        self.final_norm.as_ref().map_or(x, |norm| norm.forward(x))
    }
}
