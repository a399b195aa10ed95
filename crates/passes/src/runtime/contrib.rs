//! Operators of ONNX Runtime's own domain, `com.microsoft`, as opaque operators.

use crate::rule::Skip;
use netwright_ir::infer::Call;
use netwright_ir::{Attribute, Graph, Op, OpKind, OpaqueOp};
use std::sync::Arc;

/// The name of the domain.
pub(crate) const DOMAIN: &str = "com.microsoft";

/// Creates an operator of the domain.
pub(crate) fn operator(op_type: &str, attributes: &[(&str, Attribute)]) -> Op {
    Op::Opaque(Box::new(OpaqueOp {
        domain: DOMAIN.into(),
        op_type: op_type.into(),
        overload: "".into(),
        version: 1,
        attributes: attributes.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect(),
        call: Call::default(),
    }))
}

/// The attribute of a product that is an accuracy level.
pub(crate) const ACCURACY_LEVEL: &str = "accuracy_level";

/// Returns a product with quantized blocks without its accuracy level, for narrow floats; `None` if it has none.
pub(crate) fn without_level(op: &Op) -> Option<Op> {
    let Op::Opaque(own) = op else { return None };
    let is_product = *own.op_type == *"MatMulNBits" && attribute(own, ACCURACY_LEVEL).is_some();
    is_product.then(|| {
        let mut own = own.clone();
        own.attributes.retain(|(name, _)| **name != *ACCURACY_LEVEL);
        Op::Opaque(own)
    })
}

/// Returns the value of an integer attribute, or its default.
pub(crate) fn integer(name: &str, found: Option<&Attribute>, default: i64) -> Result<i64, Skip> {
    match found {
        None => Ok(default),
        Some(Attribute::Int(value)) => Ok(*value),
        Some(_) => Err(Skip::rejected(format!("its attribute `{name}` is not an integer"))),
    }
}

/// Returns the attribute of an operator with a name.
pub(crate) fn attribute<'o>(opaque: &'o OpaqueOp, name: &str) -> Option<&'o Attribute> {
    opaque.attributes.iter().find(|(own, _)| **own == *name).map(|(_, value)| value)
}

/// Returns the value of an integer attribute of an operator, or its default.
pub(crate) fn int(opaque: &OpaqueOp, name: &str, default: i64) -> Result<i64, Skip> {
    integer(name, attribute(opaque, name), default)
}

/// Whether an operator is the one of the domain with this name.
pub(crate) fn is(opaque: &OpaqueOp, op_type: &str) -> bool {
    *opaque.domain == *DOMAIN && *opaque.op_type == *op_type
}

/// Whether the graph or one of its bodies has an operator of the domain.
pub(crate) fn is_used(graph: &Graph) -> bool {
    has(graph, |opaque| &*opaque.domain == DOMAIN)
}

/// Whether the graph or one of its bodies has an operator that only ONNX Runtime has.
pub(crate) fn has_own(graph: &Graph) -> bool {
    has(graph, is_own)
}

/// Whether only ONNX Runtime has an operator. One of them is in ONNX's domain.
pub(crate) fn is_own(opaque: &OpaqueOp) -> bool {
    &*opaque.domain == DOMAIN || opaque.domain.is_empty() && &*opaque.op_type == "SimplifiedLayerNormalization"
}

fn has(graph: &Graph, is: fn(&OpaqueOp) -> bool) -> bool {
    let may_have = graph.has_kind(OpKind::Opaque) || graph.has_bodies();
    may_have
        && graph.schedule().into_iter().any(|id| {
            let op = graph.node(id).op();
            matches!(op, Op::Opaque(opaque) if is(opaque)) || op.bodies().iter().any(|body| has(body, is))
        })
}
