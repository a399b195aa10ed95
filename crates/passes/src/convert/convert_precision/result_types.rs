//! The types of a node's results if it computes in the narrow type.

use super::{Context, is_converted, is_float, retyped};
use netwright_ir::infer::{NeverZero, Operands};
use netwright_ir::{ElementType, Fact, Graph, NodeId, Op, Value, ValueType};

/// Returns why a node cannot compute in the narrow type: because of the types that it accepts, or because the type of a
/// result would not be known.
pub(super) fn refusal(graph: &Graph, id: NodeId, context: &Context<'_>) -> Option<String> {
    let is_of_scales = matches!(graph.node(id).op(), Op::DequantizeLinear { .. } | Op::QuantizeLinear { .. });
    if is_of_scales && context.weights.wide_scales {
        return Some("the target accepts scales of quantized weights only in f32".to_owned());
    }
    if is_of_scales && context.is_of_body {
        return Some(format!(
            "in bodies, ONNX Runtime 1.32 multiplies wrongly by weights with scales in {}",
            context.to
        ));
    }
    let node = graph.node(id);
    let op = node.op();
    let operands = graph.operands(id);
    let in_type = |(at, value): (usize, &Option<Value>)| {
        let fact = graph.fact((*value)?);
        let element = fact.element()?;
        let to = if context.accepts(op, at, context.to) { context.to } else { ElementType::F32 };
        let element = if is_converted(element) { to } else { element };
        Some(Fact { ty: retyped(&fact.ty, element), elements: fact.elements.clone() })
    };
    let facts: Vec<Option<Fact>> = operands.iter().enumerate().map(in_type).collect();
    let elements: Vec<_> = facts.iter().map(|fact| fact.as_ref().and_then(Fact::element)).collect();
    if let Err(why) = context.dialect.allows(op, &elements, &[]) {
        return Some(why);
    }
    let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
    let tensors: Vec<_> = operands.iter().map(|value| graph.tensor((*value)?)).collect();
    let never_zero = NeverZero::new();
    let given = Operands {
        kind: op.kind(),
        facts: &facts,
        tensors: &tensors,
        results: node.result_count(),
        never_zero: &never_zero,
    };
    let unknown = || Some(format!("the types of its results in {} are not known", context.to));
    let Ok(inferred) = op.infer(&given) else { return unknown() };
    let results: Vec<_> = inferred.facts.iter().map(Fact::element).collect();
    if let Err(why) = context.dialect.allows(op, &elements, &results) {
        return Some(why);
    }
    let is_lost = |(value, element): (Value, &Option<ElementType>)| is_float(graph, value) && element.is_none();
    if graph.results(id).zip(&results).any(is_lost) { unknown() } else { None }
}

/// Returns the first operand or result of a node without bodies whose type is not known.
pub(super) fn unknown(graph: &Graph, id: NodeId) -> Option<Value> {
    let op = graph.node(id).op();
    let mut values = graph.operands(id).into_iter().flatten().chain(graph.results(id));
    values.find(|value| op.bodies().is_empty() && graph.fact(*value).ty == ValueType::Unknown)
}
