//! Cuts a part out of a model.

use super::copy::{Copier, Facts, copy_annotations};
use super::outputs::{copy_outputs, outputs_named};
use super::{SurgeryError, ValuesByName, expect_no_training, interface_type};
use netwright_ir::{Function, Graph, GraphOutput, HashMap, HashSet, Model, Name, Op, Value};
use std::collections::VecDeque;

/// Returns the part of a model that computes the values `to` from the values `from`, with its weights.
///
/// `from` may name inputs, computed values and weights, which become inputs, in this order; the default is the inputs
/// that the part reads. `to` names computed values, weights and inputs; the default is the outputs. Inputs with a default
/// that the part reads stay, and so do the functions that it calls.
///
/// # Errors
/// If a name is unknown or given twice, an output depends on another input, no output depends on a value of `from`, the
/// type of a value is unknown, or the model has training steps.
pub fn extract(model: &Model, from: Option<&[&str]>, to: Option<&[&str]>) -> Result<Model, SurgeryError> {
    expect_no_training(model)?;
    let graph = &model.graph;
    let names = ValuesByName::new(graph);
    let given = from.map(|from| names.find_all(from)).transpose()?;
    let outputs = match to {
        Some(to) => outputs_named(graph, &names, to)?,
        None => graph.outputs().to_vec(),
    };
    let named: Vec<(Value, &str)> = given.iter().flatten().copied().zip(from.into_iter().flatten().copied()).collect();
    let cut: HashSet<Value> = named.iter().map(|(value, _)| *value).collect();
    let needed = Needed::new(graph, outputs.iter().map(|output| output.value), &cut);
    if let Some((_, name)) = named.iter().find(|(value, _)| !needed.contains(*value)) {
        return Err(SurgeryError::NotRead { name: (*name).to_owned() });
    }
    let is_kept = |input: &Value| !cut.contains(input) && needed.contains(*input);
    let kept: Vec<Value> = graph.inputs().filter(is_kept).collect();
    let cut_off: Vec<Value> = kept.iter().copied().filter(|input| graph.default_of(*input).is_none()).collect();
    if let (Some(_), Some(first)) = (from, cut_off.first()) {
        let (output, path) = needed.path(graph, *first);
        let output = outputs.iter().find(|it| it.value == output).map(|it| it.name.to_string()).unwrap_or_default();
        let inputs = cut_off.iter().map(|input| graph.value_name(*input).to_string()).collect();
        return Err(SurgeryError::CutOff { output, inputs, path });
    }
    let inputs: Vec<(Value, &str)> =
        named.into_iter().chain(kept.into_iter().map(|input| (input, &**graph.value_name(input)))).collect();
    let part = part(graph, &inputs, &needed, &outputs)?;
    let functions = called(&part, &model.functions);
    Ok(Model { graph: part, functions, ..without_graph(model) })
}

/// Returns the graph that computes outputs from these inputs: inputs of the graph, or other values with the names of the
/// inputs that stand for them.
pub(super) fn part(
    graph: &Graph,
    inputs: &[(Value, &str)],
    needed: &Needed,
    outputs: &[GraphOutput],
) -> Result<Graph, SurgeryError> {
    let mut copier = Copier::new(graph);
    let mut part = copier.empty();
    for &(value, name) in inputs {
        if matches!(graph.op(value), Op::Input) {
            copier.input(&mut part, value);
        } else {
            copier.cut(&mut part, value, name, interface_type(graph, value, name)?);
        }
    }
    for id in graph.schedule() {
        let mut results = graph.results(id);
        if results.any(|value| needed.contains(value) && !copier.values.contains_key(&value)) {
            copier.node(&mut part, id, Facts::Kept).map_err(|error| SurgeryError::Cut(error.to_string()))?;
        }
    }
    copy_outputs(&copier, &mut part, outputs)?;
    copy_annotations(graph, &mut part);
    Ok(part)
}

/// Returns a model with the metadata of another one, without its graph and functions.
pub(super) fn without_graph(model: &Model) -> Model {
    Model {
        graph: Graph::default(),
        opsets: model.opsets.clone(),
        functions: vec![],
        training: vec![],
        producer: model.producer.clone(),
        domain: model.domain.clone(),
        version: model.version,
        doc: model.doc.clone(),
        metadata: model.metadata.clone(),
        early_operators: model.early_operators,
        devices: model.devices.clone(),
        warnings: model.warnings.clone(),
    }
}

/// The values that outputs depend on, up to values that are cut.
pub(super) struct Needed {
    /// Each with the value that reads it, or `None` for an output.
    values: HashMap<Value, Option<Value>>,
}

impl Needed {
    /// Finds the values breadth first, so that the path to each is one of the shortest.
    pub(super) fn new(graph: &Graph, outputs: impl Iterator<Item = Value>, cut: &HashSet<Value>) -> Self {
        let mut values: HashMap<Value, Option<Value>> = HashMap::default();
        let mut pending = VecDeque::new();
        for output in outputs {
            if values.insert(output, None).is_none() {
                pending.push_back(output);
            }
        }
        while let Some(value) = pending.pop_front() {
            if cut.contains(&value) {
                continue;
            }
            for operand in graph.operands(value.node).into_iter().flatten() {
                values.entry(operand).or_insert_with(|| {
                    pending.push_back(operand);
                    Some(value)
                });
            }
        }
        Self { values }
    }

    pub(super) fn contains(&self, value: Value) -> bool {
        self.values.contains_key(&value)
    }

    /// Returns the output that a value reaches, and the path as text.
    fn path(&self, graph: &Graph, from: Value) -> (Value, String) {
        let mut steps = vec![format!("{:?}", graph.value_name(from))];
        let mut last = from;
        while let Some(Some(next)) = self.values.get(&last) {
            last = *next;
            steps.push(format!("{:?} ({})", graph.value_name(last), graph.op(last).word()));
        }
        if let Some(left_out @ 1..) = steps.len().checked_sub(MAX_STEPS) {
            steps.splice(MAX_STEPS / 2..MAX_STEPS / 2 + left_out, [format!("{left_out} more")]);
        }
        (last, steps.join(" -> "))
    }
}

/// The number of steps of a path that are printed.
const MAX_STEPS: usize = 5;

/// Returns the functions that the nodes of a graph call, and those that these call.
fn called(graph: &Graph, functions: &[Function]) -> Vec<Function> {
    type Key = (Name, Name, Name);
    fn calls(graph: &Graph, keys: &mut HashSet<Key>) {
        for id in graph.schedule() {
            let op = graph.node(id).op();
            if let Op::Opaque(opaque) = op {
                keys.insert((opaque.domain.clone(), opaque.op_type.clone(), opaque.overload.clone()));
            }
            op.bodies().into_iter().for_each(|body| calls(body, keys));
        }
    }
    let mut keys = HashSet::default();
    calls(graph, &mut keys);
    let is_called = |function: &Function, keys: &HashSet<Key>| {
        keys.contains(&(function.domain.clone(), function.name.clone(), function.overload.clone()))
    };
    // Functions are not recursive, so no call is left after this many rounds.
    for _ in functions {
        let before = keys.len();
        for function in functions {
            if is_called(function, &keys) {
                calls(&function.graph, &mut keys);
            }
        }
        if keys.len() == before {
            break;
        }
    }
    functions.iter().filter(|function| is_called(function, &keys)).cloned().collect()
}
