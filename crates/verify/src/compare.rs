//! Compares the outputs of two models.

use crate::{Agreement, Array, Values, logits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The comparison of one output of two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[must_use = "a comparison may say that the outputs differ"]
#[non_exhaustive]
pub struct Comparison {
    /// The name of the output.
    pub output: String,
    /// Its type, such as `f32[2, 7, 512]`.
    pub ty: String,
    /// The scale of the output: the median of `|a|`, over the elements that are finite and not 0; 0 if there are none.
    pub scale: f64,
    /// The largest `|a - b|`, over pairs of finite elements.
    pub max_abs: f64,
    /// The largest `|a - b| / |a|`, over pairs of finite elements where `a` is not 0.
    pub max_rel: f64,
    /// The mean `|a - b|`, over pairs of finite elements.
    #[serde(default)]
    pub mean_abs: f64,
    /// The norm of `a - b` divided by that of `a`, over pairs of finite elements; `None` if the norm of `a` is 0 or a
    /// norm is out of range.
    #[serde(default)]
    pub error_norm: Option<f64>,
    /// The cosine similarity, over pairs of finite elements; `None` if a norm is 0.
    pub cosine: Option<f64>,
    /// How well the predictions agree, if the output has logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// The element with the largest error; `None` if all elements are the same.
    pub worst: Option<Worst>,
    /// The number of elements that were not compared because the first model returns NaN or an infinity, or because the
    /// inputs leave them no precision.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_compared: usize,
    /// The difference, if it exceeds the tolerance.
    pub difference: Option<Difference>,
    /// The evidence that a difference beyond the tolerance is rounding, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<RoundingEvidence>,
    /// The number of elements beyond the tolerance that are accepted because the cosine is large enough.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond_tolerance: usize,
    /// The products that the cosine consists of.
    #[serde(skip)]
    pub(crate) products: Products,
}

/// The scalar products of two tensors with each other and with themselves, over pairs of finite elements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Products {
    count: f64,
    both: f64,
    a: f64,
    b: f64,
}

/// The factor by which norms may differ: a wrong scale is often one of 2, and a wrong bit width one of 16.
const MAX_NORM_RATIO: f64 = 1.5;

impl Products {
    fn add(&mut self, a: f64, b: f64) {
        self.count += 1.0;
        self.both += a * b;
        self.a += a * a;
        self.b += b * b;
    }

    /// Returns the products of the elements of all runs, each run divided by the root of the mean square of the first
    /// model's elements: otherwise the run with the largest inputs would decide.
    pub(crate) fn of_runs(runs: impl Iterator<Item = Products>) -> Products {
        runs.fold(Products::default(), |all, run| {
            let unit = Some(run.count / run.a).filter(|unit| unit.is_finite()).unwrap_or(1.0);
            Products {
                count: all.count + run.count,
                both: all.both + run.both * unit,
                a: all.a + run.a * unit,
                b: all.b + run.b * unit,
            }
        })
    }

    /// Returns the cosine; `None` if a norm is 0 or out of range.
    pub(crate) fn cosine(self) -> Option<f64> {
        Some(self.both / (self.a.sqrt() * self.b.sqrt())).filter(|cosine| cosine.is_finite())
    }

    /// Returns the norm of the second tensor divided by that of the first one; `None` if that is 0 or out of range.
    fn norm_ratio(self) -> Option<f64> {
        Some((self.b / self.a).sqrt()).filter(|ratio| ratio.is_finite())
    }

    /// Returns the difference if the cosine is too small, or the norms differ by a factor of more than [`MAX_NORM_RATIO`],
    /// which a cosine does not show.
    pub(crate) fn difference(self, min_cosine: f64) -> Option<Difference> {
        let is_close = match (self.cosine(), self.norm_ratio()) {
            (Some(cosine), Some(ratio)) => {
                cosine >= min_cosine && ratio <= MAX_NORM_RATIO && ratio * MAX_NORM_RATIO >= 1.0
            }
            _ => self.a == self.b,
        };
        let (cosine, norm_ratio) = (self.cosine(), self.norm_ratio());
        (!is_close).then_some(Difference::Cosine { cosine, norm_ratio, min_cosine })
    }
}

