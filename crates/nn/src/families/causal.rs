//! Shared by text decoders: inputs, masks, cache and heads.

use super::{BATCH, Head, PAST, Pooling, SEQ, heads, ids};
use crate::layers::{Cache, CacheForm, Linear, Span, local_mask, padding_mask};
use crate::{Builder, Settings, SettingsError, Task, Var, signed};
use netwright_ir::{Dim, ElementType, Op};

/// The inputs of a decoder, and the positions and cache that all layers use.
#[derive(Debug)]
pub struct DecoderInputs<'b> {
    /// The token ids, `[batch, seq]`.
    pub input_ids: Var<'b>,
    /// The positions, `[batch, seq]`.
    pub position_ids: Var<'b>,
    /// The KV cache.
    pub cache: Cache<'b>,
    span: Span<'b>,
    attention_mask: Var<'b>,
}

impl<'b> DecoderInputs<'b> {
    /// Declares `input_ids` `[batch, seq]`, `attention_mask` `[batch, past + seq]`, `position_ids` `[batch, seq]`, and
    /// the KV cache of layers with these windows, if it has a form: of `heads` heads of width `d_k`. With buffers of fixed
    /// length, `attention_mask` has that length, and is 0 for places that hold no token yet.
    #[track_caller]
    pub fn declare(
        builder: &'b Builder<'b>,
        form: Option<CacheForm>,
        windows: &[Option<u64>],
        heads: u64,
        d_k: u64,
    ) -> Self {
        let (batch, past) = (Dim::symbol(BATCH), Dim::symbol(PAST));
        let total = match form {
            None => Dim::symbol(SEQ),
            Some(CacheForm::Static { length, .. }) => Dim::Known(signed(length)),
            Some(_) => past.plus(&Dim::symbol(SEQ)),
        };
        let input_ids = builder.input("input_ids", ids(SEQ));
        let attention_mask = builder.input("attention_mask", ids(total));
        let position_ids = builder.input("position_ids", ids(SEQ));
        let cache = match form {
            Some(form) => Cache::decoder(builder, form, windows, [&batch, &past], [heads, d_k]),
            None => Cache::none(builder),
        };
        let span = Span::with_mask(input_ids, &cache, attention_mask);
        Self { input_ids, position_ids, cache, span, attention_mask }
    }

    /// Returns the mask of padding, later tokens and tokens outside the window: `[batch, 1, seq, past + seq]`.
    #[track_caller]
    pub fn mask(&self, window: Option<u64>) -> Var<'b> {
        self.span.mask(Some(self.attention_mask), window)
    }

    /// Returns the mask of padding, and of tokens at least `window` tokens away: `[batch, 1, seq, seq]`, or
    /// `[batch, 1, 1, seq]` without a window.
    #[track_caller]
    pub fn bidirectional_mask(&self, window: Option<u64>) -> Var<'b> {
        let padding = padding_mask(self.attention_mask);
        window.map_or(padding, |window| local_mask(self.input_ids, window.saturating_sub(1)) + padding)
    }
}

impl<'b> DecoderInputs<'b> {
    /// Returns the positions of the new tokens `[1, seq]` and of all tokens `[1, past + seq]`.
    #[track_caller]
    pub(super) fn all_positions(&self) -> [Var<'b>; 2] {
        [self.span.positions(), self.span.all_positions()].map(|positions| positions.unsqueeze(&[0]))
    }

    /// Returns the positions of the new tokens `[batch, seq]` and of all tokens `[batch, past + seq]`, without counting
    /// padding.
    #[track_caller]
    pub(super) fn counted_positions(&self) -> [Var<'b>; 2] {
        let all = self.attention_mask.cast(ElementType::I32).cum_sum(1).cast(ElementType::I64);
        let new = match self.span.past_length() {
            Some(_) => all.builder.apply(Op::Gather { axis: 1 }, &[all, self.span.positions()]),
            None => all,
        };
        [new, all]
    }
}

/// Multiplies by a factor, unless it is 1.
#[track_caller]
pub(super) fn times(x: Var<'_>, factor: f32) -> Var<'_> {
    #[expect(clippy::float_cmp, reason = "1 is a literal, not computed")]
    if factor == 1.0 { x } else { x * factor }
}

/// The head of a decoder.
#[derive(Debug)]
pub(super) enum Output {
    States,
    /// Scores of next tokens; computed with the embeddings if there is no layer.
    Tokens {
        layer: Option<Linear>,
        /// The factor of the scores.
        factor: f32,
        softcap: Option<f32>,
    },
    /// Classes, from the state of the last token.
    Class {
        layer: Linear,
        padding: u64,
    },
    Labels(Linear),
    Answer(Linear),
    Sentence(Pooling),
}

impl Output {
    /// Reads the head of a task; `token_classifier` is the name of its layer.
    pub(super) fn read(
        settings: &Settings,
        head: &Head<'_>,
        d_model: u64,
        scores: Output,
        token_classifier: &str,
    ) -> Result<Self, SettingsError> {
        Ok(match head.task {
            Task::TextGeneration => scores,
            Task::TextClassification => {
                let vocab = settings.size("vocab_size")?;
                let padding = settings.token("pad_token_id")?.filter(|padding| *padding < vocab);
                let law = "the id of padding in the vocabulary, to find the last token";
                Output::Class {
                    layer: Linear::new("score", d_model, settings.labels()?, false),
                    padding: padding.ok_or_else(|| settings.wrong("pad_token_id", law))?,
                }
            }
            Task::TokenClassification => {
                Output::Labels(Linear::new(token_classifier, d_model, settings.labels()?, true))
            }
            Task::QuestionAnswering => Output::Answer(Linear::new("qa_outputs", d_model, 2, true)),
            Task::SentenceSimilarity => Output::Sentence(heads::pooling(settings, head)?),
            _ => Output::States,
        })
    }

    /// See [`Architecture::copies`](super::Architecture::copies).
    pub(super) fn copies(&self) -> &'static [&'static str] {
        match self {
            Output::Tokens { layer: None, .. } => &["lm_head.weight", "embed_out.weight"],
            _ => &[],
        }
    }

    /// Returns whether the head supports a KV cache.
    pub(super) fn has_cache(&self) -> bool {
        matches!(self, Output::States | Output::Tokens { .. })
    }

    /// Declares the outputs; `tied` computes scores with the embeddings.
    #[track_caller]
    pub(super) fn declare<'b>(
        &self,
        builder: &'b Builder<'b>,
        inputs: &DecoderInputs<'b>,
        x: Var<'b>,
        tied: impl Fn(Var<'b>) -> Var<'b>,
    ) {
        match self {
            Output::States => builder.output("last_hidden_state", x),
            Output::Tokens { layer, factor, softcap } => {
                let logits = layer.as_ref().map_or_else(|| tied(x), |layer| layer.forward(x));
                let logits = times(logits, *factor);
                builder.output("logits", softcap.map_or(logits, |cap| (logits / cap).tanh() * cap));
            }
            Output::Class { layer, padding } => {
                builder.output("logits", layer.forward(heads::last_token(x, inputs.input_ids, *padding)));
            }
            Output::Labels(layer) => builder.output("logits", layer.forward(x)),
            Output::Answer(layer) => heads::question_answering(builder, layer, x),
            Output::Sentence(pooling) => heads::sentence_embedding(builder, pooling, x, inputs.attention_mask),
        }
        inputs.cache.outputs();
    }
}
