//! Beam search as `transformers` does it: the same candidates, scores and end.

use crate::scores::to_log_probabilities;
use crate::settings::EarlyStopping;
use crate::{GenerateError, Input, Model, Settings};
use rand::distr::Open01;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What is added to the score of a candidate that cannot be chosen.
const EXCLUDED: f32 = -1e9;

/// A sequence that beam search found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Beam {
    /// The new tokens, with the end token.
    pub tokens: Vec<u32>,
    /// The sum of the logarithms of the probabilities, divided by the power of the length.
    pub score: f32,
}

/// A sequence in the middle of the search.
#[derive(Clone, Debug)]
struct Candidate {
    tokens: Vec<u32>,
    score: f32,
    /// The running beam that it continues.
    parent: usize,
    /// Whether it ends here.
    has_ended: bool,
}

/// The search for one input of the batch.
struct Search {
    /// The beams that are continued, best first.
    running: Vec<Candidate>,
    /// The best sequences so far, best first. A placeholder has not ended.
    best: Vec<Candidate>,
    /// Whether a running beam may become better than the worst of the best.
    may_improve: bool,
}

impl Model {
    /// Searches for the most probable sequences; returns those of each input, best first.
    ///
    /// `stops` returns whether a candidate's new tokens end it, in addition to end tokens. With
    /// [`do_sample`](Settings::do_sample), candidates are drawn at random.
    ///
    /// # Errors
    ///
    /// If a prompt is empty or too long, or if the model cannot be run.
    pub fn beams(
        &self,
        input: &Input,
        settings: &Settings,
        stops: &dyn Fn(&[u32]) -> bool,
    ) -> Result<Vec<Vec<Beam>>, GenerateError> {
        settings.check()?;
        let (mut state, mut scores) = self.start(input, settings)?;
        let width = settings.num_beams;
        let prompt = state.prompt;
        let max_length = settings.max_length_after(prompt, self.positions())?;
        let mut searches: Vec<Search> = scores.iter().map(|_| Search::new(width)).collect();
        // The first step is the same for all beams.
        let expanded: Vec<usize> = (0..scores.len()).flat_map(|row| std::iter::repeat_n(row, width)).collect();
        state.keep(self, &expanded)?;
        scores = expanded.iter().map(|row| scores[*row].clone()).collect();
        let mut rng = StdRng::seed_from_u64(settings.seed);
        let mut length = prompt;
        while length < max_length {
            for (row, scores) in scores.iter_mut().enumerate() {
                self.first.expect_numbers(scores, length)?;
                to_log_probabilities(scores);
                settings.process(scores, &state.context(row, max_length));
                if settings.renormalize_logits {
                    to_log_probabilities(scores);
                }
            }
            let mut can_continue = false;
            for (search, scores) in searches.iter_mut().zip(scores.chunks(width)) {
                let rng = settings.do_sample.then_some(&mut rng);
                let candidates = search.candidates(scores, settings, rng);
                let mut candidates = candidates.ok_or(GenerateError::NoToken { position: length })?;
                for candidate in &mut candidates {
                    let last = candidate.tokens.last();
                    candidate.has_ended = length + 1 >= max_length
                        || last.is_some_and(|last| settings.eos_token_id.contains(last))
                        || stops(&candidate.tokens);
                }
                can_continue |= candidates.iter().any(|candidate| !candidate.has_ended);
                search.advance(&candidates, settings, length + 1 - prompt);
            }
            length += 1;
            for search in &mut searches {
                search.update(settings, length - prompt, max_length - prompt);
            }
            let is_full = settings.early_stopping == EarlyStopping::WhenFull && searches.iter().all(Search::is_full);
            if !can_continue || is_full || searches.iter().all(|search| !search.may_improve) {
                break;
            }
            let parents = searches.iter().enumerate();
            let parents =
                parents.flat_map(|(at, search)| search.running.iter().map(move |beam| at * width + beam.parent));
            state.keep(self, &parents.collect::<Vec<_>>())?;
            let last = searches.iter().flat_map(|search| &search.running).map(|beam| beam.tokens.last());
            for (tokens, last) in state.tokens.iter_mut().zip(last) {
                tokens.extend(last);
            }
            scores = self.step(&mut state)?;
        }
        let found = |search: Search| search.best.into_iter().filter(|beam| beam.has_ended).map(Beam::from).collect();
        Ok(searches.into_iter().map(found).collect())
    }
}

impl From<Candidate> for Beam {
    fn from(Candidate { tokens, score, .. }: Candidate) -> Self {
        Self { tokens, score }
    }
}

