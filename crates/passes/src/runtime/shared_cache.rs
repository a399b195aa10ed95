//! A KV cache that the caller preallocates and every step adds to, in place.

use crate::pipeline::{Event, PassError};
use crate::read::masks::{is_at_most_zero, is_finite, share_of};
use crate::read::sizes::{Expression, Sizes, position};
use crate::read::thresholds::LIGHTEST;
use crate::rewrite::{become_results, cast, insert, number_list};
use crate::rule::Skip;
use crate::runtime::contrib::{DOMAIN, operator};
use netwright_ir::{Attribute, Dim, ElementType, Fact, Graph, NodeId, Op, OpKind, Shape, Tensor, TensorType, Value};

/// What the events are told by.
const NAME: &str = "share-cache";

/// The input that tells how long the past is, where no other does.
const PAST_LENGTH: &str = "past_sequence_length";

/// The axis of a cache `[batch, heads, length, head_size]` that grows.
const LENGTH: usize = 2;

/// More operators between a mask and the inputs it is made of are not followed.
const MOST_STEPS: usize = 64;

/// An attention with its cache.
struct Cache {
    /// Its first result.
    root: Value,
    /// Keys and values of the past, which are inputs.
    past: [Value; 2],
    /// Those with the new ones behind them, which are outputs.
    present: [Value; 2],
    mask: Option<Value>,
    heads: i64,
    key_heads: i64,
    scale: f32,
    softcap: f32,
    batch: Dim,
    seq: Dim,
    past_length: Dim,
    /// Whether it becomes GroupQueryAttention, not MultiHeadAttention.
    is_grouped: bool,
}

impl Cache {
    fn total(&self) -> Dim {
        self.past_length.plus(&self.seq)
    }
}

/// Makes every cache of a model a buffer `[batch, heads, max_length, head_size]` of which the first places are the past
/// and the next are filled, so that `present` may be the memory of `past`.
///
/// It becomes GroupQueryAttention of `com.microsoft`, which is causal, so the mask has to be; a row that a finite mask
/// masks whole, which is one of padding, is then the mean of other values; and where several tokens follow a past, it
/// wants a batch of one. What it cannot be and MultiHeadAttention can becomes that, which computes the same for every
/// mask. ONNX Runtime 1.32, one token behind 1,023 of 12 heads of 64: 0.85 ms, 1.18 ms, and 1.80 ms for an Attention
/// with concatenation. How long the past is follows from the input that is the padding mask, `[batch, past + seq]`; a
/// model without one gets an input of its own for it, `past_sequence_length`, `i64[1]`.
///
/// # Errors
/// When a model has no cache, or one that cannot be a buffer: nothing is changed in halves, the model is of no use then.
pub(crate) fn share_cache(graph: &mut Graph) -> Result<Vec<Event>, PassError> {
    let attentions = graph.schedule().into_iter().filter(|node| graph.node(*node).op().kind() == OpKind::Attention);
    let caches: Vec<Cache> = attentions.filter_map(|node| cache(graph, node).transpose()).collect::<Result<_, _>>()?;
    let Some(first) = caches.first() else {
        return refused("no attention was fused with a past; --explain says why");
    };
    for cache in &caches {
        if cache.seq.same(&first.seq) != Some(true) || cache.past_length != first.past_length {
            let [cache, first] = [cache, first].map(|cache| graph.operand_text(cache.root));
            return refused(format!("{cache} has other lengths than {first}"));
        }
    }
    let source = length_source(graph, first);
    let asked = lengths_asked(graph, &caches)?;
    rewrite(graph, &caches, source, &asked).or_else(|skip| match skip {
        Skip::Rejected(why) => refused(why),
        Skip::NoMatch => refused("its attention is not of a form that takes one"),
    })
}

fn refused<T>(why: impl Into<String>) -> Result<T, PassError> {
    Err(PassError::Cache(why.into()))
}

