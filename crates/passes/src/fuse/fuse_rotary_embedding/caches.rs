//! Brings cosines and sines into the form that the operator takes.

use super::pairs::{Pairing, elements, joined, last, whole_pairs};
use crate::read::sizes::{Sizes, position, same_shape};
use crate::rewrite::{insert, number_list};
use crate::rule::Skip;
use netwright_ir::op::Class;
use netwright_ir::{Dim, Graph, Op, OpKind, Tensor, Value};

/// The maximum number of operators between the pairs of columns and the product.
const MAX_STEPS: usize = 8;

/// What a column of a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// An element of a head.
    Elements,
    /// A pair of elements. An additional last axis of size 1 may follow.
    Pairs { is_column: bool },
}

/// Where a value has its heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    /// `[batch, heads, length, size]`.
    BeforeLength,
    /// `[batch, length, heads, size]`.
    AfterLength,
}

impl Heads {
    /// Returns the axis of the heads and that of the length.
    fn axes(self) -> (usize, usize) {
        match self {
            Heads::BeforeLength => (1, 2),
            Heads::AfterLength => (2, 1),
        }
    }
}

/// Returns where the heads of `x` are, and the cosines and sines that rotate it as `[batch, length, size / 2]`.
pub(super) fn tables(
    graph: &mut Graph,
    root: Value,
    tables: [Value; 2],
    x: &[Dim],
    (pairing, columns): (Pairing, Columns),
) -> Result<(Heads, [Value; 2]), Skip> {
    let mut by_pair = |table: Value| match columns {
        Columns::Elements => halved(graph, root, table, pairing, 0),
        Columns::Pairs { is_column: false } => Ok(table),
        Columns::Pairs { is_column: true } => without_last(graph, root, table),
    };
    let halves = [by_pair(tables[0])?, by_pair(tables[1])?];
    let fits = |heads: Heads| {
        let (heads, length) = heads.axes();
        wide(graph, halves[0])
            .is_some_and(|own| own[heads] == Dim::Known(1) && own[length].same(&x[length]) == Some(true))
    };
    let heads =
        if !fits(Heads::BeforeLength) && fits(Heads::AfterLength) { Heads::AfterLength } else { Heads::BeforeLength };
    let [cos, sin] = [(halves[0], tables[0]), (halves[1], tables[1])];
    Ok((heads, [cache(graph, root, cos, x, heads)?, cache(graph, root, sin, x, heads)?]))
}

/// Returns the shape of a value with axes of size 1 before it, up to rank 4. `None` if its rank is unknown or higher.
fn wide(graph: &Graph, value: Value) -> Option<[Dim; 4]> {
    let shape = graph.shape(value)?;
    let ones = 4_usize.checked_sub(shape.len())?;
    let dims: Vec<Dim> = (0..ones).map(|_| Dim::Known(1)).chain(shape.iter().cloned()).collect();
    dims.try_into().ok()
}

/// Returns the cosines or sines of pairs, which were made from `table`, as `[batch, length, size / 2]`.
fn cache(
    graph: &mut Graph,
    root: Value,
    (mut half, table): (Value, Value),
    x: &[Dim],
    heads: Heads,
) -> Result<Value, Skip> {
    let name = graph.operand_text(table);
    let not_equal =
        |size: &str| Skip::rejected(format!("the {size} of {name} does not provably equal that of the heads"));
    let [batch, _, _, size] = x else { return Err(Skip::NoMatch) };
    let own =
        wide(graph, half).ok_or_else(|| Skip::rejected(format!("the rank of {name} is not known to be at most 4")))?;
    let (heads_axis, length_axis) = heads.axes();
    if own[heads_axis] != Dim::Known(1) {
        return Err(Skip::rejected(format!("{name} may differ between heads")));
    }
    if own[length_axis].same(&x[length_axis]) != Some(true) {
        return Err(not_equal("length"));
    }
    if own[3].known().and_then(|pairs| pairs.checked_mul(2)).is_none_or(|twice| size.known() != Some(twice)) {
        return Err(Skip::rejected(format!("{name} is not known to have a number for each pair")));
    }
    let has_batch = own[0].same(batch) == Some(true);
    if !has_batch && own[0] != Dim::Known(1) {
        return Err(not_equal("batch"));
    }
    let rank = graph.fact(half).rank().unwrap_or_default();
    let is_batched = has_batch && rank == 4;
    let gone = if is_batched { vec![heads_axis] } else { vec![0, heads_axis] };
    let gone = gone.into_iter().filter_map(|axis| i64::try_from((axis + rank).checked_sub(4)?).ok());
    let gone: Vec<i64> = gone.collect();
    if !gone.is_empty() {
        let axes = number_list(graph, root, "axes", &gone)?;
        half = insert(graph, root, "half", Op::Squeeze, &[half, axes])?;
    }
    if is_batched {
        return Ok(half);
    }
    let sizes = Sizes::of(graph).expression(&[batch.clone(), Dim::Known(1), Dim::Known(1)], true);
    let sizes = sizes.ok_or_else(|| Skip::rejected(format!("the size {batch} is not an input's")))?;
    let sizes = sizes.insert(graph, root)?;
    insert(graph, root, "batch", Op::Expand, &[half, sizes])
}

