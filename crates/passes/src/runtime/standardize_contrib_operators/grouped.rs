//! Replaces grouped-query attention, with a KV cache in which each sample may have its own length.

use super::Call;
use super::attention::{Inputs, attend, by_heads, expect_f32, heads, last, merged, split};
use super::embeddings::{Positions, cast, rotate, size};
use super::masks::{bounded, range};
use crate::read::thresholds::MASKED;
use crate::rewrite::{insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::op::PadMode;
use netwright_ir::{ElementType, Graph, Op, Tensor, Value};

/// Replaces `GroupQueryAttention`. Operands: query, key, value, past key, past value, last positions, total length,
/// cosines, sines, positions, attention bias. Results: output, present key and value.
///
/// Without a past, it is causal attention. With one, the new keys of a sample are written at the end of its own past:
/// at 0 if there are as many queries as keys in total, else at its last position plus one minus the number of queries.
/// The elements after them are 0. The present is as long as the past if that is a buffer of fixed size, else as the
/// total.
///
/// Padding at the end of a sample attends to keys that are padding; its results are meaningless before and after.
pub(super) fn group_query_attention(graph: &mut Graph, call: &mut Call) -> Result<(), Skip> {
    let root = call.root;
    let (heads, kv_heads) = (heads(call, "num_heads")?, heads(call, "kv_num_heads")?);
    let scale = call.float("scale")?;
    let softcap = call.float("softcap")?.unwrap_or(0.0);
    let turns = call.int("do_rotary", 0)? != 0;
    let interleaved = call.int("rotary_interleaved", 0)? != 0;
    let window = call.int("local_window_size", -1)?;
    if window == 0 || window < -1 {
        return Err(Skip::rejected(format!(
            "its attribute `local_window_size` is {window}, but must be -1 or positive"
        )));
    }
    for name in ["smooth_softmax", "kv_cache_bit_width", "qk_output"] {
        call.expect_int(name, 0)?;
    }
    call.expect_no_more_attributes()?;
    call.expect_operands(11)?;
    let mut query = call.operand(0)?;
    expect_f32(graph, query)?;
    if graph.fact(query).rank() != Some(3) {
        return Err(Skip::rejected(format!("the rank of {} is not known to be 3", graph.operand_text(query))));
    }
    let past = match (call.optional(3), call.optional(4)) {
        (Some(key), Some(value)) => Some([key, value]),
        (None, None) => None,
        _ => return Err(Skip::rejected("it has past keys without past values, or the reverse")),
    };
    let (mut key, value) = if let (Some(key), Some(value)) = (call.optional(1), call.optional(2)) {
        (key, value)
    } else {
        let packed = kv_heads.checked_mul(2).and_then(|both| both.checked_add(heads)).ok_or(Skip::NoMatch)?;
        let size = last(graph, query)? / packed;
        let parts = split(graph, root, query, &[heads * size, kv_heads * size, kv_heads * size])?;
        let [own, key, value] = parts[..] else { return Err(Skip::NoMatch) };
        query = own;
        (key, value)
    };
    let cache = match past {
        Some(past) => Some(Cache::of(graph, root, [query, past[0]], [call.operand(5)?, call.operand(6)?])?),
        None => None,
    };
    if turns {
        let tables = [call.operand(7)?, call.operand(8)?];
        let at = match (call.optional(9), &cache) {
            (Some(given), _) => Positions::Given(given),
            (None, Some(cache)) => Positions::Given(cache.queries),
            (None, None) => Positions::After(None),
        };
        query = rotate(graph, root, query, at, tables, (interleaved, heads, 0))?;
        key = rotate(graph, root, key, at, tables, (interleaved, kv_heads, 0))?;
    }
    let bias = call.optional(10).map(|bias| bounded(graph, root, bias)).transpose()?;
    let Some(cache) = cache else {
        if window > 0 {
            return Err(Skip::rejected("it has a window but no past, which is not supported"));
        }
        let inputs =
            Inputs { query, key, value, mask: bias, past: None, heads, kv_heads, scale, softcap, is_causal: true };
        let results = attend(graph, root, &inputs)?;
        return call.become_values(graph, &results.map(Some));
    };
    let query = by_heads(graph, root, query, heads)?;
    let [past_key, past_value] = past.ok_or(Skip::NoMatch)?;
    let key = by_heads(graph, root, key, kv_heads)?;
    let value = by_heads(graph, root, value, kv_heads)?;
    let keys = cache.with(graph, root, past_key, key)?;
    let values = cache.with(graph, root, past_value, value)?;
    for (at, present) in [(1, keys), (2, values)] {
        call.expect_of_result(graph, at, present);
    }
    let hidden = cache.hidden(graph, root, window)?;
    let mut seen = [keys, values, hidden];
    if bias.is_some() {
        // The bias has a column for each token, not for each place of a buffer.
        for (value, axis) in seen.iter_mut().zip([2, 2, 3]) {
            *value = cache.tokens(graph, root, *value, axis)?;
        }
    }
    let [own_keys, own_values, hidden] = seen;
    let scores = Scores { scale, softcap, bias, hidden };
    let attended = attend_cached(graph, root, &scores, [query, own_keys, own_values], [heads, kv_heads])?;
    call.become_values(graph, &[Some(attended), Some(keys), Some(values)])
}

/// The operations on the products of queries and keys.
struct Scores {
    scale: Option<f32>,
    softcap: f32,
    bias: Option<Value>,
    /// Whether a query does not see a key, `[batch, 1, query, key]`.
    hidden: Value,
}

/// Inserts attention in simple operators. The operator Attention is not possible: the length of the cache is a number
/// that the caller gives, so the mask is not provably as long.
fn attend_cached(
    graph: &mut Graph,
    root: Value,
    options: &Scores,
    [query, keys, values]: [Value; 3],
    [heads, kv_heads]: [i64; 2],
) -> Result<Value, Skip> {
    if heads % kv_heads != 0 {
        return Err(Skip::rejected(format!(
            "the number of query heads, {heads}, is not a multiple of the {kv_heads} key heads"
        )));
    }
    let mut each = [keys, values];
    if heads != kv_heads {
        let indices: Vec<i64> = (0..heads).map(|head| head / (heads / kv_heads)).collect();
        let indices = number_list(graph, root, "repeated", &indices)?;
        for side in &mut each {
            *side = insert(graph, root, "each", Op::Gather { axis: 1 }, &[*side, indices])?;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "the size of a head is small")]
    let default = 1.0 / (last(graph, query)? as f64).sqrt();
    let scale = options.scale.filter(|scale| *scale != 0.0).map_or(default, f64::from);
    let turned = insert(graph, root, "turned", Op::Transpose { perm: vec![0, 1, 3, 2] }, &[each[0]])?;
    let product = insert(graph, root, "product", Op::MatMul, &[query, turned])?;
    let scale = number(graph, root, "scale", ElementType::F32, scale)?;
    let mut scores = insert(graph, root, "scores", Op::Mul, &[product, scale])?;
    if options.softcap != 0.0 {
        let cap = number(graph, root, "cap", ElementType::F32, options.softcap.into())?;
        let part = insert(graph, root, "part", Op::Div, &[scores, cap])?;
        let bent = insert(graph, root, "bent", Op::Tanh, &[part])?;
        scores = insert(graph, root, "capped", Op::Mul, &[bent, cap])?;
    }
    if let Some(bias) = options.bias {
        scores = insert(graph, root, "biased", Op::Add, &[scores, bias])?;
    }
    let masked = number(graph, root, "masked", ElementType::F32, MASKED)?;
    let seen = insert(graph, root, "seen", Op::Where, &[options.hidden, masked, scores])?;
    let probabilities = insert(graph, root, "probabilities", Op::Softmax { axis: -1 }, &[seen])?;
    let attended = insert(graph, root, "attended", Op::MatMul, &[probabilities, each[1]])?;
    merged(graph, root, attended)
}

/// The positions of the keys and values of each sample.
struct Cache {
    /// The number of queries.
    count: Value,
    /// The positions of the queries, `[batch, query]`.
    queries: Value,
    /// The number of tokens, past and new, `[1]`.
    total: Value,
    /// The position of each key of the present relative to the first new key, `[batch, key]`; negative for the past.
    places: Value,
}

impl Cache {
    fn of(
        graph: &mut Graph,
        root: Value,
        [query, past]: [Value; 2],
        [last_places, total]: [Value; 2],
    ) -> Result<Self, Skip> {
        let index =
            |graph: &mut Graph, value: i64| insert(graph, root, "number", Op::Constant(Tensor::index(value)), &[]);
        let count = size(graph, root, query, 1)?;
        let length = size(graph, root, past, 2)?;
        let total = cast(graph, root, total, ElementType::I64)?;
        let scalar = number_list(graph, root, "scalar", &[])?;
        let total = insert(graph, root, "total", Op::Reshape { allowzero: false }, &[total, scalar])?;
        let last_places = cast(graph, root, last_places, ElementType::I64)?;
        let column = number_list(graph, root, "column", &[-1, 1])?;
        let last_places = insert(graph, root, "ends", Op::Reshape { allowzero: false }, &[last_places, column])?;
        let one = index(graph, 1)?;
        let ends = insert(graph, root, "ends", Op::Add, &[last_places, one])?;
        let before = insert(graph, root, "before", Op::Sub, &[ends, count])?;
        let is_first = insert(graph, root, "first", Op::Equal, &[total, count])?;
        let zero = index(graph, 0)?;
        let before = insert(graph, root, "before", Op::Where, &[is_first, zero, before])?;
        let steps = range(graph, root, count)?;
        let queries = insert(graph, root, "places", Op::Add, &[before, steps])?;
        // Max takes no integers below opset 12.
        let is_buffer = insert(graph, root, "buffer", Op::Less, &[total, length])?;
        let all = insert(graph, root, "all", Op::Where, &[is_buffer, length, total])?;
        let all = range(graph, root, all)?;
        let places = insert(graph, root, "places", Op::Sub, &[all, before])?;
        let list = number_list(graph, root, "list", &[1])?;
        let total = insert(graph, root, "total", Op::Reshape { allowzero: false }, &[total, list])?;
        Ok(Self { count, queries, total, places })
    }

    /// Inserts the part of a value that tokens have, without the places of a buffer after them.
    fn tokens(&self, graph: &mut Graph, root: Value, value: Value, axis: i64) -> Result<Value, Skip> {
        let [start, axes] = [0, axis].map(|number| number_list(graph, root, "bound", &[number]));
        insert(graph, root, "tokens", Op::Slice, &[value, start?, self.total, axes?])
    }

    /// Returns the present: the past of each sample, its new keys or values, and zeros.
    fn with(&self, graph: &mut Graph, root: Value, past: Value, new: Value) -> Result<Value, Skip> {
        let length = size(graph, root, past, 2)?;
        let pads = number_list(graph, root, "pads", &[0, 0, 0, 0, 0, 0, 1, 0])?;
        let none = number(graph, root, "none", ElementType::F32, 0.0)?;
        let new = insert(graph, root, "new", Op::Pad { mode: PadMode::Constant }, &[new, pads, none])?;
        let whole = insert(graph, root, "whole", Op::Concat { axis: 2 }, &[past, new])?;
        let zero = insert(graph, root, "number", Op::Constant(Tensor::index(0)), &[])?;
        // In the concatenation, the new elements follow the whole past, and a row of zeros follows them.
        let is_after = insert(graph, root, "after", Op::Less, &[self.count, self.places])?;
        let within = insert(graph, root, "within", Op::Where, &[is_after, self.count, self.places])?;
        let new_at = insert(graph, root, "at", Op::Add, &[within, length])?;
        let is_past = insert(graph, root, "past", Op::Less, &[self.places, zero])?;
        let past_at = self.all(graph, root)?;
        let at = insert(graph, root, "at", Op::Where, &[is_past, past_at, new_at])?;
        let axes = number_list(graph, root, "axes", &[2])?;
        let at = insert(graph, root, "at", Op::Unsqueeze, &[at, axes])?;
        let by_length = insert(graph, root, "by_length", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[whole])?;
        let taken = insert(graph, root, "taken", Op::GatherND { batch_dims: 1 }, &[by_length, at])?;
        insert(graph, root, "present", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[taken])
    }

    /// Inserts the indices of the keys of the present: 0, 1, ….
    fn all(&self, graph: &mut Graph, root: Value) -> Result<Value, Skip> {
        let count = size(graph, root, self.places, 1)?;
        range(graph, root, count)
    }

    /// Inserts which keys a query does not see, `[batch, 1, query, key]`: later ones, and those before the window.
    fn hidden(&self, graph: &mut Graph, root: Value, window: i64) -> Result<Value, Skip> {
        let keys = {
            let axes = number_list(graph, root, "axes", &[1, 2])?;
            insert(graph, root, "places", Op::Unsqueeze, &[self.places, axes])?
        };
        let steps = range(graph, root, self.count)?;
        let axes = number_list(graph, root, "axes", &[1])?;
        let steps = insert(graph, root, "steps", Op::Unsqueeze, &[steps, axes])?;
        let mut hidden = insert(graph, root, "later", Op::Greater, &[keys, steps])?;
        if window > 0 {
            let width = insert(graph, root, "window", Op::Constant(Tensor::index(window)), &[])?;
            let least = insert(graph, root, "least", Op::Sub, &[steps, width])?;
            let far = insert(graph, root, "far", Op::LessOrEqual, &[keys, least])?;
            hidden = insert(graph, root, "hidden", Op::Or, &[hidden, far])?;
        }
        Ok(hidden)
    }
}
