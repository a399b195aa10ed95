//! Reshape, Unsqueeze, Squeeze and Flatten: elements stay in order, so what two of them make, one does.

use crate::pattern::op;
use crate::rewrite::{become_op, become_value, insert};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{Dim, Graph, Kind, NodeId, Op, Shape, Tensor, Value};

const KINDS: [Kind; 4] = [Kind::Reshape, Kind::Unsqueeze, Kind::Squeeze, Kind::Flatten];

pub(super) fn rules() -> Vec<Rule> {
    let merge = |kind| {
        let summary = "reshape(reshape(x)) -> reshape(x), and so for unsqueeze, squeeze and flatten";
        Rule::new("merge-reshapes", summary, op(kind), |graph, found| merge(graph, found.root()))
    };
    KINDS.map(merge).into()
}

/// Whether two shapes are shown to be the same.
pub(super) fn same(a: &[Dim], b: &[Dim]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b) == Some(true))
}

/// Two nodes, of which the second reads the first alone.
struct Pair {
    root: Value,
    /// The node before the root, and what it reads.
    inner: NodeId,
    x: Value,
    from: Shape,
    between: Shape,
    to: Shape,
}

/// Sound where the first node is shown to be defined: what fails when the model runs goes on failing.
fn merge(graph: &mut Graph, root: Value) -> Rewritten {
    let before = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    if !KINDS.contains(&graph.kind(before)) {
        return Err(Skip::NoMatch);
    }
    let x = graph.operand(before.node, 0).ok_or(Skip::NoMatch)?;
    if let &Op::Reshape { allowzero } = graph.op(root)
        && let Some(shape) = graph.operand(root.node, 1)
    {
        let kept = !allowzero && may_keep(graph, shape, x, before);
        if !kept && inferred(graph, before.node).is_some() {
            return become_op(graph, root, Op::Reshape { allowzero }, &[x, shape], MERGED);
        }
    }
    let shapes = (graph.shape(x), inferred(graph, before.node), inferred(graph, root.node));
    let (Some(from), Some(between), Some(to)) = shapes else { return Err(Skip::NoMatch) };
    let pair = Pair { root, inner: before.node, x, from: from.iter().cloned().collect(), between, to };
    if same(&pair.from, &pair.to) {
        return become_value(graph, root, x, "dropped: with the node before it, it changes no size");
    }
    if graph.use_count(before) > 1 {
        return Err(Skip::rejected(format!("{} has another use", graph.operand_text(before))));
    }
    match (graph.kind(before), graph.kind(root)) {
        (Kind::Unsqueeze, Kind::Unsqueeze) => merge_axes(graph, &pair, Op::Unsqueeze),
        (Kind::Squeeze, Kind::Squeeze) => merge_axes(graph, &pair, Op::Squeeze),
        _ => reshape_at_once(graph, &pair),
    }
}

const MERGED: &str = "merged with the node before it";

/// The shape of the result by inference alone; `None` where it is not known, or where the node may fail.
fn inferred(graph: &Graph, node: NodeId) -> Option<Shape> {
    let op = graph.node(node).op();
    // Axes that are there and none: all of size 1 to some runtimes, none to others.
    let axes = graph.operand(node, 1).filter(|_| op.kind() == Kind::Squeeze);
    if axes.is_some_and(|axes| graph.fact(axes).known_elements().is_none_or(|axes| axes.is_empty())) {
        return None;
    }
    let inferred = graph.infer(op, &graph.operands(node), 1).ok()?;
    let to = inferred.facts.first().filter(|_| inferred.assumed.is_empty())?.shape()?;
    let count = |shape: &[Dim]| shape.iter().cloned().collect::<Shape>().count();
    let from = count(graph.shape(graph.operand(node, 0)?)?);
    let is_defined = matches!(op.kind(), Kind::Unsqueeze | Kind::Flatten) || from.same(&count(to)) == Some(true);
    is_defined.then(|| to.clone())
}

