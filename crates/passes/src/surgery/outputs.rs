//! Chooses the outputs of a model.

use super::copy::Copier;
use super::extract::{Needed, part};
use super::{SurgeryError, ValuesByName, expect_no_training, interface_type};
use netwright_ir::{Graph, GraphOutput, HashSet, Model, Value};
use std::sync::Arc;

/// Makes the values of these names the outputs of a model, in this order.
///
/// Nodes and weights that no output depends on are removed, and with them the inputs that only they read. Inputs that
/// nothing read before stay.
///
/// # Errors
/// If a name is unknown or given twice, the type of a value is unknown, or the model has training steps.
pub fn set_outputs(model: &mut Model, names: &[&str]) -> Result<(), SurgeryError> {
    expect_no_training(model)?;
    let graph = &model.graph;
    let outputs = outputs_named(graph, &ValuesByName::new(graph), names)?;
    let needed = Needed::new(graph, outputs.iter().map(|output| output.value), &HashSet::default());
    let is_kept = |input: &Value| needed.contains(*input) || graph.use_count(*input) == 0;
    let inputs: Vec<(Value, &str)> =
        graph.inputs().filter(is_kept).map(|input| (input, &**graph.value_name(input))).collect();
    model.graph = part(graph, &inputs, &needed, &outputs)?;
    Ok(())
}

/// Adds the values of these names to the outputs of a model, in this order.
///
/// # Errors
/// If a name is unknown, given twice or that of an output, or the type of a value is unknown.
pub fn add_outputs(model: &mut Model, names: &[&str]) -> Result<(), SurgeryError> {
    let graph = &model.graph;
    let found = outputs_named(graph, &ValuesByName::new(graph), names)?;
    if let Some(known) = found.iter().find(|new| graph.outputs().iter().any(|output| output.name == new.name)) {
        return Err(SurgeryError::Taken { name: known.name.to_string(), by: "an output" });
    }
    for output in found {
        model.graph.add_output(output);
    }
    Ok(())
}

/// Returns the outputs of these names: outputs of the graph, or values that become outputs.
pub(super) fn outputs_named(
    graph: &Graph,
    values: &ValuesByName<'_>,
    names: &[&str],
) -> Result<Vec<GraphOutput>, SurgeryError> {
    if names.is_empty() {
        return Err(SurgeryError::NoOutput);
    }
    let found = values.find_all(names)?;
    let output = |(name, value): (&&str, Value)| {
        if let Some(output) = graph.outputs().iter().find(|output| *output.name == **name) {
            return Ok(output.clone());
        }
        let ty = interface_type(graph, value, name)?;
        let declared = graph.declared(value).map(|_| ty);
        let notes = graph.value_notes(value).cloned().map(Arc::new);
        Ok(GraphOutput { name: (*name).into(), value, declared, notes })
    };
    names.iter().zip(found).map(output).collect()
}

/// Adds outputs of a graph to its copy.
pub(super) fn copy_outputs(copier: &Copier<'_>, to: &mut Graph, outputs: &[GraphOutput]) -> Result<(), SurgeryError> {
    for output in outputs {
        let copied = copier.values.get(&output.value).copied();
        let value = copied.ok_or_else(|| SurgeryError::Cut(format!("the output {:?} is not computed", output.name)))?;
        to.add_output(GraphOutput { value, ..output.clone() });
    }
    Ok(())
}
