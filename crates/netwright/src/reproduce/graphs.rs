//! Evaluates graphs of a case and extracts parts of them.

use crate::ir::{ElementType, Fact, Graph, Op, Place, Tensor, TensorType, Value, ValueType};
use crate::prove::{Form, lowered, run, session};
use crate::verify::Array;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Values that become inputs, each with the name of the input.
pub(super) type Given<'a> = HashMap<Value, (&'a str, &'a Array)>;

/// The number of elements from which a tensor becomes an input; smaller integer tensors, such as shapes, become
/// constants.
const MAX_CONSTANTS: usize = 64;

/// Returns whether an operator computes its results: it is neither an input nor a tensor.
pub(super) fn is_computed(op: &Op) -> bool {
    !op.kind().is_source()
}

/// Returns the computed value of which an output is a copy.
pub(super) fn copied(graph: &Graph, mut output: Value) -> Value {
    while let (Op::Identity, Some(operand)) = (graph.op(output), graph.operand(output.node, 0)) {
        if !is_computed(graph.op(operand)) {
            break;
        }
        output = operand;
    }
    output
}

/// Returns the computed tensors by name, operands first.
pub(super) fn computed(graph: &Graph) -> Vec<(String, Value)> {
    let nodes = graph.schedule().into_iter().filter(|id| is_computed(graph.node(*id).op()));
    let values = nodes.flat_map(|id| graph.results(id)).filter(|value| graph.fact(*value).tensor_type().is_some());
    values.map(|value| (graph.value_name(value).to_string(), value)).collect()
}

/// Returns the values of every node of a graph.
pub(super) fn values(
    graph: &Graph,
    form: Form,
    inputs: &[(String, Array)],
) -> Result<BTreeMap<String, (String, Array)>, String> {
    let computed = computed(graph);
    let mut all = graph.clone();
    for (at, (_, value)) in computed.iter().enumerate() {
        let name = format!("computed.{at}");
        let copy = all.append(&name, Op::Identity, &[*value]).map_err(|error| error.to_string())?;
        all.output(name, copy);
    }
    let outputs = run(&session(&lowered(all, form)?)?, inputs)?;
    let own = graph.outputs().len();
    Ok(computed.into_iter().map(|(name, _)| name).zip(outputs.into_iter().skip(own)).collect())
}

/// Returns the values that outputs depend on, up to given values.
pub(super) fn reached(graph: &Graph, outputs: &[Value], given: &Given<'_>) -> HashSet<Value> {
    let mut reached: HashSet<Value> = HashSet::new();
    let mut pending = outputs.to_vec();
    while let Some(value) = pending.pop() {
        if reached.insert(value) && !given.contains_key(&value) {
            pending.extend(graph.operands(value.node).into_iter().flatten());
        }
    }
    reached
}

/// Returns the graph that computes the outputs from these inputs.
pub(super) fn rebuilt(
    graph: &Graph,
    outputs: &[Value],
    given: &Given<'_>,
    reached: &HashSet<Value>,
    inputs: &[(String, Array)],
) -> Result<Graph, String> {
    let mut new = Graph::new("reproducer");
    let mut values: HashMap<Value, Value> = HashMap::new();
    let ty = |array: &Array| {
        let known = |&size: &usize| i64::try_from(size).map_or(crate::ir::Dim::Unknown, crate::ir::Dim::Known);
        TensorType::new(array.element(), array.shape().iter().map(known).collect())
    };
    let named: HashMap<&str, Value> =
        inputs.iter().map(|(name, array)| (name.as_str(), new.input(name, ty(array)))).collect();
    let is_built = |value: &Value| reached.contains(value) && !given.contains_key(value);
    for id in graph.schedule() {
        for value in graph.results(id).filter(|value| reached.contains(value)) {
            let Some((name, array)) = given.get(&value) else { continue };
            let input = match (named.get(name), as_constant(array)) {
                (Some(input), _) => *input,
                (None, Some(tensor)) => new.constant(name, tensor),
                (None, None) => return Err(format!("`{name}` is not given")),
            };
            values.insert(value, input);
        }
        if !graph.results(id).any(|value| is_built(&value)) {
            continue;
        }
        let operands: Vec<Option<Value>> = graph
            .operands(id)
            .into_iter()
            .map(|operand| operand.and_then(|operand| values.get(&operand).copied()))
            .collect();
        let results = graph.results(id).map(|value| graph.value_name(value).clone()).collect();
        let place = Place { label: "".into(), results, order: None };
        let op = graph.node(id).op().clone();
        let copied = new.insert(place, op, &operands).map_err(|error| error.to_string())?;
        for (value, copied) in graph.results(id).zip(new.results(copied)) {
            if new.fact(copied).ty == ValueType::Unknown {
                let ty = graph.fact(value).ty.clone();
                new.set_fact(copied, Fact::of(ty));
            }
            values.entry(value).or_insert(copied);
        }
    }
    for (at, output) in outputs.iter().enumerate() {
        let mut value = *values.get(output).ok_or("an output is not computed")?;
        let name = format!("result.{at}");
        // Runtimes require a node between input and output.
        if !is_computed(new.op(value)) {
            value = new.append(&name, Op::Identity, &[value]).map_err(|error| error.to_string())?;
        }
        new.output(name, value);
    }
    Ok(new)
}

/// Returns whether a value is a short list of integers, such as a shape, which a runtime may need when it loads a
/// model.
pub(super) fn as_constant(array: &Array) -> Option<Tensor> {
    let is_list = array.shape().len() <= 1 && array.any().len() <= MAX_CONSTANTS;
    let is_integer = matches!(array.element(), ElementType::I64 | ElementType::I32);
    let dims: Vec<u64> = array.shape().iter().map(|&size| size as u64).collect();
    (is_list && is_integer).then(|| Tensor::from_bytes(array.element(), &dims, array.to_bytes()).ok()).flatten()
}
