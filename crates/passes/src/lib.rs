//! Patterns, rules, the pipeline that runs and explains them, and lowering for a target.
//!
//! A [`Pass`] is a card, which holds all that the pipeline knows about it, with rules or a function of the whole graph.
//! A rule examines nodes of some kinds and rewrites them, or reports [why not](Skip). Most rules read the structure
//! around a node themselves, because one function has many spellings; a [pattern] in the words of the text form
//! suffices if the operators are always the same. [`passes()`] lists all passes. [`optimize()`] runs the passes of a
//! [`Target`] until none applies, then lowers operators that ONNX or the target does not have; [`lower()`] only lowers.
//!
//! A *composite* operator is equivalent to several simpler ones, as LayerNormalization, Gelu and Attention are: some
//! passes fuse simpler operators into it, and others decompose it.
//!
//! ```
//! use netwright_ir::{Model, parse};
//! let graph = parse("
//! attention(%scores: f32[batch, heads, seq, seq], %mask: f32[batch, 1, 1, seq]) {
//!   %scaled = div %scores, 8.0 : f32[batch, heads, seq, seq]
//!   %masked = add %mask, %scaled : f32[batch, heads, seq, seq]
//!   %probs = softmax %masked {axis = -1} : f32[batch, heads, seq, seq]
//!   return %probs
//! }")?;
//! let mut model = Model::new(graph);
//! let report = netwright_passes::optimize(&mut model, &netwright_passes::Options::default())?;
//! assert_eq!(report.applied.iter().map(|event| event.pass).collect::<Vec<_>>(), [
//!     "canonicalize", "fuse-scale-softmax", "lower-scaled-softmax",
//! ]);
//! assert_eq!(model.graph.to_string(), "\
//! attention(%scores: f32[batch, heads, seq, seq], %mask: f32[batch, 1, 1, seq]) {
//!   %probs.scaled = mul %scores, 0.125 : f32[batch, heads, seq, seq]
//!   %probs.masked = add %probs.scaled, %mask : f32[batch, heads, seq, seq]
//!   %probs = softmax %probs.masked {axis = -1} : f32[batch, heads, seq, seq]
//!   return %probs
//! }
//! ");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod add_cache;
mod calibrate;
pub mod cleanup;
mod convert;
mod evaluate;
pub mod fold;
pub mod fuse;
pub mod layout;
pub mod lower;
mod optimize;
mod options;
mod order;
mod pass;
pub mod pattern;
pub mod pipeline;
pub mod prove;
mod read;
pub mod rewrite;
mod rule;
pub mod runtime;
pub mod shapes;
pub mod sites;
pub mod surgery;
pub mod target;
mod weights;

pub use calibrate::calibrated;
pub use convert::{
    BLOCKS_SINCE, KeptQuantized, Precision, PrecisionError, Quantization, QuantizationError, QuantizedWeight, Scheme,
    UnknownScheme, WeightRole, quantized_weights,
};
pub use evaluate::{Evaluate, Evaluator};
pub use optimize::{lower, optimize};
pub use options::Options;
pub use pass::{Exactness, GraphFunction, Implementation, Pass, Stage};
pub use pipeline::{Event, Limits, Log, PassError, Report};
pub use prove::{Claim, Proof, ProofReport, Prove, Prover};
pub use rule::{Rewritten, Rule, Skip};
pub use target::Target;

/// Returns every pass in the order in which they run, for a target that does not run composite operators.
pub fn passes() -> Vec<Pass> {
    order::all(&Target::ONNX, i64::MIN, order::Requested::default())
}

/// Returns the lines of two texts as a diff: `-` precedes a removed line, `+` an added one. Empty if the texts are
/// equal.
pub fn diff(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = similar::TextDiff::from_lines(before, after);
    diff.iter_all_changes().map(|change| format!("{}{change}", change.tag())).collect()
}

/// Compiles the examples in the README of the crate.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
