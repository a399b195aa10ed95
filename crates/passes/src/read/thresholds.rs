//! Thresholds that distinguish attention masks from scores, each with its source.

use netwright_ir::ElementType;

/// The thresholds that depend on the element type in which masks are added to scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Depths {
    /// The element type.
    pub(crate) element: ElementType,
    /// The counterpart of [`MASKED`].
    pub(crate) masked: f64,
    /// The counterpart of [`ABSORBING`].
    pub(crate) absorbing: f64,
    /// The counterpart of [`HUGE`].
    pub(crate) huge: f64,
    /// The counterpart of [`ORT_SKIPS`].
    pub(crate) ort_skips: f64,
}

impl Depths {
    /// Returns the thresholds of a float type.
    ///
    /// In `f16`, the lowest number is -65504, and half of its last place is 16, so it absorbs scores up to 16. So does
    /// -49152, with which sums of scores stay finite, and no runtime skips rows of it. Scores of a row that is fully
    /// masked are assumed to be no larger than 16.
    pub(crate) fn of(element: ElementType) -> Self {
        let wide =
            Self { element: ElementType::F32, masked: MASKED, absorbing: ABSORBING, huge: HUGE, ort_skips: ORT_SKIPS };
        match element {
            ElementType::F16 => {
                Self { element, masked: -49152.0, absorbing: 32768.0, huge: -65504.0, ort_skips: -65504.0 }
            }
            ElementType::BF16 => {
                let masked = element.round(MASKED).unwrap_or(MASKED);
                Self { element, masked, ort_skips: f32::from_bits(0xff7f_0000).into(), ..wide }
            }
            ElementType::F64 => Self { element, absorbing: 1e24, ..wide },
            _ => wide,
        }
    }

    /// Whether a number absorbs every score to which it is added.
    pub(crate) fn absorbs(self, number: f64) -> bool {
        number.abs() >= self.absorbing
    }

    /// Rounds a number to the type.
    pub(crate) fn round(self, number: f64) -> f64 {
        self.element.round(number).unwrap_or(number)
    }
}

/// The number with which rewrites hide a score, and the greatest that hides any score.
///
/// Half of its last place in `f32` is 4e22, so it absorbs every score; and it can be added a million times before the
/// sum overflows, unlike the lowest float, `-3.4e38`. Runtimes also skip rows of the lowest float ([`ORT_SKIPS`]).
pub(crate) const MASKED: f64 = -1e30_f32 as f64;

/// The smallest magnitude that absorbs every score: half of the last place of 1e15 in `f32` is 3e7, and no trained
/// model has scores that large.
pub(crate) const ABSORBING: f64 = 1e15;

/// The greatest number with which models mask: the `(1 - mask) * -10000` of BERT and GPT-2, as Hugging Face's
/// Transformers wrote it before it used the lowest float, as `bf16` rounds it. Scores of a trained model differ by less,
/// so a masked key has weight 0. A number above it may be a score.
pub(crate) const LIGHTEST: f64 = -9984.0;

/// A key to whose score less than this is added has no weight next to keys that are not masked: in `f32`, `exp(-104)`
/// is 0, and the scores of one row differ by less than 896.
pub(crate) const SHALLOW: f64 = -1e3;

/// An entry of a row that is this much less than another has no weight next to it, as with [`SHALLOW`].
pub(crate) const GAP: f64 = 1e3;

/// The greatest magnitude of a number that can be dropped if it is added to every score: in theory it changes no
/// probability, and it rounds scores up to this magnitude by at most 4e-6, half of the last place of their sum.
pub(crate) const HARMLESS: f64 = 64.0;

/// An element of a mask that is this or less may be replaced, because it only means "hidden": the lowest floats of
/// `f32` and `bf16`, and minus infinity, for which runtimes skip rows.
pub(crate) const HUGE: f64 = -1e35;

/// tract 0.23.9 skips blocks of scores whose masks are all less than this, even in rows that are fully masked.
pub(crate) const TRACT_SKIPS: f64 = -65503.0;

/// ONNX Runtime 1.32 returns zeros for rows whose masks are all this or less, for which the standard specifies the
/// mean.
pub(crate) const ORT_SKIPS: f64 = f32::MIN as f64;
