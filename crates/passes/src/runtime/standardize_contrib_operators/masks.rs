//! Combines the rules for which keys a query sees into one mask that is added to the scores.

use super::embeddings::{cast, positions, size};
use crate::read::masks::is_at_least;
use crate::read::thresholds::MASKED;
use crate::rewrite::{insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Tensor, Value};

/// The default of `mask_filter_value`, the number that is added to the scores of padding.
pub(super) const FILTER: f32 = -10000.0;

/// The operands and attributes that determine which keys a query sees.
pub(super) struct Rules {
    /// Lengths, `[batch]`, or numbers that are positive for keys that are seen, `[batch, key]` or `[batch, query,
    /// key]`.
    pub(super) padding: Option<Value>,
    /// The number that is added to the scores of padding.
    pub(super) filter: f32,
    /// The attention bias, which is added to the scores.
    pub(super) bias: Option<Value>,
    pub(super) is_causal: bool,
    /// The past keys, `[batch, heads, past, size]`.
    pub(super) past: Option<Value>,
}

/// A mask that is added, and whether the attention must also be causal.
pub(super) struct Mask {
    pub(super) added: Option<Value>,
    pub(super) is_causal: bool,
}

/// Returns the mask of the rules for queries and new keys, `[batch, length, hidden]` or `[batch, heads, length, size]`.
///
/// In causal attention, ONNX Runtime uses the lowest float for later keys instead of the filter, hides none from the
/// last query, and adds the bias afterwards. Here [`MASKED`] hides later keys, because for the lowest float the
/// standard operators of ONNX Runtime return zeros for a row that is fully masked.
pub(super) fn mask(graph: &mut Graph, root: Value, rules: &Rules, query: Value, keys: Value) -> Result<Mask, Skip> {
    let filter = f64::from(rules.filter).max(MASKED);
    let padding = match rules.padding {
        Some(mask) => {
            let padding = padding(graph, root, mask, rules, keys, filter)?;
            Some(sized(graph, root, padding, rules, [query, keys])?)
        }
        None => None,
    };
    let bias = match rules.bias {
        Some(bias) => {
            let bias = sized(graph, root, bias, rules, [query, keys])?;
            Some(bounded(graph, root, bias)?)
        }
        None => None,
    };
    let is_square = length(graph, query).zip(length(graph, keys)).is_some_and(|(a, b)| a.same(b) == Some(true));
    let is_absorbed = bias.is_some() || padding.is_some() && filter <= MASKED;
    if !rules.is_causal || is_square && !is_absorbed {
        return Ok(Mask { added: both(graph, root, padding, bias)?, is_causal: rules.is_causal });
    }
    let later = later(graph, root, rules, query, keys, is_square)?;
    let masked = number(graph, root, "masked", ElementType::F32, MASKED)?;
    let kept = match padding {
        Some(padding) => padding,
        None => number(graph, root, "kept", ElementType::F32, 0.0)?,
    };
    let chosen = insert(graph, root, "mask", Op::Where, &[later, masked, kept])?;
    Ok(Mask { added: both(graph, root, Some(chosen), bias)?, is_causal: false })
}

/// Returns the axis of the length.
fn axis(graph: &Graph, of: Value) -> i64 {
    if graph.fact(of).rank() == Some(4) { 2 } else { 1 }
}

fn length(graph: &Graph, of: Value) -> Option<&Dim> {
    let axis = usize::try_from(axis(graph, of)).ok()?;
    graph.shape(of)?.get(axis)
}

/// Inserts the number of keys, including the past.
fn total(graph: &mut Graph, root: Value, rules: &Rules, keys: Value) -> Result<Value, Skip> {
    let own = size(graph, root, keys, axis(graph, keys))?;
    let Some(past) = rules.past else { return Ok(own) };
    let before = size(graph, root, past, 2)?;
    insert(graph, root, "total", Op::Add, &[before, own])
}

