//! Writes a scaled softmax, which ONNX does not have, as a product, a sum and a softmax.

use crate::pass::{Exactness, Pass, Stage};
use crate::rewrite::{become_op, element, insert, number};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `scaled_softmax(x, m; c)` -> `softmax(x * c + m)`
///
/// ONNX has no scaled softmax. The scale comes first, because runtimes fold a product that directly follows a matrix
/// product into it.
pub fn lower_scaled_softmax() -> Pass {
    let summary = "scaled_softmax(x, m; c) -> softmax(x * c + m)";
    Pass::new("lower-scaled-softmax", summary, Exactness::Rounding)
        .at([OpKind::ScaledSoftmax], expand)
        .in_stages(&[Stage::Lower])
}

/// Decomposes a scaled softmax, leaving out a scale of 1 and a missing mask.
pub(crate) fn expand(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::ScaledSoftmax { axis, scale } = graph.op(root) else { return Err(Skip::NoMatch) };
    let mut scores = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let mask = graph.operand(root.node, 1);
    let mut words = vec![];
    if scale != 1.0 {
        let element = element(graph, root)?;
        let scale = number(graph, root, "scale", element, scale.into())?;
        scores = insert(graph, root, "scaled", Op::Mul, &[scores, scale])?;
        words.push("mul");
    }
    if let Some(mask) = mask {
        scores = insert(graph, root, "masked", Op::Add, &[scores, mask])?;
        words.push("add");
    }
    words.push("softmax");
    become_op(graph, root, Op::Softmax { axis }, &[scores], format!("decomposed into {}", words.join(", ")))
}