/// What an attention and its cache are; `None` where it has no past.
fn cache(graph: &Graph, node: NodeId) -> Result<Option<Cache>, PassError> {
    let operands = graph.operands(node);
    let operand = |at: usize| operands.get(at).copied().flatten();
    let &Op::Attention { q_num_heads, kv_num_heads, scale, softcap, left_window_size, right_window_size, .. } =
        graph.node(node).op()
    else {
        return Ok(None);
    };
    let (Some(query), Some(past_key), Some(past_value)) = (operand(0), operand(4), operand(5)) else { return Ok(None) };
    let results: Vec<Value> = graph.results(node).collect();
    let root = Value { node, result: 0 };
    let fail = |why: &str| refused(format!("{} {why}", graph.operand_text(root)));
    let &[_, key, value, ref rest @ ..] = &results[..] else { return fail("does not give its cache back") };
    let is_output = |value: Value| graph.is_output(value) && graph.use_count(value) == 1;
    if [past_key, past_value].iter().any(|past| graph.kind(*past) != OpKind::Input) {
        return fail("has a past that is no input");
    }
    if !is_output(key) || !is_output(value) {
        return fail("has a cache that is no output, or is read by others");
    }
    if rest.iter().any(|scores| graph.use_count(*scores) > 0) || operand(6).is_some() {
        return fail("gives its scores, or takes lengths");
    }
    if left_window_size >= 0 || right_window_size >= 0 {
        return fail("has a window");
    }
    let (Some(heads), Some(key_heads)) = (q_num_heads, kv_num_heads) else {
        return fail("has heads that are not folded into it");
    };
    let (Some([batch, seq, _]), Some([_, _, past_length, key_size]), Some([_, _, _, value_size])) =
        (graph.shape(query), graph.shape(past_key), graph.shape(past_value))
    else {
        return fail("has a query or a past whose rank is not known");
    };
    let element = graph.fact(query).element();
    let has_kernel = matches!(element, Some(ElementType::F32 | ElementType::F16));
    let is_alike = has_kernel && operand(3).is_none_or(|mask| graph.fact(mask).element() == element);
    let Some(size) = key_size.known().filter(|_| key_size == value_size && is_alike) else {
        return fail(
            "has queries and a mask that are not both of f32 or of f16, or keys and values of different sizes",
        );
    };
    if !matches!(past_length, Dim::Symbol(_)) {
        return fail("has a past whose length is no symbol");
    }
    let mut cache = Cache {
        root,
        past: [past_key, past_value],
        present: [key, value],
        mask: operand(3),
        heads,
        key_heads,
        #[expect(clippy::cast_precision_loss, reason = "the size of a head is small")]
        scale: scale.unwrap_or(1.0 / (size as f32).sqrt()),
        softcap,
        batch: batch.clone(),
        seq: seq.clone(),
        past_length: past_length.clone(),
        is_grouped: true,
    };
    cache.is_grouped = size % 8 == 0 && is_causal(graph, &cache);
    // MultiHeadAttention gives NaN where -inf masks a row whole.
    let finite = cache.mask.is_none_or(|mask| is_finite(graph, mask));
    if cache.is_grouped || heads == key_heads && softcap == 0.0 && finite {
        return Ok(Some(cache));
    }
    fail(
        "is neither a GroupQueryAttention (its mask is shown to be causal, its heads are of a multiple of 8) nor a \
         MultiHeadAttention (its heads are not grouped, its scores not capped, its mask is shown to be finite)",
    )
}

/// Whether no query sees a key behind its own.
fn is_causal(graph: &Graph, cache: &Cache) -> bool {
    matches!(graph.op(cache.root), Op::Attention { is_causal: true, .. })
        || cache.seq == Dim::Known(1)
        || cache.mask.is_some_and(|mask| hides_later_keys(graph, mask, cache, MOST_STEPS))
}

