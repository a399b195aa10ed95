//! Fuses rotary position embedding, however it is spelled.

mod caches;

use crate::pass::{Exactness, Pass};
use crate::read::sizes::position;
use crate::rewrite::{become_op, expect_alone};
use crate::rule::{Rewritten, Skip};
use caches::cache;
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `x * cos + concat(-x2, x1) * sin` -> `rotary_embedding(x, cos, sin)`
///
/// The two halves of the cosines must provably be equal, and those of the sines: the operator takes one half, for every
/// sample of the batch (ONNX Runtime 1.32 does not broadcast them). `x` is `[batch, heads, length, size]`. If only the
/// first elements of a head are rotated and the others concatenated after them, the operator does both.
///
/// The same numbers are multiplied; a runtime may round their sum differently.
pub fn fuse_rotary_embedding() -> Pass {
    let summary = "x * cos + concat(-x2, x1) * sin -> rotary_embedding(x, cos, sin), from opset 23 on";
    Pass::new("fuse-rotary-embedding", summary, Exactness::Rounding)
        .forms(OpKind::RotaryEmbedding)
        .at([OpKind::Add], whole)
        .at([OpKind::Concat], partial)
}

fn whole(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = [0, 1].map(|at| graph.operand(root.node, at));
    let (Some(a), Some(b)) = (a, b) else { return Err(Skip::NoMatch) };
    for (straight, turned) in [(a, b), (b, a)] {
        let (Some(straight_sides), Some(turned_sides)) = (sides(graph, straight), sides(graph, turned)) else {
            return Err(Skip::NoMatch);
        };
        for (x, cos) in straight_sides {
            for (half_turned, sin) in turned_sides {
                if rotates(graph, half_turned, x) {
                    for inner in [straight, turned, half_turned] {
                        expect_alone(graph, inner)?;
                    }
                    return fuse(graph, root, x, cos, sin);
                }
            }
        }
    }
    Err(Skip::NoMatch)
}

/// Returns the operands of a product in both orders.
fn sides(graph: &Graph, value: Value) -> Option<[(Value, Value); 2]> {
    let [a, b] = [0, 1].map(|at| graph.operand(value.node, at).filter(|_| graph.kind(value) == OpKind::Mul));
    Some([(a?, b?), (b?, a?)])
}

/// Whether a value is `concat(-x2, x1)` of the halves of `x` along its last axis.
fn rotates(graph: &Graph, value: Value, x: Value) -> bool {
    let Op::Concat { axis } = graph.op(value) else { return false };
    let Some(rank) = graph.fact(x).rank().filter(|rank| position(*axis, *rank) == Some(rank - 1)) else { return false };
    let [Some(negated), Some(first)] = graph.operands(value.node)[..] else { return false };
    let Some(second) = graph.operand(negated.node, 0).filter(|_| graph.kind(negated) == OpKind::Neg) else {
        return false;
    };
    let is_half = |of: Value, result: u32| {
        let Op::Split { axis } = graph.op(of) else { return false };
        let same =
            |a: Value, b: Value| graph.shape(a).and_then(<[Dim]>::last) == graph.shape(b).and_then(<[Dim]>::last);
        of.result == result
            && graph.operand(of.node, 0) == Some(x)
            && graph.node(of.node).result_count() == 2
            && position(*axis, rank) == Some(rank - 1)
            && same(first, second)
    };
    first.node == second.node && is_half(first, 0) && is_half(second, 1)
}

fn fuse(graph: &mut Graph, root: Value, x: Value, cos: Value, sin: Value) -> Rewritten {
    let shape: Vec<Dim> = match graph.shape(x) {
        Some(shape) if shape.len() == 4 => shape.to_vec(),
        _ => return Err(Skip::rejected(format!("the rank of {} is not 4", graph.operand_text(x)))),
    };
    let cos = cache(graph, root, cos, &shape)?;
    let sin = cache(graph, root, sin, &shape)?;
    let rotary = Op::RotaryEmbedding { interleaved: false, num_heads: None, rotary_embedding_dim: 0 };
    become_op(graph, root, rotary, &[x, cos, sin], "is a rotary embedding")
}

/// Fuses `concat(rotary_embedding(x1), x2)` of the parts of `x` along its last axis.
fn partial(graph: &mut Graph, root: Value) -> Rewritten {
    let Op::Concat { axis } = *graph.op(root) else { return Err(Skip::NoMatch) };
    let [Some(turned), Some(rest)] = graph.operands(root.node)[..] else { return Err(Skip::NoMatch) };
    let mut rotary = graph.op(turned).clone();
    let Op::RotaryEmbedding { num_heads: None, rotary_embedding_dim, .. } = &mut rotary else {
        return Err(Skip::NoMatch);
    };
    let operands = graph.operands(turned.node);
    let first = operands.first().copied().flatten().ok_or(Skip::NoMatch)?;
    let x = graph.operand(rest.node, 0).ok_or(Skip::NoMatch)?;
    let rank = graph.fact(x).rank().ok_or(Skip::NoMatch)?;
    let is_last = |axis: i64| position(axis, rank) == Some(rank.saturating_sub(1));
    let is_split = matches!(graph.op(rest), Op::Split { axis } if is_last(*axis))
        && (first.node, first.result, rest.result) == (rest.node, 0, 1)
        && graph.node(rest.node).result_count() == 2
        && is_last(axis);
    if !is_split || *rotary_embedding_dim != 0 {
        return Err(Skip::NoMatch);
    }
    expect_alone(graph, turned)?;
    let size = graph.shape(first).and_then(<[Dim]>::last).and_then(Dim::known).ok_or(Skip::NoMatch)?;
    *rotary_embedding_dim = size;
    let operands: Vec<Value> = [x].into_iter().chain(operands.into_iter().flatten().skip(1)).collect();
    become_op(graph, root, rotary, &operands, format!("rotates {size} elements of each head"))
}
