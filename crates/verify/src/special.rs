//! What the inputs of two models must contain to show their differences.

use crate::file::ModelFile;
use crate::tables::{Rows, differing_rows};
use crate::uses::Graphs;
use std::collections::BTreeMap;

/// Numbers that the elements of inputs must have in some runs, by the name of the input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Special {
    rows: Rows,
    thresholds: BTreeMap<String, Vec<f64>>,
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
        Self { rows: b.map(|b| differing_rows(a, b)).unwrap_or_default(), thresholds }
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
