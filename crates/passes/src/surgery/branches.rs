//! Joins two models that compute the same outputs in two cases.

use super::copy::{Copier, Facts, common_conventions};
use super::merge::{Merged, add_description, is_equal_op};
use super::{SurgeryError, expect_no_training};
use netwright_ir::{
    ElementType, Graph, HashMap, Model, Name, NodeId, Op, OpKind, Place, TensorType, Value, check, shape,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Constants with more elements are stored outside of the branches, once if they are equal.
const MAX_IN_BRANCH: u64 = 64;

/// Joins two models to one that runs one of them: `yes` if the new input `condition`, `bool[1]`, is true, otherwise
/// `no`.
///
/// Inputs of one name are one input; an input that only one of the models has is ignored in the other case. The outputs
/// are those of `no`. Where `yes` does not compute one of them, `kept` names the input that it passes on instead (pairs
/// of output and input). Equal weights of one name are stored once.
///
/// # Errors
/// If inputs of one name have different types, an output of one model has no counterpart in the other, the models
/// import different versions of an operator set, or a product reads a weight from a DequantizeLinear.
pub fn merge_branches(condition: &str, yes: &Model, no: &Model, kept: &[(&str, &str)]) -> Result<Merged, SurgeryError> {
    [yes, no].into_iter().try_for_each(expect_no_training)?;
    let mut notes = vec![];
    let mut model = Model { graph: Graph::default(), ..no.clone() };
    add_description(&mut model, yes, 2, false, &mut notes)?;

    let graphs = [&no.graph, &yes.graph];
    graphs.into_iter().try_for_each(expect_no_product_of_codes)?;
    let mut outer = Copier::new(&no.graph).empty();
    outer.set_conventions(common_conventions(graphs));
    let mut outside = add_inputs(&mut outer, graphs)?;
    if outer.inputs().any(|input| **outer.value_name(input) == *condition) {
        return Err(SurgeryError::Taken { name: condition.to_owned(), by: "an input" });
    }
    let flag = outer.input(condition, TensorType::new(ElementType::Bool, shape![1]));
    add_weights(&mut outer, graphs, &mut outside)?;

    let outputs: Vec<Name> = no.graph.outputs().iter().map(|output| output.name.clone()).collect();
    let [first, second] = &outside;
    let no_values: Vec<Value> = no.graph.outputs().iter().map(|output| output.value).collect();
    let yes_values = counterparts(&yes.graph, &outputs, kept)?;
    let (else_branch, of_no) = branch(&outer, &no.graph, first, &outputs, &no_values)?;
    let (then_branch, of_yes) = branch(&outer, &yes.graph, second, &outputs, &yes_values)?;
    let operands: SmallVec<[Option<Value>; 4]> = [flag].into_iter().chain(of_yes).chain(of_no).map(Some).collect();
    let op = Op::If { then_branch: Arc::new(then_branch), else_branch: Arc::new(else_branch) };
    let place = Place { results: outputs.iter().cloned().collect(), ..Place::end(condition) };
    let node = outer.insert(place, op, &operands).map_err(|error| SurgeryError::Merge(error.to_string()))?;
    for (name, value) in outputs.into_iter().zip(outer.results(node)) {
        outer.output(name, value);
    }
    check(&outer).map_err(|violations| SurgeryError::Merge(format!("the joined model is not valid:\n{violations}")))?;
    model.graph = outer;
    Ok(Merged { model, notes, unconnected: vec![] })
}

/// What the values of each of two graphs are in the graph around them.
type Outside = [HashMap<Value, Value>; 2];

/// Adds the inputs of both graphs, each name once.
fn add_inputs(outer: &mut Graph, graphs: [&Graph; 2]) -> Result<Outside, SurgeryError> {
    let mut outside = Outside::default();
    let mut known: HashMap<Name, Value> = HashMap::default();
    for (graph, outside) in graphs.into_iter().zip(&mut outside) {
        for input in graph.inputs() {
            let (name, ty) = (graph.value_name(input), &graph.fact(input).ty);
            if graph.default_of(input).is_some() {
                let what = format!("the input {name:?} has a default\n  help: remove the default");
                return Err(SurgeryError::Merge(what));
            }
            let copied = *known.entry(name.clone()).or_insert_with(|| outer.input(name, ty.clone()));
            let own = &outer.fact(copied).ty;
            if own != ty {
                let what = format!(
                    "the input {name:?} is {own} in one model, but {ty} in the other\n  help: rename one of them"
                );
                return Err(SurgeryError::Merge(what));
            }
            outside.insert(input, copied);
        }
    }
    Ok(outside)
}

/// Adds the weights and large constants of both graphs; equal ones of one name once.
fn add_weights(outer: &mut Graph, graphs: [&Graph; 2], outside: &mut Outside) -> Result<(), SurgeryError> {
    let mut known: HashMap<Name, (&Graph, Value)> = HashMap::default();
    for (at, graph) in graphs.into_iter().enumerate() {
        let mut copier = Copier::new(graph);
        for id in graph.schedule().into_iter().filter(|id| is_stored_outside(graph, *id)) {
            let value = Value { node: id, result: 0 };
            let name = graph.value_name(value);
            if let Some((other, same)) = known.get(name)
                && is_equal_op(other.op(*same), graph.op(value))?
            {
                let copied = outside[0][same];
                outside[at].insert(value, copied);
                continue;
            }
            copier.node(outer, id, Facts::Kept).map_err(|error| SurgeryError::Merge(error.to_string()))?;
            outside[at].insert(value, copier.values[&value]);
            known.entry(name.clone()).or_insert((graph, value));
        }
    }
    Ok(())
}

fn is_stored_outside(graph: &Graph, id: NodeId) -> bool {
    match graph.node(id).op() {
        Op::Parameter(_) | Op::SparseParameter(_) => true,
        Op::Constant(tensor) => tensor.len() > MAX_IN_BRANCH,
        _ => false,
    }
}

/// Refuses products by weights that a branch would dequantize from codes outside of it, which ONNX Runtime does not load.
fn expect_no_product_of_codes(graph: &Graph) -> Result<(), SurgeryError> {
    let is_product = |(user, _): (NodeId, usize)| graph.node(user).op().kind() == OpKind::MatMul;
    let is_dequantized = |id: &NodeId| {
        let is_stored = graph.operand(*id, 0).is_some_and(|codes| is_stored_outside(graph, codes.node));
        is_stored && graph.node(*id).op().kind() == OpKind::DequantizeLinear
    };
    let mut dequantized = graph.schedule().into_iter().filter(is_dequantized).map(|node| Value { node, result: 0 });
    match dequantized.find(|weight| graph.users(*weight).into_iter().any(is_product)) {
        None => Ok(()),
        Some(weight) => Err(SurgeryError::Merge(format!(
            "the quantized weight {:?} would be dequantized in a branch and stored outside of it, and ONNX Runtime 1.32 \
             does not load such a model\n  help: quantize for the target ort (--target ort), whose products read codes, or \
             leave the weights in floats",
            graph.value_name(weight)
        ))),
    }
}

/// Finds the values of a graph that stand for the outputs of another one.
fn counterparts(graph: &Graph, outputs: &[Name], kept: &[(&str, &str)]) -> Result<Vec<Value>, SurgeryError> {
    if let Some(extra) = graph.outputs().iter().find(|output| !outputs.contains(&output.name)) {
        let what = format!("only one model has the output {:?}\n  help: remove it, or rename it", extra.name);
        return Err(SurgeryError::Merge(what));
    }
    let find = |name: &Name| {
        if let Some(output) = graph.outputs().iter().find(|output| output.name == *name) {
            return Ok(output.value);
        }
        let input = kept.iter().find(|(output, _)| *output == &**name).map_or(&**name, |(_, input)| input);
        graph.inputs().find(|value| **graph.value_name(*value) == *input).ok_or_else(|| {
            SurgeryError::Merge(format!(
                "only one model has the output {name:?}, and the other has no input {input:?} to pass on\n  help: remove the \
                 output, or name an input that stands for it"
            ))
        })
    };
    outputs.iter().map(find).collect()
}

/// Returns a graph as a body, with the values that it captures.
fn branch(
    outer: &Graph,
    graph: &Graph,
    outside: &HashMap<Value, Value>,
    outputs: &[Name],
    values: &[Value],
) -> Result<(Graph, Vec<Value>), SurgeryError> {
    let failed = |error: netwright_ir::InferError| SurgeryError::Merge(error.to_string());
    let mut copier = Copier::new(graph);
    let mut body = copier.empty();
    let mut captured = vec![];
    for id in graph.schedule() {
        let value = Value { node: id, result: 0 };
        let Some(&from) = outside.get(&value) else {
            copier.node(&mut body, id, Facts::Kept).map_err(failed)?;
            continue;
        };
        if graph.use_count(value) > 0 || values.contains(&value) {
            let copy = body.capture(outer.value_name(from), outer.fact(from).clone());
            copier.values.insert(value, copy);
            captured.push(from);
        }
    }
    for (name, value) in outputs.iter().zip(values) {
        let mut value = copier.values[value];
        // A body returns each of its own values once, and none of those around it.
        if *body.op(value) == Op::Captured || body.is_output(value) {
            value = body.append(name, Op::Identity, &[value]).map_err(failed)?;
        }
        body.output(name.clone(), value);
    }
    Ok((body, captured))
}
