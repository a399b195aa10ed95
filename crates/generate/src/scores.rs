//! Changes the scores of next tokens as settings request, in the order of `transformers`.

use crate::Settings;
use std::collections::BTreeSet;

/// The context in which a token is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The tokens so far, with the prompt and its padding.
    pub tokens: &'a [u32],
    /// The number of tokens of padding at the start.
    pub padding: usize,
    /// The number of tokens of the prompt, with its padding.
    pub prompt: usize,
    /// The maximum number of tokens.
    pub max_length: usize,
    /// The tokens that an encoder reads, or the prompt with its padding; empty if an encoder reads audio.
    pub source: &'a [u32],
}

impl Settings {
    /// Changes scores of next tokens: penalties and exclusions, then, if tokens are drawn, temperature, top-k, top-p and
    /// min-p. The score of an excluded token is minus infinity.
    pub fn process(&self, scores: &mut [f32], context: &Context<'_>) {
        self.penalize(scores, context);
        self.exclude(scores, context);
        self.force(scores, context);
        ban(scores, &self.suppress_tokens);
        // A forced first token is followed by the first free one.
        let begin = context.prompt + usize::from(context.prompt <= 1 && self.forced_bos_token_id.is_some());
        if context.tokens.len() == begin {
            ban(scores, &self.begin_suppress_tokens);
        }
        if let Some(timestamps) = &self.timestamps {
            timestamps.process(scores, &context.tokens[context.prompt..]);
        }
        if self.do_sample {
            self.warp(scores);
        }
    }

    fn penalize(&self, scores: &mut [f32], context: &Context<'_>) {
        #[expect(clippy::float_cmp, reason = "exactly 1 changes nothing")]
        if self.repetition_penalty == 1.0 {
            return;
        }
        let seen: BTreeSet<u32> = context.tokens[context.padding..].iter().copied().collect();
        for token in seen {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score < 0.0 { *score * self.repetition_penalty } else { *score / self.repetition_penalty };
            }
        }
    }

    fn exclude(&self, scores: &mut [f32], context: &Context<'_>) {
        ban_completions(scores, self.no_repeat_ngram_size, context.tokens, context.tokens);
        ban_completions(scores, self.encoder_no_repeat_ngram_size, context.source, context.tokens);
        for word in &self.bad_words_ids {
            let Some((last, start)) = word.split_last() else { continue };
            if context.tokens.ends_with(start) && self.eos_token_id.iter().all(|eos| word[..] != [*eos]) {
                ban(scores, &[*last]);
            }
        }
        let least = self.min_new_tokens.map_or(self.min_length, |new| context.prompt.saturating_add(new));
        if context.tokens.len() < least {
            ban(scores, &self.eos_token_id);
        }
    }

    fn force(&self, scores: &mut [f32], context: &Context<'_>) {
        let length = context.tokens.len();
        if length == 1 {
            only(scores, self.forced_bos_token_id.as_slice());
        }
        if length + 1 == context.max_length {
            only(scores, &self.forced_eos_token_id);
        }
    }

    fn warp(&self, scores: &mut [f32]) {
        // Beam search needs a token that does not end a sequence.
        let least = if self.num_beams > 1 { self.eos_token_id.len().max(1) + 1 } else { 1 };
        for score in scores.iter_mut() {
            *score /= self.temperature;
        }
        if self.top_k > 0 && self.top_k.max(least) < scores.len() {
            let mut sorted = scores.to_vec();
            let (_, smallest, _) = sorted.select_nth_unstable_by(self.top_k.max(least) - 1, |a, b| b.total_cmp(a));
            let smallest = *smallest;
            keep(scores, |score| score >= smallest);
        }
        if self.top_p < 1.0 {
            let order = order(scores);
            let removable = order.len().saturating_sub(least);
            let mut sum = 0.0;
            let probabilities = probabilities(scores);
            for token in &order[..removable] {
                sum += f64::from(probabilities[*token]);
                if sum <= 1.0 - f64::from(self.top_p) {
                    scores[*token] = f32::NEG_INFINITY;
                }
            }
        }
        if let Some(min_p) = self.min_p {
            let probabilities = probabilities(scores);
            let order = order(scores);
            let (rest, _) = order.split_at(order.len().saturating_sub(least));
            let largest = probabilities.iter().copied().fold(0.0, f32::max);
            for token in rest.iter().filter(|token| probabilities[**token] < min_p * largest) {
                scores[*token] = f32::NEG_INFINITY;
            }
        }
    }
}

/// Excludes tokens that complete a sequence of `size` tokens of `text` at the end of `tokens`.
fn ban_completions(scores: &mut [f32], size: usize, text: &[u32], tokens: &[u32]) {
    if size == 0 || tokens.len() + 1 < size {
        return;
    }
    let start = &tokens[tokens.len() + 1 - size..];
    for window in text.windows(size).filter(|window| window[..size - 1] == *start) {
        ban(scores, &window[size - 1..]);
    }
}

pub(crate) fn ban(scores: &mut [f32], tokens: &[u32]) {
    for token in tokens {
        if let Some(score) = scores.get_mut(*token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Excludes all tokens except these; none if there are none.
fn only(scores: &mut [f32], tokens: &[u32]) {
    if tokens.is_empty() {
        return;
    }
    scores.fill(f32::NEG_INFINITY);
    for token in tokens {
        if let Some(score) = scores.get_mut(*token as usize) {
            *score = 0.0;
        }
    }
}

fn keep(scores: &mut [f32], is_kept: impl Fn(f32) -> bool) {
    scores.iter_mut().filter(|score| !is_kept(**score)).for_each(|score| *score = f32::NEG_INFINITY);
}

/// Returns the tokens by rising score.
fn order(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    order
}

/// Returns the first token with the largest score, of those in `among`; `None` if all are excluded.
pub(crate) fn largest(scores: &[f32], among: impl IntoIterator<Item = u32>) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for token in among {
        let Some(score) = scores.get(token as usize) else { break };
        if *score > best.map_or(f32::NEG_INFINITY, |(_, best)| best) {
            best = Some((token, *score));
        }
    }
    best.map(|(token, _)| token)
}

/// Returns the probabilities of scores; NaN if every score is minus infinity.
pub fn probabilities(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Replaces scores by the logarithms of their probabilities.
pub(crate) fn to_log_probabilities(scores: &mut [f32]) {
    let offset = logarithm_of_sum(scores);
    for score in scores.iter_mut() {
        *score -= offset;
    }
}

/// Returns the logarithm of the sum of the exponentials of scores; NaN if every score is minus infinity.
pub(crate) fn logarithm_of_sum(scores: &[f32]) -> f32 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
    largest + sum.ln()
}
