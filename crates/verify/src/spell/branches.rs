//! Replaces each `If` that an input decides by one of its branches: tract builds both, with the same inputs.

use super::functions::{Names, identity};
use crate::file::{bodies, domain};
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::{GraphProto, NodeProto};

/// Operators that keep the truth of a single bool.
const MOVES: [&str; 5] = ["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// Replaces the `If` nodes of the graph that the input `condition` decides by the branches for `value`, and removes what
/// no output depends on. Returns whether there is one.
pub(crate) fn choose(graph: &mut GraphProto, condition: &str, value: bool) -> bool {
    let branch = if value { "then_branch" } else { "else_branch" };
    let mut names = graph_names(graph);
    let mut decided = BTreeSet::from([condition.to_owned()]);
    let mut count = 0;
    for mut node in std::mem::take(&mut graph.node) {
        let is_decided =
            domain(&node.domain).is_empty() && node.input.first().is_some_and(|name| decided.contains(name));
        if is_decided && MOVES.contains(&node.op_type.as_str()) {
            decided.extend(node.output.first().cloned());
        }
        let attribute = node.attribute.iter_mut().find(|attribute| attribute.name == branch);
        let body = attribute.filter(|_| is_decided && node.op_type == "If").and_then(|attribute| attribute.g.take());
        let Some(mut body) = body else {
            graph.node.push(node);
            continue;
        };
        count += 1;
        let own = graph_names(&body);
        let known = names.iter().chain(&own).filter(|name| !(names.contains(*name) && own.contains(*name)));
        let known: BTreeMap<String, String> = known.map(|name| (name.clone(), name.clone())).collect();
        Names { prefix: format!("{branch} {count}"), known }.rename(&mut body);
        names.extend(graph_names(&body));
        let results = body.output.iter().zip(&node.output).filter(|(_, result)| !result.is_empty());
        let results: Vec<NodeProto> = results.map(|(output, result)| identity(&output.name, result)).collect();
        graph.node.extend(body.node.into_iter().chain(results));
        graph.initializer.extend(body.initializer);
        graph.sparse_initializer.extend(body.sparse_initializer);
        graph.value_info.extend(body.value_info);
    }
    remove_unused(graph);
    count > 0
}

/// Returns the names of the values of a graph, without those of its bodies.
fn graph_names(graph: &GraphProto) -> BTreeSet<String> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let weights = graph.initializer.iter().map(|tensor| &tensor.name);
    inputs.chain(weights).chain(graph.node.iter().flat_map(|node| &node.output)).cloned().collect()
}

/// Removes nodes, weights and inputs that no output depends on.
fn remove_unused(graph: &mut GraphProto) {
    let mut needed: BTreeSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let nodes = std::mem::take(&mut graph.node).into_iter().rev();
    let nodes = nodes.filter(|node| {
        let is_needed = node.output.iter().any(|result| needed.contains(result));
        if is_needed {
            read(node, &mut needed);
        }
        is_needed
    });
    graph.node = nodes.collect();
    graph.node.reverse();
    graph.input.retain(|input| needed.contains(&input.name));
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
}

/// Adds the values that a node and its bodies read.
fn read(node: &NodeProto, needed: &mut BTreeSet<String>) {
    needed.extend(node.input.iter().cloned());
    for body in bodies(node) {
        needed.extend(body.output.iter().map(|output| output.name.clone()));
        body.node.iter().for_each(|node| read(node, needed));
    }
}
