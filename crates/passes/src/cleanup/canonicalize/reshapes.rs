//! Merges Reshape, Unsqueeze, Squeeze and Flatten. They keep the order of elements, so two of them are equivalent to
//! one.

use crate::pattern::op;
use crate::read::sizes::same_shape;
use crate::rewrite::{become_op, become_value, first_operands, insert, number_list};
use crate::rule::{Rule, Skip};
use netwright_ir::{Dim, Graph, NodeId, Op, OpKind, Shape, Tensor, Value};

const KINDS: [OpKind; 4] = [OpKind::Reshape, OpKind::Unsqueeze, OpKind::Squeeze, OpKind::Flatten];

pub(super) fn rules() -> Vec<Rule> {
    KINDS.map(merge_reshapes).into_iter().chain([OpKind::Add, OpKind::Mul].map(split_after)).collect()
}

/// Moves arithmetic with numbers before the Reshape that splits a projection into heads: Keras adds biases of shape
/// `[heads, size]`.
fn split_after(kind: OpKind) -> Rule {
    let summary = "add(reshape(x), c) -> reshape(add(x, c)), if it splits the last axis of a projection; so for mul";
    Rule::new("split-after", summary, op(kind), |graph, found| {
        let root = found.root();
        let [a, b] = first_operands(graph, root)?;
        let (split, c) = if graph.kind(a) == OpKind::Reshape { (a, b) } else { (b, a) };
        let &Op::Reshape { allowzero } = graph.op(split) else { return Err(Skip::NoMatch) };
        let [x, sizes] = first_operands(graph, split)?;
        let numbers = graph.tensor(c).ok_or(Skip::NoMatch)?.dims().to_vec();
        let (Some([rows @ .., width]), Some([outer @ .., Dim::Known(heads), Dim::Known(size)])) =
            (graph.shape(x), graph.shape(split))
        else {
            return Err(Skip::NoMatch);
        };
        let is_split = same_shape(rows, outer) && heads.checked_mul(*size).map(Dim::Known).as_ref() == Some(width);
        let is_projection = matches!(graph.kind(x), OpKind::MatMul | OpKind::Add);
        if !is_split || !is_projection || graph.use_count(split) != 1 {
            return Err(Skip::NoMatch);
        }
        let c = match numbers.as_slice() {
            [] | [1] => c,
            [h, s] if [*h, *s].map(i64::try_from) == [Ok(*heads), Ok(*size)] => {
                let flat = number_list(graph, root, "width", &[-1])?;
                insert(graph, root, "flat", Op::Reshape { allowzero: false }, &[c, flat])?
            }
            _ => return Err(Skip::NoMatch),
        };
        let op = graph.op(root).clone();
        let whole = insert(graph, root, "whole", op, &[x, c])?;
        become_op(graph, root, Op::Reshape { allowzero }, &[whole, sizes], "splits the axis after the arithmetic")
    })
}

/// Sound if the first node provably does not fail, and the second does not keep a size that only the first result has.
fn merge_reshapes(kind: OpKind) -> Rule {
    let summary = "reshape(reshape(x)) -> reshape(x), and likewise for unsqueeze, squeeze and flatten";
    Rule::new("merge-reshapes", summary, op(kind), |graph, found| {
        let root = found.root();
        let first = graph.operand(root.node, 0).filter(|first| KINDS.contains(&graph.kind(*first)));
        let first = first.ok_or(Skip::NoMatch)?;
        let x = graph.operand(first.node, 0).ok_or(Skip::NoMatch)?;
        let between = shape_of(graph, first.node).ok_or(Skip::NoMatch)?;
        if let (&Op::Reshape { allowzero }, Some(sizes)) = (graph.op(root), graph.operand(root.node, 1))
            && (allowzero || !may_keep(graph, sizes, x, first))
        {
            return become_op(graph, root, Op::Reshape { allowzero }, &[x, sizes], MERGED);
        }
        let (Some(from), Some(to)) = (graph.shape(x), shape_of(graph, root.node)) else {
            return Err(Skip::rejected("its shape depends on that of the node before it"));
        };
        if same_shape(from, &to) {
            return become_value(graph, root, x, "dropped: with the node before it, it does not change the shape");
        }
        if graph.use_count(first) > 1 {
            return Err(Skip::rejected(format!("{} has another use", graph.operand_text(first))));
        }
        let open = open_axis(graph, [first.node, root.node], &between, &to);
        let (op, numbers) = at_once(from, &to, open).ok_or_else(|| {
            Skip::rejected(format!("{} cannot be reshaped to {to} by a constant for every binding", graph.fact(x)))
        })?;
        let numbers = insert(graph, root, "shape", Op::Constant(Tensor::indices(&numbers)), &[])?;
        become_op(graph, root, op, &[x, numbers], MERGED)
    })
}

const MERGED: &str = "merged with the node before it";

