//! Connects the steps of a decoder with a KV cache to one model, to compare it with the decoder without a cache, or with
//! another form of its cache.

use super::SurgeryError;
use super::copy::{Copier, Facts};
use super::dims::{substitute, symbols};
use crate::rewrite::cast;
use crate::runtime::shared_cache::{PAST_LENGTH, buffers};
use netwright_ir::{
    Dim, ElementType, Graph, GraphOutput, HashMap, InferError, Model, Name, Op, Symbol, Tensor, TensorType, Value,
    ValueType, check,
};

/// The numbers of tokens of the steps after the prompt.
const STEPS: [i64; 2] = [2, 1];

/// The same for buffers: with several samples, GroupQueryAttention takes one token after a past.
const STEPS_OF_BUFFERS: [i64; 2] = [1, 1];

/// The name of the number of tokens of the prompt.
const PROMPT: &str = "prompt_length";

/// The axis of the tokens in a past.
const LENGTH: usize = 2;

/// A decoder, and the same one in steps. Both have the same inputs and outputs.
#[derive(Clone, Debug)]
pub struct Unrolled {
    /// The decoder without a cache, or in steps too if it has one.
    pub whole: Model,
    /// The decoder with a cache, in steps.
    pub steps: Model,
    /// The outputs that both leave out, because those of the steps are not parts of those of the decoder.
    pub left_out: Vec<Name>,
}

/// Returns two models that compute the same if `cached` is what [`Options::add_cache`](crate::Options::add_cache) or
/// [`Options::share_cache`](crate::Options::share_cache) makes of `plain`.
///
/// The number of tokens is `prompt_length + 3`, or that of another symbol if the models have this one. The first model is
/// `plain`; if it has a cache itself, in steps like the second one, which runs `cached` for all tokens with an empty past,
/// and again for a prompt, for two tokens and for one, each with the past of the step before. With a cache in buffers, whose
/// length is that of all tokens, the number of tokens is `prompt_length + 2`, and each step takes one token. Outputs come
/// twice: under their names for the steps, and as `NAME.at_once`. Outputs of padding, which may differ, are 0.
///
/// # Errors
/// If the models are not such a pair.
pub fn unroll_cache(plain: &Model, cached: &Model) -> Result<Unrolled, SurgeryError> {
    let no_pair = || {
        let what = "the KV cache cannot be verified in steps: its steps must take any number of tokens\n  \
                    help: leave out --verify, or leave the number of tokens and the length of the past symbolic";
        SurgeryError::Steps(what.to_owned())
    };
    let buffers = buffers(&cached.graph);
    let ports = if buffers.is_empty() {
        Ports::of_growing(&plain.graph, &cached.graph)
    } else {
        Ports::of_buffers(&plain.graph, &cached.graph, &buffers)
    };
    let mut ports = ports.ok_or_else(no_pair)?;
    ports.prompt = prompt(plain, cached);
    let connected = connect(&plain.graph, &cached.graph, &ports).map_err(|error| {
        SurgeryError::Steps(format!("the steps cannot be connected: {error}\n  help: report this as a bug"))
    })?;
    let ([whole, steps], left_out) = connected;
    if whole.outputs().is_empty() {
        return Err(no_pair());
    }
    for graph in [&whole, &steps] {
        check(graph).map_err(|violations| {
            SurgeryError::Steps(format!(
                "the connected steps are not valid:\n{violations}\n  help: report this as a bug"
            ))
        })?;
    }
    let [whole, steps] = [(plain, whole), (cached, steps)].map(|(model, graph)| Model { graph, ..model.clone() });
    Ok(Unrolled { whole, steps, left_out })
}

/// Returns the number of tokens of the prompt, whose symbol neither model has.
fn prompt(plain: &Model, cached: &Model) -> Dim {
    let own = [plain, cached].map(|model| symbols(&model.graph));
    let mut name = PROMPT.to_owned();
    while own.iter().flatten().any(|symbol| symbol.as_str() == name) {
        name.push('_');
    }
    Dim::symbol(name)
}

/// Returns the graphs of both models, and the outputs that are left out.
fn connect(plain: &Graph, cached: &Graph, ports: &Ports) -> Result<([Graph; 2], Vec<Name>), InferError> {
    let has_past = ports.pasts.iter().all(|past| input(plain, past).is_some());
    let mut whole = if has_past { Side::in_steps(plain, ports)? } else { Side::at_once(plain, ports)? };
    let mut steps = Side::in_steps(cached, ports)?;
    let mut left_out = vec![];
    for (at, output) in plain.outputs().iter().enumerate() {
        let own = cached.outputs().iter().position(|own| own.name == output.name);
        match own.and_then(|own| Some((own, ports.part(cached, &cached.outputs()[own])?))) {
            Some((own, part)) => {
                whole.outputs(&output.name, part, at)?;
                steps.outputs(&output.name, part, own)?;
            }
            None => left_out.push(output.name.clone()),
        }
    }
    let mut graphs = [whole.graph, steps.graph];
    graphs.iter_mut().filter(|graph| graph.has_bodies()).for_each(|graph| _ = graph.infer_anew());
    Ok((graphs, left_out))
}

