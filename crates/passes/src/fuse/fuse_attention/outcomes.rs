//! Models the effects of a sequence of masks on a score, and decides whether one sum of masks is equivalent in every
//! row.
//!
//! Each step adds a number to a score or replaces it. So after all steps an entry of the scores is its score plus a
//! number, or only a number. Fused attention adds one number to each score. For an entry that keeps its score, both are
//! equivalent if the number is the same. For an entry that is only a number, they are equivalent if the added number
//! absorbs every score; it may be another number, unless a row can tell the difference. That matters in rows that are
//! fully masked, in which only such entries have weight.

use crate::read::thresholds::{Depths, GAP, SHALLOW};
use netwright_ir::ElementType;

/// The maximum number of combinations of effects that are examined.
const MAX_ENTRIES: usize = 1 << 10;

/// An effect of a step on a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effect {
    /// Adds the number.
    Add(f64),
    /// Adds one of many small numbers, or an unknown number.
    Bias,
    /// Replaces the score with the number.
    Fill(f64),
}

/// A step of the model: one mask.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The effects that it may have on an entry.
    pub(super) effects: Vec<Effect>,
    /// Whether it leaves the first key of every row visible.
    pub(super) keeps_first: bool,
    /// Whether the numbers that it adds are unknown.
    pub(super) is_unknown: bool,
}

/// An entry of the scores after all steps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    /// The terms that vary from key to key, one bit each: the score, and the biases by the index of their step.
    varies: u64,
    number: f64,
    /// Whether its sum of large numbers is rounded differently if they are added up first.
    rounds: bool,
}

/// The bit of the score in [`Entry::varies`].
const SCORE: u64 = 1;

/// An entry in the model and in the fused form.
#[derive(Clone, Copy, Debug)]
struct Pair {
    model: Entry,
    fused: Entry,
    /// Whether the first key of a row may have this entry.
    may_be_first: bool,
}

/// A sum of masks, with all entries that a row may have.
#[derive(Debug)]
pub(super) struct Sum {
    pairs: Vec<Pair>,
    has_unknown: bool,
    /// The thresholds of the type in which the fused form adds masks to scores.
    sums: Depths,
}

impl Sum {
    /// Computes the entries of the model, whose sums have the first type, and of the fused form, whose effects are
    /// `fused` and whose sums have the second type. `None` if there are too many, or an unknown number makes them
    /// incomparable.
    pub(super) fn of(steps: &[Step], fused: &[Vec<Effect>], [own_type, sums]: [Depths; 2]) -> Option<Self> {
        let mut entries = vec![vec![]];
        for step in steps {
            entries = entries
                .into_iter()
                .flat_map(|entry: Vec<usize>| {
                    (0..step.effects.len()).map(move |at| entry.iter().copied().chain([at]).collect())
                })
                .collect();
            if entries.len() > MAX_ENTRIES {
                return None;
            }
        }
        let pairs = entries.iter().map(|entry| {
            let own = |at: usize, place: usize| steps[place].effects[at];
            let model = run(entry.iter().enumerate().map(|(place, at)| own(*at, place)), own_type);
            let sum = run(entry.iter().enumerate().map(|(place, at)| fused[place][*at]), sums);
            let fused = if sums.absorbs(sum.number) {
                Entry { varies: 0, ..sum }
            } else {
                Entry { varies: sum.varies | SCORE, ..sum }
            };
            let may_be_first =
                entry.iter().enumerate().all(|(place, at)| !steps[place].keeps_first || leaves(own(*at, place)));
            Pair { model, fused, may_be_first }
        });
        let changed = steps.iter().zip(fused).any(|(step, fused)| step.effects != *fused);
        let has_unknown = steps.iter().any(|step| step.is_unknown);
        let pairs = pairs.collect();
        // An unknown number may lie between a number and its replacement.
        (!(changed && has_unknown)).then_some(Self { pairs, has_unknown, sums })
    }

