//! Compares the distributions that two models predict.

use crate::file::ModelFile;
use crate::inputs::{Role, role};
use crate::uses::Graphs;
use crate::{Array, Port};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How well two models agree in what they predict: the rows of an output, along its last axis, are logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Agreement {
    /// The number of rows: those in which all logits of both models are finite.
    pub rows: usize,
    /// The mean Kullback-Leibler divergence of the second model's distribution from the first one's, in nats.
    pub kl_divergence: f64,
    /// The share of the rows in which the largest logit is the same.
    pub top1: f64,
    /// The mean share of the five largest logits that both models have in common.
    pub top5: f64,
}

/// Returns whether an output has logits: it is called `logits` or ends in `_logits`, or its last axis has the size of
/// the vocabulary.
///
/// The vocabulary is the largest table that ids index, if it is larger than [`FEWEST_WORDS`].
pub(crate) fn is_logits(name: &str, array: &Array, vocabulary: Option<u64>) -> bool {
    let last = array.shape().last().and_then(|&size| u64::try_from(size).ok());
    let is_named = name == "logits" || name.ends_with("_logits");
    last.is_some_and(|last| last > 1 && (is_named || vocabulary == Some(last)))
}

/// A smaller table is one of positions or segments.
const FEWEST_WORDS: u64 = 16;

/// Returns the size of the vocabulary of a model.
pub(crate) fn vocabulary(file: &ModelFile) -> Option<u64> {
    let graphs = Graphs::new(&file.graph);
    let ports = file.inputs();
    let ids = ports.iter().filter(|port: &&Port| role(port, &graphs) == Role::Ids);
    ids.filter_map(|port| graphs.uses(&port.name, false).table).max().filter(|&size| size > FEWEST_WORDS)
}

/// Compares logits row by row; `None` if there is no row in which all are finite.
pub(crate) fn agreement(a: &[f64], b: &[f64], width: usize) -> Option<Agreement> {
    let (mut rows, mut divergence, mut top1, mut top5) = (0_usize, 0.0, 0_usize, 0.0);
    for (a, b) in a.chunks_exact(width.max(1)).zip(b.chunks_exact(width.max(1))) {
        if a.iter().chain(b).any(|logit| !logit.is_finite()) {
            continue;
        }
        rows += 1;
        divergence += kl_divergence(a, b);
        let (first, second) = (largest(a), largest(b));
        top1 += usize::from(first.first() == second.first());
        top5 += share(first.iter().filter(|at| second.contains(at)).count(), first.len());
    }
    let mean = |sum: f64| sum * share(1, rows);
    (rows > 0).then(|| Agreement { rows, kl_divergence: mean(divergence), top1: share(top1, rows), top5: mean(top5) })
}

#[expect(clippy::cast_precision_loss, reason = "the numbers of elements of a tensor in memory")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Returns the divergence of the softmax of `b` from that of `a`, in nats; rounding never makes it negative.
fn kl_divergence(a: &[f64], b: &[f64]) -> f64 {
    let normalizer = |row: &[f64]| {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + row.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln()
    };
    let (of_a, of_b) = (normalizer(a), normalizer(b));
    let terms = a.iter().zip(b).map(|(a, b)| (a - of_a).exp() * ((a - of_a) - (b - of_b)));
    terms.sum::<f64>().max(0.0)
}

/// Returns the indices of the five largest logits, the largest first; of equal ones the first.
fn largest(row: &[f64]) -> Vec<usize> {
    let mut found: Vec<usize> = vec![];
    for (at, logit) in row.iter().enumerate() {
        let place = found.iter().position(|&other| row[other] < *logit).unwrap_or(found.len());
        if place < TOP {
            found.insert(place, at);
            found.truncate(TOP);
        }
    }
    found
}

const TOP: usize = 5;

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, kl_divergence, top1, top5 } = self;
        let [top1, top5] = [top1, top5].map(|share| 100.0 * share);
        write!(f, "logits of {rows} rows: KL divergence {kl_divergence:.2e}, top-1 {top1:.1} %, top-5 {top5:.1} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_compared_row_by_row() {
        let a = [[1.0, 2.0, 0.0, 0.0, 0.0, -1.0], [3.0, 1.0, 0.0, 0.0, 0.0, -1.0]].concat();
        let b = [[2.0, 1.0, 0.0, 0.0, 0.0, -1.0], [3.0, 1.0, -2.0, 0.0, 0.0, -1.0]].concat();
        let same = agreement(&a, &a, 6).expect("rows");
        assert_eq!(same, Agreement { rows: 2, kl_divergence: 0.0, top1: 1.0, top5: 1.0 });
        let other = agreement(&a, &b, 6).expect("rows");
        assert_eq!((other.rows, other.top1, other.top5), (2, 0.5, 0.9));
        // A constant added to all logits changes nothing.
        let shifted: Vec<f64> = b.iter().map(|logit| logit + 800.0).collect();
        let moved = agreement(&a, &shifted, 6).expect("rows");
        assert!((moved.kl_divergence - other.kl_divergence).abs() < 1e-12);
        // p = (2/3, 1/3), q = (1/3, 2/3): ln(2) / 3.
        let two = agreement(&[2_f64.ln(), 0.0], &[0.0, 2_f64.ln()], 2).expect("rows");
        assert!((two.kl_divergence - 2_f64.ln() / 3.0).abs() < 1e-12, "{two}");
        assert_eq!(agreement(&[f64::NAN, 0.0], &[0.0, 0.0], 2), None);
        assert_eq!(agreement(&[], &[], 0), None);
    }

    #[test]
    fn logits_are_found_by_name_or_by_the_vocabulary() {
        let array = |shape: &[usize]| Array::new(shape, vec![0.0_f32; shape.iter().product()]).expect("as many");
        for (name, shape, vocabulary, expected) in [
            ("logits", &[2, 3][..], None, true),
            ("start_logits", &[2, 3], None, true),
            ("logits", &[2, 1], None, false),
            ("hidden", &[2, 50], Some(50), true),
            ("hidden", &[2, 50], Some(60), false),
            ("logits", &[], None, false),
        ] {
            assert_eq!(is_logits(name, &array(shape), vocabulary), expected, "{name} {shape:?}");
        }
    }
}
