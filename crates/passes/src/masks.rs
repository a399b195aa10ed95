//! Masks that are added to the scores of attention.

use crate::rewrite::{SMALL, insert, number, number_list};
use crate::rule::Skip;
use crate::sizes::position;
use netwright_ir::{ElementType, Graph, Kind, Op, Tensor, Value};

/// More operators behind a mask are not followed.
const MOST_STEPS: usize = 16;

/// tract 0.23.9 leaves out blocks of scores of which every mask is less than this, of rows that are masked whole too.
const DEEP: f64 = -65503.0;

/// Whether a mask is shown to be of finite numbers, so that no row is masked whole by the standard's word.
pub(crate) fn is_finite(graph: &Graph, mask: Value) -> bool {
    is_over(graph, mask, f64::MIN)
}

/// Whether every number of a mask is shown to be so much or more; that is no number above 0.
pub(crate) fn is_over(graph: &Graph, mask: Value, least: f64) -> bool {
    let number = |of: Option<Value>| graph.tensor(of?).and_then(Tensor::float);
    let mut open = vec![(mask, least)];
    for _ in 0..MOST_STEPS {
        let Some((value, least)) = open.pop() else { return true };
        let over = |number: f64| number >= least && number.is_finite();
        let operands = graph.operands(value.node);
        let operand = |at: usize| operands.get(at).copied().flatten();
        match graph.kind(value) {
            Kind::Where if [1, 2].iter().all(|at| number(operand(*at)).is_some_and(over)) => {}
            Kind::Mul if is_share_times(graph, value, over) => {}
            Kind::Max if operands.iter().any(|of| number(*of).is_some_and(over)) => {}
            // Each of two may be half as deep; what is only to be finite is.
            Kind::Add => {
                let least = if least == f64::MIN { least } else { least / 2.0 };
                open.extend(operands.iter().flatten().map(|operand| (*operand, least)));
            }
            kind if moves(kind) => open.extend(operand(0).map(|inner| (inner, least))),
            Kind::Constant | Kind::Parameter => {
                let small = graph.tensor(value).filter(|tensor| tensor.len() <= SMALL);
                if !small.and_then(Tensor::floats).is_some_and(|all| all.iter().all(|one| over(*one))) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}

/// Whether an operator only moves numbers, and puts none but 0 beside them.
fn moves(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Expand | Kind::Unsqueeze | Kind::Squeeze | Kind::Reshape | Kind::Transpose | Kind::Slice | Kind::Trilu
    )
}

/// What a value is made of that is from 0 up to 1: the operands of each Relu of `min(relu(a), 1)`, or of
/// `min(relu(a) + relu(b), 1)`.
pub(crate) fn share_of(graph: &Graph, value: Value) -> Option<Vec<Value>> {
    let two = |of: Value, kind: Kind| match graph.operands(of.node)[..] {
        [Some(a), Some(b)] if graph.kind(of) == kind => Some([a, b]),
        _ => None,
    };
    let is_one = |of: &Value| graph.tensor(*of).and_then(Tensor::float) == Some(1.0);
    let [a, b] = two(value, Kind::Min)?;
    let sum = if is_one(&b) { a } else { Some(b).filter(|_| is_one(&a))? };
    let parts = two(sum, Kind::Add).map_or_else(|| vec![sum], Vec::from);
    parts.into_iter().map(|part| graph.operand(part.node, 0).filter(|_| graph.kind(part) == Kind::Relu)).collect()
}

/// Whether a product is one of a [share](share_of) and such a number.
fn is_share_times(graph: &Graph, product: Value, is: impl Fn(f64) -> bool) -> bool {
    let [Some(a), Some(b)] = graph.operands(product.node)[..] else { return false };
    let number = |of: Value| graph.tensor(of).and_then(Tensor::float);
    [(a, b), (b, a)]
        .into_iter()
        .any(|(factor, share)| number(factor).is_some_and(&is) && share_of(graph, share).is_some())
}

/// Whether every number of a mask is shown to be 0 or less.
pub(crate) fn is_at_most_zero(graph: &Graph, mask: Value) -> bool {
    let mut open = vec![mask];
    for _ in 0..MOST_STEPS {
        let Some(value) = open.pop() else { return true };
        let operands = graph.operands(value.node);
        match graph.kind(value) {
            Kind::Mul if is_share_times(graph, value, |number| number <= 0.0) => {}
            Kind::Add | Kind::Max => open.extend(operands.iter().flatten()),
            Kind::Where => open.extend(operands.iter().skip(1).flatten()),
            kind if moves(kind) => open.extend(operands.first().copied().flatten()),
            Kind::Constant | Kind::Parameter => {
                let small = graph.tensor(value).filter(|tensor| tensor.len() <= SMALL);
                if !small.and_then(Tensor::floats).is_some_and(|all| all.iter().all(|one| *one <= 0.0)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}

/// The mask with rows that are masked whole as far above 0 as they were below, so that no runtime leaves them out.
///
/// A number that is added to all scores of a row changes no probability; it absorbs the scores as before, so that the
/// row stays the mean of all values where it was.
pub(crate) fn lifted(graph: &mut Graph, root: Value, mask: Value) -> Result<Value, Skip> {
    if is_lifted(graph, mask) {
        return Ok(mask);
    }
    let axes = number_list(graph, root, "axes", &[-1])?;
    let most = Op::ReduceMax { keepdims: true, noop_with_empty_axes: false };
    let most = insert(graph, root, "most", most, &[mask, axes])?;
    let deep = number(graph, root, "deep", ElementType::F32, DEEP)?;
    let is_deep = insert(graph, root, "row", Op::Less, &[most, deep])?;
    let twice = insert(graph, root, "twice", Op::Add, &[most, most])?;
    let above = insert(graph, root, "above", Op::Sub, &[mask, twice])?;
    insert(graph, root, "lifted", Op::Where, &[is_deep, above, mask])
}

/// Whether no row of a mask is so deep that it is left out: it is [lifted], or of numbers that are not deep.
pub(crate) fn is_lifted(graph: &Graph, mut mask: Value) -> bool {
    if is_over(graph, mask, DEEP) {
        return true;
    }
    for _ in 0..MOST_STEPS {
        if !matches!(graph.kind(mask), Kind::Expand | Kind::Unsqueeze) {
            break;
        }
        let Some(inner) = graph.operand(mask.node, 0) else { return false };
        mask = inner;
    }
    let parts = || {
        let operand = |of: Value, kind: Kind, at: usize| graph.operand(of.node, at).filter(|_| graph.kind(of) == kind);
        let (row, above, whole) =
            (operand(mask, Kind::Where, 0)?, operand(mask, Kind::Where, 1)?, operand(mask, Kind::Where, 2)?);
        let (most, deep) = (operand(row, Kind::Less, 0)?, operand(row, Kind::Less, 1)?);
        let axes = graph.fact(operand(most, Kind::ReduceMax, 1)?).known_elements()?;
        let rank = graph.fact(whole).rank()?;
        let twice = operand(above, Kind::Sub, 1)?;
        let is_last = matches!(axes.as_slice(), [axis] if position(*axis, rank) == Some(rank - 1));
        Some(
            is_last
                && graph.tensor(deep)?.float()? >= DEEP
                && operand(most, Kind::ReduceMax, 0)? == whole
                && operand(above, Kind::Sub, 0)? == whole
                && operand(twice, Kind::Add, 0)? == most
                && operand(twice, Kind::Add, 1)? == most,
        )
    };
    parts().unwrap_or(false)
}
