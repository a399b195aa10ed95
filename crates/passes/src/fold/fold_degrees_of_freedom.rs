//! Rewrites a norm with n - 1 degrees of freedom so that it can become a layer normalization.

use crate::pass::{Exactness, Pass};
use crate::pattern::{add, any, div, known, mul, scalar, sqrt};
use crate::rewrite::{MAX_RECIPE_DEPTH, become_op, insert, keeps_shape, number};
use crate::rule::Skip;
use crate::target::Scale;
use netwright_ir::{ElementType, Op};

/// `a * d / (sqrt(s / n) + e)` -> `(√n a) * d / (sqrt(s) + √n e)`
///
/// The norm of "The Annotated Transformer" divides by a deviation with n - 1 degrees of freedom plus epsilon, so it is
/// not a layer normalization. The pass multiplies both sides of the quotient by the square root of n, which is folded
/// into the weight and epsilon. The error of weight, epsilon and quotient is at most half a unit in the last place
/// each.
pub fn fold_degrees_of_freedom() -> Pass {
    let (a, d, s, n, e) = (known("a"), any("d"), any("s"), scalar("n"), scalar("e"));
    let deviation = sqrt(div(s, n).single_use()).single_use();
    let pattern = div(mul(a, d).single_use(), add(deviation, e).single_use());
    let summary = "a * d / (sqrt(s / n) + e) -> (√n a) * d / (sqrt(s) + √n e)";
    let pass = Pass::new("fold-degrees-of-freedom", summary, Exactness::Rounding);
    pass.only_for(|target, _| target.scale == Scale::Projection).matching(pattern, move |graph, found| {
        let root = found.root();
        let weight = graph.tensor(found[a]).ok_or(Skip::NoMatch)?;
        let factor = found.scalar(n).sqrt();
        let element = weight.element();
        if !matches!(element, ElementType::F32 | ElementType::F16 | ElementType::BF16) || weight.dims().len() != 1 {
            return Err(Skip::NoMatch);
        }
        if !factor.is_normal() || !keeps_shape(graph, found[s], found[n]) || !keeps_shape(graph, found[s], found[e]) {
            return Err(Skip::NoMatch);
        }
        if element == ElementType::F16 {
            return Err(Skip::rejected("in f16, the product with the scaled weight may overflow"));
        }
        if weight.recipe_depth() >= MAX_RECIPE_DEPTH {
            return Err(Skip::rejected(format!(
                "the weight is already changed by {MAX_RECIPE_DEPTH} recipes, the maximum"
            )));
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest, as the docs say")]
        let weight = weight.scaled(factor as f32)?;
        let weight = insert(graph, root, "weight", Op::Parameter(weight), &[])?;
        let epsilon = number(graph, root, "epsilon", element, found.scalar(e) * factor)?;
        let deviation = insert(graph, root, "deviation", Op::Sqrt, &[found[s]])?;
        let divisor = insert(graph, root, "divisor", Op::Add, &[deviation, epsilon])?;
        let product = insert(graph, root, "product", Op::Mul, &[weight, found[d]])?;
        become_op(
            graph,
            root,
            Op::Div,
            &[product, divisor],
            format!("folded the divisor {} into the weight", found.scalar(n)),
        )
    })
}
