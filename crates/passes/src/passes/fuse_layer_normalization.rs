use crate::normalized::rule;
use crate::pipeline::{Body, Pass};
use netwright_ir::Kind;

/// `(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b` -> `layer_normalization(x, w, b)`
///
/// From opset 17 on, whatever the order of the factors and the spelling of the inverse root, and multiplied out as
/// `x * (w * r) + (b - mean(x) * (w * r))`. A cast between the division and the weight is that to the type of `x` from
/// the type of the statistics, which must be `f32`; casts around the whole stay.
///
/// The function is the same; runtimes sum and take the inverse root in other orders, which is off by some units in the
/// last place of an `f32`, and multiplied out, where the mean is large beside the deviation, it is the more exact. The
/// unbiased deviation of "The Annotated Transformer", to which epsilon is added, is another function.
pub fn fuse_layer_normalization() -> Pass {
    let name = "fuse-layer-normalization";
    let summary = "(x - mean(x)) / sqrt(mean((x - mean(x)) ^ 2) + epsilon) * w + b -> layer_normalization(x, w, b)";
    let kinds = [Kind::Mul, Kind::Div, Kind::Add, Kind::Sub, Kind::Cast];
    Pass { name, summary, body: Body::Rules(kinds.map(|kind| rule(name, summary, kind, true)).into()) }
}