impl Search {
    fn new(width: usize) -> Self {
        // Only the first beam is continued at first: all are the prompt.
        let start = |at: usize| Candidate {
            tokens: vec![],
            score: if at == 0 { 0.0 } else { EXCLUDED },
            parent: at,
            has_ended: false,
        };
        let placeholder = Candidate { tokens: vec![], score: EXCLUDED, parent: 0, has_ended: false };
        Self { running: (0..width).map(start).collect(), best: vec![placeholder; width], may_improve: true }
    }

    fn is_full(&self) -> bool {
        self.best.iter().all(|beam| beam.has_ended)
    }

    /// Returns the best continuations of the running beams, of which enough do not end; with `rng`, they are drawn. `None`
    /// if every token is excluded.
    fn candidates(&self, scores: &[Vec<f32>], settings: &Settings, rng: Option<&mut StdRng>) -> Option<Vec<Candidate>> {
        let count = (1 + settings.eos_token_id.len()).max(2) * self.running.len();
        let vocabulary = scores.first().map_or(0, Vec::len);
        let mut totals: Vec<f32> = vec![];
        for (beam, scores) in self.running.iter().zip(scores) {
            totals.extend(scores.iter().map(|score| score + beam.score));
        }
        let mut chosen = match rng {
            None => top(&totals, count),
            // The largest sums of logarithms and Gumbel noise are a draw without replacement.
            Some(rng) => {
                let noise = || -(-rng.sample::<f64, _>(Open01).ln()).ln();
                #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
                let noisy: Vec<f32> =
                    std::iter::repeat_with(noise).zip(&totals).map(|(noise, total)| total + noise as f32).collect();
                top(&noisy, count)
            }
        };
        chosen.sort_by(|a, b| totals[*b].total_cmp(&totals[*a]));
        let candidate = |at: usize| {
            let (parent, token) = (at / vocabulary, u32::try_from(at % vocabulary).unwrap_or(u32::MAX));
            let tokens = [&self.running[parent].tokens[..], &[token]].concat();
            Candidate { tokens, score: totals[at], parent, has_ended: false }
        };
        let candidates: Vec<Candidate> = chosen.into_iter().map(candidate).collect();
        candidates.first().is_some_and(|best| best.score > f32::NEG_INFINITY).then_some(candidates)
    }

    /// Continues the best candidates that do not end, and keeps those that end if they are among the best.
    fn advance(&mut self, candidates: &[Candidate], settings: &Settings, length: usize) {
        let width = self.running.len();
        let with = |candidate: &Candidate, score| Candidate { score, ..candidate.clone() };
        let open: Vec<f32> =
            candidates.iter().map(|candidate| candidate.score + excluded(candidate.has_ended)).collect();
        self.running = top(&open, width).into_iter().map(|at| with(&candidates[at], open[at])).collect();
        let is_closed = self.is_full() && settings.early_stopping == EarlyStopping::WhenFull || !self.may_improve;
        let divisor = power(length, settings.length_penalty);
        let finished = candidates.iter().enumerate().map(|(rank, candidate)| {
            // Candidates beyond the width only replace those that end.
            let has_ended = candidate.has_ended && rank < width;
            let score = candidate.score / divisor + excluded(is_closed) + excluded(!has_ended);
            Candidate { has_ended, ..with(candidate, score) }
        });
        let merged: Vec<Candidate> = std::mem::take(&mut self.best).into_iter().chain(finished).collect();
        let scores: Vec<f32> = merged.iter().map(|candidate| candidate.score).collect();
        self.best = top(&scores, width).into_iter().map(|at| merged[at].clone()).collect();
    }

    /// Finds whether a running beam may become better than the worst of the best.
    fn update(&mut self, settings: &Settings, length: usize, most: usize) {
        let is_patient = settings.early_stopping == EarlyStopping::Never && settings.length_penalty > 0.0;
        let possible = self.running[0].score / power(if is_patient { most } else { length }, settings.length_penalty);
        let worst = self.best.iter().map(|beam| beam.score).fold(f32::INFINITY, f32::min);
        let may_improve = self.best.iter().any(|beam| possible > if beam.has_ended { worst } else { EXCLUDED });
        self.may_improve &= may_improve;
    }
}

fn excluded(is_excluded: bool) -> f32 {
    if is_excluded { EXCLUDED } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "as in transformers, scores are f32")]
fn power(length: usize, penalty: f64) -> f32 {
    (length as f64).powf(penalty) as f32
}

/// Returns the places of the largest numbers, largest first; of equal ones the first.
fn top(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..numbers.len()).collect();
    let order = |a: &usize, b: &usize| numbers[*b].total_cmp(&numbers[*a]).then(a.cmp(b));
    if count < places.len() {
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    places
}
