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
    /// The number of rounds. Each model runs once in a round, or several times if a run takes less than 10 ms.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// The number of threads of the runtime; tract uses more than one only in a fused attention.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// The runtime: tract, ort (ONNX Runtime), or auto: tract, and also ONNX Runtime if its library is found.
    #[arg(long, default_value = "auto", hide_possible_values = true)]
    pub(crate) runtime: Runtime,
    /// The shared library of ONNX Runtime [default: ORT_DYLIB_PATH, or the library of an installed Python package
    /// onnxruntime].
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// An additional folder into which links to external data may lead, such as a download cache.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}
