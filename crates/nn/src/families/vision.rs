//! Shared by image models: patches with a class token before them.

use crate::layers::Convolution;
use crate::{Builder, Init, Settings, SettingsError, Var, signed};
use netwright_ir::{TensorType, shape};

/// The embedding of an image as patches.
#[derive(Debug)]
pub(super) struct Patches {
    pub(super) projection: Convolution,
    /// The name of the class token, and its dims.
    pub(super) class: (String, Vec<u64>),
    /// The name of the position table, and its dims.
    pub(super) positions: (String, Vec<u64>),
    channels: u64,
    size: u64,
    count: u64,
    d_model: u64,
}

impl Patches {
    /// Reads the configuration of the patches, with the names of weights in its model class.
    pub(super) fn read(settings: &Settings, d_model: u64, bias: bool) -> Result<Self, SettingsError> {
        let channels = settings.optional_size("num_channels")?.unwrap_or(3);
        let (size, patch) = (settings.side("image_size")?, settings.side("patch_size")?);
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

    /// Returns the number of vectors: one per patch, and the class token.
    pub(super) fn positions(&self) -> u64 {
        self.count + 1
    }

    /// Declares `pixel_values` `[batch, channels, height, width]`, and returns `[batch, 1 + patches, d_model]`.
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
