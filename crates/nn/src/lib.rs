//! A DSL that declares Transformers: a model reads like the paper.
//!
//! Values are [`Var`]s: they are `Copy`, know their graph and shape, and have `+`, `*` and the operators of the text
//! form as methods. Layers own names and sizes; their parameters are bound by name when they are applied, so one layer
//! can be used in any number of graphs. Errors are recorded with the line that caused them, and
//! [`Builder::finish`] reports all of them.
//!
//! ```
//! use netwright_ir::{ElementType, TensorType, shape};
//! use netwright_nn::{Builder, Weights, layers::Linear};
//!
//! let weights = Weights::Random { seed: 0 };
//! let builder = Builder::new("classifier", &weights);
//! let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", 16]));
//! let hidden = Linear::new("hidden", 16, 32, true).forward(x).relu();
//! let logits = Linear::new("logits", 32, 4, true).forward(hidden);
//! builder.output("probabilities", logits.softmax(-1));
//! let graph = builder.finish()?;
//! assert_eq!(graph.shape(graph.outputs()[0].value), Some(&*shape!["batch", 4]));
//! # Ok::<(), netwright_nn::BuildErrors>(())
//! ```

mod adapter;
mod builder;
mod config;
mod decoder;
mod encoder;
pub mod families;
mod gguf;
pub mod layers;
mod pretrained;
mod quantized;
mod sentences;
mod settings;
mod task;
mod torch;
mod transformer;
mod var;
mod weights;

pub use builder::{BuildError, BuildErrors, Builder, Scope, Var};
pub use config::{Config, ModelType, NormPlacement, RangeError};
pub use decoder::{Decoder, DecoderLayer};
pub use encoder::{Encoder, EncoderLayer};
pub use gguf::DerivedFile;
pub use pretrained::{OpenError, Pretrained, PretrainedOptions};
pub use sentences::{SentenceModule, sentence_modules};
pub use settings::{Settings, SettingsError};
pub use task::Task;
pub use transformer::{Part, Transformer};
pub use weights::{Init, WeightError, Weights};

/// Converts a size to the i64 of dims and indices; no real size exceeds its range.
fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
