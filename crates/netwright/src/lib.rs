//! Declare Transformer models in Rust, optimize them, write them as ONNX and verify them in tract.
//!
//! The crates of the workspace are modules here; [`prelude`] has what most programs need. The feature `verify`, enabled
//! by default, adds tract; without it there are no `verify`, `attention`, `evaluate` and `reproduce`. The feature
//! `generate` adds `generate`: tokens from decoders.
//!
//! ```
//! use netwright::prelude::*;
//!
//! let weights = Weights::Random { seed: 0 };
//! let builder = Builder::new("attention", &weights);
//! let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", "seq", 64]));
//! let attended = MultiHeadAttention::new("self_attn", 64, 4, true).self_attention(x, None);
//! builder.output("y", Norm::new("norm", NormKind::LayerNorm, 64, 1e-5).forward(x + attended));
//!
//! let mut model = Model::new(builder.finish()?);
//! optimize(&mut model, &OptimizeOptions::for_target(Target::TRACT))?;
//! let path = std::env::temp_dir().join("netwright_doc_attention.onnx");
//! write(&model, &path, &WriteOptions::default())?;
//! println!("{}", verify(&path, None, &VerifyOptions::default())?);
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Build a model from a Hugging Face folder:
//!
//! ```
//! use netwright::prelude::*;
//!
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
//! let model = Pretrained::open("tests/families/minilm", &PretrainedOptions::default())?;
//! let path = std::env::temp_dir().join("netwright_doc_minilm.onnx");
//! write(&Model::new(model.build(Part::Whole, false)?), &path, &WriteOptions::default())?;
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use netwright_files as files;
#[cfg(feature = "generate")]
pub use netwright_generate as generate;
pub use netwright_ir as ir;
pub use netwright_nn as nn;
pub use netwright_onnx as onnx;
pub use netwright_passes as passes;
#[cfg(feature = "verify")]
pub use netwright_verify as verify;

#[cfg(feature = "verify")]
pub mod attention;
pub mod bisect;
#[cfg(feature = "verify")]
pub mod evaluate;
pub mod inventory;
pub mod overview;
mod parameters;
#[cfg(feature = "verify")]
mod prove;
#[cfg(feature = "verify")]
pub mod reproduce;
pub mod surgery;

/// The items that most programs need.
pub mod prelude {
    pub use crate::ir::{Dim, ElementType, Graph, Model, Tensor, TensorType, shape};
    pub use crate::nn::layers::{
        Activation, Embedding, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, PositionalEncoding, Positions,
        causal_mask, padding_mask,
    };
    pub use crate::nn::{Builder, Config, Part, Pretrained, PretrainedOptions, Task, Transformer, Var, Weights};
    pub use crate::onnx::{ReadOptions, WriteOptions, read, write};
    pub use crate::passes::{Options as OptimizeOptions, Target, optimize};
    #[cfg(feature = "verify")]
    pub use crate::verify::{Options as VerifyOptions, verify};
}

/// The examples of the crate's page compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
