//! Rounds every result of the original to its element type.
//!
//! ONNX Runtime has few kernels for `f16`. It computes the other operators in `f32`, and keeps that type between two of
//! them. So a sum of a score and a mask is not rounded to `f16`, and a square that `f16` cannot hold does not overflow,
//! unless a neighbor has a kernel for `f16`. The standard rounds every result.

use crate::proto::copy;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto};

/// Returns the model with every result rounded.
pub(crate) fn rounded(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = model.graph.as_mut() {
        round_graph(graph);
    }
    model.functions.iter_mut().for_each(|function| round_nodes(&mut function.node));
    model
}

fn round_graph(graph: &mut GraphProto) {
    round_nodes(&mut graph.node);
}

/// Adds two Identities after each node. They have kernels for `f16`; ONNX Runtime would run a single one in `f32`.
fn round_nodes(nodes: &mut Vec<NodeProto>) {
    for mut node in std::mem::take(nodes) {
        node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(round_graph);
        let mut after = vec![];
        for output in node.output.iter_mut().filter(|output| !output.is_empty()) {
            let [own, narrow] = ["own", "narrow"].map(|part| format!("{output}/{part}"));
            after.extend([copy(&own, &narrow), copy(&narrow, output)]);
            *output = own;
        }
        nodes.push(node);
        nodes.extend(after);
    }
}
