//! Attention in its packed and its grouped forms.

use super::Call;
use super::embeddings::{Positions, cast, positions, rotate};
use crate::rewrite::{insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::{Attribute, Dim, ElementType, Graph, Op, Place, Value};

/// What ONNX's operator is asked for.
struct Asked {
    query: Value,
    key: Value,
    value: Value,
    mask: Option<Value>,
    past: Option<[Value; 2]>,
    heads: i64,
    kv_heads: i64,
    scale: Option<f32>,
    softcap: f32,
    is_causal: bool,
}

/// The attended values, and present keys and values.
fn attend(graph: &mut Graph, root: Value, asked: &Asked) -> Result<[Value; 3], Skip> {
    let is_flat = graph.fact(asked.query).rank() == Some(3);
    let attention = Op::Attention {
        is_causal: asked.is_causal,
        kv_num_heads: is_flat.then_some(asked.kv_heads),
        left_window_size: -1,
        q_num_heads: is_flat.then_some(asked.heads),
        qk_matmul_output_mode: 0,
        right_window_size: -1,
        scale: asked.scale.filter(|scale| *scale != 0.0),
        softcap: asked.softcap,
        softmax_precision: None,
    };
    let [past_key, past_value] = asked.past.map_or([None, None], |past| past.map(Some));
    let operands = [Some(asked.query), Some(asked.key), Some(asked.value), asked.mask, past_key, past_value];
    let place = graph.beside(root.node, "attended");
    let name = graph.value_name(root).clone();
    let results = ["attended", "keys", "values"].map(|word| format!("{name}.{word}").into());
    let node = graph.insert(Place { results: results.into_iter().collect(), ..place }, attention, &operands)?;
    Ok([0, 1, 2].map(|result| Value { node, result }))
}

fn heads(call: &mut Call, name: &str) -> Result<i64, Skip> {
    match call.int(name, 0)? {
        heads if heads > 0 => Ok(heads),
        heads => Err(Skip::rejected(format!("its attribute `{name}` is {heads}"))),
    }
}

fn last(graph: &Graph, of: Value) -> Result<i64, Skip> {
    let last = graph.shape(of).and_then(<[Dim]>::last).and_then(Dim::known);
    last.ok_or_else(|| Skip::rejected(format!("the last axis of {} is not known", graph.operand_text(of))))
}

/// Parts of the last axis.
fn split(graph: &mut Graph, root: Value, x: Value, sizes: &[i64]) -> Result<Vec<Value>, Skip> {
    let sum = sizes.iter().try_fold(0_i64, |sum, size| sum.checked_add(*size).filter(|_| *size > 0));
    if sum != Some(last(graph, x)?) {
        return Err(Skip::rejected(format!("{} is not of the sizes {sizes:?}", graph.operand_text(x))));
    }
    let list = number_list(graph, root, "sizes", sizes)?;
    let name = graph.value_name(root).clone();
    let results = (0..sizes.len()).map(|at| format!("{name}.part.{at}").into()).collect();
    let place = Place { results, ..graph.beside(root.node, "parts") };
    let node = graph.insert(place, Op::Split { axis: -1 }, &[Some(x), Some(list)])?;
    Ok(graph.results(node).collect())
}

/// What is added to scores `[batch, heads, query, key]` for a mask of keys: lengths `[batch]`, or 0 for those that are
/// masked in `[batch, key]` or `[batch, query, key]`.
fn padding(graph: &mut Graph, root: Value, mask: Value, keys: Value, filter: f32) -> Result<Value, Skip> {
    let rank = graph.fact(mask).rank();
    let rank = rank.ok_or_else(|| Skip::rejected(format!("the rank of {} is not known", graph.operand_text(mask))))?;
    let seen = match rank {
        1 => {
            let (Some([own]), Some([batch, ..])) = (graph.shape(mask), graph.shape(keys)) else {
                return Err(Skip::rejected("the sizes of the mask are not known"));
            };
            if own.same(batch) != Some(true) {
                return Err(Skip::rejected(format!("nothing shows that {} is of lengths", graph.operand_text(mask))));
            }
            let places = positions(graph, root, keys, 1)?;
            let lengths = cast(graph, root, mask, ElementType::I64)?;
            let axes = number_list(graph, root, "axes", &[1])?;
            let lengths = insert(graph, root, "lengths", Op::Unsqueeze, &[lengths, axes])?;
            insert(graph, root, "seen", Op::Less, &[places, lengths])?
        }
        2 | 3 => cast(graph, root, mask, ElementType::Bool)?,
        _ => return Err(Skip::rejected(format!("its mask {} has rank {rank}", graph.operand_text(mask)))),
    };
    let axes: &[i64] = if rank == 3 { &[1] } else { &[1, 2] };
    let axes = number_list(graph, root, "axes", axes)?;
    let seen = insert(graph, root, "seen", Op::Unsqueeze, &[seen, axes])?;
    let kept = number(graph, root, "kept", ElementType::F32, 0.0)?;
    let masked = number(graph, root, "masked", ElementType::F32, filter.into())?;
    insert(graph, root, "mask", Op::Where, &[seen, kept, masked])
}

/// Both masks as one.
fn both(graph: &mut Graph, root: Value, a: Option<Value>, b: Option<Value>) -> Result<Option<Value>, Skip> {
    match (a, b) {
        (Some(a), Some(b)) => insert(graph, root, "mask", Op::Add, &[a, b]).map(Some),
        (a, b) => Ok(a.or(b)),
    }
}

fn expect_f32(graph: &Graph, x: Value) -> Result<(), Skip> {
    match graph.fact(x).element() {
        Some(ElementType::F32) => Ok(()),
        _ => Err(Skip::rejected(format!("{} is not shown to be f32", graph.operand_text(x)))),
    }
}

/// Operands: x, packed weights, bias, mask, past, attention bias. Results: attended, present.
pub(super) fn attention(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let root = call.root;
    let heads = heads(call, "num_heads")?;
    let is_causal = call.int("unidirectional", 0)? != 0;
    let scale = call.float("scale")?;
    let filter = call.float("mask_filter_value")?.unwrap_or(-10000.0);
    let sizes = match call.take("qkv_hidden_sizes") {
        None => None,
        Some(Attribute::Ints(sizes)) => Some(sizes),
        Some(_) => return Err(Skip::rejected("its attribute `qkv_hidden_sizes` is no list")),
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
        return Err(Skip::rejected("it has not three hidden sizes"));
    };
    if call.optional(4).is_some() && call.optional(3).is_some() && graph.fact(call.operand(3)?).rank() == Some(1) {
        return Err(Skip::rejected("its mask is of lengths, and there is a past"));
    }
    let padding = call.optional(3).map(|mask| padding(graph, root, mask, key, filter)).transpose()?;
    let mask = both(graph, root, padding, call.optional(5))?;
    let past = match call.optional(4) {
        None => None,
        Some(past) => {
            let mut part = |at: i64| -> Result<Value, Skip> {
                let index = insert(graph, root, "index", Op::Constant(netwright_ir::Tensor::index(at)), &[])?;
                insert(graph, root, "past", Op::Gather { axis: 0 }, &[past, index])
            };
            Some([part(0)?, part(1)?])
        }
    };
    let asked = Asked { query, key, value, mask, past, heads, kv_heads: heads, scale, softcap: 0.0, is_causal };
    let [attended, keys, values] = attend(graph, root, &asked)?;
    let mut present = vec![];
    for part in [keys, values] {
        let axes = number_list(graph, root, "axes", &[0])?;
        present.push(insert(graph, root, "present", Op::Unsqueeze, &[part, axes])?);
    }
    let present = insert(graph, root, "present", Op::Concat { axis: 0 }, &present)?;
    call.become_values(graph, &[Some(attended), Some(present)])
}

/// Operands: query, key, value, bias, padding mask, attention bias, past key, past value. Results: attended, present key
/// and value.
pub(super) fn multi_head_attention(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let root = call.root;
    let heads = heads(call, "num_heads")?;
    let is_causal = call.int("unidirectional", 0)? != 0;
    let scale = call.float("scale")?;
    let filter = call.float("mask_filter_value")?.unwrap_or(-10000.0);
    call.expect_no_more_attributes()?;
    call.expect_operands(8)?;
    let mut sides = [call.operand(0)?, call.operand(1)?, call.operand(2)?];
    for side in sides {
        expect_f32(graph, side)?;
        if graph.fact(side).rank() != Some(3) {
            return Err(Skip::rejected(format!("{} has not rank 3", graph.operand_text(side))));
        }
    }
    if let Some(bias) = call.optional(3) {
        let widths = [last(graph, sides[0])?, last(graph, sides[1])?, last(graph, sides[2])?];
        let biases = split(graph, root, bias, &widths)?;
        for (side, bias) in sides.iter_mut().zip(biases) {
            *side = insert(graph, root, "biased", Op::Add, &[*side, bias])?;
        }
    }
    let [query, key, value] = sides;
    let past = match (call.optional(6), call.optional(7)) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => return Err(Skip::rejected("it has a past of keys or of values alone")),
    };
    if past.is_some() && call.optional(4).is_some_and(|mask| graph.fact(mask).rank() == Some(1)) {
        return Err(Skip::rejected("its mask is of lengths, and there is a past"));
    }
    let padding = call.optional(4).map(|mask| padding(graph, root, mask, key, filter)).transpose()?;
    let mask = both(graph, root, padding, call.optional(5))?;
    let asked = Asked { query, key, value, mask, past, heads, kv_heads: heads, scale, softcap: 0.0, is_causal };
    let results = attend(graph, root, &asked)?;
    call.become_values(graph, &results.map(Some))
}