/// Whether a mask adds so little to the score of every key behind the query that it has no weight.
fn hides_later_keys(graph: &Graph, mask: Value, cache: &Cache, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let operands: Vec<Value> = graph.operands(mask.node).into_iter().flatten().collect();
    let hides = |value: Value| hides_later_keys(graph, value, cache, steps);
    let number = |of: Value| graph.tensor(of).and_then(Tensor::float);
    let is_masked = |of: Value| number(of).is_some_and(|fill| fill <= LIGHTEST);
    match (graph.kind(mask), operands.as_slice()) {
        (OpKind::Add, &[a, b]) => hides(a) && is_at_most_zero(graph, b) || hides(b) && is_at_most_zero(graph, a),
        (OpKind::Max, &[a, b]) => is_masked(b) && hides(a) || is_masked(a) && hides(b),
        (OpKind::Mul, &[a, b]) => {
            is_masked(b) && marks_later_keys(graph, a, cache) || is_masked(a) && marks_later_keys(graph, b, cache)
        }
        (OpKind::Where, &[seen, yes, fill]) => {
            // What is seen is not masked as deep.
            let is_apart = number(yes).zip(number(fill)).is_some_and(|(yes, fill)| fill - yes <= LIGHTEST);
            is_masked(fill) && is_apart && excludes_later_keys(graph, seen, cache, steps)
        }
        (OpKind::Unsqueeze | OpKind::Expand | OpKind::Reshape, &[inner, _]) => hides(inner),
        _ => false,
    }
}

/// Whether truth values are false for every key behind the query.
fn excludes_later_keys(graph: &Graph, seen: Value, cache: &Cache, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let operands: Vec<Value> = graph.operands(seen.node).into_iter().flatten().collect();
    match (graph.kind(seen), operands.as_slice()) {
        (OpKind::And, parts) => parts.iter().any(|part| excludes_later_keys(graph, *part, cache, steps)),
        (OpKind::Unsqueeze | OpKind::Expand | OpKind::Reshape, &[inner, _]) => {
            excludes_later_keys(graph, inner, cache, steps)
        }
        (OpKind::LessOrEqual, &[key, query]) | (OpKind::GreaterOrEqual, &[query, key]) => {
            are_places(graph, key, query, cache)
        }
        _ => false,
    }
}

/// Whether a value, of which no number is below 0, is 1 wherever the key is behind the query:
/// `min(relu(key - query) + relu(..), 1)`.
fn marks_later_keys(graph: &Graph, value: Value, cache: &Cache) -> bool {
    let is_distance = |of: &Value| match graph.operands(of.node)[..] {
        [Some(key), Some(query)] => graph.kind(*of) == OpKind::Sub && are_places(graph, key, query, cache),
        _ => false,
    };
    share_of(graph, value).is_some_and(|parts| parts.iter().any(is_distance))
}

/// Whether two values are the places of all keys, along the last axis, and of the queries, along the one before.
fn are_places(graph: &Graph, key: Value, query: Value, cache: &Cache) -> bool {
    counts(graph, key, 1, &Dim::Known(0), &cache.total()) && counts(graph, query, 2, &cache.past_length, &cache.seq)
}

/// Whether a value is so many numbers from one on, along an axis that is counted from the end; other axes are 1.
fn counts(graph: &Graph, mut value: Value, from_end: usize, start: &Dim, length: &Dim) -> bool {
    let Some(shape) = graph.shape(value).filter(|shape| shape.len() >= from_end) else { return false };
    let is_along = shape.iter().rev().enumerate().all(|(at, dim)| {
        let size = if at + 1 == from_end { length } else { &Dim::Known(1) };
        dim.same(size) == Some(true)
    });
    let keeps_numbers = |op: &Op| match op {
        // Lengths are less than 2^24.
        Op::Cast { to, .. } => matches!(to, ElementType::F32 | ElementType::I32 | ElementType::I64),
        _ => op.kind().keeps_order(),
    };
    while keeps_numbers(graph.op(value)) {
        let Some(inner) = graph.operand(value.node, 0) else { return false };
        value = inner;
    }
    let is = |at: usize, number: &Dim| {
        let elements = graph.operand(value.node, at).and_then(|operand| graph.fact(operand).elements.as_ref());
        elements.is_some_and(|all| matches!(&all[..], [only] if only.same(number) == Some(true)))
    };
    is_along && graph.kind(value) == OpKind::Range && is(0, start) && is(2, &Dim::Known(1))
}

