//! AWQ (Lin et al., 2023), as AutoAWQ stores it for matrix products.
//!
//! For a layer of `K` inputs and `N` outputs: `qweight` i32 `[K, N / 8]` and `qzeros` i32 `[groups, N / 8]`, with eight
//! columns in each integer; `scales` f16 `[groups, N]`.

use super::{Method, Parts, for_each_layer, four_bits, group_size};
use crate::OpenError;

pub(super) const AWQ: Method = Method {
    name: "awq",
    format: "AWQ",
    read: |settings, tensors| {
        settings.ignore(&["backend", "do_fuse", "exllama_config", "fuse_max_seq_len", "modules_to_fuse"]);
        four_bits(settings, "bits")?;
        let size = group_size(settings)?;
        if !matches!(settings.word("version")?, None | Some("gemm" | "GEMM")) {
            let law = "gemm\n  help: quantize the model again with version = gemm";
            return Err(settings.wrong("version", law).into());
        }
        settings.must_be("zero_point", true)?;
        for_each_layer(tensors, "qweight", |parts| read(parts, size))
    },
};

/// The place of each column in its integer: columns 0, 2, 4, 6, 1, 3, 5 and 7 follow one another.
const PLACES: [u8; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

fn read(parts: &mut Parts<'_>, size: Option<u64>) -> Result<(), OpenError> {
    let (packed, zeros) = (parts.take_packed("qweight")?, parts.take_packed("qzeros")?);
    let scales = parts.take("scales")?;
    let transposed = || {
        let codes = [packed, zeros].map(|packed| packed.unpacked(PLACES, 0)?.transposed());
        let [codes, zeros] = codes;
        Ok((codes?, zeros?, scales.transposed()?))
    };
    let (codes, zeros, scales) = transposed().map_err(|error| parts.failed(error))?;
    parts.put(codes, scales, Some(zeros), size)
}
