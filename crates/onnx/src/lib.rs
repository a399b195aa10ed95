//! Reads ONNX files into the IR and writes them.
//!
//! [`read`] reads a file into the IR's normal form, [`write()`] writes a model in the forms of its opset, and
//! [`to_text`] prints what a file of the model holds in ONNX's own text syntax:
//!
//! ```
//! use netwright_ir::{ElementType, Graph, Model, Op, Tensor, TensorType, shape};
//! use netwright_onnx::{ReadOptions, WriteOptions, read, to_text, write};
//!
//! let mut graph = Graph::new("half");
//! let x = graph.input("x", TensorType::new(ElementType::F32, shape!["batch", 2]));
//! let w = graph.parameter("w", Tensor::from_bytes(ElementType::F32, &[2, 1], [0, 0, 0, 63, 0, 0, 0, 63].to_vec())?);
//! let sum = graph.append("sum", Op::MatMul, &[x, w])?;
//! let y = graph.append("y", Op::Tanh, &[sum])?;
//! graph.output("y", y);
//! let model = Model::new(graph);
//!
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("half.onnx");
//! write(&model, &path, &WriteOptions::default())?;
//! assert_eq!(read(&path, &ReadOptions::default())?.graph, model.graph);
//! assert_eq!(to_text(&model)?, "\
//! <
//!    ir_version: 10,
//!    opset_import: [\"\" : 21]
//! >
//! half (float[batch, 2] x) => (float[batch, 1] y)
//!    <float[2, 1] w = {0.5, 0.5}>
//! {
//!    sum = MatMul (x, w)  # float[batch, 1]
//!    y = Tanh (sum)
//! }
//! ");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Parameters of the IR are initializers in a file, and constants that the compiler computed are `Constant` nodes, so a
//! file keeps the distinction. Weights are never loaded into memory: reading leaves them in place as file ranges, and
//! writing copies them from file to file or computes them block by block. [`wire`] holds the protobuf messages, for
//! those who want to see a file as it is.
//!
//! This crate is the only one that knows the ONNX file format. It does not run, fold, infer or optimize models, and it
//! is not a general protobuf tool.

mod consume;
mod forms;
mod opset;
mod reader;
mod standard;
mod text;
mod types;
pub mod wire;
mod writer;

pub use forms::{FormError, READ_OPSETS, WRITTEN_OPSETS};
pub use opset::set_opset;
pub use reader::{OPAQUE_OPSETS, ReadError, ReadOptions, ReadProblem, expect_model, read};
pub use text::to_text;
pub use writer::{
    ExternalData, MAX_FILE, Progress, WriteError, WriteOptions, WrittenFiles, to_bytes, write, written_size,
};

/// The examples of the crate's page compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
