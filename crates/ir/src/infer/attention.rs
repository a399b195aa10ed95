//! Attention, rotary embeddings, KV caches and linear attention.
//!
//! Queries, keys and values are `[batch, heads, length, size]`, or `[batch, length, heads * size]` with the number of
//! heads as an attribute.

use super::expect::first_results;
use super::{Assumption, InferError, Inferred, Operands, Outcome, tensor};
use crate::op::{LinearAttentionRule, ScatterMode};
use crate::{Dim, ElementType, Fact, Shape};

/// The sizes of queries, keys or values, in either layout.
struct Sizes {
    batch: Dim,
    heads: Dim,
    length: Dim,
    size: Dim,
}

impl Sizes {
    /// Returns the sizes of an operand; unknown dims if its shape is unknown.
    fn of(x: &Operands<'_>, at: usize, heads: Option<i64>, attribute: &str) -> Result<Self, InferError> {
        match x.shape(at).map(|shape| &**shape) {
            Some([batch, length, hidden]) => {
                let Some(heads) = heads else {
                    return Err(x.fail(format!("operand {at} has rank 3, so the attribute `{attribute}` is required")));
                };
                let size = x.part_of(hidden, heads, "heads")?;
                Ok(Self { batch: batch.clone(), heads: Dim::Known(heads), length: length.clone(), size })
            }
            Some(other) if other.len() != 4 => {
                Err(x.fail(format!("operand {at} must have rank 3 or 4, but has rank {}", other.len())))
            }
            _ => {
                let [batch, heads, length, size] = x.sizes_of(at)?;
                Ok(Self { batch, heads, length, size })
            }
        }
    }
}

/// Operands: queries, keys, values, mask, past keys, past values, the lengths of the keys without padding. Results: the
/// attended values, present keys, present values, and the scores at a stage of their computation.
#[expect(clippy::too_many_arguments, reason = "as many as ONNX has attributes")]
pub(crate) fn attention(
    x: &Operands<'_>,
    _is_causal: &bool,
    kv_num_heads: &Option<i64>,
    left_window_size: &i64,
    q_num_heads: &Option<i64>,
    qk_matmul_output_mode: &i64,
    right_window_size: &i64,
    _scale: &Option<f32>,
    _softcap: &f32,
    softmax_precision: &Option<ElementType>,
) -> Outcome {
    x.arity(3..=7, 1..=4)?;
    for at in [0, 2] {
        x.expect_element(at, "a float type", ElementType::is_float)?;
    }
    let element = x.common_element([0, 1, 4])?;
    let value_element = x.common_element([2, 5])?;
    x.expect_element(3, "bool or a number type", |element| element.is_number() || element == ElementType::Bool)?;
    x.expect_element(6, "i64", |element| element == ElementType::I64)?;
    if !(0..=3).contains(qk_matmul_output_mode) {
        return Err(x.fail(format!("`qk_matmul_output_mode` must be 0 to 3, but is {qk_matmul_output_mode}")));
    }
    if let Some(size) = [left_window_size, right_window_size].into_iter().find(|size| **size < -1) {
        return Err(x.fail(format!("the size of a window must be -1 or more, but is {size}")));
    }
    if let Some(element) = softmax_precision.filter(|element| !element.is_float()) {
        return Err(x.fail(format!("`softmax_precision` must be a float type, but is {element}")));
    }
    if x.fact(4).is_some() != x.fact(5).is_some() {
        return Err(x.fail("past keys and past values must be given together"));
    }
    let ranks: Vec<usize> = (0..3).filter_map(|at| Some(x.shape(at)?.len())).collect();
    if ranks.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(x.fail(format!("the ranks of queries, keys and values differ: {ranks:?}")));
    }
    let query = Sizes::of(x, 0, *q_num_heads, "q_num_heads")?;
    let key = Sizes::of(x, 1, *kv_num_heads, "kv_num_heads")?;
    let value = Sizes::of(x, 2, *kv_num_heads, "kv_num_heads")?;
    let mut assumed = vec![];
    let mut same = |a: &Dim, b: &Dim, what: &str| x.expect_same(a, b, what, &mut assumed);
    same(&query.batch, &key.batch, "the batch sizes of queries and keys")?;
    same(&key.batch, &value.batch, "the batch sizes of keys and values")?;
    same(&key.heads, &value.heads, "the numbers of heads of keys and values")?;
    same(&key.length, &value.length, "the lengths of keys and values")?;
    same(&query.size, &key.size, "the sizes of the heads of queries and keys")?;
    let batch = query.batch.and(&key.batch).and(&value.batch).clone();
    let kv_heads = key.heads.and(&value.heads).clone();
    let kv_length = key.length.and(&value.length).clone();
    let key_size = key.size.and(&query.size).clone();
    if let Dim::Known(heads) = kv_heads {
        x.part_of(&query.heads, heads, "heads of keys")?;
    }
    let mut past = |at: usize, size: &Dim, what: &str| -> Result<Dim, InferError> {
        let [past_batch, heads, length, past_size] = x.sizes_of(at)?;
        same(&past_batch, &batch, &format!("the batch sizes of past and new {what}"))?;
        same(&heads, &kv_heads, &format!("the numbers of heads of past and new {what}"))?;
        same(&past_size, size, &format!("the sizes of the heads of past and new {what}"))?;
        Ok(length)
    };
    let total = if x.fact(4).is_some() {
        let (keys, values) = (past(4, &key_size, "keys")?, past(5, &value.size, "values")?);
        same(&keys, &values, "the lengths of past keys and values")?;
        keys.and(&values).plus(&kv_length)
    } else {
        kv_length
    };
    let [lengths] = x.sizes_of(6)?;
    same(&lengths, &batch, "the number of lengths and the batch size")?;
    let scores = Shape::from_iter([batch.clone(), query.heads.clone(), query.length.clone(), total.clone()]);
    if let Some(mask) = x.shape(3) {
        expect_mask(x, mask, &scores, &mut assumed)?;
    }
    let output = x.shape(0).or(x.shape(1)).or(x.shape(2)).map(|shape| {
        let dims = match shape.len() {
            3 => vec![batch.clone(), query.length, query.heads.times(&value.size)],
            _ => vec![batch.clone(), query.heads, query.length, value.size.clone()],
        };
        Shape::from_iter(dims)
    });
    let present = |size: Dim| Some(Shape::from_iter([batch.clone(), kv_heads.clone(), total.clone(), size]));
    let results = [
        tensor(element, output),
        tensor(element, present(key_size)),
        tensor(value_element, present(value.size)),
        tensor(element, Some(scores)),
    ];
    Ok(first_results(x, results, assumed))
}

