use crate::pass::{Exactness, Pass};
use crate::read::normalized::normalize;
use netwright_ir::OpKind;

/// `x / sqrt(mean(x ^ 2) + epsilon) * w` -> `rms_normalization(x, w)`
///
/// From opset 23 on, whatever the order of the factors and the spelling of the inverse root. The weight may be computed,
/// as the `1 + w` of Gemma. The operator computes its statistics in `f32`; any part may be computed in `f32` or in the
/// type of `x`, with casts between, and casts around the whole stay.
///
/// The function is the same; runtimes sum and take the inverse root in other orders, which is off by some units in the
/// last place of the type, or is nearer where statistics in `f16` become those in `f32`.
pub fn fuse_rms_normalization() -> Pass {
    let summary = "x / sqrt(mean(x ^ 2) + epsilon) * w -> rms_normalization(x, w)";
    Pass::new("fuse-rms-normalization", summary, Exactness::Rounding)
        .forms(OpKind::RMSNormalization)
        // What is centered is a layer normalization, and an RMS normalization of a difference.
        .after(&["fuse-layer-normalization"])
        .at([OpKind::Mul, OpKind::Div, OpKind::Cast], |graph, root| normalize(graph, root, false))
}
