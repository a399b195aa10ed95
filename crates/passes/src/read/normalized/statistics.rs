//! Reads the divisor of a normalization: the values that it squares, and over which axes it takes their mean.

use crate::read::products::{Product, Region, before_casts, exponent, number, product, terms, uncast};
use crate::read::sizes::position;
use netwright_ir::{Graph, Op, OpKind, Shape, Value};

/// The divisor `sqrt(mean(d * d) + epsilon)`.
#[derive(Clone)]
pub(super) struct Statistics {
    /// The square root, or its inverse.
    pub(super) deviation: Value,
    /// The power of that factor in the product: -1, or 1 for the inverse.
    pub(super) power: f64,
    /// The squared value.
    pub(super) d: Value,
    /// The number of trailing axes of the mean.
    pub(super) axes: usize,
    /// The factor of the mean: 1 for a mean, `n / (n - 1)` for an unbiased variance.
    pub(super) share: f64,
    pub(super) epsilon: f64,
    pub(super) region: Region,
}

/// A mean over trailing axes, times a factor.
struct Mean {
    of: Value,
    axes: usize,
    share: f64,
}

/// Returns the mean that a value is a multiple of.
fn mean(graph: &Graph, value: Value, region: &mut Region) -> Option<Mean> {
    let is_reduction = |value: Value| matches!(graph.kind(value), OpKind::ReduceMean | OpKind::ReduceSum);
    let Product { number, factors } = product(graph, value, &is_reduction, region)?;
    let &[(reduced, 1.0)] = factors.as_slice() else { return None };
    let (of, axes) = (graph.operand(reduced.node, 0)?, graph.operand(reduced.node, 1)?);
    let shape = graph.shape(of)?;
    let axes = graph.fact(axes).known_elements()?;
    let mut axes: Vec<usize> = axes.iter().map(|axis| position(*axis, shape.len())).collect::<Option<_>>()?;
    axes.sort_unstable();
    let first = shape.len().checked_sub(axes.len())?;
    if axes.is_empty() || !axes.iter().copied().eq(first..shape.len()) {
        return None;
    }
    let share = match graph.op(reduced) {
        Op::ReduceMean { keepdims: true, .. } => number,
        #[expect(clippy::cast_precision_loss, reason = "compared with a float")]
        Op::ReduceSum { keepdims: true, .. } => {
            number * shape[first..].iter().cloned().collect::<Shape>().count().known()? as f64
        }
        _ => return None,
    };
    region.insert(reduced)?;
    Some(Mean { of, axes: axes.len(), share })
}

/// Whether two numbers are the same except for the rounding of an `f32`.
pub(super) fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-6 * expected
}

impl Statistics {
    /// Returns the statistics whose square root is `deviation`, which is given with its power: 1/2 or -1/2.
    pub(super) fn of(graph: &Graph, (deviation, power): (Value, f64)) -> Option<Self> {
        let mut region = Region::default();
        region.insert(deviation)?;
        let variance = graph.operand(deviation.node, 0)?;
        let is_number = |value: Value| number(graph, value).is_some();
        let mut all = terms(graph, variance, &is_number, &mut region)?;
        let at = all.iter().position(|(term, sign)| *sign > 0.0 && !is_number(*term))?;
        let (square, _) = all.remove(at);
        let epsilon = all.into_iter().try_fold(0.0, |sum, (term, sign)| Some(sum + sign * number(graph, term)?))?;
        let mean = mean(graph, square, &mut region)?;
        let square = uncast(graph, mean.of, &mut region)?;
        let (a, b) = (graph.operand(square.node, 0)?, graph.operand(square.node, 1)?);
        let is_square = match graph.kind(square) {
            OpKind::Mul => before_casts(graph, a) == before_casts(graph, b),
            OpKind::Pow => exponent(graph, b) == Some(2.0),
            _ => false,
        };
        region.insert(square)?;
        let power = if power > 0.0 { -1.0 } else { 1.0 };
        is_square.then_some(Self { deviation, power, d: a, axes: mean.axes, share: mean.share, epsilon, region })
    }

    /// Returns `x` if `d` is `x - mean(x)` over the same axes.
    pub(super) fn centered(&self, graph: &Graph, d: Value, region: &mut Region) -> Option<Value> {
        let d = uncast(graph, d, region)?;
        if graph.kind(d) != OpKind::Sub {
            return None;
        }
        self.difference(graph, d, [0, 1], region)
    }

    /// Returns `x` if the deviations that are squared are `x - mean(x)` or `mean(x) - x` over the same axes.
    pub(super) fn squared(&self, graph: &Graph, region: &mut Region) -> Option<Value> {
        let opposite = |region: &mut Region| {
            let d = uncast(graph, self.d, region).filter(|d| graph.kind(*d) == OpKind::Sub)?;
            self.difference(graph, d, [1, 0], region)
        };
        self.centered(graph, self.d, region).or_else(|| opposite(region))
    }

    /// Returns `x` if the operands of a difference, in this order, are `x` and its mean.
    fn difference(&self, graph: &Graph, d: Value, order: [usize; 2], region: &mut Region) -> Option<Value> {
        let [x, mean] = order.map(|at| graph.operand(d.node, at));
        let x = x?;
        if !self.is_mean(graph, mean?, x, region) {
            return None;
        }
        region.insert(d)?;
        Some(x)
    }

    /// Whether a value is the mean of `x` over the same axes.
    pub(super) fn is_mean(&self, graph: &Graph, value: Value, x: Value, region: &mut Region) -> bool {
        let mut own = Region::default();
        mean(graph, value, &mut own).is_some_and(|mean| {
            before_casts(graph, mean.of) == before_casts(graph, x) && mean.axes == self.axes && close(mean.share, 1.0)
        }) && region.extend(&own).is_some()
    }

    /// Whether a value is the deviation plus a constant.
    pub(super) fn is_shifted(&self, graph: &Graph, value: Value, region: &mut Region) -> bool {
        let operands = [graph.operand(value.node, 0), graph.operand(value.node, 1)];
        graph.kind(value) == OpKind::Add
            && operands.contains(&Some(self.deviation))
            && operands.into_iter().flatten().any(|operand| number(graph, operand).is_some())
            && region.insert(value).is_some()
    }
}
