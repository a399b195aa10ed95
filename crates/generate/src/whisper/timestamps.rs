//! The rules by which Whisper writes timestamps, as `WhisperTimeStampLogitsProcessor` of `transformers` has them.

use crate::scores::{ban, logarithm_of_sum};

/// The tokens of timestamps, and the rules for them: a text is between two of them, they rise, and one is chosen if all
/// of them together are more probable than any other token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timestamps {
    /// The token that requests text without timestamps; the tokens of timestamps follow it.
    pub none: u32,
    /// The token that ends a text; the tokens before it are those of texts.
    pub end: u32,
    /// The index of the largest timestamp that a text may start with; the first timestamp has index 0.
    pub max_initial: Option<usize>,
}

impl Timestamps {
    /// Creates the rules.
    pub fn new(none: u32, end: u32, max_initial: Option<usize>) -> Self {
        Self { none, end, max_initial }
    }

    /// Returns whether a token is a timestamp.
    pub fn is_timestamp(&self, token: u32) -> bool {
        token > self.none
    }

    /// Excludes the tokens that may not follow the tokens `new`, which were generated.
    pub(crate) fn process(&self, scores: &mut [f32], new: &[u32]) {
        ban(scores, &[self.none]);
        let count = scores.len();
        let (end, first) = ((self.end as usize).min(count), (self.none as usize + 1).min(count));
        let is_timestamp = |back: usize| new.len().checked_sub(back).map(|at| self.is_timestamp(new[at]));
        let (is_last, is_last_but_one) = (is_timestamp(1) == Some(true), is_timestamp(2) != Some(false));
        match (is_last, is_last_but_one) {
            (true, true) => exclude(&mut scores[first..]),
            (true, false) => exclude(&mut scores[..end]),
            (false, _) => {}
        }
        if let Some(newest) = new.iter().rev().find(|token| self.is_timestamp(**token)) {
            // Only the start of a segment may repeat the end of the one before it.
            let least = *newest as usize + usize::from(!is_last || is_last_but_one);
            exclude(&mut scores[first..least.clamp(first, count)]);
        }
        if new.is_empty() {
            exclude(&mut scores[..first]);
            let allowed = self.max_initial.map_or(count, |most| (first + 1).saturating_add(most));
            exclude(&mut scores[allowed.min(count)..]);
        }
        let (text, timestamps) = scores.split_at_mut(first);
        let best = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if logarithm_of_sum(timestamps) > best {
            exclude(text);
        }
    }
}

fn exclude(scores: &mut [f32]) {
    scores.fill(f32::NEG_INFINITY);
}
