//! The formats of compressed-tensors: `pack-quantized` with codes of 4 bits, and `float-quantized`.
//!
//! For a layer of `K` inputs and `N` outputs, `pack-quantized` has `weight_packed` i32 `[N, K / 8]` with eight columns in
//! each integer, `weight_scale` `[N, groups]`, `weight_shape` `[2]`, and for asymmetric codes `weight_zero_point` i32
//! `[N / 8, groups]` with eight rows in each integer. Signed codes and zero points are stored plus 8.

use super::{GROUP_SIZES, IN_ORDER, Method, Parts, float8, for_each_layer, four_bits};
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
        let mut forms = vec![];
        for group in groups.map(|groups| groups.sections()).transpose()?.unwrap_or_default() {
            forms.extend(form(&group, is_packed)?);
        }
        if !is_packed {
            let tile = forms.first().map_or(float8::TILE, |form| form.tile);
            if forms.iter().any(|form| form.tile != tile) {
                let law = "groups with the same block_structure\n  help: dequantize the model with compressed-tensors, \
                           save it as floats, and pass --quantize";
                return Err(settings.wrong("config_groups", law).into());
            }
            return float8::read(tensors, tile);
        }
        // Which layers are in which group is not read: in a mixture, a layer with zero points is asymmetric.
        let has_zeros = !forms.is_empty() && forms.iter().all(|form| !form.is_symmetric);
        for_each_layer(tensors, "weight_packed", |parts| read(parts, has_zeros))
    },
};

/// Options that say how the codes were chosen, or which layers have some.
const HARMLESS: &[&str] = &["global_compression_ratio", "ignore", "quantization_status", "sparsity_config", "version"];

/// How the weights of a group of layers are stored.
struct Form {
    is_symmetric: bool,
    /// The sizes of a tile of 8-bit floats with one scale.
    tile: [u64; 2],
}

/// Returns the form of the weights of a group of layers, if they are quantized; it must be supported.
fn form(group: &Settings, is_packed: bool) -> Result<Option<Form>, SettingsError> {
    // Activations may stay in floats: they are more precise than what the model was tested with.
    group.ignore(&["format", "input_activations", "output_activations", "targets"]);
    let Some(weights) = group.section("weights")? else { return Ok(None) };
    weights.ignore(&[
        // The groups of a row are read from `weight_g_idx`.
        "actorder",
        "dynamic",
        "group_size",
        "observer",
        "observer_kwargs",
        "scale_dtype",
        "strategy",
        "zp_dtype",
    ]);
    if is_packed {
        weights.must_be("type", "int")?;
        four_bits(&weights, "num_bits")?;
    } else {
        weights.must_be("type", "float")?;
        weights.must_be("num_bits", 8)?;
    }
    let tile = float8::tile(&weights, "block_structure")?;
    Ok(Some(Form { is_symmetric: weights.flag("symmetric", true)?, tile }))
}

fn read(parts: &mut Parts<'_>, has_zeros: bool) -> Result<(), OpenError> {
    let (packed, scales) = (parts.take_packed("weight_packed")?, parts.take("weight_scale")?);
    let zeros =
        if has_zeros { Some(parts.take("weight_zero_point")?) } else { parts.take_if_present("weight_zero_point") };
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
    if let (Some(shape), Some(stored)) = (shape, stored)
        && shape != stored
    {
        return Err(parts.refuse(format!(
            "weight_shape is {shape:?}, but the packed codes have {stored:?}\n  help: save the model as floats"
        )));
    }
    let size = match scales.dims() {
        [_, 1] => None,
        [_, groups] => match columns.checked_div(*groups) {
            Some(size) if GROUP_SIZES.contains(&size) => Some(size),
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
