//! Operators of layout, and Dropout, that leave their operand as it is.

use crate::pattern::op;
use crate::rewrite::{become_op, become_value, insert};
use crate::rule::{Rule, Skip};
use netwright_ir::{Graph, NodeId, Op, OpKind, Tensor, Value};

pub(super) fn rules() -> Vec<Rule> {
    let kinds = [
        OpKind::Reshape,
        OpKind::Flatten,
        OpKind::Unsqueeze,
        OpKind::Squeeze,
        OpKind::Expand,
        OpKind::Tile,
        OpKind::Slice,
        OpKind::Split,
    ];
    let mut rules = Vec::from(kinds.map(drop_same_shape));
    rules.extend([drop_pad(), drop_dropout(), scalar_range()]);
    rules
}

/// ONNX's checker refuses a `Range` whose operands are shown to have axes, and runtimes take one element of any shape:
/// what a branch or a function made of them comes to light when it takes the place of its call.
fn scalar_range() -> Rule {
    Rule::new("scalar-range", "range(a[1], b, c) -> range(a[], b, c)", op(OpKind::Range), |graph, found| {
        let root = found.root();
        let has_axes = |value: Value| graph.shape(value).is_some_and(|shape| !shape.is_empty());
        let operands: Vec<Value> = graph.operands(root.node).into_iter().collect::<Option<_>>().ok_or(Skip::NoMatch)?;
        let axes: Vec<bool> = operands.iter().map(|operand| has_axes(*operand)).collect();
        if !axes.contains(&true) {
            return Err(Skip::NoMatch);
        }
        let mut scalars = vec![];
        for (operand, has_axes) in operands.into_iter().zip(axes) {
            scalars.push(if has_axes {
                let shape = insert(graph, root, "scalar", Op::Constant(Tensor::indices(&[])), &[])?;
                insert(graph, root, "bound", Op::Reshape { allowzero: false }, &[operand, shape])?
            } else {
                operand
            });
        }
        become_op(graph, root, Op::Range, &scalars, "its operands became scalars")
    })
}

/// Sound where every size is shown to be the operand's: elements that stay in order and in number are the same. A -1
/// beside a size that is 0 when the model runs is an error that goes with the node.
fn drop_same_shape(kind: OpKind) -> Rule {
    Rule::new("drop-same-shape", "x in the shape that it has -> x", op(kind), |graph, found| {
        let root = found.root();
        let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        if !keeps_order(graph, root.node) || !keeps_shape(graph, root.node, x) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, root, x, "dropped: it changes no size")
    })
}

/// Whether the elements of the one result, where there are as many, are those of the first operand in their order.
fn keeps_order(graph: &Graph, node: NodeId) -> bool {
    match graph.node(node).op() {
        Op::Slice => graph.operand(node, 4).is_none_or(|steps| all_are(graph, steps, 1)),
        // Axes that are there and none: all of size 1 to some runtimes, none to others.
        Op::Squeeze => graph.operand(node, 1).is_none(),
        _ => graph.node(node).result_count() == 1,
    }
}

/// Whether the first result has the shape of `x` by inference alone, with nothing that must hold when the model runs.
fn keeps_shape(graph: &Graph, node: NodeId, x: Value) -> bool {
    let inferred = graph.infer(graph.node(node).op(), &graph.operands(node), graph.node(node).result_count());
    let Some(inferred) = inferred.ok().filter(|inferred| inferred.assumed.is_empty()) else { return false };
    match (graph.shape(x), inferred.facts.first().and_then(|fact| fact.shape())) {
        (Some(from), Some(to)) => super::reshapes::same(from, to),
        _ => false,
    }
}

fn all_are(graph: &Graph, value: Value, number: i64) -> bool {
    graph.fact(value).known_elements().is_some_and(|elements| elements.iter().all(|element| *element == number))
}

fn drop_pad() -> Rule {
    Rule::new("drop-pad", "pad(x, 0) -> x", op(OpKind::Pad), |graph, found| {
        let node = found.root().node;
        let (x, pads) = (graph.operand(node, 0), graph.operand(node, 1));
        match (x, pads) {
            (Some(x), Some(pads)) if all_are(graph, pads, 0) => {
                become_value(graph, found.root(), x, "dropped: it pads by nothing")
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

/// Sound where it is not training and nobody asks which elements are kept.
fn drop_dropout() -> Rule {
    Rule::new("drop-dropout", "dropout(x) -> x, outside training", op(OpKind::Dropout), |graph, found| {
        let node = found.root().node;
        let x = graph.operand(node, 0).ok_or(Skip::NoMatch)?;
        if graph.operand(node, 2).is_some_and(|training| !all_are(graph, training, 0)) {
            return Err(Skip::rejected("it may be training"));
        }
        if graph.results(node).skip(1).any(|mask| graph.use_count(mask) > 0) {
            return Err(Skip::rejected("its mask is used"));
        }
        become_value(graph, found.root(), x, "dropped: it is not training")
    })
}
