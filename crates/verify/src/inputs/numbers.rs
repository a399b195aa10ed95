//! The numbers of inputs.

use super::INTEGERS;
use netwright_ir::fingerprint;

/// The magnitude of a float that is larger than the others.
pub(super) const OUTLIER: f32 = 1000.0;

/// Integers that are larger than the others: f16 rounds the first, and the square of the second overflows i32.
pub(super) const LARGE_INTEGERS: [i64; 2] = [3001, 70_001];

/// The magnitudes of rows of small floats: below usual epsilons, or below their roots.
pub(super) const SMALL: [f32; 2] = [1e-3, 1e-6];

/// Numbers at which roundings differ, and the largest and the least element twice.
const HALVES: [f32; 8] = [10.0, 10.0, 0.5, -0.5, -10.0, -10.0, 1.5, 2.5];

/// Zeros of both signs, and numbers that are halves after a product with 2 or 4.
const ZEROS: [f32; 8] = [0.0, -0.0, 0.25, -0.25, 0.5, -0.5, 0.125, -0.125];

/// How far floats are from a threshold, as a share of it.
const STEP: f64 = 1.0 / 1024.0;

/// The range of floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Range {
    /// Up to this.
    UpTo(f32),
    /// Up to 10, with multiples of one half among them.
    Halves,
    /// Up to 1, with 0, -0 and multiples of one quarter among them.
    Zeros,
    /// Up to 1, except for one element of 1000.
    Outlier,
    /// Up to 1e-3 or 1e-6, by row.
    Small,
}

/// Generates every value below a bound before repeating one: the last, then 0, then the others in some order.
pub(super) fn ids(count: usize, below: u64, random: &mut Random) -> Vec<i64> {
    // A step that is coprime to the bound reaches every value.
    let mut step = 1 + random.below(below.max(2) - 1);
    while divisor(step, below) != 1 {
        step += 1;
    }
    let id = |at: u64| below.wrapping_sub(1).wrapping_add(at.wrapping_mul(step)) % below.max(1);
    let mut ids: Vec<i64> = (0..count as u64).map(|at| id(at).cast_signed()).collect();
    if let Some(second) = ids.get_mut(1) {
        *second = 0;
    }
    // Shuffle, so that the last id and 0 are not always first.
    for at in (1..count).rev() {
        ids.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap_or(0));
    }
    ids
}

/// Returns a number in `0..bound`; 0 if the bound is not positive.
pub(super) fn below(bound: i64, random: &mut Random) -> i64 {
    random.below(u64::try_from(bound).unwrap_or(0)).cast_signed()
}

/// Returns the thresholds, and the numbers just below and above them.
pub(super) fn around(thresholds: &[f64], is_valid: impl Fn(f32) -> bool) -> Vec<f32> {
    // Small steps, which models whose arithmetic is rounded otherwise do not confuse.
    #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
    let at = |share: f64| {
        let step = move |x: &f64| (x + share * if *x == 0.0 { 1.0 } else { x.abs() }) as f32;
        thresholds.iter().map(step).collect::<Vec<f32>>()
    };
    [0.0, -STEP, STEP].into_iter().flat_map(at).filter(|x| is_valid(*x)).collect()
}

/// Returns the integers at thresholds, below and above them.
pub(super) fn next_to(thresholds: &[f64], is_valid: impl Fn(i64) -> bool) -> Vec<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the nearest integer")]
    let at = |step: i64| thresholds.iter().map(move |x| (x.floor() as i64).saturating_add(step));
    [0, -1, 1].into_iter().flat_map(at).filter(|x| is_valid(*x)).collect()
}

/// Sets up to half of the values to special ones, others in each run; a single one in three of four runs.
pub(super) fn place<T: Copy>(values: &mut [T], special: &[T], seed: u64, random: &mut Random) {
    let (places, kinds) = (values.len() as u64, special.len() as u64);
    let count = kinds.min(if seed.is_multiple_of(4) { places / 2 } else { places.div_ceil(2) });
    // Neighbors, so that none replaces another.
    let start = random.below(places);
    for at in 0..count {
        let found = usize::try_from(seed.wrapping_mul(count).wrapping_add(at) % kinds);
        let place = usize::try_from((start + at) % places);
        if let (Ok(found), Ok(place)) = (found, place)
            && let (Some(found), Some(place)) = (special.get(found), values.get_mut(place))
        {
            *place = *found;
        }
    }
}

