use crate::normalization::{Normalized, inverse_root, is_square, mean_over_last, plus_number};
use crate::pattern::op;
use crate::pipeline::{Body, Pass};
use crate::rewrite::{become_op, expect_alone};
use crate::rule::{Rewritten, Rule, Skip};
use crate::sizes::same_shape;
use netwright_ir::{Graph, Kind, Op, Tensor, Value};

/// `d / sqrt(mean(d * d) + epsilon) * w + b`, where `d = x - mean(x)` -> `layer_normalization(x, w, b)`
///
/// The means are over the last axes. The weight is taken in first, then the bias. The function is the same; a runtime
/// may round its steps differently. TensorFlow's order, `x * g + (b - mean(x) * g)` with `g = w / sqrt(..)`, is
/// recognized too; it loses digits where the mean is large, which the operator does not.
///
/// The norm of "The Annotated Transformer", `w * d / (std(x) + epsilon) + b` with the deviation of n - 1 degrees of
/// freedom, is another function, and stays.
pub fn fuse_layer_normalization() -> Pass {
    let rule = |kind, rewrite: fn(&mut Graph, Value) -> Rewritten| {
        let summary = "(x - mean(x)) / sqrt(var(x) + epsilon) * w + b -> layer_normalization(x, w, b)";
        Rule::new("fuse-layer-normalization", summary, op(kind), move |graph, found| rewrite(graph, found.root()))
    };
    Pass {
        name: "fuse-layer-normalization",
        summary: "(x - mean(x)) / sqrt(var(x) + epsilon) * w + b -> layer_normalization(x, w, b), from opset 17 on",
        body: Body::Rules(vec![
            rule(Kind::Mul, weighted),
            rule(Kind::Add, biased),
            rule(Kind::Add, rearranged),
            rule(Kind::Div, unbiased),
        ]),
    }
}

fn weighted(graph: &mut Graph, root: Value) -> Rewritten {
    let (weight, normalized) = Normalized::weighted(graph, root)?;
    let centered = normalized.x;
    let x = centered_at_mean(graph, centered, normalized.axis).ok_or(Skip::NoMatch)?;
    if normalized.is_wider {
        return Err(Skip::rejected(format!("{} is of a narrower type than its square", graph.operand_text(centered))));
    }
    normalized.expect_shaped(graph, weight)?;
    let axis = normalized.axis_from_end(graph)?;
    let norm = Op::LayerNormalization { axis, epsilon: normalized.epsilon, stash_type: 1 };
    become_op(graph, root, norm, &[x, weight], "is a layer normalization")
}

/// `x` of `x - mean(x)`.
fn centered_at_mean(graph: &Graph, value: Value, axis: usize) -> Option<Value> {
    let [x, mean] = [0, 1].map(|at| graph.operand(value.node, at).filter(|_| graph.kind(value) == Kind::Sub));
    let x = x?;
    (mean_over_last(graph, mean?) == Some((x, axis))).then_some(x)
}

fn biased(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = [0, 1].map(|at| graph.operand(root.node, at));
    let (Some(a), Some(b)) = (a, b) else { return Err(Skip::NoMatch) };
    let is_norm = |of: Value| graph.kind(of) == Kind::LayerNormalization && graph.operands(of.node).len() == 2;
    let (norm, bias) = match (is_norm(a), is_norm(b)) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        _ => return Err(Skip::NoMatch),
    };
    let [x, weight] = [0, 1].map(|at| graph.operand(norm.node, at));
    let (Some(x), Some(weight)) = (x, weight) else { return Err(Skip::NoMatch) };
    match (graph.shape(weight), graph.shape(bias)) {
        (Some(weight), Some(bias)) if same_shape(weight, bias) => {}
        _ => return Err(Skip::NoMatch),
    }
    if graph.node(norm.node).result_count() > 1 {
        return Err(Skip::NoMatch);
    }
    expect_alone(graph, norm)?;
    let op = graph.op(norm).clone();
    become_op(graph, root, op, &[x, weight, bias], "took in the bias")
}

