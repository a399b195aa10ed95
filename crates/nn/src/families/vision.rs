//! What models of images share: patches with a class token before them, and layers with norms before their parts.

use crate::layers::{Activation, Convolution, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, Projections};
use crate::{Builder, Init, Settings, SettingsError, Var, signed};
use netwright_ir::{TensorType, shape};

/// An image in patches.
#[derive(Debug)]
pub(super) struct Patches {
    pub(super) projection: Convolution,
    /// The class token, and its dims.
    pub(super) class: (String, Vec<u64>),
    /// The vectors of positions, and their dims.
    pub(super) positions: (String, Vec<u64>),
    channels: u64,
    size: u64,
    count: u64,
    d_model: u64,
}

impl Patches {
    /// The patches that a configuration says; their names are those of its class.
    pub(super) fn read(settings: &Settings, d_model: u64, bias: bool) -> Result<Self, SettingsError> {
        let channels = settings.optional_size("num_channels")?.unwrap_or(3);
        let (size, patch) = (settings.size("image_size")?, settings.size("patch_size")?);
        let side = size / patch;
        if side == 0 {
            return Err(settings.wrong("patch_size", format!("at most image_size, {size}")));
        }
        let projection = Convolution {
            name: String::new(),
            inputs: channels,
            outputs: d_model,
            kernel: vec![patch, patch],
            stride: patch,
            padding: 0,
            bias,
        };
        let none = (String::new(), vec![]);
        Ok(Self { projection, class: none.clone(), positions: none, channels, size, count: side * side, d_model })
    }

    /// The number of vectors: of each patch, and of the class.
    pub(super) fn positions(&self) -> u64 {
        self.count + 1
    }

    /// The input `pixel_values` `[batch, channels, height, width]`, as `[batch, 1 + patches, d_model]`.
    #[track_caller]
    pub(super) fn forward<'b>(&self, builder: &'b Builder<'b>, batch: &str) -> Var<'b> {
        let [channels, size] = [self.channels, self.size].map(signed);
        let pixels = TensorType::new(builder.element(), shape![batch, channels, size, size]);
        let pixels = builder.input("pixel_values", pixels);
        let _scope = builder.enter("embeddings");
        let d_model = signed(self.d_model);
        let patches = self.projection.forward(pixels).reshape(&[0, d_model, -1]).transpose(&[0, 2, 1]);
        let (name, dims) = &self.class;
        let class = builder.parameter(name, dims, Init::Xavier).reshape(&[1, 1, d_model]);
        let ones = builder.indices(&[1, 1]);
        let class = class.expand(pixels.size(0).concat(ones, 0));
        let (name, dims) = &self.positions;
        class.concat(patches, 1) + builder.parameter(name, dims, Init::Xavier)
    }
}

/// A layer: `x + attention(norm(x))`, then `x + ffn(norm(x))`.
#[derive(Debug)]
pub(super) struct Layer {
    attention: MultiHeadAttention,
    attention_norm: Norm,
    ffn: FeedForward,
    ffn_norm: Norm,
}

/// The names of a layer's parts.
pub(super) struct LayerNames {
    /// Query, key, value and output.
    pub(super) attention: [&'static str; 4],
    pub(super) norms: [&'static str; 2],
    pub(super) ffn: [&'static str; 2],
}

/// The layers of a stack, whose names begin alike.
pub(super) fn layers(
    settings: &Settings,
    stack: &str,
    names: &LayerNames,
    default_activation: Activation,
    epsilon: f32,
    qkv_bias: bool,
) -> Result<Vec<Layer>, SettingsError> {
    let d_model = settings.size("hidden_size")?;
    let heads = settings.heads("num_attention_heads", d_model)?;
    let d_ff = settings.size("intermediate_size")?;
    let activation = settings.activation("hidden_act", default_activation)?;
    let layer = |at: u64| {
        let name = format!("{stack}.{at}");
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
            ffn: FeedForward::with_layers(name.clone(), activation, up, down, None),
            ffn_norm: norm(names.norms[1]),
        }
    };
    Ok((0..settings.layers("num_hidden_layers")?).map(layer).collect())
}

/// `[batch, seq, d_model]` to the same.
#[track_caller]
pub(super) fn forward<'b>(layers: &[Layer], mut x: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
    for layer in layers {
        x = x + layer.attention.self_attention(layer.attention_norm.forward(x), mask);
        x = x + layer.ffn.forward(layer.ffn_norm.forward(x));
    }
    x
}
