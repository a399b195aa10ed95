//! Renames inputs and outputs.

use super::{SurgeryError, expect_no_training, expect_once, unknown};
use netwright_ir::{Graph, HashSet, Model, Name, Value};

/// Renames inputs: pairs of the old name and the new one. All change at once, so two inputs may swap their names.
///
/// # Errors
/// If an old name is not that of an input, a new name is taken, a name is given twice, or the model has training steps.
pub fn rename_inputs(model: &mut Model, names: &[(&str, &str)]) -> Result<(), SurgeryError> {
    expect_no_training(model)?;
    let graph = &mut model.graph;
    let known: Vec<Value> = graph.inputs().collect();
    let known: Vec<(Name, Value)> = known.into_iter().map(|value| (graph.value_name(value).clone(), value)).collect();
    let renamed = pairs("an input", &known, names)?;
    // An input that is directly an output keeps the name of the output.
    let outputs = graph.outputs().iter().map(|output| &*output.name).collect();
    expect_free(graph, &renamed, &outputs, names)?;
    rename_values(graph, &renamed);
    rename_annotations(graph, names);
    Ok(())
}

/// Renames outputs: pairs of the old name and the new one. All change at once, so two outputs may swap their names.
///
/// # Errors
/// If an old name is not that of an output, a new name is taken, a name is given twice, or the model has training steps.
pub fn rename_outputs(model: &mut Model, names: &[(&str, &str)]) -> Result<(), SurgeryError> {
    expect_no_training(model)?;
    let graph = &mut model.graph;
    let known: Vec<(Name, Value)> = graph.outputs().iter().map(|output| (output.name.clone(), output.value)).collect();
    let renamed = pairs("an output", &known, names)?;
    // In a file, a computed value has the name of its first output.
    let is_named_after =
        |value: Value, old: &str| **graph.value_name(value) == *old && !graph.op(value).kind().is_source();
    let values: Vec<(Value, &str)> = renamed
        .iter()
        .zip(names)
        .filter(|((value, _), (old, _))| is_named_after(*value, old))
        .map(|(it, _)| *it)
        .collect();
    let old: HashSet<&str> = names.iter().map(|(old, _)| *old).collect();
    let others = known.iter().map(|(name, _)| &**name).filter(|name| !old.contains(name)).collect();
    expect_free(graph, &values, &others, names)?;
    rename_values(graph, &values);
    rename_annotations(graph, names);
    for (at, (name, _)) in known.iter().enumerate() {
        if let Some((_, new)) = names.iter().find(|(old, _)| **old == **name) {
            graph.rename_output(at, new);
        }
    }
    Ok(())
}

/// Returns the value and the new name of each pair.
fn pairs<'n>(
    what: &'static str,
    known: &[(Name, Value)],
    names: &[(&'n str, &'n str)],
) -> Result<Vec<(Value, &'n str)>, SurgeryError> {
    expect_once(names.iter().map(|(old, _)| *old))?;
    expect_once(names.iter().map(|(_, new)| *new))?;
    let find = |(old, new): &(&'n str, &'n str)| match known.iter().find(|(name, _)| **name == **old) {
        Some((_, value)) => Ok((*value, *new)),
        None => Err(unknown(what, old, &known.iter().map(|(name, _)| &**name).collect::<Vec<_>>())),
    };
    names.iter().map(find).collect()
}

/// Refuses a new name that another value has, or one of these outputs. `changed` are the values that lose their names.
fn expect_free(
    graph: &Graph,
    changed: &[(Value, &str)],
    outputs: &HashSet<&str>,
    names: &[(&str, &str)],
) -> Result<(), SurgeryError> {
    let changed: HashSet<Value> = changed.iter().map(|(value, _)| *value).collect();
    let values = graph.schedule().into_iter().flat_map(|id| graph.results(id));
    let values: HashSet<&str> =
        values.filter(|value| !changed.contains(value)).map(|value| &**graph.value_name(value)).collect();
    for (_, new) in names {
        let taken = [("an output", outputs), ("a value", &values)].into_iter().find(|(_, names)| names.contains(new));
        if let Some((by, _)) = taken {
            return Err(SurgeryError::Taken { name: (*new).to_owned(), by });
        }
    }
    Ok(())
}

/// Gives values names that no other value has, via names that none has.
fn rename_values(graph: &mut Graph, renamed: &[(Value, &str)]) {
    for (value, new) in renamed {
        let between = format!("{new} (renamed)");
        graph.rename(*value, &between);
    }
    for (value, new) in renamed {
        graph.rename(*value, new);
    }
    name_captures(graph);
}

/// Gives captures the names of the values that they capture, as in a file.
fn name_captures(graph: &mut Graph) {
    for id in graph.schedule() {
        if !graph.node(id).op().bodies().is_empty() {
            graph.edit_bodies(id, name_captures);
        }
    }
    graph.sweep();
}

fn rename_annotations(graph: &mut Graph, names: &[(&str, &str)]) {
    let new = |name: &str| names.iter().find(|(old, _)| *old == name).map(|(_, new)| (*new).to_owned());
    let mut annotations = graph.annotations().to_vec();
    for annotation in &mut annotations {
        if let Some(new) = new(&annotation.tensor) {
            annotation.tensor = new;
        }
    }
    graph.set_annotations(annotations);
}
