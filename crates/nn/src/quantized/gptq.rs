//! GPTQ (Frantar et al., 2022), as AutoGPTQ and GPTQModel store it.
//!
//! For a layer of `K` inputs and `N` outputs: `qweight` i32 `[K / 8, N]`, with eight rows in each integer; `qzeros` i32
//! `[groups, N / 8]`, with eight columns in each; `scales` f16 `[groups, N]`; `g_idx` i32 `[K]`, the group of each row.

use super::{Method, Parts, all_pieces, for_each_layer, four_bits, group_size};
use crate::OpenError;

pub(super) const GPTQ: Method = Method {
    name: "gptq",
    format: "GPTQ",
    read: |settings, tensors| {
        settings.ignore(HARMLESS);
        four_bits(settings, "bits")?;
        let size = group_size(settings)?;
        // The first format stores zero points less 1.
        let plus = match settings.word("checkpoint_format")? {
            None | Some("gptq") => 1,
            Some("gptq_v2") => 0,
            Some(_) => {
                return Err(settings
                    .wrong("checkpoint_format", "gptq or gptq_v2\n  help: save the model in the format gptq")
                    .into());
            }
        };
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
    "format",
    "is_marlin_format",
    "lm_head",
    "max_input_length",
    "meta",
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

const IN_ORDER: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn read(parts: &mut Parts<'_>, size: Option<u64>, plus: u8) -> Result<(), OpenError> {
    let (packed, zeros) = (parts.take_packed("qweight")?, parts.take_packed("qzeros")?);
    let (scales, groups) = (parts.take("scales")?, parts.take_if_present("g_idx"));
    let codes = packed.transposed().and_then(|packed| packed.unpacked(IN_ORDER, 0));
    let codes = codes.map_err(|error| parts.failed(error))?;
    let rows = codes.dims().last().copied().unwrap_or(0);
    if let Some(groups) = groups {
        let expected = size.unwrap_or(rows.max(1));
        let mut row = 0;
        let in_order = all_pieces(&groups, |bytes| {
            bytes.as_chunks().0.iter().all(|group| {
                let found = u64::try_from(i32::from_le_bytes(*group)) == Ok(row / expected);
                row += 1;
                found
            })
        });
        let in_order = in_order.map_err(|error| parts.failed(error))?;
        if groups.dims() != [rows] || !in_order {
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
