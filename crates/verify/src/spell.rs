//! Operators that tract does not have, in the words of those that it has.

use std::collections::HashSet;
use tract_onnx::pb::{GraphProto, NodeProto};

/// Puts a Transpose and a MatMul in place of every FusedMatMul of `com.microsoft` that does no more than transpose a
/// matrix which is an initializer; others stay, for the gate to tell.
pub(crate) fn spell_out(graph: &mut GraphProto) {
    let tensors = graph.initializer.iter().filter(|tensor| tensor.dims.len() == 2);
    let matrices: HashSet<&str> = tensors.map(|tensor| tensor.name.as_str()).collect();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        if let Some(transpose) = transpose(&node, &matrices) {
            node.input[1].clone_from(&transpose.output[0]);
            "MatMul".clone_into(&mut node.op_type);
            node.domain.clear();
            node.attribute.clear();
            nodes.push(transpose);
        }
        nodes.push(node);
    }
    graph.node = nodes;
}

/// The Transpose in front of such a node.
fn transpose(node: &NodeProto, matrices: &HashSet<&str>) -> Option<NodeProto> {
    let is_fused = node.domain == "com.microsoft" && node.op_type == "FusedMatMul";
    let transposes = matches!(node.attribute.as_slice(), [only] if only.name == "transB" && only.i == 1);
    let ([_, matrix], [result]) = (node.input.as_slice(), node.output.as_slice()) else { return None };
    // Without an order, the axes are reversed.
    (is_fused && transposes && matrices.contains(matrix.as_str())).then(|| NodeProto {
        name: format!("{} (transB)", node.name),
        op_type: "Transpose".to_owned(),
        input: vec![matrix.clone()],
        output: vec![format!("{matrix}, transposed for {result}")],
        ..NodeProto::default()
    })
}
