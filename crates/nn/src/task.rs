//! The tasks of models.

use netwright_ir::nearest::suggestion;
use std::fmt;
use std::str::FromStr;

/// A task, named as in Hugging Face. It selects the head of a model, and so its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task {
    /// `last_hidden_state`, and `pooler_output` if the model has one.
    FeatureExtraction,
    /// `sentence_embedding` `[batch, d_model]`, pooled as a sentence-transformers folder says.
    SentenceSimilarity,
    /// `logits` `[batch, seq, vocab]` of masked tokens.
    FillMask,
    /// `logits` `[batch, seq, vocab]` of next tokens.
    TextGeneration,
    /// `logits` `[batch, seq, vocab]` of next tokens, given a source text.
    Text2TextGeneration,
    /// `logits` `[batch, seq, vocab]` of next tokens, given audio.
    AutomaticSpeechRecognition,
    /// `logits` `[batch, labels]`.
    TextClassification,
    /// `logits` `[batch, seq, labels]`.
    TokenClassification,
    /// `start_logits` and `end_logits` `[batch, seq]`.
    QuestionAnswering,
    /// `logits` `[batch, labels]` of images.
    ImageClassification,
    /// `logits_per_image`, `logits_per_text`, `text_embeds` and `image_embeds`.
    ZeroShotImageClassification,
}

impl Task {
    /// Every task.
    pub const ALL: [Task; 11] = [
        Task::FeatureExtraction,
        Task::SentenceSimilarity,
        Task::FillMask,
        Task::TextGeneration,
        Task::Text2TextGeneration,
        Task::AutomaticSpeechRecognition,
        Task::TextClassification,
        Task::TokenClassification,
        Task::QuestionAnswering,
        Task::ImageClassification,
        Task::ZeroShotImageClassification,
    ];

    /// Returns its name, such as `fill-mask`.
    pub fn name(self) -> &'static str {
        match self {
            Task::FeatureExtraction => "feature-extraction",
            Task::SentenceSimilarity => "sentence-similarity",
            Task::FillMask => "fill-mask",
            Task::TextGeneration => "text-generation",
            Task::Text2TextGeneration => "text2text-generation",
            Task::AutomaticSpeechRecognition => "automatic-speech-recognition",
            Task::TextClassification => "text-classification",
            Task::TokenClassification => "token-classification",
            Task::QuestionAnswering => "question-answering",
            Task::ImageClassification => "image-classification",
            Task::ZeroShotImageClassification => "zero-shot-image-classification",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == word)
            .ok_or_else(|| format!("it is not a task: {}", suggestion(word, &Self::ALL.map(Self::name))))
    }
}