/// Inserts the positions of all keys: 0, 1, ….
fn places(graph: &mut Graph, root: Value, rules: &Rules, keys: Value) -> Result<Value, Skip> {
    let all = total(graph, root, rules, keys)?;
    range(graph, root, all)
}

/// Returns a mask of rank 4 whose last two axes provably are those of the scores or 1, as the operator requires.
fn sized(graph: &mut Graph, root: Value, mask: Value, rules: &Rules, [query, keys]: [Value; 2]) -> Result<Value, Skip> {
    let Some([.., own_queries, own_keys]) = graph.shape(mask) else { return Ok(mask) };
    let past = rules.past.map(|past| length(graph, past).cloned());
    let all = match (length(graph, keys), past) {
        (Some(own), Some(past)) => past.map(|past| past.plus(own)),
        (own, None) => own.cloned(),
        (None, Some(_)) => None,
    };
    let is = |own: &Dim, expected: Option<&Dim>| {
        *own == Dim::Known(1) || expected.is_some_and(|expected| own.same(expected) == Some(true))
    };
    let (are_queries, are_keys) = (is(own_queries, length(graph, query)), is(own_keys, all.as_ref()));
    if are_queries && are_keys {
        return Ok(mask);
    }
    // Without `allowzero`, which exists from opset 14 on, a size of 0 keeps the mask's size.
    let allowzero = graph.dialect().is_none_or(|dialect| dialect.opset >= 14);
    let kept = |graph: &mut Graph, start: i64, end: i64| {
        if allowzero {
            insert(graph, root, "kept", Op::Shape { start, end: Some(end) }, &[mask])
        } else {
            number_list(graph, root, "kept", &(start..end).map(|_| 0).collect::<Vec<_>>())
        }
    };
    let mut sizes = vec![kept(graph, 0, 2)?];
    let first = number_list(graph, root, "axes", &[0])?;
    for (is_right, at) in [(are_queries, 2), (are_keys, 3)] {
        if is_right {
            sizes.push(kept(graph, at, at + 1)?);
            continue;
        }
        let size = match at {
            2 => size(graph, root, query, axis(graph, query))?,
            _ => total(graph, root, rules, keys)?,
        };
        sizes.push(insert(graph, root, "size", Op::Unsqueeze, &[size, first])?);
    }
    let sizes = insert(graph, root, "sizes", Op::Concat { axis: 0 }, &sizes)?;
    insert(graph, root, "sized", Op::Reshape { allowzero }, &[mask, sizes])
}

/// Inserts the numbers from 0 up to `size`, exclusive.
pub(super) fn range(graph: &mut Graph, root: Value, size: Value) -> Result<Value, Skip> {
    let [zero, one] = [0, 1].map(|bound| insert(graph, root, "bound", Op::Constant(Tensor::index(bound)), &[]));
    insert(graph, root, "positions", Op::Range, &[zero?, size, one?])
}

/// Inserts which keys are later than each query, `[query, key]`; none for the last query.
fn later(
    graph: &mut Graph,
    root: Value,
    rules: &Rules,
    query: Value,
    keys: Value,
    is_square: bool,
) -> Result<Value, Skip> {
    let own = positions(graph, root, query, axis(graph, query))?;
    let mut last = own;
    if let Some(past) = rules.past {
        let before = size(graph, root, past, 2)?;
        last = insert(graph, root, "last", Op::Add, &[own, before])?;
    }
    let places = places(graph, root, rules, keys)?;
    if !is_square {
        let count = size(graph, root, query, axis(graph, query))?;
        let one = insert(graph, root, "one", Op::Constant(Tensor::index(1)), &[])?;
        let final_row = insert(graph, root, "final", Op::Sub, &[count, one])?;
        let is_final = insert(graph, root, "final", Op::Equal, &[own, final_row])?;
        let most = insert(graph, root, "most", Op::Constant(Tensor::index(i64::from(i32::MAX))), &[])?;
        last = insert(graph, root, "last", Op::Where, &[is_final, most, last])?;
    }
    let axes = number_list(graph, root, "axes", &[1])?;
    let last = insert(graph, root, "last", Op::Unsqueeze, &[last, axes])?;
    insert(graph, root, "later", Op::Greater, &[places, last])
}

