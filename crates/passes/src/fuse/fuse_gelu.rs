//! Fuses the arithmetic around erf or tanh into Gelu.

use crate::pass::{Exactness, Pass};
use crate::read::polynomial::{Polynomial, above};
use crate::read::products::Region;
use crate::read::sizes::keeps_sizes;
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Skip};
use netwright_ir::op::GeluApproximation;
use netwright_ir::{Graph, Op, OpKind, Value};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// `x * 0.5 * (1 + erf(x / sqrt(2)))` -> `gelu(x)`, and likewise for the form with tanh
///
/// The arithmetic before and after erf or tanh is read as polynomials, so factors and terms may have any order and
/// grouping. The function is the same, but a runtime may round its steps differently. Constants may deviate by 1e-6, in
/// types narrower than `f32` by 1e-3, as their precision does, and in `f64` not at all. The square root of 2 may be
/// 1.4142 in `f32`, as in Megatron: a relative error `d` of the factor in erf changes no result by more than `0.3 * d`,
/// the maximum of `x² * exp(-x² / 2) * d / sqrt(2 * pi)`, which is 3e-6.
pub fn fuse_gelu() -> Pass {
    let summary = "x * 0.5 * (1 + erf(x / sqrt(2))) -> gelu(x), from opset 20 on";
    Pass::new("fuse-gelu", summary, Exactness::Rounding)
        .forms(OpKind::Gelu)
        .needs_one_of(&[OpKind::Erf, OpKind::Tanh])
        .at([OpKind::Mul, OpKind::Div, OpKind::Add], fuse)
}

fn fuse(graph: &mut Graph, root: Value) -> Rewritten {
    let mut skip = Skip::NoMatch;
    for curve in above(graph, root) {
        let approximate = match graph.kind(curve) {
            OpKind::Erf => GeluApproximation::None,
            OpKind::Tanh => GeluApproximation::Tanh,
            _ => continue,
        };
        let Some(argument) = graph.operand(curve.node, 0) else { continue };
        for x in above(graph, argument) {
            match is_gelu(graph, root, curve, argument, x, approximate) {
                Ok(()) => return become_op(graph, root, Op::Gelu { approximate }, &[x], "is a gelu"),
                Err(near @ Skip::Rejected(_)) if skip == Skip::NoMatch => skip = near,
                Err(_) => {}
            }
        }
    }
    Err(skip)
}

/// Checks that the root is a gelu of `x` whose erf or tanh is `curve`, applied to `argument`.
///
/// # Errors
/// If it is not, or is one with constants that deviate too much or values with other uses.
fn is_gelu(
    graph: &Graph,
    root: Value,
    curve: Value,
    argument: Value,
    x: Value,
    approximate: GeluApproximation,
) -> Result<(), Skip> {
    let mut region = Region::default();
    let mut read = |value, variables: &[Value]| Polynomial::read(graph, value, variables, &mut region);
    let (inner, outer) = read(argument, &[x]).zip(read(root, &[x, curve])).ok_or(Skip::NoMatch)?;
    let numbers = match approximate {
        GeluApproximation::None => inner.numbers([[1, 0]]).map(|[a]| vec![(a, FRAC_1_SQRT_2)]),
        GeluApproximation::Tanh => inner.numbers([[1, 0], [3, 0]]).map(|[a, b]| {
            let b_of_a = b / a;
            vec![(a, FRAC_2_PI.sqrt()), (b_of_a, 0.044_715)]
        }),
    };
    let halves = outer.numbers([[1, 0], [1, 1]]).map(|halves| halves.map(|half| (half, 0.5)));
    let (mut numbers, halves) = numbers.zip(halves).ok_or(Skip::NoMatch)?;
    // The curves are odd: 1 - erf(-x) is 1 + erf(x).
    if numbers[0].0 < 0.0 && halves[1].0 < 0.0 {
        numbers[0].0 = -numbers[0].0;
        numbers.extend([halves[0], (-halves[1].0, 0.5)]);
    } else {
        numbers.extend(halves);
    }
    // The precision of f16 suffices to recognize the constants.
    if !numbers.iter().all(|(found, expected)| (found - expected).abs() <= 1e-3 * expected) {
        return Err(Skip::NoMatch);
    }
    let element = crate::rewrite::element(graph, root)?;
    if graph.fact(x).element() != Some(element) || region.is_narrower(graph, element) {
        return Err(Skip::NoMatch);
    }
    for (at, (found, expected)) in numbers.iter().enumerate() {
        let tolerance = match element.bits() {
            ..32 => 1e-3,
            64.. => 1e-14,
            _ if at == 0 && approximate == GeluApproximation::None => 1e-5,
            _ => 1e-6,
        };
        if (found - expected).abs() > tolerance * expected {
            return Err(Skip::rejected(format!("its constant {found} deviates too much from {expected}")));
        }
    }
    if !graph.shape(x).zip(graph.shape(root)).is_some_and(|(from, to)| keeps_sizes(from, to)) {
        return Err(Skip::rejected("a constant may broadcast it to a larger shape"));
    }
    region.insert(curve).ok_or(Skip::NoMatch)?;
    region.is_private(graph, root)
}
