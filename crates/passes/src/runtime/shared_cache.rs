//! Turns the KV cache into buffers that the caller preallocates and every step extends in place.

use crate::add_cache::names_cache;
use crate::pipeline::{Event, PassError, name_of};
use crate::read::masks::{before_lift, for_grouped, is_finite};
use crate::read::numbers::Numbers;
use crate::read::positions::Count;
use crate::read::sizes::{Expression, Sizes, position};
use crate::rewrite::{become_results, cast, insert, number_list};
use crate::rule::Skip;
use crate::runtime::contrib::{DOMAIN, operator};
use netwright_ir::{
    Attribute, Dim, ElementType, Fact, Graph, Name, NodeId, Op, OpKind, Shape, TensorType, Value, ValueType,
};

/// The name under which events are reported.
const NAME: &str = "share-cache";

/// The name of the input for the length of the past, if no other input determines it.
pub(crate) const PAST_LENGTH: &str = "past_sequence_length";

/// What to do if a cache cannot be a buffer.
const GROWING: &str =
    "leave out --kv-cache shared; then each step returns the past and the new keys and values concatenated";

/// The same in `f16`: masks that are converted may hide rows in a way that proves nothing of later tokens.
const WIDE: &str = "leave out --dtype f16 and --io-dtype if they are given, because less is proven of a mask in f16; else leave out --kv-cache \
                    shared";

/// The length axis of a cache `[batch, heads, length, head_size]`.
const LENGTH: usize = 2;

/// The maximum number of operators between a mask and the inputs from which it is computed.
const MAX_STEPS: usize = 64;

/// An attention with its cache.
struct Cache {
    /// The first result of the attention.
    root: Value,
    /// Past keys and values, which are inputs.
    past: [Value; 2],
    /// Present keys and values, which are outputs.
    present: [Value; 2],
    mask: Option<Value>,
    heads: i64,
    key_heads: i64,
    scale: f32,
    softcap: f32,
    batch: Dim,
    seq: Dim,
    past_length: Dim,
    /// Whether the attention becomes GroupQueryAttention instead of MultiHeadAttention.
    is_grouped: bool,
}

impl Cache {
    fn total(&self) -> Dim {
        self.past_length.plus(&self.seq)
    }
}

/// Turns every cache of a model into a buffer `[batch, heads, max_length, head_size]` that starts with the past. A step
/// writes its keys and values after it, so `present` and `past` may share memory.
///
/// Attention becomes GroupQueryAttention of `com.microsoft`, which is causal, so the mask must be. Rows of padding,
/// which a finite mask hides completely, then are the mean of other values, and several tokens after a past require a
/// batch of one. Attention that GroupQueryAttention cannot compute becomes MultiHeadAttention, if that computes the
/// same for every mask. In ONNX Runtime 1.32, a step after 1,023 tokens with 12 heads of size 64 takes 0.85 ms, 1.18
/// ms, and 1.80 ms for an Attention with concatenation. The length of the past follows from the padding mask, an input
/// `[batch, past + seq]`; a model without one gets the input `past_sequence_length`, `i64[1]`.
///
/// # Errors
/// If the model has no cache, or one that cannot be a buffer. The graph may then be partly rewritten; discard it.
///
/// `unfused` are the attentions that were not fused.
pub(crate) fn share_cache(graph: &mut Graph, unfused: &[&Event]) -> Result<Vec<Event>, PassError> {
    let attentions = graph.schedule().into_iter().filter(|node| graph.node(*node).op().kind() == OpKind::Attention);
    let caches: Vec<Cache> = attentions.filter_map(|node| cache(graph, node).transpose()).collect::<Result<_, _>>()?;
    let Some(first) = caches.first() else {
        return refused(why_none(graph, unfused));
    };
    for cache in &caches {
        if cache.seq.same(&first.seq) != Some(true) || cache.past_length != first.past_length {
            let [cache, first] = [cache, first].map(|cache| graph.operand_text(cache.root));
            return refused(format!("the lengths of {cache} differ from those of {first}"));
        }
    }
    let source = length_source(graph, first);
    let lengths = past_lengths(graph, &caches)?;
    rewrite(graph, &caches, source, &lengths).or_else(|skip| match skip {
        Skip::Rejected(why) => refused(why),
        Skip::NoMatch => refused("the form of its attention does not support buffers"),
    })
}

