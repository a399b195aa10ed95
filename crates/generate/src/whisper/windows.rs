//! The windows of audio that Whisper reads one after the other, and the segments of text in them.

use super::Timestamps;
use crate::{GenerateError, Input, Model, Settings};
use netwright_verify::Array;

/// The time from one timestamp to the next, in seconds.
const PRECISION: f64 = 0.02;

/// The number of frames from one timestamp to the next: a position of the encoder reads two.
const STRIDE: usize = 2;

/// A part of the text, and when it is spoken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Segment {
    /// The start, in seconds.
    pub start: f64,
    /// The end, in seconds.
    pub end: f64,
    /// The tokens, with timestamps.
    pub tokens: Vec<u32>,
    /// The tokens without timestamps.
    pub text_tokens: Vec<u32>,
}

/// An iterator over the windows of audio; each item has the segments of text of a window. If a window ends within a
/// segment, the next one starts at the last timestamp before it.
#[derive(Debug)]
pub struct Transcription<'m> {
    model: &'m Model,
    /// The spectra `[1, bins, frames]` of the whole audio.
    features: Array,
    settings: Settings,
    prompt: Vec<u32>,
    timestamps: Option<Timestamps>,
    /// The number of frames of a window.
    window: usize,
    /// The first frame of the next window.
    seek: usize,
    is_cut: bool,
}

impl<'m> Transcription<'m> {
    pub(super) fn new(model: &'m Model, features: Array, settings: &Settings) -> Result<Self, GenerateError> {
        let (&[1, _, frames], Some(_)) = (features.shape(), features.values::<f32>()) else {
            let (element, shape) = (features.element(), features.shape());
            return Err(model.first.unfit(
                format!("spectra of audio are f32[1, bins, frames], but these are {element}{shape:?}"),
                "compute them with `FeatureExtractor::features`",
            ));
        };
        if !settings.stop_strings.is_empty() {
            return Err(GenerateError::Setting {
                name: "stop_strings",
                expected: "empty for speech".to_owned(),
                found: format!("{:?}", settings.stop_strings),
                help: "remove the flag --stop, or the option from generation_config.json",
            });
        }
        let window = model.frames().unwrap_or(frames).max(1);
        let settings = settings.clone();
        Ok(Self { model, features, settings, prompt: vec![], timestamps: None, window, seek: 0, is_cut: false })
    }

