//! Folds the repetition of key and value heads into grouped-query attention.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::position;
use crate::rewrite::become_results;
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `attention(q, gather(k, [0, 0, 1, 1]), gather(v, [0, 0, 1, 1]))` -> `attention(q, k, v)`
///
/// Grouped-query attention: several neighboring query heads share each head of keys and values, which the operator
/// supports without repeating them. The same numbers are multiplied. Repeated keys that have another use stay for it.
pub fn fold_repeated_heads() -> Pass {
    let summary = "attention(q, gather(k, [0, 0, 1, 1]), gather(v, [0, 0, 1, 1])) -> attention(q, k, v)";
    Pass::new("fold-repeated-heads", summary, Exactness::Rounding)
        .at([OpKind::Attention], fold)
        .forms(OpKind::Attention)
        // Attention that the target does not run is decomposed before more is folded into it.
        .after(&["decompose-attention"])
}

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let attention = graph.op(root).clone();
    let mut operands = graph.operands(root.node);
    if matches!(attention, Op::Attention { q_num_heads: Some(_), .. }) || operands.len() > 4 {
        return Err(Skip::NoMatch);
    }
    let [key, value] = [1, 2].map(|at| operands.get(at).copied().flatten().and_then(|of| repeated(graph, of)));
    let (Some((key, times)), Some((value, value_times))) = (key, value) else { return Err(Skip::NoMatch) };
    if times != value_times {
        return Err(Skip::rejected(format!("keys are repeated {times} times, values {value_times} times")));
    }
    operands[1] = Some(key);
    operands[2] = Some(value);
    let results: Vec<Value> = graph.results(root.node).collect();
    become_results(
        graph,
        &results,
        attention,
        &operands,
        format!("{times} query heads share each head of keys and values"),
    )
}

/// Returns the operand of a Gather that repeats each head equally often and in order, and how often.
fn repeated(graph: &Graph, value: Value) -> Option<(Value, usize)> {
    let Op::Gather { axis } = graph.op(value) else { return None };
    let (x, indices) = (graph.operand(value.node, 0)?, graph.operand(value.node, 1)?);
    let shape = graph.shape(x)?;
    let (4, Some(1), Dim::Known(heads)) = (shape.len(), position(*axis, shape.len()), shape.get(1)?) else {
        return None;
    };
    let indices = graph.fact(indices).known_elements()?;
    let heads = usize::try_from(*heads).ok().filter(|heads| *heads > 0 && indices.len() % heads == 0)?;
    let times = indices.len() / heads;
    let is_repeat = indices.iter().enumerate().all(|(at, index)| usize::try_from(*index) == Ok(at / times));
    (is_repeat && graph.fact(value).rank() == Some(4)).then_some((x, times))
}
