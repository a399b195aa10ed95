//! Comparing what two models put out.

use crate::{Array, Values};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How one output of two models compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The name of the output.
    pub output: String,
    /// Its type, as `f32[2, 7, 512]`.
    pub ty: String,
    /// The largest `|a - b|`, over the pairs that are both finite.
    pub max_abs: f64,
    /// The largest `|a - b| / |b|`, over the pairs that are both finite and where `b` is not 0.
    pub max_rel: f64,
    /// The cosine of the angle between the two, over the pairs that are both finite; `None` where a length is 0.
    pub cosine: Option<f64>,
    /// The first difference that is not tolerated.
    pub difference: Option<Difference>,
}

/// A difference between two outputs that is not tolerated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Only the first model has this output.
    Missing,
    /// Element type or shape.
    Type {
        /// That of the first model.
        a: String,
        /// That of the second.
        b: String,
    },
    /// An element.
    Element {
        /// Where, one index for each axis.
        index: Vec<usize>,
        /// The value of the first model, as printed.
        a: String,
        /// The value of the second.
        b: String,
    },
}

/// Compares outputs one by one, by name.
///
/// Floats are equal where `|a - b| <= tolerance * max(1, |b|)`; NaN equals NaN, and an infinity itself. Everything
/// else must be equal exactly.
pub fn compare(a: &[(String, Array)], b: &[(String, Array)], tolerance: f64) -> Vec<Comparison> {
    let other = |name: &String| b.iter().find(|(other, _)| other == name).map(|(_, array)| array);
    a.iter().map(|(name, array)| compare_one(name, array, other(name), tolerance)).collect()
}

fn compare_one(output: &str, a: &Array, b: Option<&Array>, tolerance: f64) -> Comparison {
    let mut comparison = Comparison {
        output: output.to_owned(),
        ty: a.to_string(),
        max_abs: 0.0,
        max_rel: 0.0,
        cosine: None,
        difference: None,
    };
    let Some(b) = b else {
        comparison.difference = Some(Difference::Missing);
        return comparison;
    };
    if a.element() != b.element() || a.shape() != b.shape() {
        comparison.difference = Some(Difference::Type { a: a.to_string(), b: b.to_string() });
        return comparison;
    }
    let first = match (a.any().floats(), b.any().floats()) {
        (Some(left), Some(right)) => {
            comparison.measure(&left, &right);
            left.iter().zip(&right).position(|(&a, &b)| !within(a, b, tolerance))
        }
        _ => differing(a.any(), b.any()),
    };
    let text = |array: &Array, at| array.any().text(at).unwrap_or_default();
    comparison.difference = first.map(|at| Difference::Element { index: a.index(at), a: text(a, at), b: text(b, at) });
    comparison
}

fn within(a: f64, b: f64, tolerance: f64) -> bool {
    // The first covers infinities, whose difference is NaN.
    a == b || (a.is_nan() && b.is_nan()) || ((a - b).abs() <= tolerance * b.abs().max(1.0) && b.is_finite())
}

/// The first place where two lists that are not floats differ.
fn differing(a: &Values, b: &Values) -> Option<usize> {
    if a == b { None } else { (0..a.len()).find(|&at| a.text(at) != b.text(at)) }
}

impl Comparison {
    fn measure(&mut self, a: &[f64], b: &[f64]) {
        let (mut dot, mut left, mut right) = (0.0, 0.0, 0.0);
        for (&a, &b) in a.iter().zip(b).filter(|(a, b)| a.is_finite() && b.is_finite()) {
            // Finite, that it can be written as JSON.
            let distance = (a - b).abs().min(f64::MAX);
            self.max_abs = self.max_abs.max(distance);
            if b != 0.0 {
                self.max_rel = self.max_rel.max((distance / b.abs()).min(f64::MAX));
            }
            dot += a * b;
            left += a * a;
            right += b * b;
        }
        self.cosine = Some(dot / (left.sqrt() * right.sqrt())).filter(|cosine| cosine.is_finite());
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output `{}` {}: ", self.output, self.ty)?;
        match &self.difference {
            Some(difference) => write!(f, "{difference}")?,
            None => f.write_str("equal")?,
        }
        if !matches!(self.difference, Some(Difference::Missing | Difference::Type { .. })) {
            write!(f, " (max abs {:.3e}, max rel {:.3e}", self.max_abs, self.max_rel)?;
            if let Some(cosine) = self.cosine {
                write!(f, ", cosine {cosine:.9}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing => f.write_str("the second model does not have it"),
            Difference::Type { a, b } => write!(f, "{a} in the first model, {b} in the second"),
            Difference::Element { index, a, b } => write!(f, "differs at {index:?}: {a} against {b}"),
        }
    }
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
            (0.0, 0.0009, true),    // absolute below 1
            (1000.0, 1000.9, true), // relative above
            (1000.0, 1001.1, false),
            (-0.0, 0.0, true),
            (nan, nan, true),
            (nan, 1.0, false),
            (1.0, nan, false),
            (inf, inf, true),
            (inf, -inf, false),
            (inf, f32::MAX, false),
            (1.0, inf, false),
        ] {
            let comparison = one(vec![0.5, a], vec![0.5, b]);
            let difference = Difference::Element { index: vec![0, 1], a: a.to_string(), b: b.to_string() };
            assert_eq!(comparison.difference, (!equal).then_some(difference), "{a} {b}");
            assert!(comparison.max_abs.is_finite() && comparison.max_rel.is_finite(), "{a} {b}");
        }
    }

    #[test]
    fn distances_are_of_finite_pairs() {
        let comparison = one(vec![3.0, 4.0, f32::NAN], vec![3.0, 5.0, f32::NAN]);
        assert_eq!((comparison.max_abs, comparison.max_rel), (1.0, 0.2));
        assert!((comparison.cosine.unwrap() - 29.0 / (5.0 * 34_f64.sqrt())).abs() < 1e-12);
        assert_eq!(one(vec![0.0_f32], vec![0.0_f32]).cosine, None);
        assert_eq!(one(vec![f64::MAX], vec![-f64::MAX]).max_abs, f64::MAX);
    }

    #[test]
    fn all_else_is_equal_exactly() {
        let element =
            |a: &str, b: &str| Some(Difference::Element { index: vec![0, 1], a: a.to_owned(), b: b.to_owned() });
        let ty = |a: &str, b: &str| Some(Difference::Type { a: a.to_owned(), b: b.to_owned() });
        let most = i64::MAX;
        assert_eq!(one(vec![1, most], vec![1, most]).difference, None);
        assert_eq!(
            one(vec![1, most], vec![1, most - 1]).difference,
            element("9223372036854775807", "9223372036854775806")
        );
        assert_eq!(one(vec![true, true], vec![true, false]).difference, element("true", "false"));
        assert_eq!(one(vec![1_i32], vec![1_i64]).difference, ty("i32[1, 1]", "i64[1, 1]"));
        assert_eq!(one(vec![1_i64], vec![1_i64, 1]).difference, ty("i64[1, 1]", "i64[1, 2]"));
        let array = Array::new([], vec![1.0_f32]).unwrap();
        let missing = compare(&[("y".to_owned(), array)], &[], 0.0).remove(0);
        assert_eq!(missing.difference, Some(Difference::Missing));
    }
}
