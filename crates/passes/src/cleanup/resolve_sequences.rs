//! Removes sequences whose elements are known.

use crate::pass::{Exactness, Pass};
use crate::pattern::op;
use crate::read::sizes;
use crate::rewrite::{become_op, become_value, insert};
use crate::rule::{Rule, Skip};
use netwright_ir::{ElementType, Graph, NodeId, Op, OpKind, Place, Tensor, Value};

/// Removes sequences whose elements are known, which exporters build to split and concatenate tensors.
///
/// A sequence stays if an index is out of range, or if the number of parts of a split is unknown, so that a model that
/// fails at run time still does.
pub fn resolve_sequences() -> Pass {
    let summary = "split, gather and concatenate tensors without building a sequence";
    let rules = [take_element(), gather_part(), split_at_once(), concatenate(), count_elements()];
    Pass::new("resolve-sequences", summary, Exactness::Bits).rules(rules)
}

/// Returns the node that computes the first operand, a sequence, if it is of that kind.
fn sequence(graph: &Graph, node: NodeId, kind: OpKind) -> Option<NodeId> {
    graph.operand(node, 0).filter(|sequence| graph.kind(*sequence) == kind).map(|sequence| sequence.node)
}

/// Returns the index of the element that a SequenceAt selects, among `count` elements.
///
/// # Errors
/// If the index is unknown or out of range.
fn position(graph: &Graph, node: NodeId, count: usize) -> Result<usize, Skip> {
    let index = graph.operand(node, 1).and_then(|index| graph.fact(index).known_elements());
    let Some([index]) = index.as_deref() else { return Err(Skip::rejected("the index is unknown")) };
    let size = i64::try_from(count).unwrap_or(i64::MAX);
    let at = if *index < 0 { index.saturating_add(size) } else { *index };
    let at = usize::try_from(at).ok().filter(|at| *at < count);
    at.ok_or_else(|| Skip::rejected(format!("the index {index} is out of range for {size} elements")))
}

fn take_element() -> Rule {
    let summary = "sequence_at(sequence_construct(a, b, …), 1) -> b";
    Rule::new("take-element", summary, op(OpKind::SequenceAt), |graph, found| {
        let node = found.root().node;
        let sequence = sequence(graph, node, OpKind::SequenceConstruct).ok_or(Skip::NoMatch)?;
        let elements = graph.operands(sequence);
        let element = elements[position(graph, node, elements.len())?].ok_or(Skip::NoMatch)?;
        become_value(graph, found.root(), element, "selected without building the sequence")
    })
}

/// Sound for every index: if it is out of range, both forms fail.
fn gather_part() -> Rule {
    let summary = "sequence_at(split_to_sequence(x), i) -> gather(x, i), for parts of size 1";
    Rule::new("gather-part", summary, op(OpKind::SequenceAt), |graph, found| {
        let root = found.root();
        let split = sequence(graph, root.node, OpKind::SplitToSequence).ok_or(Skip::NoMatch)?;
        let &Op::SplitToSequence { axis, keepdims } = graph.node(split).op() else { return Err(Skip::NoMatch) };
        let (x, index) = (graph.operand(split, 0), graph.operand(root.node, 1));
        let (Some(x), Some(index)) = (x, index) else { return Err(Skip::NoMatch) };
        if graph.operand(split, 1).is_some() || graph.shape(index).is_none_or(|shape| !shape.is_empty()) {
            return Err(Skip::NoMatch);
        }
        let index = match (keepdims, graph.fact(index).known_elements()) {
            (false, _) => index,
            (true, Some(known)) => insert(graph, root, "index", Op::Constant(Tensor::indices(&known)), &[])?,
            (true, None) => {
                let axes = insert(graph, root, "axes", Op::Constant(Tensor::indices(&[0])), &[])?;
                insert(graph, root, "index", Op::Unsqueeze, &[index, axes])?
            }
        };
        become_op(graph, root, Op::Gather { axis }, &[x, index], "gathered without building the sequence")
    })
}

/// Sound if all users of the sequence select elements that exist; Split still checks the sizes.
fn split_at_once() -> Rule {
    let summary = "sequence_at(split_to_sequence(x, sizes), 1), … -> the results of split(x, sizes)";
    Rule::new("split-at-once", summary, op(OpKind::SplitToSequence), |graph, found| {
        let sequence = found.root();
        let &Op::SplitToSequence { axis, keepdims } = graph.op(sequence) else { return Err(Skip::NoMatch) };
        let split = graph.operand(sequence.node, 1);
        if split.is_none() && !keepdims {
            return Err(Skip::NoMatch);
        }
        let x = graph.operand(sequence.node, 0).ok_or(Skip::NoMatch)?;
        let parts = parts(graph, x, split, axis)?;
        let users = graph.users(sequence);
        if users.iter().any(|&(user, _)| graph.node(user).op().kind() != OpKind::SequenceAt)
            || graph.is_output(sequence)
        {
            return Err(Skip::rejected("it has a use as a whole sequence"));
        }
        let positions = users.into_iter().map(|(user, _)| Ok((user, position(graph, user, parts.count)?)));
        let positions: Vec<_> = positions.collect::<Result<_, Skip>>()?;
        let sizes = match parts.sizes {
            Sizes::Operand(sizes) => sizes,
            Sizes::Known(sizes) => insert(graph, sequence, "sizes", Op::Constant(Tensor::indices(&sizes)), &[])?,
        };
        let place = graph.beside(sequence.node, "part");
        let results = vec![place.results[0].clone(); parts.count];
        let node =
            graph.insert(Place { results: results.into(), ..place }, Op::Split { axis }, &[Some(x), Some(sizes)])?;
        let results: Vec<Value> = graph.results(node).collect();
        for (user, at) in positions {
            become_value(graph, Value { node: user, result: 0 }, results[at], "")?;
        }
        Ok("split without building the sequence".into())
    })
}

