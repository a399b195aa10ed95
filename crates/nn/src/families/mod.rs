//! Families of pretrained models, as Hugging Face names and configures them: each is a page that reads a configuration
//! and declares graphs with the same layers.

mod bart;
mod bert;
mod causal;
mod clip;
mod encoder;
mod encoder_decoder;
mod gpt2;
mod gpt_neox;
mod heads;
mod llama;
mod rope;
mod t5;
mod vision;
mod vit;
mod whisper;

pub use causal::DecoderInputs;

use crate::{Builder, Part, Settings, SettingsError, Task, Transformer, Var, Weights};
use netwright_ir::{Dim, ElementType, TensorType, shape};

/// A family of models, and how its configurations are read.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What `model_type` is in its configurations.
    pub model_types: &'static [&'static str],
    /// The names of `architectures` in its configurations, and what each is for.
    pub architectures: &'static [(&'static str, Task)],
    /// Reads a configuration.
    pub read: fn(&Settings, &Head<'_>) -> Read,
}

impl Family {
    /// What its models are for, each once.
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks = vec![];
        for (_, task) in self.architectures {
            if !tasks.contains(task) {
                tasks.push(*task);
            }
        }
        tasks
    }
}

/// A model that was read from a configuration.
pub type Read = Result<Box<dyn Architecture>, SettingsError>;

/// The release of transformers whose results the tests compare every family with.
pub const TESTED_AGAINST: &str = "5.24.0";

/// Every family that is known.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "Transformer",
        model_types: &["transformer"],
        architectures: &[("Transformer", Task::Text2TextGeneration)],
        read: Transformer::from_settings,
    },
    bert::BERT,
    bert::ROBERTA,
    bert::ELECTRA,
    bert::DISTILBERT,
    gpt2::GPT2,
    gpt_neox::GPT_NEOX,
    llama::LLAMA,
    llama::MISTRAL,
    llama::QWEN2,
    llama::QWEN3,
    llama::PHI3,
    llama::GEMMA2,
    t5::T5,
    bart::BART,
    bart::MARIAN,
    bart::M2M_100,
    whisper::WHISPER,
    vit::VIT,
    clip::CLIP,
];

/// What of a model is asked for, beside its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// What it is for.
    pub task: Task,
    /// The architecture of that task, such as `BertForMaskedLM`.
    pub architecture: &'a str,
    /// Whether decoders take keys and values of earlier tokens.
    pub with_past: bool,
    /// The weights that there are.
    pub weights: &'a Weights,
    /// How a sentence-transformers folder makes one vector of a text.
    pub pooling: Option<Pooling>,
}

/// How the vectors of a text's tokens become one, as a sentence-transformers folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Which vector.
    pub mode: PoolingMode,
    /// Whether it is divided by its length.
    pub normalize: bool,
}

/// Which vector stands for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingMode {
    /// That of the first token.
    First,
    /// The mean over all tokens that are no padding.
    Mean,
}

impl Head<'_> {
    /// The prefix of the weights' names: a model that was saved without a head has them without it.
    pub fn base(&self, prefix: &str) -> String {
        let prefix = format!("{prefix}.");
        if self.weights.has(&prefix) { prefix } else { String::new() }
    }
}

/// A model of a family, with the sizes that its configuration says.
pub trait Architecture: Send + Sync {
    /// Declares a graph: inputs, layers, outputs.
    fn declare<'b>(&self, builder: &'b Builder<'b>, part: Part);

    /// Whether it has an encoder and a decoder, which are graphs of their own.
    fn is_encoder_decoder(&self) -> bool {
        false
    }

    /// Whether its decoder can take keys and values of earlier tokens.
    fn has_cache(&self) -> bool {
        false
    }

    /// Parts of the names of tensors that checkpoints hold and that the model does not need: tables that are computed,
    /// layers after the outputs.
    fn leaves(&self) -> &'static [&'static str] {
        &[]
    }

    /// Parts of the names of tensors that repeat a tensor of the model, such as the scores of a model whose embeddings
    /// are tied. One that differs from the tensor that it repeats is an error.
    fn copies(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The dims of texts, as exporters of Hugging Face name them.
pub(crate) const BATCH: &str = "batch_size";
pub(crate) const SEQ: &str = "sequence_length";
pub(crate) const PAST: &str = "past_sequence_length";

/// Whole numbers `[batch_size, sequence_length]`.
pub(crate) fn ids(length: impl Into<Dim>) -> TensorType {
    TensorType::new(ElementType::I64, shape![BATCH, length.into()])
}

/// The positions `[batch, seq]` of tokens that are no padding, from behind the id of padding on, which is that of padding
/// itself; and which tokens those are.
#[track_caller]
pub(crate) fn positions_of_tokens<'b>(
    input_ids: Var<'b>,
    padding: Var<'b>,
    past: Option<Var<'b>>,
) -> (Var<'b>, Var<'b>) {
    let keep = input_ids.equal(padding).logical_not();
    let count = keep.cast(ElementType::I32).cum_sum(1).cast(ElementType::I64);
    let count = past.map_or(count, |past| count + past);
    (count * keep.cast(ElementType::I64) + padding, keep)
}
