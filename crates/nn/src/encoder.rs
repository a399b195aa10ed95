//! The encoder of the paper, and residual connections.

use crate::Var;
use crate::config::{Config, NormPlacement};
use crate::layers::{FeedForward, MultiHeadAttention, Norm};

/// A residual connection with its norm: `norm(x + f(x))`, or `x + f(norm(x))` with the norm first.
#[derive(Clone, Debug)]
pub(crate) struct Residual {
    norm: Norm,
    placement: NormPlacement,
}

impl Residual {
    pub(crate) fn new(name: String, config: &Config) -> Self {
        Self { norm: config.norm(name), placement: config.norm }
    }

    /// Returns the input of `f`.
    #[track_caller]
    pub(crate) fn before<'b>(&self, x: Var<'b>) -> Var<'b> {
        if self.placement == NormPlacement::Pre { self.norm.forward(x) } else { x }
    }

    /// Returns the result of the connection for `y = f(x)`.
    #[track_caller]
    pub(crate) fn after<'b>(&self, x: Var<'b>, y: Var<'b>) -> Var<'b> {
        if self.placement == NormPlacement::Pre { x + y } else { self.norm.forward(x + y) }
    }
}

/// An encoder layer: self-attention and feed-forward, each with a residual connection and a norm (paper, 3.1):
/// `[batch, seq, d_model]` to the same.
///
/// Parameters: those of `self_attn`, `norm1`, `ffn` and `norm2`.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    name: String,
    self_attn: MultiHeadAttention,
    residual1: Residual,
    ffn: FeedForward,
    residual2: Residual,
}

impl EncoderLayer {
    /// Creates a layer.
    pub fn new(name: impl Into<String>, config: &Config) -> Self {
        let name = name.into();
        Self {
            self_attn: config.attention(format!("{name}.self_attn")),
            residual1: Residual::new(format!("{name}.norm1"), config),
            ffn: config.feed_forward(format!("{name}.ffn")),
            residual2: Residual::new(format!("{name}.norm2"), config),
            name,
        }
    }

    /// Applies the layers; the mask is added to the attention scores.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let attended = self.self_attn.self_attention(self.residual1.before(x), mask);
        let x = self.residual1.after(x, attended);
        let transformed = self.ffn.forward(self.residual2.before(x));
        self.residual2.after(x, transformed)
    }
}

/// A stack of encoder layers: `[batch, seq, d_model]` to the same. With the norm first, a final norm follows.
#[derive(Clone, Debug)]
pub struct Encoder {
    name: String,
    layers: Vec<EncoderLayer>,
    final_norm: Option<Norm>,
}

impl Encoder {
    /// Creates a stack.
    pub fn new(name: impl Into<String>, config: &Config) -> Self {
        let name = name.into();
        Self {
            layers: (0..config.encoder_layers)
                .map(|at| EncoderLayer::new(format!("{name}.layers.{at}"), config))
                .collect(),
            final_norm: config.final_norm(format!("{name}.norm")),
            name,
        }
    }

    /// Applies the layers; the mask is added to the attention scores.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let mut x = x;
        for layer in &self.layers {
            x = layer.forward(x, mask);
        }
        self.final_norm.as_ref().map_or(x, |norm| norm.forward(x))
    }
}
