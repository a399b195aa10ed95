//! What each value of a decoder depends on: tokens, the number of tokens, or neither.

use super::axes::{mapped, takes_sizes};
use super::emit::MAX_DEPTH;
use super::{Refusal, names_cache};
use crate::read::sizes::position;
use netwright_ir::{Dim, DimParts, ElementType, Graph, HashMap, Name, NodeId, Op, OpKind, Symbol, Value};
use smallvec::SmallVec;
use std::rc::Rc;

/// What to do about a size that is not symbolic.
const SYMBOLIC: &str = "export the model with dynamic axes for the batch and for the tokens";

/// What to do about the keys of queries that see later keys.
pub(super) const CAUSAL: &str = "leave out --add-kv-cache if tokens attend to later ones, as in an encoder; else export the decoder with its causal mask, \
                      computed in the model";

/// What to do about a mask that hides each token from itself.
pub(super) const OWN: &str =
    "leave out --add-kv-cache; else export the decoder with a mask in which each token attends to itself";

/// Axes whose size is the number of tokens, in ascending order.
pub(super) type Axes = SmallVec<[usize; 2]>;

/// What a value depends on.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// On no token, and on the number of tokens only along axes: for fewer tokens, it is the first part of the value.
    Free(Axes),
    /// Integers that are computed from the number of tokens.
    Sizes,
    /// On the number of tokens in another way; the reason, for people.
    Other(Rc<str>),
    /// On tokens.
    Token(Tokens),
}

/// A value that depends on tokens. A step computes the part of the new tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    /// The axis of the tokens from which it is computed; without one, it depends on the last token alone.
    pub(super) row: Option<usize>,
    /// Whether that axis is one with the axis of the batch, which comes before it.
    pub(super) is_merged: bool,
    /// The axes of all tokens, as scores have.
    pub(super) keys: Axes,
    /// Whether it holds weights of keys, which are 0 for later keys.
    pub(super) is_weight: bool,
    /// The attention whose scores or weights it holds.
    pub(super) layer: Option<usize>,
}

/// The keys or values of an attention, which a cache keeps.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The value of the new tokens, of rank 4, or of rank 3 without an axis of heads.
    pub(super) value: Value,
    /// Its axis of tokens.
    pub(super) axis: usize,
    pub(super) layer: usize,
    pub(super) is_key: bool,
    /// The output of the decoder that returns it as `[batch, heads, tokens, size]` already.
    pub(super) present: Option<Name>,
}

impl Kept {
    /// Returns the axes in the order of a cache, in which the axis of tokens comes before the last.
    pub(super) fn order(rank: usize, axis: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..rank).filter(|other| *other != axis).collect();
        order.insert(rank.saturating_sub(2), axis);
        order
    }
}

/// What all values of a decoder depend on.
pub(super) struct Analysis<'g> {
    pub(super) graph: &'g Graph,
    /// The number of tokens, a symbol.
    pub(super) seq: Dim,
    /// The input of tokens, and its axis.
    pub(super) tokens: (Value, usize),
    /// The size of the batch.
    pub(super) batch: Dim,
    states: HashMap<Value, State>,
    /// The sizes of axes that have only the last token, which is 1 in every step.
    pub(super) last: Vec<Dim>,
    /// The keys and values that are kept.
    pub(super) kept: Vec<Kept>,
    /// The number of attentions.
    pub(super) layers: usize,
}

impl<'g> Analysis<'g> {
    /// Examines a decoder.
    ///
    /// # Errors
    /// Why it cannot have a cache.
    pub(super) fn of(graph: &'g Graph) -> Result<Self, Refusal> {
        let seq = sequence(graph)?;
        let mut analysis = Self {
            graph,
            seq: Dim::Symbol(seq.clone()),
            tokens: (Value { node: graph.schedule()[0], result: 0 }, 0),
            batch: Dim::Unknown,
            states: HashMap::default(),
            last: vec![],
            kept: vec![],
            layers: 0,
        };
        analysis.inputs(&seq)?;
        for node in graph.schedule() {
            if graph.kind(Value { node, result: 0 }) == OpKind::Input {
                continue;
            }
            let states = analysis.visit(node).map_err(|why| why.at(&graph.operand_text(Value { node, result: 0 })))?;
            for (value, state) in graph.results(node).zip(states) {
                analysis.states.insert(value, state);
            }
        }
        analysis.finish()?;
        Ok(analysis)
    }

