//! The number of parameters that a trained tensor holds.

use crate::ir::op::{computes_with_integers, is_scale_or_zero_point};
use crate::ir::{Attribute, ElementType, Graph, NodeId, Op, OpKind, Value};

/// A trained tensor.
pub(crate) struct Trained {
    pub(crate) element: ElementType,
    /// The number of weights: packed codes count as those that they are unpacked to, scales and zero points not at all.
    pub(crate) parameters: u64,
    pub(crate) bytes: u64,
}

impl Trained {
    /// Returns the trained tensor of a node; `None` if it has none.
    pub(crate) fn new(graph: &Graph, id: NodeId) -> Option<Self> {
        let tensor = match graph.node(id).op() {
            Op::Parameter(tensor) => tensor,
            Op::SparseParameter(tensor) => tensor.values(),
            _ => return None,
        };
        let (element, elements, bytes) = (tensor.element(), tensor.count(), tensor.len());
        let uses = graph.results(id).flat_map(|value| graph.users(value));
        let parameters = uses.map(|(user, at)| parameters(graph, user, at, elements)).max();
        Some(Self { element, parameters: parameters.unwrap_or(elements), bytes })
    }
}

/// Returns the number of parameters that a tensor of so many elements holds as an operand.
fn parameters(graph: &Graph, user: NodeId, at: usize, elements: u64) -> u64 {
    let op = graph.node(user).op();
    if is_scale_or_zero_point(op.name(), at) {
        return 0;
    }
    // The scale of an operand that is quantized when the model runs, times that of the weight.
    let is_dynamic =
        |Value { node, result }: Value| result == 1 && computes_with_integers(graph.node(node).op().name());
    if op.kind() == OpKind::Mul && at < 2 && graph.operand(user, 1 - at).is_some_and(is_dynamic) {
        return 0;
    }
    if op.kind() == OpKind::Gather && at == 0 && is_scale_of_rows(graph, user) {
        return 0;
    }
    let Op::Opaque(opaque) = op else { return elements };
    let number = |name: &str| {
        let found = opaque.attributes.iter().find(|(own, _)| **own == *name);
        found.and_then(|(_, value)| if let Attribute::Int(number) = value { u64::try_from(*number).ok() } else { None })
    };
    match (number("K"), number("N"), number("bits")) {
        (Some(k), Some(n), _) if at == 1 => k.saturating_mul(n),
        (None, None, bits) if at == 0 && &*opaque.op_type == "GatherBlockQuantized" => {
            let element = graph.operand(user, 0).and_then(|codes| graph.fact(codes).element());
            let in_element = element.map_or(1, |element| u64::from(element.bits()) / bits.unwrap_or(4).max(1));
            elements.saturating_mul(in_element.max(1))
        }
        _ => elements,
    }
}

/// Returns whether the rows that a node looks up are scales: they are multiplied by integers that were cast to floats.
fn is_scale_of_rows(graph: &Graph, lookup: NodeId) -> bool {
    let users = graph.results(lookup).flat_map(|value| graph.users(value));
    let is_integer = |value: Value| graph.fact(value).element().is_some_and(|element| !element.is_float());
    let is_code =
        |value: Value| graph.kind(value) == OpKind::Cast && graph.operand(value.node, 0).is_some_and(is_integer);
    let scales = |(user, at): (NodeId, usize)| {
        graph.node(user).op().kind() == OpKind::Mul && at < 2 && graph.operand(user, 1 - at).is_some_and(is_code)
    };
    users.into_iter().any(scales)
}
