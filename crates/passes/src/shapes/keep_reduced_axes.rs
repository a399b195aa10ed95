use crate::pass::{Exactness, Pass};
use crate::pattern::op;
use crate::read::chain::{self, Chain};
use crate::read::sizes::{position, same_shape};
use crate::rewrite::{become_value, insert};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::attribute::Attributes;
use netwright_ir::op::Class;
use netwright_ir::{Graph, Op, OpKind, Value};

/// `reshape(f(reduce(x)), ..)` -> `f(reduce(x))`, the axes kept with size 1
///
/// A mean that is brought back to the rank of what it was taken of may as well keep its axes. Between the two may stand
/// operators on each element alone, and with a number.
pub fn keep_reduced_axes() -> Pass {
    let summary = "reduce with the axes kept, in place of a reshape that brings them back";
    let rules = [keep(OpKind::Reshape), keep(OpKind::Unsqueeze), merge_reductions()];
    Pass::new("keep-reduced-axes", summary, Exactness::Bits).rules(rules)
}

/// Among more readers no twin is looked for.
const MOST_USES: usize = 64;

fn keep(kind: OpKind) -> Rule {
    let summary = "reshape(f(reduce(x))) -> f(reduce(x)), the axes kept";
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

/// The reduction that keeps its axes, of one that does not.
fn keeping_axes(op: &Op) -> Option<Op> {
    // It is so by default.
    let (dropped, others): (Vec<_>, Vec<_>) = op.attributes().into_iter().partition(|(name, _)| *name == "keepdims");
    let others = others.into_iter().map(|(name, value)| (name.into(), value)).collect();
    if dropped.is_empty() { None } else { Op::from_attributes(op.kind(), Attributes::new(others).ok()?).ok() }
}

/// Reductions of the same that write the same axes in two ways, from the first and from the last.
fn merge_reductions() -> Rule {
    let summary = "reduce(x, [-1]), reduce(x, [2]) -> the first";
    Rule::new("merge-reductions", summary, op(OpKind::ReduceMean), |graph, found| {
        let root = found.root();
        let x = graph.operand(root.node, 0).filter(|x| graph.use_count(*x) <= MOST_USES).ok_or(Skip::NoMatch)?;
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
        });
        become_value(graph, root, twin.ok_or(Skip::NoMatch)?, "the same axes")
    })
}