/// Operands: query, key, value, past key, past value, last places, total length, cosines, sines. Results: attended,
/// present key and value.
///
/// Each sample may have a past of another length, which the standard cannot say: with a past, the batch must be 1. What
/// is padding behind a sample sees keys that are padding; its results mean nothing before and after.
pub(super) fn group_query_attention(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let root = call.root;
    let (heads, kv_heads) = (heads(call, "num_heads")?, heads(call, "kv_num_heads")?);
    let scale = call.float("scale")?;
    let softcap = call.float("softcap")?.unwrap_or(0.0);
    let turns = call.int("do_rotary", 0)? != 0;
    let interleaved = call.int("rotary_interleaved", 0)? != 0;
    call.expect_int("local_window_size", -1)?;
    for name in ["smooth_softmax", "kv_cache_bit_width", "qk_output"] {
        call.expect_int(name, 0)?;
    }
    call.expect_no_more_attributes()?;
    call.expect_operands(9)?;
    let mut query = call.operand(0)?;
    expect_f32(graph, query)?;
    let [batch, ..] = graph
        .shape(query)
        .filter(|shape| shape.len() == 3)
        .ok_or_else(|| Skip::rejected(format!("{} is not shown to have rank 3", graph.operand_text(query))))?
    else {
        return Err(Skip::NoMatch);
    };
    let past = match (call.optional(3), call.optional(4)) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => return Err(Skip::rejected("it has a past of keys or of values alone")),
    };
    if past.is_some() && *batch != Dim::Known(1) {
        return Err(Skip::rejected("samples may have pasts of different lengths, which the standard cannot say"));
    }
    let (mut key, value) = if let (Some(key), Some(value)) = (call.optional(1), call.optional(2)) {
        (key, value)
    } else {
        let size = last(graph, query)? / (heads + 2 * kv_heads);
        let parts = split(graph, root, query, &[heads * size, kv_heads * size, kv_heads * size])?;
        let [own, key, value] = parts[..] else { return Err(Skip::NoMatch) };
        query = own;
        (key, value)
    };
    if turns {
        let tables = [call.operand(7)?, call.operand(8)?];
        let before = match past {
            Some([past, _]) => Some(insert(graph, root, "before", Op::Shape { start: 2, end: Some(3) }, &[past])?),
            None => None,
        };
        query = rotate(graph, root, query, Positions::After(before), tables, (interleaved, heads, 0))?;
        key = rotate(graph, root, key, Positions::After(before), tables, (interleaved, kv_heads, 0))?;
    }
    let asked = Asked { query, key, value, mask: None, past, heads, kv_heads, scale, softcap, is_causal: true };
    let results = attend(graph, root, &asked)?;
    call.become_values(graph, &results.map(Some))
}
