//! The numbers by which masks of attention are told from scores, each with its source.

use netwright_ir::ElementType;

/// The thresholds that depend on the type in which masks and scores are added up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Depths {
    /// The type.
    pub(crate) element: ElementType,
    /// [`MASKED`], or what stands for it.
    pub(crate) masked: f64,
    /// [`ABSORBING`], or what stands for it.
    pub(crate) absorbing: f64,
    /// [`HUGE`], or what stands for it.
    pub(crate) huge: f64,
    /// [`ORT_SKIPS`], or what stands for it.
    pub(crate) ort_skips: f64,
}

impl Depths {
    /// Those of a float type.
    ///
    /// In `f16`, the least float is -65504, and half of its last place is 16: scores up to that are lost in it, and from
    /// it on in the next one, -65472, for which no runtime leaves out rows. Scores of a row that is fully masked are taken
    /// to be no larger.
    pub(crate) fn of(element: ElementType) -> Self {
        let wide =
            Self { element: ElementType::F32, masked: MASKED, absorbing: ABSORBING, huge: HUGE, ort_skips: ORT_SKIPS };
        match element {
            ElementType::F16 => {
                Self { element, masked: -65472.0, absorbing: 32768.0, huge: -65504.0, ort_skips: -65504.0 }
            }
            ElementType::BF16 => {
                let masked = element.round(MASKED).unwrap_or(MASKED);
                Self { element, masked, ort_skips: f32::from_bits(0xff7f_0000).into(), ..wide }
            }
            ElementType::F64 => Self { element, absorbing: 1e24, ..wide },
            _ => wide,
        }
    }

    /// Whether nothing is left of a score to which a number is added.
    pub(crate) fn absorbs(self, number: f64) -> bool {
        number.abs() >= self.absorbing
    }

    /// The number as one of the type.
    pub(crate) fn round(self, number: f64) -> f64 {
        self.element.round(number).unwrap_or(number)
    }
}

/// The number that rewrites hide a score with, and the greatest that hides one whatever the scores are.
///
/// Half of its last place in `f32` is 4e22, so nothing is left of a score that is added to it; and it may be added up a
/// million times before floats end, as the least float, `-3.4e38`, cannot. That one also stands for more than a number:
/// runtimes leave out rows of it ([`ORT_SKIPS`]).
pub(crate) const MASKED: f64 = -1e30_f32 as f64;

/// The magnitude from which on nothing is left of a score that is added: half of the last place of 1e15 in `f32` is 3e7,
/// and no trained model has scores as large.
pub(crate) const ABSORBING: f64 = 1e15;

/// The greatest number that a model masks with: the `(1 - mask) * -10000` of BERT and GPT-2, as Hugging Face's
/// Transformers wrote it before it took the least float. Scores of a trained model do not lie so far apart, so a masked
/// one has the weight 0; what is above it may be a score.
pub(crate) const LIGHTEST: f64 = -1e4;

/// A score to which less is added does not count beside those to which nothing is: in `f32`, `exp(-104)` is 0, and scores
/// of one row do not lie 896 apart.
pub(crate) const SHALLOW: f64 = -1e3;

/// An entry of a row that is so much less than another has no weight beside it, as with [`SHALLOW`].
pub(crate) const GAP: f64 = 1e3;

/// A number that is added to every score changes no probability; up to this magnitude it moves scores that are no
/// larger by 4e-6 at most, half of the last place of their sum.
pub(crate) const HARMLESS: f64 = 64.0;

/// A number of a mask that is this or less may be replaced, since it says "hidden" and not how much: the least floats of
/// `f32` and `bf16` and minus infinity, which runtimes take for a mark of rows to leave out.
pub(crate) const HUGE: f64 = -1e35;

/// tract 0.23.9 leaves out blocks of scores of which every mask is less than this, those of fully masked rows too.
pub(crate) const TRACT_SKIPS: f64 = -65503.0;

/// ONNX Runtime 1.32 gives zeros for rows of which every mask is this or less, where the standard says the mean.
pub(crate) const ORT_SKIPS: f64 = f32::MIN as f64;
