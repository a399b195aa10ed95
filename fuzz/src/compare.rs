//! Compares two results, up to rounding.

use netwright::verify::Array;

/// A difference between two results.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Difference {
    /// In type or shape, or in an element that is not a float.
    Exact(String),
    /// In a float: the error relative to the tolerance, and the location.
    Float { at: usize, found: f64, expected: f64 },
    /// The original is not finite there, and the other result differs.
    NotFinite { at: usize, found: f64, expected: f64 },
}

impl Difference {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Exact(text) => text.clone(),
            Self::Float { at, found, expected } | Self::NotFinite { at, found, expected } => {
                format!("element {at} is {found}, not {expected}")
            }
        }
    }
}

/// Returns the first difference, or the worst one of floats.
pub(crate) fn difference(found: &Array, expected: &Array, tolerance: f64) -> Option<Difference> {
    if found.element() != expected.element() || found.shape() != expected.shape() {
        return Some(Difference::Exact(format!("the output is {found}, not {expected}")));
    }
    let (Some(found), Some(expected)) = (found.any().floats(), expected.any().floats()) else {
        let same = found.to_bytes() == expected.to_bytes();
        return (!same).then(|| Difference::Exact(format!("the elements of {expected} differ")));
    };
    // The scale is that of typical elements, which an outlier does not affect.
    let mut sizes: Vec<f64> = expected.iter().map(|value| value.abs()).filter(|size| size.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    let usual = sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
    let mut worst: Option<(f64, Difference)> = None;
    for (at, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        if found == expected || found.is_nan() && expected.is_nan() {
            continue;
        }
        let difference = if expected.is_finite() {
            Difference::Float { at, found, expected }
        } else {
            Difference::NotFinite { at, found, expected }
        };
        let limit = tolerance * (expected.abs() + usual + 1e-3);
        let excess = (found - expected).abs() / limit;
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        let is_worse = worst.as_ref().is_none_or(|(most, _)| excess > *most);
        if excess > 1.0 && is_worse {
            worst = Some((excess, difference));
        }
    }
    worst.map(|(_, difference)| difference)
}
