//! The arguments of verification.

use super::{VERIFICATION, binding};
use clap::{Args, ValueEnum};
use netwright::ir::{Dim, Symbol};
use netwright::verify::{MIN_COSINES, OrtLevel, TOLERANCE, TOLERANCES};
use std::path::PathBuf;

/// How models are verified: in which runtimes, with which sizes, and what counts as equal.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = VERIFICATION)]
pub(crate) struct Judging {
    /// The runtime in which models are verified [default: auto].
    #[arg(long)]
    pub(crate) runtime: Option<Runtime>,
    /// The shared library of ONNX Runtime [default: ORT_DYLIB_PATH, or the library of an installed Python package
    /// onnxruntime].
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// The graph optimization level of ONNX Runtime [default: disable].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) ort_level: Option<Level>,
    /// The size of a symbolic dim, such as batch=2 or past_plus_seq=past+seq; may be given several times. A model that
    /// the command writes has this size, and runs use it.
    #[arg(long = "dim", value_name = "SYMBOL=SIZE", value_parser = binding)]
    pub(crate) dims: Vec<(Symbol, Dim)>,
    #[arg(long, value_parser = tolerance, help = tolerance_help())]
    pub(crate) tolerance: Option<f64>,
    #[arg(long, value_parser = cosine, conflicts_with = "tolerance", help = cosine_help())]
    pub(crate) min_cosine: Option<f64>,
    /// Also try lengths of 512, and lengths of 64 if the model has more than 300 million parameters.
    #[arg(long)]
    pub(crate) long: bool,
}

impl Judging {
    /// Returns one of these flags that is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--runtime", self.runtime.is_some()),
            ("--ort-library", self.ort_library.is_some()),
            ("--ort-level", self.ort_level.is_some()),
            ("--tolerance", self.tolerance.is_some()),
            ("--min-cosine", self.min_cosine.is_some()),
            ("--long", self.long),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

fn tolerance_help() -> String {
    let by_type = TOLERANCES.map(|(element, tolerance)| format!("{tolerance:e} if a model computes in {element}"));
    format!(
        "How far elements may differ: |a - b| <= t * max(|a|, scale), where the scale is the median magnitude of the \
         output's elements [default: {TOLERANCE:e}; {}]",
        by_type.join(", ")
    )
}

fn cosine_help() -> String {
    let by_bits = MIN_COSINES.map(|(bits, cosine)| format!("{cosine} for {bits} bits"));
    format!(
        "Accept an output beyond the tolerance if its cosine is at least this [default: if the models are quantized \
         differently, {}]",
        by_bits.join(", ")
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// tract, and ONNX Runtime for models that tract cannot run, if its library is found.
    Auto,
    /// Only tract.
    Tract,
    /// Only ONNX Runtime.
    #[value(alias = "onnxruntime")]
    Ort,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// No optimizations.
    Disable,
    /// Constant folding and removal of redundant nodes.
    Basic,
    /// Also fusions.
    Extended,
    /// All optimizations.
    All,
}

impl From<Level> for OrtLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Disable => OrtLevel::Disable,
            Level::Basic => OrtLevel::Basic,
            Level::Extended => OrtLevel::Extended,
            Level::All => OrtLevel::All,
        }
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let tolerance: f64 = text.parse().map_err(|_| "expected a number, such as 1e-4")?;
    if tolerance.is_finite() && tolerance >= 0.0 { Ok(tolerance) } else { Err("expected 0 or more".to_owned()) }
}

fn cosine(text: &str) -> Result<f64, String> {
    let cosine: f64 = text.parse().map_err(|_| "expected a number, such as 0.99")?;
    if (0.0..=1.0).contains(&cosine) { Ok(cosine) } else { Err("expected a number from 0 to 1".to_owned()) }
}