/// Whether a 0 in the shape, where there is or may be one, keeps another size of `x` than of `before`.
fn may_keep(graph: &Graph, shape: Value, x: Value, before: Value) -> bool {
    let Some(sizes) = &graph.fact(shape).elements else { return true };
    let size = |value: Value, axis: usize| graph.shape(value).and_then(|shape| shape.get(axis));
    sizes.iter().enumerate().any(|(axis, dim)| {
        let is_size = *dim == Dim::Known(-1) || dim.is_positive();
        let stays = size(x, axis).zip(size(before, axis)).is_some_and(|(from, to)| from.same(to) == Some(true));
        !is_size && !stays
    })
}

/// The axes of both nodes, as those of the shape that has all of them.
fn merge_axes(graph: &mut Graph, pair: &Pair, op: Op) -> Rewritten {
    let axes = |node: NodeId, rank: usize| -> Option<Vec<usize>> {
        let axes = graph.fact(graph.operand(node, 1)?).known_elements()?;
        let rank = i64::try_from(rank).ok()?;
        axes.into_iter().map(|axis| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()).collect()
    };
    let unsqueezes = op.kind() == Kind::Unsqueeze;
    // From the highest rank, take out the axes of one node, then those of the other among what is left.
    let [(outer, rank), (inner, left)] = if unsqueezes {
        [(pair.root.node, pair.to.len()), (pair.inner, pair.between.len())]
    } else {
        [(pair.inner, pair.from.len()), (pair.root.node, pair.between.len())]
    };
    let (outer, inner) = axes(outer, rank).zip(axes(inner, left)).ok_or(Skip::NoMatch)?;
    let others: Vec<usize> = (0..rank).filter(|axis| !outer.contains(axis)).collect();
    let mut all = outer;
    all.extend(inner.into_iter().filter_map(|axis| others.get(axis)));
    all.sort_unstable();
    let all: Option<Vec<i64>> = all.into_iter().map(|axis| i64::try_from(axis).ok()).collect();
    let axes = Op::Constant(Tensor::indices(&all.ok_or(Skip::NoMatch)?));
    let axes = insert(graph, pair.root, "axes", axes, &[])?;
    become_op(graph, pair.root, op, &[pair.x, axes], MERGED)
}

fn reshape_at_once(graph: &mut Graph, pair: &Pair) -> Rewritten {
    let sizes = sizes(graph, pair).ok_or_else(|| {
        Skip::rejected(format!("no constant makes {} of {} whatever the sizes are", pair.to, pair.from))
    })?;
    let shape = insert(graph, pair.root, "shape", Op::Constant(Tensor::indices(&sizes)), &[])?;
    become_op(graph, pair.root, Op::Reshape { allowzero: false }, &[pair.x, shape], MERGED)
}

/// What makes one shape of the other whatever the symbols are: a 0 for a size that stays in its place, and one -1 for
/// another one.
///
/// A -1 is not defined beside a size of 0, so the others must be positive, or a -1 must have been there before.
fn sizes(graph: &Graph, pair: &Pair) -> Option<Vec<i64>> {
    let mut open = None;
    let mut sizes = vec![];
    for (axis, dim) in pair.to.iter().enumerate() {
        let stays = pair.from.get(axis).is_some_and(|from| from.same(dim) == Some(true));
        sizes.push(match dim {
            Dim::Known(size @ 1..) => *size,
            _ if stays => 0,
            _ if open.replace(axis).is_none() => -1,
            _ => return None,
        });
    }
    let Some(open) = open else { return Some(sizes) };
    let positive = pair.to.iter().enumerate().all(|(axis, dim)| axis == open || dim.is_positive());
    (positive || was_open(graph, pair, &pair.to[open])).then_some(sizes)
}

/// Whether that size is -1 in the first node, and the second one moves but sizes of 1.
fn was_open(graph: &Graph, pair: &Pair, size: &Dim) -> bool {
    let shape = graph.operand(pair.inner, 1).filter(|_| matches!(graph.node(pair.inner).op(), Op::Reshape { .. }));
    let sizes = shape.and_then(|shape| graph.fact(shape).elements.as_deref()).unwrap_or_default();
    let at = sizes.iter().position(|size| *size == Dim::Known(-1));
    matches!(graph.kind(pair.root), Kind::Unsqueeze | Kind::Squeeze)
        && at.and_then(|at| pair.between.get(at)).is_some_and(|between| between.same(size) == Some(true))
}
