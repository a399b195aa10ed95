//! Fuses rotary position embedding, however it is spelled.

mod caches;
mod pairs;

use crate::pass::{Exactness, Pass};
use crate::read::products::number;
use crate::read::sizes::{position, same_shape};
use crate::rewrite::{become_op, expect_alone, first_operands, insert, number_list};
use crate::rule::{Rewritten, Skip};
use caches::{Columns, Heads};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};
use pairs::{Pairing, Side, elements, joined, last, side};

/// `x * cos + concat(-x2, x1) * sin` -> `rotary_embedding(x, cos, sin)`
///
/// The elements of a pair are half a head apart, or neighbors: then the operator is `interleaved`. A pair must provably
/// have one cosine and one sine: the operator takes them once, for every sample of the batch (ONNX Runtime 1.32 does not
/// broadcast them). `x` is `[batch, heads, length, size]` or `[batch, length, heads, size]`. If only the first elements
/// of a head are rotated and the others concatenated after them, the operator does both.
///
/// `concat(x1 * cos - x2 * sin, x1 * sin + x2 * cos)` is the same. The same numbers are multiplied; a runtime may round
/// their sum differently.
pub fn fuse_rotary_embedding() -> Pass {
    let summary = "x * cos + concat(-x2, x1) * sin -> rotary_embedding(x, cos, sin), from opset 23 on";
    Pass::new("fuse-rotary-embedding", summary, Exactness::Rounding)
        .forms(OpKind::RotaryEmbedding)
        .at([OpKind::Add], whole)
        .at([OpKind::Concat, OpKind::Reshape], by_sides)
        .at([OpKind::Concat], partial)
}

/// Fuses `x * cos + concat(-x2, x1) * sin`.
fn whole(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = first_operands(graph, root)?;
    for (straight, turned) in [(a, b), (b, a)] {
        let (Some(straight_sides), Some(turned_sides)) = (factors(graph, straight), factors(graph, turned)) else {
            return Err(Skip::NoMatch);
        };
        for (x, cos) in straight_sides {
            for (pairs_turned, sin) in turned_sides {
                if let Some(pairing) = rotates(graph, pairs_turned, x) {
                    for inner in [straight, turned, pairs_turned] {
                        expect_alone(graph, inner)?;
                    }
                    return fuse(graph, root, x, [cos, sin], (pairing, Columns::Elements));
                }
            }
        }
    }
    Err(Skip::NoMatch)
}

/// Returns the operands of a product in both orders.
fn factors(graph: &Graph, value: Value) -> Option<[(Value, Value); 2]> {
    let [a, b] = [0, 1].map(|at| graph.operand(value.node, at).filter(|_| graph.kind(value) == OpKind::Mul));
    Some([(a?, b?), (b?, a?)])
}

/// Returns how the elements of `x` are paired if a value joins the negated second elements and the first ones.
fn rotates(graph: &Graph, value: Value, x: Value) -> Option<Pairing> {
    let ([negated, first], pairing) = joined(graph, value)?;
    let negated = elements(graph, negated);
    let second = match graph.kind(negated) {
        OpKind::Neg => graph.operand(negated.node, 0)?,
        _ => factors(graph, negated)?.into_iter().find(|(_, by)| number(graph, *by) == Some(-1.0))?.0,
    };
    let is = |value: Value, is_second| side(graph, value) == Some(Side { of: x, pairing, is_second });
    (is(first, false) && is(second, true)).then_some(pairing)
}

/// Fuses `concat(x1 * cos - x2 * sin, x1 * sin + x2 * cos)`, or the same joined as pairs of neighbors.
fn by_sides(graph: &mut Graph, root: Value) -> Rewritten {
    let (parts, pairing) = joined(graph, root).ok_or(Skip::NoMatch)?;
    let [real, imaginary] = parts.map(|part| elements(graph, part));
    let terms = |of: Value, kind: OpKind| {
        let [a, b] = [0, 1].map(|at| graph.operand(of.node, at).filter(|_| graph.kind(of) == kind));
        Some([term(graph, a?)?, term(graph, b?)?])
    };
    let [a, b] = terms(real, OpKind::Sub).ok_or(Skip::NoMatch)?;
    let [c, d] = terms(imaginary, OpKind::Add).ok_or(Skip::NoMatch)?;
    // Each side is also multiplied by the table of the other one.
    let crossed = [Term { table: b.table, ..a }, Term { table: a.table, ..b }];
    let is_crossed = [c, d] == crossed || [d, c] == crossed;
    let of = a.side.of;
    let has_sides = [a.side, b.side] == [false, true].map(|is_second| Side { of, pairing, is_second });
    if !is_crossed || !has_sides || a.is_column != b.is_column {
        return Err(Skip::NoMatch);
    }
    for inner in [real, imaginary].into_iter().chain(parts) {
        expect_alone(graph, inner)?;
    }
    fuse(graph, root, of, [a.table, b.table], (pairing, Columns::Pairs { is_column: a.is_column }))
}

