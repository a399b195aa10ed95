use crate::pipeline::{Body, Log, Pass, name_of};
use crate::rewrite::{SMALL, needs_node_between};
use bytes::Bytes;
use netwright_ir::{Data, Graph, NodeId, Op, Tensor, Value};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Merges nodes that compute the same from the same; the earliest in program order stays.
///
/// Constants are the same by their elements where they are small, larger ones and trained tensors only as the same
/// bytes of the same file: two trained tensors that begin alike, such as zero biases, are two. Inputs stay, what is
/// drawn at random, and operators that are not understood, which may be.
pub fn eliminate_common_subexpressions() -> Pass {
    Pass {
        name: "eliminate-common-subexpressions",
        summary: "merge nodes that compute the same from the same",
        body: Body::Graph(eliminate),
    }
}

/// Nodes with equal hashes that differ are compared with so many of each other at most.
const MOST_COLLISIONS: usize = 16;

fn eliminate(graph: &mut Graph, log: &mut Log) {
    let mut seen: HashMap<u64, Vec<(NodeId, Key)>> = HashMap::new();
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        let Some(key) = key(graph, node) else { continue };
        let mut hasher = DefaultHasher::new();
        graph.node(node).op().hash_attributes(&mut hasher);
        key.hash(&mut hasher);
        let alike = seen.entry(hasher.finish()).or_default();
        let earlier = alike.iter().find(|(other, its)| *its == key && same_op(graph, *other, node));
        match earlier {
            Some(&(earlier, _)) => merge(graph, log, earlier, node),
            None if alike.len() < MOST_COLLISIONS => alike.push((node, key)),
            None => {}
        }
    }
}

/// What tells a node from others of its operator and attributes.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Elements(Bytes),
    /// Offset of a range of a file.
    File(u64),
    Operands(Vec<Option<Value>>),
}

fn key(graph: &Graph, node: NodeId) -> Option<Key> {
    let file = |tensor: &Tensor| match tensor.data() {
        Data::File(range) => Some(Key::File(range.offset())),
        _ => None,
    };
    match graph.node(node).op() {
        Op::Input | Op::Captured | Op::Kept(_) => None,
        op if op.kind().is_random() || !op.bodies().is_empty() => None,
        Op::Constant(tensor) if tensor.len() <= SMALL => tensor.to_bytes().ok().map(Key::Elements),
        Op::Parameter(tensor) | Op::Constant(tensor) => file(tensor),
        op => {
            let mut operands: Vec<_> = graph.operands(node).into_vec();
            if op.kind().commutes() {
                operands.sort();
            }
            Some(Key::Operands(operands))
        }
    }
}

/// Whether two nodes of the same key compute the same.
fn same_op(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    let (left, right) = (graph.node(a), graph.node(b));
    let same = match (left.op(), right.op()) {
        // Small ones have the same elements by their key, wherever those are.
        (Op::Constant(a), Op::Constant(b)) if a.len() <= SMALL => a.ty() == b.ty(),
        (a, b) => a == b && a.attributes().iter().zip(b.attributes()).all(|((_, a), (_, b))| a.is_same(&b)),
    };
    same && left.result_count() == right.result_count()
}

fn merge(graph: &mut Graph, log: &mut Log, earlier: NodeId, later: NodeId) {
    let name = name_of(graph, later);
    let pairs: Vec<_> = graph.results(later).zip(graph.results(earlier)).collect();
    if pairs.iter().any(|&(later, earlier)| needs_node_between(graph, later, earlier)) {
        return;
    }
    for (later, earlier) in pairs {
        graph.replace(later, earlier);
    }
    let same = graph.operand_text(Value { node: earlier, result: 0 });
    log.applied(name, format!("is the same as {same}"));
}
