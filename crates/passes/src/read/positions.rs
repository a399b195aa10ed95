//! Values that count along one of the last two axes, as the positions of queries and keys do.

use crate::read::sizes::position;
use netwright_ir::{Dim, Graph, Op, OpKind, Tensor, Value};

/// The maximum number of operators between a Range and a value that holds its numbers.
const MAX_STEPS: usize = 24;

/// How a value counts along an axis: the element at index `i` of the axis is `first + i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// The axis, counted from the last one, which is 0.
    pub(crate) axis: usize,
    /// The first number.
    pub(crate) first: Dim,
}

impl Count {
    /// Returns how a value counts, if each element is its index along an axis plus a number.
    pub(crate) fn of(graph: &Graph, value: Value) -> Option<Self> {
        Self::within(graph, value, MAX_STEPS)
    }

    fn within(graph: &Graph, value: Value, steps: usize) -> Option<Self> {
        let steps = steps.checked_sub(1)?;
        let operand = |at: usize| graph.operand(value.node, at);
        let known = |at: usize| match graph.fact(operand(at)?).elements.as_deref()? {
            [only] if *only != Dim::Unknown => Some(only.clone()),
            _ => None,
        };
        let rank = graph.fact(value).rank()?;
        let inner = |at: usize| Self::within(graph, operand(at)?, steps);
        // Only small integers are the same in every type. Lengths are small.
        let shifted = |count: Self, by: &Dim| {
            let first = Some(count.first.plus(by)).filter(|first| *first != Dim::Unknown);
            let first = first.filter(|first| first.known().is_none_or(|first| first.abs() < 1 << 16))?;
            Some(Self { first, ..count })
        };
        let from_zero = Self { axis: 0, first: Dim::Known(0) };
        match graph.op(value) {
            Op::Range if graph.shape(value)?.first()?.known().is_some_and(|size| size < 2) => None,
            Op::Range if known(2) == Some(Dim::Known(1)) => shifted(from_zero, &known(0)?),
            Op::Range => {
                let is_one = graph.tensor(operand(2)?).and_then(Tensor::float) == Some(1.0);
                let is_zero = graph.tensor(operand(0)?).and_then(Tensor::float) == Some(0.0);
                (is_one && is_zero).then_some(from_zero)
            }
            Op::Unsqueeze | Op::Reshape { .. } | Op::Squeeze => {
                let count = inner(0)?;
                let from = graph.shape(operand(0)?)?;
                let place = from.len().checked_sub(count.axis + 1)?;
                // All other axes have one element, or stay in their places.
                let to = graph.shape(value)?;
                let is_alone = |shape: &[netwright_ir::Dim], place: usize| {
                    shape.iter().enumerate().all(|(axis, dim)| axis == place || dim.known() == Some(1))
                };
                let found =
                    (0..to.len()).find(|axis| to[*axis].same(&from[place]) == Some(true) && is_alone(to, *axis))?;
                is_alone(from, place).then_some(Self { axis: rank - 1 - found, ..count })
            }
            Op::Expand => inner(0),
            Op::Transpose { perm } => {
                let count = inner(0)?;
                let place = rank.checked_sub(count.axis + 1)?;
                let found = perm.iter().position(|from| position(*from, rank) == Some(place))?;
                Some(Self { axis: rank - 1 - found, ..count })
            }
            Op::Add => match (known(0), known(1)) {
                (Some(by), None) => shifted(inner(1)?, &by),
                (None, Some(by)) => shifted(inner(0)?, &by),
                _ => None,
            },
            Op::Sub => shifted(inner(0)?, &Dim::Known(0).minus(&known(1)?)),
            op if matches!(op.kind(), OpKind::Identity | OpKind::Cast) => {
                use netwright_ir::ElementType::{F32, F64, I32, I64};
                inner(0).filter(|_| matches!(graph.fact(value).element(), Some(F32 | F64 | I32 | I64)))
            }
            _ => None,
        }
    }

    /// Returns the difference `self - other` for the key of a query's own token, where the axes are those of
    /// [`Count::minus_for_later_keys`].
    pub(crate) fn minus_for_own_keys(&self, other: &Self, past: &Dim) -> Option<f64> {
        let apart = self.first.minus(&other.first);
        let apart = match (self.axis, other.axis) {
            (0, 1) => apart.plus(past),
            (1, 0) => apart.minus(past),
            _ => return None,
        };
        #[expect(clippy::cast_precision_loss, reason = "all are small")]
        apart.known().map(|apart| apart as f64)
    }

    /// Returns the least and the greatest difference `self - other` for a key after its query, where the last axis is
    /// that of the keys and the one before it that of the queries, and `past` keys come before the first query.
    pub(crate) fn minus_for_later_keys(&self, other: &Self, past: &Dim) -> Option<(f64, f64)> {
        let own = self.minus_for_own_keys(other, past)?;
        Some(if self.axis == 0 { (own + 1.0, f64::INFINITY) } else { (f64::NEG_INFINITY, own - 1.0) })
    }
}
