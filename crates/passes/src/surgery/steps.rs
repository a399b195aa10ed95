//! Connects the steps of a decoder with a KV cache to one model, to compare it with the decoder without a cache.

use super::SurgeryError;
use super::copy::{Copier, Facts};
use super::dims::{substitute, symbols};
use crate::rewrite::cast;
use netwright_ir::{Dim, ElementType, Graph, HashMap, InferError, Model, Name, Op, Symbol, Tensor, Value, check};

/// The numbers of tokens of the steps after the prompt.
const STEPS: [i64; 2] = [2, 1];

/// The name of the number of tokens of the prompt.
const PROMPT: &str = "prompt_length";

/// A decoder, and the same one in steps. Both have the same inputs and outputs.
#[derive(Clone, Debug)]
pub struct Unrolled {
    /// The decoder without a cache.
    pub whole: Model,
    /// The decoder with a cache, in steps.
    pub steps: Model,
    /// The outputs that both leave out, because those of the steps are not parts of those of the decoder.
    pub left_out: Vec<Name>,
}

/// Returns two models that compute the same if `cached` is what [`Options::add_cache`](crate::Options::add_cache) makes of
/// `plain`.
///
/// The number of tokens is `prompt_length + 3`, or that of another symbol if the models have this one. The first model is `plain`. The second one runs `cached` for all tokens
/// with an empty past, and again for a prompt, for two tokens and for one, each with the past of the step before. Outputs
/// come twice: under their names for the steps, and as `NAME.at_once`. Outputs of padding, which may differ, are 0.
///
/// # Errors
/// If the models are not such a pair.
pub fn unroll_cache(plain: &Model, cached: &Model) -> Result<Unrolled, SurgeryError> {
    let no_pair = || {
        let what =
            "the second model is not the first one with a KV cache\n  help: add one to the first with --add-kv-cache";
        SurgeryError::Steps(what.to_owned())
    };
    let ports = Ports::of(&plain.graph, &cached.graph).ok_or_else(no_pair)?;
    let mut sized = plain.graph.clone();
    let length = prompt(plain, cached).plus(&Dim::Known(STEPS.iter().sum()));
    substitute(&mut sized, &[(ports.new.clone(), length)].into());
    sized.infer_anew();
    let connected = connect(&sized, &cached.graph, &ports).map_err(|error| {
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
    let mut copier = Copier::new(plain);
    let mut graph = copier.empty();
    plain.inputs().for_each(|input| _ = copier.input(&mut graph, input));
    for id in plain.schedule() {
        if !matches!(plain.node(id).op(), Op::Input) {
            copier.node(&mut graph, id, Facts::Kept)?;
        }
    }
    let mut whole = Side { graph, ports };
    let mut graph = Copier::new(cached).empty();
    let mut inputs = Copier::new(plain);
    plain.inputs().for_each(|input| _ = inputs.input(&mut graph, input));
    let mut steps = Side { graph, ports };

    let mut weights = HashMap::default();
    let at_once = steps.pass(cached, &mut weights, None, None)?;
    let mut passes: Vec<Vec<Value>> = vec![];
    let mut from = 0;
    for at in 0..=STEPS.len() {
        let left: i64 = STEPS[at..].iter().sum();
        let to = if left == 0 { i64::MAX } else { -left };
        let present = |outputs: &Vec<Value>| ports.presents.iter().map(|present| outputs[*present]).collect();
        let past: Option<Vec<Value>> = passes.last().map(present);
        passes.push(steps.pass(cached, &mut weights, past.as_deref(), Some((from, to)))?);
        from = to;
    }
    let mut left_out = vec![];
    for output in plain.outputs() {
        let own = cached.outputs().iter().position(|own| own.name == output.name);
        let Some((own, part)) = own.and_then(|own| Some((own, ports.part(cached, cached.outputs()[own].value)?)))
        else {
            left_out.push(output.name.clone());
            continue;
        };
        let parts: Vec<Value> = passes.iter().map(|outputs| outputs[own]).collect();
        let in_steps = match part {
            Part::New(axis) => steps.graph.append("steps", Op::Concat { axis: signed(axis) }, &parts)?,
            Part::All(_) | Part::Last => parts[STEPS.len()],
        };
        let value = copier.values[&output.value];
        whole.outputs(&output.name, part, [value, value])?;
        steps.outputs(&output.name, part, [in_steps, at_once[own]])?;
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
struct Ports {
    /// The numbers of tokens of the past, and of the step.
    past: Symbol,
    new: Symbol,
    /// The names of the inputs of the past.
    pasts: Vec<Name>,
    /// Which outputs become these inputs in the next step.
    presents: Vec<usize>,
    /// The name of the input with the padding of each token.
    mask: Option<Name>,
}

impl Ports {
    fn of(plain: &Graph, cached: &Graph) -> Option<Self> {
        let is_past = |input: &Value| self::input(plain, cached.value_name(*input)).is_none();
        let inputs: Vec<Value> = cached.inputs().filter(is_past).collect();
        let Dim::Symbol(past) = cached.shape(*inputs.first()?)?.get(2)? else { return None };
        let names = cached.outputs().iter().map(|output| &*output.name);
        let names: Vec<&str> = names.collect();
        let present = |input: &Value| {
            let name = cached.value_name(*input).strip_prefix("past_key_values")?;
            names.iter().position(|own| own.strip_prefix("present") == Some(name))
        };
        let presents: Vec<usize> = inputs.iter().map(present).collect::<Option<_>>()?;
        let mut new = None;
        cached.shape(cached.outputs()[*presents.first()?].value)?.get(2)?.for_each_symbol(&mut |symbol| {
            if symbol != past {
                new = Some(symbol.clone());
            }
        });
        let mut ports = Self {
            past: past.clone(),
            new: new?,
            pasts: inputs.iter().map(|input| cached.value_name(*input).clone()).collect(),
            presents,
            mask: None,
        };
        let is_mask = |input: &Value| {
            let is_flag = cached.fact(*input).element().is_some_and(|element| !element.is_float());
            is_flag && cached.fact(*input).rank() == Some(2) && ports.axes(cached, *input) == Some([vec![], vec![1]])
        };
        let mask = cached.inputs().find(|input| is_mask(input));
        ports.mask = mask.map(|mask| cached.value_name(mask).clone());
        Some(ports)
    }

    /// Returns the axes of the new tokens, and those of all tokens so far; `None` if the rank is unknown.
    fn axes(&self, cached: &Graph, value: Value) -> Option<[Vec<usize>; 2]> {
        let has = |dim: &Dim, wanted: &Symbol| {
            let mut found = false;
            dim.for_each_symbol(&mut |symbol| found |= symbol == wanted);
            found
        };
        let shape = cached.shape(value)?;
        let (all, others): (Vec<usize>, Vec<usize>) = (0..shape.len()).partition(|axis| has(&shape[*axis], &self.past));
        Some([others.into_iter().filter(|axis| has(&shape[*axis], &self.new)).collect(), all])
    }

    /// Returns the part of an output that a step has; `None` if its rows have a column for each token so far, or its rank
    /// is unknown.
    fn part(&self, cached: &Graph, value: Value) -> Option<Part> {
        let [new, all] = self.axes(cached, value)?;
        match (&new[..], &all[..]) {
            ([], []) => Some(Part::Last),
            ([axis], []) => Some(Part::New(*axis)),
            ([], [axis]) => Some(Part::All(*axis)),
            _ => None,
        }
    }
}

/// A graph to which outputs are added.
struct Side<'p> {
    graph: Graph,
    ports: &'p Ports,
}

impl Side<'_> {
    /// Adds one pass over the tokens between two places, or over all tokens, after a past, or after none; returns its
    /// outputs.
    fn pass(
        &mut self,
        cached: &Graph,
        weights: &mut HashMap<Value, Value>,
        past: Option<&[Value]>,
        places: Option<(i64, i64)>,
    ) -> Result<Vec<Value>, InferError> {
        let ports = self.ports;
        let mut copier = Copier::new(cached);
        copier.values.clone_from(weights);
        for own in cached.inputs() {
            let name = cached.value_name(own);
            let value = match (input(&self.graph, name), ports.pasts.iter().position(|past| past == name)) {
                (None, at) => match (past, at) {
                    (Some(past), Some(at)) => past[at],
                    _ => self.empty(cached, own)?,
                },
                (Some(whole), _) => match (places, ports.axes(cached, own)) {
                    (Some((from, to)), Some([new, all])) => {
                        let starts = [vec![from; new.len()], vec![0; all.len()]].concat();
                        self.slice(whole, &starts, to, &[new, all].concat())?
                    }
                    _ => whole,
                },
            };
            copier.values.insert(own, value);
        }
        for id in cached.schedule() {
            let op = cached.node(id).op();
            let value = Value { node: id, result: 0 };
            if matches!(op, Op::Input) || copier.values.contains_key(&value) {
                continue;
            }
            let copied = copier.node(&mut self.graph, id, Facts::Inferred)?;
            // The sizes differ from those that `cached` declares.
            self.graph.results(copied).for_each(|value| self.graph.undeclare(value));
            if matches!(op, Op::Parameter(_) | Op::SparseParameter(_)) {
                weights.insert(value, copier.values[&value]);
            }
        }
        Ok(cached.outputs().iter().map(|output| copier.values[&output.value]).collect())
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

    /// Returns a past without tokens.
    fn empty(&mut self, cached: &Graph, past: Value) -> Result<Value, InferError> {
        let shape = cached.shape(past).unwrap_or_default().to_vec();
        let place = |dim: &Dim| {
            let of = |input: Value| Some((input, cached.shape(input)?.iter().position(|own| own == dim)?));
            let named = |(own, axis): (Value, usize)| Some((input(&self.graph, cached.value_name(own))?, axis));
            cached.inputs().filter_map(of).find_map(named)
        };
        let places: Vec<Option<(Value, usize)>> = shape.iter().map(place).collect();
        let mut sizes = vec![];
        for (axis, (dim, place)) in shape.iter().zip(places).enumerate() {
            sizes.push(match (place, dim.known()) {
                (Some((of, at)), None) if axis != 2 => {
                    let end = Some(signed(at + 1)).filter(|_| self.graph.fact(of).rank() != Some(at + 1));
                    self.graph.append("size", Op::Shape { start: signed(at), end }, &[of])?
                }
                (_, known) => self.graph.constant("size", Tensor::indices(&[known.unwrap_or(0)])),
            });
        }
        let shape = self.graph.append("empty_shape", Op::Concat { axis: 0 }, &sizes)?;
        let element = cached.fact(past).element().unwrap_or(ElementType::F32);
        self.graph.append("empty", Op::ConstantOfShape { value: zero(element, &[1])? }, &[shape])
    }

    /// Adds both forms of an output, in which padding is 0.
    fn outputs(&mut self, name: &Name, part: Part, forms: [Value; 2]) -> Result<(), InferError> {
        let graph = &mut self.graph;
        for (value, suffix) in forms.into_iter().zip(["", ".at_once"]) {
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
