//! Splits axes before a transpose instead of after it.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::{constant_shape, same_shape};
use crate::read::transposes::{keeps_rows, order};
use crate::rewrite::{become_op, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `reshape(transpose(reshape(x)))` -> `transpose(reshape(x))`, if the outer reshape only splits axes
///
/// Exporters merge batch and heads to transpose keys, and split them again. If they are split before the transpose, the
/// two reshapes become one, and often none. Every element keeps its position. Only the elements of
/// heads, the last of four axes, are not split before it: rotary embeddings of pairs are recognized by heads.
pub fn split_axes_before_transposing() -> Pass {
    let summary = "reshape(transpose(reshape(x))) -> transpose(reshape(x)), if axes are split again";
    Pass::new("split-axes-before-transposing", summary, Exactness::Bits).at([OpKind::Reshape], swap)
}

fn swap(graph: &mut Graph, root: Value) -> Rewritten {
    let transposed = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let perm = order(graph, transposed).ok_or(Skip::NoMatch)?;
    let merged =
        graph.operand(transposed.node, 0).filter(|of| graph.kind(*of) == OpKind::Reshape).ok_or(Skip::NoMatch)?;
    let x = graph.operand(merged.node, 0).ok_or(Skip::NoMatch)?;
    if graph.use_count(transposed) != 1 || graph.use_count(merged) != 1 {
        return Err(Skip::NoMatch);
    }
    let shape = |of| graph.shape(of).ok_or(Skip::NoMatch);
    let groups = split(shape(transposed)?, shape(root)?).ok_or(Skip::NoMatch)?;
    let is_plain = |groups: &[&[Dim]]| groups.iter().all(|group| group.len() == 1);
    if perm.len() == 4 && keeps_rows(&perm) && groups.split_last().is_some_and(|(_, outer)| is_plain(outer)) {
        return Err(Skip::NoMatch);
    }
    // The groups in the order before the transpose, and the position to which each axis goes.
    let mut before: Vec<Option<(usize, &[Dim])>> = vec![None; perm.len()];
    let mut first = 0;
    for (group, axis) in groups.into_iter().zip(&perm) {
        if let Some(place) = before.get_mut(*axis) {
            *place = Some((first, group));
        }
        first += group.len();
    }
    let before = before.into_iter().collect::<Option<Vec<_>>>().ok_or(Skip::NoMatch)?;
    let dims: Vec<Dim> = before.iter().flat_map(|(_, group)| group.iter().cloned()).collect();
    let mut order = vec![0; dims.len()];
    let places = before.iter().flat_map(|(first, group)| *first..first + group.len());
    for (from, to) in (0..).zip(places) {
        *order.get_mut(to).ok_or(Skip::NoMatch)? = from;
    }
    let from = shape(x)?;
    let split = if same_shape(from, &dims) {
        x
    } else {
        let target = constant_shape(Some(from), &dims, None)
            .ok_or_else(|| Skip::rejected("the axes cannot be split by a constant shape for every binding"))?;
        let target = number_list(graph, root, "sizes", &target)?;
        insert(graph, root, "split", Op::Reshape { allowzero: false }, &[x, target])?
    };
    become_op(graph, root, Op::Transpose { perm: order }, &[split], "splits axes before the transpose")
}

/// Returns, for each axis of the first shape, the axes of the second into which it is split.
fn split<'s>(from: &[Dim], to: &'s [Dim]) -> Option<Vec<&'s [Dim]>> {
    let mut rest = to;
    let mut groups = vec![];
    for size in from {
        let mut product = rest.first()?.clone();
        let mut count = 1;
        while product.same(size) != Some(true) {
            product = product.times(rest.get(count)?);
            count += 1;
        }
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    rest.is_empty().then_some(groups)
}
