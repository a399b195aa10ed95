//! Replaces attention: with packed weights, and with separate queries, keys and values.

use super::Call;
use super::masks::{FILTER, Mask, Rules, mask};
use crate::rewrite::{insert, number_list};
use crate::rule::Skip;
use netwright_ir::{Attribute, Dim, ElementType, Graph, Op, Place, Tensor, Value};

/// The operands and attributes of a standard Attention.
pub(super) struct Inputs {
    /// `[batch, length, heads * size]`, or `[batch, heads, length, size]`; likewise the keys and values.
    pub(super) query: Value,
    pub(super) key: Value,
    pub(super) value: Value,
    pub(super) mask: Option<Value>,
    pub(super) past: Option<[Value; 2]>,
    pub(super) heads: i64,
    pub(super) kv_heads: i64,
    pub(super) scale: Option<f32>,
    pub(super) softcap: f32,
    pub(super) is_causal: bool,
}

/// Inserts a standard Attention. Returns its result, `[batch, length, heads * size]`, and the present keys and values.
pub(super) fn attend(graph: &mut Graph, root: Value, inputs: &Inputs) -> Result<[Value; 3], Skip> {
    let is_flat = graph.fact(inputs.query).rank() == Some(3);
    if is_flat {
        // ONNX Runtime 1.32 takes an unknown size of heads for 0.
        for side in [inputs.query, inputs.key, inputs.value] {
            last(graph, side)?;
        }
    }
    let attention = Op::Attention {
        is_causal: inputs.is_causal,
        kv_num_heads: is_flat.then_some(inputs.kv_heads),
        left_window_size: -1,
        q_num_heads: is_flat.then_some(inputs.heads),
        qk_matmul_output_mode: 0,
        right_window_size: -1,
        scale: inputs.scale.filter(|scale| *scale != 0.0),
        softcap: inputs.softcap,
        softmax_precision: None,
    };
    let [past_key, past_value] = inputs.past.map_or([None, None], |past| past.map(Some));
    let operands = [Some(inputs.query), Some(inputs.key), Some(inputs.value), inputs.mask, past_key, past_value];
    let place = graph.beside(root.node, "attended");
    let name = graph.value_name(root).clone();
    let results = ["attended", "keys", "values"].map(|word| format!("{name}.{word}").into());
    let node = graph.insert(Place { results: results.into_iter().collect(), ..place }, attention, &operands)?;
    let [mut attended, keys, values] = [0, 1, 2].map(|result| Value { node, result });
    if !is_flat {
        attended = merged(graph, root, attended)?;
    }
    Ok([attended, keys, values])
}

pub(super) fn heads(call: &mut Call, name: &str) -> Result<i64, Skip> {
    match call.int(name, 0)? {
        heads if heads > 0 => Ok(heads),
        heads => Err(Skip::rejected(format!("its attribute `{name}` is {heads}, but must be positive"))),
    }
}

pub(super) fn last(graph: &Graph, of: Value) -> Result<i64, Skip> {
    let last = graph.shape(of).and_then(<[Dim]>::last).and_then(Dim::known);
    last.ok_or_else(|| Skip::rejected(format!("the size of the last axis of {} is unknown", graph.operand_text(of))))
}

/// Splits the last axis into parts of the given sizes.
pub(super) fn split(graph: &mut Graph, root: Value, x: Value, sizes: &[i64]) -> Result<Vec<Value>, Skip> {
    let sum = sizes.iter().try_fold(0_i64, |sum, size| sum.checked_add(*size).filter(|_| *size > 0));
    if sum != Some(last(graph, x)?) {
        return Err(Skip::rejected(format!(
            "the size of the last axis of {} is not the sum of {sizes:?}",
            graph.operand_text(x)
        )));
    }
    let list = number_list(graph, root, "sizes", sizes)?;
    let name = graph.value_name(root).clone();
    let results = (0..sizes.len()).map(|at| format!("{name}.part.{at}").into()).collect();
    let place = Place { results, ..graph.beside(root.node, "parts") };
    let node = graph.insert(place, Op::Split { axis: -1 }, &[Some(x), Some(list)])?;
    Ok(graph.results(node).collect())
}