/// The element with the largest error, or that with the largest error outside the rows that masks hide if these are set
/// apart as [rounding](RoundingEvidence::other_rows) and there are others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worst {
    /// Its index on each axis.
    pub index: Vec<usize>,
    /// The value of the first model, as printed.
    pub a: String,
    /// The value of the second model.
    pub b: String,
    /// `|a - b| / max(|a|, scale)`; `None` for integers and values that are not finite.
    pub error: Option<f64>,
}

impl Worst {
    pub(crate) fn new(a: &Array, b: &Array, at: usize, error: Option<f64>) -> Self {
        let text = |array: &Array| array.any().text(at).unwrap_or_default();
        Self { index: a.index(at), a: text(a), b: text(b), error }
    }
}

/// A difference beyond the tolerance that disappears when both models compute in f64.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundingEvidence {
    /// The largest error of the models in their own precision.
    pub observed: f64,
    /// The largest error of the models in f64.
    pub twins: f64,
    /// Whether the models agree in f64 only with weights that are rounded to f16 or bf16 in both of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rounded_weights: bool,
    /// The largest error that noise in the last bits of f16 or bf16 causes in the outputs of the first model, if only that
    /// shows that the difference is rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// The largest error outside the rows that masks hide, if that within them is larger; 0 if masks hide all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_rows: Option<f64>,
}

/// A difference between two outputs beyond the tolerance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Only the first model has this output.
    Missing,
    /// The element types or shapes differ.
    Type {
        /// The type in the first model.
        a: String,
        /// The type in the second model.
        b: String,
    },
    /// Elements differ; [`Comparison::worst`] is one of them.
    Elements {
        /// The number of elements that differ.
        count: usize,
    },
    /// The cosine over the elements of all runs is too small, or the norms differ by a factor of more than 1.5.
    Cosine {
        /// The cosine; `None` if all elements of one model are 0.
        cosine: Option<f64>,
        /// The norm in the second model divided by that in the first one; `None` if all elements of that are 0.
        norm_ratio: Option<f64>,
        /// The smallest cosine that is accepted.
        min_cosine: f64,
    },
}

/// Which elements are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// All elements.
    Everywhere,
    /// Elements that are finite in the first model.
    FirstIsFinite,
}

/// Compares outputs one by one, by name.
///
/// Floats are equal if `|a - b| <= tolerance * max(|a|, scale)`. The scale of an output is the median of `|a|` over its
/// elements that are finite and not 0. So a tolerance means the same for outputs of any magnitude; elements near 0 are
/// compared relative to typical elements of their output, and a few huge elements, such as the fill of a mask, do not
/// hide the others. NaN equals NaN, and an infinity equals itself. All other types must be equal exactly.
///
/// ```
/// use netwright_verify::{Array, Difference, compare};
/// let output = |last: f32| Ok::<_, netwright_verify::VerifyError>(("y".to_owned(), Array::new([3], vec![1.0, 2.0, last])?));
/// let compared = compare(&[output(4.0)?], &[output(4.1)?], 1e-4).remove(0);
/// assert_eq!((compared.scale, compared.difference), (2.0, Some(Difference::Elements { count: 1 })));
/// # Ok::<(), netwright_verify::VerifyError>(())
/// ```
pub fn compare(a: &[(String, Array)], b: &[(String, Array)], tolerance: f64) -> Vec<Comparison> {
    compare_at(a, b, tolerance, Where::Everywhere)
}

pub(crate) fn compare_at(a: &[(String, Array)], b: &[(String, Array)], tolerance: f64, at: Where) -> Vec<Comparison> {
    let other = |name: &String| b.iter().find(|(other, _)| other == name).map(|(_, array)| array);
    a.iter().map(|(name, array)| compare_one(name, array, other(name), tolerance, at)).collect()
}

