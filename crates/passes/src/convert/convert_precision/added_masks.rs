//! Finds the masks that are added to attention scores, whose numbers leave the range of narrow types.

use super::captured::Captured;
use super::hidden_rows::{can_shift, hidden_queries};
use super::kinds::{is_elementwise, is_product, is_structural};
use super::{Context, is_converted, is_float};
use crate::read::numbers::Numbers;
use crate::read::products::{before_casts, cast_of};
use crate::read::rows::{Hiding, Rows};
use crate::runtime::contrib;
use netwright_ir::{ElementType, Graph, NodeId, Op, OpKind, Tensor, Value};
use std::collections::{HashMap, HashSet};

/// The maximum number of nodes between a softmax and its scores.
const MAX_PATH: usize = 64;

/// The masks of a graph.
pub(super) struct Masks {
    /// The nodes that compute masks, and the inputs and tensors that are masks, without those whose numbers are all well
    /// within the range of the narrow type.
    pub(super) nodes: HashSet<NodeId>,
    /// The nodes that stay in `f32`: those from the scores to the end of a softmax, or an attention, if the narrow type
    /// would change a row of a mask, and the nodes that compute this mask. One of each attention has the reason.
    pub(super) kept: HashMap<NodeId, Option<String>>,
    /// The attentions that may be narrow if the rows of their masks are [shifted](super::hidden_rows).
    pub(super) shifted: HashSet<NodeId>,
}

/// Returns the masks that are added to attention scores in a graph.
///
/// A mask is the mask operand of an attention or of a softmax, or one of two addends of the operand of a softmax if only
/// the other one is computed by a product.
pub(super) fn added_masks(
    graph: &Graph,
    context: &Context<'_>,
    rows: &Rows<'_>,
    captured: &HashMap<NodeId, Captured>,
) -> Masks {
    let mut finder = Finder {
        graph,
        deep: HashSet::new(),
        scores: HashSet::new(),
        masks: HashSet::new(),
        kept: HashMap::new(),
        shifted: HashSet::new(),
    };
    let schedule = graph.schedule();
    for &id in &schedule {
        finder.visit(id, context);
    }
    for &id in &schedule {
        let op = graph.node(id).op();
        if let Op::Softmax { .. } = op {
            finder.search_scores(id);
        }
        let mask = mask_operand(op).and_then(|at| graph.operand(id, at));
        finder.masks.extend(mask);
        let is_narrow = graph.operand(id, 0).is_some_and(|x| graph.fact(x).element() == Some(context.to));
        if !is_narrow {
            finder.keep(id, mask, rows, context);
        } else if let Some(mask) =
            mask.filter(|mask| cast_of(graph, *mask).is_some() && rows.hiding(*mask, 1) == Hiding::ByNumber)
        {
            // What an earlier conversion kept in `f32` stays there.
            if let Some(hidden) = hidden_queries(graph, id) {
                finder.keep_mask(hidden);
            }
            finder.keep_rows(before_casts(graph, mask), context);
        }
        for (at, operand) in graph.operands(id).into_iter().enumerate() {
            if let Some(mask) = operand.filter(|_| captured.get(&id).is_some_and(|captured| captured.is_mask(at))) {
                finder.masks.insert(mask);
                finder.keep_mask(mask);
            }
        }
    }
    let (kept, shifted) = (std::mem::take(&mut finder.kept), std::mem::take(&mut finder.shifted));
    Masks { nodes: finder.nodes_of_masks(), kept, shifted }
}

struct Finder<'g> {
    graph: &'g Graph,
    /// The nodes whose results may have numbers near the end of the range or beyond.
    deep: HashSet<NodeId>,
    /// The nodes whose results are elements of products, or computed from these.
    scores: HashSet<NodeId>,
    masks: HashSet<Value>,
    kept: HashMap<NodeId, Option<String>>,
    shifted: HashSet<NodeId>,
}

