//! Brings cosines and sines into the form that the operator takes.

use crate::read::sizes::{Sizes, position};
use crate::rewrite::insert;
use crate::rule::Skip;
use netwright_ir::op::Class;
use netwright_ir::{Dim, Graph, Op, Tensor, Value};

/// The maximum number of operators between the two halves and the product.
const MAX_STEPS: usize = 8;

/// Returns the cosines or sines that rotate `x`, `[batch, heads, length, size]`, as `[batch, length, size / 2]`.
pub(super) fn cache(graph: &mut Graph, root: Value, angles: Value, x: &[Dim]) -> Result<Value, Skip> {
    let [batch, _, length, _] = x else { return Err(Skip::NoMatch) };
    let mut half = halved(graph, root, angles, 0)?;
    if graph.fact(half).rank() == Some(4) {
        if graph.shape(half).and_then(|shape| shape.get(1)) != Some(&Dim::Known(1)) {
            return Err(Skip::rejected(format!("{} may differ between heads", graph.operand_text(angles))));
        }
        let axes = insert(graph, root, "axes", Op::Constant(Tensor::indices(&[1])), &[])?;
        half = insert(graph, root, "half", Op::Squeeze, &[half, axes])?;
    }
    let shape = graph.shape(half).ok_or(Skip::NoMatch)?;
    let (own_batch, own_length) = match shape {
        [length, _] => (Dim::Known(1), length),
        [batch, length, _] => (batch.clone(), length),
        _ => {
            return Err(Skip::rejected(format!(
                "the rank of {} is {}, but must be 2 to 4",
                graph.operand_text(angles),
                shape.len()
            )));
        }
    };
    if own_length.same(length) != Some(true) {
        return Err(Skip::rejected(format!(
            "the length of {} does not provably equal that of the heads",
            graph.operand_text(angles)
        )));
    }
    if shape.len() == 3 && own_batch.same(batch) == Some(true) {
        return Ok(half);
    }
    if own_batch != Dim::Known(1) {
        return Err(Skip::rejected(format!(
            "the batch of {} does not provably equal that of the heads",
            graph.operand_text(angles)
        )));
    }
    let sizes = Sizes::of(graph).expression(&[batch.clone(), Dim::Known(1), Dim::Known(1)], true);
    let sizes = sizes.ok_or_else(|| Skip::rejected(format!("the size {batch} is not an input's")))?;
    let sizes = sizes.insert(graph, root)?;
    insert(graph, root, "batch", Op::Expand, &[half, sizes])
}

/// Returns the first half of a value along its last axis, if both halves are provably equal.
fn halved(graph: &mut Graph, root: Value, value: Value, depth: usize) -> Result<Value, Skip> {
    let unknown = || Skip::rejected(format!("the halves of {} are not provably equal", graph.operand_text(value)));
    let rank = graph.fact(value).rank().filter(|_| depth < MAX_STEPS).ok_or_else(unknown)?;
    let operands: Vec<Value> = graph.operands(value.node).into_iter().flatten().collect();
    let op = graph.op(value).clone();
    match (&op, operands.as_slice()) {
        (Op::Concat { axis }, [a, b]) if a == b && position(*axis, rank) == Some(rank - 1) => Ok(*a),
        (op, [x]) if op.kind().class() == Class::ElementwiseUnary => {
            let half = halved(graph, root, *x, depth + 1)?;
            insert(graph, root, "half", op.clone(), &[half])
        }
        (Op::Mul, [x, y]) => {
            let is_number = |of: Value| graph.tensor(of).and_then(Tensor::float).is_some();
            let (x, y) = match (is_number(*x), is_number(*y)) {
                (false, true) => (*x, *y),
                (true, false) => (*y, *x),
                _ => return Err(unknown()),
            };
            let half = halved(graph, root, x, depth + 1)?;
            insert(graph, root, "half", op, &[half, y])
        }
        (Op::Unsqueeze, [x, axes]) => {
            let known = graph.fact(*axes).known_elements().ok_or_else(unknown)?;
            if known.iter().any(|axis| position(*axis, rank) == Some(rank - 1)) {
                return Err(unknown());
            }
            let half = halved(graph, root, *x, depth + 1)?;
            insert(graph, root, "half", op, &[half, *axes])
        }
        _ => Err(unknown()),
    }
}
