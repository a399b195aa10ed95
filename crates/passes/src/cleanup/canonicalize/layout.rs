//! Removes layout operators, and Dropout, that do not change their operand.

use crate::pattern::op;
use crate::read::sizes::same_shape;
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

/// Makes the operands of a Range scalars. ONNX's checker rejects operands that provably have axes, although runtimes
/// accept one element of any shape. Inlining a branch or a function can reveal such shapes.
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
        become_op(graph, root, Op::Range, &scalars, "reshaped its operands to scalars")
    })
}

/// Sound if every size provably is the operand's, because the order and number of elements stay. The node may hide a
/// failure: a -1 next to a size that is 0 at run time.
fn drop_same_shape(kind: OpKind) -> Rule {
    Rule::new("drop-same-shape", "reshape(x) -> x, and likewise, if the shape stays", op(kind), |graph, found| {
        let root = found.root();
        let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        if !keeps_order(graph, root.node) || !keeps_shape(graph, root.node, x) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, root, x, "dropped: it does not change the shape")
    })
}

/// Whether the only result, if it has as many elements as the first operand, has the same elements in the same order.
fn keeps_order(graph: &Graph, node: NodeId) -> bool {
    match graph.node(node).op() {
        Op::Slice => graph.operand(node, 4).is_none_or(|steps| all_are(graph, steps, 1)),
        // With an empty list of axes, some runtimes squeeze all axes of size 1, others none.
        Op::Squeeze => graph.operand(node, 1).is_none(),
        _ => graph.node(node).result_count() == 1,
    }
}

/// Whether inference proves that the first result has the shape of `x`, without assumptions about the inputs.
fn keeps_shape(graph: &Graph, node: NodeId, x: Value) -> bool {
    let inferred = graph.infer(graph.node(node).op(), &graph.operands(node), graph.node(node).result_count());
    let Some(inferred) = inferred.ok().filter(|inferred| inferred.assumed.is_empty()) else { return false };
    match (graph.shape(x), inferred.facts.first().and_then(|fact| fact.shape())) {
        (Some(from), Some(to)) => same_shape(from, to),
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
                become_value(graph, found.root(), x, "dropped: its padding is 0")
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

/// Sound outside training, if the mask of kept elements has no use.
fn drop_dropout() -> Rule {
    Rule::new("drop-dropout", "dropout(x) -> x, outside training", op(OpKind::Dropout), |graph, found| {
        let node = found.root().node;
        let x = graph.operand(node, 0).ok_or(Skip::NoMatch)?;
        if graph.operand(node, 2).is_some_and(|training| !all_are(graph, training, 0)) {
            return Err(Skip::rejected("it may be training"));
        }
        if graph.results(node).skip(1).any(|mask| graph.use_count(mask) > 0) {
            return Err(Skip::rejected("its mask has a use"));
        }
        become_value(graph, found.root(), x, "dropped: it only acts in training")
    })
}
