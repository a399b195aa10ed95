//! The number of operations of ONNX Runtime's operators, which are opaque.

use super::Uncounted;
use super::work::{Sizes, normalization, scores, times};
use crate::Dim;
use crate::attribute::Attribute;
use crate::op::OpaqueOp;

/// The domain of ONNX Runtime's operators.
const DOMAIN: &str = "com.microsoft";

/// Returns the number of operations of an opaque operator.
pub(super) fn flops(opaque: &OpaqueOp, sizes: &Sizes<'_>) -> Result<Dim, Uncounted> {
    let int = |name: &str| match opaque.attributes.iter().find(|(found, _)| **found == *name) {
        Some((_, Attribute::Int(value))) => *value,
        _ => 0,
    };
    match (&*opaque.domain, &*opaque.op_type) {
        ("" | DOMAIN, "SimplifiedLayerNormalization")
        | (DOMAIN, "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization") => normalization(sizes),
        (DOMAIN, "MatMulNBits" | "MatMulBnb4" | "MatMulIntegerToFloat" | "DynamicQuantizeMatMul") => {
            Ok(times(&sizes.written()?.times(&sizes.dim(0, -1)?), 2))
        }
        (DOMAIN, "FusedMatMul") if int("transBatchA") == 0 => {
            let inner = sizes.dim(0, if int("transA") == 0 { -1 } else { -2 })?;
            Ok(times(&sizes.written()?.times(&inner), 2))
        }
        (DOMAIN, "Gelu" | "BiasGelu" | "FastGelu" | "QuickGelu" | "BiasAdd") => {
            Ok(times(&sizes.written()?, sizes.present()))
        }
        (DOMAIN, "MultiHeadAttention") if sizes.shape(0)?.len() == 3 && sizes.has(1) && sizes.has(2) => {
            // Past keys are the operand at 6: `[batch, heads, length, size]`.
            let past = if sizes.has(6) { sizes.dim(6, 2)? } else { Dim::Known(0) };
            let keys = sizes.dim(1, if sizes.shape(1)?.len() == 4 { 2 } else { 1 })?.plus(&past);
            scores(sizes, &Dim::Known(int("num_heads")), &keys, sizes.has(4) || sizes.has(5))
        }
        _ => Err(Uncounted::Operator),
    }
}
