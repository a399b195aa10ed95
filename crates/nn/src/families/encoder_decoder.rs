//! Shared by encoder-decoders: the graphs of their parts, with inputs, outputs and caches.

use super::{Architecture, BATCH, Head, Pooling, heads, ids};
use crate::layers::{Cache, Linear, Span, cache_type, padding_mask};
use crate::{Builder, Part, Settings, SettingsError, Task, Var, signed};
use netwright_ir::{Dim, Op, TensorType, shape};
use std::fmt::Debug;

/// The dims of source and target, named as by the exporters of Hugging Face.
pub(super) const SOURCE: &str = "encoder_sequence_length";
const TARGET: &str = "decoder_sequence_length";
const PAST: &str = "past_decoder_sequence_length";

/// An encoder and a decoder with cross-attention.
pub(super) trait EncoderDecoder: Debug + Send + Sync {
    /// Declares the inputs of the encoder, except for the attention mask.
    fn source<'b>(&self, builder: &'b Builder<'b>) -> Var<'b>;

    /// Returns the encoder's states `[batch, source, d_model]`; `mask` `[batch, 1, 1, source]` hides padding of the
    /// source.
    fn encode<'b>(&self, source: Var<'b>, mask: Option<Var<'b>>) -> Var<'b>;

    /// Returns the decoder's states `[batch, target, d_model]`; decode steps have no memory.
    fn decode<'b>(&self, step: &Step<'b>) -> Var<'b>;

    /// Returns the scores of next tokens.
    fn scores<'b>(&self, x: Var<'b>) -> Var<'b>;

    /// Returns the shape of the memory without its batch: `[source, d_model]`.
    fn memory(&self) -> [Dim; 2];

    /// Returns the number of decoder layers, the number of heads and the width of a head.
    fn cache(&self) -> [u64; 3];

    /// Returns whether sources are padded.
    fn has_padding(&self) -> bool {
        true
    }

    /// See [`Architecture::leaves`].
    fn leaves(&self) -> &'static [&'static str] {
        &[]
    }

    /// See [`Architecture::copies`].
    fn copies(&self) -> &'static [&'static str];
}

/// The inputs of a decoder.
#[derive(Debug)]
pub(super) struct Step<'b> {
    /// The token ids, `[batch, target]`.
    pub(super) ids: Var<'b>,
    pub(super) span: Span<'b>,
    /// The encoder's states `[batch, source, d_model]`; decode steps read their keys and values from the cache instead.
    pub(super) memory: Option<Var<'b>>,
    /// The mask of padding in the source, `[batch, 1, 1, source]`.
    pub(super) padding: Option<Var<'b>>,
    pub(super) cache: Cache<'b>,
}

impl Step<'_> {
    /// Returns the cache entries of a layer: self-attention, then cross-attention.
    pub(super) fn entries(layer: usize) -> [String; 2] {
        [format!("{layer}.decoder"), format!("{layer}.encoder")]
    }
}

/// An encoder-decoder with its task.
#[derive(Debug)]
pub(super) struct Seq2Seq<M> {
    model: M,
    output: Output,
    with_past: bool,
}

/// The outputs of an encoder-decoder.
#[derive(Debug)]
pub(super) enum Output {
    /// `logits` of next tokens.
    Scores,
    /// The states of the decoder and of the encoder.
    States,
    /// Only the states of the encoder.
    EncoderStates,
    /// `logits` of classes, from the decoder's state of the last end token. The decoder reads the text itself.
    Class { dense: Linear, classifier: Linear, start: i64, end: i64 },
    /// `logits` of every token, from the encoder's states.
    Labels(Linear),
    /// `sentence_embedding`, the pooled states of the encoder, and these.
    Sentence(Pooling),
    /// The start and end of an answer in the text, which the decoder reads too.
    Answer { layer: Linear, start: i64 },
}

impl Output {
    /// Returns the outputs of a task that needs no weights of its own; the encoder may be the whole model.
    fn of(head: &Head<'_>) -> Self {
        match head.task {
            Task::FeatureExtraction if head.architecture.ends_with("EncoderModel") => Output::EncoderStates,
            Task::FeatureExtraction => Output::States,
            _ => Output::Scores,
        }
    }

    /// Returns the outputs of any task from states of width `d_model`; `end` is the default id of the end token.
    pub(super) fn read(settings: &Settings, head: &Head<'_>, d_model: u64, end: u64) -> Result<Self, SettingsError> {
        let start = || {
            let token = settings.token("decoder_start_token_id")?;
            token.map(signed).ok_or_else(|| settings.wrong("decoder_start_token_id", "the id of the first token"))
        };
        let linear = |name: &str, outputs| Linear::new(name, d_model, outputs, true);
        Ok(match head.task {
            Task::TextClassification => Output::Class {
                dense: linear("classification_head.dense", d_model),
                classifier: linear("classification_head.out_proj", settings.labels()?),
                start: start()?,
                end: signed(settings.token("eos_token_id")?.unwrap_or(end)),
            },
            Task::SentenceSimilarity => Output::Sentence(heads::pooling(settings, head)?),
            Task::TokenClassification => Output::Labels(linear("classifier", settings.labels()?)),
            Task::QuestionAnswering => Output::Answer { layer: linear("qa_outputs", 2), start: start()? },
            _ => Output::of(head),
        })
    }
}

