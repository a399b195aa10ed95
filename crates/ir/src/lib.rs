//! The graph of a Transformer: values, operators, symbolic dims, tensors, shape inference, the text form and the
//! checker. None of it needs a file format or a runtime.
//!
//! A [`Graph`] consists of nodes; a node applies an [`Op`] to [`Value`]s, and its results are values again. What is
//! known about a value at compile time is its [`Fact`]: element type, symbolic shape, and the elements of small integer
//! tensors. The [text form](text) prints a graph, and [`parse`] reads it back:
//!
//! ```
//! let graph = netwright_ir::parse("
//! attention(%q: f32[batch, 8, seq, 64], %k_t: f32[batch, 8, 64, seq]) {
//!   %scores = matmul %q, %k_t : f32[batch, 8, seq, seq]
//!   %scaled = mul %scores, 0.125 : f32[batch, 8, seq, seq]
//!   %probs = softmax %scaled {axis = -1} : f32[batch, 8, seq, seq]
//!   return %probs
//! }")?;
//! netwright_ir::check(&graph).expect("the graph is valid");
//! assert_eq!(netwright_ir::parse(&graph.to_string())?, graph);
//! # Ok::<(), netwright_ir::ParseError>(())
//! ```
//!
//! This crate knows nothing of ONNX files, protobuf or tract, and its public signatures have no petgraph type.

pub mod attribute;
pub mod check;
pub mod cost;
mod dim;
mod element;
mod fingerprint;
mod graph;
mod hash;
pub mod infer;
mod model;
pub mod nearest;
mod nonzero;
mod notes;
pub mod op;
pub mod tensor;
pub mod text;
mod types;

pub use attribute::Attribute;
pub use check::{Violation, Violations, check};
pub use dim::{Bindings, Dim, DimParts, ParseDimError, Symbol};
pub use element::{ElementType, UnknownElementType};
pub use fingerprint::fingerprint;
pub use graph::{
    Conventions, Graph, GraphOutput, MAX_BODY_DEPTH, Mark, Name, Node, NodeId, Order, Place, QuantizationAnnotation,
    Value, Window,
};
pub use hash::{HashMap, HashSet};
pub use infer::{Assumption, InferError, Inferred, NeverZero};
pub use model::{DEFAULT_OPSET, Function, Model, Training};
pub use netwright_files as files;
pub use notes::{AttributeNotes, Notes, TensorNotes};
pub use op::{Dialect, Op, OpKind, OpaqueOp};
pub use tensor::{Data, SparseTensor, Tensor, TensorError};
pub use text::{Detail, ParseError, parse, parse_with_files};
pub use types::{Fact, Shape, TensorType, ValueType};

/// The examples of the crate's page compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
