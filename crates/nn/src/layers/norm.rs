//! Layer norms and RMS norms.

use super::expect_features;
use crate::{Init, Var};
use netwright_ir::{ElementType, Op};
use serde::{Deserialize, Serialize};

/// The kind of a norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Layer norm: mean 0 and variance 1, scaled and shifted (Ba et al., 2016).
    #[default]
    LayerNorm,
    /// RMS norm: divided by the root of the mean square, and scaled (Zhang and Sennrich, 2019).
    RmsNorm,
    /// RMS norm with `1 + weight` as the scale (Gemma).
    RmsNormPlusOne,
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
    /// Creates a norm.
    pub fn new(name: impl Into<String>, kind: NormKind, d_model: u64, epsilon: f32) -> Self {
        Self { name: name.into(), kind, d_model, epsilon }
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        if let Err(failed) = expect_features(&self.name, x, self.d_model) {
            return failed;
        }
        let _scope = x.builder.enter(&self.name);
        let weight = x.builder.parameter(&format!("{}.weight", self.name), &[self.d_model], Init::Ones);
        match self.kind {
            NormKind::LayerNorm => {
                let bias = x.builder.parameter(&format!("{}.bias", self.name), &[self.d_model], Init::Zeros);
                let op = Op::LayerNormalization { axis: -1, epsilon: self.epsilon, stash_type: 1 };
                x.builder.apply(op, &[x, weight, bias])
            }
            NormKind::RmsNorm => self.root_mean_square(x) * weight,
            NormKind::RmsNormPlusOne => self.root_mean_square(x) * (weight + 1.0),
        }
    }

    /// Computes in `f32`, whose squares do not overflow.
    #[track_caller]
    fn root_mean_square<'b>(&self, x: Var<'b>) -> Var<'b> {
        let wide = x.cast(ElementType::F32);
        let root = ((wide * wide).mean(-1) + self.epsilon).sqrt();
        (wide / root).cast_like_parameters()
    }
}