/// Splits the heads of `[batch, length, heads * size]` to `[batch, heads, length, size]`.
pub(super) fn by_heads(graph: &mut Graph, root: Value, x: Value, heads: i64) -> Result<Value, Skip> {
    let width = last(graph, x)?;
    if width % heads != 0 {
        return Err(Skip::rejected(format!(
            "the last axis of {} has size {width}, which is not a multiple of its {heads} heads",
            graph.operand_text(x)
        )));
    }
    let sizes = number_list(graph, root, "sizes", &[0, 0, heads, width / heads])?;
    let apart = insert(graph, root, "apart", Op::Reshape { allowzero: false }, &[x, sizes])?;
    insert(graph, root, "heads", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[apart])
}

/// Merges the heads of `[batch, heads, length, size]` to `[batch, length, heads * size]`.
pub(super) fn merged(graph: &mut Graph, root: Value, x: Value) -> Result<Value, Skip> {
    let width = match graph.shape(x) {
        Some([_, heads, _, size]) => heads.times(size).known().unwrap_or(-1),
        _ => -1,
    };
    let turned = insert(graph, root, "by_length", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[x])?;
    let sizes = number_list(graph, root, "sizes", &[0, 0, width])?;
    insert(graph, root, "merged", Op::Reshape { allowzero: false }, &[turned, sizes])
}

pub(super) fn expect_f32(graph: &Graph, x: Value) -> Result<(), Skip> {
    match graph.fact(x).element() {
        Some(ElementType::F32) => Ok(()),
        _ => Err(Skip::rejected(format!("the element type of {} is not known to be f32", graph.operand_text(x)))),
    }
}

/// Replaces `Attention`. Operands: x, packed weights, bias, mask, past, attention bias. Results: output, present.
pub(super) fn attention(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let root = call.root;
    let heads = heads(call, "num_heads")?;
    let is_causal = call.int("unidirectional", 0)? != 0;
    let scale = call.float("scale")?;
    let filter = call.float("mask_filter_value")?.unwrap_or(FILTER);
    let sizes = match call.take("qkv_hidden_sizes") {
        None => None,
        Some(Attribute::Ints(sizes)) => Some(sizes),
        Some(_) => return Err(Skip::rejected("its attribute `qkv_hidden_sizes` is not a list of integers")),
    };
    for name in ["do_rotary", "past_present_share_buffer", "rotary_embedding_dim"] {
        call.expect_int(name, 0)?;
    }
    call.expect_no_more_attributes()?;
    call.expect_operands(6)?;
    let (x, weight) = (call.operand(0)?, call.operand(1)?);
    expect_f32(graph, x)?;
    let width = last(graph, weight)?;
    let sizes = sizes.unwrap_or_else(|| vec![width / 3; 3]);
    let mut packed = insert(graph, root, "packed", Op::MatMul, &[x, weight])?;
    if let Some(bias) = call.optional(2) {
        packed = insert(graph, root, "biased", Op::Add, &[packed, bias])?;
    }
    let [query, key, value] = split(graph, root, packed, &sizes)?[..] else {
        return Err(Skip::rejected("its attribute `qkv_hidden_sizes` must have 3 elements"));
    };
    let past = match call.optional(4) {
        None => None,
        Some(past) => {
            let mut part = |at: i64| -> Result<Value, Skip> {
                let index = insert(graph, root, "index", Op::Constant(Tensor::index(at)), &[])?;
                insert(graph, root, "past", Op::Gather { axis: 0 }, &[past, index])
            };
            Some([part(0)?, part(1)?])
        }
    };
    let rules =
        Rules { padding: call.optional(3), filter, bias: call.optional(5), is_causal, past: past.map(|past| past[0]) };
    let Mask { added, is_causal } = mask(graph, root, &rules, query, key)?;
    let inputs =
        Inputs { query, key, value, mask: added, past, heads, kv_heads: heads, scale, softcap: 0.0, is_causal };
    let [attended, keys, values] = attend(graph, root, &inputs)?;
    // Keys and values of different sizes cannot be one present; the runtime does not return it then.
    let is_present_read = graph.results(root.node).nth(1).is_some_and(|present| graph.use_count(present) > 0);
    if !is_present_read {
        return call.become_values(graph, &[Some(attended)]);
    }
    let mut present = vec![];
    for part in [keys, values] {
        let axes = number_list(graph, root, "axes", &[0])?;
        present.push(insert(graph, root, "present", Op::Unsqueeze, &[part, axes])?);
    }
    let present = insert(graph, root, "present", Op::Concat { axis: 0 }, &present)?;
    call.become_values(graph, &[Some(attended), Some(present)])
}

