//! Decomposes Attention into simpler operators.

mod bias;
mod heads;

use crate::pass::{Exactness, Pass, Stage};
use crate::rewrite::{become_op, become_value, cast, element, insert, number, unknown};
use crate::rule::{Rewritten, Skip};
use crate::target::AttentionKernel;
use bias::{Bias, Rules};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `attention(q, k, v, m)` -> `softmax(q · kᵀ * c + m) · v`
///
/// Applies below opset 23, and to forms of the operator that the runtime does not run: all if there is no `kernel`,
/// else those that it does not support. Follows the standard of opsets 23 to 25: past keys and values precede the new
/// ones, scores are capped before they are masked, a causal query does not see later keys, and a row that is fully
/// masked gives zeros.
pub fn decompose_attention(kernel: Option<AttentionKernel>) -> Pass {
    let summary = "attention(q, k, v, m) -> softmax(q · kᵀ * c + m) · v, if the target does not run it";
    Pass::new("decompose-attention", summary, Exactness::Rounding)
        .lowers(OpKind::Attention)
        .in_stages(&[Stage::Optimize, Stage::Lower])
        .at([OpKind::Attention], move |graph, root| decompose(graph, root, kernel))
}

fn decompose(graph: &mut Graph, root: Value, kernel: Option<AttentionKernel>) -> Rewritten {
    let Op::Attention {
        is_causal,
        kv_num_heads,
        left_window_size,
        q_num_heads,
        qk_matmul_output_mode,
        right_window_size,
        scale,
        softcap,
        softmax_precision,
    } = graph.op(root).clone()
    else {
        return Err(Skip::NoMatch);
    };
    if kernel.is_some_and(|kernel| kernel.runs(graph, root)) {
        return Err(Skip::NoMatch);
    }
    let operands = graph.operands(root.node);
    let operand = |at: usize| operands.get(at).copied().flatten();
    let (Some(query), Some(key), Some(value)) = (operand(0), operand(1), operand(2)) else { return Err(Skip::NoMatch) };
    let results: Vec<Value> = graph.results(root.node).collect();
    let used = |at: usize| results.get(at).copied().filter(|result| graph.use_count(*result) > 0);
    let (present_key, present_value, scores_result) = (used(1), used(2), used(3));
    if scores_result.is_some() && qk_matmul_output_mode == 0 && softcap != 0.0 {
        return Err(Skip::rejected("the standard does not define its fourth result if scores are capped"));
    }
    let element = element(graph, query)?;
    if graph.fact(query).rank().is_none() {
        return Err(unknown(graph, "rank", query));
    }
    let is_flat = graph.fact(query).rank() == Some(3);
    let query = heads::split(graph, root, query, q_num_heads)?;
    let mut whole = [key, value];
    for (at, part) in whole.iter_mut().enumerate() {
        *part = heads::split(graph, root, *part, kv_num_heads)?;
        if let Some(past) = operand(4 + at) {
            *part = insert(graph, root, "whole", Op::Concat { axis: -2 }, &[past, *part])?;
        }
    }
    let [keys, values] = whole;
    let repeated = heads::repeat(graph, root, query, whole)?;
    let turned = insert(graph, root, "turned", Op::Transpose { perm: vec![0, 1, 3, 2] }, &[repeated[0]])?;
    let product = insert(graph, root, "product", Op::MatMul, &[query, turned])?;
    let scale = match (scale, graph.shape(query).and_then(<[Dim]>::last)) {
        (Some(scale), _) => f64::from(scale),
        #[expect(clippy::cast_precision_loss, reason = "the size of a head is small")]
        (None, Some(Dim::Known(size))) if *size > 0 => 1.0 / (*size as f64).sqrt(),
        _ => return Err(Skip::rejected("it has no scale, and the size of a head is unknown")),
    };
    let factor = number(graph, root, "scale", element, scale)?;
    let mut scores = insert(graph, root, "scores", Op::Mul, &[product, factor])?;
    let mut stages = [Some(scores), None, None, None];
    if softcap != 0.0 {
        let cap = number(graph, root, "cap", element, softcap.into())?;
        let part = insert(graph, root, "part", Op::Div, &[scores, cap])?;
        let part = insert(graph, root, "bent", Op::Tanh, &[part])?;
        scores = insert(graph, root, "capped", Op::Mul, &[part, cap])?;
    }
    stages[1] = Some(scores);
    let rules = Rules {
        is_causal,
        left_window_size,
        right_window_size,
        mask: operand(3),
        past: operand(4),
        lengths: operand(6),
    };
    let bias = Bias::of(graph, root, &rules, [query, keys], element)?;
    scores = bias.apply(graph, root, scores, element)?;
    stages[2] = Some(scores);
    let precision = softmax_precision.unwrap_or(element);
    if precision != element {
        scores = insert(graph, root, "wide", cast(precision), &[scores])?;
    }
    let mut probabilities = insert(graph, root, "probabilities", Op::Softmax { axis: -1 }, &[scores])?;
    probabilities = bias.guarded(graph, root, probabilities, precision)?;
    if precision != element {
        probabilities = insert(graph, root, "narrow", cast(element), &[probabilities])?;
    }
    stages[3] = Some(probabilities);
    let attended = Op::MatMul;
    let note = "decomposed";
    if let (Some(result), Some(stage)) =
        (scores_result, usize::try_from(qk_matmul_output_mode).ok().and_then(|mode| *stages.get(mode)?))
    {
        become_value(graph, result, stage, note)?;
    }
    for (result, whole) in [(present_key, keys), (present_value, values)] {
        if let Some(result) = result {
            become_value(graph, result, whole, note)?;
        }
    }
    if is_flat {
        let attended = insert(graph, root, "attended", attended, &[probabilities, repeated[1]])?;
        heads::merge(graph, root, attended, note)
    } else {
        become_op(graph, root, attended, &[probabilities, repeated[1]], note)
    }
}
