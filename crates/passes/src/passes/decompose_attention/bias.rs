//! Masks, causality, windows and lengths as one bias of the scores.

use crate::masks::is_finite;
use crate::rewrite::{insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::op::PadMode;
use netwright_ir::{Dim, ElementType, Graph, Op, Tensor, Value};

/// What says which keys a query sees.
pub(super) struct Rules {
    pub(super) is_causal: bool,
    pub(super) left_window_size: i64,
    pub(super) right_window_size: i64,
    pub(super) mask: Option<Value>,
    pub(super) past: Option<Value>,
    pub(super) lengths: Option<Value>,
}

/// What is added to the scores.
pub(super) struct Bias {
    pub(super) value: Value,
    /// Whether all of a row may be -inf.
    pub(super) may_mask_rows: bool,
}

/// The bias for queries and keys, `[batch, heads, length, size]`.
pub(super) fn bias(
    graph: &mut Graph,
    root: Value,
    rules: &Rules,
    [query, keys]: [Value; 2],
    element: ElementType,
) -> Result<Option<Bias>, Skip> {
    let mut all: Vec<Bias> = vec![];
    if let Some(mask) = rules.mask {
        all.push(added(graph, root, mask, keys, element)?);
    }
    let has_window = rules.left_window_size >= 0 || rules.right_window_size >= 0;
    let places = if rules.is_causal || has_window || rules.lengths.is_some() {
        Some([length(graph, root, query)?, length(graph, root, keys)?])
    } else {
        None
    };
    if let Some([queries, keys]) = places {
        let mut seen: Vec<Value> = vec![];
        if rules.is_causal && !has_window && rules.past.is_none() && rules.lengths.is_none() {
            // Above the diagonal: the form that every runtime computes, whatever the lengths.
            let fill = number(graph, root, "masked", element, f64::NEG_INFINITY)?;
            let shape = insert(graph, root, "shape", Op::Concat { axis: 0 }, &[queries, keys])?;
            let full = insert(graph, root, "full", Op::Expand, &[fill, shape])?;
            let one = insert(graph, root, "above", Op::Constant(Tensor::index(1)), &[])?;
            let value = insert(graph, root, "later", Op::Trilu { upper: true }, &[full, one])?;
            all.push(Bias { value, may_mask_rows: false });
        } else if rules.is_causal || has_window {
            let distance = distance(graph, root, rules, queries, keys)?;
            let mut limits = vec![];
            if rules.is_causal {
                limits.push(Limit::AtMost(0));
            }
            if rules.right_window_size >= 0 {
                limits.push(Limit::AtMost(rules.right_window_size));
            }
            if rules.left_window_size >= 0 {
                limits.push(Limit::AtLeast(-rules.left_window_size));
            }
            for limit in limits {
                seen.push(limit.compare(graph, root, distance)?);
            }
        }
        if let Some(lengths) = rules.lengths {
            let places = range(graph, root, keys)?;
            let axes = number_list(graph, root, "axes", &[1, 2, 3])?;
            let lengths = insert(graph, root, "lengths", Op::Unsqueeze, &[lengths, axes])?;
            seen.push(insert(graph, root, "within", Op::Less, &[places, lengths])?);
        }
        let seen =
            seen.into_iter().map(Ok).reduce(|a, b| insert(graph, root, "seen", Op::And, &[a?, b?])).transpose()?;
        if let Some(seen) = seen {
            let value = chosen(graph, root, seen, element)?;
            all.push(Bias { value, may_mask_rows: true });
        }
    }
    let mut all = all.into_iter();
    let Some(mut sum) = all.next() else { return Ok(None) };
    for bias in all {
        let value = insert(graph, root, "bias", Op::Add, &[sum.value, bias.value])?;
        // Each alone may leave some keys, and both together none.
        sum = Bias { value, may_mask_rows: sum.may_mask_rows || bias.may_mask_rows };
    }
    Ok(Some(sum))
}

/// How far a key may be from the query.
enum Limit {
    AtMost(i64),
    AtLeast(i64),
}

impl Limit {
    /// Whether the distances keep the limit; by the strict comparison where the opset is older than the other.
    fn compare(&self, graph: &mut Graph, root: Value, distance: Value) -> Result<Value, Skip> {
        let (op, limit, strict, beyond) = match *self {
            Limit::AtMost(limit) => (Op::LessOrEqual, limit, Op::Less, limit.saturating_add(1)),
            Limit::AtLeast(limit) => (Op::GreaterOrEqual, limit, Op::Greater, limit.saturating_sub(1)),
        };
        let mut near = |op, limit| {
            let limit = insert(graph, root, "limit", Op::Constant(Tensor::index(limit)), &[])?;
            insert(graph, root, "near", op, &[distance, limit])
        };
        near(op, limit).or_else(|_| near(strict, beyond))
    }
}

/// The probabilities, with zeros for rows that are masked whole.
pub(super) fn guard(
    graph: &mut Graph,
    root: Value,
    bias: Value,
    probabilities: Value,
    element: ElementType,
) -> Result<Value, Skip> {
    let axes = number_list(graph, root, "axes", &[-1])?;
    let most = Op::ReduceMax { keepdims: true, noop_with_empty_axes: false };
    let most = insert(graph, root, "most", most, &[bias, axes])?;
    let least = number(graph, root, "least", graph.fact(bias).element().unwrap_or(element), f64::NEG_INFINITY)?;
    let masked = insert(graph, root, "masked.row", Op::Equal, &[most, least])?;
    let zero = number(graph, root, "zero", element, 0.0)?;
    insert(graph, root, "guarded", Op::Where, &[masked, zero, probabilities])
}

/// A mask as what is added: 0 and -inf where it says which keys are seen; as long as there are keys.
fn added(graph: &mut Graph, root: Value, mask: Value, keys: Value, element: ElementType) -> Result<Bias, Skip> {
    let last = |of: Value, axis: usize| {
        let shape = graph.shape(of)?;
        shape.get(shape.len().checked_sub(axis)?).cloned()
    };
    let (own, all) = (last(mask, 1), last(keys, 2));
    let (Some(own), Some(all)) = (own, all) else {
        return Err(Skip::rejected(format!("the length of the mask {} is not known", graph.operand_text(mask))));
    };
    let is_bool = graph.fact(mask).element() == Some(ElementType::Bool);
    let mut value = if is_bool { chosen(graph, root, mask, element)? } else { mask };
    let mut may_mask_rows = is_bool || !is_finite(graph, mask);
    if own.same(&all) != Some(true) && own != Dim::Known(1) {
        let missing = all.minus(&own).known().filter(|missing| *missing > 0);
        let missing = missing.ok_or_else(|| {
            Skip::rejected(format!("nothing shows that the mask {} is as long as the keys", graph.operand_text(mask)))
        })?;
        let rank = graph.fact(mask).rank().ok_or(Skip::NoMatch)?;
        let mut pads = vec![0; 2 * rank];
        if let Some(last) = pads.last_mut() {
            *last = missing;
        }
        let pads = number_list(graph, root, "pads", &pads)?;
        let fill = number(graph, root, "missing", element, f64::NEG_INFINITY)?;
        value = insert(graph, root, "longer", Op::Pad { mode: PadMode::Constant }, &[value, pads, fill])?;
        may_mask_rows = may_mask_rows || own == Dim::Known(0);
    }
    Ok(Bias { value, may_mask_rows })
}

/// 0 where the condition holds, else -inf.
fn chosen(graph: &mut Graph, root: Value, condition: Value, element: ElementType) -> Result<Value, Skip> {
    let kept = number(graph, root, "kept", element, 0.0)?;
    let masked = number(graph, root, "masked", element, f64::NEG_INFINITY)?;
    insert(graph, root, "bias", Op::Where, &[condition, kept, masked])
}

/// The third axis, as a vector of one size.
fn length(graph: &mut Graph, root: Value, of: Value) -> Result<Value, Skip> {
    insert(graph, root, "length", Op::Shape { start: 2, end: Some(3) }, &[of])
}

/// 0, 1, … up to a size.
fn range(graph: &mut Graph, root: Value, size: Value) -> Result<Value, Skip> {
    let [zero, one] = [0, 1].map(|bound| insert(graph, root, "bound", Op::Constant(Tensor::index(bound)), &[]));
    let size = insert(graph, root, "size", Op::Squeeze, &[size])?;
    insert(graph, root, "places", Op::Range, &[zero?, size, one?])
}

/// How far each key stands behind each query: `[query, key]`, or `[batch, 1, query, key]` where samples have lengths.
fn distance(graph: &mut Graph, root: Value, rules: &Rules, queries: Value, keys: Value) -> Result<Value, Skip> {
    let key_places = range(graph, root, keys)?;
    let query_places = range(graph, root, queries)?;
    let last = number_list(graph, root, "axes", &[1])?;
    let mut query_places = insert(graph, root, "column", Op::Unsqueeze, &[query_places, last])?;
    let before = match (rules.past, rules.lengths) {
        (Some(past), _) => Some(length(graph, root, past)?),
        (None, Some(lengths)) => {
            let before = insert(graph, root, "before", Op::Sub, &[lengths, queries])?;
            let axes = number_list(graph, root, "axes", &[1, 2, 3])?;
            Some(insert(graph, root, "before", Op::Unsqueeze, &[before, axes])?)
        }
        (None, None) => None,
    };
    if let Some(before) = before {
        query_places = insert(graph, root, "places", Op::Add, &[query_places, before])?;
    }
    insert(graph, root, "distance", Op::Sub, &[key_places, query_places])
}
