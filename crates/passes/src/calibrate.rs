//! Prepares a model whose values are measured before it is converted to a narrower type.

use crate::convert::{Precision, is_elementwise, is_structural};
use crate::read::numbers::Numbers;
use crate::{Limits, Options, PassError, optimize};
use netwright_ir::{ElementType, Graph, Model, Name, NodeId, OpKind, Value};
use std::collections::HashSet;

/// Returns the model as it is before `options` convert it to their [precision](Options::precision): optimized, and in `f32`.
/// Also returns the names of the float values to measure: if a runtime runs that model, their largest magnitudes are what
/// [`Precision::with_ranges`] takes.
///
/// Values within bodies are not among them, nor are masks, and scores to which masks are added: they exceed the range on
/// purpose.
///
/// # Errors
/// If the model cannot be optimized.
pub fn calibrated(model: &Model, options: &Options) -> Result<(Model, Vec<Name>), PassError> {
    let mut model = model.clone();
    let mut wide = options.clone().with_share_cache(false).with_limits(Limits { stop_after: None, ..options.limits });
    wide.precision = options.precision.is_some().then(|| Precision::new(ElementType::F32)).transpose()?;
    (wide.quantization, wide.prover) = (None, None);
    optimize(&mut model, &wide)?;
    let names = options.precision.as_ref().map_or_else(Vec::new, |precision| measured(&model.graph, precision));
    Ok((model, names))
}

fn measured(graph: &Graph, precision: &Precision) -> Vec<Name> {
    let is_float = |value: &Value| graph.fact(*value).element().is_some_and(ElementType::is_float);
    let (mut counted, mut masks) = (HashSet::new(), HashSet::new());
    let mut names = vec![];
    for id in graph.schedule() {
        let kind = graph.node(id).op().kind();
        let operands: Vec<Value> = graph.operands(id).into_iter().flatten().filter(is_float).collect();
        let is_input = matches!(kind, OpKind::Input | OpKind::Captured);
        if kind.is_source() && !is_input {
            counted.insert(id);
            continue;
        }
        let is_simple = is_elementwise(kind) || is_structural(kind);
        let is_masked = operands.iter().any(|value| masks.contains(&value.node));
        if is_simple && (is_masked || is_mask(graph, kind, &operands, &counted, precision)) {
            masks.insert(id);
        } else {
            names.extend(graph.results(id).filter(is_float).map(|value| graph.value_name(value).clone()));
        }
        // Rows of a table are weights.
        let is_row = matches!(kind, OpKind::Gather | OpKind::GatherND | OpKind::GatherElements);
        let is_made = operands.is_empty() && !is_input || is_simple && !is_row;
        if is_made && operands.iter().all(|value| counted.contains(&value.node)) {
            counted.insert(id);
        }
    }
    names
}

/// Whether a number near the end of the range is chosen, added, or multiplied by what does not depend on float inputs and
/// weights: `counted`.
fn is_mask(graph: &Graph, kind: OpKind, operands: &[Value], counted: &HashSet<NodeId>, precision: &Precision) -> bool {
    let is_counted = |value: &Value| counted.contains(&value.node);
    let hides = |value: &Value| {
        let Numbers { least, most, .. } = Numbers::of(graph, *value);
        is_counted(value) && (precision.is_near_end(least) || precision.is_near_end(most))
    };
    match kind {
        OpKind::Clip | OpKind::Min | OpKind::Max | OpKind::Pow => false,
        OpKind::Mul | OpKind::Div if !operands.iter().all(is_counted) => false,
        _ => operands.iter().any(hides),
    }
}