/// Returns why no attention of a graph has a cache, and what to do about it.
fn why_none(graph: &Graph, unfused: &[&Event]) -> String {
    let Some(past) = graph.inputs().find(|input| names_cache(graph.value_name(*input))) else {
        return "the model has no KV cache\n  help: add one in the same call, with `optimize --add-kv-cache`, or export the \
                decoder with its past keys and values"
            .to_owned();
    };
    let past = graph.operand_text(past);
    let (reason, cure) = match unfused {
        [] => (String::new(), "leave out the flags that prevent it, such as --opset and --skip"),
        [first, ..] => (format!("\n  {first}"), "change what the reason names"),
    };
    format!("the attention that reads {past} is not fused{reason}\n  help: {cure}, or leave out --kv-cache shared")
}

/// Returns the name of an attention whose cache is a buffer, in a graph without a cache that could become one.
pub(crate) fn shared_before(graph: &Graph) -> Option<Name> {
    let may_share =
        |node: &NodeId| graph.node(*node).op().kind() == OpKind::Attention && graph.operand(*node, 4).is_some();
    let [_, present] = buffers(graph).first().copied()?;
    (!graph.schedule().iter().any(may_share)).then(|| name_of(graph, present.node))
}

/// Returns the buffers of a graph, each as past and present of an attention: the past is an input and the present an
/// output, which is declared with the same length.
pub(crate) fn buffers(graph: &Graph) -> Vec<[Value; 2]> {
    let is_buffer = |[past, present]: &[Value; 2]| {
        let length = Some(*past).filter(|past| graph.kind(*past) == OpKind::Input);
        let length = length.and_then(|past| graph.shape(past)?.get(LENGTH));
        let output = graph.outputs().iter().find(|output| output.value == *present);
        let declared = match output.and_then(|output| output.declared.as_ref()) {
            Some(ValueType::Tensor(ty)) => ty.shape.as_ref().and_then(|shape| shape.get(LENGTH)),
            _ => None,
        };
        length.zip(declared).is_some_and(|(past, present)| past.same(present) == Some(true))
    };
    let pairs = |node: NodeId| {
        let operands = match graph.node(node).op() {
            Op::Opaque(opaque) if &*opaque.domain == DOMAIN => match &*opaque.op_type {
                "GroupQueryAttention" => Some([3, 4]),
                "MultiHeadAttention" => Some([6, 7]),
                _ => None,
            },
            _ => None,
        };
        let pair = move |(at, result)| Some([graph.operand(node, at)?, Value { node, result }]);
        operands.into_iter().flat_map(|operands| operands.into_iter().zip([1, 2])).filter_map(pair)
    };
    graph.schedule().into_iter().flat_map(pairs).filter(is_buffer).collect()
}

fn refused<T>(why: impl Into<String>) -> Result<T, PassError> {
    let why = why.into();
    Err(PassError::Cache(if why.contains("\n  help: ") { why } else { why + "\n  help: " + GROWING }))
}

