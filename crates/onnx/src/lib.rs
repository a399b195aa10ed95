//! ONNX files to and from the IR: wire types, reader, writer, external data, text syntax.

pub mod wire;
