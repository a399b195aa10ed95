//! Replaces sequences of split tensors by slices.

use super::{Attributes, Form, Types, operand};
use crate::file::bodies;
use std::collections::BTreeMap;
use tract_onnx::pb::{GraphProto, NodeProto};

/// A SplitToSequence whose parts are all read by SequenceAt nodes.
pub(super) struct Split {
    of: String,
    axis: i64,
    sizes: Sizes,
}

enum Sizes {
    /// Each part has this size, except the last.
    Same(i64),
    Each(Vec<i64>),
}

/// Returns the splits of a graph by the name of the sequence.
pub(super) fn splits(graph: &GraphProto, types: &Types) -> BTreeMap<String, Split> {
    let nodes = graph.node.iter().filter(|node| node.op_type == "SplitToSequence" && node.domain.is_empty());
    let mut splits: BTreeMap<String, Split> =
        nodes.filter_map(|node| Some((node.output.first()?.clone(), split(node, types)?))).collect();
    for output in &graph.output {
        splits.remove(&output.name);
    }
    for node in &graph.node {
        for operand in &node.input {
            if splits.get(operand).is_some_and(|split| part(split, node, types).is_none()) {
                splits.remove(operand);
            }
        }
        let mut inner: Vec<&GraphProto> = bodies(node).collect();
        while let Some(graph) = inner.pop() {
            let names = graph.node.iter().flat_map(|node| &node.input);
            names.chain(graph.output.iter().map(|output| &output.name)).for_each(|name| _ = splits.remove(name));
            inner.extend(graph.node.iter().flat_map(bodies));
        }
    }
    splits
}

fn split(node: &NodeProto, types: &Types) -> Option<Split> {
    let mut attributes = Attributes::of(node);
    let axis = attributes.int("axis", 0);
    // It applies only if the operand `split` is absent.
    attributes.take("keepdims");
    attributes.end()?;
    let sizes = operand(node, 1)?;
    let (rank, numbers) = (types.rank(sizes)?, types.integers(sizes)?);
    let sizes = match (rank, numbers) {
        (0, [size]) if *size > 0 => Sizes::Same(*size),
        (1, sizes) => Sizes::Each(sizes.to_vec()),
        _ => return None,
    };
    Some(Split { of: operand(node, 0)?.to_owned(), axis, sizes })
}

/// Returns the start and end of the part that a SequenceAt reads.
fn part(split: &Split, node: &NodeProto, types: &Types) -> Option<(i64, i64)> {
    let is_read = node.op_type == "SequenceAt" && node.domain.is_empty();
    let [at] = types.integers(operand(node, 1).filter(|_| is_read)?)? else { return None };
    match &split.sizes {
        Sizes::Same(size) if *at >= 0 => Some((at.checked_mul(*size)?, at.checked_add(1)?.checked_mul(*size)?)),
        Sizes::Same(_) => None,
        Sizes::Each(sizes) => {
            let at = usize::try_from(*at).ok().filter(|at| *at < sizes.len())?;
            let sum = |sizes: &[i64]| sizes.iter().try_fold(0_i64, |sum, size| sum.checked_add(*size));
            Some((sum(&sizes[..at])?, sum(&sizes[..=at])?))
        }
    }
}

/// SequenceAt of a known SplitToSequence -> Slice.
pub(super) fn form(node: &NodeProto, splits: &BTreeMap<String, Split>, types: &Types) -> Option<Vec<NodeProto>> {
    let split = splits.get(operand(node, 0)?)?;
    let (start, end) = part(split, node, types)?;
    let mut form = Form::new(node);
    let [start, end] = [start, end].map(|place| form.ints(&[place]));
    let part = form.slice(&split.of, &start, &end, split.axis);
    Some(form.finish(&[(0, &part)]))
}
