//! Replaces gathers of single elements with gathers of rows and columns, or with the whole tensor.

use crate::pass::{Exactness, Pass};
use crate::pattern::op;
use crate::read::sizes::{position, same_shape};
use crate::rewrite::{become_op, become_value, first_operands, insert, keeps_shape, number_list};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};

/// Replaces gathers of single elements by consecutive indices with a Gather along one axis, or with the whole tensor
///
/// Exporters write `mask[b, k]`, with `b` and `k` ranging over their axes, as a gather of every single element:
/// GatherND with pairs of indices, or Gather in the flattened mask at `b * size + k`. If symbolic inference shows that
/// `b` ranges over all rows, it is a Gather of columns; if `k` also ranges over all columns, it is the mask itself.
///
/// An index that is out of range still fails, even if there are no rows. Integers are exact, so `x + 0` is `x`.
pub fn simplify_indexing() -> Pass {
    let summary = "gather rows and columns instead of elements, and drop gathers of all elements";
    let rules = [drop_integer_zero(), drop_gather_of_all(), gather_columns_of_flat(), gather_columns_of_pairs()];
    Pass::new("simplify-indexing", summary, Exactness::Bits).rules(rules)
}

/// The maximum depth of the arithmetic of indices that is examined.
const MAX_STEPS: usize = 16;

/// An integer tensor that is a size plus multiples of vectors of consecutive numbers, each along its own axis.
#[derive(Clone, Debug)]
struct Affine {
    start: Dim,
    terms: Vec<Term>,
    rank: usize,
}

/// The term `factor * vector[i]`, where `i` is the index along the axis and `vector[i]` is `first + i`.
#[derive(Clone, Debug)]
struct Term {
    /// The axis, counted from the last.
    axis: usize,
    factor: Dim,
    vector: Value,
    first: Dim,
    size: Dim,
}

fn is_integer(graph: &Graph, value: Value) -> bool {
    matches!(graph.fact(value).element(), Some(ElementType::I64 | ElementType::I32))
}

/// Returns the only element of an integer tensor.
fn single(graph: &Graph, value: Value) -> Option<Dim> {
    let fact = graph.fact(value);
    match fact.elements.as_deref() {
        Some([only]) if is_integer(graph, value) => Some(only.clone()),
        _ => None,
    }
}

/// Reads an integer tensor as an [`Affine`]. The depth of its recursion is bounded by `steps`.
fn affine(graph: &Graph, value: Value, steps: usize) -> Option<Affine> {
    let rank = graph.fact(value).rank()?;
    if let Some(start) = single(graph, value) {
        return Some(Affine { start, terms: vec![], rank });
    }
    let steps = steps.checked_sub(1)?;
    let operand = |at| graph.operand(value.node, at);
    let of = |at| affine(graph, operand(at)?, steps);
    match graph.op(value) {
        Op::Range if single(graph, operand(2)?)? == Dim::Known(1) => {
            let first = single(graph, operand(0)?)?;
            let size = graph.shape(value)?.first()?.clone();
            let term = Term { axis: 0, factor: Dim::Known(1), vector: value, first, size };
            Some(Affine { start: Dim::Known(0), terms: vec![term], rank })
        }
        Op::Unsqueeze => {
            let mut sum = of(0)?;
            let axes = graph.fact(operand(1)?).known_elements()?;
            let inserted: Vec<usize> = axes.iter().map(|axis| position(*axis, rank)).collect::<Option<_>>()?;
            // The axis of the result for each axis of the operand.
            let places: Vec<usize> = (0..rank).filter(|axis| !inserted.contains(axis)).collect();
            for term in &mut sum.terms {
                term.axis = rank - 1 - places.get(sum.rank.checked_sub(term.axis + 1)?)?;
            }
            Some(Affine { rank, ..sum })
        }
        // Axes are aligned from the last.
        Op::Expand => Some(Affine { rank, ..of(0)? }),
        Op::Add => {
            let (mut left, right) = (of(0)?, of(1)?);
            left.start = left.start.plus(&right.start);
            left.terms.extend(right.terms);
            Some(Affine { rank, ..left })
        }
        Op::Mul => {
            let (left, right) = (of(0)?, of(1)?);
            let (mut sum, factor) = match (left.terms.is_empty(), right.terms.is_empty()) {
                (_, true) => (left, right.start),
                (true, _) => (right, left.start),
                _ => return None,
            };
            sum.start = sum.start.times(&factor);
            for term in &mut sum.terms {
                term.factor = term.factor.times(&factor);
            }
            Some(Affine { rank, ..sum })
        }
        _ => None,
    }
}

