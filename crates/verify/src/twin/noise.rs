//! Noise in the f64 twin of a model, which measures the effect of rounding on the outputs.
//!
//! The size of a difference does not show whether it is rounding: in f16, a score of a row that is masked as a whole loses
//! all its digits when -65504 is added to it, and a variance near 0 amplifies errors. So every float that the twin
//! computes is multiplied by a random number that is 1 except for the last bits of a narrow type.

use super::{F64, forms};
use crate::Array;
use crate::file::ModelFile;
use netwright_ir::{ElementType, OpKind};
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// The number of times that the model runs with noise, each time with another one.
const RUNS: u8 = 7;

/// The multiple of the effect of noise up to which a difference is rounding.
const MULTIPLE: f64 = 16.0;

/// Operators whose results have another element type than their first operand.
const OTHER_TYPES: &str = "And ArgMax ArgMin Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual NonZero Not Or Shape \
                           Size Xor";

/// The effect of noise on the outputs of a model.
pub(crate) struct Noise(BTreeMap<String, Vec<f64>>);

impl Noise {
    /// Measures the effect on the outputs `exact` of a twin, which `run` runs, of a type with `step` between 1 and the
    /// next number. If the model `keeps_masks`, because it computes in `f32`, the noise of a sum with a constant mask is that
    /// of a score: a conversion may keep such a sum in `f32`, so it does not excuse a row that the constant hides.
    pub(crate) fn measure(
        twin: &ModelFile,
        keeps_masks: bool,
        exact: &[(String, Array)],
        step: f64,
        run: impl Fn(&ModelFile) -> Result<Vec<(String, Array)>, String>,
    ) -> Result<Self, String> {
        let mut effects = BTreeMap::new();
        for seed in 1..=RUNS {
            let noisy = run(&with_noise(twin, keeps_masks, step, f64::from(seed) * 1234.567))?;
            for ((name, exact), (_, noisy)) in exact.iter().zip(&noisy) {
                let (Some(exact), Some(noisy)) = (exact.any().floats(), noisy.any().floats()) else { continue };
                let effect: &mut Vec<f64> = effects.entry(name.clone()).or_insert_with(|| vec![0.0; exact.len()]);
                for ((effect, exact), noisy) in effect.iter_mut().zip(exact).zip(noisy) {
                    *effect = effect.max((noisy - exact).abs());
                }
            }
        }
        Ok(Self(effects))
    }

    /// Returns the largest effect on an output, relative to `scale`, if rounding explains each element of `b` that differs
    /// from `a` by more than the tolerance: noise changes an element of its row, along the last axis, by a sixteenth of the
    /// difference or more. Which elements of a softmax noise changes is chance, so rows are judged as a whole.
    pub(crate) fn explains(&self, output: &str, [a, b]: [&Array; 2], scale: f64, tolerance: f64) -> Option<f64> {
        let effects = self.0.get(output)?;
        let width = a.shape().last().copied().unwrap_or(1).max(1);
        let (a, b) = (a.any().floats()?, b.any().floats()?);
        let mut largest = 0.0_f64;
        for ((a, b), effects) in a.chunks(width).zip(b.chunks(width)).zip(effects.chunks(width)) {
            let effect = effects.iter().copied().fold(0.0, f64::max);
            for (a, b) in a.iter().zip(b).filter(|(a, _)| a.is_finite()) {
                let allowed = a.abs().max(scale);
                if (a - b).abs() > (tolerance * allowed).max(MULTIPLE * effect) {
                    return None;
                }
                largest = largest.max(effect / allowed);
            }
        }
        Some(largest).filter(|largest| largest.is_finite())
    }
}

