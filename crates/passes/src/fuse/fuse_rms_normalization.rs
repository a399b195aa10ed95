//! Fuses the steps of an RMS normalization into one operator.

use crate::pass::{Exactness, Pass};
use crate::read::normalized::normalize;
use netwright_ir::OpKind;

/// `x / sqrt(mean(x ^ 2) + epsilon) * w` -> `rms_normalization(x, w)`
///
/// The order of the factors and the spelling of the inverse square root do not matter. The weight may be computed, as
/// the `1 + w` of Gemma. The operator computes its statistics in `f32`. Any part may be computed in `f32` or in the
/// type of `x`, with casts in between; casts around the whole stay.
///
/// The function is the same, but runtimes sum and compute the inverse square root in other orders, which changes some
/// units in the last place of the type. The result is more accurate if statistics in `f16` become statistics in `f32`.
pub fn fuse_rms_normalization() -> Pass {
    let summary = "x / sqrt(mean(x ^ 2) + epsilon) * w -> rms_normalization(x, w)";
    Pass::new("fuse-rms-normalization", summary, Exactness::Rounding)
        .forms(OpKind::RMSNormalization)
        // A layer normalization is also an RMS normalization of a difference.
        .after(&["fuse-layer-normalization"])
        .needs_one_of(&[OpKind::Sqrt, OpKind::Pow])
        .at([OpKind::Mul, OpKind::Div, OpKind::Cast], |graph, root| normalize(graph, root, false))
}
