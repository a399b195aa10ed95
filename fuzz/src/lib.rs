//! Generates valid ONNX models and judges what becomes of them.
//!
//! [`generate()`] makes a model of a seed, straight as ONNX's messages through `onnx-protobuf`, so that it shares no
//! code with the reader and the writer. [`Judge`] optimizes it and holds the result against the original in ONNX
//! Runtime, under inputs that are made to find faults: padded and fully masked rows, sizes of 1 and 0, an empty past,
//! zeros of either sign, outliers. [`shrink()`] makes a model that fails small.

mod compare;
mod draft;
mod element;
mod feeds;
mod generate;
mod judge;
mod noise;
mod proto;
mod random;
mod runtime;
mod shrink;
mod words;

pub use element::Elem;
pub use feeds::{SCENARIOS, Scenario, feeds};
pub use generate::generate;
pub use judge::{Finding, Judge, Kind, Mode, Reference, Tally};
pub use proto::Dim;
pub use random::Random;
pub use shrink::shrink;
