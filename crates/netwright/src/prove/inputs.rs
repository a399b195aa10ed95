//! Inputs on which rewrites are run: the same input and sample have the same values.

use super::Input;
use crate::ir::{ElementType, fingerprint};
use crate::verify::{Array, Values};

/// A range of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// Uniform from -2 to 2.
    Moderate,
    /// Uniform from -0.001 to 0.001, where an epsilon matters.
    Small,
    /// From -2 to 2, with occasional 0, -0, 1 and -1; the first row is 0.
    Edges,
    /// From -2 to 2; scores and masks have masking values, in partially and fully masked rows.
    Masked,
    /// From -1000 to 1000, whose squares overflow in f16.
    Large,
    /// From -2 to 2, with occasional NaN, infinities, and the largest and smallest numbers.
    Special,
}

const EDGES: [f64; 6] = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5];
const MASKS: [f64; 5] = [0.0, -1e4, -1e9, f32::MIN as f64, f64::NEG_INFINITY];
const SPECIAL: [f64; 9] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e38, -1e38, 1e-40, -1e-30];

/// Generates the values of an input.
pub(crate) fn made_up(input: &Input, sample: Sample) -> Result<(String, Array), String> {
    let count: usize = input.dims.iter().product();
    let row = input.dims.last().copied().unwrap_or(1).max(1);
    let seed = fingerprint(input.name.bytes());
    let random = |at: usize| mix(seed.wrapping_add(at as u64));
    let pick = |from: &[f64], at: usize| from[usize::try_from(random(at) % from.len() as u64).unwrap_or(0)];
    let float = |at: usize| {
        let uniform = (random(at) >> 11) as f64 / (1u64 << 52) as f64 * 2.0 - 2.0;
        let is_often = random(at + count).is_multiple_of(3);
        match sample {
            Sample::Small => uniform * 5e-4,
            Sample::Large => uniform * 500.0,
            Sample::Edges if at < row && count > row => 0.0,
            Sample::Edges if is_often => pick(&EDGES, at),
            Sample::Special if is_often => pick(&SPECIAL, at),
            // Of four rows, one is unmasked, one is partially masked, and two are fully masked.
            Sample::Masked if input.is_score => match (at / row) % 4 {
                0 => uniform,
                1 if is_often => pick(&MASKS, at),
                1 => 0.0,
                whole => MASKS[whole],
            },
            _ => uniform,
        }
    };
    let integer = |at: usize| match sample {
        // One row of bools masks everything, and one masks nothing.
        Sample::Masked => i64::from(!(at / row).is_multiple_of(2)),
        _ => i64::from(random(at) % 2 == 1),
    };
    let integers = || (0..count).map(integer);
    #[expect(clippy::cast_possible_truncation, reason = "the values of a narrower type are made from wider ones")]
    let values: Values = match input.element {
        ElementType::F32 => (0..count).map(|at| float(at) as f32).collect::<Vec<_>>().into(),
        ElementType::F64 => (0..count).map(float).collect::<Vec<_>>().into(),
        ElementType::Bool => integers().map(|one| one != 0).collect::<Vec<bool>>().into(),
        ElementType::I64 => integers().collect::<Vec<i64>>().into(),
        ElementType::I32 => integers().map(|one| one as i32).collect::<Vec<i32>>().into(),
        ElementType::U8 => integers().map(|one| u8::from(one != 0)).collect::<Vec<u8>>().into(),
        ElementType::I8 => integers().map(|one| one as i8).collect::<Vec<i8>>().into(),
        other => return Err(format!("values of type {other} are not supported")),
    };
    Ok((input.name.clone(), Array::new(input.dims.clone(), values).map_err(|error| error.to_string())?))
}

/// Returns the SplitMix64 number at an index of the sequence.
fn mix(at: u64) -> u64 {
    let state = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