impl Finder<'_> {
    fn visit(&mut self, id: NodeId, context: &Context<'_>) {
        let graph = self.graph;
        let result = Value { node: id, result: 0 };
        let op = graph.node(id).op();
        if computes_scores(graph, id) {
            self.scores.insert(id);
            return;
        }
        if !graph.results(id).any(|result| is_float(graph, result)) {
            return;
        }
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
            op if passes_on(op) => {
                for operand in graph.operands(id).into_iter().flatten() {
                    if is_float(graph, operand) && self.deep.contains(&operand.node) {
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

    /// Keeps a softmax or attention in `f32`, with what is between it and the scores, if the narrow type would change a row
    /// that a mask adds a large number to.
    fn keep(&mut self, id: NodeId, mask: Option<Value>, rows: &Rows<'_>, context: &Context<'_>) {
        let graph = self.graph;
        let rank = || graph.operand(id, 0).and_then(|x| graph.fact(x).rank());
        let axis = match graph.node(id).op() {
            Op::Softmax { axis }
            | Op::ScaledSoftmax { axis, .. }
            | Op::LogSoftmax { axis }
            | Op::Hardmax { axis }
            | Op::ArgMax { axis, .. } => {
                let from_end = |axis: usize| rank()?.checked_sub(axis);
                usize::try_from(*axis).ok().map_or_else(|| usize::try_from(-axis).ok(), from_end)
            }
            _ => Some(1),
        };
        let Some(axis) = axis else { return };
        let hiding = |mask: Value| {
            let level = rows.level(mask, axis).map(Some);
            Some((mask, level.or_else(|| (rows.hiding(mask, axis) == Hiding::ByNumber).then_some(None))?))
        };
        let of_mask = mask.and_then(hiding);
        if let Some((mask, None)) = of_mask
            && can_shift(graph, id, mask)
        {
            self.shifted.insert(id);
            return self.keep_rows(mask, context);
        }
        let (mut path, mut found): (Vec<NodeId>, Vec<(Value, Option<f64>)>) = (vec![id], of_mask.into_iter().collect());
        // A softmax that is written out has an Exp.
        let kind = graph.node(id).op().kind();
        let is_softmax = matches!(kind, OpKind::Softmax | OpKind::ScaledSoftmax | OpKind::LogSoftmax | OpKind::Hardmax)
            || matches!(kind, OpKind::ArgMax | OpKind::Exp);
        let operand = |of: Value, at: usize| graph.operand(of.node, at);
        let is_written_out = || {
            let apart = graph.operand(id, 0).filter(|apart| graph.kind(*apart) == OpKind::Sub);
            apart.and_then(|apart| operand(apart, 1)).is_some_and(|most| graph.kind(most) == OpKind::ReduceMax)
        };
        let is_of_inputs = kind != OpKind::Exp || is_written_out();
        let (mut is_added_to, mut is_emptied, mut added) = (false, false, vec![]);
        let mut open: Vec<Value> = graph.operand(id, 0).filter(|_| is_softmax).into_iter().collect();
        while let Some(value) = open.pop() {
            let op = graph.node(value.node).op();
            if !keeps_scores(op) || path.contains(&value.node) || path.len() > MAX_PATH {
                continue;
            }
            path.push(value.node);
            let operands = graph.operands(value.node).into_iter().flatten().filter(|value| is_float(graph, *value));
            let (mut scores, mut others): (Vec<Value>, Vec<Value>) =
                operands.partition(|operand| self.scores.contains(&operand.node));
            let has_scores = !scores.is_empty();
            if !has_scores {
                scores.clone_from(&others);
            }
            if op.kind() == OpKind::Where {
                let is_empty = |value: &Value| Numbers::of(graph, *value).most == f64::NEG_INFINITY;
                is_emptied |= has_scores && others.iter().any(is_empty);
                // A row of one number gives the mean in every type, unless something is added to the row.
                let is_fill = |tensor: &Tensor| tensor.count() > 1 || is_added_to && has_scores;
                others.retain(|value| graph.tensor(*value).is_some_and(is_fill));
            }
            if matches!(op.kind(), OpKind::Add | OpKind::Sum | OpKind::Sub | OpKind::Where) {
                is_added_to |= op.kind() != OpKind::Sub;
                if has_scores && is_of_inputs {
                    added.extend(&others);
                }
                let masks = others.drain(..).filter_map(hiding);
                found.extend(masks.filter(|(_, level)| level.is_some() || has_scores && is_of_inputs));
            }
            open.extend(scores);
        }
        // Infinity in one mask, or in place of scores, may hide the keys that another mask shows.
        let hides_by_infinity = |mask: &Value| rows.hiding(*mask, axis) == Hiding::ByInfinity;
        let is_emptied = is_emptied || added.iter().any(hides_by_infinity);
        if is_emptied && added.iter().any(|mask| rows.may_be_far(*mask)) {
            found.extend(added.into_iter().map(|mask| (mask, None)));
        }
        let why = match found.iter().map(|(_, level)| *level).reduce(Option::or) {
            None => return,
            #[expect(clippy::cast_possible_truncation, reason = "a number of an f32 mask is printed as one")]
            Some(Some(level)) => format!(
                "{:e} is the greatest number in a row of its mask, and {} rounds scores to which it is added",
                level as f32, context.to
            ),
            Some(None) => format!(
                "a row of its mask may hide all keys, and {} rounds scores to which the row is added",
                context.to
            ),
        };
        for id in path {
            self.kept.entry(id).or_insert(None);
        }
        self.kept.insert(id, Some(why));
        for (mask, _) in found {
            self.keep_mask(mask);
        }
    }

    /// Keeps the nodes in `f32` that compute a mask whose rows are shifted.
    fn keep_rows(&mut self, mask: Value, context: &Context<'_>) {
        self.keep_mask(mask);
        let why = format!("a row of it may hide all keys, and {} rounds scores to which the row is added", context.to);
        self.kept.entry(mask.node).and_modify(|reason| *reason = Some(why));
    }

    /// Keeps the nodes in `f32` that compute a mask, and the conditions that choose its numbers.
    fn keep_mask(&mut self, mask: Value) {
        let graph = self.graph;
        let is_narrow = |value: Value| {
            let element = graph.fact(value).element().filter(|element| is_converted(*element));
            element.is_some_and(|element| element != ElementType::F32) && cast_of(graph, value).is_none()
        };
        let mut open = vec![mask];
        while let Some(value) = open.pop() {
            let is_own = (value == mask || !self.scores.contains(&value.node)) && !is_narrow(value);
            let op = graph.node(value.node).op();
            if !is_own {
                continue;
            }
            // The branches of an If compute the mask for themselves.
            if op.kind() == OpKind::If {
                self.kept.insert(value.node, None);
            } else if passes_on(op) && self.kept.insert(value.node, None).is_none() {
                open.extend(graph.operands(value.node).into_iter().flatten());
            }
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
        found.retain(|id| cast_of(graph, Value { node: *id, result: 0 }).is_none());
        found
    }
}

/// Whether the elements of the result are products, or sums of them, of which no mask is made. Operators of other domains
/// and dequantized numbers may be any.
fn computes_scores(graph: &Graph, id: NodeId) -> bool {
    let kind = graph.node(id).op().kind();
    let is_constant = || graph.operand(id, 0).is_none_or(|operand| graph.tensor(operand).is_some());
    is_product(kind)
        || matches!(kind, OpKind::MatMulInteger | OpKind::ReduceSum | OpKind::Opaque)
        || kind == OpKind::DequantizeLinear && !is_constant()
}

/// Whether the result of a node is read only to be added to what a softmax or an attention reads, so that a large number
/// in it means that a key is hidden.
pub(super) fn hides_scores(graph: &Graph, id: NodeId) -> bool {
    let (mut open, mut known, mut is_read) = (vec![id], HashSet::from([id]), false);
    while let Some(id) = open.pop() {
        let result = Value { node: id, result: 0 };
        if graph.is_output(result) || known.len() > MAX_PATH {
            return false;
        }
        for (user, at) in graph.users(result) {
            match graph.node(user).op() {
                Op::Softmax { .. } | Op::ScaledSoftmax { .. } => is_read = true,
                op if mask_operand(op) == Some(at) => is_read = true,
                op if keeps_scores(op) && graph.node(user).result_count() == 1 => {
                    open.extend(known.insert(user).then_some(user));
                }
                _ => return false,
            }
        }
    }
    is_read
}

/// Returns which operand of an attention, or of a softmax with a mask, is added to scores.
fn mask_operand(op: &Op) -> Option<usize> {
    match op {
        Op::ScaledSoftmax { .. } => Some(1),
        Op::Attention { .. } => Some(3),
        Op::Opaque(opaque) if contrib::is(opaque, "MultiHeadAttention") => Some(5),
        op => grouped_mask(op),
    }
}

/// Returns which operand of a `GroupQueryAttention` is the mask.
pub(super) fn grouped_mask(op: &Op) -> Option<usize> {
    let Op::Opaque(opaque) = op else { return None };
    contrib::is(opaque, "GroupQueryAttention").then_some(10)
}

/// Whether a softmax of the result is one of scores if an operand has scores.
fn keeps_scores(op: &Op) -> bool {
    let kind = op.kind();
    let is_linear = matches!(kind, OpKind::Add | OpKind::Sum | OpKind::Sub | OpKind::Mul | OpKind::Div);
    passes_on(op) && (is_linear || kind == OpKind::Max || !is_elementwise(kind))
}

/// Whether a large number in an operand may be in a result too.
pub(super) fn passes_on(op: &Op) -> bool {
    let kind = op.kind();
    matches!(op, Op::Cast { to, .. } if is_converted(*to)) || is_elementwise(kind) || is_structural(kind)
}
