//! Decides by the original in `f64` whether a result is wrong or only rounded differently.
//!
//! A result is rounded if no row is further from `f64` than that row of the original. If the original is not finite
//! because its sums overflow, it is infinitely far.

use crate::element::Elem;
use crate::feeds::array;
use crate::runtime;
use crate::wide;
use netwright::verify::{Array, Session};
use onnx_protobuf::{Message, ModelProto};

/// Loads the original in `f64`. `None` if ONNX Runtime does not load it so.
pub(crate) fn load(model: &ModelProto) -> Option<Session> {
    runtime::load(&wide::widened(model).write_to_bytes().ok()?).ok()
}

/// Whether no row of an output is further from `f64` than that of the original, which is `expected`.
pub(crate) fn explains(
    exact: &Session,
    given: &[(String, Array)],
    name: &str,
    [found, expected]: [&Array; 2],
    tolerance: f64,
) -> bool {
    let wide = |own: &Array| match own.any().floats() {
        Some(floats) => array(Elem::F64, own.shape().to_vec(), &floats),
        None => Some(own.clone()),
    };
    let given: Option<Vec<_>> = given.iter().map(|(name, array)| Some((name.clone(), wide(array)?))).collect();
    let outputs = given.and_then(|given| runtime::run(exact, &given).ok()).unwrap_or_default();
    let exact = outputs.iter().find(|(other, _)| other == name).and_then(|(_, array)| array.any().floats());
    let (Some(exact), Some(own), Some(floats)) = (exact, expected.any().floats(), found.any().floats()) else {
        return false;
    };
    let row = found.shape().last().copied().unwrap_or(1).max(1);
    let mut rows = floats.chunks(row).zip(own.chunks(row)).zip(exact.chunks(row));
    let is_alike = floats.len() == own.len() && floats.len() == exact.len();
    is_alike && rows.all(|((found, own), exact)| is_no_further(found, own, exact, tolerance))
}

/// Whether the greatest error of a row is no greater than that of the original.
fn is_no_further(found: &[f64], own: &[f64], exact: &[f64], tolerance: f64) -> bool {
    let error = |row: &[f64]| {
        let errors = row.iter().zip(exact).map(|(value, exact)| {
            let is_same = value == exact || value.is_nan() && exact.is_nan();
            let error = if is_same { 0.0 } else { (value - exact).abs() };
            if error.is_nan() { f64::INFINITY } else { error }
        });
        errors.fold(0.0, f64::max)
    };
    let scale = exact.iter().map(|value| value.abs()).filter(|size| size.is_finite()).fold(1e-3, f64::max);
    let (found, own) = (error(found), error(own));
    found <= own.max(tolerance * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_rounded_if_the_original_is_as_far_from_f64() {
        let exact = [1.0, 2.0];
        for (found, own, is_rounded) in [
            ([1.1, 2.0], [1.0, 2.2], true),
            ([1.3, 2.0], [1.0, 2.2], false),
            ([1.0, 2.0001], [1.0, 2.0], true),
            ([1.0, 2.0], [f64::NAN, 2.0], true),
            ([f64::NAN, 2.0], [f64::NAN, 2.5], true),
            ([f64::NAN, 2.0], [1.5, 2.0], false),
        ] {
            assert_eq!(is_no_further(&found, &own, &exact, 1e-4), is_rounded, "{found:?} {own:?}");
        }
    }
}
