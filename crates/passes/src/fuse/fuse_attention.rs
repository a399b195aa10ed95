//! Fuses scaled dot-product attention, however it is spelled.

mod mask;
mod outcomes;
mod scores;

use crate::pass::{Exactness, Pass};
use crate::read::sizes::same_shape;
use crate::rewrite::{become_op, cast, element, first_operands, insert, unknown};
use crate::rule::{Rewritten, Skip};
use crate::target::AttentionKernel;
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};
use scores::Scores;

/// `softmax(q · kᵀ * c + m) · v` -> `attention(q, k, v, m; c)`
///
/// The scale may multiply the queries, the keys, both or the scores. Masks may be added or selected by `where`, in
/// several steps; they become one mask that is added, with its own axis for the queries, as runtimes require.
///
/// The pass models what each mask does to a score: it adds a number, replaces the score, or absorbs it, as the lowest
/// float does. The sum of masks applies the same operators to 0. A number that replaces scores becomes a number that
/// absorbs them, and the order among such numbers stays. The pass declines if a row could tell the
/// difference: a fully masked row in which replaced scores have weight next to scores to which a mask is added.
/// Runtimes skip rows that are deeply masked; if there may be such a row, the pass lifts it above 0.
///
/// The softmax, with the scores and masks before it, may be computed in a wider type than queries, keys and values,
/// which becomes the attribute `softmax_precision`. In `f16`, no number hides a score of 16 or more, and a score to
/// which a large number is added is rounded. If such numbers may mask a whole row, or nothing is known about a mask,
/// attention is computed in `f32`, as it is if queries or keys are; so does ONNX Runtime compute the model, because it
/// adds `f16` in `f32`.
///
/// Accuracy: runtimes round in another order, and so do sums of masks about which nothing is known. A score is assumed
/// to be at least a thousand above a number that replaces others and is -1e4 or less. If the model replaces NaN with
/// zeros, and the scores themselves are NaN, the result is NaN. A batch or a length of 0 is assumed not to occur: ONNX
/// Runtime's operator rejects it.
pub fn fuse_attention(kernel: AttentionKernel) -> Pass {
    let summary = "softmax(q · kᵀ * c + m) · v -> attention(q, k, v, m; c)";
    Pass::new("fuse-attention", summary, Exactness::Rounding)
        .forms(OpKind::Attention)
        // A mask that was broadcast for another form may fit without that.
        .after(&["narrow-broadcasts"])
        .at([OpKind::MatMul], move |graph, root| fuse(graph, root, kernel))
}

fn fuse(graph: &mut Graph, root: Value, kernel: AttentionKernel) -> Rewritten {
    let [probabilities, value] = first_operands(graph, root)?;
    let scores = Scores::of(graph, probabilities)?;
    let element = element(graph, root)?;
    if !matches!(element, ElementType::F32 | ElementType::F16 | ElementType::BF16) {
        return Err(Skip::rejected(format!(
            "its element type is {element}, but runtimes compute attention in f32 at most"
        )));
    }
    if let Some(rank) = graph.fact(root).rank().filter(|rank| *rank != 4) {
        return Err(Skip::rejected(format!(
            "its rank is {rank}, not 4: batch and heads are one axis, or one of them is missing"
        )));
    }
    if scores.softcap != 0.0 && !kernel.softcap {
        return Err(Skip::rejected("the target does not support a softcap in Attention"));
    }
    let (query, key) = (scores.query, key(graph, root, scores.key)?);
    let (batch, heads, lengths) = sizes(graph, query, key, value)?;
    let sizes = [batch, heads, lengths.0, lengths.1];
    // The type in which attention is computed: f32 if queries or keys are, or if f16 rounds the masks.
    let mut wide = element;
    for side in [query, key] {
        let other = self::element(graph, side)?;
        if other != element {
            if other != ElementType::F32 {
                let name = graph.operand_text(side);
                return Err(Skip::rejected(format!(
                    "the element type of {name} is {other}, but that of the values is {element}"
                )));
            }
            wide = other;
        }
    }
    let mask = match mask::additive(graph, root, &scores, kernel, &sizes, wide) {
        Err(_) if wide == ElementType::F16 && !kernel.wide_sums => {
            wide = ElementType::F32;
            mask::additive(graph, root, &scores, kernel, &sizes, wide)?
        }
        mask => mask?,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the attribute is an f32; rounded to nearest")]
    let scale = scores.scale as f32;
    if !(scale.is_normal() && scale > 0.0) {
        return Err(Skip::rejected(format!("the scale {scale:?} is not a positive normal number")));
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
        softmax_precision: scores.precision.filter(|_| wide == element),
    };
    let mut operands: Vec<Value> = [query, key, value].into_iter().chain(mask).collect();
    let with = if mask.is_some() { " and a mask" } else { "" };
    if wide != element {
        for operand in &mut operands[..3] {
            if self::element(graph, *operand)? != wide {
                *operand = insert(graph, root, "wide", cast(wide), &[*operand])?;
            }
        }
        let attention = insert(graph, root, "attention", attention, &operands)?;
        let note = format!("attention in {wide} with the scale {scale:?}{with}");
        return become_op(graph, root, cast(element), &[attention], note);
    }
    become_op(graph, root, attention, &operands, format!("attention with the scale {scale:?}{with}"))
}

/// Returns the keys as `[batch, heads, key, size]`, from `[batch, heads, size, key]`.
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

/// Returns batch, heads, and the numbers of queries and keys.
///
/// # Errors
/// If the operands do not provably agree on them.
fn sizes(graph: &Graph, query: Value, key: Value, value: Value) -> Result<(Dim, Dim, (Dim, Dim)), Skip> {
    let shape = |of: Value| match graph.shape(of) {
        Some([batch, heads, length, size]) => Ok([batch, heads, length, size].map(Dim::clone)),
        Some(other) => Err(Skip::rejected(format!("{} has rank {}, not 4", graph.operand_text(of), other.len()))),
        None => Err(unknown(graph, "rank", of)),
    };
    let ([batch, heads, queries, _], [key_batch, key_heads, keys, _], [value_batch, value_heads, values, _]) =
        (shape(query)?, shape(key)?, shape(value)?);
    let own = [batch, heads];
    // Attention broadcasts one head of keys and values, as a product does.
    let is_one = [&key_heads, &value_heads].iter().all(|heads| **heads == Dim::Known(1));
    let compared = if is_one { 1 } else { 2 };
    for (of, other) in [(key, [key_batch, key_heads]), (value, [value_batch, value_heads])] {
        if !same_shape(&own[..compared], &other[..compared]) {
            let (query, other) = (graph.operand_text(query), graph.operand_text(of));
            return Err(Skip::rejected(format!("batch and heads of {query} and {other} are not provably equal")));
        }
    }
    if keys.same(&values) != Some(true) {
        return Err(Skip::rejected("the numbers of keys and values are not provably equal"));
    }
    let [batch, heads] = own;
    Ok((batch, heads, (queries, keys)))
}
