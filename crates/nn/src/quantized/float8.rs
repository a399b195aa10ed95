//! Weights of 8-bit floats: one scale for each tile of a matrix (DeepSeek-V3), for each row, or for the tensor.
//!
//! For a layer of `K` inputs and `N` outputs: `weight` f8e4m3fn or f8e5m2 `[N, K]`, and the factors of its elements,
//! `weight_scale_inv` or `weight_scale`.

use super::{Method, Parts, Tensors, for_each_layer};
use crate::OpenError;
use netwright_ir::ElementType;

pub(super) const FP8: Method = Method {
    name: "fp8",
    format: "8-bit floats",
    read: |settings, tensors| {
        // Activations may stay in floats: they are more precise than what the model was tested with.
        settings.ignore(&["activation_scheme", "dequantize", "fmt", "ignored_layers"]);
        let tile =
            if settings.has("weight_block_size") { settings.numbers("weight_block_size", 2)? } else { vec![128.0; 2] };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casting saturates")]
        let tile = [tile[0] as u64, tile[1] as u64];
        if tile.contains(&0) {
            return Err(settings.wrong("weight_block_size", "two numbers of at least 1").into());
        }
        read(tensors, tile)
    },
};

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