impl<M: EncoderDecoder> Seq2Seq<M> {
    /// Creates the model for a task that needs no weights of its own.
    pub(super) fn new(model: M, head: &Head<'_>) -> Self {
        Self::with_output(model, head, Output::of(head))
    }

    /// Creates the model with its own head.
    pub(super) fn with_output(model: M, head: &Head<'_>, output: Output) -> Self {
        Self { model, output, with_past: head.cache.is_some() }
    }

    /// Declares the source and its attention mask, if sources are padded.
    #[track_caller]
    fn source<'b>(&self, builder: &'b Builder<'b>) -> (Var<'b>, Option<Var<'b>>) {
        let source = self.model.source(builder);
        (source, self.model.has_padding().then(|| builder.input("attention_mask", ids(SOURCE))))
    }

    #[track_caller]
    fn decode<'b>(
        &self,
        builder: &'b Builder<'b>,
        name: &str,
        memory: Option<Var<'b>>,
        padding: Option<Var<'b>>,
        with: Part,
    ) {
        let ids = builder.input(name, ids(TARGET));
        let memory = memory.or_else(|| {
            let [source, d_model] = self.model.memory();
            let memory = TensorType::new(builder.element(), shape![BATCH, source, d_model]);
            (with != Part::DecoderWithPast).then(|| builder.input("encoder_hidden_states", memory))
        });
        let cache = match with {
            Part::DecoderWithPast => {
                let (batch, [layers, heads, d_k], [source, _]) =
                    (Dim::symbol(BATCH), self.model.cache(), self.model.memory());
                let entry = |name: String, length: &Dim| (name, cache_type(builder, &batch, heads, length, d_k));
                let past = Dim::symbol(PAST);
                Cache::later(
                    builder,
                    (0..layers).flat_map(|layer| {
                        let [own, cross] = Step::entries(usize::try_from(layer).unwrap_or(usize::MAX));
                        [entry(own, &past), entry(cross, &source)]
                    }),
                )
            }
            Part::Decoder if self.with_past => Cache::first(builder),
            _ => Cache::none(builder),
        };
        let span = Span::new(ids, &cache);
        let step = Step { ids, span, memory, padding, cache };
        let x = self.model.decode(&step);
        match self.output {
            Output::Scores => builder.output("logits", self.model.scores(x)),
            _ => builder.output("last_hidden_state", x),
        }
        step.cache.outputs();
    }
}

impl<M: EncoderDecoder> Seq2Seq<M> {
    /// Returns the decoder's states when it reads the source itself, shifted after a start token.
    #[track_caller]
    fn reread<'b>(&self, source: Var<'b>, start: i64, memory: Var<'b>, padding: Option<Var<'b>>) -> Var<'b> {
        let builder = source.builder();
        let first = builder.index(start).expand(source.size(0).concat(builder.indices(&[1]), 0));
        let ids = builder.apply(Op::Gather { axis: 1 }, &[first.concat(source, 1), source.size(1).range()]);
        let cache = Cache::none(builder);
        let span = Span::new(source, &cache);
        self.model.decode(&Step { ids, span, memory: Some(memory), padding, cache })
    }
}

impl<M: EncoderDecoder> Architecture for Seq2Seq<M> {
    fn declare<'b>(&self, builder: &'b Builder<'b>, part: Part) {
        match part {
            Part::Encoder => {
                let (source, mask) = self.source(builder);
                builder.output("last_hidden_state", self.model.encode(source, mask.map(padding_mask)));
            }
            Part::Whole => {
                let (source, attention_mask) = self.source(builder);
                let mask = attention_mask.map(padding_mask);
                let memory = self.model.encode(source, mask);
                match &self.output {
                    Output::Sentence(pooling) => {
                        let all =
                            || builder.index(1).expand(builder.apply(Op::Shape { start: 0, end: None }, &[source]));
                        let attention_mask = attention_mask.unwrap_or_else(all);
                        heads::sentence_embedding(builder, pooling, memory, attention_mask);
                    }
                    Output::EncoderStates => builder.output("last_hidden_state", memory),
                    Output::Labels(layer) => builder.output("logits", layer.forward(memory)),
                    Output::Scores => self.decode(builder, "decoder_input_ids", Some(memory), mask, part),
                    Output::States => {
                        self.decode(builder, "decoder_input_ids", Some(memory), mask, part);
                        builder.output("encoder_last_hidden_state", memory);
                    }
                    Output::Class { dense, classifier, start, end } => {
                        let x = self.reread(source, *start, memory, mask);
                        let is_end = source.equal(builder.index(*end));
                        let place = source.size(1).range().where_else(is_end, builder.index(0));
                        let last = x.pick(place.largest(1));
                        builder.output("logits", classifier.forward(dense.forward(last).tanh()));
                    }
                    Output::Answer { layer, start } => {
                        heads::question_answering(builder, layer, self.reread(source, *start, memory, mask));
                    }
                }
            }
            Part::Decoder | Part::DecoderWithPast => {
                let mask = || padding_mask(builder.input("encoder_attention_mask", ids(SOURCE)));
                let mask = self.model.has_padding().then(mask);
                self.decode(builder, "input_ids", None, mask, part);
            }
        }
    }

    fn is_encoder_decoder(&self) -> bool {
        matches!(self.output, Output::Scores)
    }

    fn has_cache(&self) -> bool {
        matches!(self.output, Output::Scores)
    }

    fn leaves(&self) -> &'static [&'static str] {
        self.model.leaves()
    }

    fn copies(&self) -> &'static [&'static str] {
        self.model.copies()
    }
}
