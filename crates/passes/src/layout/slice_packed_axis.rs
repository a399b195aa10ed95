//! Separates packed queries, keys and values by slices of their last axis.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::{constant_shape, position, same_shape};
use crate::read::transposes::order;
use crate::rewrite::{become_op, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, NodeId, Op, OpKind, Value};

/// The maximum number of operators between the Reshape and the Gather.
const MAX_STEPS: usize = 8;

/// `gather(transpose(reshape(x, [.., 3, n])), 1)` -> `transpose(reshape(slice(x, n, 2 * n)))`
///
/// Queries, keys and values that are projected together are separated by an axis of size 3. Exporters move it to the
/// front and gather each index, or split and squeeze it. If they are cut before the transpose, they are slices of the
/// last axis, which [`merge_slices`](super::merge_slices) turns into one Split, and each is transposed by itself. Every
/// element keeps its position.
pub fn slice_packed_axis() -> Pass {
    let summary = "gather(transpose(reshape(x, [.., 3, n])), 1) -> transpose(reshape(slice(x, n, 2 * n)))";
    Pass::new("slice-packed-axis", summary, Exactness::Bits).at([OpKind::Gather, OpKind::Squeeze], slice)
}

fn slice(graph: &mut Graph, root: Value) -> Rewritten {
    let Place { from, axis, index } = place(graph, root).ok_or(Skip::NoMatch)?;
    let (reshaped, axes) = origins(graph, from).ok_or(Skip::NoMatch)?;
    let x = graph.operand(reshaped.node, 0).ok_or(Skip::NoMatch)?;
    let (Some(whole), Some(split)) = (graph.shape(x), graph.shape(reshaped)) else { return Err(Skip::NoMatch) };
    let packed = axes[axis];
    // The runtime reports an out-of-range index.
    let (before, count, after) = match (&split[..packed], split[packed].known(), &split[packed + 1..]) {
        (before, Some(count), after) if count > 1 && (-count..count).contains(&index) => (before, count, after),
        _ => return Err(Skip::NoMatch),
    };
    // The packed axis is the first part of the last axis.
    let Some((Dim::Known(last), leading)) = whole.split_last() else { return Err(Skip::NoMatch) };
    let is_more = |dim: &&Dim| **dim != Dim::Known(1);
    let without_ones = |dims: &[Dim]| dims.iter().filter(is_more).cloned().collect::<Vec<_>>();
    let width = after.iter().try_fold(1_i64, |product, dim| product.checked_mul(dim.known()?));
    let width = width.filter(|width| width.checked_mul(count) == Some(*last)).ok_or(Skip::NoMatch)?;
    if !same_shape(&without_ones(leading), &without_ones(before)) {
        return Err(Skip::NoMatch);
    }
    if graph.is_output(from) || !graph.users(from).iter().all(|(user, at)| *at == 0 && is_cut(graph, *user, axis)) {
        return Err(Skip::rejected(format!("{} has another use", graph.operand_text(from))));
    }
    // The remaining axes, in the order of the reshape, and the position to which each goes.
    let goes: Vec<usize> = axes.iter().copied().filter(|origin| *origin != packed).collect();
    let mut left = goes.clone();
    left.sort_unstable();
    let dims: Vec<Dim> = left.iter().map(|origin| split[*origin].clone()).collect();
    let among = |origin: &usize| left.iter().position(|own| own == origin).and_then(|at| i64::try_from(at).ok());
    let perm: Vec<i64> = goes.iter().map(among).collect::<Option<_>>().ok_or(Skip::NoMatch)?;
    let cut = [leading, &[Dim::Known(width)]].concat();
    let sizes = constant_shape(Some(&cut), &dims, None).ok_or(Skip::NoMatch)?;
    let start = if index < 0 { index + count } else { index } * width;
    let mut operands = vec![x];
    for (word, number) in [("start", start), ("end", start + width), ("axis", -1)] {
        operands.push(number_list(graph, root, word, &[number])?);
    }
    let part = insert(graph, root, "part", Op::Slice, &operands)?;
    let sizes = number_list(graph, root, "sizes", &sizes)?;
    let split = insert(graph, root, "split", Op::Reshape { allowzero: false }, &[part, sizes])?;
    become_op(graph, root, Op::Transpose { perm }, &[split], "sliced before the reshape and the transpose")
}

/// One index of an axis, which is removed.
struct Place {
    from: Value,
    axis: usize,
    index: i64,
}

/// Whether a node only selects single indices of that axis.
fn is_cut(graph: &Graph, node: NodeId, axis: usize) -> bool {
    let is_place = |value: Value| place(graph, value).is_some_and(|place| place.axis == axis);
    let is_read_so = |part: Value| {
        let users = graph.users(part);
        !graph.is_output(part) && users.iter().all(|(user, _)| is_place(Value { node: *user, result: 0 }))
    };
    match graph.node(node).op().kind() {
        OpKind::Split => graph.results(node).all(is_read_so),
        _ => is_place(Value { node, result: 0 }),
    }
}

fn place(graph: &Graph, root: Value) -> Option<Place> {
    let (inner, second) = (graph.operand(root.node, 0)?, graph.operand(root.node, 1)?);
    let numbers = graph.fact(second).known_elements()?;
    let &[number] = numbers.as_slice() else { return None };
    match *graph.op(root) {
        // A scalar index removes the axis.
        Op::Gather { axis } if graph.fact(second).rank() == Some(0) => {
            let axis = position(axis, graph.fact(inner).rank()?)?;
            Some(Place { from: inner, axis, index: number })
        }
        Op::Squeeze => {
            let &Op::Split { axis } = graph.op(inner) else { return None };
            let from = graph.operand(inner.node, 0)?;
            let shape = graph.shape(from)?;
            let axis = position(axis, shape.len()).filter(|axis| position(number, shape.len()) == Some(*axis))?;
            // As many parts as the size of the axis, each of size 1.
            let parts = i64::try_from(graph.node(inner.node).result_count()).ok()?;
            let is_single = *shape.get(axis)? == Dim::Known(parts)
                && graph
                    .results(inner.node)
                    .all(|part| graph.shape(part).and_then(|shape| shape.get(axis)) == Some(&Dim::Known(1)));
            is_single.then_some(Place { from, axis, index: inner.result.into() })
        }
        _ => None,
    }
}

/// Returns the Reshape from which a chain of Transposes and Squeezes computes a value, each with one use, and the axis
/// of the Reshape for each axis of the value.
fn origins(graph: &Graph, mut value: Value) -> Option<(Value, Vec<usize>)> {
    let mut axes: Vec<usize> = (0..graph.fact(value).rank()?).collect();
    for _ in 0..MAX_STEPS {
        let inner = graph.operand(value.node, 0)?;
        match graph.op(value) {
            Op::Reshape { .. } => return Some((value, axes)),
            Op::Transpose { .. } => {
                let order = order(graph, value)?;
                axes = axes.iter().map(|axis| order.get(*axis).copied()).collect::<Option<_>>()?;
            }
            Op::Squeeze => {
                let rank = graph.fact(inner).rank()?;
                let dropped = graph.fact(graph.operand(value.node, 1)?).known_elements()?;
                let dropped: Vec<usize> = dropped.iter().map(|axis| position(*axis, rank)).collect::<Option<_>>()?;
                let kept: Vec<usize> = (0..rank).filter(|axis| !dropped.contains(axis)).collect();
                axes = axes.iter().map(|axis| kept.get(*axis).copied()).collect::<Option<_>>()?;
            }
            _ => return None,
        }
        if graph.use_count(inner) != 1 {
            return None;
        }
        value = inner;
    }
    None
}
