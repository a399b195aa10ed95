//! Statistics of the weights of a model.

use crate::failure::Failure;
use crate::output::{table, thousands};
use netwright::ir::{Graph, Op, Tensor, text};
use schemars::JsonSchema;
use serde::Serialize;
use std::cmp::Reverse;

/// A weight, and statistics of its elements; they are `null` for strings and codes of a few bits.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Weight {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    /// The smallest element that is a number.
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    /// The number of NaN.
    nan: Option<u64>,
    /// The number of zeros.
    zeros: Option<u64>,
}

/// Reads every weight once, a piece at a time; returns those with the most elements first.
pub(super) fn weights(graph: &Graph) -> Result<Vec<Weight>, Failure> {
    let mut found = vec![];
    for id in graph.schedule() {
        let tensor: &Tensor = match graph.node(id).op() {
            Op::Parameter(tensor) => tensor,
            Op::SparseParameter(tensor) => tensor.values(),
            _ => continue,
        };
        let statistics = tensor.statistics().map_err(Failure::usage)?;
        // JSON has no infinity.
        let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
        for value in graph.results(id) {
            found.push((
                tensor.count(),
                Weight {
                    name: graph.value_name(value).to_string(),
                    ty: tensor.ty().to_string(),
                    min: finite(statistics.and_then(|of| of.min)),
                    max: finite(statistics.and_then(|of| of.max)),
                    mean: finite(statistics.and_then(|of| of.mean)),
                    nan: statistics.map(|of| of.nan),
                    zeros: statistics.map(|of| of.zeros),
                },
            ));
        }
    }
    found.sort_by_key(|(count, _)| Reverse(*count));
    Ok(found.into_iter().map(|(_, weight)| weight).collect())
}

/// Returns a table of the weights.
pub(super) fn rows(weights: &[Weight]) -> String {
    let mut rows = vec![["weight", "type", "min", "max", "mean", "NaN", "zeros"].map(str::to_owned).to_vec()];
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3e}"));
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), thousands);
    rows.extend(weights.iter().map(|weight| {
        let Weight { name, ty, min, max, mean, nan, zeros } = weight;
        vec![
            text::name(name).split_off(1),
            ty.clone(),
            number(*min),
            number(*max),
            number(*mean),
            count(*nan),
            count(*zeros),
        ]
    }));
    table(&rows)
}