fn compare_one(output: &str, a: &Array, b: Option<&Array>, tolerance: f64, places: Where) -> Comparison {
    let mut comparison = Comparison {
        output: output.to_owned(),
        ty: a.to_string(),
        scale: 0.0,
        max_abs: 0.0,
        max_rel: 0.0,
        mean_abs: 0.0,
        error_norm: None,
        cosine: None,
        agreement: None,
        worst: None,
        not_compared: 0,
        difference: None,
        rounding: None,
        beyond_tolerance: 0,
        products: Products::default(),
    };
    let Some(b) = b else {
        comparison.difference = Some(Difference::Missing);
        return comparison;
    };
    if a.element() != b.element() || a.shape() != b.shape() {
        comparison.difference = Some(Difference::Type { a: a.to_string(), b: b.to_string() });
        return comparison;
    }
    let (count, worst) = match (a.any().floats(), b.any().floats()) {
        (Some(left), Some(right)) => comparison.floats(&left, &right, tolerance, places),
        _ => differing(a.any(), b.any()),
    };
    comparison.worst = worst.map(|(at, error)| Worst::new(a, b, at, error));
    comparison.difference = (count > 0).then_some(Difference::Elements { count });
    comparison
}

/// Compares elements that are not floats; returns how many differ, and the first of them.
fn differing(a: &Values, b: &Values) -> (usize, Option<(usize, Option<f64>)>) {
    if a == b {
        return (0, None);
    }
    let mut all = (0..a.len()).filter(|&at| a.text(at) != b.text(at));
    let first = all.next();
    (first.iter().count() + all.count(), first.map(|at| (at, None)))
}

/// Returns the scale of a tensor: the median of the magnitudes of the elements that are finite and not 0.
///
/// ```
/// assert_eq!(netwright_verify::scale(&[0.0, -3.0, 5.0, 1e30, f64::INFINITY]), 5.0);
/// ```
pub fn scale(values: &[f64]) -> f64 {
    let mut magnitudes: Vec<f64> =
        values.iter().map(|value| value.abs()).filter(|value| value.is_finite() && *value > 0.0).collect();
    if magnitudes.is_empty() {
        return 0.0;
    }
    let middle = magnitudes.len() / 2;
    *magnitudes.select_nth_unstable_by(middle, f64::total_cmp).1
}

impl Comparison {
    /// Compares floats; returns how many elements differ beyond the tolerance, and the worst with its error.
    fn floats(&mut self, a: &[f64], b: &[f64], tolerance: f64, at: Where) -> (usize, Option<(usize, Option<f64>)>) {
        self.scale = scale(a);
        let mut products = Products::default();
        let (mut sum, mut squares, mut pairs) = (0.0, 0.0, 0.0);
        let mut differ = 0;
        // An element that is finite on one side only is worse than any error.
        let mut worst: Option<(usize, f64)> = None;
        for (place, (&a, &b)) in a.iter().zip(b).enumerate() {
            let error = if a.is_finite() && b.is_finite() {
                // Clamped to finite values, because JSON has no infinity.
                let distance = (a - b).abs().min(f64::MAX);
                self.max_abs = self.max_abs.max(distance);
                if a != 0.0 {
                    self.max_rel = self.max_rel.max((distance / a.abs()).min(f64::MAX));
                }
                sum += distance;
                squares += distance * distance;
                pairs += 1.0;
                products.add(a, b);
                let allowed = a.abs().max(self.scale);
                differ += usize::from(distance > tolerance * allowed);
                if distance == 0.0 { 0.0 } else { (distance / allowed).min(f64::MAX) }
            } else if at == Where::FirstIsFinite && !a.is_finite() {
                self.not_compared += 1;
                0.0
            } else if a == b || (a.is_nan() && b.is_nan()) {
                0.0
            } else {
                differ += 1;
                f64::INFINITY
            };
            if error > worst.map_or(0.0, |(_, error)| error) {
                worst = Some((place, error));
            }
        }
        let finite = |number: f64| Some(number).filter(|number| number.is_finite());
        self.mean_abs = finite(sum / pairs).unwrap_or(if sum > 0.0 { f64::MAX } else { 0.0 });
        self.error_norm = finite((squares / products.a).sqrt());
        self.cosine = products.cosine();
        self.products = products;
        (differ, worst.map(|(place, error)| (place, Some(error).filter(|error| error.is_finite()))))
    }

    /// Returns whether the worst element is finite in the first model, and NaN or infinite in the second: a number left the
    /// range of its type.
    pub fn becomes_not_finite(&self) -> bool {
        let is_finite = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
        self.difference.is_some()
            && self.worst.as_ref().is_some_and(|worst| is_finite(&worst.a) && !is_finite(&worst.b))
    }

