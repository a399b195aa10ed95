//! Whether scores hide later keys from every query.

use super::states::{Analysis, State, Tokens};
use crate::read::masks::before_lift;
use crate::read::numbers::Numbers;
use crate::read::sizes::position;
use crate::read::thresholds::{LIGHTEST, MASKED};
use netwright_ir::{Graph, HashMap, NodeId, Op, OpKind, Value};

/// The maximum number of operators between the scores and the softmax.
const MAX_STEPS: usize = 64;

/// Returns the upper bound of a sum. A bias of unknown size does not outweigh a mask.
fn sum(one: f64, other: f64) -> f64 {
    match (one, other) {
        (f64::INFINITY, mask) | (mask, f64::INFINITY) if mask <= MASKED => mask,
        (one, other) => one + other,
    }
}

/// The numbers of some keys of a mask.
type Part = fn(&Graph, Value) -> Numbers;

/// Upper bounds of values for some keys.
struct Bounds {
    numbers: Part,
    known: HashMap<Value, f64>,
}

impl Analysis<'_> {
    /// Whether the maximum or minimum of a row of a mask is the same without the later keys: none of them is greater, or
    /// less, than any other key.
    pub(super) fn ignores_later_keys(&self, node: NodeId, axis: usize) -> bool {
        let graph = self.graph;
        let Some(mask) = graph.operand(node, 0) else { return false };
        let (State::Free(axes), Some(rank)) = (self.state(mask), graph.fact(mask).rank()) else { return false };
        let axes_of = graph.operand(node, 1).and_then(|axes| graph.fact(axes).known_elements());
        let is_last = matches!(axes_of.as_deref(), Some([last]) if position(*last, rank) == Some(axis));
        if !is_last || axis + 1 != rank || axes.len() != 2 || axes[0] + 2 != rank {
            return false;
        }
        let (later, all) = (Numbers::of_later_keys(graph, mask), Numbers::of(graph, mask));
        match graph.node(node).op() {
            Op::ReduceMax { .. } => later.most <= all.least,
            Op::ReduceMin { .. } => later.least >= all.most,
            _ => false,
        }
    }

    /// Whether the scores of later keys are so low in a softmax, which scales them and adds a mask, that they have no
    /// weight: masks that are added to them, or replace them, say so, if a score is taken to be 0. No bias is 1e30 or more. A
    /// padding mask of integers holds 0 and 1.
    pub(super) fn is_causal(&self, scores: Value, scale: f64, mask: Option<Value>) -> bool {
        scale > 0.0 && self.hides(Numbers::of_later_keys, scores, scale, mask)
    }

    /// Whether the scores of each query's own token are provably as low. Then the first token attends to none.
    pub(super) fn hides_own_token(&self, scores: Value, scale: f64, mask: Option<Value>) -> bool {
        self.hides(Numbers::of_own_keys, scores, scale, mask)
    }

    fn hides(&self, numbers: Part, scores: Value, scale: f64, mask: Option<Value>) -> bool {
        let bounds = &mut Bounds { numbers, known: HashMap::default() };
        let own = self.most(scores, MAX_STEPS, bounds) * scale;
        sum(own, mask.map_or(0.0, |mask| self.most(mask, MAX_STEPS, bounds))) <= LIGHTEST
    }

    /// Returns an upper bound of the scores of these keys, if a product of a query and a key is 0.
    fn most(&self, value: Value, steps: usize, bounds: &mut Bounds) -> f64 {
        if let Some(most) = bounds.known.get(&value) {
            return *most;
        }
        let most = self.most_of(value, steps, bounds);
        bounds.known.insert(value, most);
        most
    }

    fn most_of(&self, value: Value, steps: usize, bounds: &mut Bounds) -> f64 {
        let (graph, numbers) = (self.graph, bounds.numbers);
        match self.state(value) {
            State::Token(Tokens { row: Some(row), keys, .. }) => {
                let Some(rank) = graph.fact(value).rank() else { return f64::INFINITY };
                // The last two axes are queries and keys.
                if keys[..] != [rank - 1] || row + 2 != rank {
                    return 0.0;
                }
            }
            State::Free(_) => {
                // What lifts a row changes no probability.
                let mask = before_lift(graph, value).unwrap_or(value);
                let known = numbers(graph, mask).most;
                let mut part = |at: usize| {
                    let part = graph.operand(mask.node, at)?;
                    Some(self.most(part, steps.saturating_sub(1), bounds))
                };
                let is_sum = steps > 0 && graph.kind(mask) == OpKind::Add;
                let parts = if is_sum { part(0).zip(part(1)) } else { None };
                return parts.map_or(known, |(one, other)| known.min(sum(one, other)));
            }
            _ => return f64::INFINITY,
        }
        let Some(steps) = steps.checked_sub(1) else { return f64::INFINITY };
        let operand = |at: usize| graph.operand(value.node, at);
        let mut most = |at: usize| operand(at).map_or(f64::INFINITY, |value| self.most(value, steps, bounds));
        let least = |at: usize| match operand(at) {
            Some(value) if matches!(self.state(value), State::Free(_)) => numbers(graph, value).least,
            _ => 0.0,
        };
        let known = match graph.op(value) {
            Op::Add => sum(most(0), most(1)),
            Op::Sub => most(0) - least(1),
            Op::Mul | Op::Div => {
                // Only a positive number keeps the order.
                let (of, factor) =
                    if matches!(self.states(value.node, 0), Some(State::Free(_))) { (1, 0) } else { (0, 1) };
                let factor = operand(factor).map(|value| Numbers::of(graph, value));
                let factor =
                    factor.and_then(|numbers| numbers.only()).filter(|factor| *factor > 0.0 && factor.is_finite());
                match (factor, graph.kind(value)) {
                    (Some(factor), OpKind::Mul) => most(of) * factor,
                    (Some(factor), _) if of == 0 => most(of) / factor,
                    _ => 0.0,
                }
            }
            Op::Where => {
                let Some(condition) = operand(0) else { return f64::INFINITY };
                let is_free = matches!(self.state(condition), State::Free(_));
                match Some(numbers(graph, condition)).filter(|_| is_free).and_then(|numbers| numbers.only()) {
                    Some(0.0) => most(2),
                    Some(_) => most(1),
                    None => most(1).max(most(2)),
                }
            }
            op => match op.kind() {
                OpKind::Max => most(0).max(most(1)),
                OpKind::Min => most(0).min(most(1)),
                OpKind::Identity | OpKind::Cast => most(0),
                kind if kind.keeps_order() || kind == OpKind::Expand => most(0),
                _ => 0.0,
            },
        };
        if known.is_nan() { f64::INFINITY } else { known }
    }
}
