//! Feed-forward networks and activations.

use super::Linear;
use crate::Var;
use serde::{Deserialize, Serialize};

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`, as in the paper.
    #[default]
    Relu,
    /// Exact GELU, with the error function.
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies the activation.
    #[track_caller]
    pub fn forward(self, x: Var<'_>) -> Var<'_> {
        match self {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x * x.sigmoid(),
            Activation::QuickGelu => x * (x * 1.702).sigmoid(),
            Activation::Tanh => x.tanh(),
        }
    }
}

/// A feed-forward network: `linear2(activation(linear1(x)))` (paper, 3.3), or gated, `linear2(activation(gate(x)) ·
/// linear1(x))` (Shazeer, 2020): `[.., d_model]` to the same, with the inner width `d_ff`.
#[derive(Clone, Debug)]
pub struct FeedForward {
    name: String,
    linear1: Linear,
    linear2: Linear,
    gate: Option<Linear>,
    activation: Activation,
}

impl FeedForward {
    /// Creates a feed-forward network.
    pub fn new(
        name: impl Into<String>,
        d_model: u64,
        d_ff: u64,
        activation: Activation,
        gated: bool,
        bias: bool,
    ) -> Self {
        let name = name.into();
        let linear1 = Linear::new(format!("{name}.linear1"), d_model, d_ff, bias);
        let linear2 = Linear::new(format!("{name}.linear2"), d_ff, d_model, bias);
        let gate = gated.then(|| Linear::new(format!("{name}.gate"), d_model, d_ff, bias));
        Self::with_layers(name, activation, linear1, linear2, gate)
    }

    /// Creates a feed-forward network from given linear layers.
    pub fn with_layers(
        name: impl Into<String>,
        activation: Activation,
        linear1: Linear,
        linear2: Linear,
        gate: Option<Linear>,
    ) -> Self {
        Self { name: name.into(), linear1, linear2, gate, activation }
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let hidden = self.linear1.forward(x);
        let hidden = match &self.gate {
            Some(gate) => self.activation.forward(gate.forward(x)) * hidden,
            None => self.activation.forward(hidden),
        };
        self.linear2.forward(hidden)
    }
}