    /// Adds how well the predictions agree, if the output has logits.
    pub(crate) fn predict(&mut self, a: &Array, b: &Array, vocabulary: Option<u64>) {
        if a.shape() == b.shape() && logits::is_logits(&self.output, a, vocabulary) {
            let floats = a.any().floats().zip(b.any().floats());
            let width = a.shape().last().copied().unwrap_or(0);
            self.agreement = floats.and_then(|(a, b)| logits::agreement(&a, &b, width));
        }
    }

    /// Accepts floats that differ beyond the tolerance, whose cosine is judged once all runs are done, and other elements
    /// that differ, such as the index of the largest logit. An element that is finite in only one of the models stays a
    /// difference.
    pub(crate) fn accept_beyond_tolerance(&mut self) {
        if let Some(Difference::Elements { count }) = self.difference
            && (!self.is_float() || self.error().is_some())
        {
            self.difference = None;
            self.beyond_tolerance = count;
        }
    }

    /// Accepts an output of which no element is compared.
    pub(crate) fn leave_out(&mut self, elements: usize) {
        (self.difference, self.worst, self.not_compared) = (None, None, elements);
    }

    /// Returns whether the elements are floats.
    pub(crate) fn is_float(&self) -> bool {
        self.ty.starts_with(['f', 'b']) && !self.ty.starts_with("bool")
    }

    /// Returns the error of the worst element, if both values are finite.
    pub(crate) fn error(&self) -> Option<f64> {
        self.worst.as_ref().map_or(Some(0.0), |worst| worst.error)
    }
}

impl Comparison {
    /// Whether all figures are printed: those that matter for quantized models are on request otherwise.
    fn is_detailed(&self, f: &fmt::Formatter<'_>) -> bool {
        f.alternate() || self.beyond_tolerance > 0 || matches!(self.difference, Some(Difference::Cosine { .. }))
    }
}

