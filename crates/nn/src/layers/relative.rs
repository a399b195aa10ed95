//! Relative position biases, as in T5.

use super::Span;
use crate::{Init, Var, signed};
use netwright_ir::Tensor;

/// A relative position bias: a trained bias for every distance between query and key, in coarser buckets for longer
/// distances (Raffel et al., 2020, 2.1).
///
/// Parameter: `weight` `[buckets, heads]`.
#[derive(Clone, Debug)]
pub struct RelativeBias {
    /// The name.
    pub name: String,
    /// The number of buckets of distances.
    pub buckets: u64,
    /// The distance from which on all share one bucket.
    pub max_distance: u64,
    /// The number of heads.
    pub heads: u64,
    /// Whether keys after the query have buckets of their own; otherwise they share the bucket of distance 0.
    pub bidirectional: bool,
}

impl RelativeBias {
    /// Returns the bias `[1, heads, query, key]`.
    #[track_caller]
    pub fn forward<'b>(&self, span: Span<'b>) -> Var<'b> {
        let query = span.positions();
        let builder = query.builder;
        let _scope = builder.enter(&self.name);
        let weight = builder.parameter(&format!("{}.weight", self.name), &[self.buckets, self.heads], Init::Xavier);
        // One row for each distance, the longest first; longer distances use the last row.
        let furthest = signed(self.max_distance);
        let buckets: Vec<i64> = (-furthest..=furthest).map(|distance| self.bucket(distance)).collect();
        let rows = weight.gather(builder.constant("buckets", Tensor::indices(&buckets)));
        let distance = span.all_positions().unsqueeze(&[0]) - query.unsqueeze(&[1]);
        let row = distance.max(builder.index(-furthest)).min(builder.index(furthest)) + builder.index(furthest);
        rows.gather(row).transpose(&[2, 0, 1]).unsqueeze(&[0])
    }

    /// Returns the bucket of a key that is `distance` after the query; negative distances are before it.
    fn bucket(&self, distance: i64) -> i64 {
        let (mut buckets, mut first) = (self.buckets, 0);
        let away = if self.bidirectional {
            buckets /= 2;
            first = if distance > 0 { buckets } else { 0 };
            distance.unsigned_abs()
        } else {
            distance.min(0).unsigned_abs()
        };
        let exact = buckets / 2;
        let bucket = if away < exact {
            away
        } else {
            // Computed in f32, as in the training.
            let (away, exact_f32, furthest) = (away as f32, exact as f32, self.max_distance as f32);
            let scale = (f64::from(furthest) / f64::from(exact_f32)).ln();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole numbers below the number of buckets"
            )]
            let coarse = ((away / exact_f32).ln() / scale as f32 * (buckets - exact) as f32) as u64;
            (exact + coarse).min(buckets - 1)
        };
        signed(first + bucket)
    }
}
