//! Declare, optimize, emit and verify Transformer models in ONNX.

pub use netwright_files as files;
pub use netwright_ir as ir;
pub use netwright_nn as nn;
pub use netwright_onnx as onnx;
pub use netwright_passes as passes;
pub use netwright_verify as verify;