/// The parts into which a tensor is split.
struct Parts {
    count: usize,
    sizes: Sizes,
}

enum Sizes {
    /// A value that Split can take as its operand.
    Operand(Value),
    Known(Vec<i64>),
}

/// The maximum number of results of a Split that is inserted.
const MAX_PARTS: i64 = 1024;

/// Returns the parts of a split. `split` is a vector of all sizes, or the size of each part but the last; the default
/// is parts of size 1.
fn parts(graph: &Graph, x: Value, split: Option<Value>, axis: i64) -> Result<Parts, Skip> {
    let unknown = || Skip::rejected("the number of parts is unknown");
    let known = |split: Value| graph.fact(split).known_elements().ok_or_else(unknown);
    if let Some(split) = split
        && let [count] = graph.shape(split).ok_or_else(unknown)?
    {
        let count = count.known().filter(|count| *count <= MAX_PARTS);
        let count = count.and_then(|count| usize::try_from(count).ok()).ok_or_else(unknown)?;
        let is_index = graph.fact(split).element() == Some(ElementType::I64);
        let sizes = if is_index { Sizes::Operand(split) } else { Sizes::Known(known(split)?) };
        return Ok(Parts { count, sizes });
    }
    let size = split.map_or(Ok(vec![1]), known)?;
    let whole = length(graph, x, axis).ok_or_else(unknown)?;
    let &[size @ 1..=i64::MAX] = &size[..] else { return Err(unknown()) };
    let count = whole.div_euclid(size) + i64::from(whole % size > 0);
    if count > MAX_PARTS {
        return Err(Skip::rejected(format!("it has {count} parts, more than {MAX_PARTS}")));
    }
    let sizes: Vec<i64> = (0..count).map(|at| size.min(whole - at * size)).collect();
    Ok(Parts { count: sizes.len(), sizes: Sizes::Known(sizes) })
}

/// Returns the size of an axis, if it is known.
fn length(graph: &Graph, x: Value, axis: i64) -> Option<i64> {
    let shape = graph.shape(x)?;
    shape[sizes::position(axis, shape.len())?].known()
}

fn concatenate() -> Rule {
    let summary = "concat_from_sequence(sequence_construct(a, b, …)) -> concat(a, b, …), unsqueezed for a new axis";
    Rule::new("concatenate", summary, op(OpKind::ConcatFromSequence), |graph, found| {
        let root = found.root();
        let sequence = sequence(graph, root.node, OpKind::SequenceConstruct).ok_or(Skip::NoMatch)?;
        let &Op::ConcatFromSequence { axis, new_axis } = graph.op(root) else { return Err(Skip::NoMatch) };
        let mut elements = graph.operands(sequence).into_iter().collect::<Option<Vec<Value>>>().ok_or(Skip::NoMatch)?;
        if new_axis {
            let axes = insert(graph, root, "axes", Op::Constant(Tensor::indices(&[axis])), &[])?;
            for element in &mut elements {
                *element = insert(graph, root, "part", Op::Unsqueeze, &[*element, axes])?;
            }
        }
        become_op(graph, root, Op::Concat { axis }, &elements, "concatenated without building the sequence")
    })
}

/// Declines if the sizes of all parts are given: they may not add up, which is an error that must stay.
fn count_elements() -> Rule {
    let summary = "sequence_length of a sequence whose elements are known -> a constant";
    Rule::new("count-elements", summary, op(OpKind::SequenceLength), |graph, found| {
        let root = found.root();
        let sequence = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        let operands = graph.operands(sequence.node);
        let count = match (graph.op(sequence), &operands[..]) {
            (Op::SequenceConstruct, elements) => elements.len(),
            (Op::SplitToSequence { axis, .. }, &[Some(x), ref split @ ..]) => {
                let parts = parts(graph, x, split.first().copied().flatten(), *axis)?;
                if matches!(parts.sizes, Sizes::Operand(_)) {
                    return Err(Skip::NoMatch);
                }
                parts.count
            }
            _ => return Err(Skip::NoMatch),
        };
        if graph.is_output(root) {
            return Err(Skip::rejected("it is a result of the graph"));
        }
        let count = i64::try_from(count).map_err(|_| Skip::NoMatch)?;
        become_op(graph, root, Op::Constant(Tensor::index(count)), &[], "counted")
    })
}
