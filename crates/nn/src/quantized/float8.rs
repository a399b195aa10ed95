//! Weights of 8-bit floats: one scale for each tile of a matrix (DeepSeek-V3), for each row, or for the tensor.
//!
//! For a layer of `K` inputs and `N` outputs: `weight` f8e4m3fn or f8e5m2 `[N, K]`, and the factors of its elements,
//! `weight_scale_inv` or `weight_scale`.

use super::{Method, Parts, Tensors, for_each_layer};
use crate::{OpenError, Settings, SettingsError};
use netwright_ir::ElementType;

pub(super) const FP8: Method = Method {
    name: "fp8",
    format: "8-bit floats",
    read: |settings, tensors| {
        // Activations may stay in floats: they are more precise than what the model was tested with.
        settings.ignore(&["activation_scheme", "dequantize", "fmt", "ignored_layers"]);
        read(tensors, tile(settings, "weight_block_size")?)
    },
};

/// The default sizes of a tile.
pub(super) const TILE: [u64; 2] = [128, 128];

/// Reads the sizes of a tile.
pub(super) fn tile(settings: &Settings, option: &str) -> Result<[u64; 2], SettingsError> {
    if !settings.has(option) {
        return Ok(TILE);
    }
    let sizes = settings.numbers(option, 2)?;
    if sizes.iter().any(|size| *size < 1.0 || size.fract() != 0.0) {
        return Err(settings.wrong(option, "two whole numbers of at least 1"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casting saturates")]
    Ok([sizes[0] as u64, sizes[1] as u64])
}

/// The names of the factors.
const SCALES: [&str; 2] = ["weight_scale_inv", "weight_scale"];

/// Replaces 8-bit floats by the floats that they mean.
pub(super) fn read(tensors: &mut Tensors, tile: [u64; 2]) -> Result<usize, OpenError> {
    let mut count = 0;
    for scales in SCALES {
        count += for_each_layer(tensors, scales, |parts| read_layer(parts, scales, tile))?;
    }
    Ok(count)
}

fn read_layer(parts: &mut Parts<'_>, scales: &str, tile: [u64; 2]) -> Result<(), OpenError> {
    let (weight, scales) = (parts.take("weight")?, parts.take(scales)?);
    // The scales of activations, which stay in floats.
    for unused in ["input_scale", "output_scale"] {
        parts.take_if_present(unused);
    }
    let &[rows, columns] = weight.dims() else { return Err(parts.refuse("it is not a matrix")) };
    let (tile, dims) = match scales.dims() {
        _ if scales.count() == 1 => ([rows.max(1), columns.max(1)], vec![1, 1]),
        [_] | [_, 1] if scales.count() == rows => ([1, columns.max(1)], vec![rows, 1]),
        dims => (tile, dims.to_vec()),
    };
    let floats = scales.reshaped(&dims).and_then(|scales| weight.scaled_by_tiles(&scales, tile, ElementType::F32));
    let floats = floats.map_err(|error| parts.failed(error))?;
    let name = parts.weight();
    parts.tensors.insert(name, floats);
    Ok(())
}
