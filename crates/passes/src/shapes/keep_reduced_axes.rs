//! Keeps reduced axes as size 1 instead of restoring them by a Reshape.

use crate::pass::{Exactness, Pass};
use crate::pattern::op;
use crate::read::chain::{self, Chain};
use crate::read::sizes::{position, same_shape};
use crate::rewrite::{become_value, insert, needs_node_between};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::attribute::Attributes;
use netwright_ir::op::Class;
use netwright_ir::{Graph, Op, OpKind, Value};

/// `reshape(f(reduce(x)), ..)` -> `f(reduce(x))`, with the reduced axes kept as size 1
///
/// A mean that is reshaped to the rank of its operand can keep its axes instead. Operators that treat each element
/// independently, or combine it with a scalar, may be in between.
pub fn keep_reduced_axes() -> Pass {
    let summary = "keep the reduced axes instead of restoring them by a reshape";
    let rules = [keep(OpKind::Reshape), keep(OpKind::Unsqueeze), merge_reductions()];
    Pass::new("keep-reduced-axes", summary, Exactness::Bits).rules(rules)
}

/// The maximum number of uses among which an equal reduction is searched.
const MAX_USES: usize = 64;

fn keep(kind: OpKind) -> Rule {
    let summary = "reshape(f(reduce(x))) -> f(reduce(x)), with the axes kept";
    Rule::new("keep-reduced-axes", summary, op(kind), |graph, found| {
        let root = found.root();
        let (chain, reduced) = chain::up_to(graph, root, false, is_reduction).ok_or(Skip::NoMatch)?;
        rebuild(graph, root, reduced, &chain)
    })
}

fn is_reduction(kind: OpKind) -> bool {
    kind.class() == Class::Reduces
}

fn rebuild(graph: &mut Graph, root: Value, reduced: Value, chain: &Chain) -> Rewritten {
    let op = keeping_axes(graph.op(reduced)).ok_or(Skip::NoMatch)?;
    let to = graph.shape(root).ok_or(Skip::NoMatch)?.to_vec();
    let operands: Vec<Value> = graph.operands(reduced.node).into_iter().flatten().collect();
    let kept = insert(graph, root, "reduced", op, &operands)?;
    if !graph.shape(kept).is_some_and(|shape| same_shape(shape, &to)) {
        return Err(Skip::NoMatch);
    }
    chain::rebuild(graph, root, chain, kept, "the reduction keeps its axes")
}

/// Returns a reduction that keeps its axes, from one that does not.
fn keeping_axes(op: &Op) -> Option<Op> {
    // By default, `keepdims` is 1.
    let (dropped, others): (Vec<_>, Vec<_>) = op.attributes().into_iter().partition(|(name, _)| *name == "keepdims");
    let others = others.into_iter().map(|(name, value)| (name.into(), value)).collect();
    if dropped.is_empty() { None } else { Op::from_attributes(op.kind(), Attributes::new(others).ok()?).ok() }
}

/// Merges reductions of one operand that spell the same axes differently, from the front and from the back.
fn merge_reductions() -> Rule {
    let summary = "reduce(x, [-1]), reduce(x, [2]) -> the first";
    Rule::new("merge-reductions", summary, op(OpKind::ReduceMean), |graph, found| {
        let root = found.root();
        let x = graph.operand(root.node, 0).filter(|x| graph.use_count(*x) <= MAX_USES).ok_or(Skip::NoMatch)?;
        let axes = |value: Value| -> Option<Vec<usize>> {
            let rank = graph.fact(x).rank()?;
            let axes = graph.fact(graph.operand(value.node, 1)?).known_elements()?;
            let mut axes = axes.iter().map(|axis| position(*axis, rank)).collect::<Option<Vec<_>>>()?;
            axes.sort_unstable();
            Some(axes)
        };
        let own = axes(root).filter(|axes| !axes.is_empty()).ok_or(Skip::NoMatch)?;
        let order = graph.node(root.node).order();
        let twin = graph.users(x).into_iter().map(|(node, _)| Value { node, result: 0 }).find(|twin| {
            graph.node(twin.node).order() < order
                && graph.op(*twin) == graph.op(root)
                && graph.operand(twin.node, 0) == Some(x)
                && axes(*twin).as_ref() == Some(&own)
                && !needs_node_between(graph, root, *twin)
        });
        become_value(graph, root, twin.ok_or(Skip::NoMatch)?, "merged with a reduction along the same axes")
    })
}