    pub(super) fn state(&self, value: Value) -> &State {
        self.states.get(&value).unwrap_or(&State::Sizes)
    }

    /// Returns the state of an operand of a node.
    pub(super) fn states(&self, node: NodeId, at: usize) -> Option<&State> {
        self.graph.operand(node, at).map(|value| self.state(value))
    }

    /// Decides which inputs hold new tokens, and which hold a mask of all tokens.
    fn inputs(&mut self, seq: &Symbol) -> Result<(), Refusal> {
        let graph = self.graph;
        let mut tokens = None;
        for input in graph.inputs() {
            let name = graph.value_name(input).clone();
            let Some(shape) = graph.shape(input) else {
                return Err(Refusal::new(
                    format!("the input `{name}` has an unknown rank"),
                    "export the model with the shapes of its inputs",
                ));
            };
            let axes: Axes = (0..shape.len()).filter(|axis| shape[*axis] == self.seq).collect();
            let lower = name.to_lowercase();
            if names_cache(&name) {
                return Err(Refusal::new(
                    format!("the input `{name}` shows that the model has a KV cache"),
                    "leave out --add-kv-cache",
                ));
            }
            if shape.iter().enumerate().any(|(axis, dim)| !axes.contains(&axis) && mentions(dim, seq)) {
                let what = format!("the input `{name}` has a size that is computed from {seq}", seq = seq.as_str());
                return Err(Refusal::new(what, "export the model with a symbol of its own for this size"));
            }
            let state = match axes[..] {
                [] => State::Free(axes),
                _ if lower.contains("mask") => State::Free(axes),
                [row] => {
                    let is_ids = graph
                        .fact(input)
                        .element()
                        .is_some_and(|element| element == ElementType::I64 || element == ElementType::I32);
                    if tokens.is_none() || is_ids && lower.contains("input_ids") {
                        tokens = Some((input, row));
                    }
                    State::Token(Tokens { row: Some(row), ..Tokens::default() })
                }
                _ => {
                    let what = format!("the input `{name}` has several axes of tokens");
                    return Err(Refusal::new(what, "name it as a mask if it is one, with --rename-input"));
                }
            };
            self.states.insert(input, state);
        }
        let Some((input, row)) = tokens else {
            return Err(Refusal::new(format!("no input holds tokens along {}", seq.as_str()), SYMBOLIC));
        };
        self.tokens = (input, row);
        let other = graph.shape(input).and_then(|shape| shape.get(usize::from(row == 0)));
        self.batch =
            other.cloned().ok_or_else(|| Refusal::new("the input of tokens has no axis for the batch", SYMBOLIC))?;
        Ok(())
    }

