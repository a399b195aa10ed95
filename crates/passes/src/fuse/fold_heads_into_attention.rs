//! Folds the splitting and merging of heads into attention.

use crate::pass::{Exactness, Pass};
use crate::read::heads::{Order, order_before_merge, split};
use crate::read::sizes::same_shape;
use crate::rewrite::{become_op, become_results, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};

/// `merge(attention(split(q), split(k), split(v)))` -> `attention(q, k, v; q_num_heads, kv_num_heads)`
///
/// Heads are split by `transpose(reshape(x))`, from `[batch, length, heads * size]` to `[batch, heads, length, size]`,
/// and merged by `reshape(transpose(y))`. If all three operands are split and the result is merged, the operator does
/// both. A Reshape that also merges batch and length, as before a Gemm, then only does that. If the length comes first,
/// `[length, batch, heads * size]`, it is transposed outside. The same numbers are multiplied.
pub fn fold_heads_into_attention() -> Pass {
    let summary = "merge(attention(split(q), split(k), split(v))) -> attention(q, k, v; q_num_heads, kv_num_heads)";
    Pass::new("fold-heads-into-attention", summary, Exactness::Rounding)
        .at([OpKind::Reshape], fold)
        .forms(OpKind::Attention)
        // Attention that the target does not run is decomposed before more is folded into it.
        .after(&["decompose-attention"])
}

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let transposed = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let order = order_before_merge(graph, transposed).ok_or(Skip::NoMatch)?;
    let attended = graph.operand(transposed.node, 0).ok_or(Skip::NoMatch)?;
    let (Op::Attention { .. }, 0) = (graph.op(attended), attended.result) else { return Err(Skip::NoMatch) };
    for value in [transposed, attended] {
        if graph.use_count(value) != 1 {
            return Err(Skip::rejected(format!("{} has another use", graph.operand_text(value))));
        }
    }
    let mut attention = graph.op(attended).clone();
    let mut operands = graph.operands(attended.node);
    let mut parts = vec![];
    for operand in operands.iter().take(3).flatten() {
        let no_split = || {
            let name = graph.operand_text(*operand);
            Skip::rejected(format!("{name} is not split from [batch, length, heads * size]"))
        };
        parts.push(split(graph, *operand).ok_or_else(no_split)?);
    }
    let counts: Vec<i64> = parts.iter().map(|part| part.count).collect();
    let [query_heads, key_heads, value_heads] = counts[..] else { return Err(Skip::NoMatch) };
    let merged = match (graph.shape(attended), order) {
        (Some([batch, heads, length, size]), Order::BatchFirst) => [batch.clone(), length.clone(), heads.times(size)],
        (Some([batch, heads, length, size]), Order::LengthFirst) => [length.clone(), batch.clone(), heads.times(size)],
        _ => return Err(Skip::NoMatch),
    };
    let rows = [merged[0].times(&merged[1]), merged[2].clone()];
    let is = |expected: &[Dim]| graph.shape(root).is_some_and(|shape| same_shape(shape, expected));
    let merges_rows = is(&rows);
    if key_heads != value_heads || !merges_rows && !is(&merged) {
        return Err(Skip::rejected(format!("{} does not merge the heads", graph.operand_text(root))));
    }
    let is_other = merges_rows || order == Order::LengthFirst;
    let width = merged[2].known().filter(|_| is_other);
    if is_other && width.is_none() {
        return Err(Skip::rejected("the size of the merged heads is unknown"));
    }
    let element = |of: Option<&Option<Value>>| graph.fact((*of?)?).element();
    let is_wide = element(operands.first()) == Some(ElementType::F64);
    if is_wide || element(operands.get(3)).is_some_and(ElementType::is_integer) {
        return Err(Skip::rejected("runtimes decompose it for these types, and then do not split an empty batch"));
    }
    let Op::Attention { q_num_heads, kv_num_heads, .. } = &mut attention else { return Err(Skip::NoMatch) };
    (*q_num_heads, *kv_num_heads) = (Some(query_heads), Some(key_heads));
    let swap = || Op::Transpose { perm: vec![1, 0, 2] };
    for (operand, part) in operands.iter_mut().flatten().zip(parts) {
        *operand = part.merged(graph, root)?;
        if part.order == Order::LengthFirst {
            *operand = insert(graph, root, "by_batch", swap(), &[*operand])?;
        }
    }
    // If the operator is refused, nothing is replaced.
    graph.insert(graph.beside(attended.node, "flat"), attention.clone(), &operands)?;
    // The result with the batch first, from which the root is computed.
    let mut whole = root;
    if let Some(width) = width {
        let reshape = || Op::Reshape { allowzero: false };
        let by_batch = insert(graph, root, "heads", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[attended])?;
        let sizes = number_list(graph, root, "split", &[0, 0, width])?;
        whole = insert(graph, root, "whole", reshape(), &[by_batch, sizes])?;
        let mut merged = whole;
        if merges_rows {
            if order == Order::LengthFirst {
                merged = insert(graph, root, "by_length", swap(), &[whole])?;
            }
            let sizes = number_list(graph, root, "merged", &[-1, width])?;
            become_op(graph, root, reshape(), &[merged, sizes], "")?;
        } else {
            become_op(graph, root, swap(), &[whole], "")?;
        }
    }
    let presents = graph.results(attended.node).skip(1);
    let results: Vec<Value> = [whole].into_iter().chain(presents).collect();
    become_results(graph, &results, attention, &operands, format!("splits {query_heads} heads in the attention"))
}
