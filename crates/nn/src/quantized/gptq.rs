//! GPTQ (Frantar et al., 2022), as AutoGPTQ and GPTQModel store it.
//!
//! For a layer of `K` inputs and `N` outputs: `qweight` i32 `[K / 8, N]`, with eight rows in each integer; `qzeros` i32
//! `[groups, N / 8]`, with eight columns in each; `scales` f16 `[groups, N]`; `g_idx` i32 `[K]`, the group of each row.

use super::{IN_ORDER, Method, Parts, for_each_layer, four_bits, group_size};
use crate::{OpenError, Settings, SettingsError};
use netwright_ir::{ElementType, Tensor};

pub(super) const GPTQ: Method = Method {
    name: "gptq",
    format: "GPTQ",
    read: |settings, tensors| {
        settings.ignore(HARMLESS);
        four_bits(settings, "bits")?;
        let size = group_size(settings)?;
        // The first format stores zero points less 1.
        let plus = u8::from(format(settings)? == "gptq");
        for_each_layer(tensors, "qweight", |parts| read(parts, size, plus))
    },
};

/// Options that say how the codes were chosen.
const HARMLESS: &[&str] = &[
    "act_group_aware",
    "backend",
    "block_name_to_quantize",
    "cache_block_outputs",
    "damp_auto_increment",
    "damp_percent",
    // The groups of rows are read from `g_idx`.
    "desc_act",
    "disable_exllama",
    "exllama_config",
    "is_marlin_format",
    "lm_head",
    "max_input_length",
    "meta",
    "method",
    "model_file_base_name",
    "model_name_or_path",
    "model_seqlen",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "mse",
    "pack_dtype",
    "pad_token_id",
    "quantizer",
    "static_groups",
    // Symmetric codes have zero points of 8.
    "sym",
    "true_sequential",
    "use_cuda_fp16",
    "use_exllama",
];

/// Returns the format, which AutoGPTQ and GPTQModel store under different options.
fn format(settings: &Settings) -> Result<&str, SettingsError> {
    let mut format = None;
    for option in ["checkpoint_format", "format"] {
        let Some(found) = settings.word(option)? else { continue };
        if !["gptq", "gptq_v2"].contains(&found) || format.is_some_and(|format| format != found) {
            let law = "gptq or gptq_v2, and the same as `checkpoint_format` if both are present\n  help: save the model \
                       in the format gptq";
            return Err(settings.wrong(option, law));
        }
        format = Some(found);
    }
    Ok(format.unwrap_or("gptq"))
}

fn read(parts: &mut Parts<'_>, size: Option<u64>, plus: u8) -> Result<(), OpenError> {
    let (packed, zeros) = (parts.take_packed("qweight")?, parts.take_packed("qzeros")?);
    let (scales, groups) = (parts.take("scales")?, parts.take_if_present("g_idx"));
    let codes = packed.transposed().and_then(|packed| packed.unpacked(IN_ORDER, 0));
    let codes = codes.map_err(|error| parts.failed(error))?;
    let rows = codes.dims().last().copied().unwrap_or(0);
    if let Some(groups) = groups {
        if groups.element() != ElementType::I32 || groups.dims() != [rows] {
            return Err(parts.refuse(format!("{}.g_idx is {}, but must be i32[{rows}]", parts.layer, groups.ty())));
        }
        let expected = size.unwrap_or(rows.max(1));
        let mut row = 0;
        let in_order = Tensor::all_pieces([&groups], |[bytes]| {
            bytes.as_chunks().0.iter().all(|group| {
                let found = u64::try_from(i32::from_le_bytes(*group)) == Ok(row / expected);
                row += 1;
                found
            })
        });
        let in_order = in_order.map_err(|error| parts.failed(error))?;
        if !in_order {
            return Err(parts.refuse(format!(
                "row {} is not in group {} by {}.g_idx: the model was quantized with desc_act, and runtimes multiply by \
                 groups of consecutive rows only\n  help: quantize the model again with desc_act = false, or with \
                 static_groups = true",
                row.saturating_sub(1),
                row.saturating_sub(1) / expected,
                parts.layer
            )));
        }
    }
    let transposed = zeros.unpacked(IN_ORDER, plus).and_then(|zeros| Ok((zeros.transposed()?, scales.transposed()?)));
    let (zeros, scales) = transposed.map_err(|error| parts.failed(error))?;
    parts.put(codes, scales, Some(zeros), size)
}