/// The input, and its axis, that is as long as past and new tokens: one of that size, or of which so many are taken.
fn length_source(graph: &Graph, cache: &Cache) -> Option<(Value, usize)> {
    let total = cache.total();
    for input in graph.inputs() {
        let shape = graph.shape(input).unwrap_or_default();
        if let Some(axis) = shape.iter().position(|dim| dim.same(&total) == Some(true)) {
            return Some((input, axis));
        }
        let mut open = vec![input];
        for _ in 0..MOST_STEPS {
            let Some(value) = open.pop() else { break };
            for (user, at) in graph.users(value) {
                match *graph.node(user).op() {
                    Op::Cast { .. } => open.push(Value { node: user, result: 0 }),
                    Op::Gather { axis } if at == 0 => {
                        let indices = graph.operand(user, 1);
                        let all = indices.is_some_and(|value| counts(graph, value, 1, &Dim::Known(0), &total));
                        let axis = position(axis, shape.len()).filter(|axis| matches!(shape[*axis], Dim::Symbol(_)));
                        if let Some(axis) = axis.filter(|_| all) {
                            return Some((input, axis));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    None
}

/// The values that are the length of the past, which the buffers no longer tell.
fn lengths_asked(graph: &Graph, caches: &[Cache]) -> Result<Vec<Value>, PassError> {
    let mut asked = vec![];
    for buffer in caches.iter().flat_map(|cache| cache.past) {
        let name = graph.operand_text(buffer);
        if graph.is_output(buffer) {
            return refused(format!("{name} is an output too"));
        }
        let mut attentions = 0;
        for (user, _) in graph.users(buffer) {
            let value = Value { node: user, result: 0 };
            let range = match *graph.node(user).op() {
                Op::Attention { .. } if attentions == 0 => {
                    attentions += 1;
                    continue;
                }
                Op::Shape { start, end } => position(start, 4).zip(end.map_or(Some(4), |end| position(end, 4))),
                _ => None,
            };
            match range {
                Some((LENGTH, end)) if end == LENGTH + 1 => asked.push(value),
                Some((start, end)) if !(start..end).contains(&LENGTH) => {}
                _ => return refused(format!("{name} is read by {} too", graph.operand_text(value))),
            }
        }
    }
    Ok(asked)
}

fn rewrite(
    graph: &mut Graph,
    caches: &[Cache],
    source: Option<(Value, usize)>,
    asked: &[Value],
) -> Result<Vec<Event>, Skip> {
    let [first, ..] = caches else { return Ok(vec![]) };
    let (root, total_length) = (first.root, first.total());
    let buffer_length = free_symbol(graph, "max_length");
    let mut events = vec![];
    if let Some((padding, axis)) = source {
        events.push(resize(graph, padding, axis, &total_length, "as long as past and new tokens")?);
    }
    let buffers = caches.iter().flat_map(|cache| cache.past.into_iter().zip(cache.present));
    let others = format!("; so are {} others", 2 * caches.len() - 1);
    for (at, (past, present)) in buffers.enumerate() {
        let output = graph.outputs().iter().find(|output| output.value == present);
        let name = output.map_or_else(|| graph.value_name(present), |output| &output.name);
        let note = format!("a buffer, and %{name} may be the same{others}");
        let event = resize(graph, past, LENGTH, &buffer_length, &note)?;
        if at == 0 {
            events.push(event);
        }
    }
    let sizes = Sizes::of(graph);
    let size = |graph: &mut Graph, dim: &Dim| match sizes.expression(std::slice::from_ref(dim), true) {
        Some(expression) => expression.insert(graph, root),
        None => Err(Skip::rejected(format!("no input has the size {dim}"))),
    };
    let to_i32 = || cast(ElementType::I32);
    let (seq, batch) = (size(graph, &first.seq)?, size(graph, &first.batch)?);
    let (past, total) = if let Some((padding, axis)) = source {
        let total = Expression::Shape(padding, axis, axis + 1).insert(graph, root)?;
        (insert(graph, root, "past", Op::Sub, &[total, seq])?, total)
    } else {
        let ty = TensorType::new(ElementType::I64, [Dim::Known(1)].into_iter().collect::<Shape>());
        let past = graph.input(&free_input(graph, PAST_LENGTH), ty.clone());
        let note = format!("{ty}, how many places of the buffers are past");
        events.push(Event { pass: NAME, rule: None, node: graph.value_name(past).clone(), note: note.into() });
        (past, insert(graph, root, "total", Op::Add, &[past, seq])?)
    };
    for &length in asked {
        graph.replace(length, past);
    }
    let past = insert(graph, root, "past_length", to_i32(), &[past])?;
    let one = number_list(graph, root, "one", &[1])?;
    let last = insert(graph, root, "last", Op::Sub, &[total, one])?;
    let last = insert(graph, root, "last_place", to_i32(), &[last])?;
    let lasts = insert(graph, root, "last_places", Op::Expand, &[last, batch])?;
    let total = insert(graph, root, "total_length", to_i32(), &[total])?;
    for cache in caches {
        events.push(attend(graph, cache, past, lasts, total)?);
    }
    Ok(events)
}

/// Tells that an input has another size, and what of it.
fn resize(graph: &mut Graph, input: Value, axis: usize, size: &Dim, note: &str) -> Result<Event, Skip> {
    let fact = graph.fact(input);
    let (Some(element), Some(mut shape)) = (fact.element(), fact.shape().cloned()) else {
        return Err(Skip::rejected(format!("the type of {} is not known", graph.operand_text(input))));
    };
    shape.dims_mut()[axis] = size.clone();
    let ty = TensorType::new(element, shape);
    let event =
        Event { pass: NAME, rule: None, node: graph.value_name(input).clone(), note: format!("{ty}, {note}").into() };
    graph.set_fact(input, Fact::of(ty));
    Ok(event)
}

/// That name, or the name and a number, that no value has.
fn free_input(graph: &Graph, name: &str) -> String {
    let is_used = |name: &str| {
        let mut results = graph.schedule().into_iter().flat_map(|node| graph.results(node).collect::<Vec<_>>());
        results.any(|value| **graph.value_name(value) == *name)
            || graph.outputs().iter().any(|output| *output.name == *name)
    };
    let numbered = (1..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_used(name)).unwrap_or_default()
}

/// A symbol of that name, or the name and a number, that no input has.
fn free_symbol(graph: &Graph, name: &str) -> Dim {
    let is_used = |symbol: &Dim| graph.inputs().any(|input| graph.shape(input).unwrap_or_default().contains(symbol));
    let (mut symbol, mut number) = (Dim::symbol(name), 0);
    while is_used(&symbol) {
        number += 1;
        symbol = Dim::symbol(format!("{name}_{number}"));
    }
    symbol
}

/// One attention on buffers.
fn attend(graph: &mut Graph, cache: &Cache, past: Value, lasts: Value, total: Value) -> Result<Event, Skip> {
    let root = cache.root;
    let [query, key, value] = [0, 1, 2].map(|at| graph.operand(root.node, at));
    let mut mask = cache.mask;
    if let Some(own) = mask.filter(|own| graph.fact(*own).rank() == Some(2)) {
        let axes = number_list(graph, root, "axes", &[0, 1])?;
        mask = Some(insert(graph, root, "mask", Op::Unsqueeze, &[own, axes])?);
    }
    let [past_key, past_value] = cache.past.map(Some);
    let mut attributes = vec![("num_heads", Attribute::Int(cache.heads)), ("scale", Attribute::Float(cache.scale))];
    let (op_type, operands) = if cache.is_grouped {
        attributes.push(("kv_num_heads", Attribute::Int(cache.key_heads)));
        attributes.push(("softcap", Attribute::Float(cache.softcap)));
        let (lasts, total, [cos, sin, positions]) = (Some(lasts), Some(total), [None; 3]);
        let operands = vec![query, key, value, past_key, past_value, lasts, total, cos, sin, positions, mask];
        ("GroupQueryAttention", operands)
    } else {
        let [bias, padding] = [None; 2];
        ("MultiHeadAttention", vec![query, key, value, bias, padding, mask, past_key, past_value, Some(past)])
    };
    for (present, past) in cache.present.into_iter().zip(cache.past) {
        let fact = graph.fact(past).clone();
        graph.declare_output(present, &fact.ty);
        graph.set_fact(present, fact);
    }
    let node = graph.value_name(root).clone();
    let roots = [root, cache.present[0], cache.present[1]];
    let note = format!("{DOMAIN}.{op_type}");
    let note = become_results(graph, &roots, operator(op_type, &attributes), &operands, note)?;
    Ok(Event { pass: NAME, rule: None, node, note })
}
