use crate::{Init, Var};

/// `x · Wᵀ + b`: `[.., inputs]` to `[.., outputs]`.
///
/// Parameters: `weight` `[outputs, inputs]`, as PyTorch lays it out, and `bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear {
    name: String,
    inputs: u64,
    outputs: u64,
    bias: bool,
}

impl Linear {
    /// A linear layer of that name.
    pub fn new(name: impl Into<String>, inputs: u64, outputs: u64, bias: bool) -> Self {
        Self { name: name.into(), inputs, outputs, bias }
    }

    /// Applies it.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let weight = x.builder.parameter(&format!("{}.weight", self.name), &[self.outputs, self.inputs], Init::Xavier);
        let y = x.matmul(weight.transpose(&[1, 0]));
        if !self.bias {
            return y;
        }
        y + x.builder.parameter(&format!("{}.bias", self.name), &[self.outputs], Init::Zeros)
    }
}