/// Whether the vector of a term is every index of an axis of that size, in order.
fn is_all(term: &Term, size: &Dim) -> bool {
    term.first == Dim::Known(0) && term.size.same(size) == Some(true)
}

fn drop_integer_zero() -> Rule {
    Rule::new("drop-integer-zero", "x + 0 -> x, for integers", op(OpKind::Add), |graph, found| {
        let root = found.root();
        let [a, b] = first_operands(graph, root)?;
        for (zero, x) in [(a, b), (b, a)] {
            if single(graph, zero) == Some(Dim::Known(0)) && keeps_shape(graph, x, zero) {
                return become_value(graph, root, x, "dropped: it adds 0");
            }
        }
        Err(Skip::NoMatch)
    })
}

fn drop_gather_of_all() -> Rule {
    Rule::new("drop-gather-of-all", "gather(x, range(0, n)) -> x, of n", op(OpKind::Gather), |graph, found| {
        let root = found.root();
        let &Op::Gather { axis } = graph.op(root) else { return Err(Skip::NoMatch) };
        let [x, indices] = first_operands(graph, root)?;
        let shape = graph.shape(x).ok_or(Skip::NoMatch)?.to_vec();
        let axis = position(axis, shape.len()).ok_or(Skip::NoMatch)?;
        let sum = affine(graph, indices, MAX_STEPS).ok_or(Skip::NoMatch)?;
        // A vector of size 1 that is broadcast repeats one index.
        let is_whole = graph.shape(indices).is_some_and(|own| same_shape(own, &shape[axis..=axis]));
        match sum.terms.as_slice() {
            [term] if is_whole && sum.start == Dim::Known(0) && is_plain(term) && is_all(term, &shape[axis]) => {
                become_value(graph, root, x, "dropped: it gathers all elements in order")
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

fn is_plain(term: &Term) -> bool {
    term.factor == Dim::Known(1)
}

/// Replaces the root with a Gather of columns, whose rows are one axis of the root and whose columns are another.
fn become_columns(graph: &mut Graph, root: Value, matrix: Value, rows: &Term, columns: &Term) -> Rewritten {
    let shape = graph.shape(root).ok_or(Skip::NoMatch)?.to_vec();
    let rank = shape.len();
    let place = |term: &Term| rank.checked_sub(term.axis + 1).ok_or(Skip::NoMatch);
    let (row, column) = (place(rows)?, place(columns)?);
    // A vector of size 1 that is broadcast repeats one index.
    if shape[row].same(&rows.size) != Some(true) || shape[column].same(&columns.size) != Some(true) {
        return Err(Skip::NoMatch);
    }
    let others = || (0..rank).filter(|axis| *axis != row && *axis != column);
    if row >= column || others().any(|axis| shape[axis] != Dim::Known(1)) {
        return Err(Skip::NoMatch);
    }
    let axes: Vec<i64> = others().filter_map(|axis| i64::try_from(axis).ok()).collect();
    let note = "gathers columns";
    if axes.is_empty() {
        return become_op(graph, root, Op::Gather { axis: 1 }, &[matrix, columns.vector], note);
    }
    let gathered = insert(graph, root, "columns", Op::Gather { axis: 1 }, &[matrix, columns.vector])?;
    let axes = number_list(graph, root, "axes", &axes)?;
    become_op(graph, root, Op::Unsqueeze, &[gathered, axes], note)
}

/// Rewrites a Gather of `rows * n + columns` in a flattened matrix of `n` columns.
///
/// In the model, a column that is out of range belongs to the next row, except in the last row, in which it fails.
fn gather_columns_of_flat() -> Rule {
    let summary = "gather(flatten(x), row * n + column) -> gather(x, column), of all rows";
    Rule::new("gather-columns-of-flat", summary, op(OpKind::Gather), |graph, found| {
        let root = found.root();
        let Op::Gather { axis: 0 } = graph.op(root) else { return Err(Skip::NoMatch) };
        let [flat, indices] = first_operands(graph, root)?;
        let matrix = graph.operand(flat.node, 0).filter(|_| graph.kind(flat).keeps_order()).ok_or(Skip::NoMatch)?;
        let (Some(shape), Some(flat)) = (graph.shape(matrix), graph.shape(flat)) else {
            return Err(Skip::NoMatch);
        };
        let [height, width] = shape else { return Err(Skip::NoMatch) };
        // The first axis has all elements; the others have size 1.
        let [all, ones @ ..] = flat else { return Err(Skip::NoMatch) };
        let trailing = ones.len();
        if all.same(&height.times(width)) != Some(true) || ones.iter().any(|dim| *dim != Dim::Known(1)) {
            return Err(Skip::NoMatch);
        }
        let mut sum = affine(graph, indices, MAX_STEPS).ok_or(Skip::NoMatch)?;
        for term in &mut sum.terms {
            term.axis += trailing;
        }
        match sum.terms.as_slice() {
            [a, b] if sum.start == Dim::Known(0) => {
                let (rows, columns) = if is_plain(a) { (b, a) } else { (a, b) };
                if !is_plain(columns) || rows.factor.same(width) != Some(true) || !is_all(rows, height) {
                    return Err(Skip::NoMatch);
                }
                become_columns(graph, root, matrix, rows, columns)
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

fn gather_columns_of_pairs() -> Rule {
    let summary = "gather_nd(x, [row, column]) -> gather(x, column), of all rows";
    Rule::new("gather-columns-of-pairs", summary, op(OpKind::GatherND), |graph, found| {
        let root = found.root();
        let Op::GatherND { batch_dims: 0 } = graph.op(root) else { return Err(Skip::NoMatch) };
        let [matrix, pairs] = first_operands(graph, root)?;
        let shape = graph.shape(matrix).ok_or(Skip::NoMatch)?.to_vec();
        let rank = graph.fact(pairs).rank().ok_or(Skip::NoMatch)?;
        let along_last = matches!(graph.op(pairs), Op::Concat { axis } if position(*axis, rank) == rank.checked_sub(1));
        let ([height, _], true) = (shape.as_slice(), along_last) else { return Err(Skip::NoMatch) };
        let parts = graph.operands(pairs.node);
        let [Some(row), Some(column)] = parts[..] else { return Err(Skip::NoMatch) };
        // Each part is one index of the pair, so its last axis has size 1.
        let counted = |part: Value| -> Option<Term> {
            let last = graph.shape(part)?.last()?;
            let sum = affine(graph, part, MAX_STEPS).filter(|_| *last == Dim::Known(1))?;
            match sum.terms.as_slice() {
                [term] if is_plain(term) && sum.start == Dim::Known(0) => {
                    Some(Term { axis: term.axis.checked_sub(1)?, ..term.clone() })
                }
                _ => None,
            }
        };
        let (Some(rows), Some(columns)) = (counted(row), counted(column)) else { return Err(Skip::NoMatch) };
        if !is_all(&rows, height) {
            return Err(Skip::NoMatch);
        }
        become_columns(graph, root, matrix, &rows, &columns)
    })
}
