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
    let sums = if keeps_masks { sums_with_constants(&twin.graph) } else { BTreeMap::new() };
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
            let write =
                if sums.contains_key(result.as_str()) { forms::write_noise_of_score } else { forms::write_noise };
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
    let mut open: Vec<&str> = sums_with_constants(graph).into_values().flatten().collect();
    if open.is_empty() {
        return false;
    }
    let weights: BTreeMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut producers: BTreeMap<&str, &NodeProto> = BTreeMap::new();
    for node in &graph.node {
        producers.extend(node.output.iter().map(|name| (name.as_str(), node)));
    }
    let mut known = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !known.insert(name) {
            continue;
        }
        let node = producers.get(name).filter(|node| !is_size(node));
        let own = node.into_iter().filter(|node| node.op_type == "Constant").flat_map(|node| &node.attribute);
        if weights.get(name).copied().into_iter().chain(own.filter_map(|own| own.t.as_ref())).any(hides) {
            return true;
        }
        open.extend(node.into_iter().flat_map(|node| &node.input).map(String::as_str));
    }
    false
}

/// Returns whether a node reads only the sizes of its operand.
fn is_size(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Shape" | "Size")
}

/// Returns the sums of a constant and another value from which a softmax is computed, with only arithmetic in between, and
/// the constants that they add.
fn sums_with_constants(graph: &GraphProto) -> BTreeMap<&str, Vec<&str>> {
    let mut constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    for node in &graph.node {
        if is_size(node) || node.input.iter().all(|name| name.is_empty() || constants.contains(name.as_str())) {
            constants.extend(node.output.iter().map(String::as_str));
        }
    }
    let (mut scores, mut found) = (BTreeSet::new(), BTreeMap::new());
    for node in graph.node.iter().rev() {
        let operator = node.op_type.as_str();
        let is_score = node.output.first().is_some_and(|result| scores.contains(result.as_str()));
        let is_sum = matches!(operator, "Add" | "Sum" | "Sub");
        if operator == "Softmax" || is_score && (is_sum || ["Cast", "Div", "Mul", "Where"].contains(&operator)) {
            scores.extend(node.input.iter().map(String::as_str));
        }
        let added: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| constants.contains(name)).collect();
        if let (true, Some(sum)) = (is_score && is_sum && !added.is_empty(), node.output.first()) {
            found.insert(sum.as_str(), added);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `y = Softmax(x * w + b)`
    #[test]
    fn a_constant_is_a_mask_only_where_it_is_added_to_scores() {
        let node = |op_type: &str, input: &[&str], output: &str| NodeProto {
            op_type: op_type.to_owned(),
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let weight = |name: &str, number: f64| TensorProto {
            name: name.to_owned(),
            data_type: F64,
            raw_data: [0.0, number].map(f64::to_le_bytes).concat(),
            ..TensorProto::default()
        };
        let has_mask = |w: f64, b: f64| {
            has_constant_masks(&GraphProto {
                node: vec![
                    node("MatMul", &["x", "w"], "scores"),
                    node("Mul", &["b", "b"], "scaled"),
                    node("Add", &["scores", "scaled"], "masked"),
                    node("Softmax", &["masked"], "y"),
                ],
                initializer: vec![weight("w", w), weight("b", b)],
                ..GraphProto::default()
            })
        };
        assert!(has_mask(1.0, -1e4));
        assert!(!has_mask(-1e4, 1.0), "the weight is not added");
        assert!(!has_mask(1.0, -1.0), "a bias");
    }
}