/// Inserts the numbers that a mask of padding adds to the scores, `[batch, heads, query, key]`.
fn padding(
    graph: &mut Graph,
    root: Value,
    mask: Value,
    rules: &Rules,
    keys: Value,
    filter: f64,
) -> Result<Value, Skip> {
    let rank = graph.fact(mask).rank();
    let rank = rank.ok_or_else(|| Skip::rejected(format!("the rank of {} is unknown", graph.operand_text(mask))))?;
    let seen = match rank {
        1 => {
            let (Some([own]), Some([batch, ..])) = (graph.shape(mask), graph.shape(keys)) else {
                return Err(Skip::rejected("the sizes of the mask are unknown"));
            };
            if own.same(batch) != Some(true) {
                return Err(Skip::rejected(format!(
                    "{} does not provably have one length per sample of the batch",
                    graph.operand_text(mask)
                )));
            }
            let places = places(graph, root, rules, keys)?;
            let lengths = cast(graph, root, mask, ElementType::I64)?;
            let axes = number_list(graph, root, "axes", &[1])?;
            let lengths = insert(graph, root, "lengths", Op::Unsqueeze, &[lengths, axes])?;
            insert(graph, root, "seen", Op::Less, &[places, lengths])?
        }
        2 | 3 => positive(graph, root, mask)?,
        _ => {
            let name = graph.operand_text(mask);
            return Err(Skip::rejected(format!("the rank of its mask {name} is {rank}, but must be 1 to 3")));
        }
    };
    let axes: &[i64] = if rank == 3 { &[1] } else { &[1, 2] };
    let axes = number_list(graph, root, "axes", axes)?;
    let seen = insert(graph, root, "seen", Op::Unsqueeze, &[seen, axes])?;
    let kept = number(graph, root, "kept", ElementType::F32, 0.0)?;
    let masked = number(graph, root, "masked", ElementType::F32, filter)?;
    insert(graph, root, "mask", Op::Where, &[seen, kept, masked])
}

/// Inserts whether an integer is positive.
fn positive(graph: &mut Graph, root: Value, mask: Value) -> Result<Value, Skip> {
    let is_truth = |of: Value| graph.fact(of).element() == Some(ElementType::Bool);
    if is_truth(mask) {
        return Ok(mask);
    }
    let inner = graph.operand(mask.node, 0).filter(|inner| graph.kind(mask) == OpKind::Cast && is_truth(*inner));
    if let Some(inner) = inner {
        return Ok(inner);
    }
    let zero = match graph.fact(mask).element() {
        Some(ElementType::I32) => Tensor::from_bytes(ElementType::I32, &[], vec![0; 4])?,
        Some(ElementType::I64) => Tensor::index(0),
        _ => {
            let name = graph.operand_text(mask);
            return Err(Skip::rejected(format!("the element type of {name} is not known to be i32 or i64")));
        }
    };
    let zero = insert(graph, root, "zero", Op::Constant(zero), &[])?;
    insert(graph, root, "seen", Op::Greater, &[mask, zero])
}

/// Raises elements of the bias that are less than [`MASKED`] to that.
pub(super) fn bounded(graph: &mut Graph, root: Value, bias: Value) -> Result<Value, Skip> {
    if is_at_least(graph, bias, MASKED) {
        return Ok(bias);
    }
    let least = number(graph, root, "masked", ElementType::F32, MASKED)?;
    insert(graph, root, "bias", Op::Max, &[bias, least])
}

/// Adds two masks.
fn both(graph: &mut Graph, root: Value, a: Option<Value>, b: Option<Value>) -> Result<Option<Value>, Skip> {
    match (a, b) {
        (Some(a), Some(b)) => insert(graph, root, "mask", Op::Add, &[a, b]).map(Some),
        (a, b) => Ok(a.or(b)),
    }
}
