//! Names that a graph reads and defines, and the order of its nodes.

use super::{ReadProblem, node_text};
use crate::wire::{GraphProto, NodeProto};
use netwright_ir::{HashMap, HashSet};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Returns the bodies of a node.
pub(super) fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
}

/// Returns the nodes of a graph and of its bodies, in no particular order.
pub(super) fn nodes(graph: &GraphProto) -> impl Iterator<Item = &NodeProto> {
    let mut pending: Vec<&NodeProto> = graph.node.iter().rev().collect();
    std::iter::from_fn(move || {
        let node = pending.pop()?;
        pending.extend(bodies(node).flat_map(|body| &body.node));
        Some(node)
    })
}

/// Returns the names that a node reads, including those that its bodies capture.
fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    bodies(node).for_each(|body| names.extend(free(body)));
    names
}

/// Returns the names that the nodes of a graph and its outputs read.
pub(super) fn read(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
    graph.node.iter().flat_map(reads).chain(outputs)
}

/// Returns the names that a graph defines.
pub(super) fn defined(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let nodes = graph.node.iter().flat_map(|node| &node.output).map(String::as_str);
    sources(graph).chain(nodes).filter(|name| !name.is_empty())
}

/// Returns the names of inputs and initializers.
fn sources(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let dense = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let sparse = graph.sparse_initializer.iter().filter_map(|tensor| tensor.values.as_ref()?.name.as_deref());
    inputs.chain(dense).chain(sparse)
}

/// Returns the names that a graph reads and does not define, each once, in the order of their first use.
///
/// Recurses on bodies, whose depth the scan of the file has bounded.
pub(super) fn free(graph: &GraphProto) -> Vec<&str> {
    let own: HashSet<&str> = defined(graph).collect();
    let mut seen = HashSet::default();
    read(graph).filter(|name| !name.is_empty() && !own.contains(name) && seen.insert(*name)).collect()
}

/// Returns a name that a node in a body gives its result although a value has it that the body can read: an input, an
/// initializer or an earlier result of a graph around it. ONNX forbids that, though not for a body's inputs and
/// initializers.
pub(super) fn hidden_by_result(graph: &GraphProto) -> Option<&str> {
    if !graph.node.iter().any(|node| bodies(node).next().is_some()) {
        return None;
    }
    let mut visible = HashSet::default();
    hidden_from(graph, &mut visible)
}

/// Recurses on bodies, whose depth the scan of the file has bounded.
fn hidden_from<'p>(graph: &'p GraphProto, visible: &mut HashSet<&'p str>) -> Option<&'p str> {
    let mut own: Vec<&str> = sources(graph).filter(|name| visible.insert(name)).collect();
    for node in &graph.node {
        for body in bodies(node) {
            let results = body.node.iter().flat_map(|node| &node.output).map(String::as_str);
            let mut results = results.filter(|name| !name.is_empty());
            let hides = results.find(|name| visible.contains(name)).or_else(|| hidden_from(body, visible));
            if hides.is_some() {
                return hides;
            }
        }
        own.extend(node.output.iter().map(String::as_str).filter(|name| visible.insert(name)));
    }
    for name in own {
        visible.remove(name);
    }
    None
}

/// Orders the nodes, each after those whose results it reads, otherwise in the order of the file. `sources` are the
/// names defined before any node.
pub(super) fn order<'p>(
    nodes: &'p [NodeProto],
    sources: impl IntoIterator<Item = &'p str>,
) -> Result<Vec<usize>, ReadProblem> {
    let mut producers: HashMap<&str, Option<usize>> = HashMap::default();
    for name in sources {
        if producers.insert(name, None).is_some() {
            return Err(ReadProblem::Graph(format!("{name:?} is the name of two values")));
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producers.insert(name, Some(at)).is_some() {
                return Err(ReadProblem::Graph(format!("{name:?} is the name of two values")));
            }
        }
    }
    let mut is_sorted = true;
    for (at, node) in nodes.iter().enumerate() {
        for name in reads(node) {
            let Some(producer) = producers.get(name) else {
                let what = format!("it reads {name:?}, which is not computed");
                return Err(ReadProblem::Node { node: node_text(node), what });
            };
            is_sorted &= producer.is_none_or(|producer| producer < at);
        }
    }
    if is_sorted {
        return Ok((0..nodes.len()).collect());
    }
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![vec![]; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for name in reads(node) {
            if let Some(Some(producer)) = producers.get(name) {
                readers[*producer].push(at);
                waiting[at] += 1;
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, left)| **left == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for &reader in &readers[at] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    match nodes.iter().zip(&waiting).find(|(_, left)| **left > 0) {
        Some((node, _)) => Err(ReadProblem::Node { node: node_text(node), what: "it depends on itself".to_owned() }),
        None => Ok(order),
    }
}

/// Puts the nodes into an [order](order()).
pub(super) fn sort(nodes: &mut [NodeProto], order: Vec<usize>) {
    let mut place = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(to, at)| place[at] = to);
    for at in 0..nodes.len() {
        while place[at] != at {
            let to = place[at];
            nodes.swap(at, to);
            place.swap(at, to);
        }
    }
}