/// The part of a value for all tokens that a step has.
#[derive(Clone, Copy)]
enum Part {
    /// The new tokens, along this axis.
    New(usize),
    /// All tokens so far, along this axis.
    All(usize),
    /// What depends on no token except the last.
    Last,
}

/// The inputs and outputs of a decoder with a cache.
#[derive(Clone)]
struct Ports {
    /// The numbers of tokens of the past, which may have no symbol if it is a buffer, and of the step.
    past: Option<Symbol>,
    new: Symbol,
    /// The numbers of tokens of the prompt, and of the steps after it.
    prompt: Dim,
    steps: [i64; 2],
    /// The names of the inputs of the past, and of the outputs that become these inputs in the next step.
    pasts: Vec<Name>,
    presents: Vec<Name>,
    /// The axes of the other inputs: those of the new tokens, and those of all tokens so far.
    axes: HashMap<Name, [Vec<usize>; 2]>,
    /// The name of the input with the padding of each token.
    mask: Option<Name>,
}

impl Ports {
    /// Returns those of a cache that grows, whose inputs the decoder without it does not have.
    fn of_growing(plain: &Graph, cached: &Graph) -> Option<Self> {
        let is_past = |input: &Value| self::input(plain, cached.value_name(*input)).is_none();
        let inputs: Vec<Value> = cached.inputs().filter(is_past).collect();
        let Dim::Symbol(past) = cached.shape(*inputs.first()?)?.get(LENGTH)? else { return None };
        let present = |input: &Value| {
            let name = cached.value_name(*input).strip_prefix("past_key_values")?;
            cached.outputs().iter().find(|own| own.name.strip_prefix("present") == Some(name))
        };
        let presents: Vec<_> = inputs.iter().map(present).collect::<Option<_>>()?;
        let new = other_symbol(cached.shape(presents.first()?.value)?.get(LENGTH)?, past)?;
        let pasts = inputs.iter().map(|input| cached.value_name(*input).clone()).collect();
        let presents = presents.into_iter().map(|output| output.name.clone()).collect();
        Some(Self::new(cached, (Some(past.clone()), new), STEPS, pasts, presents))
    }

    /// Returns those of a cache in buffers.
    fn of_buffers(plain: &Graph, cached: &Graph, buffers: &[[Value; 2]]) -> Option<Self> {
        let [first, present] = buffers.first()?;
        let new = symbol(cached.shape(cached.operand(present.node, 0)?)?.get(1)?)?;
        let pasts: Vec<Name> = buffers.iter().map(|[past, _]| cached.value_name(*past).clone()).collect();
        let output = |[_, present]: &[Value; 2]| cached.outputs().iter().find(|output| output.value == *present);
        let presents = buffers.iter().map(|pair| Some(output(pair)?.name.clone())).collect::<Option<_>>()?;
        // The length of a past that grows, or what the length of a mask has besides the new tokens.
        let growing = input(plain, cached.value_name(*first)).and_then(|own| symbol(plain.shape(own)?.get(LENGTH)?));
        let others = || cached.inputs().filter(|own| !pasts.contains(cached.value_name(*own)));
        let mut sizes = others().filter_map(|own| cached.shape(own)).flat_map(|shape| shape.iter());
        let longer = |dim: &Dim| symbol(dim).is_none().then(|| other_symbol(dim, &new)).flatten();
        let past = growing.or_else(|| sizes.find_map(longer));
        // A past that is not a buffer.
        let is_past = |dim: &Dim| past.is_some() && symbol(dim) == past;
        if others().filter_map(|own| cached.shape(own)).flat_map(|shape| shape.iter()).any(is_past) {
            return None;
        }
        Some(Self::new(cached, (past, new), STEPS_OF_BUFFERS, pasts, presents))
    }

