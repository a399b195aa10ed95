//! Cuts an axis into parts by one Split instead of one Slice each.

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::read::sizes::{only_element, position};
use crate::rewrite::{become_results, number_list};
use crate::rule::Skip;
use netwright_ir::{Graph, NodeId, Op, OpKind, Value};
use std::collections::BTreeMap;

/// `slice(x, 0, h)`, `slice(x, h, n)` -> `split(x, [h, n - h])`
///
/// Slices that together cut a whole axis of known size into consecutive parts become one Split.
pub fn merge_slices() -> Pass {
    let summary = "cut an axis into parts by one split instead of one slice each";
    Pass::new("merge-slices", summary, Exactness::Bits).on_graph(merge)
}

/// A slice along one axis: its start, its end, and its result.
type Part = (i64, i64, Value);

fn merge(graph: &mut Graph, log: &mut Log) {
    if !graph.has_kind(OpKind::Slice) {
        return;
    }
    // By the operand and the axis, in program order of the first slice.
    let mut cuts: BTreeMap<(Value, usize), Vec<Part>> = BTreeMap::new();
    for node in graph.schedule() {
        if let Some((of, axis, part)) = part(graph, node) {
            cuts.entry((of, axis)).or_default().push(part);
        }
    }
    let mut cuts: Vec<_> = cuts.into_iter().collect();
    cuts.sort_by_key(|(_, parts)| parts.iter().map(|(_, _, value)| graph.node(value.node).order()).min());
    for ((of, axis), mut parts) in cuts {
        if !log.may_apply() {
            return;
        }
        let first = parts.iter().map(|part| part.2).min_by_key(|value| graph.node(value.node).order());
        parts.sort_unstable();
        let size = graph.shape(of).and_then(|shape| shape[axis].known());
        let joins = parts.windows(2).all(|pair| pair[0].1 == pair[1].0);
        let whole = parts.first().map(|part| part.0) == Some(0) && parts.last().map(|part| part.1) == size;
        let (true, true, Some(first)) = (joins && whole, parts.len() > 1, first) else { continue };
        let name = name_of(graph, first.node);
        if log.may_apply_at(&name) && split(graph, of, axis, first, &parts).is_ok() {
            log.applied_in(graph, name, format!("merged {} slices into one split", parts.len()));
        }
    }
}

/// Returns the operand, the axis and the part of a slice along one axis of known size with step 1.
fn part(graph: &Graph, node: NodeId) -> Option<(Value, usize, Part)> {
    if graph.node(node).op().kind() != OpKind::Slice {
        return None;
    }
    let one = |at| only_element(graph, node, at);
    // A slice of a shape may become a Shape of some axes, in opsets that have it.
    let of = graph.operand(node, 0).filter(|of| graph.kind(*of) != OpKind::Shape)?;
    let shape = graph.shape(of)?;
    let axis = match graph.operand(node, 3) {
        Some(_) => position(one(3)?, shape.len())?,
        None => 0,
    };
    if graph.operand(node, 4).is_some() && one(4)? != 1 {
        return None;
    }
    let size = shape.get(axis)?.known()?;
    let bound = |bound: i64| if bound < 0 { bound.saturating_add(size).max(0) } else { bound.min(size) };
    let (from, to) = (bound(one(1)?), bound(one(2)?));
    (from < to).then_some((of, axis, (from, to, Value { node, result: 0 })))
}

fn split(graph: &mut Graph, of: Value, axis: usize, first: Value, parts: &[Part]) -> Result<(), Skip> {
    let axis = i64::try_from(axis).map_err(|_| Skip::NoMatch)?;
    let sizes: Vec<i64> = parts.iter().map(|(from, to, _)| to - from).collect();
    let sizes = number_list(graph, first, "sizes", &sizes)?;
    let cuts: Vec<Value> = parts.iter().map(|(_, _, value)| *value).collect();
    become_results(graph, &cuts, Op::Split { axis }, &[Some(of), Some(sizes)], "").map(|_| ())
}
