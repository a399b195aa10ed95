//! Convolutions.

use crate::{Init, Var, signed};
use netwright_ir::op::AutoPad;
use netwright_ir::{ElementType, Op};

/// A convolution over the axes after the channels: `[batch, inputs, ..]` to `[batch, outputs, ..]`.
///
/// Parameters: `weight` `[outputs, inputs, kernel..]` and `bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// The name.
    pub name: String,
    /// The number of input channels.
    pub inputs: u64,
    /// The number of output channels.
    pub outputs: u64,
    /// The sizes of the kernel, one for each axis.
    pub kernel: Vec<u64>,
    /// The step between windows, along every axis.
    pub stride: u64,
    /// The padding with zeros before and after every axis.
    pub padding: u64,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Convolution {
    /// Applies the layer.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let dims = [&[self.outputs, self.inputs], &self.kernel[..]].concat();
        let weight = x.builder.parameter(&format!("{}.weight", self.name), &dims, Init::Xavier);
        // Before opset 22, Conv does not support bf16.
        let wide = if x.builder.element() == ElementType::BF16 { ElementType::F32 } else { x.builder.element() };
        let mut operands = vec![x.cast(wide), weight.cast(wide)];
        if self.bias {
            let bias = x.builder.parameter(&format!("{}.bias", self.name), &[self.outputs], Init::Zeros);
            operands.push(bias.cast(wide));
        }
        let op = Op::Conv {
            auto_pad: AutoPad::NotSet,
            dilations: vec![],
            group: 1,
            kernel_shape: self.kernel.iter().copied().map(signed).collect(),
            pads: vec![signed(self.padding); 2 * self.kernel.len()],
            strides: vec![signed(self.stride); self.kernel.len()],
        };
        x.builder.apply(op, &operands).cast_like_parameters()
    }
}
