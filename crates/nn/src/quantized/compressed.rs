//! The formats of compressed-tensors: `pack-quantized` with codes of 4 bits, and `float-quantized`.
//!
//! For a layer of `K` inputs and `N` outputs, `pack-quantized` has `weight_packed` i32 `[N, K / 8]` with eight columns in
//! each integer, `weight_scale` `[N, groups]`, `weight_shape` `[2]`, and for asymmetric codes `weight_zero_point` i32
//! `[N / 8, groups]` with eight rows in each integer. Signed codes and zero points are stored plus 8.

use super::{Method, Parts, float8, for_each_layer, four_bits};
use crate::{OpenError, Settings, SettingsError};

pub(super) const COMPRESSED: Method = Method {
    name: "compressed-tensors",
    format: "compressed-tensors",
    read: |settings, tensors| {
        settings.ignore(HARMLESS);
        for option in ["kv_cache_scheme", "transform_config"] {
            if settings.has(option) && settings.section(option)?.is_none_or(|section| !section.is_empty()) {
                return Err(settings.wrong(option, "absent or null").into());
            }
        }
        let format = settings.word("format")?;
        let is_packed = match format {
            Some("pack-quantized") => true,
            Some("float-quantized" | "naive-quantized") => false,
            _ => {
                let law = "pack-quantized or float-quantized\n  help: dequantize the model with compressed-tensors, save it \
                           as floats, and pass --quantize";
                return Err(settings.wrong("format", law).into());
            }
        };
        let groups = settings.section("config_groups")?;
        for group in groups.map(|groups| groups.sections()).transpose()?.unwrap_or_default() {
            check_group(&group, is_packed)?;
        }
        if !is_packed {
            return float8::read(tensors, [128, 128]);
        }
        for_each_layer(tensors, "weight_packed", read)
    },
};

/// Options that say how the codes were chosen, or which layers have some.
const HARMLESS: &[&str] = &["global_compression_ratio", "ignore", "quantization_status", "sparsity_config", "version"];

/// Checks that a group of layers has weights that are supported.
fn check_group(group: &Settings, is_packed: bool) -> Result<(), SettingsError> {
    // Activations may stay in floats: they are more precise than what the model was tested with.
    group.ignore(&["format", "input_activations", "output_activations", "targets"]);
    let Some(weights) = group.section("weights")? else { return Ok(()) };
    weights.ignore(&[
        // The groups of a row are read from `weight_g_idx`.
        "actorder",
        "block_structure",
        "dynamic",
        "group_size",
        "observer",
        "observer_kwargs",
        "scale_dtype",
        "strategy",
        "symmetric",
        "zp_dtype",
    ]);
    if is_packed {
        weights.must_be("type", "int")?;
        return four_bits(&weights, "num_bits");
    }
    weights.must_be("type", "float")?;
    weights.must_be("num_bits", 8)
}

const IN_ORDER: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn read(parts: &mut Parts<'_>) -> Result<(), OpenError> {
    let (packed, scales) = (parts.take_packed("weight_packed")?, parts.take("weight_scale")?);
    let zeros = parts.take_if_present("weight_zero_point");
    if parts.take_if_present("weight_g_idx").is_some() {
        return Err(parts.refuse(format!(
            "{}.weight_g_idx reorders its groups (actorder), and runtimes multiply by groups of consecutive columns \
             only\n  help: quantize the model again with actorder = weight",
            parts.layer
        )));
    }
    let codes = packed.unpacked(IN_ORDER, 0).map_err(|error| parts.failed(error))?;
    let &[_, columns] = codes.dims() else { return Err(parts.refuse("it is not a matrix")) };
    let shape = parts.take_if_present("weight_shape").and_then(|shape| shape.integers());
    let stored: Option<Vec<i64>> = codes.dims().iter().map(|size| i64::try_from(*size).ok()).collect();
    if shape.is_some() && shape != stored {
        return Err(parts.refuse("its number of inputs is not a multiple of 8\n  help: save the model as floats"));
    }
    let size = match scales.dims() {
        [_, 1] => None,
        [_, groups] => match columns.checked_div(*groups) {
            Some(size @ (16 | 32 | 64 | 128 | 256)) => Some(size),
            _ => {
                return Err(parts.refuse(format!(
                    "its {groups} groups of {columns} columns are not of 16, 32, 64, 128 or 256 each, and runtimes have no \
                     kernels for other blocks"
                )));
            }
        },
        _ => return Err(parts.refuse(format!("{}.weight_scale is not a matrix", parts.layer))),
    };
    let zeros = zeros.map(|zeros| zeros.transposed()?.unpacked(IN_ORDER, 0)?.transposed());
    let zeros = zeros.transpose().map_err(|error| parts.failed(error))?;
    parts.put(codes, scales, zeros, size)
}
