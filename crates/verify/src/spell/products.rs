//! Replaces fused matrix products.

use super::{Attributes, Form, Types, ints, operand};
use tract_onnx::pb::NodeProto;

/// FusedMatMul of `com.microsoft` -> Transpose of either operand, MatMul, and Mul by `alpha`.
pub(super) fn form(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let mut attributes = Attributes::of(node);
    let transposed = ["transA", "transB"].map(|name| attributes.int(name, 0) != 0);
    let batches = ["transBatchA", "transBatchB"].map(|name| attributes.int(name, 0) != 0);
    let alpha = attributes.float("alpha").unwrap_or(1.0);
    attributes.end()?;
    if batches != [false, false] || node.input.len() != 2 {
        return None;
    }
    let mut form = Form::new(node);
    let mut operands = vec![];
    for (at, transposed) in transposed.into_iter().enumerate() {
        let matrix = operand(node, at)?;
        operands.push(if transposed {
            let rank = i64::try_from(types.rank(matrix)?).ok()?;
            // ONNX Runtime does not transpose vectors.
            let perm: Vec<i64> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            if rank < 2 { matrix.to_owned() } else { form.add_with("Transpose", &[matrix], vec![ints("perm", &perm)]) }
        } else {
            matrix.to_owned()
        });
    }
    let mut product = form.add("MatMul", &[&operands[0], &operands[1]]);
    if alpha != 1.0 {
        let alpha = form.float(alpha);
        let alpha = form.add("CastLike", &[&alpha, &product]);
        product = form.add("Mul", &[&product, &alpha]);
    }
    Some(form.finish(&[(0, &product)]))
}
