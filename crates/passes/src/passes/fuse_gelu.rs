use crate::pattern::{Found, Pattern, Scalar, add, any, div, erf, mul, pow, scalar, tanh};
use crate::pipeline::{Body, Pass};
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Rule, Skip};
use crate::sizes::same_shape;
use netwright_ir::op::GeluApproximation;
use netwright_ir::{Graph, Op};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, SQRT_2};

/// `x * 0.5 * (1 + erf(x / sqrt(2)))` -> `gelu(x)`, and so for the form with the hyperbolic tangent
///
/// From opset 20 on, which has the operator. The function is the same; a runtime may round its steps differently.
pub fn fuse_gelu() -> Pass {
    let (x, a, b, c, d, e) = (any("x"), scalar("a"), scalar("b"), scalar("c"), scalar("d"), scalar("e"));
    let erfs: [(Pattern, f64); 2] = [(div(x, a), SQRT_2), (mul(x, a), FRAC_1_SQRT_2)];
    let erfs = erfs.map(|(scaled, factor)| (erf(scaled.single_use()), vec![(a, factor)], GeluApproximation::None));
    let cubes: [(Pattern, Vec<(Scalar, f64)>); 3] = [
        (pow(x, e), vec![(e, 3.0)]),
        (mul(mul(x, x).single_use(), x), vec![]),
        (mul(x, mul(x, x).single_use()), vec![]),
    ];
    let tanhs = cubes.map(|(cube, mut numbers)| {
        let sum = add(x, mul(cube.single_use(), a).single_use()).single_use();
        numbers.extend([(a, 0.044_715), (b, FRAC_2_PI.sqrt())]);
        (tanh(mul(sum, b).single_use()), numbers, GeluApproximation::Tanh)
    });
    let mut rules = vec![];
    for (curve, mut numbers, approximate) in erfs.into_iter().chain(tanhs) {
        numbers.extend([(c, 1.0), (d, 0.5)]);
        let gate = || add(curve.clone().single_use(), c).single_use();
        for pattern in [
            mul(mul(x, d).single_use(), gate()),
            mul(mul(x, gate()).single_use(), d),
            mul(x, mul(gate(), d).single_use()),
        ] {
            let numbers = numbers.clone();
            let summary = "x * 0.5 * (1 + erf(x / sqrt(2))) -> gelu(x)";
            rules.push(Rule::new("fuse-gelu", summary, pattern, move |graph, found| {
                let x = found[x];
                fuse(graph, found, &numbers, x, approximate)
            }));
        }
    }
    Pass {
        name: "fuse-gelu",
        summary: "x * 0.5 * (1 + erf(x / sqrt(2))) -> gelu(x), from opset 20 on",
        body: Body::Rules(rules),
    }
}

fn fuse(
    graph: &mut Graph,
    found: &Found,
    numbers: &[(Scalar, f64)],
    x: netwright_ir::Value,
    approximate: GeluApproximation,
) -> Rewritten {
    // The digits of an f16 tell the numbers apart.
    let close = |&(scalar, expected): &(Scalar, f64)| (found.scalar(scalar) - expected).abs() <= 1e-3 * expected;
    if !numbers.iter().all(close) {
        return Err(Skip::NoMatch);
    }
    let exact = |&(scalar, expected): &(Scalar, f64)| {
        let found = found.scalar(scalar);
        (found - expected).abs() <= 2e-7 * expected || graph.fact(x).element().is_some_and(|own| own.bits() < 32)
    };
    if let Some((scalar, expected)) = numbers.iter().find(|number| !exact(number)) {
        let number = found.scalar(*scalar);
        return Err(Skip::rejected(format!("{number} is not {expected}")));
    }
    let root = found.root();
    match (graph.shape(x), graph.shape(root)) {
        (Some(from), Some(to)) if same_shape(from, to) => {}
        _ => return Err(Skip::rejected("a number may widen the shape")),
    }
    become_op(graph, root, Op::Gelu { approximate }, &[x], "is a gelu")
}
