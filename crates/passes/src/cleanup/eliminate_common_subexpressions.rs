//! Merges nodes with the same operator, attributes and operands.

use crate::pass::{Exactness, Pass, Stage};
use crate::pipeline::{Log, name_of};
use crate::rewrite::{SMALL, needs_node_between};
use crate::weights;
use bytes::Bytes;
use foldhash::fast::FixedState;
use netwright_ir::{Data, Graph, HashMap, HashSet, NodeId, Op, TensorType, Value};
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash, Hasher};

/// Merges nodes with the same operator, attributes and operands; the first in program order stays.
///
/// Tensors are equal if their types and bits are: -0.0 differs from 0.0, and NaNs are compared by their bits. Exporters
/// write a shared weight once for every use, so parameters of at least 1 KiB are compared, completely if type and a few
/// elements agree, and the first keeps its name. Smaller parameters, such as zero biases, stay separate, because users
/// look them up by name and little is gained; so do recipes. But nodes that read equal ones are merged. Small constants
/// are merged, because their names do not matter.
///
/// Inputs, random operators and opaque operators, which may be random, stay.
pub fn eliminate_common_subexpressions() -> Pass {
    let summary = "merge nodes with the same operator, attributes and operands";
    Pass::new("eliminate-common-subexpressions", summary, Exactness::Bits)
        .on_graph(eliminate)
        // Other passes leave a node that has several uses.
        .after(&["narrow-broadcasts", "sink-transposes"])
        .in_stages(&[Stage::Optimize, Stage::Share])
}

fn eliminate(graph: &mut Graph, log: &mut Log) {
    let nodes = graph.schedule();
    let repeated = weights::repeated(graph, &nodes);
    let equal = small_parameters(graph, &nodes);
    // A node that was seen keeps its key: the nodes before it are merged already.
    let mut seen: HashMap<u64, SmallVec<[NodeId; 4]>> = HashMap::default();
    for node in nodes {
        if !log.may_apply() {
            return;
        }
        let Some(key) = key(graph, node, &repeated, &equal) else { continue };
        let mut hasher = FixedState::default().build_hasher();
        graph.node(node).op().hash_attributes(&mut hasher);
        key.hash(&mut hasher);
        let alike = seen.entry(hasher.finish()).or_default();
        let is_same = |other: &&NodeId| {
            self::key(graph, **other, &repeated, &equal).as_ref() == Some(&key) && same_op(graph, **other, node)
        };
        match alike.iter().find(is_same) {
            Some(earlier) => merge(graph, log, *earlier, node),
            None if alike.len() < key.max_collisions() => alike.push(node),
            None => {}
        }
    }
}

/// The part of a node that distinguishes it from others with the same operator and attributes.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Elements(Bytes),
    /// A sample of the elements of a large tensor.
    Sample(Vec<u8>),
    /// The offset of a range of a file.
    File(u64),
    Operands(SmallVec<[Option<Value>; 4]>),
}

impl Key {
    /// Returns the maximum number of different nodes with the same hash that are compared.
    fn max_collisions(&self) -> usize {
        match self {
            // Each comparison may read both tensors.
            Key::Sample(_) => weights::MAX_COLLISIONS,
            _ => 16,
        }
    }
}

/// Returns the first of equal small parameters for each of the others.
fn small_parameters(graph: &Graph, nodes: &[NodeId]) -> HashMap<NodeId, NodeId> {
    let mut first: HashMap<(TensorType, Bytes), NodeId> = HashMap::default();
    let mut equal = HashMap::default();
    for &node in nodes {
        let Op::Parameter(tensor) = graph.node(node).op() else { continue };
        let Some(bytes) = tensor.to_bytes().ok().filter(|_| tensor.len() <= SMALL) else { continue };
        let earlier = *first.entry((tensor.ty(), bytes)).or_insert(node);
        if earlier != node {
            equal.insert(node, earlier);
        }
    }
    equal
}

fn key(graph: &Graph, node: NodeId, repeated: &HashSet<TensorType>, equal: &HashMap<NodeId, NodeId>) -> Option<Key> {
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
            let mut operands = graph.operands(node);
            for operand in operands.iter_mut().flatten() {
                operand.node = equal.get(&operand.node).copied().unwrap_or(operand.node);
            }
            if op.kind().commutes() {
                operands.sort();
            }
            Some(Key::Operands(operands))
        }
    }
}

/// Whether two nodes with the same key compute the same.
fn same_op(graph: &Graph, a: NodeId, b: NodeId) -> bool {
    let (left, right) = (graph.node(a), graph.node(b));
    let same = match (left.op(), right.op()) {
        // Small constants have the same elements, because their keys are equal.
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
