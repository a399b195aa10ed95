//! Recognizes layer and RMS normalization, however they are spelled: values divided by the root of their mean square.
//!
//! Both are a sum of products in which one factor is the inverse of `sqrt(mean(d * d) + epsilon)`. That factor tells
//! what `d` is, and so what the other factors are: `d` itself, a weight and constants. The remaining term is a bias.

mod parts;
mod statistics;

use crate::read::products::number;
use crate::rewrite::{become_op, element, in_memory, insert, scalar_tensor};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Tensor, Value};
use parts::Parts;
use statistics::Statistics;
use std::collections::VecDeque;

/// The maximum number of values above the root that are searched for an inverse root.
const MAX_VALUES: usize = 32;

/// The maximum distance of these values from the root, in operators.
const MAX_STEPS: usize = 7;

/// The operands and attributes of a normalization operator.
struct Normalization {
    x: Value,
    weight: Weight,
    bias: Option<Value>,
    axis: i64,
    epsilon: f32,
}

/// The factor of the normalized values.
enum Weight {
    Value(Value),
    /// The same number for every element, with the shape of the weight.
    Number(f64, Vec<u64>),
}

/// Replaces the arithmetic that ends at the root with a layer normalization if it is `centered`, else with an RMS
/// normalization.
pub(crate) fn normalize(graph: &mut Graph, root: Value, centered: bool) -> Rewritten {
    let normalization = find(graph, root, centered).ok_or(Skip::NoMatch)?;
    // If the next node is a weight, a bias or a cast of the same normalization, the rewrite starts there.
    match (&normalization, only_user(graph, root).and_then(|user| find(graph, user, centered))) {
        (_, Some(Ok(_))) | (Err(_), Some(Err(_))) => return Err(Skip::NoMatch),
        _ => {}
    }
    rewrite(graph, root, normalization?, centered)
}

/// Returns the first result of the only node that uses a value.
fn only_user(graph: &Graph, value: Value) -> Option<Value> {
    if graph.use_count(value) != 1 {
        return None;
    }
    Some(Value { node: graph.users(value).first()?.0, result: 0 })
}

fn rewrite(graph: &mut Graph, root: Value, found: Normalization, centered: bool) -> Rewritten {
    let Normalization { x, weight, bias, axis, epsilon } = found;
    let (weight, with) = match weight {
        Weight::Value(weight) => {
            (weight, if bias.is_some() { ", with a weight and a bias" } else { ", with a weight" })
        }
        Weight::Number(number, dims) => {
            let element = element(graph, root)?;
            let one = scalar_tensor(element, &[], number)?.to_bytes()?;
            let filled = in_memory(&Tensor::fill_with(element, one.to_vec(), &dims)?)?;
            let with = if bias.is_some() { ", with a bias" } else { "" };
            (insert(graph, root, "weight", Op::Constant(filled), &[])?, with)
        }
    };
    if centered {
        let operands: Vec<Value> = [x, weight].into_iter().chain(bias).collect();
        let op = Op::LayerNormalization { axis, epsilon, stash_type: 1 };
        return become_op(graph, root, op, &operands, format!("is a layer normalization{with}"));
    }
    let op = Op::RMSNormalization { axis, epsilon, stash_type: 1 };
    become_op(graph, root, op, &[x, weight], format!("is an RMS normalization{with}"))
}

/// Returns the normalization whose last node is the root. `None` if there is none; an error if it is one that the
/// operator cannot express.
fn find(graph: &Graph, root: Value, centered: bool) -> Option<Result<Normalization, Skip>> {
    let mut near = None;
    for inverse in inverse_roots(graph, root) {
        match Statistics::of(graph, inverse).and_then(|statistics| Parts::find(graph, root, &statistics, centered)) {
            Some(Err(skip)) => near = near.or(Some(Err(skip))),
            Some(found) => return Some(found),
            None => {}
        }
    }
    near
}

/// Returns the square roots close above a value, the nearest first, each with its power: 1/2 or -1/2.
fn inverse_roots(graph: &Graph, root: Value) -> Vec<(Value, f64)> {
    let mut found = vec![];
    let mut seen = vec![root];
    let mut open = VecDeque::from([(root, 0)]);
    while let Some((value, depth)) = open.pop_front() {
        let (a, b) = (graph.operand(value.node, 0), graph.operand(value.node, 1));
        match graph.kind(value) {
            OpKind::Sqrt => found.push((value, 0.5)),
            OpKind::Pow => found.extend(
                b.and_then(|power| number(graph, power)).filter(|power| power.abs() == 0.5).map(|power| (value, power)),
            ),
            OpKind::Add | OpKind::Sub | OpKind::Mul | OpKind::Div | OpKind::Reciprocal | OpKind::Neg | OpKind::Cast
                if depth < MAX_STEPS =>
            {
                let steps = usize::from(graph.kind(value) != OpKind::Cast);
                for operand in [a, b].into_iter().flatten() {
                    if seen.len() < MAX_VALUES && !seen.contains(&operand) {
                        seen.push(operand);
                        open.push_back((operand, depth + steps));
                    }
                }
            }
            _ => {}
        }
    }
    found
}
