//! Builds the decoder with a cache from what is known of each value.

use super::axes::{mapped, takes_sizes};
use super::states::{Analysis, Kept, NAMES, State, Tokens};
use super::{NAME, Refusal};
use crate::pipeline::Event;
use netwright_ir::op::Class;
use netwright_ir::{
    Dim, ElementType, Fact, Graph, HashMap, Inferred, Name, NodeId, Op, OpKind, Place, Shape, Tensor, TensorType,
    Value, ValueType,
};
use smallvec::{SmallVec, smallvec};

/// The maximum number of operators between a value and one from which it is computed, where both are followed.
pub(super) const MAX_DEPTH: usize = 64;

/// The name of the number of tokens in the past.
const PAST: &str = "past_sequence_length";

/// Which part of a value is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// That of all tokens.
    All,
    /// That of the new tokens along an axis.
    New(usize),
    /// That of a value without an axis of tokens, which depends on the last.
    Last,
}

/// Returns the graph with a cache.
///
/// # Errors
/// If an operator is not defined for parts of its operands.
pub(super) fn with_cache(from: &Graph, analysis: &Analysis<'_>) -> Result<(Graph, Vec<Event>), Refusal> {
    let mut to = Graph::new(from.name());
    to.set_conventions(from.conventions());
    to.set_notes(from.notes().clone());
    to.set_annotations(from.annotations().to_vec());
    let past = free_symbol(from);
    let total = past.plus(&analysis.seq);
    let mut emitter =
        Emitter { from, analysis, to, parts: HashMap::default(), pasts: HashMap::default(), lengths: None };
    let mut events = vec![];
    emitter.inputs(&total, &mut events);
    emitter.pasts(&past, &total, &mut events)?;
    for node in from.schedule() {
        let value = Value { node, result: 0 };
        if from.kind(value) != OpKind::Input {
            emitter.value(value, analysis.own_part(value), MAX_DEPTH)?;
        }
    }
    for output in from.outputs() {
        if let Some(entry) = emitter.pasts.values().find(|entry| entry.is_output && entry.name == *output.name) {
            let present = entry.present.ok_or("the keys of an attention are not used")?;
            let ty = emitter.present_type(entry.past, &total)?;
            emitter.to.declared_output(output.name.clone(), present, ty);
            continue;
        }
        let part = analysis.own_part(output.value);
        let value = emitter.value(output.value, part, MAX_DEPTH)?;
        let is_mixed = matches!(analysis.state(output.value), State::Token(Tokens { keys, .. }) if !keys.is_empty());
        match output.declared.clone().filter(|_| part != Part::All && !is_mixed) {
            Some(declared) => emitter.to.declared_output(output.name.clone(), value, declared),
            None => emitter.to.output(output.name.clone(), value),
        }
    }
    emitter.presents(&total, &mut events)?;
    Ok((emitter.to, events))
}

/// Returns the symbol of the length of the past.
fn free_symbol(graph: &Graph) -> Dim {
    let is_used = |symbol: &Dim| graph.inputs().any(|input| graph.shape(input).unwrap_or_default().contains(symbol));
    let numbered = (1..).map(|number| Dim::symbol(format!("{PAST}_{number}")));
    std::iter::once(Dim::symbol(PAST)).chain(numbered).find(|symbol| !is_used(symbol)).unwrap_or(Dim::Unknown)
}

impl Analysis<'_> {
    /// Returns the part of a value that a step computes.
    fn own_part(&self, value: Value) -> Part {
        match self.state(value) {
            State::Token(Tokens { row: Some(row), .. }) => Part::New(*row),
            State::Token(_) => Part::Last,
            _ => Part::All,
        }
    }

    /// Returns the axes of a value whose size is the number of tokens.
    fn axes_of(&self, value: Value) -> Vec<usize> {
        match self.state(value) {
            State::Free(axes) => axes.to_vec(),
            State::Token(Tokens { row, keys, .. }) => keys.iter().copied().chain(*row).collect(),
            _ => vec![],
        }
    }
}

