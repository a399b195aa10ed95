//! Writes rotary embeddings whose tables are repeated for the batch as ONNX Runtime's own operator.

use crate::pass::{Exactness, Pass, Stage};
use crate::read::sizes::same_shape;
use crate::rewrite::{become_op, insert};
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib::operator;
use netwright_ir::{Attribute, ElementType, Graph, Op, OpKind, Tensor, Value};

/// `rotary_embedding(x, expand(cos), expand(sin))` -> `com.microsoft.RotaryEmbedding(x, [0], cos, sin)`
///
/// ONNX's operator requires cosines and sines for every sample of the batch. This one gathers them from a table,
/// starting at a position, so it does not need Expand. The same numbers are multiplied.
pub fn use_contrib_rotary() -> Pass {
    let summary = "rotary_embedding(x, expand(cos), expand(sin)) -> com.microsoft.RotaryEmbedding(x, [0], cos, sin)";
    Pass::new("use-contrib-rotary", summary, Exactness::Rounding)
        .at([OpKind::RotaryEmbedding], replace)
        .in_stages(&[Stage::Lower])
        .only_for(|target, _| target.contrib)
}

fn replace(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::RotaryEmbedding { interleaved, num_heads, rotary_embedding_dim } = graph.op(root) else {
        return Err(Skip::NoMatch);
    };
    let [Some(x), Some(cos), Some(sin)] = graph.operands(root.node)[..] else { return Err(Skip::NoMatch) };
    let table = |wide: Value| {
        let table = graph.operand(wide.node, 0).filter(|_| graph.kind(wide) == OpKind::Expand)?;
        // A table `[length, size / 2]`, to which Expand only adds the axis of the batch.
        let [_, own @ ..] = graph.shape(wide)? else { return None };
        (own.len() == 2 && same_shape(graph.shape(table)?, own)).then_some(table)
    };
    let (Some(cos), Some(sin)) = (table(cos), table(sin)) else { return Err(Skip::NoMatch) };
    let heads_of_x = graph.shape(x).filter(|shape| shape.len() == 4).and_then(|shape| shape[1].known());
    // The kernel requires the number of heads if it does not rotate all of their elements.
    let num_heads = if rotary_embedding_dim == 0 { num_heads } else { num_heads.or(heads_of_x) };
    if rotary_embedding_dim != 0 && num_heads.is_none() {
        return Err(Skip::NoMatch);
    }
    if !matches!(graph.fact(x).element(), Some(ElementType::F32 | ElementType::F16)) {
        return Err(Skip::NoMatch);
    }
    let start = insert(graph, root, "start", Op::Constant(Tensor::indices(&[0])), &[])?;
    let mut attributes = vec![("interleaved", Attribute::Int(interleaved.into()))];
    attributes.extend(num_heads.map(|heads| ("num_heads", Attribute::Int(heads))));
    if rotary_embedding_dim != 0 {
        attributes.push(("rotary_embedding_dim", Attribute::Int(rotary_embedding_dim)));
    }
    become_op(
        graph,
        root,
        operator("RotaryEmbedding", &attributes),
        &[x, start, cos, sin],
        "gathers its cosines and sines from tables",
    )
}
