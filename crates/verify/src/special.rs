//! What the inputs of two models must contain to show their differences.

use crate::Runtime;
use crate::file::ModelFile;
use crate::tables::{Rows, differing_rows};
use crate::tolerance::Arithmetic;
use crate::uses::Graphs;
use std::collections::BTreeMap;

/// Numbers that the elements of inputs must have in some runs, by the name of the input, and the magnitudes of floats.
#[derive(Clone, Debug, Default)]
pub(crate) struct Special {
    rows: Rows,
    thresholds: BTreeMap<String, Vec<f64>>,
    /// Whether floats may be so small that narrow and quantized products have few digits: neither model computes so.
    pub(crate) may_be_small: bool,
    /// Whether floats may be so large that narrow products overflow, or that one hides all others when they are quantized
    /// together: the first model does not compute so, and the second is not quantized.
    pub(crate) may_be_large: bool,
}

impl Special {
    /// Finds the rows in which tables of the models differ, and the numbers with which one of them compares an input.
    pub(crate) fn new(a: &ModelFile, b: Option<&ModelFile>) -> Self {
        let mut thresholds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let ports = a.inputs();
        for model in [Some(a), b].into_iter().flatten() {
            let graphs = Graphs::new(&model.graph);
            for port in &ports {
                thresholds.entry(port.name.clone()).or_default().extend(graphs.thresholds(&port.name));
            }
        }
        for numbers in thresholds.values_mut() {
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
        }
        let rows = b.map(|b| differing_rows(a, b)).unwrap_or_default();
        let arithmetic = |model: &ModelFile| Arithmetic::of(model, &Runtime::Tract);
        let (first, second) = (arithmetic(a), b.map(arithmetic).unwrap_or_default());
        let may_be_large = !first.is_narrow() && !second.is_quantized();
        let may_be_small = may_be_large && !second.is_narrow();
        Self { rows, thresholds, may_be_small, may_be_large }
    }

    /// Returns the elements that look up rows in which tables differ.
    pub(crate) fn rows(&self, input: &str) -> &[i64] {
        self.rows.get(input).map_or(&[], Vec::as_slice)
    }

    /// Returns the numbers with which the elements are compared.
    pub(crate) fn thresholds(&self, input: &str) -> &[f64] {
        self.thresholds.get(input).map_or(&[], Vec::as_slice)
    }
}
