//! Operators of ONNX Runtime's own domain, `com.microsoft`, as kept operators.

use netwright_ir::{Attribute, Graph, Op, OpaqueOp};
use std::sync::Arc;

/// The domain.
pub(crate) const DOMAIN: &str = "com.microsoft";

/// An operator of the domain.
pub(crate) fn operator(op_type: &str, attributes: &[(&str, Attribute)]) -> Op {
    Op::Opaque(Box::new(OpaqueOp {
        domain: DOMAIN.into(),
        op_type: op_type.into(),
        overload: "".into(),
        version: 1,
        attributes: attributes.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect(),
    }))
}

/// Whether the graph or a body in it has an operator of the domain.
pub(crate) fn is_used(graph: &Graph) -> bool {
    has(graph, |kept| &*kept.domain == DOMAIN)
}

/// Whether the graph or a body in it has an operator that ONNX Runtime alone has.
pub(crate) fn has_own(graph: &Graph) -> bool {
    has(graph, is_own)
}

/// Whether ONNX Runtime alone has an operator; one it has in ONNX's own domain.
pub(crate) fn is_own(kept: &OpaqueOp) -> bool {
    &*kept.domain == DOMAIN || kept.domain.is_empty() && &*kept.op_type == "SimplifiedLayerNormalization"
}

fn has(graph: &Graph, is: fn(&OpaqueOp) -> bool) -> bool {
    graph.schedule().into_iter().any(|id| {
        let op = graph.node(id).op();
        matches!(op, Op::Opaque(kept) if is(kept)) || op.bodies().iter().any(|body| has(body, is))
    })
}