/// Keys and values of one attention: the inputs of the past, and the outputs with the new ones.
struct Entry {
    past: Value,
    present: Option<Value>,
    /// The name of the output.
    name: String,
    /// Whether the decoder has that output already.
    is_output: bool,
}

/// The numbers of tokens, each a vector of one element.
#[derive(Clone, Copy)]
struct Lengths {
    past: Value,
    new: Value,
    all: Value,
}

struct Emitter<'g> {
    from: &'g Graph,
    analysis: &'g Analysis<'g>,
    to: Graph,
    /// The values of the new graph.
    parts: HashMap<(Value, Part), Value>,
    /// By attention, and whether they are keys.
    pasts: HashMap<(usize, bool), Entry>,
    lengths: Option<Lengths>,
}

impl Emitter<'_> {
    fn inputs(&mut self, total: &Dim, events: &mut Vec<Event>) {
        let from = self.from;
        for input in from.inputs() {
            let name = from.value_name(input);
            let mut fact = from.fact(input).clone();
            let part = self.analysis.own_part(input);
            let axes = self.analysis.axes_of(input);
            if part == Part::All
                && !axes.is_empty()
                && let (Some(element), Some(mut shape)) = (fact.element(), fact.shape().cloned())
            {
                for axis in &axes {
                    shape.dims_mut()[*axis] = total.clone();
                }
                let ty = TensorType::new(element, shape);
                let note = format!("{ty}, of all tokens");
                events.push(Event { pass: NAME, rule: None, node: name.clone(), note: note.into() });
                fact = Fact::of(ty);
            }
            let copied = match from.default_of(input) {
                Some(tensor) if axes.is_empty() => self.to.input_with_default(name, tensor.clone()),
                _ => self.to.input(name, fact.ty.clone()),
            };
            self.to.set_fact(copied, fact);
            if let Some(notes) = from.value_notes(input) {
                self.to.set_value_notes(copied, notes.clone());
            }
            self.parts.insert((input, part), copied);
        }
    }

    /// Adds the inputs of the cache, and the numbers of tokens.
    fn pasts(&mut self, past: &Dim, total: &Dim, events: &mut Vec<Event>) -> Result<(), String> {
        let analysis = self.analysis;
        for layer in 0..analysis.layers {
            for is_key in [true, false] {
                let kept = analysis.kept.iter().find(|kept| kept.layer == layer && kept.is_key == is_key);
                let kept = kept.ok_or("the keys of an attention are missing")?;
                let (element, heads, size) = self.kept_sizes(kept)?;
                let shape = Shape::from_iter([analysis.batch.clone(), heads, past.clone(), size]);
                let part = if is_key { "key" } else { "value" };
                let ty = TensorType::new(element, shape);
                let present = kept.present.as_deref().and_then(|name| name.strip_prefix(NAMES[0]));
                let suffix = present.map_or_else(|| format!(".{layer}.{part}"), ToOwned::to_owned);
                let [present, name] = NAMES.map(|start| format!("{start}{suffix}"));
                let input = self.to.input(&name, ty.clone());
                let note = format!("{ty}, an input for the past").into();
                events.push(Event { pass: NAME, rule: None, node: name.into(), note });
                self.pasts.insert(
                    (layer, is_key),
                    Entry { past: input, present: None, name: present, is_output: kept.present.is_some() },
                );
            }
        }
        let (tokens, axis) = analysis.tokens;
        let tokens = self.parts.get(&(tokens, Part::New(axis))).copied().ok_or("the input of tokens is missing")?;
        let first = self.pasts.get(&(0, true)).ok_or("the first attention is missing")?.past;
        let size = |axis: usize| -> Op {
            let start = i64::try_from(axis).unwrap_or(i64::MAX);
            Op::Shape { start, end: start.checked_add(1) }
        };
        let whole = |graph: &Graph, value: Value, op: Op| match op {
            Op::Shape { start, end } => {
                let rank = graph.shape(value).and_then(|shape| i64::try_from(shape.len()).ok());
                Op::Shape { start, end: end.filter(|end| Some(*end) != rank) }
            }
            op => op,
        };
        let op = whole(&self.to, first, size(2));
        let past = self.add("past_length", op, &[first])?;
        let op = whole(&self.to, tokens, size(axis));
        let new = self.add("new_length", op, &[tokens])?;
        let all = self.add("total_length", Op::Add, &[past, new])?;
        let known = self.to.fact(all).elements.as_deref().is_some_and(|elements| elements == [total.clone()]);
        if !known {
            return Err("the number of all tokens is not known".to_owned());
        }
        self.lengths = Some(Lengths { past, new, all });
        Ok(())
    }

    fn lengths(&self) -> Result<Lengths, String> {
        self.lengths.ok_or_else(|| "the number of tokens is missing".to_owned())
    }

    fn element(&self, value: Value) -> Result<ElementType, String> {
        self.from
            .fact(value)
            .element()
            .ok_or_else(|| format!("the type of {} is unknown", self.from.operand_text(value)))
    }

    /// Returns the type, the number of heads, and the head size of keys or values.
    fn kept_sizes(&self, kept: &Kept) -> Result<(ElementType, Dim, Dim), String> {
        let shape = self.from.shape(kept.value).unwrap_or_default();
        let mut others: Vec<Dim> =
            (0..shape.len()).filter(|axis| *axis != kept.axis).map(|axis| shape[axis].clone()).collect();
        let size = others.pop().ok_or("a key has no size")?;
        let heads = if others.len() == 2 { others.swap_remove(1) } else { Dim::Known(1) };
        Ok((self.element(kept.value)?, heads, size))
    }

    /// Adds a node with one result.
    fn add(&mut self, name: &str, op: Op, operands: &[Value]) -> Result<Value, String> {
        let operands: SmallVec<[Option<Value>; 4]> = operands.iter().copied().map(Some).collect();
        let node = self.to.insert(Place::end(name), op, &operands).map_err(|error| error.to_string())?;
        Ok(Value { node, result: 0 })
    }

    fn numbers(&mut self, numbers: &[i64]) -> Value {
        self.to.constant("sizes", Tensor::indices(numbers))
    }

    /// Returns a part of a value.
    fn value(&mut self, value: Value, part: Part, depth: usize) -> Result<Value, String> {
        let part = match self.analysis.state(value) {
            State::Free(axes) if matches!(part, Part::New(axis) if axes.contains(&axis)) => part,
            State::Token(Tokens { row: None, .. }) => Part::Last,
            State::Token(_) => part,
            _ => Part::All,
        };
        if let Some(known) = self.parts.get(&(value, part)) {
            return Ok(*known);
        }
        let is_token = matches!(self.analysis.state(value), State::Token(_));
        let new = if is_token && part == Part::All {
            self.all_tokens(value, depth)?
        } else if is_token || part == Part::All {
            self.node(value.node, part, depth)?;
            return self.parts.get(&(value, part)).copied().ok_or_else(|| "a value is missing".to_owned());
        } else {
            let Part::New(axis) = part else { return Err("a value is missing".to_owned()) };
            self.part_of_free(value, axis, depth)?
        };
        self.parts.insert((value, part), new);
        Ok(new)
    }

    /// Copies a node for a part of its results.
    fn node(&mut self, node: NodeId, part: Part, depth: usize) -> Result<(), String> {
        let from = self.from;
        let own = from.node(node);
        let results: Vec<Value> = from.results(node).collect();
        let operands = from.operands(node);
        let is_own = part == self.analysis.own_part(results[0]);
        let name = |value: &Value| -> Name {
            if is_own { from.value_name(*value).clone() } else { format!("{}.part", from.value_name(*value)).into() }
        };
        let new = if let (OpKind::Shape, Some(whole)) = (own.op().kind(), operands.first().copied().flatten())
            && matches!(self.analysis.state(whole), State::Token(_))
        {
            vec![self.shape_of_tokens(node, whole, &name(&results[0]))?]
        } else {
            let mut copied: SmallVec<[Option<Value>; 4]> = smallvec![];
            for (at, operand) in operands.iter().enumerate() {
                copied.push(match operand {
                    Some(operand) => Some(self.operand(node, at, *operand, part, depth)?),
                    None => None,
                });
            }
            let place = Place {
                label: if is_own { own.label().into() } else { Name::default() },
                results: results.iter().map(name).collect(),
                order: None,
            };
            let fixed =
                results.iter().all(|value| matches!(self.analysis.state(*value), State::Free(axes) if axes.is_empty()));
            let is_same = fixed && !matches!(own.op(), Op::Shape { .. });
            let copy = if is_same {
                let facts = results.iter().map(|value| from.fact(*value).clone()).collect();
                self.to.insert_inferred(place, own.op().clone(), &copied, Inferred { facts, assumed: vec![] })
            } else {
                self.to
                    .insert(place, own.op().clone(), &copied)
                    .map_err(|error| format!("{}: {error}", from.operand_text(results[0])))?
            };
            if let Some(notes) = own.notes().filter(|_| is_own) {
                self.to.set_node_notes(copy, notes.clone());
            }
            for (value, new) in results.iter().zip(self.to.results(copy).collect::<Vec<_>>()) {
                if let Some(notes) = from.value_notes(*value).filter(|_| is_own) {
                    self.to.set_value_notes(new, notes.clone());
                }
                if from.is_omitted(*value) {
                    self.to.omit(new);
                }
            }
            self.to.results(copy).collect()
        };
        for (value, new) in results.into_iter().zip(new) {
            self.parts.entry((value, part)).or_insert(new);
        }
        Ok(())
    }

    /// Returns the operand of a node for a part of its result.
    fn operand(&mut self, node: NodeId, at: usize, operand: Value, part: Part, depth: usize) -> Result<Value, String> {
        let analysis = self.analysis;
        let root = Value { node, result: 0 };
        let kind = self.from.kind(root);
        let depth = depth.saturating_sub(1);
        let own = analysis.own_part(root);
        let is_shape =
            takes_sizes(kind, at) && matches!(kind, OpKind::Expand | OpKind::Reshape | OpKind::ConstantOfShape);
        let is_token = matches!(analysis.state(root), State::Token(_));
        if is_shape && (is_token || part != own) && !matches!(analysis.state(operand), State::Free(_)) {
            return self.shape_for(root, operand, part, depth);
        }
        let becomes = |axis: usize| match part {
            Part::New(wanted) => mapped(self.from, node, at, axis) == Ok(wanted),
            _ => false,
        };
        let wanted = match analysis.state(operand) {
            State::Free(axes) => axes.iter().copied().find(|axis| becomes(*axis)).map_or(Part::All, Part::New),
            State::Token(Tokens { row: None, .. }) => Part::Last,
            State::Token(Tokens { row: Some(row), is_merged, .. })
                if part == Part::Last || *is_merged || becomes(*row) =>
            {
                Part::New(*row)
            }
            State::Token(Tokens { row: Some(row), .. })
                if matches!(analysis.state(root), State::Token(Tokens { is_merged: true, .. })) =>
            {
                Part::New(*row)
            }
            _ => Part::All,
        };
        self.value(operand, wanted, depth)
    }

    /// Returns the shape of a part of a value, from the shape of the whole.
    fn shape_for(&mut self, root: Value, shape: Value, part: Part, depth: usize) -> Result<Value, String> {
        let dims = self.from.shape(root).unwrap_or_default().to_vec();
        let lengths = self.lengths()?;
        let axes = self.analysis.axes_of(root);
        if let State::Token(Tokens { row: Some(row), is_merged: true, .. }) = self.analysis.state(root) {
            let sizes = dims.iter().enumerate().map(|(axis, dim)| if axis == *row { Some(-1) } else { dim.known() });
            let sizes: Option<Vec<i64>> = sizes.collect();
            return Ok(self.numbers(&sizes.ok_or("a size beside that of all tokens is unknown")?));
        }
        let whole = self.value(shape, Part::All, depth)?;
        let mut sizes = vec![];
        for (axis, dim) in dims.iter().enumerate() {
            sizes.push(match dim.known() {
                _ if part == Part::New(axis) => lengths.new,
                _ if axes.contains(&axis) => lengths.all,
                Some(known) => self.numbers(&[known]),
                None => {
                    let at = i64::try_from(axis).unwrap_or(i64::MAX);
                    let [start, end, zero] = [[at], [at + 1], [0]].map(|bound| self.numbers(&bound));
                    self.add("size", Op::Slice, &[whole, start, end, zero])?
                }
            });
        }
        self.add("shape", Op::Concat { axis: 0 }, &sizes)
    }

    /// Returns the sizes of a value for all tokens, where only the part of the new ones is computed.
    fn shape_of_tokens(&mut self, node: NodeId, whole: Value, name: &str) -> Result<Value, String> {
        let Op::Shape { start, end } = self.from.node(node).op() else { return Err("a shape is missing".to_owned()) };
        let rank = self.from.fact(whole).rank().ok_or("a rank is unknown")?;
        let bound = |bound: i64| {
            let size = i64::try_from(rank).unwrap_or(i64::MAX);
            usize::try_from(if bound < 0 { bound + size } else { bound }.clamp(0, size)).unwrap_or(0)
        };
        let (lengths, axes) = (self.lengths()?, self.analysis.axes_of(whole));
        let part = self.analysis.own_part(whole);
        let value = self.value(whole, part, MAX_DEPTH)?;
        let mut sizes = vec![];
        for axis in bound(*start)..end.map_or(rank, bound) {
            sizes.push(if axes.contains(&axis) {
                lengths.all
            } else {
                let at = i64::try_from(axis).unwrap_or(i64::MAX);
                self.add("size", Op::Shape { start: at, end: Some(at + 1).filter(|_| axis + 1 < rank) }, &[value])?
            });
        }
        match sizes[..] {
            [] => Ok(self.numbers(&[])),
            [one] => self.add(name, Op::Identity, &[one]),
            _ => self.add(name, Op::Concat { axis: 0 }, &sizes),
        }
    }

    /// Returns the part of the new tokens of a value that depends on no token.
    fn part_of_free(&mut self, value: Value, axis: usize, depth: usize) -> Result<Value, String> {
        let from = self.from;
        let op = from.op(value);
        let lengths = self.lengths()?;
        let name = format!("{}.part", from.value_name(value));
        let operand = |at: usize| from.operand(value.node, at);
        let step = operand(2).filter(|_| matches!(op, Op::Range)).and_then(|step| from.fact(step).known_elements());
        if step.as_deref() == Some(&[1])
            && let (Some(start), Some(limit)) = (operand(0), operand(1))
            && from.fact(start).element() == Some(ElementType::I64)
        {
            let only = self.add("past_length", Op::Squeeze, &[lengths.past])?;
            let (start, limit) = (self.value(start, Part::All, depth)?, self.value(limit, Part::All, depth)?);
            let first = self.add("first", Op::Add, &[only, start])?;
            let one = self.to.constant("one", Tensor::index(1));
            return self.add(&name, Op::Range, &[first, limit, one]);
        }
        let passes_on = matches!(
            op.kind().class(),
            Class::ElementwiseUnary | Class::Broadcasting | Class::Multiplies | Class::Reduces
        ) || matches!(
            op.kind(),
            OpKind::Transpose
                | OpKind::Unsqueeze
                | OpKind::Expand
                | OpKind::ConstantOfShape
                | OpKind::Gather
                | OpKind::GatherND
                | OpKind::Reshape
                | OpKind::Tile
        ) || matches!(op, Op::Concat { .. });
        if passes_on && depth > 0 {
            self.node(value.node, Part::New(axis), depth)?;
            return self.parts.get(&(value, Part::New(axis))).copied().ok_or_else(|| "a value is missing".to_owned());
        }
        let whole = self.value(value, Part::All, depth)?;
        let axis = self.numbers(&[i64::try_from(axis).unwrap_or(i64::MAX)]);
        self.add(&name, Op::Slice, &[whole, lengths.past, lengths.all, axis])
    }

    /// Returns the keys or values of all tokens.
    fn all_tokens(&mut self, value: Value, depth: usize) -> Result<Value, String> {
        let analysis = self.analysis;
        let Some(kept) = analysis.kept.iter().find(|kept| kept.value == value) else {
            if depth == 0 {
                return Err("keys are computed in too many steps".to_owned());
            }
            self.node(value.node, Part::All, depth)?;
            return self.parts.get(&(value, Part::All)).copied().ok_or_else(|| "a value is missing".to_owned());
        };
        let rank = self.from.fact(value).rank().unwrap_or_default();
        let mut new = self.value(value, Part::New(kept.axis), depth)?;
        let perm = Kept::order(rank, kept.axis);
        let mut back = vec![0; rank];
        perm.iter().enumerate().for_each(|(place, axis)| back[*axis] = place);
        let is_placed = kept.axis + 2 == rank;
        let transpose =
            |perm: &[usize]| Op::Transpose { perm: perm.iter().filter_map(|axis| i64::try_from(*axis).ok()).collect() };
        let name = format!("{}.heads", self.from.value_name(value));
        if !is_placed {
            new = self.add(&name, transpose(&perm), &[new])?;
        }
        let axes = self.numbers(&[1]);
        if rank == 3 {
            new = self.add(&name, Op::Unsqueeze, &[new, axes])?;
        }
        let entry = self.pasts.get(&(kept.layer, kept.is_key)).ok_or("a past is missing")?;
        let (past, name) = (entry.past, entry.name.clone());
        let mut whole = self.add(&name, Op::Concat { axis: 2 }, &[past, new])?;
        if let Some(entry) = self.pasts.get_mut(&(kept.layer, kept.is_key)) {
            entry.present = Some(whole);
        }
        if rank == 3 {
            whole = self.add(&format!("{name}.all"), Op::Squeeze, &[whole, axes])?;
        }
        if is_placed { Ok(whole) } else { self.add(&format!("{name}.all"), transpose(&back), &[whole]) }
    }

    /// Adds the outputs of the cache that the decoder does not have.
    fn presents(&mut self, total: &Dim, events: &mut Vec<Event>) -> Result<(), Refusal> {
        for layer in 0..self.analysis.layers {
            for is_key in [true, false] {
                let entry = self.pasts.get(&(layer, is_key)).ok_or("a past is missing")?;
                let present = entry.present.ok_or("the keys of an attention are not used")?;
                let (past, name, is_output) = (entry.past, entry.name.clone(), entry.is_output);
                let ty = self.present_type(past, total)?;
                let note = format!("{ty}, an output for the next step").into();
                events.push(Event { pass: NAME, rule: None, node: name.as_str().into(), note });
                if is_output {
                    continue;
                }
                if self.to.outputs().iter().any(|output| *output.name == *name) {
                    let what = format!("the output `{name}` is not what this model would return as a cache");
                    return Err(Refusal::new(what, "leave it out: name the other outputs with --outputs"));
                }
                self.to.declared_output(name.as_str(), present, ty);
            }
        }
        Ok(())
    }

    /// Returns the type of the keys or values of all tokens.
    fn present_type(&self, past: Value, total: &Dim) -> Result<ValueType, Refusal> {
        let fact = self.to.fact(past);
        let (Some(element), Some(mut shape)) = (fact.element(), fact.shape().cloned()) else {
            return Err("the type of the past is unknown".into());
        };
        shape.dims_mut()[2] = total.clone();
        Ok(ValueType::Tensor(TensorType::new(element, shape)))
    }
}