    /// Returns the states of a node's results.
    ///
    /// # Errors
    /// Why a value that depends on tokens does not depend on one token at a time.
    fn visit(&mut self, node: NodeId) -> Result<Vec<State>, Refusal> {
        let graph = self.graph;
        let op = graph.node(node).op();
        let results: Vec<Value> = graph.results(node).collect();
        let operands = graph.operands(node);
        let all = |state: State| vec![state; results.len()];
        let known = operands.iter().copied().flatten();
        let mut other = None;
        let mut is_token = false;
        let mut is_constant = true;
        for value in known {
            match self.state(value) {
                State::Other(why) => other = Some(Rc::clone(why)),
                State::Token(_) => is_token = true,
                State::Free(axes) if axes.is_empty() => continue,
                _ => {}
            }
            is_constant = false;
        }
        if let Op::Shape { .. } = op {
            let is_known = |dim: &Dim| *dim != Dim::Unknown && !self.mentions(dim);
            let elements = graph.fact(results[0]).elements.as_deref();
            let free = elements.is_some_and(|elements| elements.iter().all(is_known)) || is_constant;
            return Ok(all(if free { State::Free(Axes::new()) } else { State::Sizes }));
        }
        if let Some(why) = other {
            return if is_token { Err(why.to_string().into()) } else { Ok(all(State::Other(why))) };
        }
        if is_token {
            let word = op.name();
            if op.kind() == OpKind::DynamicQuantizeLinear {
                let what = format!("{word} rounds each token by the range of all");
                return Err(Refusal::new(
                    what,
                    "add the cache to the model in floats, and quantize it with --quantize in the same call",
                ));
            }
            if op.kind().is_random() {
                return Err(Refusal::new(
                    format!("{word} returns other numbers in every step"),
                    "export the model for inference",
                ));
            }
            if !op.bodies().is_empty() {
                let what = format!("{word} is not known to compute each token apart");
                return Err(Refusal::new(what, "export the model without control flow, or with past keys and values"));
            }
            let states = self.of_tokens(node)?;
            return Ok(states);
        }
        let state = if op.kind().is_random() {
            Err("random numbers differ from step to step".to_owned())
        } else if is_constant {
            Ok(State::Free(Axes::new()))
        } else {
            self.free(node)
        };
        let name = || graph.operand_text(results[0]);
        let state = state.unwrap_or_else(|why| State::Other(format!("it depends on {}: {why}", name()).into()));
        // What inference knows to be the same for every number of tokens is.
        let is_same = |value: &Value| {
            let elements = graph.fact(*value).elements.as_deref();
            elements.is_some_and(|elements| elements.iter().all(|dim| *dim != Dim::Unknown && !self.mentions(dim)))
                && self.expect_axes(*value, &[]).is_ok()
        };
        Ok(results.iter().map(|value| if is_same(value) { State::Free(Axes::new()) } else { state.clone() }).collect())
    }

    /// Returns the state of a node that depends on the number of tokens, but on no token.
    fn free(&self, node: NodeId) -> Result<State, String> {
        let graph = self.graph;
        let op = graph.node(node).op();
        let kind = op.kind();
        if !op.bodies().is_empty() {
            return Err(format!("{} may depend on the number of tokens", kind.name()));
        }
        let root = Value { node, result: 0 };
        let mut axes = Axes::new();
        let mut has_sizes = false;
        for (at, value) in graph.operands(node).into_iter().enumerate() {
            let Some(value) = value else { continue };
            match self.state(value) {
                State::Free(own) => {
                    for axis in own {
                        if at == 0 && self.ignores_later_keys(node, *axis) {
                            continue;
                        }
                        axes.push(self.free_axis(node, at, *axis)?);
                    }
                }
                State::Sizes if takes_sizes(kind, at) => {}
                State::Sizes => has_sizes = true,
                State::Other(why) => return Err(why.to_string()),
                State::Token(_) => return Err("it depends on tokens".to_owned()),
            }
        }
        if has_sizes {
            return match axes[..] {
                [] if graph.results(node).all(|value| self.expect_axes(value, &[]).is_ok()) => Ok(State::Sizes),
                _ => Err("it is computed from the number of tokens".to_owned()),
            };
        }
        let shape = graph.shape(root).ok_or_else(|| "its rank is unknown".to_owned())?;
        let grows = |axis: &usize| self.counts_tokens(&shape[*axis]);
        match op {
            Op::ConstantOfShape { .. } => axes.extend((0..shape.len()).filter(grows)),
            Op::Expand => {
                let from = graph.operand(node, 0).and_then(|value| graph.shape(value)).unwrap_or_default();
                let added = (0..shape.len()).filter(grows).filter(|axis| {
                    let from = (axis + from.len()).checked_sub(shape.len()).map(|axis| &from[axis]);
                    from.is_none_or(|dim| *dim == Dim::Known(1))
                });
                axes.extend(added);
            }
            Op::Range => {
                let is_fixed = |at: usize| matches!(self.states(node, at), Some(State::Free(axes)) if axes.is_empty());
                if !is_fixed(0) || !is_fixed(2) {
                    return Err("it counts from a number that depends on the number of tokens".to_owned());
                }
                axes.push(0);
            }
            Op::Slice => self.sliced_table(node, shape, &mut axes)?,
            _ => {}
        }
        axes.sort_unstable();
        axes.dedup();
        graph.results(node).try_for_each(|value| self.expect_axes(value, &axes))?;
        Ok(State::Free(axes))
    }

