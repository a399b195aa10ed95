//! Reduces a failing model while it fails in the same way.

use onnx_protobuf::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use protobuf::MessageField;
use std::collections::BTreeSet;

/// The most models to try.
const MAX_TRIALS: usize = 1500;

/// Returns the smallest model found for which `fails` returns true, as it does for the model itself.
pub fn shrink(model: &ModelProto, mut fails: impl FnMut(&ModelProto) -> bool) -> ModelProto {
    let mut best = model.clone();
    let mut trials = 0;
    let mut try_out = |best: &mut ModelProto, candidate: ModelProto| {
        if trials >= MAX_TRIALS || candidate == *best {
            return false;
        }
        trials += 1;
        let fits = fails(&candidate);
        if fits {
            *best = candidate;
        }
        fits
    };
    loop {
        let before = best.clone();
        // Remove declarations.
        let mut candidate = best.clone();
        each_graph(&mut candidate, &mut |graph| graph.value_info.clear());
        try_out(&mut best, candidate);
        let mut candidate = best.clone();
        each_graph(&mut candidate, &mut |graph| graph.node.iter_mut().for_each(|node| node.name.clear()));
        try_out(&mut best, candidate);
        // Keep one output only, then remove each.
        for at in 0..outputs(&best) {
            let mut candidate = best.clone();
            top(&mut candidate, |graph| graph.output = vec![graph.output[at].clone()]);
            if try_out(&mut best, cleaned(candidate)) {
                break;
            }
        }
        for at in (0..outputs(&best)).rev() {
            let mut candidate = best.clone();
            top(&mut candidate, |graph| _ = graph.output.remove(at));
            try_out(&mut best, cleaned(candidate));
        }
        // Use an inner value as the output.
        let names: Vec<String> = best.graph.node.iter().flat_map(|node| node.output.clone()).collect();
        for name in names.iter().filter(|name| !name.is_empty()) {
            let mut candidate = best.clone();
            top(&mut candidate, |graph| {
                graph.output = vec![ValueInfoProto { name: name.clone(), ..Default::default() }];
            });
            if try_out(&mut best, cleaned(candidate)) {
                break;
            }
        }
        // Bypass each node.
        let count = all_nodes(&mut best.clone());
        for at in (0..count).rev() {
            for operand in 0..4 {
                let mut candidate = best.clone();
                if pass_over(&mut candidate, at, operand) && try_out(&mut best, cleaned(candidate)) {
                    break;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

fn outputs(model: &ModelProto) -> usize {
    model.graph.output.len()
}

fn top(model: &mut ModelProto, edit: impl FnOnce(&mut GraphProto)) {
    let mut graph = model.graph.take().unwrap_or_default();
    edit(&mut graph);
    model.graph = MessageField::some(graph);
}

fn each_graph(model: &mut ModelProto, edit: &mut impl FnMut(&mut GraphProto)) {
    fn visit(graph: &mut GraphProto, edit: &mut impl FnMut(&mut GraphProto)) {
        edit(graph);
        for node in &mut graph.node {
            node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(|body| visit(body, edit));
        }
    }
    if let Some(graph) = model.graph.as_mut() {
        visit(graph, edit);
    }
}

fn all_nodes(model: &mut ModelProto) -> usize {
    let mut count = 0;
    each_graph(model, &mut |graph| count += graph.node.len());
    count
}

/// Replaces a node's first result by its operand in all readers.
fn pass_over(model: &mut ModelProto, at: usize, operand: usize) -> bool {
    let mut first = 0;
    let mut replaced: Option<(String, String)> = None;
    each_graph(model, &mut |graph| {
        if let Some(node) = at.checked_sub(first).and_then(|at| graph.node.get(at))
            && replaced.is_none()
        {
            let names = (node.output.first(), node.input.get(operand));
            replaced = match names {
                (Some(output), Some(input)) if !input.is_empty() => Some((output.clone(), input.clone())),
                _ => Some((String::new(), String::new())),
            };
        }
        first += graph.node.len();
    });
    let Some((from, to)) = replaced.filter(|(from, _)| !from.is_empty()) else { return false };
    let mut is_output = false;
    each_graph(model, &mut |graph| {
        is_output |= graph.output.iter().any(|output| output.name == from);
        for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
            if *name == from {
                name.clone_from(&to);
            }
        }
    });
    !is_output
}

/// Collects the values that a graph and its bodies read.
fn reads<'g>(graph: &'g GraphProto, read: &mut BTreeSet<&'g str>) {
    read.extend(graph.output.iter().map(|output| output.name.as_str()));
    for node in &graph.node {
        node_reads(node, read);
    }
}

fn node_reads<'g>(node: &'g NodeProto, read: &mut BTreeSet<&'g str>) {
    read.extend(node.input.iter().map(String::as_str));
    node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).for_each(|body| reads(body, read));
}

/// Returns the model without unused nodes, tensors and inputs.
fn cleaned(mut model: ModelProto) -> ModelProto {
    loop {
        let mut dead = false;
        let mut read = BTreeSet::new();
        let whole = model.graph.clone();
        if let Some(graph) = whole.as_ref() {
            reads(graph, &mut read);
        }
        let called: BTreeSet<String> = {
            let mut called = BTreeSet::new();
            each_graph(&mut model, &mut |graph| called.extend(graph.node.iter().map(|node| node.op_type.clone())));
            called
        };
        model.functions.retain(|function| called.contains(&function.name));
        each_graph(&mut model, &mut |graph| {
            let before = graph.node.len() + graph.initializer.len();
            graph.node.retain(|node| node.output.iter().any(|name| read.contains(name.as_str())));
            graph.initializer.retain(|tensor| read.contains(tensor.name.as_str()));
            dead |= graph.node.len() + graph.initializer.len() != before;
        });
        if let Some(graph) = model.graph.as_mut() {
            graph.input.retain(|input| read.contains(input.name.as_str()));
            let made: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
            graph.value_info.retain(|info| made.contains(&info.name));
        }
        if !dead {
            return model;
        }
    }
}
