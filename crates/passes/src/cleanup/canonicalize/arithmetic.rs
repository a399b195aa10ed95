//! Removes arithmetic and logic without effect, and turns divisions into multiplications.

use crate::pattern::{Pattern, add, any, div, known, mul, neg, not, op, scalar, sub, where_};
use crate::rewrite::{become_op, become_value, insert, keeps_shape, scalar_tensor};
use crate::rule::{Rule, Skip};
use netwright_ir::{Op, OpKind, Tensor};

pub(super) fn rules() -> Vec<Rule> {
    let (x, c) = (any("x"), known("c"));
    let mut rules = vec![
        drop_neutral("x * 1 -> x", mul(x, c)),
        drop_neutral("x / 1 -> x", div(x, c)),
        drop_neutral("x + -0 -> x, and integers + 0", add(x, c)),
        drop_neutral("x - 0 -> x", sub(x, c)),
        drop_equal_branches(),
        drop_double_negation(),
        subtract_negated(),
        multiply_by_inverse(),
    ];
    rules.extend([OpKind::Sum, OpKind::Mean, OpKind::Max, OpKind::Min, OpKind::Concat].map(drop_only));
    rules
}

/// Sound for NaN and both zeros, unless the constant broadcasts `x` to a larger shape.
fn drop_neutral(summary: &'static str, pattern: Pattern) -> Rule {
    let (x, c) = (any("x"), known("c"));
    Rule::new("drop-neutral", summary, pattern, move |graph, found| {
        let neutral = graph.tensor(found[c]).is_some_and(|number| is_neutral(graph.kind(found.root()), number));
        if !neutral || !keeps_shape(graph, found[x], found[c]) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, found.root(), found[x], "dropped: its constant changes nothing")
    })
}

fn is_neutral(kind: OpKind, number: &Tensor) -> bool {
    match (kind, number.float(), number.integers().as_deref()) {
        (OpKind::Mul | OpKind::Div, Some(float), _) => float == 1.0,
        // -0.0 + 0.0 is 0.0, and so is -0.0 - -0.0.
        (OpKind::Add, Some(float), _) => float == 0.0 && float.is_sign_negative(),
        (OpKind::Sub, Some(float), _) => float == 0.0 && float.is_sign_positive(),
        (OpKind::Mul | OpKind::Div, None, Some([1])) | (OpKind::Add | OpKind::Sub, None, Some([0])) => true,
        _ => false,
    }
}

/// Sound unless the condition broadcasts `x` to a larger shape.
fn drop_equal_branches() -> Rule {
    let (c, x) = (any("c"), any("x"));
    Rule::new("drop-equal-branches", "where(c, x, x) -> x", where_(c, x, x), move |graph, found| {
        if !keeps_shape(graph, found[x], found[c]) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, found.root(), found[x], "dropped: both branches are the same")
    })
}

fn drop_double_negation() -> Rule {
    let x = any("x");
    Rule::new("drop-double-negation", "not(not(x)) -> x", not(not(x)), move |graph, found| {
        become_value(graph, found.root(), found[x], "dropped: it negates twice")
    })
}

fn subtract_negated() -> Rule {
    let (x, y) = (any("x"), any("y"));
    Rule::new("subtract-negated", "x + -y -> x - y", add(x, neg(y)), move |graph, found| {
        become_op(graph, found.root(), Op::Sub, &[found[x], found[y]], "subtracts instead of adding the negated")
    })
}

fn drop_only(kind: OpKind) -> Rule {
    Rule::new("drop-only", "sum, mean, max, min or concat of one operand x -> x", op(kind), |graph, found| match graph
        .operands(found.root().node)[..]
    {
        [Some(x)] => become_value(graph, found.root(), x, "dropped: it has one operand"),
        _ => Err(Skip::NoMatch),
    })
}

/// Sound if the inverse is exact: the quotient and the product round the same number.
fn multiply_by_inverse() -> Rule {
    let (x, c) = (any("x"), scalar("c"));
    Rule::new("multiply-by-inverse", "x / c -> x * (1 / c), for powers of two", div(x, c), move |graph, found| {
        let divisor = found.scalar(c);
        let tensor = graph.tensor(found[c]).filter(|_| is_power_of_two(divisor)).ok_or(Skip::NoMatch)?;
        let inverse = scalar_tensor(tensor.element(), tensor.dims(), 1.0 / divisor)?;
        // The inverse may be out of the range of the type.
        if inverse.float() != Some(1.0 / divisor) {
            return Err(Skip::NoMatch);
        }
        let root = found.root();
        let inverse = insert(graph, root, "inverse", Op::Constant(inverse), &[])?;
        become_op(graph, root, Op::Mul, &[found[x], inverse], "multiplies by the inverse, which is exact")
    })
}

fn is_power_of_two(value: f64) -> bool {
    const DIGITS: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;
    value.is_normal() && value.to_bits() & DIGITS == 0
}
