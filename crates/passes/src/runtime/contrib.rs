//! Operators of ONNX Runtime's own domain, `com.microsoft`, as kept operators.

use netwright_ir::{Attribute, Graph, Kept, Op};
use std::sync::Arc;

/// The domain.
pub(crate) const DOMAIN: &str = "com.microsoft";

/// An operator of the domain.
pub(crate) fn operator(op_type: &str, attributes: &[(&str, Attribute)]) -> Op {
    Op::Kept(Box::new(Kept {
        domain: DOMAIN.into(),
        op_type: op_type.into(),
        overload: "".into(),
        version: 1,
        attributes: attributes.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect(),
    }))
}

/// Whether the graph or a body in it has an operator of the domain.
pub(crate) fn is_used(graph: &Graph) -> bool {
    graph.schedule().into_iter().any(|id| {
        let op = graph.node(id).op();
        matches!(op, Op::Kept(kept) if &*kept.domain == DOMAIN) || op.bodies().iter().any(|body| is_used(body))
    })
}
