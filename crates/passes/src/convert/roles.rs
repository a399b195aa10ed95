//! The roles of weights, which follow from the nodes that read them.

use crate::convert::quantization::WeightRole;
use crate::convert::readers::Reader;
use netwright_ir::{Graph, Op, OpKind, Value};

/// The maximum number of values that are followed from a weight.
const MAX_VALUES: usize = 64;

/// Returns the role of a weight with these readers.
pub(crate) fn role(graph: &Graph, readers: &[Reader]) -> WeightRole {
    let lookup = readers.iter().find_map(|reader| match reader {
        Reader::Lookup { indices, .. } => Some(*indices),
        Reader::Product(_) => None,
    });
    if let Some(indices) = lookup {
        return if are_positions(graph, indices) { WeightRole::Positions } else { WeightRole::Embedding };
    }
    let products =
        || readers.iter().filter_map(|reader| if let Reader::Product(product) = reader { Some(product) } else { None });
    let reaches = |kind: fn(&Graph, Value) -> bool| products().any(|product| follows(graph, product.root, kind));
    if reaches(|graph, value| graph.kind(value) == OpKind::TopK) {
        WeightRole::Router
    } else if reaches(is_attention) || products().any(|product| is_attention(graph, before_moves(graph, product.x))) {
        WeightRole::Attention
    } else if products().any(|product| follows_until(graph, product.root, Graph::is_output, is_sum)) {
        WeightRole::Head
    } else {
        WeightRole::FeedForward
    }
}

/// Whether indices are counted, or an input whose name says that they are positions.
fn are_positions(graph: &Graph, indices: Value) -> bool {
    let (mut open, mut seen) = (vec![indices], vec![]);
    while let Some(value) = open.pop().filter(|_| seen.len() < MAX_VALUES) {
        if seen.contains(&value) {
            continue;
        }
        seen.push(value);
        match graph.op(value) {
            Op::Range | Op::CumSum { .. } | Op::Shape { .. } => return true,
            Op::Input if graph.value_name(value).contains("position") => return true,
            _ => open.extend(graph.operands(value.node).into_iter().flatten()),
        }
    }
    // A table of which the same rows are read each time.
    seen.iter().all(|value| graph.kind(*value) != OpKind::Input && graph.kind(*value) != OpKind::Captured)
}

/// Whether a value is the result of an attention, or of a product of two computed values, as attention has them.
fn is_attention(graph: &Graph, value: Value) -> bool {
    match graph.op(value) {
        Op::Attention { .. } => true,
        Op::Opaque(opaque) => opaque.op_type.ends_with("Attention"),
        Op::MatMul => (0..2).all(|at| graph.operand(value.node, at).is_some_and(|of| is_computed(graph, of))),
        _ => false,
    }
}

fn is_computed(graph: &Graph, value: Value) -> bool {
    let is_turned = graph.kind(value) == OpKind::Transpose;
    let source = if is_turned { graph.operand(value.node, 0).unwrap_or(value) } else { value };
    graph.tensor(source).is_none() && graph.kind(source) != OpKind::DequantizeLinear
}

/// Returns the value before operators that only move or cast elements.
fn before_moves(graph: &Graph, value: Value) -> Value {
    let moved = |value: &Value| {
        let moves = graph.kind(*value).moves_elements() || graph.kind(*value) == OpKind::Cast;
        graph.operand(value.node, 0).filter(|_| moves)
    };
    std::iter::successors(Some(value), moved).take(MAX_VALUES).last().unwrap_or(value)
}

/// Whether a value is the sum of two computed values, as a residual connection has them.
fn is_sum(graph: &Graph, value: Value) -> bool {
    graph.kind(value) == OpKind::Add
        && (0..2).all(|at| graph.operand(value.node, at).is_some_and(|of| is_computed(graph, of)))
}

/// Whether a value that is wanted follows from another without a product or a normalization in between.
fn follows(graph: &Graph, from: Value, is_wanted: fn(&Graph, Value) -> bool) -> bool {
    follows_until(graph, from, is_wanted, |_, _| false)
}

/// Whether a value that is wanted follows from another without a product, a normalization or a further end in between.
fn follows_until(
    graph: &Graph,
    from: Value,
    is_wanted: fn(&Graph, Value) -> bool,
    is_further_end: fn(&Graph, Value) -> bool,
) -> bool {
    let (mut open, mut seen) = (vec![from], vec![]);
    while let Some(value) = open.pop().filter(|_| seen.len() < MAX_VALUES) {
        if value != from && is_wanted(graph, value)
            || value == from && graph.is_output(value) && is_wanted(graph, value)
        {
            return true;
        }
        if seen.contains(&value) {
            continue;
        }
        seen.push(value);
        let is_end = |kind: OpKind| {
            matches!(kind, OpKind::MatMul | OpKind::Gemm | OpKind::LayerNormalization | OpKind::RMSNormalization)
        };
        let next = graph.users(value).into_iter().flat_map(|(user, _)| graph.results(user).collect::<Vec<_>>());
        let next = next.filter(|next| !is_further_end(graph, *next));
        open.extend(next.filter(|next| is_wanted(graph, *next) || !is_end(graph.kind(*next))));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::readers::readers;

    /// A feed-forward that is added to the residual stream is not a head, although only sums are between it and the output.
    #[test]
    fn a_residual_connection_ends_what_a_head_computes() {
        let text = "g(%x: f32[n, 4]) {
            %up = parameter fill(0.5) : f32[4, 8]
            %down = parameter fill(0.5) : f32[8, 4]
            %bias = parameter fill(0.5) : f32[4]
            %out = parameter fill(0.5) : f32[4, 9]
            %hidden = matmul %x, %up : f32[n, 8]
            %active = relu %hidden : f32[n, 8]
            %back = matmul %active, %down : f32[n, 4]
            %sum = add %back, %bias : f32[n, 4]
            %state = add %x, %sum : f32[n, 4]
            %logits = matmul %state, %out : f32[n, 9]
            %capped = tanh %logits : f32[n, 9]
            return %state, %capped
        }";
        let graph = netwright_ir::parse(text).expect("it is well-formed");
        let role = |name: &str| {
            let mut values = graph.schedule().into_iter().flat_map(|id| graph.results(id));
            let weight = values.find(|value| **graph.value_name(*value) == *name).expect("a weight");
            role(&graph, &readers(&graph, weight).expect("it is read"))
        };
        assert_eq!(
            ["up", "down", "out"].map(role),
            [WeightRole::FeedForward, WeightRole::FeedForward, WeightRole::Head]
        );
    }
}