    /// Returns the axis of the result to which an axis of an operand becomes, if the first part of the result is
    /// computed from the first part of the operand.
    fn free_axis(&self, node: NodeId, at: usize, axis: usize) -> Result<usize, String> {
        match self.graph.node(node).op() {
            Op::CumSum { reverse: false, .. } | Op::Trilu { .. } if at == 0 => Ok(axis),
            _ => mapped(self.graph, node, at, axis),
        }
    }

    /// Adds the axes along which a table is cut to the number of tokens.
    fn sliced_table(&self, node: NodeId, shape: &[Dim], axes: &mut Axes) -> Result<(), String> {
        let graph = self.graph;
        let from = graph.operand(node, 0).and_then(|value| graph.shape(value)).unwrap_or_default();
        let unclear = || "it cuts a table at a place that depends on the number of tokens".to_owned();
        let named = match graph.operand(node, 3) {
            Some(named) => graph.fact(named).known_elements().ok_or_else(unclear)?,
            None => (0..i64::try_from(from.len()).unwrap_or(i64::MAX)).collect(),
        };
        let elements = |at: usize| graph.operand(node, at).and_then(|value| graph.fact(value).elements.clone());
        let starts = elements(1).ok_or_else(unclear)?;
        let steps = if graph.operand(node, 4).is_some() { Some(elements(4).ok_or_else(unclear)?) } else { None };
        for (place, axis) in named.iter().enumerate() {
            let axis = position(*axis, from.len()).ok_or_else(unclear)?;
            if !self.mentions(&shape[axis]) || axes.contains(&axis) {
                continue;
            }
            let is_fixed = matches!(starts.get(place), Some(Dim::Known(0..)));
            let is_forward = steps.as_ref().is_none_or(|steps| steps.get(place) == Some(&Dim::Known(1)));
            if !is_fixed || !is_forward || from[axis].known().is_none() {
                return Err(unclear());
            }
            axes.push(axis);
        }
        Ok(())
    }

    /// Checks that the size of a value depends on the number of tokens along these axes only.
    pub(super) fn expect_axes(&self, value: Value, axes: &[usize]) -> Result<(), String> {
        let Some(shape) = self.graph.shape(value) else {
            // Only a value that depends on nothing may be of unknown rank.
            return if axes.is_empty() { Ok(()) } else { Err("its rank is unknown".to_owned()) };
        };
        for (axis, dim) in shape.iter().enumerate() {
            let is_right = if axes.contains(&axis) { self.counts_tokens(dim) } else { !self.mentions(dim) };
            if !is_right {
                return Err(format!("its size {dim} along axis {axis} is not known to be the number of tokens"));
            }
        }
        Ok(())
    }

    /// Whether a size is the number of tokens. A table may have fewer elements; the model fails for more tokens.
    fn counts_tokens(&self, dim: &Dim) -> bool {
        let is_limited = |operands: &[Dim]| match operands {
            [Dim::Known(2..), other] | [other, Dim::Known(2..)] => other.same(&self.seq) == Some(true),
            _ => false,
        };
        dim.same(&self.seq) == Some(true) || matches!(dim.parts(), DimParts::Min(operands) if is_limited(&operands))
    }

    /// Whether a size depends on the number of tokens.
    pub(super) fn mentions(&self, dim: &Dim) -> bool {
        match &self.seq {
            Dim::Symbol(seq) => mentions(dim, seq) && !self.last.iter().any(|last| last.same(dim) == Some(true)),
            _ => true,
        }
    }