    fn new(
        cached: &Graph,
        (past, new): (Option<Symbol>, Symbol),
        steps: [i64; 2],
        pasts: Vec<Name>,
        presents: Vec<Name>,
    ) -> Self {
        let prompt = Dim::symbol(PROMPT);
        let mut ports = Self { past, new, prompt, steps, pasts, presents, axes: HashMap::default(), mask: None };
        for own in cached.inputs() {
            let name = cached.value_name(own);
            let Some(axes) = ports.axes_of(cached, own).filter(|_| !ports.pasts.contains(name)) else { continue };
            let is_flag = cached.fact(own).element().is_some_and(|element| !element.is_float());
            if ports.mask.is_none() && is_flag && cached.fact(own).rank() == Some(2) && axes == [vec![], vec![1]] {
                ports.mask = Some(name.clone());
            }
            ports.axes.insert(name.clone(), axes);
        }
        ports
    }

    /// Returns the number of all tokens.
    fn total(&self) -> Dim {
        self.prompt.plus(&Dim::Known(self.steps.iter().sum()))
    }

    /// Returns a graph with the inputs of a decoder for all tokens, except its cache.
    fn inputs(&self, model: &Graph) -> Graph {
        let mut copier = Copier::new(model);
        let mut graph = copier.empty();
        for own in model.inputs() {
            let name = model.value_name(own);
            if self.pasts.contains(name) || is_length(model, own) {
                continue;
            }
            let copied = copier.input(&mut graph, own);
            let mut fact = graph.fact(copied).clone();
            let ValueType::Tensor(TensorType { shape: Some(shape), .. }) = &mut fact.ty else { continue };
            for axis in self.axes.get(name).into_iter().flatten().flatten() {
                shape.dims_mut()[*axis] = self.total();
            }
            graph.undeclare(copied);
            graph.set_fact(copied, fact);
        }
        graph
    }

    /// Returns the axes of the new tokens, and those of all tokens so far; `None` if the rank is unknown.
    fn axes_of(&self, cached: &Graph, value: Value) -> Option<[Vec<usize>; 2]> {
        let has = |dim: &Dim, wanted: &Symbol| {
            let mut found = false;
            dim.for_each_symbol(&mut |symbol| found |= symbol == wanted);
            found
        };
        let shape = cached.shape(value)?;
        // The size of the last token alone mentions the number of tokens, and is 1 for each.
        let is_last = |dim: &Dim| {
            let at = |tokens: i64| dim.substitute(&|symbol| (*symbol == self.new).then_some(Dim::Known(tokens)));
            at(1) == Dim::Known(1) && at(2) == Dim::Known(1)
        };
        // The rows of a part of a buffer mention the past, and are as many as the new tokens after any past.
        let after = |dim: &Dim, past: i64| {
            dim.substitute(&|symbol| match symbol {
                symbol if *symbol == self.new => Some(Dim::Known(2)),
                symbol if Some(symbol) == self.past.as_ref() => Some(Dim::Known(past)),
                _ => None,
            })
        };
        let is_past = |axis: &usize| {
            let dim = &shape[*axis];
            self.past.as_ref().is_some_and(|past| has(dim, past)) && after(dim, 1) != after(dim, 2)
        };
        let (all, others): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(is_past);
        let is_new = |axis: &usize| has(&shape[*axis], &self.new) && !is_last(&shape[*axis]);
        Some([others.into_iter().filter(is_new).collect(), all])
    }

    /// Returns the part of an output that a step has; `None` if its rows have a column for each token so far, or its rank
    /// is unknown.
    fn part(&self, cached: &Graph, output: &GraphOutput) -> Option<Part> {
        if self.presents.contains(&output.name) {
            return Some(Part::All(LENGTH));
        }
        let [new, all] = self.axes_of(cached, output.value)?;
        match (&new[..], &all[..]) {
            ([], []) => Some(Part::Last),
            ([axis], []) => Some(Part::New(*axis)),
            ([], [axis]) => Some(Part::All(*axis)),
            _ => None,
        }
    }
}

/// Returns a size that is a symbol.
fn symbol(dim: &Dim) -> Option<Symbol> {
    if let Dim::Symbol(symbol) = dim { Some(symbol.clone()) } else { None }
}

/// Returns the last symbol of a size other than a given one.
fn other_symbol(dim: &Dim, known: &Symbol) -> Option<Symbol> {
    let mut other = None;
    dim.for_each_symbol(&mut |symbol| {
        if symbol != known {
            other = Some(symbol.clone());
        }
    });
    other
}

/// Whether an input is the number of tokens in the buffers.
fn is_length(graph: &Graph, input: Value) -> bool {
    graph.value_name(input).starts_with(PAST_LENGTH)
        && graph.shape(input).is_some_and(|shape| *shape == [Dim::Known(1)])
}

