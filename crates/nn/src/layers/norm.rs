//! Layer norms and RMS norms.

use super::expect_features;
use crate::{Init, Var, signed};
use netwright_ir::{ElementType, Op};
use serde::{Deserialize, Serialize};

/// The kind of a norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Layer norm: mean 0 and variance 1, scaled and shifted (Ba et al., 2016).
    #[default]
    LayerNorm,
    /// Layer norm without a shift (Cohere).
    ScaledLayerNorm,
    /// Layer norm without parameters (OLMo).
    PlainLayerNorm,
    /// RMS norm: divided by the root of the mean square, and scaled (Zhang and Sennrich, 2019).
    RmsNorm,
    /// RMS norm with `1 + weight` as the scale (Gemma).
    RmsNormPlusOne,
}

/// Normalization over the last axis: `[.., d_model]` to the same.
///
/// Parameters: `weight` `[d_model]`, and for a layer norm `bias` `[d_model]`.
///
/// ```
/// use netwright_ir::{ElementType, TensorType, shape};
/// use netwright_nn::layers::{Norm, NormKind};
/// use netwright_nn::{Builder, Weights};
/// let weights = Weights::Random { seed: 0 };
/// let builder = Builder::new("norms", &weights);
/// let query = builder.input("query", TensorType::new(ElementType::F32, shape!["batch", "seq", 4, 8]));
/// // One weight for each of four heads of width 8, as in Cohere.
/// let norm = Norm::new("q_norm", NormKind::ScaledLayerNorm, 8, 1e-5).by_head(4);
/// builder.output("normed", norm.forward(query));
/// let graph = builder.finish()?;
/// assert_eq!(graph.outputs().len(), 1);
/// # Ok::<(), netwright_nn::BuildErrors>(())
/// ```
#[derive(Clone, Debug)]
pub struct Norm {
    name: String,
    kind: NormKind,
    d_model: u64,
    epsilon: f32,
    /// The number of heads, if each has its own weights.
    heads: Option<u64>,
}

impl Norm {
    /// Creates a norm.
    pub fn new(name: impl Into<String>, kind: NormKind, d_model: u64, epsilon: f32) -> Self {
        Self { name: name.into(), kind, d_model, epsilon, heads: None }
    }

    /// Gives each head its own weights, `[heads, d_model]`; the input is `[.., heads, d_model]`.
    pub fn by_head(mut self, heads: u64) -> Self {
        self.heads = Some(heads);
        self
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        if let Err(failed) = expect_features(&self.name, x, self.d_model) {
            return failed;
        }
        let _scope = x.builder.enter(&self.name);
        let dims: Vec<u64> = self.heads.into_iter().chain([self.d_model]).collect();
        let parameter = |part: &str, init| x.builder.parameter(&format!("{}.{part}", self.name), &dims, init);
        if self.kind == NormKind::PlainLayerNorm {
            return self.standardized(x);
        }
        let weight = parameter("weight", Init::Ones);
        match (self.kind, self.heads) {
            (NormKind::RmsNorm, _) => self.root_mean_square(x) * weight,
            (NormKind::RmsNormPlusOne, _) => self.root_mean_square(x) * (weight + 1.0),
            (NormKind::LayerNorm, None) => self.layer_norm(x, &[weight, parameter("bias", Init::Zeros)]),
            (NormKind::LayerNorm, Some(_)) => self.standardized(x) * weight + parameter("bias", Init::Zeros),
            (_, None) => self.layer_norm(x, &[weight]),
            (_, Some(_)) => self.standardized(x) * weight,
        }
    }

    #[track_caller]
    fn layer_norm<'b>(&self, x: Var<'b>, parameters: &[Var<'b>]) -> Var<'b> {
        let op = Op::LayerNormalization { axis: -1, epsilon: self.epsilon, stash_type: 1 };
        x.builder.apply(op, &[&[x], parameters].concat())
    }

    /// Computes a layer norm without parameters.
    #[track_caller]
    fn standardized<'b>(&self, x: Var<'b>) -> Var<'b> {
        let ones = x.builder.scalar("one", 1.0).expand(x.builder.indices(&[signed(self.d_model)]));
        self.layer_norm(x, &[ones])
    }

    /// Computes in `f32`, whose squares do not overflow.
    #[track_caller]
    fn root_mean_square<'b>(&self, x: Var<'b>) -> Var<'b> {
        let wide = x.cast(ElementType::F32);
        let root = ((wide * wide).mean(-1) + self.epsilon).sqrt();
        (wide / root).cast_like_parameters()
    }
}
