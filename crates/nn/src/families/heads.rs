//! Heads on the hidden states of text models.

use super::{Head, Pooling, PoolingMode, SentenceLayer};
use crate::layers::Linear;
use crate::{Builder, Settings, SettingsError, Var, signed};
use netwright_ir::{ElementType, Op};

/// Declares the outputs `token_embeddings` and `sentence_embedding` `[batch, width]`, pooled from the states
/// `[batch, seq, d_model]`.
#[track_caller]
pub(super) fn sentence_embedding<'b>(builder: &'b Builder<'b>, pooling: &Pooling, tokens: Var<'b>, mask: Var<'b>) {
    let _scope = builder.enter("pooling");
    let vectors = pooling.modes.iter().map(|mode| pooled(builder, *mode, tokens, mask));
    let Some(pooled) = vectors.reduce(|all, vector| all.concat(vector, -1)) else { return };
    let embedding = pooling.layers.iter().fold(pooled, |x, layer| match layer {
        SentenceLayer::Dense(linear, activation) => {
            let x = linear.forward(x);
            activation.map_or(x, |activation| activation.forward(x))
        }
        SentenceLayer::Norm(norm) => norm.forward(x),
        SentenceLayer::Normalize => x / x.length().max(builder.scalar("least", 1e-12)),
        SentenceLayer::Truncate(width) => x.slice(-1, 0, signed(*width)),
    });
    builder.output("token_embeddings", tokens);
    builder.output("sentence_embedding", embedding);
}

/// Returns one vector of a text, `[batch, d_model]`.
#[track_caller]
pub(super) fn pooled<'b>(builder: &'b Builder<'b>, mode: PoolingMode, tokens: Var<'b>, mask: Var<'b>) -> Var<'b> {
    // The sum by weights `[batch, seq]`, and the sum of the weights.
    let weighted = |weights: Var<'b>| {
        let weights = weights.unsqueeze(&[1]);
        (weights.matmul(tokens), weights.sum(-1).max(builder.scalar("least", 1e-9)))
    };
    let mean = |weights: Var<'b>| {
        let (sum, count) = weighted(weights);
        (sum / count).squeeze(&[1])
    };
    match mode {
        PoolingMode::First => tokens.pick(mask.cast(ElementType::I32).arg_max(1)),
        PoolingMode::Max => {
            let is_text = mask.cast(ElementType::Bool).unsqueeze(&[2]);
            tokens.where_else(is_text, builder.scalar("lowest", -1e9)).largest(1)
        }
        PoolingMode::Mean => mean(mask.cast_like_parameters()),
        PoolingMode::MeanSqrt => {
            let (sum, count) = weighted(mask.cast_like_parameters());
            (sum / count.sqrt()).squeeze(&[1])
        }
        PoolingMode::WeightedMean => {
            let places = mask.size(1).range() + builder.index(1);
            mean((mask * places).cast_like_parameters())
        }
        PoolingMode::Last => {
            let is_text = mask.cast(ElementType::Bool);
            tokens.pick(mask.size(1).range().where_else(is_text, builder.index(0)).largest(1))
        }
    }
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
pub(super) fn pooling(settings: &Settings, head: &Head<'_>) -> Result<Pooling, SettingsError> {
    head.pooling.cloned().ok_or_else(|| {
        settings.wrong("modules.json", "the modules of a sentence-transformers folder, which define the pooling")
    })
}