/// A graph to which outputs are added.
struct Side<'p> {
    graph: Graph,
    ports: &'p Ports,
    /// The outputs of each step, and those for all tokens at once.
    passes: Vec<Vec<Value>>,
    at_once: Vec<Value>,
}

impl<'p> Side<'p> {
    /// Returns a decoder without a cache, for all tokens.
    fn at_once(plain: &Graph, ports: &'p Ports) -> Result<Self, InferError> {
        let mut sized = plain.clone();
        substitute(&mut sized, &[(ports.new.clone(), ports.total())].into());
        sized.infer_anew();
        let mut copier = Copier::new(&sized);
        let mut graph = copier.empty();
        sized.inputs().for_each(|input| _ = copier.input(&mut graph, input));
        for id in sized.schedule() {
            if !matches!(sized.node(id).op(), Op::Input) {
                copier.node(&mut graph, id, Facts::Kept)?;
            }
        }
        let at_once = sized.outputs().iter().map(|output| copier.values[&output.value]).collect();
        Ok(Self { graph, ports, passes: vec![], at_once })
    }

    /// Returns a decoder with a cache, in steps and at once.
    fn in_steps(model: &Graph, ports: &'p Ports) -> Result<Self, InferError> {
        let mut side = Self { graph: ports.inputs(model), ports, passes: vec![], at_once: vec![] };
        let buffers = buffers(model);
        let mut weights = HashMap::default();
        side.at_once = side.pass(model, &buffers, &mut weights, None)?;
        let mut from = 0;
        for at in 0..=ports.steps.len() {
            let left: i64 = ports.steps[at..].iter().sum();
            let to = if left == 0 { i64::MAX } else { -left };
            let outputs = side.pass(model, &buffers, &mut weights, Some((from, to)))?;
            side.passes.push(outputs);
            from = to;
        }
        Ok(side)
    }

    /// Adds one pass over the tokens between two places, after the passes so far, or over all tokens; returns its outputs.
    fn pass(
        &mut self,
        model: &Graph,
        buffers: &[[Value; 2]],
        weights: &mut HashMap<Value, Value>,
        places: Option<(i64, i64)>,
    ) -> Result<Vec<Value>, InferError> {
        let ports = self.ports;
        let mut copier = Copier::new(model);
        copier.values.clone_from(weights);
        let output = |name: &Name| model.outputs().iter().position(|output| output.name == *name);
        for own in model.inputs() {
            let name = model.value_name(own);
            let past = ports.pasts.iter().position(|past| past == name).map(|at| output(&ports.presents[at]));
            let value = match (past, places, input(&self.graph, name)) {
                (Some(Some(present)), Some(_), _) if !self.passes.is_empty() => {
                    self.passes[self.passes.len() - 1][present]
                }
                (Some(_), ..) => self.empty(model, own, !buffers.is_empty())?,
                (None, Some((from, to)), Some(whole)) => match ports.axes.get(name) {
                    Some([new, all]) => {
                        let starts = [vec![from; new.len()], vec![0; all.len()]].concat();
                        self.slice(whole, &starts, to, &[&new[..], all].concat())?
                    }
                    None => whole,
                },
                (None, None, Some(whole)) => whole,
                (None, _, None) => self.done(places.map_or(0, |(from, _)| from))?,
            };
            copier.values.insert(own, value);
        }
        for id in model.schedule() {
            let op = model.node(id).op();
            let value = Value { node: id, result: 0 };
            if matches!(op, Op::Input) || copier.values.contains_key(&value) {
                continue;
            }
            let copied = copier.node(&mut self.graph, id, Facts::Inferred)?;
            // The sizes differ from those that the model declares.
            self.graph.results(copied).for_each(|value| self.graph.undeclare(value));
            for [past, present] in buffers.iter().filter(|[_, present]| present.node == id) {
                let fact = self.graph.fact(copier.values[past]).clone();
                self.graph.set_fact(copier.values[present], fact);
            }
            if matches!(op, Op::Parameter(_) | Op::SparseParameter(_)) {
                weights.insert(value, copier.values[&value]);
            }
        }
        Ok(model.outputs().iter().map(|output| copier.values[&output.value]).collect())
    }

    /// Returns the number of tokens before a place, `i64[1]`.
    fn done(&mut self, from: i64) -> Result<Value, InferError> {
        let from_end = self.graph.constant("from", Tensor::indices(&[from]));
        match self.size(&self.ports.total())? {
            Some(total) if from < 0 => self.graph.append("done", Op::Add, &[total, from_end]),
            _ => Ok(from_end),
        }
    }

