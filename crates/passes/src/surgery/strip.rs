//! Removes what no runtime needs.

use netwright_ir::{Conventions, Graph, HashSet, Model, Notes, Op, Value, ValueType};
use std::collections::BTreeMap;

/// Removes descriptions, metadata (such as the stack traces of nodes), operator sets that nothing uses, and declared
/// types of inner values that inference confirms.
///
/// What a runtime reads stays: denotations, devices, quantization annotations, and the declared types of values whose
/// operator Netwright does not know.
pub fn strip(model: &mut Model) {
    model.doc.clear();
    model.metadata.clear();
    strip_graph(&mut model.graph);
    for step in &mut model.training {
        [&mut step.initialization, &mut step.algorithm].into_iter().flatten().for_each(strip_graph);
    }
    let mut used = HashSet::default();
    for graph in graphs(model) {
        add_domains(graph, &mut used);
    }
    model.opsets.retain(|domain, _| domain.is_empty() || used.contains(domain));
    for function in &mut model.functions {
        function.notes = Notes::default();
        strip_graph(&mut function.graph);
        let mut used = HashSet::default();
        add_domains(&function.graph, &mut used);
        function.opsets.retain(|domain, _| domain.is_empty() || used.contains(domain));
    }
}

fn graphs(model: &Model) -> impl Iterator<Item = &Graph> {
    let steps = model.training.iter().flat_map(|step| [&step.initialization, &step.algorithm]).flatten();
    std::iter::once(&model.graph).chain(model.functions.iter().map(|function| &function.graph)).chain(steps)
}

/// Adds the domains that nodes use, those in bodies included.
fn add_domains(graph: &Graph, used: &mut HashSet<String>) {
    for id in graph.schedule() {
        let op = graph.node(id).op();
        if let Op::Opaque(opaque) = op {
            used.insert(opaque.domain.to_string());
        }
        op.bodies().into_iter().for_each(|body| add_domains(body, used));
    }
}

fn strip_graph(graph: &mut Graph) {
    graph.set_notes(Notes::default());
    let conventions = graph.conventions();
    graph.set_conventions(Conventions { types_values: false, ..conventions });
    for at in 0..graph.outputs().len() {
        if let Some(notes) = graph.outputs()[at].notes.as_deref().cloned() {
            graph.set_output_notes(at, stripped(notes));
        }
    }
    for id in graph.schedule() {
        if let Some(notes) = graph.node(id).notes().cloned() {
            graph.set_node_notes(id, stripped(notes));
        }
        for value in graph.results(id).collect::<Vec<Value>>() {
            if let Some(notes) = graph.value_notes(value).cloned() {
                graph.set_value_notes(value, stripped(notes));
            }
            let known = &graph.fact(value).ty;
            if graph.declared(value).is_some_and(|declared| is_confirmed(known, declared)) {
                graph.undeclare(value);
            }
        }
        if !graph.node(id).op().bodies().is_empty() {
            graph.edit_bodies(id, strip_graph);
        }
    }
    graph.sweep();
}

/// Returns the metadata that a runtime reads.
fn stripped(notes: Notes) -> Notes {
    Notes { doc: String::new(), metadata: BTreeMap::new(), attributes: BTreeMap::new(), ..notes }
}

/// Whether inference knows all of a declared type.
fn is_confirmed(known: &ValueType, declared: &ValueType) -> bool {
    known.and(declared).as_ref() == Some(known)
}
