//! What masks, one after the other, do to a score; and whether one sum of masks does the same in every row.
//!
//! A step adds a number to a score or replaces it, so after all steps an entry of the scores is its score and a number, or
//! a number alone. A fused attention adds one number to each score. Both are the same for an entry that keeps its score,
//! where the number is the same. A number alone stands for one that is added where that absorbs every score; it may be
//! another number then, as long as no row can tell. That matters in rows that are fully masked: there the deepest are
//! what is left.

use crate::read::thresholds::{Depths, GAP, SHALLOW};
use netwright_ir::ElementType;

/// More combinations are not looked at.
const MOST_ENTRIES: usize = 1 << 10;

/// What a step may do to a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effect {
    /// That number is added.
    Add(f64),
    /// One of many small numbers is added, or one that is not known.
    Bias,
    /// It becomes that number.
    Fill(f64),
}

/// One step, as the model has it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What it may do to an entry.
    pub(super) effects: Vec<Effect>,
    /// Whether it leaves the first key of every row.
    pub(super) keeps_first: bool,
    /// Whether nothing is known of what it adds.
    pub(super) is_unknown: bool,
}

/// An entry of the scores after all steps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    /// The score, and the biases by the place of their step: what varies from key to key.
    varies: u64,
    number: f64,
    /// Whether the score was replaced, or nothing is left of it, however large it is.
    filled: bool,
    /// Whether sums of large numbers are rounded otherwise when they are added up before.
    rounds: bool,
}

const SCORE: u64 = 1;

/// An entry by the model and in the fused form.
#[derive(Clone, Copy, Debug)]
struct Pair {
    model: Entry,
    fused: Entry,
    /// Whether every step that leaves the first key leaves this one.
    may_be_first: bool,
}

/// What one sum of masks is in every row.
#[derive(Debug)]
pub(super) struct Sum {
    pairs: Vec<Pair>,
    has_unknown: bool,
    /// The type in which the fused form adds up.
    sums: Depths,
}

impl Sum {
    /// The entries of the model, which adds up in one type, and of the fused form, whose fills and additions are those of
    /// `fused` and which adds up in the other type.
    pub(super) fn of(steps: &[Step], fused: &[Vec<Effect>], [own_type, sums]: [Depths; 2]) -> Option<Self> {
        let mut entries = vec![vec![]];
        for step in steps {
            entries = entries
                .into_iter()
                .flat_map(|entry: Vec<usize>| {
                    (0..step.effects.len()).map(move |at| entry.iter().copied().chain([at]).collect())
                })
                .collect();
            if entries.len() > MOST_ENTRIES {
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
        // What is unknown may be between what numbers are and what they become.
        (!(changed && has_unknown)).then_some(Self { pairs, has_unknown, sums })
    }

    /// Why some row may differ, where one may.
    pub(super) fn difference(&self) -> Option<String> {
        for pair in &self.pairs {
            let (model, fused) = (pair.model, pair.fused);
            let is_same = model.varies == fused.varies && model.number == fused.number;
            if model.number >= SHALLOW && !is_same {
                return Some(format!("scores are replaced with {}, which masks nothing", model.number));
            }
            if model.number >= SHALLOW || !self.matters(pair) {
                continue;
            }
            // A score of 16 and more shows in the sum with the least number of f16.
            if model.filled && self.sums.element == ElementType::F16 {
                return Some(format!(
                    "in a row that is fully masked, f16 holds no number that hides scores as {} replaces them",
                    model.number
                ));
            }
            if model.varies != fused.varies || model.varies != 0 && model.number != fused.number {
                return Some(format!(
                    "in a row that is fully masked, scores that a mask replaces with {} count beside scores to which \
                     a mask is added",
                    model.number
                ));
            }
            if model.rounds {
                return Some(format!(
                    "in a row that is fully masked, the sum of masks, {}, rounds otherwise than one after the other",
                    model.number
                ));
            }
            if model.number == f64::NEG_INFINITY && fused.number != model.number {
                return Some("a row that is fully masked by minus infinity is NaN".to_owned());
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
                        "in a row that is fully masked, {} count beside {}, which no added mask says",
                        how(a),
                        how(b)
                    ));
                }
            }
        }
        None
    }

    /// Whether an entry may have weight in a row that is fully masked, in one of the forms.
    fn matters(&self, pair: &Pair) -> bool {
        let is_above = |first: &Pair| {
            first.model.number - pair.model.number >= GAP && first.fused.number - pair.fused.number >= GAP
        };
        self.has_unknown || !self.pairs.iter().filter(|first| first.may_be_first).all(is_above)
    }

    /// Whether a row may be of entries alone whose number is `is` in the fused form.
    pub(super) fn may_be_whole(&self, is: impl Fn(f64) -> bool) -> bool {
        self.has_unknown || self.pairs.iter().any(|pair| pair.may_be_first && is(pair.fused.number))
    }

    /// Whether an entry may be minus infinity in the fused form.
    pub(super) fn has_infinity(&self) -> bool {
        self.has_unknown || self.pairs.iter().any(|pair| pair.fused.number == f64::NEG_INFINITY)
    }
}

/// Whether two deep entries stand to one another in both forms alike.
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
    let mut entry = Entry { varies: SCORE, number: 0.0, filled: false, rounds: false };
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
                (entry.varies, entry.number, entry.filled) = (0, number, true);
                terms = 0;
            }
        }
        if depths.absorbs(entry.number) {
            entry.varies = 0;
            entry.filled |= depths.element != ElementType::F16;
        }
    }
    entry.rounds = entry.varies != 0 && terms > 1 && entry.number < SHALLOW;
    entry
}
