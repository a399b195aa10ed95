//! Generates valid ONNX models and judges their optimized forms.
//!
//! [`generate()`] creates the model of a seed directly as ONNX messages of `onnx-protobuf`, so that it shares no
//! code with the reader and the writer. [`Judge`] optimizes it and compares the result with the original in ONNX
//! Runtime, on inputs that expose errors: padded and fully masked rows, sizes of 1 and 0, an empty past,
//! zeros of either sign, outliers. [`shrink()`] reduces a failing model.

mod compare;
mod draft;
mod element;
mod exact;
mod feeds;
mod generate;
mod judge;
mod noise;
mod proto;
mod random;
mod runtime;
mod shrink;
mod strict;
mod types;
mod wide;
mod words;

pub use element::Elem;
pub use feeds::{SCENARIOS, Scenario, feeds};
pub use generate::generate;
pub use judge::{Finding, Judge, Kind, Mode, Reference, Tally};
pub use proto::Dim;
pub use random::Random;
pub use shrink::shrink;
