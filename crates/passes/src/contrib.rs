//! Operators of ONNX Runtime's own domain, `com.microsoft`, as kept operators.

use crate::rule::Rewritten;
use netwright_ir::{Attribute, Graph, Inferred, Kept, Op, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// The domain.
pub(crate) const DOMAIN: &str = "com.microsoft";

/// Puts an operator of the domain in the place of a value, whose type it has.
#[expect(clippy::unnecessary_wraps, reason = "a rewrite ends with it, as with the other words of rewrites")]
pub(crate) fn become_contrib(
    graph: &mut Graph,
    root: Value,
    op_type: &str,
    attributes: &[(&str, Attribute)],
    operands: &[Value],
    note: impl Into<Cow<'static, str>>,
) -> Rewritten {
    let kept = Kept {
        domain: DOMAIN.into(),
        op_type: op_type.into(),
        overload: "".into(),
        version: 1,
        attributes: attributes.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect(),
    };
    let operands: Vec<Option<Value>> = operands.iter().copied().map(Some).collect();
    let facts = std::iter::once(graph.fact(root).clone()).collect();
    let place = graph.beside(root.node, "new");
    let node = graph.insert_inferred(place, Op::Kept(Box::new(kept)), &operands, Inferred { facts, assumed: vec![] });
    graph.replace(root, Value { node, result: 0 });
    Ok(note.into())
}

/// Whether the graph or a body in it has an operator of the domain.
pub(crate) fn is_used(graph: &Graph) -> bool {
    graph.schedule().into_iter().any(|id| {
        let op = graph.node(id).op();
        matches!(op, Op::Kept(kept) if &*kept.domain == DOMAIN) || op.bodies().iter().any(|body| is_used(body))
    })
}
