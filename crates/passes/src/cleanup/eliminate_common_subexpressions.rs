use crate::pass::{Exactness, Pass, Stage};
use crate::pipeline::{Log, name_of};
use crate::rewrite::{SMALL, needs_node_between};
use crate::weights;
use bytes::Bytes;
use netwright_ir::{Data, Graph, NodeId, Op, TensorType, Value};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Merges nodes that compute the same from the same; the earliest in program order stays.
///
/// Tensors are the same by type and bits: -0.0 is not 0.0, and NaN is NaN of the same bits. Exporters write a weight that
/// is tied once for every use, so trained tensors of 1 KiB and more are compared, whole where type and a few elements
/// agree, and the first stays under its name. Smaller ones, such as zero biases, gain nothing by it and stay apart for
/// those who look them up by name, as do tensors that have yet to be made. Small constants have no names to keep.
///
/// Inputs stay, what is drawn at random, and operators that are not understood, which may be.
pub fn eliminate_common_subexpressions() -> Pass {
    let summary = "merge nodes that compute the same from the same";
    Pass::new("eliminate-common-subexpressions", summary, Exactness::Bits)
        .on_graph(eliminate)
        // A node that several read is one that other passes leave.
        .after(&["narrow-broadcasts", "sink-transposes"])
        .in_stages(&[Stage::Optimize, Stage::Share])
}

fn eliminate(graph: &mut Graph, log: &mut Log) {
    let nodes = graph.schedule();
    let repeated = weights::repeated(graph, &nodes);
    let mut seen: HashMap<u64, Vec<(NodeId, Key)>> = HashMap::new();
    for node in nodes {
        if !log.may_apply() {
            return;
        }
        let Some(key) = key(graph, node, &repeated) else { continue };
        let mut hasher = DefaultHasher::new();
        graph.node(node).op().hash_attributes(&mut hasher);
        key.hash(&mut hasher);
        let alike = seen.entry(hasher.finish()).or_default();
        let earlier = alike.iter().find(|(other, its)| *its == key && same_op(graph, *other, node));
        match earlier {
            Some(&(earlier, _)) => merge(graph, log, earlier, node),
            None if alike.len() < key.most_collisions() => alike.push((node, key)),
            None => {}
        }
    }
}

/// What tells a node from others of its operator and attributes.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Elements(Bytes),
    /// Some elements of a large tensor.
    Sample(Vec<u8>),
    /// Offset of a range of a file.
    File(u64),
    Operands(Vec<Option<Value>>),
}

impl Key {
    /// Nodes with equal hashes that differ are compared with so many of each other at most.
    fn most_collisions(&self) -> usize {
        match self {
            // Each comparison may read both.
            Key::Sample(_) => 4,
            _ => 16,
        }
    }
}

fn key(graph: &Graph, node: NodeId, repeated: &HashSet<TensorType>) -> Option<Key> {
    match graph.node(node).op() {
        Op::Input | Op::Captured | Op::Opaque(_) => None,
        op if op.kind().is_random() || !op.bodies().is_empty() => None,
        Op::Constant(tensor) if tensor.len() <= SMALL => tensor.to_bytes().ok().map(Key::Elements),
        Op::Parameter(tensor) | Op::Constant(tensor) if weights::is_large(tensor) => {
            repeated.contains(&tensor.ty()).then(|| weights::sample(tensor)).flatten().map(Key::Sample)
        }
        Op::Parameter(tensor) | Op::Constant(tensor) => match tensor.data() {
            Data::File(range) => Some(Key::File(range.offset())),
            _ => None,
        },
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
        (Op::Constant(a), Op::Constant(b)) | (Op::Parameter(a), Op::Parameter(b)) => weights::are_same(a, b),
        (a, b) => a == b && a.attributes().iter().zip(b.attributes()).all(|((_, a), (_, b))| a.is_same(&b)),
    };
    same && left.result_count() == right.result_count()
}

fn merge(graph: &mut Graph, log: &mut Log, earlier: NodeId, later: NodeId) {
    let name = name_of(graph, later);
    let pairs: Vec<_> = graph.results(later).zip(graph.results(earlier)).collect();
    let needs_node = pairs.iter().any(|&(later, earlier)| needs_node_between(graph, later, earlier));
    if needs_node || !log.may_apply_at(&name) {
        return;
    }
    for (later, earlier) in pairs {
        graph.replace(later, earlier);
    }
    let same = graph.operand_text(Value { node: earlier, result: 0 });
    log.applied_in(graph, name, format!("is the same as {same}"));
}
