//! Generates tokens one after the other: greedily, or drawn at random.

use crate::model::State;
use crate::scores::{Context, largest, probabilities};
use crate::{GenerateError, Input, Model, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// An iterator over the steps of generation. Each step has one token for each row of the batch, or `None` for a row that
/// has ended. A row ends with an end token, which is returned, at the maximum length, or by [`stop`](Self::stop).
#[derive(Debug)]
pub struct Tokens<'m> {
    model: &'m Model,
    settings: Settings,
    state: State,
    max_length: usize,
    /// The scores of the next tokens, if they are computed.
    scores: Option<Vec<Vec<f32>>>,
    has_ended: Vec<bool>,
    rng: StdRng,
}

impl Model {
    /// Runs the prompts, and returns an iterator that generates tokens after them; beams are not searched.
    ///
    /// # Errors
    ///
    /// If a prompt is empty or too long, or if the model cannot be run.
    pub fn tokens(&self, input: &Input, settings: &Settings) -> Result<Tokens<'_>, GenerateError> {
        let settings = Settings { num_beams: 1, ..settings.clone() };
        settings.check()?;
        let (state, scores) = self.start(input, &settings)?;
        let max_length = settings.max_length_after(state.prompt, self.positions())?;
        let rng = StdRng::seed_from_u64(settings.seed);
        let has_ended = vec![false; scores.len()];
        Ok(Tokens { model: self, settings, state, max_length, scores: Some(scores), has_ended, rng })
    }
}

impl Tokens<'_> {
    /// Ends a row of the batch.
    pub fn stop(&mut self, row: usize) {
        if let Some(ended) = self.has_ended.get_mut(row) {
            *ended = true;
        }
    }

    /// Returns the number of tokens of the prompts, with the padding of the shorter ones.
    pub fn prompt(&self) -> usize {
        self.state.prompt
    }

    fn step(&mut self) -> Result<Vec<Option<u32>>, GenerateError> {
        let scores = match self.scores.take() {
            Some(scores) => scores,
            None => self.model.step(&mut self.state)?,
        };
        let mut chosen = vec![];
        for (row, mut scores) in scores.into_iter().enumerate() {
            let token = if self.has_ended[row] { None } else { Some(self.choose(row, &mut scores)?) };
            self.state.tokens[row].push(token.unwrap_or_else(|| self.settings.pad()));
            chosen.push(token);
        }
        let is_full = self.state.tokens[0].len() >= self.max_length;
        for (ended, token) in self.has_ended.iter_mut().zip(&chosen) {
            *ended |= is_full || token.is_some_and(|token| self.settings.eos_token_id.contains(&token));
        }
        Ok(chosen)
    }

    fn choose(&mut self, row: usize, scores: &mut [f32]) -> Result<u32, GenerateError> {
        let context = self.state.context(row, self.max_length);
        self.model.first.expect_numbers(scores, context.tokens.len())?;
        self.settings.process(scores, &context);
        let best = largest(scores, 0..).ok_or(GenerateError::NoToken { position: context.tokens.len() })?;
        Ok(if self.settings.do_sample { draw(&probabilities(scores), &mut self.rng).unwrap_or(best) } else { best })
    }
}

impl State {
    /// Returns the context of the next token of a row.
    pub(crate) fn context(&self, row: usize, max_length: usize) -> Context<'_> {
        Context {
            tokens: &self.tokens[row],
            padding: self.padding[row],
            prompt: self.prompt,
            max_length,
            source: self.sources.get(row).map_or(&[], Vec::as_slice),
        }
    }
}

/// Draws a token by its probability.
fn draw(probabilities: &[f32], rng: &mut StdRng) -> Option<u32> {
    let mut left = rng.random::<f64>() * probabilities.iter().copied().map(f64::from).sum::<f64>();
    let mut last = None;
    for (token, probability) in probabilities.iter().copied().enumerate().filter(|(_, probability)| *probability > 0.0)
    {
        left -= f64::from(probability);
        last = u32::try_from(token).ok();
        if left < 0.0 {
            break;
        }
    }
    last
}

impl Iterator for Tokens<'_> {
    type Item = Result<Vec<Option<u32>>, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended.iter().all(|ended| *ended) {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.has_ended.fill(true);
        }
        Some(step)
    }
}