    /// Sets the tokens with which the text of a window starts. The rules of timestamps apply only if `is_ruled`.
    pub(super) fn set_prompt(&mut self, prompt: Vec<u32>, timestamps: Option<Timestamps>, is_ruled: bool) {
        self.prompt = prompt;
        self.timestamps = timestamps;
        self.settings.timestamps = timestamps.filter(|_| is_ruled);
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns whether the audio is longer than a window.
    pub fn is_long(&self) -> bool {
        self.frames() > self.window
    }

    /// Returns whether the text of a window that was read reached the maximum length.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the tokens with which each window starts.
    pub fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    fn frames(&self) -> usize {
        self.features.shape().last().copied().unwrap_or(0)
    }

    /// Returns the window `[1, bins, frames]` from a frame on, filled with 0 after the end of the audio.
    pub(super) fn cut(&self, start: usize) -> Result<Array, GenerateError> {
        let (frames, window) = (self.frames(), self.window);
        let end = start.saturating_add(window).min(frames);
        let rows = self.features.values::<f32>().unwrap_or_default().chunks(frames.max(1));
        let mut values = vec![];
        for row in rows {
            values.extend_from_slice(&row[start..end]);
            values.resize(values.len() + window - (end - start), 0.0);
        }
        let bins = values.len() / window;
        Ok(Array::new([1, bins, window], values)?)
    }

    fn step(&mut self) -> Result<Vec<Segment>, GenerateError> {
        // As in transformers, the length grows by the prompt with each window.
        if let (None, Some(length)) = (self.settings.max_new_tokens, self.settings.max_length) {
            let positions = self.model.positions().unwrap_or(usize::MAX);
            let prompt = self.prompt.len().min((positions / 2).saturating_sub(1));
            self.settings.max_length = Some(length.saturating_add(prompt).min(positions));
        }
        let mut tokens = self.generate(&Input::Features(self.cut(self.seek)?, vec![self.prompt.clone()]))?;
        match tokens.last() {
            Some(last) if self.settings.eos_token_id.contains(last) => drop(tokens.pop()),
            _ => self.is_cut = true,
        }
        let (segments, read) = self.segments(&tokens);
        // Without progress, the rest of the window has no text.
        self.seek += if read == 0 { self.length() } else { read };
        Ok(segments)
    }

    fn generate(&self, input: &Input) -> Result<Vec<u32>, GenerateError> {
        if self.settings.num_beams > 1 {
            let beams = self.model.beams(input, &self.settings, &|_| false)?;
            return Ok(beams.into_iter().flatten().next().map(|beam| beam.tokens).unwrap_or_default());
        }
        let mut tokens = vec![];
        for step in self.model.tokens(input, &self.settings)? {
            tokens.extend(step?.into_iter().flatten());
        }
        Ok(tokens)
    }

    /// Returns the number of frames of the window that the audio fills.
    fn length(&self) -> usize {
        (self.frames() - self.seek).min(self.window)
    }

    fn is_timestamp(&self, token: u32) -> bool {
        self.timestamps.is_some_and(|timestamps| timestamps.is_timestamp(token))
    }

    /// Cuts the tokens of a window where one timestamp follows another, and returns the number of frames that were read:
    /// what follows the last such pair is read again, unless a single timestamp ends it.
    fn segments(&self, tokens: &[u32]) -> (Vec<Segment>, usize) {
        let flags: Vec<bool> = tokens.iter().map(|token| self.is_timestamp(*token)).collect();
        let mut ends: Vec<usize> = (1..tokens.len()).filter(|at| flags[at - 1] && flags[*at]).collect();
        let is_single = flags.ends_with(&[false, true]);
        let index =
            |token: u32| self.timestamps.map_or(0, |timestamps| i64::from(token) - i64::from(timestamps.none) - 1);
        let Some(last) = ends.last_mut() else {
            let end = tokens.iter().rev().find(|token| self.is_timestamp(**token)).map(|token| index(*token));
            let end = end.filter(|end| *end > 0).unwrap_or_else(|| whole(self.length()));
            return (vec![self.segment(0, end, tokens)], self.length());
        };
        // The last segment keeps the second timestamp of the pair.
        *last += usize::from(!is_single);
        let pair = *last;
        if is_single {
            ends.push(tokens.len());
        }
        let mut segments = vec![];
        let mut start = 0;
        for end in ends {
            let part = &tokens[start..end];
            let is_paired = !is_single && end == pair;
            // The timestamp before the second one of a pair ends the segment.
            let close = part.len().checked_sub(if is_paired { 2 } else { 1 }).map_or(0, |at| index(part[at]));
            segments.push(self.segment(index(part[0]), close, part));
            start = end;
        }
        let read =
            if is_single { self.length() } else { usize::try_from(index(tokens[pair - 2])).unwrap_or(0) * STRIDE };
        (segments, read)
    }

    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    fn segment(&self, start: i64, end: i64, tokens: &[u32]) -> Segment {
        let offset = self.seek as f64 * PRECISION / STRIDE as f64;
        Segment {
            start: offset + start as f64 * PRECISION,
            end: offset + end as f64 * PRECISION,
            tokens: tokens.to_vec(),
            text_tokens: tokens.iter().copied().filter(|token| !self.is_timestamp(*token)).collect(),
        }
    }
}

/// Returns the index of the timestamp at the end of a number of frames, rounded as in `transformers`.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a window has few frames")]
fn whole(frames: usize) -> i64 {
    (frames as f32 * 0.01 / 0.02) as i64
}

impl Iterator for Transcription<'_> {
    type Item = Result<Vec<Segment>, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.seek >= self.frames() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.seek = self.frames();
        }
        Some(step)
    }
}
