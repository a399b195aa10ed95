//! Finds the masks that are added to attention scores, whose numbers leave the range of narrow types.

use super::plan::{is_elementwise, is_product, is_structural};
use super::{Context, is_converted, is_float, is_float_cast};
use crate::read::numbers::Numbers;
use netwright_ir::{Graph, NodeId, Op, OpKind, Value};
use std::collections::HashSet;

/// Returns the nodes that compute masks in a graph, and the inputs and tensors that are masks, without those whose numbers are all
/// well within the range of the narrow type.
///
/// A mask is the mask operand of an attention or of a softmax, or one of two addends of the operand of a softmax if only
/// the other one is computed by a product.
pub(super) fn added_masks(graph: &Graph, context: &Context<'_>) -> HashSet<NodeId> {
    let mut finder = Finder { graph, deep: HashSet::new(), scores: HashSet::new(), masks: HashSet::new() };
    let schedule = graph.schedule();
    for &id in &schedule {
        finder.visit(id, context);
    }
    for &id in &schedule {
        let mask = match graph.node(id).op() {
            Op::Softmax { .. } => {
                finder.search_scores(id);
                None
            }
            Op::ScaledSoftmax { .. } => graph.operand(id, 1),
            Op::Attention { .. } => graph.operand(id, 3),
            Op::Opaque(opaque) if &*opaque.op_type == "MultiHeadAttention" => graph.operand(id, 5),
            _ => None,
        };
        finder.masks.extend(mask);
    }
    finder.nodes_of_masks()
}

struct Finder<'g> {
    graph: &'g Graph,
    /// The nodes whose results may have numbers near the end of the range or beyond.
    deep: HashSet<NodeId>,
    /// The nodes whose results are elements of products, or computed from these.
    scores: HashSet<NodeId>,
    masks: HashSet<Value>,
}

impl Finder<'_> {
    fn visit(&mut self, id: NodeId, context: &Context<'_>) {
        let graph = self.graph;
        let result = Value { node: id, result: 0 };
        if !graph.results(id).any(|result| is_float(graph, result)) {
            return;
        }
        let op = graph.node(id).op();
        match op {
            Op::Input | Op::Captured => {
                let element = context.precision.io_type(graph.value_name(result)).or(graph.fact(result).element());
                if element != Some(context.to) {
                    self.deep.insert(id);
                }
            }
            Op::Constant(_) | Op::Parameter(_) => {
                let numbers = Numbers::of(graph, result);
                let is_narrow = graph.fact(result).element() == Some(context.to);
                if !is_narrow
                    && [numbers.least, numbers.most].into_iter().any(|number| context.precision.is_near_end(number))
                {
                    self.deep.insert(id);
                }
            }
            Op::ConstantOfShape { value }
                if value.float().is_some_and(|number| context.precision.is_near_end(number)) =>
            {
                self.deep.insert(id);
            }
            op if is_product(op.kind()) => {
                self.scores.insert(id);
            }
            op if passes_on(op) => {
                let operands = graph.operands(id).into_iter().flatten();
                for operand in operands.filter(|operand| is_float(graph, *operand)) {
                    if self.deep.contains(&operand.node) {
                        self.deep.insert(id);
                    }
                    if self.scores.contains(&operand.node) {
                        self.scores.insert(id);
                    }
                }
            }
            _ => {}
        }
    }

    /// Finds the addends of the operand of a softmax that are not computed by products.
    fn search_scores(&mut self, softmax: NodeId) {
        let graph = self.graph;
        let is_scores = |of: &Self, value: &Value| of.scores.contains(&value.node);
        let mut open: Vec<Value> = graph.operand(softmax, 0).into_iter().collect();
        let mut known = HashSet::new();
        while let Some(value) = open.pop() {
            let op = graph.node(value.node).op();
            if !is_scores(self, &value) || !keeps_scores(op) || !known.insert(value) {
                continue;
            }
            let operands: Vec<Value> =
                graph.operands(value.node).into_iter().flatten().filter(|value| is_float(graph, *value)).collect();
            let (scores, others): (Vec<Value>, Vec<Value>) =
                operands.into_iter().partition(|operand| is_scores(self, operand));
            if matches!(op.kind(), OpKind::Add | OpKind::Sum) {
                self.masks.extend(others);
            }
            open.extend(scores);
        }
    }

    /// Returns the nodes before masks, and their own, up to those whose numbers are small.
    fn nodes_of_masks(self) -> HashSet<NodeId> {
        let graph = self.graph;
        let mut open: Vec<Value> = self.masks.iter().copied().collect();
        let mut found = HashSet::new();
        while let Some(value) = open.pop() {
            let op = graph.node(value.node).op();
            let is_searched = op.kind().is_source() || op.kind() == OpKind::ConstantOfShape || passes_on(op);
            if is_searched && self.deep.contains(&value.node) && found.insert(value.node) {
                open.extend(graph.operands(value.node).into_iter().flatten().filter(|value| is_float(graph, *value)));
            }
        }
        found.retain(|id| !is_float_cast(graph, Value { node: *id, result: 0 }));
        found
    }
}

/// Whether a softmax of the result is one of scores if an operand has scores.
fn keeps_scores(op: &Op) -> bool {
    let kind = op.kind();
    let is_linear = matches!(kind, OpKind::Add | OpKind::Sum | OpKind::Sub | OpKind::Mul | OpKind::Div);
    passes_on(op) && (is_linear || kind == OpKind::Max || !is_elementwise(kind))
}

/// Whether a large number in an operand may be in a result too.
fn passes_on(op: &Op) -> bool {
    let kind = op.kind();
    matches!(op, Op::Cast { to, .. } if is_converted(*to)) || is_elementwise(kind) || is_structural(kind)
}
