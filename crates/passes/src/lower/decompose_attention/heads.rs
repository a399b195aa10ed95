//! Splits, repeats and merges heads.

use crate::rewrite::{become_op, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, Op, Value};

/// Returns `x` as `[batch, heads, length, size]`, from that or from `[batch, length, heads * size]`.
pub(super) fn split(graph: &mut Graph, root: Value, x: Value, heads: Option<i64>) -> Result<Value, Skip> {
    let (Some([_, _, hidden]), Some(heads)) = (graph.shape(x), heads.filter(|heads| *heads > 0)) else { return Ok(x) };
    let size = hidden.known().map_or(-1, |hidden| hidden / heads);
    let sizes = number_list(graph, root, "sizes", &[0, 0, heads, size])?;
    let split = insert(graph, root, "split", Op::Reshape { allowzero: false }, &[x, sizes])?;
    insert(graph, root, "heads", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[split])
}

/// Replaces the root with the merged heads, `[batch, length, heads * size]`.
pub(super) fn merge(graph: &mut Graph, root: Value, attended: Value, note: &'static str) -> Rewritten {
    let hidden = match graph.shape(attended) {
        Some([_, heads, _, size]) => heads.times(size).known().unwrap_or(-1),
        _ => -1,
    };
    let turned = insert(graph, root, "merged", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[attended])?;
    let sizes = number_list(graph, root, "sizes", &[0, 0, hidden])?;
    become_op(graph, root, Op::Reshape { allowzero: false }, &[turned, sizes], note)
}

/// Repeats each head of keys and values for the query heads that share it.
pub(super) fn repeat(graph: &mut Graph, root: Value, query: Value, whole: [Value; 2]) -> Result<[Value; 2], Skip> {
    let heads = |of: Value| graph.shape(of).and_then(|shape| shape.get(1)).cloned();
    let (own, keys) = (heads(query), heads(whole[0]));
    if own.is_some() && own == keys {
        return Ok(whole);
    }
    let (Some(Dim::Known(own)), Some(Dim::Known(keys))) = (own, keys) else {
        return Err(Skip::rejected("the number of query heads or of key heads is unknown"));
    };
    if keys <= 0 || own % keys != 0 || own > 1 << 16 {
        return Err(Skip::rejected(format!(
            "the number of query heads, {own}, is not a multiple of the {keys} key heads, or more than 65,536"
        )));
    }
    let indices: Vec<i64> = (0..own).map(|head| head / (own / keys)).collect();
    let indices = number_list(graph, root, "repeated", &indices)?;
    let mut repeat = |of| insert(graph, root, "each", Op::Gather { axis: 1 }, &[of, indices]);
    Ok([repeat(whole[0])?, repeat(whole[1])?])
}
