//! Linear layers.

use super::expect_features;
use crate::{Init, Var};

/// A linear layer, `x · Wᵀ + b`: `[.., inputs]` to `[.., outputs]`.
///
/// Parameters: `weight` `[outputs, inputs]`, as PyTorch lays it out, and `bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear {
    name: String,
    inputs: u64,
    outputs: u64,
    bias: bool,
    /// Whether the weight is `[inputs, outputs]`.
    input_major: bool,
}

impl Linear {
    /// Creates a linear layer.
    pub fn new(name: impl Into<String>, inputs: u64, outputs: u64, bias: bool) -> Self {
        Self { name: name.into(), inputs, outputs, bias, input_major: false }
    }

    /// Creates a linear layer with a weight `[inputs, outputs]`, as in GPT-2.
    pub fn input_major(mut self) -> Self {
        self.input_major = true;
        self
    }

    /// Returns the size of the last axis of the result.
    pub(super) fn outputs(&self) -> u64 {
        self.outputs
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        if let Err(failed) = expect_features(&self.name, x, self.inputs) {
            return failed;
        }
        let _scope = x.builder.enter(&self.name);
        let name = format!("{}.weight", self.name);
        let y = x.matmul(x.builder.linear_weight(&name, [self.inputs, self.outputs], self.input_major));
        if !self.bias {
            return y;
        }
        y + x.builder.parameter(&format!("{}.bias", self.name), &[self.outputs], Init::Zeros)
    }
}
