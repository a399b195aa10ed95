use crate::pattern::op;
use crate::pipeline::Pass;
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Rule, Skip};
use crate::runtime::contrib::operator;
use netwright_ir::{Attribute, ElementType, Graph, Kind, Op, Value};

/// `swish(x; alpha)` -> `com.microsoft.QuickGelu(x; alpha)`
///
/// ONNX Runtime 1.32 has no kernel for Swish; QuickGelu is the same function.
pub fn use_quick_gelu() -> Pass {
    let summary = "swish(x; alpha) -> com.microsoft.QuickGelu(x; alpha)";
    Rule::new("use-quick-gelu", summary, op(Kind::Swish), |graph, found| replace(graph, found.root())).into()
}

fn replace(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::Swish { alpha } = graph.op(root) else { return Err(Skip::NoMatch) };
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    if graph.fact(x).element() != Some(ElementType::F32) {
        return Err(Skip::rejected("the kernel takes f32 alone"));
    }
    become_op(graph, root, operator("QuickGelu", &[("alpha", Attribute::Float(alpha))]), &[x], "is a QuickGelu")
}