/// Returns one column of each pair along the last axis of a value, if both columns are provably equal.
fn halved(graph: &mut Graph, root: Value, value: Value, pairing: Pairing, depth: usize) -> Result<Value, Skip> {
    let unknown = || {
        let which = if pairing == Pairing::Halves { "halves of" } else { "neighbors in" };
        Skip::rejected(format!("the {which} {} are not provably equal", graph.operand_text(value)))
    };
    let rank = graph.fact(value).rank().filter(|_| depth < MAX_STEPS).ok_or_else(unknown)?;
    match (pairing, joined(graph, value).filter(|([a, b], own)| *own == pairing && a == b)) {
        (Pairing::Halves, Some(([half, _], _))) => return Ok(half),
        (Pairing::Neighbors, Some(([half, _], _))) => return without_last(graph, root, half),
        _ => {}
    }
    if let Some(single) = repeated(graph, value).filter(|_| pairing == Pairing::Neighbors) {
        return without_last(graph, root, single);
    }
    let operands: Vec<Value> = graph.operands(value.node).into_iter().flatten().collect();
    let op = graph.op(value).clone();
    let is_last = |axis: i64| position(axis, rank) == Some(rank - 1);
    let (x, op, second) = match (&op, operands.as_slice()) {
        (op, [x]) if op.kind().class() == Class::ElementwiseUnary => (*x, op.clone(), None),
        (Op::Mul, [x, y]) => {
            let is_number = |of: Value| graph.tensor(of).and_then(Tensor::float).is_some();
            match (is_number(*x), is_number(*y)) {
                (false, true) => (*x, op, Some(*y)),
                (true, false) => (*y, op, Some(*x)),
                _ => return Err(unknown()),
            }
        }
        (Op::Unsqueeze, [x, axes]) => {
            let known = graph.fact(*axes).known_elements().ok_or_else(unknown)?;
            if known.into_iter().any(is_last) {
                return Err(unknown());
            }
            (*x, op, Some(*axes))
        }
        (Op::Gather { axis }, [x, indices]) if is_last(*axis) && graph.fact(*x).rank() == Some(rank) => {
            let half = graph.fact(*indices).known_elements().and_then(|own| one_of_each(&own, pairing));
            let half = half.ok_or_else(unknown)?;
            let count = last(graph, *x).and_then(Dim::known);
            if count.is_some_and(|count| half.iter().copied().eq(0..count)) {
                return Ok(*x);
            }
            let half = number_list(graph, root, "columns", &half)?;
            return insert(graph, root, "half", op, &[*x, half]);
        }
        _ => return Err(unknown()),
    };
    let half = halved(graph, root, x, pairing, depth + 1)?;
    let operands: Vec<Value> = [Some(half), second].into_iter().flatten().collect();
    insert(graph, root, "half", op, &operands)
}

/// Returns a value without its last axis, which must be of size 1.
fn without_last(graph: &mut Graph, root: Value, value: Value) -> Result<Value, Skip> {
    if last(graph, value) != Some(&Dim::Known(1)) {
        return Err(Skip::NoMatch);
    }
    let plain = elements(graph, value);
    let rank = |of: Value| graph.fact(of).rank().unwrap_or_default();
    if rank(plain) < rank(value) {
        return Ok(plain);
    }
    let axes = number_list(graph, root, "axes", &[-1])?;
    insert(graph, root, "half", Op::Squeeze, &[value, axes])
}

/// Returns one index of each pair, if both are equal.
fn one_of_each(indices: &[i64], pairing: Pairing) -> Option<Vec<i64>> {
    let pairs: Vec<[i64; 2]> = match pairing {
        Pairing::Halves => {
            let (first, second) = indices.split_at(indices.len() / 2);
            first.iter().zip(second).map(|(a, b)| [*a, *b]).collect()
        }
        Pairing::Neighbors => indices.as_chunks::<2>().0.to_vec(),
    };
    let is_even = indices.len() == 2 * pairs.len();
    (is_even && pairs.iter().all(|[a, b]| a == b)).then(|| pairs.iter().map(|pair| pair[0]).collect())
}

/// Returns the columns, `[…, n, 1]`, that an Expand or a Tile repeats twice each: `[…, n * 2]`.
fn repeated(graph: &Graph, value: Value) -> Option<Value> {
    let pairs = whole_pairs(graph, value).filter(|of| matches!(graph.kind(*of), OpKind::Expand | OpKind::Tile))?;
    let single = graph.operand(pairs.node, 0)?;
    let [outer @ .., Dim::Known(1)] = graph.shape(single)? else { return None };
    same_shape(outer, graph.shape(pairs)?.split_last()?.1).then_some(single)
}
