//! Writes the Shape of some axes as a Slice, for opsets whose Shape returns all sizes.

use crate::pass::{Exactness, Pass, Stage};
use crate::read::sizes::has_partial_shape;
use crate::rewrite::{become_op, insert, number_list};
use crate::rule::Skip;
use netwright_ir::{Op, OpKind};

/// `shape(x) {start, end}` -> `slice(shape(x), start, end)`
///
/// Applies below opset 15, in which Shape always returns all sizes.
pub fn decompose_partial_shape() -> Pass {
    let summary = "shape(x) {start, end} -> slice(shape(x), start, end), below opset 15";
    Pass::new("decompose-partial-shape", summary, Exactness::Bits)
        .in_stages(&[Stage::Lower])
        .only_for(|_, opset| !has_partial_shape(opset))
        .at([OpKind::Shape], |graph, root| {
            let &Op::Shape { start, end } = graph.op(root) else { return Err(Skip::NoMatch) };
            if start == 0 && end.is_none() {
                return Err(Skip::NoMatch);
            }
            let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
            let all = insert(graph, root, "all", Op::Shape { start: 0, end: None }, &[x])?;
            let start = number_list(graph, root, "start", &[start])?;
            let end = number_list(graph, root, "end", &[end.unwrap_or(i64::MAX)])?;
            let axes = number_list(graph, root, "axes", &[0])?;
            become_op(graph, root, Op::Slice, &[all, start, end, axes], "written as a slice of the shape")
        })
}