/// One side of the pairs of a value, times cosines or sines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    side: Side,
    table: Value,
    /// Whether the elements have an additional last axis of size 1.
    is_column: bool,
}

fn term(graph: &Graph, product: Value) -> Option<Term> {
    let rank = |of: Value| graph.fact(of).rank();
    factors(graph, product)?.into_iter().find_map(|(elements, table)| {
        let side = side(graph, elements)?;
        Some(Term { side, table, is_column: rank(elements)? == rank(side.of)? + 1 })
    })
}

fn fuse(graph: &mut Graph, root: Value, x: Value, tables: [Value; 2], form: (Pairing, Columns)) -> Rewritten {
    let shape: Vec<Dim> = match graph.shape(x) {
        Some(shape) if shape.len() == 4 => shape.to_vec(),
        _ => return Err(Skip::rejected(format!("the rank of {} is not 4", graph.operand_text(x)))),
    };
    let (heads, [cos, sin]) = caches::tables(graph, root, tables, &shape, form)?;
    if !graph.shape(root).is_some_and(|own| same_shape(own, &shape)) {
        return Err(Skip::NoMatch);
    }
    let interleaved = form.0 == Pairing::Neighbors;
    let rotary = Op::RotaryEmbedding { interleaved, num_heads: None, rotary_embedding_dim: 0 };
    let note = "is a rotary embedding";
    match heads {
        Heads::BeforeLength => become_op(graph, root, rotary, &[x, cos, sin], note),
        Heads::AfterLength => become_merged(graph, root, rotary, [x, cos, sin], note.to_owned()),
    }
}

/// Replaces the root with a rotary embedding of `x`, `[batch, length, heads, size]`, whose heads the operator takes
/// merged.
fn become_merged(graph: &mut Graph, root: Value, mut rotary: Op, [x, cos, sin]: [Value; 3], note: String) -> Rewritten {
    let Some(&[_, _, Dim::Known(heads), Dim::Known(size)]) = graph.shape(x) else {
        let name = graph.operand_text(x);
        return Err(Skip::rejected(format!("the number or size of the heads of {name} is unknown")));
    };
    if let Op::RotaryEmbedding { num_heads, .. } = &mut rotary {
        *num_heads = Some(heads);
    }
    let reshape = || Op::Reshape { allowzero: false };
    let width = heads.checked_mul(size).ok_or(Skip::NoMatch)?;
    let sizes = number_list(graph, root, "sizes", &[0, 0, width])?;
    let merged = insert(graph, root, "merged", reshape(), &[x, sizes])?;
    let turned = insert(graph, root, "turned", rotary, &[merged, cos, sin])?;
    let sizes = number_list(graph, root, "sizes", &[0, 0, heads, size])?;
    become_op(graph, root, reshape(), &[turned, sizes], note)
}

/// Fuses `concat(rotary_embedding(x1), x2)` of the parts of `x` along its last axis. The heads of `x1` may be merged for
/// the operator.
fn partial(graph: &mut Graph, root: Value) -> Rewritten {
    let Op::Concat { axis } = *graph.op(root) else { return Err(Skip::NoMatch) };
    let [Some(turned), Some(rest)] = graph.operands(root.node)[..] else { return Err(Skip::NoMatch) };
    let inner = graph.operand(turned.node, 0).filter(|_| graph.kind(turned) == OpKind::Reshape);
    let rotated = inner.unwrap_or(turned);
    let mut rotary = graph.op(rotated).clone();
    let Op::RotaryEmbedding { num_heads, rotary_embedding_dim, .. } = &mut rotary else {
        return Err(Skip::NoMatch);
    };
    let [Some(operand), Some(cos), Some(sin)] = graph.operands(rotated.node)[..] else { return Err(Skip::NoMatch) };
    let first = match (inner, *num_heads) {
        (None, None) => operand,
        (Some(_), Some(heads)) => {
            let first = graph.operand(operand.node, 0).filter(|_| graph.kind(operand) == OpKind::Reshape);
            let is_apart = |of: Value| match (graph.shape(of), graph.shape(turned)) {
                (Some(of), Some(turned)) => {
                    same_shape(of, turned) && matches!(of, [_, _, count, _] if *count == Dim::Known(heads))
                }
                _ => false,
            };
            first.filter(|first| is_apart(*first)).ok_or(Skip::NoMatch)?
        }
        _ => return Err(Skip::NoMatch),
    };
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
    expect_alone(graph, rotated)?;
    let size = last(graph, first).and_then(Dim::known).ok_or(Skip::NoMatch)?;
    *rotary_embedding_dim = size;
    let note = format!("rotates {size} elements of each head");
    match inner {
        Some(_) => become_merged(graph, root, rotary, [x, cos, sin], note),
        None => become_op(graph, root, rotary, &[x, cos, sin], note),
    }
}