    /// Checks the size of a value along an axis of all tokens of all samples.
    pub(super) fn expect_merged(&self, value: Value, row: usize) -> Result<(), String> {
        let shape = self.graph.shape(value).ok_or_else(|| "its rank is unknown".to_owned())?;
        let merged = self.batch.times(&self.seq);
        for (axis, dim) in shape.iter().enumerate() {
            let is_right = if axis == row { dim.same(&merged) == Some(true) } else { !self.mentions(dim) };
            if !is_right {
                return Err(format!(
                    "its size {dim} along axis {axis} is not known to be the number of tokens of all samples"
                ));
            }
        }
        Ok(())
    }

    /// Checks that there is a cache, and that no output mixes tokens.
    fn finish(&self) -> Result<(), Refusal> {
        if self.layers == 0 {
            return Err(Refusal::new("no causal attention was found", CAUSAL));
        }
        for output in self.graph.outputs() {
            if let State::Other(why) = self.state(output.value) {
                return Err(Refusal::new(
                    format!("the output `{}`: {why}", output.name),
                    "leave this output out: name the others with --outputs",
                ));
            }
        }
        for layer in 0..self.layers {
            let is_kept = |is_key: bool| self.kept.iter().any(|kept| kept.layer == layer && kept.is_key == is_key);
            if !is_kept(true) || !is_kept(false) {
                return Err("the scores of an attention do not become weights of its values".into());
            }
        }
        Ok(())
    }

    /// Keeps the keys or values of an attention: the value itself, or one from which it is computed, with an axis for
    /// the heads before they are repeated.
    pub(super) fn keep(&mut self, value: Value, layer: usize, is_key: bool) -> Result<(), Refusal> {
        let graph = self.graph;
        let what = if is_key { "keys" } else { "values" };
        let row = |value: Value| match self.state(value) {
            State::Token(Tokens { row, keys, is_merged: false, .. }) if keys.is_empty() => *row,
            _ => None,
        };
        let mut chain = vec![];
        let mut at = value;
        for _ in 0..MAX_DEPTH {
            let Some(axis) = row(at) else { break };
            chain.push((at, axis));
            let tokens = |at: usize| matches!(self.states(chain[chain.len() - 1].0.node, at), Some(State::Token(_)));
            let from = match graph.op(at) {
                Op::Transpose { .. } | Op::Unsqueeze | Op::Expand | Op::Reshape { .. } | Op::Squeeze => 0,
                Op::Gather { .. } if !tokens(1) => 0,
                Op::Mul | Op::Div if tokens(0) && !tokens(1) => 0,
                Op::Mul if tokens(1) && !tokens(0) => 1,
                _ => break,
            };
            // A factor for each token, such as that of a rotary embedding, belongs to the keys.
            if matches!(graph.kind(at), OpKind::Mul | OpKind::Div)
                && !matches!(self.states(at.node, 1 - from), Some(State::Free(axes)) if axes.is_empty())
            {
                break;
            }
            let Some(next) = graph.operand(at.node, from) else { break };
            at = next;
        }
        let repeats = |value: &Value| {
            let grows = || Some(graph.fact(*value).rank()? >= graph.fact(graph.operand(value.node, 0)?).rank()?);
            graph.kind(*value) == OpKind::Expand || graph.kind(*value) == OpKind::Gather && grows() == Some(true)
        };
        let repeated = chain.iter().rposition(|(value, _)| repeats(value));
        let fits = |place: &usize| {
            let rank = graph.fact(chain[*place].0).rank();
            rank == Some(4) && repeated.is_none_or(|repeated| *place > repeated)
        };
        let places = || 0..chain.len();
        let present = |place: &usize| self.present(chain[*place].0, chain[*place].1);
        let returned = places().find(|place| present(place).is_some());
        let place = returned.or_else(|| places().filter(fits).last());
        let single = || {
            let of_batch = |place: &usize| {
                let shape = graph.shape(chain[*place].0).unwrap_or_default();
                shape.len() == 3 && shape[usize::from(chain[*place].1 == 0)].same(&self.batch) == Some(true)
            };
            places().find(of_batch)
        };
        let Some(place) = place.or_else(single) else {
            return Err(format!("its {what} have no axis of heads").into());
        };
        let (value, axis) = chain[place];
        let shape = graph.shape(value).unwrap_or_default();
        let others: Vec<&Dim> = (0..shape.len()).filter(|of| *of != axis).map(|axis| &shape[axis]).collect();
        let is_known = others[1..].iter().all(|dim| dim.known().is_some());
        if others[0].same(&self.batch) != Some(true) || !is_known {
            return Err(Refusal::new(
                format!("the axes of its {what} are not known to be batch, heads and size"),
                SYMBOLIC,
            ));
        }
        if !self.kept.iter().any(|kept| kept.value == value) {
            let present = self.present(value, axis).cloned();
            self.kept.push(Kept { value, axis, layer, is_key, present });
            return Ok(());
        }
        // Other attentions, or both of keys and values, share them.
        let own = self.kept.iter().any(|kept| kept.value == value && kept.layer == layer && kept.is_key == is_key);
        if own {
            Ok(())
        } else {
            Err(format!("its {what} are those of another attention, or its keys and values are the same").into())
        }
    }
}

