//! What a failed or differing run means: NaN and infinities, and the first value that differs.

use crate::file::{ModelFile, place};
use crate::interface::with_types_of_values;
use crate::runner::Runner;
use crate::tolerance::Criteria;
use crate::verdict::{Blame, Verdict};
use crate::{Array, Comparison, Options, Reason, Runtime, Worst, compare};
use half::f16;
use netwright_ir::{Bindings, ElementType};
use std::collections::BTreeSet;
use tract_onnx::pb::NodeProto;

/// Returns the verdict if all differences are NaN that tract returns for fully masked rows of an `Attention`.
pub(crate) fn blind_spot(
    outputs: &[Comparison],
    model: &ModelFile,
    right: &[(String, Array)],
    runtime: &Runtime,
) -> Option<Verdict> {
    let is_nan = |output: &Comparison| output.worst.as_ref().is_some_and(|worst| worst.b == "NaN");
    let differing = || outputs.iter().filter(|output| output.difference.is_some());
    if !differing().all(is_nan) {
        return None;
    }
    let (_, verdict) = not_finite(model, right, runtime)?;
    matches!(verdict, Verdict::NotVerifiable { .. }).then_some(verdict)
}

/// Describes the first NaN or infinity of the outputs, with the verdict that it means.
pub(crate) fn not_finite(
    model: &ModelFile,
    outputs: &[(String, Array)],
    runtime: &Runtime,
) -> Option<(String, Verdict)> {
    let (name, array, at) = outputs.iter().find_map(|(name, array)| {
        Some((name, array, array.any().floats()?.iter().position(|value| !value.is_finite())?))
    })?;
    let value = array.any().text(at).unwrap_or_default();
    let why = format!("output `{name}` has {value} at {:?}", array.index(at));
    let (file, judge) = (model.name.clone(), runtime.to_string());
    let attention = model.graph.node.iter().find(|node| node.op_type.ends_with("Attention"));
    let verdict = match attention.filter(|_| *runtime == Runtime::Tract) {
        Some(node) => {
            let place = place(node);
            let why = format!("{why}; tract returns that for a fully masked row, and the standard requires 0");
            Verdict::NotVerifiable { file, runtime: judge, reasons: vec![Reason { place, why }] }
        }
        None => Verdict::Fails { file, why: why.clone(), runtime: Some(judge) },
    };
    Some((why, verdict))
}

/// Finds the first value that differs as `outputs` do: runs both models again to compute all values that they have in
/// common.
pub(crate) fn blame(
    (a, b): (&ModelFile, &ModelFile),
    inputs: &[(&str, &Array)],
    bindings: &Bindings,
    options: &Options,
    criteria: &Criteria,
    outputs: &[Comparison],
) -> Option<Box<Blame>> {
    let results = |node: &NodeProto| node.output.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>();
    let in_a: BTreeSet<String> = a.graph.node.iter().flat_map(results).collect();
    let in_b = b.graph.node.iter().flat_map(results);
    let common: Vec<String> = in_b.filter(|name| in_a.contains(name)).collect();
    let values =
        |model| Runner::of(model, &options.runtime, common.clone()).and_then(|runner| runner.run(inputs, bindings));
    let (left, right) = (values(a).ok()?, values(b).ok()?);
    let right = with_types_of_values(&left, right);
    // Two forms may have other sizes on purpose, as a cache that grows and one that is a buffer.
    let nodes = || a.graph.node.iter().chain(&b.graph.node);
    let is_size = |name: &String| nodes().any(|node| node.op_type == "Shape" && node.output.contains(name));
    let mut values = compare(&left, &right, criteria.tolerance);
    values.retain(|value| value.difference.is_some() && !is_size(&value.output));
    // Rounding before a number that leaves its range is not the cause.
    let is_lost = outputs.iter().any(Comparison::becomes_not_finite);
    let lost = values.iter().position(|value| is_lost && value.becomes_not_finite());
    let value = values.into_iter().nth(lost.unwrap_or(0))?;
    let largest = f16::MAX.to_f64();
    let is_beyond = |worst: &Worst| worst.a.parse::<f64>().is_ok_and(|a| a.abs() > largest);
    let is_f16 = criteria.narrow == Some(ElementType::F16);
    let overflows = is_f16 && value.becomes_not_finite() && value.worst.as_ref().is_some_and(is_beyond);
    let producer = |model: &ModelFile| {
        let node = model.graph.node.iter().find(|node| node.output.contains(&value.output));
        node.map_or_else(String::new, place)
    };
    Some(Box::new(Blame { node: producer(b), instead_of: producer(a), value, overflows }))
}
