//! What layer and RMS normalization share: `x / sqrt(mean(x * x) + epsilon)` in its dialects.

use crate::rewrite::expect_alone;
use crate::rule::Skip;
use crate::sizes::{position, same_shape};
use netwright_ir::{ElementType, Graph, Kind, Op, Tensor, Value};

/// What was normalized, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalized {
    /// What is divided by its deviation.
    pub(crate) x: Value,
    /// The first of the axes over which the mean is taken; all behind it are too.
    pub(crate) axis: usize,
    /// What is added to the mean of squares.
    pub(crate) epsilon: f32,
    /// Whether it is computed in f32, of what was cast from a narrower type and is cast back to it.
    pub(crate) is_wider: bool,
}

impl Normalized {
    /// How `value`, which nothing else may read, was normalized; no match where it was not.
    pub(crate) fn of(graph: &Graph, value: Value) -> Result<Self, Skip> {
        let (wide, narrow) = match graph.kind(value) {
            Kind::Cast => (graph.operand(value.node, 0).ok_or(Skip::NoMatch)?, Some(value)),
            _ => (value, None),
        };
        let (x, square) = quotient(graph, wide).ok_or(Skip::NoMatch)?;
        let (mean, epsilon) = plus_number(graph, square).ok_or(Skip::NoMatch)?;
        let (of, axis) = mean_over_last(graph, mean).ok_or(Skip::NoMatch)?;
        if !is_square(graph, of, x) {
            return Err(Skip::NoMatch);
        }
        for inner in [narrow.unwrap_or(wide), wide, square, mean, of] {
            expect_alone(graph, inner)?;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the attribute is an f32; rounded to nearest")]
        let epsilon = epsilon as f32;
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            return Err(Skip::rejected(format!("epsilon is {epsilon}")));
        }
        let element = |of: Value| graph.fact(of).element();
        if element(x) != Some(ElementType::F32) {
            return Err(Skip::rejected("it is computed in a narrower type than f32, in which runtimes compute it"));
        }
        let Some(narrow) = narrow else { return Ok(Self { x, axis, epsilon, is_wider: false }) };
        let own = graph.operand(x.node, 0).filter(|_| graph.kind(x) == Kind::Cast);
        match own.filter(|own| element(*own).is_some() && element(*own) == element(narrow)) {
            Some(own) => Ok(Self { x: own, axis, epsilon, is_wider: true }),
            None => Err(Skip::rejected(format!("{} is cast to another type", graph.operand_text(wide)))),
        }
    }

    /// The weight and what it multiplies, where that is normalized.
    pub(crate) fn weighted(graph: &Graph, product: Value) -> Result<(Value, Self), Skip> {
        let [a, b] = [0, 1].map(|at| graph.operand(product.node, at));
        let (Some(a), Some(b)) = (a, b) else { return Err(Skip::NoMatch) };
        match (Self::of(graph, a), Self::of(graph, b)) {
            (Ok(normalized), _) => Ok((b, normalized)),
            (_, Ok(normalized)) => Ok((a, normalized)),
            (Err(Skip::NoMatch), Err(why)) | (Err(why), _) => Err(why),
        }
    }

    /// The axis as the attribute counts it: from the end.
    pub(crate) fn axis_from_end(&self, graph: &Graph) -> Result<i64, Skip> {
        let rank = graph.fact(self.x).rank().ok_or(Skip::NoMatch)?;
        i64::try_from(rank - self.axis).map(|count| -count).map_err(|_| Skip::NoMatch)
    }

    /// Fails where a weight or a bias is not of the shape that is normalized.
    pub(crate) fn expect_shaped(&self, graph: &Graph, weight: Value) -> Result<(), Skip> {
        let own = graph.shape(self.x).and_then(|shape| shape.get(self.axis..));
        match (own, graph.shape(weight)) {
            (Some(own), Some(weight)) if same_shape(own, weight) => Ok(()),
            _ => Err(Skip::rejected(format!("{} has not the shape of what is normalized", graph.operand_text(weight)))),
        }
    }
}

/// `x` and `s` of `x / sqrt(s)`, of which the root and its inverse have no other use.
fn quotient(graph: &Graph, value: Value) -> Option<(Value, Value)> {
    let [a, b] = [0, 1].map(|at| graph.operand(value.node, at));
    let (a, b) = (a?, b?);
    match graph.kind(value) {
        Kind::Div => Some((a, root(graph, b)?)),
        Kind::Mul => inverse_root(graph, b).map(|s| (a, s)).or_else(|| Some((b, inverse_root(graph, a)?))),
        _ => None,
    }
}

/// `s` of `sqrt(s)`.
fn root(graph: &Graph, value: Value) -> Option<Value> {
    (graph.kind(value) == Kind::Sqrt && graph.use_count(value) == 1).then(|| graph.operand(value.node, 0))?
}

/// `s` of `1 / sqrt(s)`.
pub(crate) fn inverse_root(graph: &Graph, value: Value) -> Option<Value> {
    if graph.use_count(value) != 1 {
        return None;
    }
    let operand = |at| graph.operand(value.node, at);
    let number = |at| operand(at).and_then(|of| graph.tensor(of)).and_then(Tensor::float);
    match graph.kind(value) {
        Kind::Reciprocal => root(graph, operand(0)?),
        Kind::Div if number(0) == Some(1.0) => root(graph, operand(1)?),
        Kind::Pow if number(1) == Some(-0.5) => operand(0),
        _ => None,
    }
}

/// `x` and `c` of `x + c`, for a number.
pub(crate) fn plus_number(graph: &Graph, value: Value) -> Option<(Value, f64)> {
    let [a, b] = [0, 1].map(|at| graph.operand(value.node, at).filter(|_| graph.kind(value) == Kind::Add));
    let (a, b) = (a?, b?);
    let number = |of: Value| graph.tensor(of).and_then(Tensor::float);
    match (number(a), number(b)) {
        (None, Some(c)) => Some((a, c)),
        (Some(c), None) => Some((b, c)),
        _ => None,
    }
}

/// `x` of `mean(x)` over the last axes, which stay, and the first of them.
pub(crate) fn mean_over_last(graph: &Graph, value: Value) -> Option<(Value, usize)> {
    let Op::ReduceMean { keepdims: true, .. } = graph.op(value) else { return None };
    let x = graph.operand(value.node, 0)?;
    let rank = graph.fact(x).rank()?;
    let axes = graph.fact(graph.operand(value.node, 1)?).known_elements()?;
    let mut axes: Vec<usize> = axes.iter().map(|axis| position(*axis, rank)).collect::<Option<_>>()?;
    axes.sort_unstable();
    let first = *axes.first()?;
    axes.iter().copied().eq(first..rank).then_some((x, first))
}

/// Whether it is the square of `x`.
pub(crate) fn is_square(graph: &Graph, value: Value, x: Value) -> bool {
    let [a, b] = [0, 1].map(|at| graph.operand(value.node, at));
    match graph.kind(value) {
        Kind::Mul => a == Some(x) && b == Some(x),
        Kind::Pow => a == Some(x) && b.and_then(|of| graph.tensor(of)).and_then(Tensor::float) == Some(2.0),
        _ => false,
    }
}
