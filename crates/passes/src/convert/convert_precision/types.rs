//! Element types of values, as they are computed and as they are declared.

use super::{is_converted, is_float};
use netwright_ir::{ElementType, Fact, Graph, NodeId, Value, ValueType};

/// The type with another element type, if it is a tensor of floats.
pub(super) fn retyped(ty: &ValueType, to: ElementType) -> ValueType {
    match ty {
        ValueType::Tensor(tensor) if is_converted(tensor.element) => {
            let mut tensor = tensor.clone();
            tensor.element = to;
            ValueType::Tensor(tensor)
        }
        other => other.clone(),
    }
}

/// Changes the element type of a value, as it is computed and as it is declared; returns the type that it had.
pub(super) fn set_type(graph: &mut Graph, value: Value, to: ElementType) -> Option<ElementType> {
    let fact = graph.fact(value);
    let own = fact.element().filter(|own| is_converted(*own) && *own != to)?;
    let fact = Fact { ty: retyped(&fact.ty, to), elements: fact.elements.clone() };
    set_fact(graph, value, fact);
    Some(own)
}

/// Declares an output with the type in which it is computed.
pub(super) fn declare_computed(graph: &mut Graph, at: usize) {
    let Some(output) = graph.outputs().get(at).cloned().filter(|output| is_float(graph, output.value)) else { return };
    if let Some((declared, element)) = output.declared.zip(graph.fact(output.value).element()) {
        graph.declare_output(output.value, &retyped(&declared, element));
    }
}

pub(super) fn set_fact(graph: &mut Graph, value: Value, fact: Fact) {
    let declared = graph.declared(value).zip(fact.element()).map(|(declared, element)| retyped(declared, element));
    graph.set_fact(value, fact);
    if let Some(declared) = declared {
        graph.declare(value, declared);
    }
}

/// Whether a result is a float whose type is not known from the operands.
pub(super) fn loses_types(graph: &Graph, id: NodeId, operands: &[Option<Value>]) -> bool {
    let node = graph.node(id);
    graph.infer(node.op(), operands, node.result_count()).is_ok_and(|inferred| is_lost(graph, id, &inferred.facts))
}

/// Whether inferred facts do not have the type of a result that is a float.
pub(super) fn is_lost(graph: &Graph, id: NodeId, facts: &[Fact]) -> bool {
    graph.results(id).zip(facts).any(|(value, fact)| is_float(graph, value) && fact.element().is_none())
}
