//! Another opset for a model that was read: its functions get it with the graph.

use crate::forms::{self, FormError};
use crate::standard;
use crate::writer::WriteError;
use netwright_ir::{Function, Graph, Model, NodeId, Op, OpaqueOp, Place};
use std::sync::Arc;

/// Sets the opset that a model is written in, and brings its functions to it.
///
/// A model and its functions import the same version of each operator set: runtimes refuse others. The operators of the
/// graph are in normal form and take the form of the opset when they are written; those of functions are kept as they
/// came, and are rewritten here where their form differs.
///
/// # Errors
/// When an operator of a function has no form at that opset, or none that is found without the types of its operands.
/// The model is then partly rewritten; discard it.
pub fn set_opset(model: &mut Model, opset: i64) -> Result<(), WriteError> {
    for function in &mut model.functions {
        if function.opsets.get("").is_some_and(|own| *own != opset) {
            bring(function, opset)?;
        }
    }
    model.opsets.insert(String::new(), opset);
    Ok(())
}

fn bring(function: &mut Function, opset: i64) -> Result<(), WriteError> {
    let Function { domain, name, graph, opsets, .. } = function;
    bring_graph(graph, opset).map_err(|(node, why)| {
        let dot = if domain.is_empty() { "" } else { "." };
        WriteError::Function { function: format!("{domain}{dot}{name}"), node, why }
    })?;
    opsets.insert(String::new(), opset);
    Ok(())
}

/// The name of a node's first result, and why the node cannot be brought to an opset.
type Refusal = (String, FormError);

/// Recurses on bodies, which nest to a bound.
fn bring_graph(graph: &mut Graph, opset: i64) -> Result<(), Refusal> {
    for id in graph.schedule() {
        let Op::Opaque(kept) = graph.node(id).op() else { continue };
        if !kept.domain.is_empty() {
            continue;
        }
        let kept = OpaqueOp::clone(kept);
        match standard::changed_between(&kept.op_type, kept.version, opset) {
            None => graph.set_op(id, Op::Opaque(Box::new(OpaqueOp { version: opset, ..kept }))),
            Some(to) => {
                let node = graph.results(id).next().map_or_else(String::new, |it| graph.value_name(it).to_string());
                let from = kept.version;
                let refusal = || FormError::Opaque { operator: kept.op_type.to_string(), from, to };
                normalize(graph, id, &kept).ok_or_else(|| (node, refusal()))?;
                continue;
            }
        }
        let mut outcome = Ok(());
        graph.edit_bodies(id, |body| {
            if outcome.is_ok() {
                outcome = bring_graph(body, opset);
            }
        });
        outcome?;
    }
    graph.sweep();
    Ok(())
}

/// Puts the normal form in place of a node, where that asks for no types.
fn normalize(graph: &mut Graph, id: NodeId, kept: &OpaqueOp) -> Option<()> {
    if kept.attributes.iter().any(|(_, value)| !value.bodies().is_empty()) {
        return None;
    }
    let operands = graph.operands(id);
    let results: Vec<_> = graph.results(id).collect();
    let OpaqueOp { op_type, version, attributes, .. } = kept;
    let written = forms::Written { op_type, opset: *version, attributes, operands: &operands, results: results.len() };
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
