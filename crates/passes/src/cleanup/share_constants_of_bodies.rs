//! Moves tensors that are equal in several bodies to the graph around them.

use crate::pass::{Exactness, Pass, Stage};
use crate::pipeline::Log;
use crate::rewrite::insert;
use crate::weights::{MAX_COLLISIONS, are_same, is_large, is_recipe, sample, unify};
use netwright_ir::{Graph, NodeId, Op, Tensor, TensorType, Value};
use std::collections::{HashMap, HashSet};

/// `if c { f(w) } else { g(w) }` -> `f` and `g` that capture one `w`
///
/// A decoder that is merged from one for the first token and one with a cache holds all weights twice. Large tensors
/// that are equal bit by bit move to the graph around the bodies, which capture them. The pass runs last, because rules
/// do not see the elements of captures.
pub fn share_constants_of_bodies() -> Pass {
    let summary = "move tensors that are equal in several bodies to the graph around them";
    Pass::new("share-constants-of-bodies", summary, Exactness::Bits)
        .on_graph(share)
        .in_stages(&[Stage::Share])
        .prepares(unify)
}

/// A large tensor, in this graph or in a body of a node.
struct Located {
    tensor: Tensor,
    /// The node and the index of the body; `None` for a value of this graph.
    body: Option<(NodeId, usize)>,
    value: Value,
}

fn share(graph: &mut Graph, log: &mut Log) {
    if !graph.has_bodies() {
        return;
    }
    let mut captured: HashMap<NodeId, Vec<(usize, Value, Value)>> = HashMap::new();
    for group in groups(graph) {
        let in_bodies: Vec<&Located> = group.iter().filter(|found| found.body.is_some()).collect();
        let Some(first) = in_bodies.first().filter(|_| group.len() > 1) else { continue };
        if !log.may_apply() {
            break;
        }
        let own = group.iter().find(|found| found.body.is_none()).map(|found| found.value);
        let Some(outer) = own.or_else(|| hoisted(graph, first)) else { continue };
        for found in &in_bodies {
            if let Some((node, body)) = found.body {
                captured.entry(node).or_default().push((body, found.value, outer));
            }
        }
        let count = in_bodies.len();
        log.applied(graph.value_name(outer).clone(), format!("replaces {count} tensors in bodies"));
    }
    for node in graph.schedule() {
        if let Some(captured) = captured.get(&node) {
            graph.capture_in_bodies(node, captured);
        }
    }
}

/// Inserts a tensor of a body into the graph around it.
fn hoisted(graph: &mut Graph, found: &Located) -> Option<Value> {
    let root = Value { node: found.body?.0, result: 0 };
    insert(graph, root, "shared", Op::Parameter(found.tensor.clone()), &[]).ok()
}

/// Returns the large tensors of the graph and of its bodies, in groups of equal ones.
fn groups(graph: &Graph) -> Vec<Vec<Located>> {
    let mut all = vec![];
    for node in graph.schedule() {
        let op = graph.node(node).op();
        if let Op::Parameter(tensor) | Op::Constant(tensor) = op {
            all.push(Located { tensor: tensor.clone(), body: None, value: Value { node, result: 0 } });
        }
        for (place, body) in op.bodies().into_iter().enumerate() {
            // In the order of their first use, which is the order of initializers in a file.
            let mut seen = HashSet::new();
            let read = body.schedule().into_iter().flat_map(|reader| body.operands(reader)).flatten();
            for value in read.filter(|value| seen.insert(*value) && !body.is_output(*value)) {
                if let Op::Parameter(tensor) | Op::Constant(tensor) = body.op(value) {
                    all.push(Located { tensor: tensor.clone(), body: Some((node, place)), value });
                }
            }
        }
    }
    all.retain(|found| is_large(&found.tensor) || is_recipe(&found.tensor));
    // A tensor that is the only one of its type is not read.
    let mut types = HashMap::new();
    for found in &all {
        *types.entry(found.tensor.ty()).or_insert(0_usize) += 1;
    }
    let mut groups: Vec<Vec<Located>> = vec![];
    let mut alike: HashMap<(TensorType, Vec<u8>), Vec<usize>> = HashMap::new();
    for found in all {
        if types.get(&found.tensor.ty()).is_none_or(|count| *count < 2) {
            continue;
        }
        // Recipes are compared by their operands, not by elements.
        let sample = if is_recipe(&found.tensor) { Some(vec![]) } else { sample(&found.tensor) };
        let Some(sample) = sample else { continue };
        let places = alike.entry((found.tensor.ty(), sample)).or_default();
        let same = |at: &&usize| groups[**at].first().is_some_and(|first| are_same(&first.tensor, &found.tensor));
        if let Some(at) = places.iter().take(MAX_COLLISIONS).find(same) {
            groups[*at].push(found);
        } else {
            places.push(groups.len());
            groups.push(vec![found]);
        }
    }
    groups
}
