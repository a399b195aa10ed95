//! The arguments of `bench`.

use super::{Runtime, binding};
use clap::{Args, value_parser};
use netwright::ir::{Dim, Symbol};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// A model.
    pub(crate) a: PathBuf,
    /// A second model, whose runs take turns with those of the first.
    pub(crate) b: Option<PathBuf>,
    /// The size of a symbolic dim, such as batch=1 or past_plus_seq=past+seq; may be given several times.
    #[arg(long = "dim", value_name = "SYMBOL=SIZE", value_parser = binding)]
    pub(crate) dims: Vec<(Symbol, Dim)>,
    /// How often each model runs.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// The number of threads of the runtime; tract uses more than one only in a fused attention.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// The runtime; auto is tract, and ONNX Runtime if its library is found.
    #[arg(long, default_value = "auto")]
    pub(crate) runtime: Runtime,
    /// The shared library of ONNX Runtime [default: ORT_DYLIB_PATH, or the library of an installed Python package
    /// onnxruntime].
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// A folder that holds external data of the models, which may be links into it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}
