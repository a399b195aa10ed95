//! Removes transposes before and after operators that can compute in the other layout.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::same_shape;
use crate::read::transposes::{merged, order};
use crate::rewrite::{insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::op::Class;
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `transpose(f(transpose(x), w))` -> `f(x, w)`, if the transposes cancel
///
/// TensorFlow stores images with the channels last, so exports of its models transpose around every convolution.
/// Between two convolutions, activations and constants per channel do not depend on the order of the axes, and padding
/// moves with them. The same numbers are computed.
pub fn cancel_transposes() -> Pass {
    let summary = "transpose(f(transpose(x), w)) -> f(x, w), if the transposes cancel";
    Pass::new("cancel-transposes", summary, Exactness::Bits).at([OpKind::Transpose], cancel)
}

/// The maximum number of operators between the transposes.
const MAX_STEPS: usize = 16;

fn cancel(graph: &mut Graph, root: Value) -> Rewritten {
    let outer = order(graph, root).ok_or(Skip::NoMatch)?;
    let mut value = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let mut steps = vec![];
    while graph.kind(value) != OpKind::Transpose {
        if steps.len() == MAX_STEPS || graph.use_count(value) != 1 {
            return Err(Skip::NoMatch);
        }
        let at = data_operand(graph, value, outer.len()).ok_or(Skip::NoMatch)?;
        steps.push((value, at));
        value = graph.operand(value.node, at).ok_or(Skip::NoMatch)?;
    }
    let Some(Op::Transpose { perm }) = merged(graph, value, root) else { return Err(Skip::NoMatch) };
    if steps.is_empty() || !perm.into_iter().zip(0_i64..).all(|(from, at)| from == at) {
        return Err(Skip::NoMatch);
    }
    let x = graph.operand(value.node, 0).ok_or(Skip::NoMatch)?;
    let mut moved = x;
    for (step, at) in steps.into_iter().rev() {
        let mut operands = vec![];
        for (place, operand) in graph.operands(step.node).into_iter().enumerate() {
            operands.push(match operand {
                Some(_) if place == at => Some(moved),
                Some(pads) if place == 1 && graph.kind(step) == OpKind::Pad => {
                    let pads = pads_of(graph, pads, outer.len()).ok_or(Skip::NoMatch)?;
                    let (before, after) = pads.split_at(outer.len());
                    let pads: Vec<i64> =
                        [before, after].iter().flat_map(|own| outer.iter().map(|axis| own[*axis])).collect();
                    Some(number_list(graph, root, "pads", &pads)?)
                }
                Some(other) => Some(reordered(graph, root, other, &outer)?),
                None => None,
            });
        }
        let place = graph.beside(root.node, "moved");
        moved = Value { node: graph.insert(place, graph.op(step).clone(), &operands)?, result: 0 };
    }
    crate::rewrite::become_value(graph, root, moved, "cancels with the transpose before it")
}

/// Returns the index of the operand that holds the data, if the operator treats its elements independently. Other
/// operands are scalars or constants per channel.
fn data_operand(graph: &Graph, value: Value, rank: usize) -> Option<usize> {
    let operands = graph.operands(value.node);
    let has_shape = |of: Value| {
        let shapes = graph.shape(of).zip(graph.shape(value));
        shapes.is_some_and(|(own, whole)| own.len() == rank && same_shape(own, whole))
    };
    let is_number = |of: Value| graph.fact(of).rank() == Some(0);
    match graph.kind(value) {
        kind if kind.class() == Class::ElementwiseUnary => Some(0),
        OpKind::Pad => {
            let has_axes = operands.get(3).is_some_and(Option::is_some);
            let fills = operands.get(2).copied().flatten();
            pads_of(graph, (*operands.get(1)?)?, rank)?;
            (!has_axes && fills.is_none_or(is_number)).then_some(0)
        }
        OpKind::Clip => operands.iter().skip(1).flatten().all(|bound| is_number(*bound)).then_some(0),
        kind if kind.class() == Class::Broadcasting || kind == OpKind::PRelu => {
            let is_beside = |of: Value| is_number(of) || graph.tensor(of).is_some() && channel(graph, of).is_some();
            let data =
                operands.iter().position(|of| of.is_some_and(|of| graph.tensor(of).is_none() && has_shape(of)))?;
            let others = operands.iter().enumerate().filter(|(at, _)| *at != data);
            let is_first = data == 0 || graph.kind(value) != OpKind::PRelu;
            (is_first && others.into_iter().all(|(_, of)| of.is_some_and(is_beside))).then_some(data)
        }
        _ => None,
    }
}

/// Returns the known pads before and after each of the axes.
fn pads_of(graph: &Graph, pads: Value, rank: usize) -> Option<Vec<i64>> {
    graph.fact(pads).known_elements().filter(|pads| pads.len() == 2 * rank)
}

/// Returns the only axis, counted from the last, whose size is not 1, and that size; 0 and 1 if there is none. `None`
/// if there are several.
fn channel(graph: &Graph, value: Value) -> Option<(usize, i64)> {
    let mut found = None;
    for (at, dim) in graph.shape(value)?.iter().rev().enumerate() {
        match dim {
            Dim::Known(1) => {}
            Dim::Known(size) if found.is_none() => found = Some((at, *size)),
            _ => return None,
        }
    }
    Some(found.unwrap_or((0, 1)))
}

/// Reshapes a constant that is broadcast to the axes before the transpose for the axes after it.
fn reordered(graph: &mut Graph, root: Value, value: Value, order: &[usize]) -> Result<Value, Skip> {
    if graph.fact(value).rank() == Some(0) {
        return Ok(value);
    }
    let (from_last, size) = channel(graph, value).ok_or(Skip::NoMatch)?;
    let axis = order.len().checked_sub(from_last + 1).ok_or(Skip::NoMatch)?;
    let to = order.iter().position(|from| *from == axis).ok_or(Skip::NoMatch)?;
    // Leading axes of size 1 are not needed.
    let mut sizes = vec![1; order.len() - to];
    if let Some(first) = sizes.first_mut() {
        *first = size;
    }
    let sizes = number_list(graph, root, "by_channel", &sizes)?;
    insert(graph, root, "by_channel", Op::Reshape { allowzero: false }, &[value, sizes])
}
