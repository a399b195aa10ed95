//! Replaces rotary embeddings of `com.microsoft`.

use super::{Attributes, Form, Types, int, operand};
use tract_onnx::pb::NodeProto;

/// RotaryEmbedding of `com.microsoft` (x, positions, cos, sin) -> ONNX's (x, cos, sin, positions).
///
/// Positions are given for each token, or only for the first one; then the rows of the tables are sliced.
pub(super) fn form(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let mut attributes = Attributes::of(node);
    let kept = ["interleaved", "num_heads", "rotary_embedding_dim"].map(|name| (name, attributes.int(name, 0)));
    let plain = attributes.int("is_packed_batching", 0) == 0 && attributes.float("scale").is_none_or(|by| by == 1.0);
    attributes.end()?;
    let (x, positions) = (operand(node, 0)?, operand(node, 1)?);
    let (cos, sin) = (operand(node, 2)?, operand(node, 3)?);
    if !plain || node.input.len() > 4 {
        return None;
    }
    let attributes = kept.into_iter().filter(|(_, value)| *value != 0).map(|(name, value)| int(name, value)).collect();
    let mut form = Form::new(node);
    let y = match types.rank(positions)? {
        1 => {
            // The length is the second to last axis of both forms: [batch, length, heads * size] and
            // [batch, heads, length, size].
            let length = form.size(x, -2);
            let end = form.add("Add", &[positions, &length]);
            let axis = form.ints(&[0]);
            let [cos, sin] = [cos, sin].map(|table| {
                let rows = form.slice(table, positions, &end, 0);
                // tract broadcasts the batch axis.
                form.add("Unsqueeze", &[&rows, &axis])
            });
            form.add_with("RotaryEmbedding", &[x, &cos, &sin], attributes)
        }
        2 => form.add_with("RotaryEmbedding", &[x, cos, sin, positions], attributes),
        _ => return None,
    };
    Some(form.finish(&[(0, &y)]))
}
