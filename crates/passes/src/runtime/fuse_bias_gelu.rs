//! Fuses a bias and a GELU into ONNX Runtime's BiasGelu or FastGelu.

use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, expect_alone};
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib::operator;
use netwright_ir::op::GeluApproximation;
use netwright_ir::{ElementType, Graph, Op, OpKind, Value};

/// `gelu(x + b)` -> `com.microsoft.BiasGelu(x, b)`, or `FastGelu` for the approximation with tanh
///
/// The bias has one axis, the last of `x`. ONNX Runtime 1.32 does the same when it optimizes; its FastGelu and its Gelu
/// differ in the last places.
pub fn fuse_bias_gelu() -> Pass {
    let summary = "gelu(x + b) -> com.microsoft.BiasGelu(x, b)";
    Pass::new("fuse-bias-gelu", summary, Exactness::Rounding)
        .at([OpKind::Gelu], fuse)
        .only_for(|target, _| target.contrib)
}

fn fuse(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::Gelu { approximate } = graph.op(root) else { return Err(Skip::NoMatch) };
    let sum = graph.operand(root.node, 0).filter(|sum| graph.kind(*sum) == OpKind::Add).ok_or(Skip::NoMatch)?;
    let [Some(a), Some(b)] = graph.operands(sum.node)[..] else { return Err(Skip::NoMatch) };
    let rank = |of: Value| graph.fact(of).rank();
    let (x, bias) = match (rank(a), rank(b)) {
        (Some(2..), Some(1)) => (a, b),
        (Some(1), Some(2..)) => (b, a),
        _ => return Err(Skip::NoMatch),
    };
    let last = |of: Value| graph.shape(of).and_then(|shape| shape.last()).cloned();
    if last(x).is_none() || last(x) != last(bias) {
        return Err(Skip::NoMatch);
    }
    let op_type = match approximate {
        GeluApproximation::None => "BiasGelu",
        GeluApproximation::Tanh => "FastGelu",
    };
    if graph.fact(x).element() != Some(ElementType::F32) {
        return Err(Skip::rejected(format!("ONNX Runtime's kernel of {op_type} only supports f32")));
    }
    expect_alone(graph, sum)?;
    become_op(graph, root, operator(op_type, &[]), &[x, bias], format!("fused the bias into {op_type}"))
}
