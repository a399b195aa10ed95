//! Families of pretrained models, named and configured as in Hugging Face: each module reads a configuration and
//! declares graphs with the shared layers.

mod bart;
mod bert;
mod causal;
mod clip;
mod deberta;
mod encoder;
mod encoder_decoder;
mod gpt2;
mod gpt_neox;
mod heads;
mod llama;
mod opt;
mod rope;
mod t5;
mod text;
mod vision;
mod vit;
mod whisper;

pub use causal::DecoderInputs;

use crate::layers::{Activation, CacheForm, Linear, Norm};
use crate::{Builder, Part, Settings, SettingsError, Task, Transformer, Var, Weights};
use netwright_ir::{Dim, ElementType, TensorType, shape};

/// A family of models, and how its configurations are read.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name for users.
    pub name: &'static str,
    /// The values of `model_type` in its configurations.
    pub model_types: &'static [&'static str],
    /// A model of the family on the Hugging Face Hub.
    pub example: Option<&'static str>,
    /// The names in `architectures` of its configurations, with their tasks.
    pub architectures: &'static [(&'static str, Task)],
    /// Reads a configuration.
    pub read: fn(&Settings, &Head<'_>) -> Read,
}

impl Family {
    /// Returns the tasks of its models, each once.
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

/// The result of reading a configuration.
pub type Read = Result<Box<dyn Architecture>, SettingsError>;

/// The release of transformers with which the tests compare every family.
pub const TESTED_AGAINST: &str = "5.24.0";

/// All families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "Transformer",
        model_types: &["transformer"],
        example: None,
        architectures: &[("Transformer", Task::Text2TextGeneration)],
        read: Transformer::from_settings,
    },
    bert::BERT,
    bert::ROBERTA,
    bert::ELECTRA,
    bert::DISTILBERT,
    bert::MPNET,
    deberta::DEBERTA,
    deberta::DEBERTA_V2,
    bert::ALBERT,
    bert::BIG_BIRD,
    bert::LAYOUT_LM,
    llama::MODERN_BERT,
    llama::NOMIC_BERT,
    llama::GTE,
    llama::JINA,
    llama::EURO_BERT,
    llama::ESM,
    gpt2::GPT2,
    gpt_neox::GPT_NEOX,
    llama::LLAMA,
    llama::MISTRAL,
    llama::QWEN2,
    llama::QWEN3,
    llama::PHI3,
    llama::GEMMA,
    llama::GEMMA2,
    llama::GEMMA3,
    llama::SMOLLM3,
    llama::GRANITE,
    llama::OLMO,
    llama::OLMO2,
    llama::OLMO3,
    llama::EXAONE4,
    llama::COHERE,
    llama::COHERE2,
    llama::STABLELM,
    llama::STARCODER2,
    llama::PHI,
    llama::GPTJ,
    llama::FALCON,
    llama::GPT_NEO,
    llama::GPT_BIGCODE,
    llama::BLOOM,
    llama::MPT,
    llama::EXAONE,
    opt::OPT,
    t5::T5,
    t5::MT5,
    t5::UMT5,
    t5::LONGT5,
    bart::BART,
    bart::MARIAN,
    bart::M2M_100,
    bart::MBART,
    bart::PEGASUS,
    bart::BLENDERBOT,
    whisper::WHISPER,
    vit::VIT,
    clip::CLIP,
];

/// Returns why a model type is not supported, if there is a particular reason.
pub(crate) fn why_not(model_type: &str) -> Option<&'static str> {
    match model_type {
        "longformer" => Some(
            "tokens attend only to their neighbors, except those that an extra input selects, which have other \
             projections",
        ),
        "gpt_oss" | "mixtral" | "qwen2_moe" | "qwen3_moe" => Some("it chooses experts for each token"),
        "" => Some("the option `model_type` is missing"),
        "llava" | "llava_next" | "qwen2_vl" | "qwen2_5_vl" | "idefics" | "paligemma" => Some("it also reads images"),
        _ => None,
    }
}

/// The requested head and options of a model, beside its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The task.
    pub task: Task,
    /// The architecture of the task, such as `BertForMaskedLM`.
    pub architecture: &'a str,
    /// The form of the KV cache of decoders, if they have one.
    pub cache: Option<CacheForm>,
    /// The weights.
    pub weights: &'a Weights,
    /// The pooling of a sentence-transformers folder, if it is one.
    pub pooling: Option<&'a Pooling>,
}

/// The pooling of a sentence-transformers folder: how token vectors become one vector.
#[derive(Clone, Debug)]
pub struct Pooling {
    /// The vectors that represent a text, which are concatenated.
    pub modes: Vec<PoolingMode>,
    /// The layers that follow.
    pub layers: Vec<SentenceLayer>,
}

/// A vector that represents a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingMode {
    /// The vector of the first token that is not padding.
    First,
    /// The largest of each element over all tokens that are not padding.
    Max,
    /// The mean over all tokens that are not padding.
    Mean,
    /// Their sum divided by the root of their number.
    MeanSqrt,
    /// Their mean, weighted by position from 1 on.
    WeightedMean,
    /// The vector of the last token that is not padding.
    Last,
}

/// A layer on the vector of a text.
#[derive(Clone, Debug)]
pub enum SentenceLayer {
    /// A linear layer and its activation, if it has one.
    Dense(Linear, Option<Activation>),
    /// A norm.
    Norm(Norm),
    /// Division by the length of the vector.
    Normalize,
    /// The first so many elements, or all if there are fewer.
    Truncate(u64),
}

impl Head<'_> {
    /// Returns the prefix of the names of weights: models that were saved without a head lack it.
    pub fn base(&self, prefix: &str) -> String {
        let prefix = format!("{prefix}.");
        if self.weights.has(&prefix) { prefix } else { String::new() }
    }
}

/// A model of a family, with the sizes of its configuration.
pub trait Architecture: Send + Sync {
    /// Declares a graph: inputs, layers, outputs.
    fn declare<'b>(&self, builder: &'b Builder<'b>, part: Part);

    /// Returns whether it has an encoder and a decoder, which are separate graphs.
    fn is_encoder_decoder(&self) -> bool {
        false
    }

    /// Returns whether its decoder supports a KV cache.
    fn has_cache(&self) -> bool {
        false
    }

    /// Returns the window of each layer of its decoder, if it has one; none if no layer has a window.
    fn windows(&self) -> Vec<Option<u64>> {
        vec![]
    }

    /// Returns parts of the names of tensors in checkpoints that the model does not need: computed tables, layers after
    /// the outputs.
    fn leaves(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns parts of the names of tensors that repeat a tensor of the model, such as the tied output layer. It is an
    /// error if one differs from the tensor that it repeats.
    fn copies(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The dims of texts, named as by the exporters of Hugging Face.
pub(crate) const BATCH: &str = "batch_size";
pub(crate) const SEQ: &str = "sequence_length";
pub(crate) const PAST: &str = "past_sequence_length";

/// Returns the type of token ids, i64 `[batch_size, sequence_length]`.
pub(crate) fn ids(length: impl Into<Dim>) -> TensorType {
    TensorType::new(ElementType::I64, shape![BATCH, length.into()])
}

/// Returns the positions `[batch, seq]` of tokens without padding, starting after the padding id, which is the position
/// of padding itself; and which tokens are not padding.
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