/// `x * g + (b - mean(x) * g)`, where `g = w / sqrt(mean((x - mean(x))²) + epsilon)`.
fn rearranged(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = [0, 1].map(|at| graph.operand(root.node, at));
    let (Some(a), Some(b)) = (a, b) else { return Err(Skip::NoMatch) };
    for (scaled, shift) in [(a, b), (b, a)] {
        if graph.kind(scaled) != Kind::Mul || graph.kind(shift) != Kind::Sub {
            continue;
        }
        let [p, q, bias, product] =
            [(scaled, 0), (scaled, 1), (shift, 0), (shift, 1)].map(|(of, at)| graph.operand(of.node, at));
        let (Some(p), Some(q), Some(bias), Some(product)) = (p, q, bias, product) else { continue };
        for (x, gain) in [(p, q), (q, p)] {
            let Some((weight, axis, epsilon)) = gain_of(graph, x, gain, product) else { continue };
            for inner in [scaled, shift, product] {
                expect_alone(graph, inner)?;
            }
            if graph.is_output(gain) || graph.use_count(gain) != 2 {
                return Err(Skip::rejected(format!("{} has another use", graph.operand_text(gain))));
            }
            let normalized = Normalized { x, axis, epsilon, is_wider: false };
            normalized.expect_shaped(graph, weight)?;
            normalized.expect_shaped(graph, bias)?;
            let norm = Op::LayerNormalization { axis: normalized.axis_from_end(graph)?, epsilon, stash_type: 1 };
            return become_op(graph, root, norm, &[x, weight, bias], "is a layer normalization");
        }
    }
    Err(Skip::NoMatch)
}

/// The weight, axis and epsilon of `w / sqrt(var(x) + epsilon)`, where `product` is that times the mean of `x`.
fn gain_of(graph: &Graph, x: Value, gain: Value, product: Value) -> Option<(Value, usize, f32)> {
    if graph.kind(gain) != Kind::Mul || graph.kind(product) != Kind::Mul {
        return None;
    }
    let operands = |of: Value| Some([graph.operand(of.node, 0)?, graph.operand(of.node, 1)?]);
    let [a, b] = operands(product)?;
    let mean = if a == gain {
        b
    } else if b == gain {
        a
    } else {
        return None;
    };
    let (of, axis) = mean_over_last(graph, mean)?;
    let [a, b] = operands(gain)?;
    let (weight, variance) = match (inverse_root(graph, a), inverse_root(graph, b)) {
        (Some(variance), _) => (b, variance),
        (_, Some(variance)) => (a, variance),
        _ => return None,
    };
    let (variance, epsilon) = plus_number(graph, variance)?;
    let (square, own) = mean_over_last(graph, variance)?;
    let centered = graph.operand(square.node, 0)?;
    let is_variance = is_square(graph, square, centered) && centered_at_mean(graph, centered, axis) == Some(x);
    #[expect(clippy::cast_possible_truncation, reason = "the attribute is an f32; rounded to nearest")]
    let epsilon = epsilon as f32;
    (of == x && own == axis && is_variance && epsilon.is_finite() && epsilon >= 0.0).then_some((weight, axis, epsilon))
}

/// `d / (sqrt(v) + epsilon)`: what nearly is a layer normalization.
fn unbiased(graph: &mut Graph, root: Value) -> Rewritten {
    let divisor = graph.operand(root.node, 1).and_then(|divisor| plus_number(graph, divisor)).ok_or(Skip::NoMatch)?;
    let variance = graph.operand(divisor.0.node, 0).filter(|_| graph.kind(divisor.0) == Kind::Sqrt);
    let variance = variance.ok_or(Skip::NoMatch)?;
    let factor = graph.operand(variance.node, 1).and_then(|of| graph.tensor(of)).and_then(Tensor::float);
    let degrees = match (graph.kind(variance), factor) {
        (Kind::Div, Some(degrees)) => format!(" and the sum of squares is divided by {degrees}"),
        _ => String::new(),
    };
    Err(Skip::rejected(format!(
        "epsilon stands outside of the root{degrees}: that is another function than LayerNormalization"
    )))
}
