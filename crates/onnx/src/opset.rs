//! Conversion of a model to another opset, its functions included.

use crate::forms::{self, FormError};
use crate::standard;
use crate::writer::WriteError;
use netwright_ir::{Function, Graph, Model, NodeId, Op, OpaqueOp, Place};
use std::sync::Arc;

/// Sets the opset that a model is written in, and converts its functions to it.
///
/// A model and its functions must import the same version of each operator set: runtimes refuse others. The graph is in
/// normal form and takes the form of the opset when it is written; only its opaque nodes that the opset can express are
/// replaced here. Functions are opaque and are rewritten here if their operators have another form.
///
/// # Errors
/// If an operator of a function has no form at this opset, or none that can be found without the types of its
/// operands. The model is then partly rewritten; discard it.
pub fn set_opset(model: &mut Model, opset: i64) -> Result<(), WriteError> {
    for function in &mut model.functions {
        if function.opsets.get("").is_some_and(|own| *own != opset) {
            convert(function, opset)?;
        }
    }
    if opset > model.opset() {
        raise(&mut model.graph, opset);
    }
    model.opsets.insert(String::new(), opset);
    Ok(())
}

fn convert(function: &mut Function, opset: i64) -> Result<(), WriteError> {
    let Function { domain, name, graph, opsets, .. } = function;
    raise(graph, opset);
    restate(graph, opset).map_err(|(node, why)| {
        let dot = if domain.is_empty() { "" } else { "." };
        WriteError::Function { function: format!("{domain}{dot}{name}"), node, why }
    })?;
    opsets.insert(String::new(), opset);
    Ok(())
}

/// Returns an opaque node of the default domain.
fn opaque(graph: &Graph, id: NodeId) -> Option<&OpaqueOp> {
    match graph.node(id).op() {
        Op::Opaque(opaque) if opaque.domain.is_empty() => Some(opaque),
        _ => None,
    }
}

/// Replaces the opaque nodes that changed and that the opset can express. Recurses on bodies, whose depth is bounded.
fn raise(graph: &mut Graph, opset: i64) {
    for id in graph.schedule() {
        let changed = opaque(graph, id)
            .filter(|opaque| standard::changed_between(&opaque.op_type, opaque.version, opset).is_some())
            .cloned();
        let is_replaced = changed.is_some_and(|changed| normalize(graph, id, &changed, opset).is_some());
        if !is_replaced && !graph.node(id).op().bodies().is_empty() {
            graph.edit_bodies(id, |body| raise(body, opset));
        }
    }
    graph.sweep();
}

/// The name of a node's first result, and why the node cannot be converted.
type Refusal = (String, FormError);

/// Gives the opaque nodes the version of the opset, which must not have changed them. Recurses on bodies, whose depth is
/// bounded.
fn restate(graph: &mut Graph, opset: i64) -> Result<(), Refusal> {
    for id in graph.schedule() {
        let Some(opaque) = opaque(graph, id).cloned() else { continue };
        if let Some(to) = standard::changed_between(&opaque.op_type, opaque.version, opset) {
            let node = graph.results(id).next().map_or_else(String::new, |it| graph.value_name(it).to_string());
            return Err((node, FormError::Opaque { operator: opaque.op_type.to_string(), from: opaque.version, to }));
        }
        graph.set_op(id, Op::Opaque(Box::new(OpaqueOp { version: opset, ..opaque })));
        let mut outcome = Ok(());
        graph.edit_bodies(id, |body| {
            if outcome.is_ok() {
                outcome = restate(body, opset);
            }
        });
        outcome?;
    }
    Ok(())
}

/// Replaces a node by its normal form, if that does not depend on types.
fn normalize(graph: &mut Graph, id: NodeId, opaque: &OpaqueOp, target: i64) -> Option<()> {
    if opaque.attributes.iter().any(|(_, value)| !value.bodies().is_empty()) {
        return None;
    }
    let results: Vec<_> = graph.results(id).collect();
    let OpaqueOp { op_type, version, attributes, .. } = opaque;
    let (opset, operands, count) = (*version, graph.operands(id), results.len());
    let written = forms::FileNode { op_type, opset, target, attributes, operands: &operands, results: count };
    let first = results.first().map_or_else(|| "".into(), |value| graph.value_name(*value).clone());
    let mut name = |word: &str| -> Arc<str> { format!("{first}.{word}").into() };
    let normal = forms::from_opset(graph, written, &mut name).ok()??;
    let names = results.iter().map(|value| format!("{}.new", graph.value_name(*value)).into()).collect();
    let place = Place { results: names, ..graph.beside(id, "new") };
    let new = graph.insert(place, normal.op, &normal.operands).ok()?;
    let omitted: Vec<bool> = results.iter().map(|value| graph.is_omitted(*value)).collect();
    for ((old, new), omitted) in results.into_iter().zip(graph.results(new)).zip(omitted) {
        graph.replace(old, new);
        if omitted {
            graph.omit(new);
        }
    }
    Some(())
}
