//! Generates tokens with decoders in ONNX, in tract or ONNX Runtime.
//!
//! A [`Model`] is a decoder, with or without an encoder and a KV cache, in the files that `netwright build` and the
//! exporters of Hugging Face write. [`Settings`] are those of `generation_config.json`, and mean what they mean in
//! `transformers`. [`Model::tokens`] is an iterator of tokens, chosen greedily or drawn at random; [`Model::beams`]
//! searches for the most probable sequences. [`Speech`] transcribes audio with Whisper. An [`Evaluator`] says how well a
//! model predicts a text.
//!
//! ```no_run
//! use netwright_generate::{Input, Model, Settings};
//! use netwright_verify::Runtime;
//!
//! let model = Model::open("gpt2_onnx", &Runtime::Tract)?;
//! let mut settings = Settings::read("gpt2_onnx", &[])?;
//! settings.max_new_tokens = Some(32);
//! for step in model.tokens(&Input::Tokens(vec![vec![464, 3290]]), &settings)? {
//!     println!("{:?}", step?[0]);
//! }
//! # Ok::<(), netwright_generate::GenerateError>(())
//! ```

mod audio;
mod beams;
mod chat;
mod error;
mod eval;
mod files;
mod graph;
mod model;
mod scores;
mod settings;
mod text_tokens;
mod tokenizer;
mod tokens;
mod whisper;

pub use audio::FeatureExtractor;
pub use beams::Beam;
pub use chat::{CHAT_SUBCOMMAND, Chat, Message, serve as serve_chat};
pub use error::GenerateError;
pub use eval::{Evaluated, Evaluator, Prediction};
pub use files::{folder, has_built_graphs, has_graphs, unused_graphs, used_graphs};
pub use model::{Input, Model};
pub use scores::{Context, probabilities};
pub use settings::{EarlyStopping, Settings, positions};
pub use text_tokens::TextToken;
pub use tokenizer::{Stream, Tokenizer};
pub use tokens::Tokens;
pub use whisper::{Segment, Speech, Timestamps, Transcription};