/// Returns an attention and its cache. `None` if it has no past.
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
    let &[_, key, value, ref rest @ ..] = &results[..] else { return fail("does not return the present") };
    let is_output = |value: Value| graph.is_output(value) && graph.use_count(value) == 1;
    if [past_key, past_value].iter().any(|past| graph.kind(*past) != OpKind::Input) {
        let element = graph.fact(past_key).element().map_or_else(|| "TYPE".to_owned(), |element| element.to_string());
        return fail(&format!(
            "has a past that is not an input\n  help: with --dtype, the cache must have that type: add --io-dtype \
             'past|present={element}'"
        ));
    }
    if !is_output(key) || !is_output(value) {
        return fail("has a present that is not an output, or has another use");
    }
    if rest.iter().any(|scores| graph.use_count(*scores) > 0) || operand(6).is_some() {
        return fail("returns its scores, or has an operand for lengths");
    }
    if left_window_size >= 0 || right_window_size >= 0 {
        return fail("has a window");
    }
    let (Some(heads), Some(key_heads)) = (q_num_heads, kv_num_heads) else {
        return fail("has heads that are split and merged outside of it");
    };
    let (Some([batch, seq, _]), Some([_, _, past_length, key_size]), Some([_, _, _, value_size])) =
        (graph.shape(query), graph.shape(past_key), graph.shape(past_value))
    else {
        return fail("has a query or a past whose rank is unknown");
    };
    let element = graph.fact(query).element();
    let has_kernel = matches!(element, Some(ElementType::F32 | ElementType::F16));
    let is_alike = has_kernel && operand(3).is_none_or(|mask| graph.fact(mask).element() == element);
    let Some(size) = key_size.known().filter(|_| key_size == value_size && is_alike) else {
        return fail(
            "has queries and a mask that are not both f32 or both f16, or keys and values whose sizes differ or are unknown",
        );
    };
    if !matches!(past_length, Dim::Symbol(_)) {
        return fail("has a past whose length is not a symbol");
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
    // GroupQueryAttention computes rows that are masked entirely, too.
    let lifted = cache.mask;
    cache.mask = lifted.map(|mask| before_lift(graph, mask).unwrap_or(mask));
    cache.is_grouped = size % 8 == 0 && is_causal(graph, &cache);
    if cache.is_grouped {
        return Ok(Some(cache));
    }
    cache.mask = lifted;
    // MultiHeadAttention returns NaN for a row that is fully masked by -inf.
    let finite = cache.mask.is_none_or(|mask| is_finite(graph, mask));
    let why_other = [
        (heads != key_heads, "does not repeat key-value heads"),
        (softcap != 0.0, "has no softcap"),
        (!finite, "requires a mask that is provably finite"),
    ];
    let Some((_, why_other)) = why_other.into_iter().find(|(applies, _)| *applies) else { return Ok(Some(cache)) };
    let why = if size % 8 == 0 {
        "requires a mask that provably hides all later tokens".to_owned()
    } else {
        format!("requires heads whose size, here {size}, is a multiple of 8")
    };
    let is_converted = size % 8 == 0 && element == Some(ElementType::F16);
    let help = if is_converted { format!("\n  help: {WIDE}") } else { String::new() };
    fail(&format!(
        "can be neither a GroupQueryAttention, which {why}, nor a MultiHeadAttention, which {why_other}{help}"
    ))
}

/// Whether no query sees a later key.
fn is_causal(graph: &Graph, cache: &Cache) -> bool {
    matches!(graph.op(cache.root), Op::Attention { is_causal: true, .. })
        || cache.seq == Dim::Known(1)
        || cache.mask.is_some_and(|mask| {
            // The mask has all queries and all keys: neither axis is broadcast.
            let axes = graph.shape(mask).and_then(|shape| shape.last_chunk::<2>());
            let is_whole = |[queries, keys]: &[Dim; 2]| {
                queries.same(&cache.seq) == Some(true) && keys.same(&cache.total()) == Some(true)
            };
            axes.is_some_and(is_whole) && Numbers::hides_later_keys(graph, mask, &cache.past_length)
        })
}

