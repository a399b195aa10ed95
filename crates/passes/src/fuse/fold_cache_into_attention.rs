//! Folds the KV cache, which is concatenated before attention, into the operator.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::position;
use crate::rewrite::become_results;
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `attention(q, concat(pk, k), concat(pv, v), m)` -> `attention(q, k, v, m, pk, pv)`
///
/// Folds the KV cache: the operator itself concatenates the past and the new keys and values, and returns the present
/// as its second and third result. The same numbers are multiplied.
///
/// It declines if the present has another use, because the queries might be computed from it, and if attention is
/// causal or has a window: which keys a query sees then depends on the length of the past.
pub fn fold_cache_into_attention() -> Pass {
    let summary = "attention(q, concat(pk, k), concat(pv, v), m) -> attention(q, k, v, m, pk, pv)";
    Pass::new("fold-cache-into-attention", summary, Exactness::Rounding)
        .at([OpKind::Attention], fold)
        .forms(OpKind::Attention)
        // Attention that the target does not run is decomposed before more is folded into it.
        .after(&["decompose-attention"])
}

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let attention = graph.op(root).clone();
    let operands = graph.operands(root.node);
    let operand = |at: usize| operands.get(at).copied().flatten();
    let (Some(keys), Some(values)) = (operand(1), operand(2)) else { return Err(Skip::NoMatch) };
    let (Some((past_key, key)), Some((past_value, value))) = (appended(graph, keys), appended(graph, values)) else {
        return Err(Skip::NoMatch);
    };
    let length = |value: Value| graph.shape(value).and_then(|shape| shape.get(2));
    if length(key).zip(length(value)).is_none_or(|(key, value)| key.same(value) != Some(true)) {
        let [key, value] = [key, value].map(|value| graph.operand_text(value));
        return Err(Skip::rejected(format!("the lengths of {key} and {value} are not provably equal")));
    }
    if !matches!(attention, Op::Attention { is_causal: false, left_window_size: -1, right_window_size: -1, .. }) {
        return Err(Skip::rejected(
            "it is causal or has a window: which keys a query sees depends on the length of the past",
        ));
    }
    if operands.len() > 4 || graph.node(root.node).result_count() > 1 {
        return Err(Skip::rejected("it has a cache already"));
    }
    for whole in [keys, values] {
        let others = graph.users(whole).into_iter().filter(|(user, _)| *user != root.node).count();
        if others > 0 {
            return Err(Skip::rejected(format!("{} has another use", graph.operand_text(whole))));
        }
    }
    if keys == values {
        return Err(Skip::rejected("keys and values are the same"));
    }
    let operands = [operand(0), Some(key), Some(value), operand(3), Some(past_key), Some(past_value)];
    become_results(graph, &[root, keys, values], attention, &operands, "concatenates past and present in the attention")
}

/// Returns the past and the new keys or values, if a value concatenates them along the length axis.
fn appended(graph: &Graph, value: Value) -> Option<(Value, Value)> {
    let Op::Concat { axis } = graph.op(value) else { return None };
    let is_length = graph.shape(value)?.len() == 4 && position(*axis, 4) == Some(2);
    match graph.operands(value.node).as_slice() {
        [Some(past), Some(new)] if is_length => Some((*past, *new)),
        _ => None,
    }
}
