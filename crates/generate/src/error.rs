//! The errors of generation.

use netwright_files::{Code, FileError};
use netwright_verify::VerifyError;
use std::path::PathBuf;

/// An error that ends generation, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),

    /// A runtime refused a model, or failed to run it.
    #[error(transparent)]
    Run(#[from] VerifyError),

    /// A file of the configuration is invalid.
    #[error("{}: {cause}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// An option of `generation_config.json` that changes the result and is not supported.
    #[error(
        "{}: option `{option}` is not supported\n  help: pass --ignore-option {option} to generate without it",
        path.display()
    )]
    Option {
        /// The file.
        path: PathBuf,
        /// The option.
        option: String,
    },

    /// A setting has no meaning.
    #[error("`{name}` must be {expected}, but is {found}\n  help: {help}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The values that it can have.
        expected: String,
        /// Its value.
        found: String,
        /// What to do.
        help: &'static str,
    },

    /// A folder holds no model, or more than one.
    #[error("{}: {cause}\n  help: {help}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        help: String,
    },

    /// A model has inputs or outputs that a decoder does not have.
    #[error("{file} cannot be used: {cause}\n  help: {help}")]
    Interface {
        /// The model.
        file: String,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        help: &'static str,
    },

    /// A prompt has no tokens.
    #[error("the prompt is empty: the model needs at least one token to start from\n  help: pass a text with --prompt")]
    EmptyPrompt,

    /// A prompt leaves no position for a new token.
    #[error(
        "the prompt has {tokens} tokens, but the model has {positions} positions, of which new tokens need at least one\n  \
         help: shorten the prompt"
    )]
    TooLong {
        /// The number of tokens of the prompt.
        tokens: usize,
        /// The number of positions of the model.
        positions: usize,
    },

    /// A prompt is as long as `max_length` of the settings, which counts it.
    #[error(
        "the prompt has {tokens} tokens, but `max_length` is {max_length}, with the prompt\n  help: pass --max-new-tokens N, or \
         shorten the prompt"
    )]
    MaxLength {
        /// The number of tokens of the prompt.
        tokens: usize,
        /// The setting.
        max_length: usize,
    },

    /// A prompt has more tokens than fit into a KV cache of fixed length.
    #[error(
        "the prompt has {tokens} tokens, but the KV cache of the model has room for {room}\n  help: shorten the prompt, or \
         build the model with a larger --kv-cache static=N"
    )]
    NoRoom {
        /// The number of tokens of the prompt.
        tokens: usize,
        /// The number of tokens for which there is room.
        room: usize,
    },

    /// A prompt has a token that the model does not have.
    #[error(
        "token {token} is not in the vocabulary of the model, which has {vocabulary} tokens\n  help: use the tokenizer with \
         which the model was trained"
    )]
    UnknownToken {
        /// The id of the token.
        token: u32,
        /// The number of tokens of the model.
        vocabulary: usize,
    },

    /// The scores of next tokens are not numbers.
    #[error(
        "{file}: the model computes a score that is {found} for the token after position {position}\n  help: if the weights \
         are in f16, build the model with --dtype f32; otherwise choose another runtime with --runtime, or check the weights"
    )]
    NotFinite {
        /// The model.
        file: String,
        /// The number of tokens before the one that was to be chosen.
        position: usize,
        /// The score.
        found: f32,
    },

    /// The settings exclude every token.
    #[error(
        "the settings exclude every token after position {position}\n  help: suppress fewer tokens, or repeat more"
    )]
    NoToken {
        /// The number of tokens before the one that was to be chosen.
        position: usize,
    },

    /// The tokenizer cannot be read or does not fit the model.
    #[error("{}: {cause}\n  help: {help}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        help: &'static str,
    },

    /// The chat template cannot be read, or fails.
    #[error("{}: the chat template {cause}\n  help: {help}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        help: &'static str,
    },

    /// An audio file cannot be used.
    #[error("{}: {cause}\n  help: {help}", path.display())]
    Audio {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// What to do.
        help: String,
    },
}

impl GenerateError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::Configuration { .. } => Code::GenerationSyntax,
            Self::Option { .. } => Code::GenerationOption,
            Self::Setting { .. } => Code::SettingRange,
            Self::Folder { .. } => Code::FolderAmbiguous,
            Self::Interface { .. } => Code::ModelKind,
            Self::EmptyPrompt => Code::TextEmpty,
            Self::TooLong { .. } | Self::MaxLength { .. } | Self::NoRoom { .. } => Code::TextTooLong,
            Self::UnknownToken { .. } => Code::TokenUnknown,
            Self::NotFinite { .. } => Code::NotFinite,
            Self::NoToken { .. } => Code::NoTokenLeft,
            Self::Tokenizer { .. } => Code::Tokenizer,
            Self::Template { .. } => Code::ChatTemplate,
            Self::Audio { .. } => Code::Audio,
        }
    }
}
