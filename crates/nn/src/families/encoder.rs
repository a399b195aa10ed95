//! Encoder layers, shared by families whose checkpoints differ in names.

use crate::layers::{Activation, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, Projections};
use crate::{Settings, SettingsError, Var};

/// A layer of attention and feed-forward, each with a norm before or after it.
#[derive(Debug)]
pub(super) struct Layer {
    attention: MultiHeadAttention,
    attention_norm: Norm,
    ffn: FeedForward,
    ffn_norm: Norm,
}

/// The names of the parts of a layer.
pub(super) struct LayerNames {
    /// Query, key, value and output.
    pub(super) attention: [&'static str; 4],
    pub(super) norms: [&'static str; 2],
    pub(super) ffn: [&'static str; 2],
}

/// The configuration of the layers.
#[derive(Clone, Copy)]
pub(super) struct LayerSizes {
    pub(super) count: u64,
    pub(super) d_model: u64,
    pub(super) heads: u64,
    pub(super) d_ff: u64,
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    pub(super) qkv_bias: bool,
}

impl LayerSizes {
    /// Reads the usual options, with biases; `activation` and `epsilon` are the defaults.
    pub(super) fn read(settings: &Settings, activation: Activation, epsilon: f64) -> Result<Self, SettingsError> {
        let d_model = settings.size("hidden_size")?;
        Ok(Self {
            count: settings.layers("num_hidden_layers")?,
            d_model,
            heads: settings.heads("num_attention_heads", d_model)?,
            d_ff: settings.size("intermediate_size")?,
            activation: settings.activation("hidden_act", activation)?,
            epsilon: settings.epsilon("layer_norm_eps", epsilon)?,
            qkv_bias: true,
        })
    }

    /// Returns the configuration of another number of layers.
    pub(super) fn of(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// Creates the layers of a stack from the prefix of their names.
    pub(super) fn layers(&self, stack: &str, names: &LayerNames) -> Vec<Layer> {
        (0..self.count).map(|at| self.layer(&format!("{stack}.{at}"), names)).collect()
    }

    fn layer(&self, name: &str, names: &LayerNames) -> Layer {
        let &Self { d_model, heads, d_ff, activation, epsilon, qkv_bias, .. } = self;
        let linear = |part: &str, inputs, outputs, bias| Linear::new(format!("{name}.{part}"), inputs, outputs, bias);
        let norm = |part: &str| Norm::new(format!("{name}.{part}"), NormKind::LayerNorm, d_model, epsilon);
        let [query, key, value, output] = names.attention;
        let projections = Projections {
            query: linear(query, d_model, d_model, qkv_bias),
            key: linear(key, d_model, d_model, qkv_bias),
            value: linear(value, d_model, d_model, qkv_bias),
            output: linear(output, d_model, d_model, true),
        };
        let [up, down] = names.ffn;
        let (up, down) = (linear(up, d_model, d_ff, true), linear(down, d_ff, d_model, true));
        let scope = format!("{name}.attention");
        Layer {
            attention: MultiHeadAttention::with_projections(scope, projections, heads, d_model / heads),
            attention_norm: norm(names.norms[0]),
            ffn: FeedForward::with_layers(name.to_owned(), activation, up, down, None),
            ffn_norm: norm(names.norms[1]),
        }
    }
}

impl Layer {
    /// `norm(x + attention(x))`, then `norm(x + ffn(x))`: `[batch, seq, d_model]` to the same.
    #[track_caller]
    pub(super) fn post_norm<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let x = self.attention_norm.forward(x + self.attention.self_attention(x, mask));
        self.ffn_norm.forward(x + self.ffn.forward(x))
    }

    /// `x + attention(norm(x))`, then `x + ffn(norm(x))`: `[batch, seq, d_model]` to the same.
    #[track_caller]
    pub(super) fn pre_norm<'b>(&self, x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let x = x + self.attention.self_attention(self.attention_norm.forward(x), mask);
        x + self.ffn.forward(self.ffn_norm.forward(x))
    }
}
