//! Runs ONNX models in tract or ONNX Runtime, compares them, and reports what it cannot judge.
//!
//! [`verify()`] judges a model alone or two against each other: it makes up [inputs](inputs()) for several
//! [bindings](bindings()) of the symbolic dims, runs, holds what comes out against what the model declares, and
//! [compares](compare()). The outcome is a [`Verdict`], which names the [`Runtime`] that judged.
//!
//! tract is a part of this crate. It is silently wrong on some models, so every node passes the [`gate`] first. What
//! tract gets wrong or does not have is replaced by operators that mean the same where there are such; the rest is *not
//! verifiable*, never fine. A model that a runtime refuses is not verifiable either; that is no proof that the model is
//! wrong. [`OnnxRuntime`] is a shared library of the user's, and can judge what tract cannot: see
//! [`Options::fallback`].
//!
//! A runtime can abort, or run without end. Files that are not of our own making are judged by a [`Worker`], a child
//! process with bounded memory and time, which ends when its parent does.
//!
//! ```
//! use netwright_verify::{Options, Verdict, verify};
//!
//! # let dir = tempfile::tempdir()?;
//! # let (before, after) = (dir.path().join("a.onnx"), dir.path().join("b.onnx"));
//! # let model = b"\x08\x0a:5\x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu\x12\x01gZ\x10\x0a\x01x\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x12\x01nb\x10\x0a\x01y\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x12\x01nB\x02\x10\x15";
//! # std::fs::write(&before, model)?;
//! # std::fs::write(&after, model)?;
//! let verdict = verify(&before, Some(&after), &Options::default())?;
//! match &verdict {
//!     Verdict::Equal { runs, .. } => assert_eq!(runs[0].outputs[0].difference, None),
//!     other => panic!("{other}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Session`] runs a model for other purposes, such as decoding.
//!
//! Only this crate sees tract and ONNX Runtime, and no type of theirs stands in a public signature. It is not for timing:
//! runtimes are asked for results, not for speed.

mod bindings;
mod compare;
mod error;
mod file;
mod gate;
mod given;
mod inputs;
mod interface;
mod npy;
mod onnx_runtime;
mod quiet;
mod relations;
mod run;
mod runs;
mod runtime;
mod skim;
mod spell;
mod tract;
mod twin;
mod uses;
mod values;
mod verdict;
mod verify;
mod worker;

pub use bindings::{Sizes, SizesKind, bindings};
pub use compare::{Comparison, Difference, Rounding, Worst, compare, scale};
pub use error::VerifyError;
pub use file::{ModelFile, Port};
pub use gate::{Reason, gate};
pub use inputs::inputs;
pub use onnx_runtime::{OnnxRuntime, OrtLevel};
pub use run::Session;
pub use runtime::Runtime;
pub use values::{Array, Element, Values};
pub use verdict::{Blame, Produced, Run, Verdict};
pub use verify::{Options, TOLERANCE, verify, verify_models};
pub use worker::{WORKER_SUBCOMMAND, Worker, serve};

/// The examples of the crate's page compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
