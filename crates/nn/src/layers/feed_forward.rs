use super::Linear;
use crate::Var;
use serde::{Deserialize, Serialize};

/// What stands between two linear layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`, as in the paper.
    #[default]
    Relu,
    /// Exact GELU, by the error function.
    Gelu,
    /// GELU by a hyperbolic tangent.
    GeluTanh,
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies it.
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

/// `linear2(activation(linear1(x)))` (paper, 3.3), or gated, `linear2(activation(gate(x)) · linear1(x))`
/// (Shazeer, 2020): `[.., d_model]` to the same, `d_ff` wide in between.
#[derive(Clone, Debug)]
pub struct FeedForward {
    name: String,
    linear1: Linear,
    linear2: Linear,
    gate: Option<Linear>,
    activation: Activation,
}

impl FeedForward {
    /// A feed-forward network of that name.
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

    /// A feed-forward network with linear layers of its own names.
    pub fn with_layers(
        name: impl Into<String>,
        activation: Activation,
        linear1: Linear,
        linear2: Linear,
        gate: Option<Linear>,
    ) -> Self {
        Self { name: name.into(), linear1, linear2, gate, activation }
    }

    /// Applies it.
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