/// Replaces `MultiHeadAttention`. Operands: query, key, value, bias, padding mask, attention bias, past key, past
/// value. Results: output, present key and value.
pub(super) fn multi_head_attention(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let root = call.root;
    let heads = heads(call, "num_heads")?;
    let is_causal = call.int("unidirectional", 0)? != 0;
    let scale = call.float("scale")?;
    let filter = call.float("mask_filter_value")?.unwrap_or(FILTER);
    call.expect_no_more_attributes()?;
    call.expect_operands(8)?;
    let [query, key, value] = sides(graph, call, heads)?;
    let past = match (call.optional(6), call.optional(7)) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => return Err(Skip::rejected("it has past keys without past values, or the reverse")),
    };
    let rules =
        Rules { padding: call.optional(4), filter, bias: call.optional(5), is_causal, past: past.map(|past| past[0]) };
    let Mask { added, is_causal } = mask(graph, root, &rules, query, key)?;
    let inputs =
        Inputs { query, key, value, mask: added, past, heads, kv_heads: heads, scale, softcap: 0.0, is_causal };
    let results = attend(graph, root, &inputs)?;
    call.become_values(graph, &results.map(Some))
}

/// Returns queries, keys and values, each `[batch, length, heads * size]`, or each `[batch, heads, length, size]`.
///
/// Keys and values may already have their heads before the length, as in cross attention, in which they are computed
/// once; or they are packed, `[batch, length, heads, 2 or 3, size]`.
fn sides(graph: &mut Graph, call: &Call, heads: i64) -> Result<[Value; 3], Skip> {
    let root = call.root;
    let mut query = call.operand(0)?;
    let (key, value, bias) = (call.optional(1), call.optional(2), call.optional(3));
    for side in [Some(query), key, value].into_iter().flatten() {
        expect_f32(graph, side)?;
    }
    let rank = |of: Option<Value>| of.and_then(|of| graph.fact(of).rank());
    match (rank(Some(query)), rank(key), rank(value)) {
        (Some(3), Some(3), Some(3)) => {
            let mut sides = [query, call.operand(1)?, call.operand(2)?];
            if let Some(bias) = bias {
                let widths = [last(graph, sides[0])?, last(graph, sides[1])?, last(graph, sides[2])?];
                let biases = split(graph, root, bias, &widths)?;
                for (side, bias) in sides.iter_mut().zip(biases) {
                    *side = insert(graph, root, "biased", Op::Add, &[*side, bias])?;
                }
            }
            Ok(sides)
        }
        (Some(3), Some(4), Some(4)) => {
            if let Some(bias) = bias {
                // Only the bias of the queries is used.
                let width = last(graph, query)?;
                let rest = last(graph, bias)?.saturating_sub(width);
                let bias = split(graph, root, bias, &[width, rest])?[0];
                query = insert(graph, root, "biased", Op::Add, &[query, bias])?;
            }
            Ok([by_heads(graph, root, query, heads)?, call.operand(1)?, call.operand(2)?])
        }
        (Some(3), Some(5), None) if bias.is_none() && value.is_none() => {
            let [key, value] =
                [unpacked(graph, root, call.operand(1)?, 0)?, unpacked(graph, root, call.operand(1)?, 1)?];
            Ok([by_heads(graph, root, query, heads)?, key, value])
        }
        (Some(5), None, None) if bias.is_none() && key.is_none() && value.is_none() => {
            Ok([unpacked(graph, root, query, 0)?, unpacked(graph, root, query, 1)?, unpacked(graph, root, query, 2)?])
        }
        (Some(_), Some(_), Some(_)) => {
            Err(Skip::rejected("the combination of ranks of its queries, keys and values is not supported"))
        }
        _ => Err(Skip::rejected("the ranks of its queries, keys and values are unknown")),
    }
}

/// Selects a part of `[batch, length, heads, parts, size]`, as `[batch, heads, length, size]`.
fn unpacked(graph: &mut Graph, root: Value, packed: Value, part: i64) -> Result<Value, Skip> {
    let index = insert(graph, root, "index", Op::Constant(Tensor::index(part)), &[])?;
    let part = insert(graph, root, "part", Op::Gather { axis: 3 }, &[packed, index])?;
    insert(graph, root, "heads", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[part])
}