/// Returns the model with noise after every node of its graph that rounds.
fn with_noise(twin: &ModelFile, keeps_masks: bool, step: f64, phase: f64) -> ModelFile {
    let mut graph = twin.graph.clone();
    let sums = if keeps_masks { sums_with_constants(&graph) } else { BTreeSet::new() };
    let mut floats = floats_of(&graph);
    let (mut nodes, mut fresh) = (vec![], 0);
    for mut node in std::mem::take(&mut graph.node) {
        if !has_float_results(&node, &floats) {
            nodes.push(node);
            continue;
        }
        floats.extend(node.output.iter().filter(|output| !output.is_empty()).cloned());
        if !rounds(&node.op_type) {
            nodes.push(node);
            continue;
        }
        let results = node.output.clone();
        node.output.iter_mut().filter(|output| !output.is_empty()).for_each(|output| output.push_str(" (exact)"));
        nodes.push(node);
        for result in results.iter().filter(|result| !result.is_empty()) {
            let write = if sums.contains(result) { forms::write_noise_of_score } else { forms::write_noise };
            write(result, &format!("{result} (exact)"), [step, phase], &mut nodes, &mut fresh);
        }
    }
    graph.node = nodes;
    twin.with_graph(graph, twin.outputs().to_vec())
}

/// A constant of which an element is less may hide scores.
const HIDES: f64 = -1000.0;

/// Returns whether the graph of a twin adds a constant mask to scores.
pub(crate) fn has_constant_masks(graph: &GraphProto) -> bool {
    let hides = |tensor: &TensorProto| {
        let mut numbers = tensor.raw_data.as_chunks::<8>().0.iter().map(|eight| f64::from_le_bytes(*eight));
        tensor.data_type == F64 && numbers.any(|number| number < HIDES)
    };
    let constants = graph.node.iter().filter(|node| node.op_type == "Constant").flat_map(|node| &node.attribute);
    let mut tensors = graph.initializer.iter().chain(constants.filter_map(|attribute| attribute.t.as_ref()));
    tensors.any(hides) && !sums_with_constants(graph).is_empty()
}

/// Returns the sums of a constant and another value from which a softmax is computed, with only arithmetic in between.
fn sums_with_constants(graph: &GraphProto) -> BTreeSet<String> {
    let mut constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    for node in &graph.node {
        let is_shape = matches!(node.op_type.as_str(), "Shape" | "Size");
        if is_shape || node.input.iter().all(|name| name.is_empty() || constants.contains(name.as_str())) {
            constants.extend(node.output.iter().map(String::as_str));
        }
    }
    let (mut scores, mut found) = (BTreeSet::new(), BTreeSet::new());
    for node in graph.node.iter().rev() {
        let operator = node.op_type.as_str();
        let is_score = node.output.first().is_some_and(|result| scores.contains(result.as_str()));
        let is_sum = matches!(operator, "Add" | "Sum" | "Sub");
        if operator == "Softmax" || is_score && (is_sum || ["Cast", "Div", "Mul", "Where"].contains(&operator)) {
            scores.extend(node.input.iter().map(String::as_str));
        }
        if is_score && is_sum && node.input.iter().any(|name| constants.contains(name.as_str())) {
            found.extend(node.output.iter().cloned());
        }
    }
    found
}

/// Returns the inputs and initializers that are floats.
fn floats_of(graph: &GraphProto) -> BTreeSet<String> {
    let types = crate::gate::types(graph);
    types.into_iter().filter(|(_, ty)| ty.element == ElementType::F64).map(|(name, _)| name.to_owned()).collect()
}

/// Returns whether an operator with a float result rounds it.
fn rounds(operator: &str) -> bool {
    let moves = OpKind::from_name(operator).is_some_and(OpKind::moves_elements);
    !moves && !["Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "Range", "Where"].contains(&operator)
}

/// Returns whether the results of a node of a twin are floats; false if that is not clear.
fn has_float_results(node: &NodeProto, floats: &BTreeSet<String>) -> bool {
    let is_float = |at: usize| node.input.get(at).is_some_and(|name| floats.contains(name));
    let has = |of: &dyn Fn(&AttributeProto) -> bool| node.attribute.iter().any(of);
    match node.op_type.as_str() {
        "Cast" => has(&|attribute| attribute.name == "to" && attribute.i == i64::from(F64)),
        "CastLike" | "Where" => is_float(1),
        "Constant" | "ConstantOfShape" => has(&|attribute| attribute.t.as_ref().is_some_and(|t| t.data_type == F64)),
        other => is_float(0) && other != "TopK" && OTHER_TYPES.split(' ').all(|name| name != other),
    }
}