    /// Returns a size of an input, `i64[1]`.
    fn size(&mut self, dim: &Dim) -> Result<Option<Value>, InferError> {
        let graph = &mut self.graph;
        let place = |input: Value| Some((input, graph.shape(input)?.iter().position(|own| own == dim)?));
        let Some((of, at)) = graph.inputs().find_map(place) else { return Ok(None) };
        let end = Some(signed(at + 1)).filter(|_| graph.fact(of).rank() != Some(at + 1));
        graph.append("size", Op::Shape { start: signed(at), end }, &[of]).map(Some)
    }

    fn slice(&mut self, value: Value, starts: &[i64], to: i64, axes: &[usize]) -> Result<Value, InferError> {
        if axes.is_empty() {
            return Ok(value);
        }
        let ends = vec![to; axes.len()];
        let axes: Vec<i64> = axes.iter().copied().map(signed).collect();
        let [starts, ends, axes] =
            [starts, &ends, &axes].map(|numbers| self.graph.constant("bounds", Tensor::indices(numbers)));
        self.graph.append("part", Op::Slice, &[value, starts, ends, axes])
    }

    /// Returns a past without tokens: of length 0, or a buffer for all tokens.
    fn empty(&mut self, model: &Graph, past: Value, is_buffer: bool) -> Result<Value, InferError> {
        let mut sizes = vec![];
        for (axis, dim) in model.shape(past).unwrap_or_default().to_vec().into_iter().enumerate() {
            let dim = match axis {
                LENGTH if is_buffer => self.ports.total(),
                LENGTH => Dim::Known(0),
                _ => dim,
            };
            let size = if dim.known().is_none() { self.size(&dim)? } else { None };
            let known = || Tensor::indices(&[dim.known().unwrap_or(0)]);
            sizes.push(size.unwrap_or_else(|| self.graph.constant("size", known())));
        }
        let shape = self.graph.append("empty_shape", Op::Concat { axis: 0 }, &sizes)?;
        let element = model.fact(past).element().unwrap_or(ElementType::F32);
        self.graph.append("empty", Op::ConstantOfShape { value: zero(element, &[1])? }, &[shape])
    }

    /// Adds both forms of an output, in which padding is 0.
    fn outputs(&mut self, name: &Name, part: Part, at: usize) -> Result<(), InferError> {
        let parts: Vec<Value> = self.passes.iter().map(|outputs| outputs[at]).collect();
        let in_steps = match (part, parts.last()) {
            (_, None) => self.at_once[at],
            (Part::New(axis), _) => self.graph.append("steps", Op::Concat { axis: signed(axis) }, &parts)?,
            (Part::All(_) | Part::Last, Some(last)) => *last,
        };
        let graph = &mut self.graph;
        for (value, suffix) in [(in_steps, ""), (self.at_once[at], ".at_once")] {
            let mask = self.ports.mask.as_ref().and_then(|mask| input(graph, mask));
            let judged = match (part, mask) {
                (Part::New(axis) | Part::All(axis), Some(mask)) => without_padding(graph, value, mask, axis)?,
                // Each output is a value of its own.
                _ => graph.append("output", Op::Identity, &[value])?,
            };
            graph.output(format!("{name}{suffix}"), judged);
        }
        Ok(())
    }
}

/// Returns a value that is 0 for tokens of padding, which are along an axis.
fn without_padding(graph: &mut Graph, value: Value, mask: Value, axis: usize) -> Result<Value, InferError> {
    let (Some(rank), Some(element)) = (graph.fact(value).rank(), graph.fact(value).element()) else {
        return graph.append("output", Op::Identity, &[value]);
    };
    let seen = graph.append("is_token", cast(ElementType::Bool), &[mask])?;
    let axes: Vec<i64> = (1..rank).filter(|other| *other != axis).map(signed).collect();
    let axes = graph.constant("axes", Tensor::indices(&axes));
    let seen = graph.append("is_token", Op::Unsqueeze, &[seen, axes])?;
    let zero = graph.constant("padding", zero(element, &[])?);
    graph.append("output", Op::Where, &[seen, value, zero])
}

/// Returns the input of a name.
fn input(graph: &Graph, name: &str) -> Option<Value> {
    graph.inputs().find(|input| **graph.value_name(*input) == *name)
}

fn signed(axis: usize) -> i64 {
    i64::try_from(axis).unwrap_or(i64::MAX)
}

/// Returns a tensor of one element of 0.
fn zero(element: ElementType, dims: &[u64]) -> Result<Tensor, InferError> {
    let bytes = usize::try_from(element.bits() / 8).unwrap_or(0);
    Tensor::from_bytes(element, dims, vec![0; bytes]).map_err(|error| InferError {
        word: "constant",
        what: error.to_string(),
        help: None,
    })
}
