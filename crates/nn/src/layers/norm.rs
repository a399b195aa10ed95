use crate::{Init, Var};
use netwright_ir::Op;
use serde::{Deserialize, Serialize};

/// How a norm is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// To mean 0 and variance 1, scaled and shifted (Ba et al., 2016).
    #[default]
    LayerNorm,
    /// Divided by the root of the mean square, scaled (Zhang and Sennrich, 2019).
    RmsNorm,
}

/// Normalization over the last axis: `[.., d_model]` to the same.
///
/// Parameters: `weight` `[d_model]`, and for a layer norm `bias` `[d_model]`.
#[derive(Clone, Debug)]
pub struct Norm {
    name: String,
    kind: NormKind,
    d_model: u64,
    epsilon: f32,
}

impl Norm {
    /// A norm of that name.
    pub fn new(name: impl Into<String>, kind: NormKind, d_model: u64, epsilon: f32) -> Self {
        Self { name: name.into(), kind, d_model, epsilon }
    }

    /// Applies it.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let weight = x.builder.parameter(&format!("{}.weight", self.name), &[self.d_model], Init::Ones);
        match self.kind {
            NormKind::LayerNorm => {
                let bias = x.builder.parameter(&format!("{}.bias", self.name), &[self.d_model], Init::Zeros);
                let op = Op::LayerNormalization { axis: -1, epsilon: self.epsilon, stash_type: 1 };
                x.builder.apply(op, &[x, weight, bias])
            }
            NormKind::RmsNorm => {
                let root = ((x * x).mean(-1) + self.epsilon).sqrt();
                x / root * weight
            }
        }
    }
}
