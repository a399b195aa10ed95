//! Generates tokens with decoders in ONNX.
