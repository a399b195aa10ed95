//! Operators of ONNX Runtime's own domain, `com.microsoft`, as kept operators.

use crate::rule::Rewritten;
use netwright_ir::{Attribute, Fact, Graph, Inferred, Kept, Op, Place, Value};
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
    let operands: Vec<Option<Value>> = operands.iter().copied().map(Some).collect();
    let fact = graph.fact(root).clone();
    become_results(graph, &[root], &[fact], op_type, attributes, &operands);
    Ok(note.into())
}

/// Puts an operator of the domain in the place of values of one node, whose types become these.
pub(crate) fn become_results(
    graph: &mut Graph,
    roots: &[Value],
    facts: &[Fact],
    op_type: &str,
    attributes: &[(&str, Attribute)],
    operands: &[Option<Value>],
) {
    let Some(first) = roots.first() else { return };
    let kept = Kept {
        domain: DOMAIN.into(),
        op_type: op_type.into(),
        overload: "".into(),
        version: 1,
        attributes: attributes.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect(),
    };
    let names = roots.iter().map(|root| format!("{}.new", graph.value_name(*root)).into()).collect();
    let place = Place { results: names, ..graph.beside(first.node, "new") };
    let inferred = Inferred { facts: facts.iter().cloned().collect(), assumed: vec![] };
    let node = graph.insert_inferred(place, Op::Kept(Box::new(kept)), operands, inferred);
    let results: Vec<Value> = graph.results(node).collect();
    // The first comes last: the node keeps its label.
    for (root, new) in roots.iter().zip(results).rev() {
        graph.replace(*root, new);
    }
}

/// Whether the graph or a body in it has an operator of the domain.
pub(crate) fn is_used(graph: &Graph) -> bool {
    graph.schedule().into_iter().any(|id| {
        let op = graph.node(id).op();
        matches!(op, Op::Kept(kept) if &*kept.domain == DOMAIN) || op.bodies().iter().any(|body| is_used(body))
    })
}