/// `{:#}` adds the figures that otherwise are printed only for models that are quantized differently.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output `{}` {}: ", self.output, self.ty)?;
        match (&self.difference, &self.worst) {
            (Some(Difference::Elements { count }), Some(worst)) => {
                let elements = if *count == 1 { "element differs" } else { "elements differ" };
                write!(f, "{count} {elements}, most at {worst}")?;
            }
            (Some(difference @ Difference::Cosine { .. }), Some(worst)) => write!(f, "{difference}, worst at {worst}")?,
            (Some(difference), _) => return write!(f, "{difference}"),
            (None, None) => f.write_str("the same")?,
            (None, Some(worst)) if self.beyond_tolerance > 0 => write!(f, "close, worst at {worst}")?,
            (None, Some(worst)) => write!(f, "equal, worst at {worst}")?,
        }
        write!(f, " (scale {:.3e}, max abs {:.3e}, max rel {:.3e}", self.scale, self.max_abs, self.max_rel)?;
        if let Some(cosine) = self.cosine {
            write!(f, ", cosine {cosine:.9}")?;
        }
        if let (true, Some(norm)) = (self.is_detailed(f), self.error_norm) {
            write!(f, ", mean abs {:.3e}, error norm {norm:.3e}", self.mean_abs)?;
        }
        f.write_str(")")?;
        if let (true, Some(agreement)) = (self.is_detailed(f), &self.agreement) {
            write!(f, "; {agreement}")?;
        }
        if self.not_compared > 0 {
            write!(
                f,
                "; {} elements not compared: the first model returns NaN or infinity, or the inputs leave them no precision",
                self.not_compared
            )?;
        }
        if !self.is_float() && self.rounding.is_some() {
            f.write_str("; rounding: the elements are the same when both models compute in f64")?;
        } else if let Some(RoundingEvidence { observed, twins, rounded_weights, noise, other_rows }) = self.rounding {
            let rows = if other_rows.is_some() { " of rows that a mask hides" } else { "" };
            write!(
                f,
                "; rounding: the error{rows} is {observed:.1e}, and {twins:.1e} when both models compute in f64"
            )?;
            if rounded_weights {
                f.write_str(" with weights rounded to the narrowest type")?;
            }
            if let Some(noise) = noise {
                write!(f, "; noise in the last bits of the narrowest type has an effect of {noise:.1e}")?;
            }
            if let Some(error) = other_rows {
                write!(f, "; the error outside the rows that masks hide is {error:.1e}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} against {}", self.index, self.a, self.b)?;
        self.error.map_or(Ok(()), |error| write!(f, ", error {error:.3e}"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing => f.write_str("the second model does not have it"),
            Difference::Type { a, b } => write!(f, "{a} in the first model, {b} in the second"),
            Difference::Elements { count } => write!(f, "{count} elements differ"),
            Difference::Cosine { cosine: Some(cosine), norm_ratio: Some(ratio), min_cosine } => {
                write!(
                    f,
                    "over all runs, the cosine is {cosine:.4} (at least {min_cosine} is expected), and the norm is {ratio:.4} \
                     times that of the first model (at most a factor of {MAX_NORM_RATIO} is expected)"
                )
            }
            Difference::Cosine { .. } => f.write_str("all elements of one model are 0"),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(a: impl Into<Values>, b: impl Into<Values>) -> Comparison {
        let array = |values: Values| vec![("y".to_owned(), Array::new([1, values.len()], values).unwrap())];
        compare(&array(a.into()), &array(b.into()), 1e-3).remove(0)
    }

    #[test]
    fn floats_are_equal_within_the_tolerance() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for (a, b, equal) in [
            (1.0, 1.0009, true),
            (1.0, 1.0011, false),
            (0.0, 0.0009, true), // compared relative to the scale
            (0.0, 0.0011, false),
            (1000.0, 1000.9, true), // relative above the scale
            (1000.0, 1001.1, false),
            (-0.0, 0.0, true),
            (nan, nan, true),
            (nan, 1.0, false),
            (1.0, nan, false),
            (inf, inf, true),
            (inf, -inf, false),
            (inf, 1e20, false),
            (1.0, inf, false),
        ] {
            // The result does not depend on the magnitude of the output.
            for unit in [1.0, 1e-12, 1e12] {
                let [left, right] = [[1.0, a, 1.0], [1.0, b, 1.0]].map(|all| all.map(|value| value * unit).to_vec());
                let comparison = one(left.clone(), right.clone());
                let difference = Difference::Elements { count: 1 };
                assert_eq!(comparison.difference, (!equal).then_some(difference), "{a} {b} {unit}");
                assert!(comparison.max_abs.is_finite() && comparison.max_rel.is_finite(), "{a} {b}");
                if !equal {
                    let worst = comparison.worst.expect("a difference has a place");
                    assert_eq!(worst.index, [0, 1], "{a} {b}");
                    assert_eq!((worst.a, worst.b), (left[1].to_string(), right[1].to_string()));
                }
            }
        }
    }

    #[test]
    fn the_scale_is_the_median() {
        // Neither the fill of a mask nor zeros affect the scale.
        for (values, scale) in [
            (vec![0.5_f32, -1.0, 2.0, -1e9, f32::NEG_INFINITY], 2.0),
            (vec![0.0, 0.0, 0.0, 4.0, f32::NAN], 4.0),
            (vec![0.0, -0.0], 0.0),
            (vec![], 0.0),
        ] {
            assert_eq!(one(values.clone(), values).scale, scale);
        }
        let worst = one(vec![1.0_f32, 3.0, 2.0], vec![1.0_f32, 3.3, 2.4]).worst.unwrap();
        assert_eq!((worst.index, worst.a.as_str(), worst.b.as_str()), (vec![0, 2], "2", "2.4"));
        assert!((worst.error.unwrap() - 0.2).abs() < 1e-6);
        // Only zeros equal an output of zeros.
        assert_eq!(one(vec![0.0_f32], vec![1e-30_f32]).difference, Some(Difference::Elements { count: 1 }));
    }

    #[test]
    fn elements_that_are_not_finite_in_the_first_may_be_left_out() {
        let array = |values: Vec<f32>| vec![("y".to_owned(), Array::new([values.len()], values).unwrap())];
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let compare = |a, b| compare_at(&array(a), &array(b), 1e-3, Where::FirstIsFinite).remove(0);
        let lenient = compare(vec![nan, inf, 1.0], vec![1.0, 2.0, 1.0]);
        assert_eq!((lenient.difference, lenient.not_compared), (None, 2));
        assert_eq!(compare(vec![1.0, 1.0], vec![nan, 1.0]).difference, Some(Difference::Elements { count: 1 }));
    }

    #[test]
    fn errors_are_measured_on_finite_pairs() {
        let comparison = one(vec![3.0, 4.0, f32::NAN], vec![3.0, 5.0, f32::NAN]);
        assert_eq!((comparison.max_abs, comparison.max_rel), (1.0, 0.25));
        assert_eq!((comparison.mean_abs, comparison.error_norm), (0.5, Some(0.2)));
        assert!((comparison.cosine.unwrap() - 29.0 / (5.0 * 34_f64.sqrt())).abs() < 1e-12);
        assert_eq!(one(vec![0.0_f32], vec![0.0_f32]).cosine, None);
        assert_eq!(one(vec![f64::MAX], vec![-f64::MAX]).max_abs, f64::MAX);
    }

    #[test]
    fn only_finite_floats_and_other_types_are_accepted_beyond_the_tolerance() {
        let accepted = |a: Values, b: Values| {
            let mut comparison = one(a, b);
            comparison.accept_beyond_tolerance();
            (comparison.difference, comparison.beyond_tolerance)
        };
        assert_eq!(accepted(vec![1.0_f32, 1.0].into(), vec![1.0_f32, 1.2].into()), (None, 1));
        assert_eq!(accepted(vec![1.0_f32].into(), vec![1.0_f32].into()), (None, 0));
        assert_eq!(accepted(vec![1_i64].into(), vec![2_i64].into()), (None, 1));
        let nan = accepted(vec![1.0, f32::NAN].into(), vec![1.0_f32, 1.0].into());
        assert_eq!(nan, (Some(Difference::Elements { count: 1 }), 0));
        let mut missing = compare(&[("y".to_owned(), Array::new([], vec![1.0_f32]).unwrap())], &[], 0.0).remove(0);
        missing.accept_beyond_tolerance();
        assert_eq!(missing.difference, Some(Difference::Missing));
    }

    #[test]
    fn the_cosine_and_the_norm_over_all_runs_decide() {
        let judged = |runs: &[[f32; 4]], min_cosine| {
            let runs = runs.iter().map(|&[a, b, c, d]| one(vec![a, b], vec![c, d]).products);
            Products::of_runs(runs).difference(min_cosine).is_none()
        };
        let (same, orthogonal) = ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0]);
        assert!(judged(&[same], 0.999));
        assert!(judged(&[same, orthogonal], 0.49) && !judged(&[same, orthogonal], 0.51));
        // A run with large inputs does not decide.
        assert!(!judged(&[[100.0; 4], orthogonal], 0.51));
        assert!(judged(&[[1.0, 2.0, 1.4, 2.8]], 0.9) && !judged(&[[1.0, 2.0, 2.0, 4.0]], 0.9), "another norm");
        assert!(!judged(&[[2.0, 4.0, 1.0, 2.0]], 0.9), "another norm");
        assert!(judged(&[[0.0; 4]], 0.9) && !judged(&[[0.0, 0.0, 1.0, 0.0]], 0.0) && judged(&[], 0.9));
    }

    #[test]
    fn other_types_must_be_equal_exactly() {
        let found = |comparison: Comparison| {
            let count = match comparison.difference {
                Some(Difference::Elements { count }) => count,
                other => return format!("{other:?}"),
            };
            let worst = comparison.worst.expect("a difference has a place");
            format!("{count} {worst}")
        };
        let ty = |a: &str, b: &str| Some(Difference::Type { a: a.to_owned(), b: b.to_owned() });
        let most = i64::MAX;
        assert_eq!(found(one(vec![1, most], vec![1, most])), "None");
        let expected = "1 [0, 1]: 9223372036854775807 against 9223372036854775806";
        assert_eq!(found(one(vec![1, most], vec![1, most - 1])), expected);
        assert_eq!(found(one(vec![true, true], vec![true, false])), "1 [0, 1]: true against false");
        assert_eq!(one(vec![1_i32], vec![1_i64]).difference, ty("i32[1, 1]", "i64[1, 1]"));
        assert_eq!(one(vec![1_i64], vec![1_i64, 1]).difference, ty("i64[1, 1]", "i64[1, 2]"));
        let array = Array::new([], vec![1.0_f32]).unwrap();
        let missing = compare(&[("y".to_owned(), array)], &[], 0.0).remove(0);
        assert_eq!(missing.difference, Some(Difference::Missing));
    }
}
