//! Cuts a model with two branches into two models.

use super::{SurgeryError, ValuesByName, expect_no_training, extract};
use crate::cleanup::inline_branch;
use netwright_ir::{Dim, ElementType, Graph, HashSet, Model, Name, NodeId, Op, OpKind, Tensor, Value};

/// Returns the name of the input that alone decides which branch of an `If` of the main graph runs.
///
/// # Errors
/// If there is none, or more than one.
pub fn branch_input(graph: &Graph) -> Result<Name, SurgeryError> {
    let inputs: HashSet<Value> = decided(graph).into_iter().map(|(_, input)| input).collect();
    let mut names: Vec<&Name> = inputs.into_iter().map(|input| graph.value_name(input)).collect();
    names.sort_unstable();
    match names[..] {
        [name] => Ok(name.clone()),
        [] => Err(SurgeryError::Branches(
            "no input of the model decides which branch of an If runs\n  help: name a model with an input such as \
             `use_cache_branch`, bool of one element, that is the condition of an If"
                .to_owned(),
        )),
        [first, second, ..] => Err(SurgeryError::Branches(format!(
            "several inputs each decide which branch of an If runs, such as {first:?} and {second:?}\n  help: replace one \
             by a constant first"
        ))),
    }
}

/// Returns what a model runs if its input `condition` is `value`: the branches of each `If` that the input decides take its
/// place. Nodes, weights and inputs that no output depends on then are left out, and so is the condition.
///
/// # Errors
/// If the model has no such input, the input decides nothing, or the model has training steps.
pub fn choose_branch(model: &Model, condition: &str, value: bool) -> Result<Model, SurgeryError> {
    expect_no_training(model)?;
    let input = ValuesByName::new(&model.graph).find(condition)?;
    let mut chosen = model.clone();
    let graph = &mut chosen.graph;
    let mut count = 0;
    // A branch may have an If of its own that the input decides.
    while let Some((node, _)) = decided(graph).into_iter().find(|(_, own)| *own == input) {
        inline_branch(graph, node, value);
        graph.sweep();
        count += 1;
    }
    if count == 0 {
        let what = format!(
            "{condition:?} does not decide which branch of an If runs\n  help: name a boolean input that is the condition of an \
             If"
        );
        return Err(SurgeryError::Branches(what));
    }
    let rank = graph.shape(input).map_or(1, <[Dim]>::len);
    let known = Tensor::from_bytes(ElementType::Bool, &vec![1; rank], vec![u8::from(value)]);
    let known = known.map_err(|error| SurgeryError::Branches(error.to_string()))?;
    let known = graph.constant(condition, known);
    graph.replace(input, known);
    graph.sweep();
    extract(&chosen, None, None)
}

/// Returns each `If` whose condition is an input, with the input, in the order of the graph.
fn decided(graph: &Graph) -> Vec<(NodeId, Value)> {
    let condition = |node: NodeId| {
        let mut value = graph.operand(node, 0).filter(|_| matches!(graph.node(node).op(), Op::If { .. }))?;
        while matches!(graph.kind(value), OpKind::Identity | OpKind::Reshape | OpKind::Squeeze | OpKind::Unsqueeze) {
            value = graph.operand(value.node, 0)?;
        }
        let is_input = graph.kind(value) == OpKind::Input && graph.default_of(value).is_none();
        (is_input && graph.fact(value).element() == Some(ElementType::Bool)).then_some((node, value))
    };
    graph.schedule().into_iter().filter_map(condition).collect()
}