/// Generates integers of both signs, 0 among them.
pub(super) fn integers(count: usize, range: Range, random: &mut Random) -> Vec<i64> {
    let mut values: Vec<i64> = (0..count).map(|_| below(2 * INTEGERS, random) - INTEGERS).collect();
    if range == Range::Outlier {
        values.iter_mut().rev().zip(LARGE_INTEGERS.into_iter().rev()).for_each(|(value, large)| *value = large);
    }
    values
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// Sets every second element to one of these numbers, in their order.
fn mix(values: &mut [f32], numbers: &[f32], random: &mut Random) {
    let start = usize::from(random.below(2) == 1);
    values.iter_mut().skip(start).step_by(2).zip(numbers.iter().cycle()).for_each(|(value, number)| *value = *number);
}

/// Generates floats; `width` is the length of the last axis.
pub(super) fn floats(count: usize, width: usize, range: Range, random: &mut Random) -> Vec<f32> {
    let most = match range {
        Range::UpTo(most) => most,
        Range::Halves => 10.0,
        _ => 1.0,
    };
    let mut values: Vec<f32> = (0..count).map(|_| most * random.symmetric()).collect();
    match range {
        Range::UpTo(_) => {}
        Range::Halves => mix(&mut values, &HALVES, random),
        Range::Zeros => mix(&mut values, &ZEROS, random),
        Range::Small => {
            for (row, most) in values.chunks_mut(width.max(1)).zip(SMALL.into_iter().cycle()) {
                for value in row {
                    *value *= most;
                }
            }
        }
        Range::Outlier => {
            let place = usize::try_from(random.below(count as u64)).unwrap_or(0);
            if let Some(value) = values.get_mut(place) {
                *value = OUTLIER;
            }
        }
    }
    values
}

/// The SplitMix64 generator.
pub(super) struct Random(u64);

impl Random {
    /// Returns the generator for a seed and a name.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(fingerprint(name.bytes().chain(seed.to_le_bytes())))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number in `0..bound`; 0 if the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// Returns a number in [-1, 1), in steps of 2^-23.
    fn symmetric(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_occurs_before_one_repeats() {
        for below in [1, 2, 3, 6, 16, 97, 120] {
            for seed in 0..20 {
                let mut ids = ids(120, below, &mut Random::new(seed, "ids"));
                ids.truncate(120);
                for id in 0..below.cast_signed() {
                    let times = ids.iter().filter(|&&other| other == id).count();
                    assert!(times > 0 || below > 100, "{id} of {below}");
                }
            }
            let two = ids(2, below, &mut Random::new(7, "ids"));
            assert!(two.contains(&0) && two.contains(&(below.cast_signed() - 1)), "{two:?}");
        }
        assert!(ids(0, 5, &mut Random::new(0, "")).is_empty());
        assert_eq!(ids(3, 1, &mut Random::new(0, "")), [0; 3]);
    }

    #[test]
    fn thresholds_occur_in_some_run() {
        let special = next_to(&[1000.0], |_| true);
        assert_eq!(special, [1000, 999, 1001]);
        assert_eq!(around(&[2.5, 0.0], |x| x.abs() < 1.0), [0.0, -0.000_976_562_5, 0.000_976_562_5]);
        for count in [1, 2, 7] {
            let mut seen = std::collections::BTreeSet::new();
            for seed in 0..8 {
                let mut values = vec![0; count];
                place(&mut values, &special, seed, &mut Random::new(seed, "i"));
                seen.extend(values);
            }
            assert!(special.iter().all(|value| seen.contains(value)), "{count}: {seen:?}");
        }
        let many: Vec<i64> = (0..64).collect();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..8 {
            let mut values = vec![-1; 16];
            place(&mut values, &many, seed, &mut Random::new(seed, "i"));
            seen.extend(values);
        }
        assert!(many.iter().all(|value| seen.contains(value)), "{seen:?}");
        let mut none: [i64; 1] = [7];
        place(&mut none, &[], 1, &mut Random::new(0, "i"));
        place(&mut [], &special, 1, &mut Random::new(0, "i"));
        assert_eq!(none, [7]);
    }

    #[test]
    fn floats_have_their_range() {
        let of = |range| floats(64, 8, range, &mut Random::new(3, "x"));
        assert!(of(Range::UpTo(100.0)).iter().any(|value| value.abs() > 50.0));
        assert!([-0.5, 2.5].iter().all(|half| of(Range::Halves).contains(half)) && of(Range::Zeros).contains(&0.5));
        let small = of(Range::Small);
        assert!(
            small[..8].iter().all(|value| value.abs() <= 1e-3) && small[..8].iter().any(|value| value.abs() > 1e-4)
        );
        assert!(small[8..16].iter().all(|value| value.abs() <= 1e-6));
        let zeros: Vec<u32> = of(Range::Zeros).iter().map(|value| value.to_bits()).collect();
        assert!(zeros.contains(&0) && zeros.contains(&0x8000_0000), "both zeros");
        assert_eq!(of(Range::Outlier).iter().filter(|value| value.abs() > 1.0).count(), 1);
        assert!(floats(0, 0, Range::Outlier, &mut Random::new(3, "x")).is_empty());
    }

    #[test]
    fn values_depend_only_on_seed_and_name() {
        let first = |seed, name| Random::new(seed, name).next();
        assert_eq!(first(1, "x"), first(1, "x"));
        assert_ne!(first(1, "x"), first(2, "x"));
        assert_ne!(first(1, "x"), first(1, "y"));
        let mut random = Random::new(0, "x");
        assert!((0..1000).map(|_| random.symmetric()).all(|value| (-1.0..1.0).contains(&value)));
        assert!((0..1000).map(|_| random.below(3)).all(|value| value < 3));
    }
}
