//! Runs ONNX models in tract or ONNX Runtime, compares them, and reports what it cannot judge.
//!
//! [`verify()`] judges one model, or compares two: it generates [inputs](inputs()) for several [bindings](bindings())
//! of the symbolic dims, runs the models, checks the outputs against their declarations, and [compares](compare())
//! them. The outcome is a [`Verdict`], which names the [`Runtime`] that judged.
//!
//! tract is linked into this crate. It computes some models wrong without an error, so every node passes the [`gate`]
//! first. Operators that tract lacks or gets wrong are replaced by equivalent ones where possible; any other model is
//! *not verifiable*, never fine. A model that a runtime refuses is not verifiable either, which does not prove it
//! wrong. [`OnnxRuntime`] is a shared library that the user installs, and can judge what tract cannot: see
//! [`Options::fallback`].
//!
//! A runtime can abort, or run forever. Use a [`Worker`] for untrusted files: a child process with limited memory and
//! time, which ends when its parent does.
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
//! Only this crate uses tract and ONNX Runtime, and no public signature has a type of theirs. It is not for timing:
//! runtimes are configured for correct results, not for speed.

pub mod bench;
mod bindings;
mod blame;
pub mod child;
mod compare;
mod dims;
mod elements;
mod error;
mod file;
mod gate;
mod given;
mod hidden;
mod inputs;
mod interface;
mod layers;
mod logits;
mod npy;
mod onnx_runtime;
mod progress;
mod quiet;
mod ranges;
mod relations;
mod resident;
mod run;
mod runner;
mod runs;
mod runtime;
mod skim;
mod special;
mod spell;
mod tables;
mod tolerance;
mod tract;
mod twin;
mod uses;
mod values;
mod verdict;
mod verify;
mod worker;

pub use bindings::{Sizes, SizesKind, bindings, typical_sizes};
pub use compare::{Comparison, Difference, RoundingEvidence, Worst, compare, scale};
pub use error::VerifyError;
pub use file::{ModelFile, Port};
pub use gate::{Reason, gate};
pub use inputs::inputs;
pub use layers::Layer;
pub use logits::Agreement;
pub use onnx_runtime::{OnnxRuntime, OrtLevel};
pub use progress::{OnRun, RunStart};
pub use quiet::catch;
pub use resident::Resident;
pub use run::Session;
pub use runs::reruns;
pub use runtime::Runtime;
pub use tolerance::{MIN_COSINES, TOLERANCE, TOLERANCES};
pub use values::{Array, Element, Values};
pub use verdict::{Blame, Outputs, Produced, Run, Verdict};
pub use verify::{Options, verify, verify_models};
pub use worker::{WORKER_SUBCOMMAND, Worker, serve};

/// The examples of the crate's page compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