/// The start of the names of outputs that are a cache, and of the inputs that take it.
pub(super) const NAMES: [&str; 2] = ["present", "past_key_values"];

impl Analysis<'_> {
    /// Returns the output that is a value of rank 4 in the order of a cache.
    fn present(&self, value: Value, axis: usize) -> Option<&Name> {
        let graph = self.graph;
        let rank = graph.fact(value).rank().filter(|rank| *rank == 4)?;
        let order = Kept::order(rank, axis);
        let is_value = |output: Value| match graph.op(output) {
            _ if output == value => axis + 2 == rank,
            Op::Transpose { perm } => {
                graph.operand(output.node, 0) == Some(value)
                    && perm.iter().zip(&order).all(|(from, own)| usize::try_from(*from) == Ok(*own))
            }
            _ => false,
        };
        let mut outputs = graph.outputs().iter().filter(|output| output.name.starts_with(NAMES[0]));
        outputs.find(|output| is_value(output.value)).map(|output| &output.name)
    }
}

/// Whether a dim contains a symbol, or may.
fn mentions(dim: &Dim, seq: &Symbol) -> bool {
    if *dim == Dim::Unknown {
        return true;
    }
    let mut found = false;
    dim.for_each_symbol(&mut |symbol| found |= symbol == seq);
    found
}

/// Returns the symbol of the number of tokens: the size of axis 1 of the first output, or of the input of tokens.
fn sequence(graph: &Graph) -> Result<Symbol, Refusal> {
    let symbol = |dim: Option<&Dim>| match dim.map(Dim::parts) {
        Some(DimParts::Symbol(symbol)) => Some(symbol),
        _ => None,
    };
    let is_input = |symbol: &Symbol| {
        let has = |input: Value| graph.shape(input).unwrap_or_default().contains(&Dim::Symbol(symbol.clone()));
        graph.inputs().any(has)
    };
    let of_outputs = graph.outputs().iter().take(1).find_map(|output| {
        let shape = graph.shape(output.value)?;
        symbol(shape.get(1)).filter(|_| shape.len() >= 3).filter(is_input)
    });
    let named = |name: &str| graph.inputs().find(|input| graph.value_name(*input).to_lowercase().ends_with(name));
    let of_inputs = || {
        let input = ["decoder_input_ids", "input_ids", "inputs_embeds"].iter().find_map(|name| named(name))?;
        symbol(graph.shape(input)?.get(1))
    };
    of_outputs.or_else(of_inputs).ok_or_else(|| {
        let what = "the number of tokens is not a symbolic size of axis 1 of the first output and of an input";
        Refusal::new(what, SYMBOLIC)
    })
}
