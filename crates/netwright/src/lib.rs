//! Declare, optimize, emit and verify Transformer models in ONNX.
