//! Inputs and heads that the text encoders share.

use super::{Architecture, Head, Pooling, PoolingMode, SEQ, heads, ids};
use crate::layers::{Activation, Embedding, Linear, Norm};
use crate::{Builder, Init, Part, Settings, SettingsError, Task, Var};
use std::fmt::Debug;

/// A text encoder without a head.
pub(super) trait TextEncoder: Debug + Send + Sync {
    /// Returns the states `[batch, seq, d_model]` of texts.
    fn encode<'b>(&self, text: &Text<'b>) -> Var<'b>;

    /// Returns the embeddings, which tied heads compute scores with.
    fn words(&self) -> &Embedding;

    /// Returns whether it has the input `token_type_ids`.
    fn reads_types(&self) -> bool {
        false
    }
}

/// The inputs of a text encoder, each i64 `[batch, seq]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'b> {
    pub(super) input_ids: Var<'b>,
    pub(super) attention_mask: Var<'b>,
    /// The types of tokens; `None` if all are 0.
    pub(super) types: Option<Var<'b>>,
}

/// A text encoder with a head.
#[derive(Debug)]
pub(super) struct TextModel<E> {
    pub(super) encoder: E,
    pub(super) output: Output,
}

/// The head of a text encoder.
#[derive(Debug)]
pub(super) enum Output {
    States { pooler: Option<Linear> },
    Sentence(Pooling),
    MaskedTokens { transform: Option<Transform>, decoder: Decoder },
    Class { pooling: ClassPooling, transform: Transform, classifier: Linear },
    Tokens { transform: Option<Transform>, classifier: Linear },
    Answer { transform: Option<Transform>, layer: Linear },
}

/// A layer before the last one of a head, with its activation and norm.
#[derive(Clone, Debug)]
pub(super) struct Transform {
    pub(super) dense: Linear,
    pub(super) activation: Activation,
    pub(super) norm: Option<Norm>,
}

impl Transform {
    #[track_caller]
    fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        let x = self.activation.forward(self.dense.forward(x));
        self.norm.as_ref().map_or(x, |norm| norm.forward(x))
    }
}

/// Applies a transform, if there is one.
#[track_caller]
fn transformed<'b>(transform: Option<&Transform>, x: Var<'b>) -> Var<'b> {
    transform.map_or(x, |transform| transform.forward(x))
}

/// The tokens that determine the class of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassPooling {
    /// The state of the first token.
    First,
    /// The mean of the states.
    Mean,
    /// The mean of the scores of all tokens.
    MeanOfScores,
}

/// The last layer of the masked-language-modeling head.
#[derive(Debug)]
pub(super) enum Decoder {
    Tied { bias: Option<String>, vocab: u64 },
    Own(Linear),
}

impl Decoder {
    /// Reads the layer from states of a width, by its name and that of its bias if the embeddings are tied to it.
    pub(super) fn read(settings: &Settings, [name, bias]: [&str; 2], width: u64) -> Result<Self, SettingsError> {
        let vocab = settings.size("vocab_size")?;
        let tied = settings.flag("tie_word_embeddings", true)?;
        let own = || Decoder::Own(Linear::new(name, width, vocab, true));
        Ok(if tied { Decoder::Tied { bias: Some(bias.to_owned()), vocab } } else { own() })
    }
}

impl Output {
    /// Reads the head of a task on states of width `d_model`: `masked` and `class` are those of masked tokens and of
    /// text classification, `pooler` is the name of the layer of `pooler_output`, if the weights have it.
    pub(super) fn read(
        settings: &Settings,
        head: &Head<'_>,
        d_model: u64,
        masked: Output,
        class: impl FnOnce(u64) -> Output,
        pooler: Option<String>,
    ) -> Result<Self, SettingsError> {
        let labels = || Ok::<_, SettingsError>(Linear::new("classifier", d_model, settings.labels()?, true));
        Ok(match head.task {
            Task::SentenceSimilarity => Output::Sentence(heads::pooling(settings, head)?),
            Task::FillMask => masked,
            Task::TextClassification => class(settings.labels()?),
            Task::TokenClassification => Output::Tokens { transform: None, classifier: labels()? },
            Task::QuestionAnswering => {
                Output::Answer { transform: None, layer: Linear::new("qa_outputs", d_model, 2, true) }
            }
            _ => {
                let pooler = pooler.filter(|name| head.weights.has(name));
                Output::States { pooler: pooler.map(|name| Linear::new(name, d_model, d_model, true)) }
            }
        })
    }
}

impl<E: TextEncoder> Architecture for TextModel<E> {
    fn declare<'b>(&self, builder: &'b Builder<'b>, _: Part) {
        let input_ids = builder.input("input_ids", ids(SEQ));
        let attention_mask = builder.input("attention_mask", ids(SEQ));
        let asks = self.encoder.reads_types() && !matches!(self.output, Output::Sentence(_));
        let types = asks.then(|| builder.input("token_type_ids", ids(SEQ)));
        let x = self.encoder.encode(&Text { input_ids, attention_mask, types });
        match &self.output {
            Output::States { pooler } => {
                builder.output("last_hidden_state", x);
                if let Some(pooler) = pooler {
                    builder.output("pooler_output", pooler.forward(heads::first_token(x)).tanh());
                }
            }
            Output::Sentence(pooling) => heads::sentence_embedding(builder, pooling, x, attention_mask),
            Output::MaskedTokens { transform, decoder } => {
                let x = transformed(transform.as_ref(), x);
                let logits = match decoder {
                    Decoder::Tied { bias, vocab } => {
                        let scores = self.encoder.words().scores(x);
                        bias.iter().fold(scores, |x, bias| x + builder.parameter(bias, &[*vocab], Init::Zeros))
                    }
                    Decoder::Own(layer) => layer.forward(x),
                };
                builder.output("logits", logits);
            }
            Output::Class { pooling, transform, classifier } => {
                let mean = |x| heads::pooled(builder, PoolingMode::Mean, x, attention_mask);
                let scores = |x| classifier.forward(transform.forward(x));
                builder.output(
                    "logits",
                    match pooling {
                        ClassPooling::First => scores(heads::first_token(x)),
                        ClassPooling::Mean => scores(mean(x)),
                        ClassPooling::MeanOfScores => mean(scores(x)),
                    },
                );
            }
            Output::Tokens { transform, classifier } => {
                builder.output("logits", classifier.forward(transformed(transform.as_ref(), x)));
            }
            Output::Answer { transform, layer } => {
                heads::question_answering(builder, layer, transformed(transform.as_ref(), x));
            }
        }
    }

    fn leaves(&self) -> &'static [&'static str] {
        if matches!(self.output, Output::Sentence(_)) {
            &["embeddings.position_ids", "embeddings.position_embeddings.", "inv_freq", "pooler."]
        } else {
            &["embeddings.position_ids", "embeddings.position_embeddings.", "inv_freq"]
        }
    }

    fn copies(&self) -> &'static [&'static str] {
        match self.output {
            Output::Sentence(_) => &[],
            Output::MaskedTokens { decoder: Decoder::Tied { .. }, .. } => &[
                "predictions.decoder.",
                "lm_head.decoder.",
                "lm_head.weight",
                "decoder.weight",
                "generator_lm_head.weight",
                "vocab_projector.weight",
            ],
            _ => &["predictions.decoder.", "lm_head.decoder.", "generator_lm_head.weight", "vocab_projector.weight"],
        }
    }
}
