//! Writes Swish as QuickGelu, for which ONNX Runtime has a kernel.

use crate::pass::{Exactness, Pass, Stage};
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib::operator;
use netwright_ir::{Attribute, ElementType, Graph, Op, OpKind, Value};

/// Why a swish of another type than `f32` is not fused.
pub(crate) const ONLY_F32: &str = "ONNX Runtime's kernel of QuickGelu only supports f32";

/// `swish(x; alpha)` -> `com.microsoft.QuickGelu(x; alpha)`
///
/// ONNX Runtime 1.32 has no kernel for Swish; QuickGelu is the same function.
pub fn use_quick_gelu() -> Pass {
    let summary = "swish(x; alpha) -> com.microsoft.QuickGelu(x; alpha)";
    Pass::new("use-quick-gelu", summary, Exactness::Rounding)
        .at([OpKind::Swish], replace)
        .in_stages(&[Stage::Lower])
        .only_for(|target, _| target.contrib)
}

fn replace(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::Swish { alpha } = graph.op(root) else { return Err(Skip::NoMatch) };
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    if graph.fact(x).element() != Some(ElementType::F32) {
        return Err(Skip::rejected(ONLY_F32));
    }
    become_op(graph, root, operator("QuickGelu", &[("alpha", Attribute::Float(alpha))]), &[x], "is a QuickGelu")
}