    /// Returns why a row may differ from the model, if one may. Rows that are fully masked may be rounded differently
    /// unless they are to be kept.
    pub(super) fn difference(&self, keeps_masked_rows: bool) -> Option<String> {
        for pair in &self.pairs {
            let (model, fused) = (pair.model, pair.fused);
            let is_same = model.varies == fused.varies && model.number == fused.number;
            if model.number >= SHALLOW && !is_same {
                return Some(format!("it replaces scores with {}, which does not mask them", model.number));
            }
            if model.number >= SHALLOW || !self.matters(pair) {
                continue;
            }
            // The lowest number of f16 does not absorb a score of 16 or more, and ONNX Runtime adds f16 in f32.
            if keeps_masked_rows && self.sums.element == ElementType::F16 {
                return Some(format!("in a row that is fully masked by {}, f16 rounds the scores", model.number));
            }
            if model.varies != fused.varies || model.varies != 0 && model.number != fused.number {
                return Some(format!(
                    "in a row that is fully masked, scores that a mask replaces with {} have weight next to scores to \
                     which a mask is added",
                    model.number
                ));
            }
            if model.rounds {
                return Some(format!(
                    "in a row that is fully masked, the sum of masks, {}, rounds differently than adding one by one",
                    model.number
                ));
            }
            if model.number == f64::NEG_INFINITY && fused.number != model.number {
                return Some("in the model, a row that is fully masked by minus infinity is NaN".to_owned());
            }
        }
        let deep = || self.pairs.iter().filter(|pair| pair.model.number < SHALLOW);
        for (at, a) in deep().enumerate() {
            for b in deep().skip(at + 1).filter(|b| self.matters(a) && self.matters(b)) {
                if !agree(a, b) {
                    let how = |pair: &Pair| match (pair.model.varies, pair.model.number) {
                        (0, number) => format!("scores that are replaced with {number}"),
                        (_, number) => format!("scores to which {number} is added"),
                    };
                    return Some(format!(
                        "in a row that is fully masked, {} have weight next to {}, which one added mask cannot express",
                        how(a),
                        how(b)
                    ));
                }
            }
        }
        None
    }

    /// Whether an entry may have weight in a row that is fully masked, in either form.
    fn matters(&self, pair: &Pair) -> bool {
        let is_above = |first: &Pair| {
            first.model.number - pair.model.number >= GAP && first.fused.number - pair.fused.number >= GAP
        };
        self.has_unknown || !self.pairs.iter().filter(|first| first.may_be_first).all(is_above)
    }

    /// Whether a row may consist only of entries whose number in the fused form satisfies `is`.
    pub(super) fn may_be_whole(&self, is: impl Fn(f64) -> bool) -> bool {
        self.has_unknown || self.pairs.iter().any(|pair| pair.may_be_first && is(pair.fused.number))
    }

    /// Whether the number of an entry in the fused form may satisfy `is`.
    pub(super) fn may_have(&self, is: impl Fn(f64) -> bool) -> bool {
        self.has_unknown || self.pairs.iter().any(|pair| is(pair.fused.number))
    }
}

/// Whether two deep entries have the same relation to each other in both forms.
fn agree(a: &Pair, b: &Pair) -> bool {
    if a.model.number == b.model.number {
        return a.fused.number == b.fused.number;
    }
    let (own, other) = (a.model.number - b.model.number, a.fused.number - b.fused.number);
    let is_natural = [a, b].iter().all(|pair| pair.model.number == pair.fused.number);
    is_natural || own.abs() >= GAP && other.abs() >= GAP && own.signum() == other.signum()
}

/// Whether a step leaves an entry visible.
fn leaves(effect: Effect) -> bool {
    match effect {
        Effect::Add(number) => number >= SHALLOW,
        Effect::Bias => true,
        Effect::Fill(_) => false,
    }
}

fn run(effects: impl Iterator<Item = Effect>, depths: Depths) -> Entry {
    let mut entry = Entry { varies: SCORE, number: 0.0, rounds: false };
    let mut terms = 0;
    for (place, effect) in effects.enumerate() {
        match effect {
            Effect::Add(number) => {
                entry.number = depths.round(entry.number + number);
                terms += usize::from(number != 0.0);
            }
            Effect::Bias => {
                entry.varies |= 2 << (place % 62);
                terms += 1;
            }
            Effect::Fill(number) => {
                (entry.varies, entry.number) = (0, number);
                terms = 0;
            }
        }
        if depths.absorbs(entry.number) {
            entry.varies = 0;
        }
    }
    entry.rounds = entry.varies != 0 && terms > 1 && entry.number < SHALLOW;
    entry
}
