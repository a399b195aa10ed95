//! Scaled dot-product attention, in whatever dialect it was written.

mod mask;
mod outcomes;
mod scores;

use crate::pass::{Exactness, Pass};
use crate::read::sizes::same_shape;
use crate::rewrite::{become_op, cast, element, insert, unknown};
use crate::rule::{Rewritten, Skip};
use crate::target::AttentionKernel;
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};
use scores::Scores;

/// `softmax(q · kᵀ * c + m) · v` -> `attention(q, k, v, m; c)`
///
/// The scale may stand on the queries, on the keys, on both or on their products; masks may be added or chosen by
/// `where`, in several steps. They become one that is added, with an axis of its own for the queries, as runtimes ask
/// for it.
///
/// What masks do to a score, in order, is modelled: a number is added, replaces the score, or absorbs it, as the least
/// float does. The sum of masks is the same operators on 0; a number that replaces scores becomes one that absorbs them,
/// the more so the less it is. It declines where a row could tell: one that is fully masked, and in which scores that
/// were replaced count beside scores to which a mask was added. Runtimes leave out rows that are masked deeply; where
/// one may be, all of such a row is lifted above 0.
///
/// The softmax, and the scores and masks before it, may be computed in a wider type than queries, keys and values; the
/// operator then says so. In `f16`, no number hides a score that is 16 or more. What adds the least number leaves it to
/// rounding, too, which scores of a row that is fully masked have a weight; where such numbers replace scores, and a row
/// may be masked by them as a whole, attention is in `f32`, as it is where queries or keys are.
///
/// How far off: runtimes round in another order, and so do sums of masks of which nothing is shown. A score is taken to
/// be above a number that replaces others, -1e4 or less, by a thousand. Where the model gives NaN since the scores are
/// no numbers, and takes NaN for zeros, the result is NaN. A batch or a length of 0 is taken not to happen: ONNX
/// Runtime's operator refuses it.
pub fn fuse_attention(kernel: AttentionKernel) -> Pass {
    let summary = "softmax(q · kᵀ * c + m) · v -> attention(q, k, v, m; c)";
    Pass::new("fuse-attention", summary, Exactness::Rounding)
        .forms(OpKind::Attention)
        // A mask that was broadcast for another form is one that this form may take as it is.
        .after(&["narrow-broadcasts"])
        .at([OpKind::MatMul], move |graph, root| fuse(graph, root, kernel))
}

fn fuse(graph: &mut Graph, root: Value, kernel: AttentionKernel) -> Rewritten {
    let (Some(probabilities), Some(value)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    let scores = Scores::of(graph, probabilities)?;
    let element = element(graph, root)?;
    if !matches!(element, ElementType::F32 | ElementType::F16 | ElementType::BF16) {
        return Err(Skip::rejected(format!("its elements are {element}: runtimes compute attention in f32 at most")));
    }
    if let Some(rank) = graph.fact(root).rank().filter(|rank| *rank != 4) {
        return Err(Skip::rejected(format!(
            "it has rank {rank}, not 4: batch and heads are one axis, or there are none"
        )));
    }
    if scores.softcap != 0.0 && !kernel.softcap {
        return Err(Skip::rejected("the target does not cap scores in its attention"));
    }
    let (query, key) = (scores.query, key(graph, root, scores.key)?);
    let (batch, heads, lengths) = sizes(graph, query, key, value)?;
    let sizes = [batch, heads, lengths.0, lengths.1];
    let mut own = element;
    for side in [query, key] {
        let other = self::element(graph, side)?;
        if other != element {
            if other != ElementType::F32 {
                let name = graph.operand_text(side);
                return Err(Skip::rejected(format!("{name} is of {other}, and the values are of {element}")));
            }
            own = other;
        }
    }
    let mask = match mask::additive(graph, root, &scores, kernel, &sizes, own) {
        Err(_) if own == ElementType::F16 && !kernel.wide_sums => {
            own = ElementType::F32;
            mask::additive(graph, root, &scores, kernel, &sizes, own)?
        }
        mask => mask?,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the attribute is an f32; rounded to nearest")]
    let scale = scores.scale as f32;
    if !(scale.is_normal() && scale > 0.0) {
        return Err(Skip::rejected(format!("the scale {scale:?} is no positive normal number")));
    }
    let attention = Op::Attention {
        is_causal: false,
        kv_num_heads: None,
        left_window_size: -1,
        q_num_heads: None,
        qk_matmul_output_mode: 0,
        right_window_size: -1,
        scale: Some(scale),
        softcap: scores.softcap,
        softmax_precision: scores.precision.filter(|_| own == element),
    };
    let mut operands: Vec<Value> = [query, key, value].into_iter().chain(mask).collect();
    let with = if mask.is_some() { " and a mask" } else { "" };
    if own != element {
        for operand in &mut operands[..3] {
            if self::element(graph, *operand)? != own {
                *operand = insert(graph, root, "wide", cast(own), &[*operand])?;
            }
        }
        let attention = insert(graph, root, "attention", attention, &operands)?;
        let note = format!("attention in {own} with the scale {scale:?}{with}");
        return become_op(graph, root, cast(element), &[attention], note);
    }
    become_op(graph, root, attention, &operands, format!("attention with the scale {scale:?}{with}"))
}

/// The keys, `[batch, heads, key, size]`, of keys that are transposed.
fn key(graph: &mut Graph, root: Value, transposed: Value) -> Result<Value, Skip> {
    if let (Op::Transpose { perm }, Some(x)) = (graph.op(transposed), graph.operand(transposed.node, 0)) {
        match perm.as_slice() {
            [0, 1, 3, 2] => return Ok(x),
            [a, b, c, d] => {
                let perm = vec![*a, *b, *d, *c];
                return insert(graph, root, "key", Op::Transpose { perm }, &[x]);
            }
            _ => {}
        }
    }
    insert(graph, root, "key", Op::Transpose { perm: vec![0, 1, 3, 2] }, &[transposed])
}

/// Batch, heads, and how many queries and keys; where all three operands agree on them.
fn sizes(graph: &Graph, query: Value, key: Value, value: Value) -> Result<(Dim, Dim, (Dim, Dim)), Skip> {
    let shape = |of: Value| match graph.shape(of) {
        Some([batch, heads, length, size]) => Ok([batch, heads, length, size].map(Dim::clone)),
        Some(other) => Err(Skip::rejected(format!("{} has rank {}, not 4", graph.operand_text(of), other.len()))),
        None => Err(unknown(graph, "rank", of)),
    };
    let ([batch, heads, queries, _], [key_batch, key_heads, keys, _], [value_batch, value_heads, values, _]) =
        (shape(query)?, shape(key)?, shape(value)?);
    let own = [batch, heads];
    for (of, other) in [(key, [key_batch, key_heads]), (value, [value_batch, value_heads])] {
        if !same_shape(&own, &other) {
            let (query, other) = (graph.operand_text(query), graph.operand_text(of));
            return Err(Skip::rejected(format!("nothing shows that {query} and {other} are of one batch and heads")));
        }
    }
    if keys.same(&values) != Some(true) {
        return Err(Skip::rejected("nothing shows that there are as many keys as values"));
    }
    let [batch, heads] = own;
    Ok((batch, heads, (queries, keys)))
}
