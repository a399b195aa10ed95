//! Replaces the mean of n elements times n with their sum.

use crate::pass::{Exactness, Pass};
use crate::pattern::{any, mul, reduce_mean, scalar};
use crate::read::sizes::position;
use crate::rewrite::{become_op, keeps_shape};
use crate::rule::Skip;
use netwright_ir::{Dim, ElementType, Op, Shape};

/// `reduce_mean(x) * n` -> `reduce_sum(x)`, for a mean of `n` elements
///
/// Exporters compute the unbiased variance from a mean, `mean * n / (n - 1)`. The sum has one rounding less. If `n` is
/// a power of two, the result is the same, except for subnormal means. The pass declines for `f16`, in which a sum may
/// overflow although the mean does not; `bf16` has the range of `f32`.
pub fn merge_mean_factor() -> Pass {
    let (x, axes, n) = (any("x"), any("axes"), scalar("n"));
    let summary = "reduce_mean(x) * n -> reduce_sum(x), for a mean of n elements";
    let pattern = mul(reduce_mean(x, axes).single_use(), n);
    Pass::new("merge-mean-factor", summary, Exactness::Rounding).matching(pattern, move |graph, found| {
        let root = found.root();
        let operands = [graph.operand(root.node, 0), graph.operand(root.node, 1)];
        let mean = operands.into_iter().flatten().find(|value| *value != found[n]).ok_or(Skip::NoMatch)?;
        let &Op::ReduceMean { keepdims, noop_with_empty_axes } = graph.op(mean) else { return Err(Skip::NoMatch) };
        // The mean of integers is truncated.
        if !graph.fact(found[x]).element().is_some_and(ElementType::is_float) {
            return Err(Skip::NoMatch);
        }
        let shape = graph.shape(found[x]).ok_or(Skip::NoMatch)?;
        let along = graph.fact(found[axes]).known_elements().ok_or(Skip::NoMatch)?;
        let reduced: Option<Shape> =
            along.iter().map(|axis| Some(shape[position(*axis, shape.len())?].clone())).collect();
        let Dim::Known(count) = reduced.ok_or(Skip::NoMatch)?.count() else { return Err(Skip::NoMatch) };
        #[expect(clippy::cast_precision_loss, reason = "compared with a float")]
        let count = count as f64;
        if along.is_empty() || found.scalar(n) != count || !keeps_shape(graph, mean, found[n]) {
            return Err(Skip::NoMatch);
        }
        if graph.fact(found[x]).element() == Some(ElementType::F16) {
            return Err(Skip::rejected("a sum in f16 may overflow although the mean does not"));
        }
        let op = Op::ReduceSum { keepdims, noop_with_empty_axes };
        become_op(graph, root, op, &[found[x], found[axes]], "is the sum")
    })
}