/// Returns an input and its axis whose length is that of past and new tokens: its size is that, or that many of its
/// elements are gathered.
fn length_source(graph: &Graph, cache: &Cache) -> Option<(Value, usize)> {
    let total = cache.total();
    for input in graph.inputs() {
        let shape = graph.shape(input).unwrap_or_default();
        if let Some(axis) = shape.iter().position(|dim| dim.same(&total) == Some(true)) {
            return Some((input, axis));
        }
        let mut open = vec![input];
        for _ in 0..MAX_STEPS {
            let Some(value) = open.pop() else { break };
            for (user, at) in graph.users(value) {
                match *graph.node(user).op() {
                    Op::Cast { .. } => open.push(Value { node: user, result: 0 }),
                    Op::Gather { axis } if at == 0 => {
                        let indices = graph.operand(user, 1);
                        let all = indices.is_some_and(|value| {
                            let is_total = graph
                                .shape(value)
                                .is_some_and(|shape| matches!(shape, [.., last] if last.same(&total) == Some(true)));
                            is_total && Count::of(graph, value) == Some(Count { axis: 0, first: Dim::Known(0) })
                        });
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

/// Returns the values that read the length of the past from a cache, which is not the length of the buffer.
fn past_lengths(graph: &Graph, caches: &[Cache]) -> Result<Vec<Value>, PassError> {
    let mut lengths = vec![];
    for buffer in caches.iter().flat_map(|cache| cache.past) {
        let name = graph.operand_text(buffer);
        if graph.is_output(buffer) {
            return refused(format!("the input {name} is also an output"));
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
                Some((LENGTH, end)) if end == LENGTH + 1 => lengths.push(value),
                Some((start, end)) if !(start..end).contains(&LENGTH) => {}
                _ => return refused(format!("{name} is also used by {}", graph.operand_text(value))),
            }
        }
    }
    Ok(lengths)
}

fn rewrite(
    graph: &mut Graph,
    caches: &[Cache],
    source: Option<(Value, usize)>,
    lengths: &[Value],
) -> Result<Vec<Event>, Skip> {
    let [first, ..] = caches else { return Ok(vec![]) };
    let (root, total_length) = (first.root, first.total());
    let buffer_length = free_symbol(graph, "max_length");
    let mut events = vec![];
    if let Some((padding, axis)) = source {
        events.push(resize(graph, padding, axis, &total_length, "covers past and new tokens")?);
    }
    let buffers = caches.iter().flat_map(|cache| cache.past.into_iter().zip(cache.present));
    let is_limited = caches.iter().any(|cache| cache.is_grouped && cache.batch != Dim::Known(1));
    let limit = if is_limited { "; after a past, a step of several tokens requires a batch of 1" } else { "" };
    let others = format!("; the same holds for {} others{limit}", 2 * caches.len() - 1);
    for (at, (past, present)) in buffers.enumerate() {
        let output = graph.outputs().iter().find(|output| output.value == present);
        let name = output.map_or_else(|| graph.value_name(present), |output| &output.name);
        let note = format!("a buffer, which may share memory with %{name}{others}");
        let event = resize(graph, past, LENGTH, &buffer_length, &note)?;
        if at == 0 {
            events.push(event);
        }
    }
    let sizes = Sizes::of(graph);
    let size = |graph: &mut Graph, dim: &Dim| match sizes.expression(std::slice::from_ref(dim), true) {
        Some(expression) => expression.insert(graph, root),
        None => Err(Skip::rejected(format!("the size {dim} is not an input's"))),
    };
    let to_i32 = || cast(ElementType::I32);
    let (seq, batch) = (size(graph, &first.seq)?, size(graph, &first.batch)?);
    let (past, total) = if let Some((padding, axis)) = source {
        let total = Expression::Shape(padding, axis, axis + 1).insert(graph, root)?;
        (insert(graph, root, "past", Op::Sub, &[total, seq])?, total)
    } else {
        let ty = TensorType::new(ElementType::I64, [Dim::Known(1)].into_iter().collect::<Shape>());
        let past = graph.input(&free_input(graph, PAST_LENGTH), ty.clone());
        let note = format!("{ty}, the length of the past in the buffers");
        events.push(Event { pass: NAME, rule: None, node: graph.value_name(past).clone(), note: note.into() });
        (past, insert(graph, root, "total", Op::Add, &[past, seq])?)
    };
    for &length in lengths {
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

/// Changes the size of an axis of an input, and returns the event that reports it.
fn resize(graph: &mut Graph, input: Value, axis: usize, size: &Dim, note: &str) -> Result<Event, Skip> {
    let fact = graph.fact(input);
    let (Some(element), Some(mut shape)) = (fact.element(), fact.shape().cloned()) else {
        return Err(Skip::rejected(format!("the type of {} is unknown", graph.operand_text(input))));
    };
    shape.dims_mut()[axis] = size.clone();
    let ty = TensorType::new(element, shape);
    let event =
        Event { pass: NAME, rule: None, node: graph.value_name(input).clone(), note: format!("{ty}, {note}").into() };
    graph.set_fact(input, Fact::of(ty));
    Ok(event)
}

/// Returns the name, or the name with a number, that no value has.
fn free_input(graph: &Graph, name: &str) -> String {
    let is_used = |name: &str| {
        let mut results = graph.schedule().into_iter().flat_map(|node| graph.results(node).collect::<Vec<_>>());
        results.any(|value| **graph.value_name(value) == *name)
            || graph.outputs().iter().any(|output| *output.name == *name)
    };
    let numbered = (1..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_used(name)).unwrap_or_default()
}

/// Returns a symbol with the name, or with the name and a number, that is not a size of an input.
fn free_symbol(graph: &Graph, name: &str) -> Dim {
    let is_used = |symbol: &Dim| graph.inputs().any(|input| graph.shape(input).unwrap_or_default().contains(symbol));
    let (mut symbol, mut number) = (Dim::symbol(name), 0);
    while is_used(&symbol) {
        number += 1;
        symbol = Dim::symbol(format!("{name}_{number}"));
    }
    symbol
}

/// Replaces an attention with one on buffers.
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
        mask = mask.map(|mask| for_grouped(graph, root, mask)).transpose()?;
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
