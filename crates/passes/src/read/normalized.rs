//! What is divided by the root of its own mean square, in whatever spelling: layer and RMS normalization.
//!
//! Both are a sum of products in which one factor is the inverse of `sqrt(mean(d * d) + epsilon)`. From that factor it is
//! known what `d` is, and then what the others are: `d` itself, a weight, a number; and beside the product a bias.

mod parts;
mod statistics;

use crate::read::products::number;
use crate::rewrite::{become_op, element, in_memory, insert, scalar_tensor};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Tensor, Value};
use parts::Parts;
use statistics::Statistics;
use std::collections::VecDeque;

/// No more values above the root are searched for an inverse root, and none so many operators away.
const MOST_VALUES: usize = 32;
const MOST_STEPS: usize = 7;

/// A normalization, as an operator would compute it.
struct Normalization {
    x: Value,
    weight: Weight,
    bias: Option<Value>,
    axis: i64,
    epsilon: f32,
}

/// What the normalized values are multiplied by.
enum Weight {
    Value(Value),
    /// The same number for all of the elements of that shape.
    Number(f64, Vec<u64>),
}

/// Makes a layer normalization, where it is `centered`, or an RMS normalization of what the root is the last node of.
pub(crate) fn normalize(graph: &mut Graph, root: Value, centered: bool) -> Rewritten {
    let normalization = find(graph, root, centered).ok_or(Skip::NoMatch)?;
    // A weight, a bias or a cast behind it is taken in; the reader tells for both.
    match (&normalization, reader(graph, root).and_then(|reader| find(graph, reader, centered))) {
        (_, Some(Ok(_))) | (Err(_), Some(Err(_))) => return Err(Skip::NoMatch),
        _ => {}
    }
    rewrite(graph, root, normalization?, centered)
}

/// The first result of the one node that reads a value.
fn reader(graph: &Graph, value: Value) -> Option<Value> {
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

/// The normalization whose last node is the root; `None` where there is none, and an error where there nearly is.
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

/// The roots near above a value, the nearest first, each with the power that it is: 1/2 or -1/2.
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
                if depth < MOST_STEPS =>
            {
                let steps = usize::from(graph.kind(value) != OpKind::Cast);
                for operand in [a, b].into_iter().flatten() {
                    if seen.len() < MOST_VALUES && !seen.contains(&operand) {
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
