//! Splits heads after the rotary embedding instead of before it.

use crate::pass::{Exactness, Pass};
use crate::read::heads::{Order, split};
use crate::rewrite::{become_op, expect_alone, insert};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `rotary_embedding(split(x))` -> `split(rotary_embedding(x; num_heads))`
///
/// The operator can also rotate heads that are not split. After it, the split can be folded into the attention. The
/// same numbers are multiplied.
pub fn sink_heads_through_rotary() -> Pass {
    let summary = "rotary_embedding(split(x)) -> split(rotary_embedding(x; num_heads))";
    Pass::new("sink-heads-through-rotary", summary, Exactness::Bits)
        .at([OpKind::RotaryEmbedding], sink)
        .forms(OpKind::RotaryEmbedding)
}

fn sink(graph: &mut Graph, root: Value) -> Rewritten {
    let mut rotary = graph.op(root).clone();
    let operands = graph.operands(root.node);
    let heads = operands.first().copied().flatten().ok_or(Skip::NoMatch)?;
    let parts = split(graph, heads).filter(|parts| parts.order == Order::BatchFirst).ok_or(Skip::NoMatch)?;
    let Op::RotaryEmbedding { num_heads, .. } = &mut rotary else { return Err(Skip::NoMatch) };
    expect_alone(graph, heads)?;
    *num_heads = Some(parts.count);
    let transpose = graph.op(heads).clone();
    let mut operands: Vec<Value> = operands.into_iter().flatten().collect();
    if let Some(first) = operands.first_mut() {
        *first = parts.merged(graph, root)?;
    }
    let turned = insert(graph, root, "turned", rotary, &operands)?;
    let heads = parts.split_again(graph, root, turned)?;
    become_op(graph, root, transpose, &[heads], format!("rotates {} heads before they are split", parts.count))
}
