//! Fuses the scale and the mask of scores into the softmax.

use crate::pass::{Exactness, Pass};
use crate::pattern::{Match, Scalar, add, any, div, mul, scalar, softmax};
use crate::rewrite::{become_op, keeps_shape};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{ElementType, Graph, Op, Value};

/// `softmax(x * c + m)` -> `scaled_softmax(x, m; c)`
///
/// Attention scales its scores by 1/sqrt(d_k) before the softmax, and adds a mask; one node keeps them together for
/// lowering. A scale after the mask, `softmax((x + m) * c)`, applies to the sum and is not fused.
///
/// A division becomes a multiplication by the inverse. It is exact if the inverse is; else the error is at most 1.5
/// units in the last place of an `f32`. In narrower types, where that is visible, the rule declines.
pub fn fuse_scale_softmax() -> Pass {
    let (x, c, m) = (any("x"), scalar("c"), any("m"));
    let scores = || x.shaped_as_root();
    let masked =
        move |graph: &mut Graph, found: &Match, scale: f32| fuse(graph, found.root(), &[found[x], found[m]], scale);
    let plain = move |graph: &mut Graph, found: &Match, scale: f32| fuse(graph, found.root(), &[found[x]], scale);
    let summary = "softmax(x * c + m) -> scaled_softmax(x, m; c)";
    Pass::new("fuse-scale-softmax", summary, Exactness::Rounding).rules([
        Rule::new(
            "fuse-mul-mask-softmax",
            summary,
            softmax(add(mul(scores(), c).single_use(), m).single_use()),
            move |graph, found| masked(graph, found, factor(graph, found, found[x], c)?),
        ),
        Rule::new(
            "fuse-div-mask-softmax",
            "softmax(x / c + m) -> scaled_softmax(x, m; 1 / c)",
            softmax(add(div(scores(), c).single_use(), m).single_use()),
            move |graph, found| masked(graph, found, inverse(graph, found, found[x], c)?),
        ),
        Rule::new(
            "fuse-mul-softmax",
            "softmax(x * c) -> scaled_softmax(x; c)",
            softmax(mul(x, c).single_use()),
            move |graph, found| plain(graph, found, factor(graph, found, found[x], c)?),
        ),
        Rule::new(
            "fuse-div-softmax",
            "softmax(x / c) -> scaled_softmax(x; 1 / c)",
            softmax(div(x, c).single_use()),
            move |graph, found| plain(graph, found, inverse(graph, found, found[x], c)?),
        ),
    ])
}

fn fuse(graph: &mut Graph, root: Value, operands: &[Value], scale: f32) -> Rewritten {
    let &Op::Softmax { axis } = graph.op(root) else { return Err(Skip::NoMatch) };
    let with = if operands.len() > 1 { " and the mask" } else { "" };
    let note = format!("fused the scale {scale:?}{with} into the softmax");
    become_op(graph, root, Op::ScaledSoftmax { axis, scale }, operands, note)
}

/// Returns the scale of a multiplication as an `f32`, like the attribute.
fn factor(graph: &Graph, found: &Match, x: Value, c: Scalar) -> Result<f32, Skip> {
    let name = graph.operand_text(found[c]);
    if graph.tensor(x).is_some() {
        return Err(Skip::rejected(format!("{} is a tensor, which the scale is folded into", graph.operand_text(x))));
    }
    if !keeps_shape(graph, x, found[c]) {
        return Err(Skip::rejected(format!(
            "the scale {name} may broadcast {} to a larger shape",
            graph.operand_text(x)
        )));
    }
    let scale = found.scalar(c);
    if !scale.is_finite() {
        return Err(Skip::rejected(format!("the scale {name} is not finite")));
    }
    exactly(scale).ok_or_else(|| Skip::rejected(format!("the scale {name} is not exact in f32")))
}

/// Returns the scale of a division: the inverse of the divisor.
fn inverse(graph: &Graph, found: &Match, x: Value, c: Scalar) -> Result<f32, Skip> {
    let divisor = factor(graph, found, x, c)?;
    let name = graph.operand_text(found[c]);
    if divisor == 0.0 {
        return Err(Skip::rejected("the divisor is zero"));
    }
    let inverse = 1.0 / f64::from(divisor);
    let is_power = exactly(inverse).is_some_and(|inverse| f64::from(inverse) * f64::from(divisor) == 1.0);
    if is_power {
        return exactly(inverse).ok_or(Skip::NoMatch);
    }
    if graph.fact(x).element() != Some(ElementType::F32) {
        return Err(Skip::rejected(format!("1 / {name} is not exact, which is visible in types other than f32")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest, as the docs say")]
    let rounded = inverse as f32;
    if rounded.is_normal() { Ok(rounded) } else { Err(Skip::rejected(format!("1 / {name} is not a normal f32"))) }
}

/// Returns a number as an `f32`, if that is exact.
fn exactly(value: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let narrow = value as f32;
    (f64::from(narrow) == value).then_some(narrow)
}