/// Checks that the mask broadcasts to the scores; its last axis may be shorter.
fn expect_mask(
    x: &Operands<'_>,
    mask: &Shape,
    scores: &Shape,
    assumed: &mut Vec<Assumption>,
) -> Result<(), InferError> {
    let (Some((keys, outer)), Some((total, full))) = (mask.split_last(), scores.split_last()) else { return Ok(()) };
    if keys.minus(total).is_positive() {
        return Err(x.fail(format!("the mask {mask} is longer than the {total} keys")));
    }
    x.expect_broadcast_to(outer, full, "the mask, except for its last axis,", assumed)
}

/// Operands: embeddings, cosines, sines, positions. The result has the shape of the embeddings.
pub(crate) fn rotary_embedding(
    x: &Operands<'_>,
    _interleaved: &bool,
    num_heads: &Option<i64>,
    rotary_embedding_dim: &i64,
) -> Outcome {
    x.arity(3..=4, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_element(3, "i64", |element| element == ElementType::I64)?;
    let element = x.common_element(0..3)?;
    if *rotary_embedding_dim < 0 {
        return Err(x.fail(format!("`rotary_embedding_dim` is negative: {rotary_embedding_dim}")));
    }
    let data = Sizes::of(x, 0, *num_heads, "num_heads")?;
    let rotated = if *rotary_embedding_dim == 0 { data.size.clone() } else { Dim::Known(*rotary_embedding_dim) };
    if rotated.minus(&data.size).is_positive() {
        return Err(
            x.fail(format!("`rotary_embedding_dim` rotates {rotated} elements, but a head has only {}", data.size))
        );
    }
    let half = x.part_of(&rotated, 2, "halves")?;
    let mut assumed = vec![];
    let mut same = |a: &Dim, b: &Dim, what: &str| x.expect_same(a, b, what, &mut assumed);
    for (at, what) in [(1, "cosines"), (2, "sines")] {
        let size = if x.fact(3).is_some() {
            let [_, size] = x.sizes_of(at)?;
            size
        } else {
            let [batch, length, size] = x.sizes_of(at)?;
            same(&batch, &data.batch, &format!("the batch sizes of the {what} and the embeddings"))?;
            same(&length, &data.length, &format!("the lengths of the {what} and the embeddings"))?;
            size
        };
        same(&size, &half, &format!("the number of {what} and half the rotated size"))?;
    }
    let [batch, length] = x.sizes_of(3)?;
    same(&batch, &data.batch, "the batch sizes of the positions and the embeddings")?;
    same(&length, &data.length, "the lengths of the positions and the embeddings")?;
    Ok(Inferred { assumed, ..x.shaped(element) })
}

/// Operands: a cache, the update that is written into it along an axis, and the position in each sample. The result has
/// the shape of the cache.
pub(crate) fn tensor_scatter(x: &Operands<'_>, axis: &i64, _mode: &ScatterMode) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    let element = x.common_element(0..2)?;
    x.expect_element(2, "i64", |element| element == ElementType::I64)?;
    let [starts] = x.sizes_of(2)?;
    let mut assumed = vec![];
    if let Some(cache) = x.shape(0) {
        let axis = x.axis(*axis, cache.len())?;
        if axis == 0 {
            return Err(x.fail(format!("the axis 0 of {cache} is the batch axis, which cannot be updated")));
        }
        x.expect_same(&starts, &cache[0], "the number of indices and the batch size", &mut assumed)?;
        if let Some(update) = x.shape(1) {
            let mut expected = cache.clone();
            if let (Some(length), Some(new)) = (expected.dims_mut().get_mut(axis), update.get(axis)) {
                if new.minus(length).is_positive() {
                    return Err(x.fail(format!("the update {update} is longer than the cache {cache}")));
                }
                *length = new.clone();
            }
            let what = format!("the sizes of the update {update} and of the cache {cache}");
            x.expect_same_shape(update, &expected, &what, &mut assumed)?;
        }
    }
    Ok(Inferred { assumed, ..x.shaped(element) })
}

/// Operands: queries, keys, values (`[batch, length, heads * size]`), the past state, decay, update rate.
/// Results: the attended values, and the state `[batch, heads, key size, value size]`.
pub(crate) fn linear_attention(
    x: &Operands<'_>,
    chunk_size: &i64,
    kv_num_heads: &i64,
    q_num_heads: &i64,
    _scale: &f32,
    update_rule: &LinearAttentionRule,
) -> Outcome {
    x.arity(3..=6, 1..=2)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_element(3, "a float type", ElementType::is_float)?;
    let element = x.common_element([0, 1, 2, 4, 5])?;
    let state_element = if x.fact(3).is_some() { x.element(3)? } else { element };
    if *chunk_size < 1 {
        return Err(x.fail(format!("the chunk size must be positive, but is {chunk_size}")));
    }
    let (decays, updates) = match update_rule {
        LinearAttentionRule::Linear => (false, false),
        LinearAttentionRule::Gated => (true, false),
        LinearAttentionRule::Delta => (false, true),
        LinearAttentionRule::GatedDelta => (true, true),
    };
    for (needed, at, what) in [(decays, 4, "decay"), (updates, 5, "update rate")] {
        if needed && x.fact(at).is_none() {
            return Err(x.fail(format!("the update rule requires the {what}, operand {at}")));
        }
    }
    let mut assumed = vec![];
    let [batch, length, query_hidden] = x.sizes_of(0)?;
    let query_size = x.part_of(&query_hidden, *q_num_heads, "heads")?;
    x.part_of(&Dim::Known(*q_num_heads), *kv_num_heads, "heads of keys")?;
    let mut hidden = |at: usize, what: &str| -> Result<Dim, InferError> {
        let [other_batch, other_length, hidden] = x.sizes_of(at)?;
        x.expect_same(
            &other_batch,
            &batch,
            format_args!("the batch sizes of the {what} and the queries"),
            &mut assumed,
        )?;
        x.expect_same(&other_length, &length, format_args!("the lengths of the {what} and the queries"), &mut assumed)?;
        Ok(hidden)
    };
    let key_hidden = hidden(1, "keys")?;
    let value_hidden = hidden(2, "values")?;
    let (decay, rate) = (hidden(4, "decay")?, hidden(5, "update rate")?);
    let key_size = x.part_of(&key_hidden, *kv_num_heads, "heads")?;
    let value_size = x.part_of(&value_hidden, *kv_num_heads, "heads")?;
    x.expect_same(&query_size, &key_size, "the sizes of the heads of queries and keys", &mut assumed)?;
    for (size, what, choices) in [
        (decay, "decay", [Dim::Known(*kv_num_heads), key_hidden]),
        (rate, "update rate", [Dim::Known(*kv_num_heads), Dim::Known(1)]),
    ] {
        if choices.iter().all(|choice| size.same(choice) == Some(false)) {
            let [one, other] = choices;
            return Err(x.fail(format!("the last size of the {what} must be {one} or {other}, but is {size}")));
        }
    }
    let key_size = key_size.and(&query_size).clone();
    let state = [batch.clone(), Dim::Known(*kv_num_heads), key_size, value_size.clone()];
    if let Some(past) = x.shape(3) {
        let what = format!("the sizes of the past state {past} and of the present state");
        x.expect_same_shape(past, &state, &what, &mut assumed)?;
    }
    let output = Shape::from_iter([batch, length, Dim::Known(*q_num_heads).times(&value_size)]);
    let results: [Fact; 2] = [tensor(element, Some(output)), tensor(state_element, Some(state.into_iter().collect()))];
    Ok(first_results(x, results, assumed))
}
