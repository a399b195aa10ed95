//! Heads on the hidden states of text models.

use super::{Head, PoolingMode};
use crate::layers::Linear;
use crate::{Builder, Settings, SettingsError, Var, signed};
use netwright_ir::Op;

/// Declares the outputs `token_embeddings` and `sentence_embedding` `[batch, d_model]`, pooled from the states
/// `[batch, seq, d_model]`.
#[track_caller]
pub(super) fn sentence_embedding<'b>(builder: &'b Builder<'b>, head: super::Pooling, tokens: Var<'b>, mask: Var<'b>) {
    let _scope = builder.enter("pooling");
    let pooled = match head.mode {
        PoolingMode::First => first_token(tokens),
        PoolingMode::Mean => {
            let keep = mask.cast_like_parameters().unsqueeze(&[1]);
            let count = keep.sum(-1).max(builder.scalar("least", 1e-9));
            (keep.matmul(tokens) / count).squeeze(&[1])
        }
    };
    let pooled = if head.normalize { pooled / pooled.length().max(builder.scalar("least", 1e-12)) } else { pooled };
    builder.output("token_embeddings", tokens);
    builder.output("sentence_embedding", pooled);
}

/// Selects the state of the first token: `[batch, seq, d_model]` to `[batch, d_model]`.
#[track_caller]
pub(super) fn first_token(x: Var<'_>) -> Var<'_> {
    let first = x.builder.index(0);
    x.builder.apply(Op::Gather { axis: 1 }, &[x, first])
}

/// Declares the outputs `start_logits` and `end_logits` `[batch, seq]`.
#[track_caller]
pub(super) fn question_answering<'b>(builder: &'b Builder<'b>, layer: &Linear, x: Var<'b>) {
    let [start, end] = layer.forward(x).split(-1, [1, 1]);
    builder.output("start_logits", start.squeeze(&[-1]));
    builder.output("end_logits", end.squeeze(&[-1]));
}

/// Selects the state of the last token that is not padding: `[batch, seq, d_model]` to `[batch, d_model]`.
#[track_caller]
pub(super) fn last_token<'b>(x: Var<'b>, input_ids: Var<'b>, padding: u64) -> Var<'b> {
    let builder = x.builder;
    let padding = builder.index(signed(padding));
    let place = builder.index(0).where_else(input_ids.equal(padding), input_ids.size(1).range());
    x.pick(place.largest(1))
}

/// Returns the pooling of a sentence-transformers folder.
pub(super) fn pooling(settings: &Settings, head: &Head<'_>) -> Result<super::Pooling, SettingsError> {
    head.pooling.ok_or_else(|| {
        settings.wrong("modules.json", "the modules of a sentence-transformers folder, which define the pooling")
    })
}