/// Returns the inferred shape of the result. `None` if it is unknown or the node may fail.
fn shape_of(graph: &Graph, node: NodeId) -> Option<Shape> {
    let op = graph.node(node).op();
    // With an empty list of axes, some runtimes squeeze all axes of size 1, others none.
    let axes = graph.operand(node, 1).filter(|_| op.kind() == OpKind::Squeeze);
    if axes.is_some_and(|axes| graph.fact(axes).known_elements().is_none_or(|axes| axes.is_empty())) {
        return None;
    }
    let inferred = graph.infer(op, &graph.operands(node), 1).ok()?;
    let to = inferred.facts.first().filter(|_| inferred.assumed.is_empty())?.shape()?;
    let from = graph.fact(graph.operand(node, 0)?).shape()?;
    let is_defined = match op {
        Op::Unsqueeze | Op::Flatten { .. } => true,
        Op::Reshape { allowzero: false } if may_be_another(graph, graph.operand(node, 1)?, from) => false,
        _ => from.count().same(&to.count()) == Some(true),
    };
    is_defined.then(|| to.clone())
}

/// Whether a symbolic size that is 0 at run time would keep another size, for which a -1 would compensate.
fn may_be_another(graph: &Graph, sizes: Value, from: &[Dim]) -> bool {
    let Some(sizes) = &graph.fact(sizes).elements else { return true };
    let keeps_another = |(axis, dim): (usize, &Dim)| {
        dim.known().is_none() && !dim.is_positive() && from.get(axis).is_none_or(|from| from.same(dim) != Some(true))
    };
    sizes.contains(&Dim::Known(-1)) && sizes.iter().enumerate().any(keeps_another)
}

/// Whether a size that is or may be 0 keeps a different size in `x` than in `first`.
fn may_keep(graph: &Graph, sizes: Value, x: Value, first: Value) -> bool {
    let Some(sizes) = &graph.fact(sizes).elements else { return true };
    let size = |value: Value, axis: usize| graph.shape(value).and_then(|shape| shape.get(axis));
    sizes.iter().enumerate().any(|(axis, dim)| {
        let is_size = *dim == Dim::Known(-1) || dim.is_positive();
        let stays = size(x, axis).zip(size(first, axis)).is_some_and(|(from, to)| from.same(to) == Some(true));
        !is_size && !stays
    })
}

/// Returns the operator that turns one shape into another, and its axes or sizes.
fn at_once(from: &[Dim], to: &[Dim], open: Option<usize>) -> Option<(Op, Vec<i64>)> {
    if let Some(axes) = ones_between(to, from) {
        return Some((Op::Unsqueeze, axes));
    }
    if let Some(axes) = ones_between(from, to) {
        return Some((Op::Squeeze, axes));
    }
    Some((Op::Reshape { allowzero: false }, sizes(from, to, open)?))
}

/// Returns the axes of size 1 that distinguish one shape from another.
fn ones_between(more: &[Dim], less: &[Dim]) -> Option<Vec<i64>> {
    let mut rest = less.iter().peekable();
    let mut axes = vec![];
    for (axis, dim) in (0..).zip(more) {
        if rest.next_if(|other| other.same(dim) == Some(true)).is_none() {
            (*dim == Dim::Known(1)).then(|| axes.push(axis))?;
        }
    }
    rest.next().is_none().then_some(axes)
}

/// Returns sizes that reshape to the other shape for every binding: a 0 for a size that stays at its axis, and a -1 for
/// one other size.
///
/// A -1 next to a size of 0 is an error. So the others must be positive, unless the model has the -1 at the axis
/// `open`.
fn sizes(from: &[Dim], to: &[Dim], open: Option<usize>) -> Option<Vec<i64>> {
    let mut rest = open;
    let mut sizes = vec![];
    for (axis, dim) in to.iter().enumerate() {
        let stays = from.get(axis).is_some_and(|from| from.same(dim) == Some(true));
        sizes.push(match dim {
            _ if open == Some(axis) => -1,
            Dim::Known(size @ 1..) => *size,
            _ if stays => 0,
            _ if rest.replace(axis).is_none() => -1,
            _ => return None,
        });
    }
    let is_alone = |rest| to.iter().enumerate().all(|(axis, dim)| axis == rest || dim.is_positive());
    (rest == open || rest.is_none_or(is_alone)).then_some(sizes)
}

/// Returns the axis of a -1 in one of two nodes, if the other one only inserts or removes axes of size 1.
fn open_axis(graph: &Graph, [first, second]: [NodeId; 2], between: &[Dim], to: &[Dim]) -> Option<usize> {
    let open = |node: NodeId| {
        let sizes = graph.operand(node, 1).filter(|_| graph.node(node).op().kind() == OpKind::Reshape)?;
        graph.fact(sizes).elements.as_ref()?.iter().position(|size| *size == Dim::Known(-1))
    };
    match graph.node(second).op().kind() {
        OpKind::Reshape => open(second),
        OpKind::Unsqueeze | OpKind::Squeeze => {
            let size = between.get(open(first)?)?;
            to.iter().position(|dim| dim.same(size) == Some(true))
        }
        _ => None,
    }
}
