use crate::pattern::{Found, add, any, div, exp, mul, neg, scalar, sigmoid};
use crate::pipeline::{Body, Pass};
use crate::rewrite::{become_op, keeps_shape};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{Graph, Op, Value};

/// `x * sigmoid(alpha * x)` -> `swish(x; alpha)`
///
/// With 1 for alpha it is SiLU, with 1.702 the quick form of GELU. The function is the same; a runtime may round its
/// steps differently. SwiGLU, a product of a swish and another projection, stays: ONNX has it in opset 28 alone, which
/// loses other kernels.
pub fn fuse_swish() -> Pass {
    let (x, alpha, one) = (any("x"), scalar("alpha"), scalar("one"));
    let summary = "x * sigmoid(alpha * x) -> swish(x; alpha)";
    let is_one = move |found: &Found| if found.scalar(one) == 1.0 { Ok(()) } else { Err(Skip::NoMatch) };
    Pass {
        name: "fuse-swish",
        summary: "x * sigmoid(alpha * x) -> swish(x; alpha), from opset 24 on",
        body: Body::Rules(vec![
            Rule::new("fuse-swish", summary, mul(x, sigmoid(x).single_use()), move |graph, found| {
                fuse(graph, found.root(), found[x], 1.0)
            }),
            Rule::new(
                "fuse-swish",
                summary,
                mul(x, sigmoid(mul(x, alpha).single_use()).single_use()),
                move |graph, found| {
                    if !keeps_shape(graph, found[x], found[alpha]) {
                        return Err(Skip::rejected("alpha may widen the shape"));
                    }
                    fuse(graph, found.root(), found[x], found.scalar(alpha))
                },
            ),
            Rule::new(
                "fuse-swish",
                summary,
                div(x, add(exp(neg(x).single_use()).single_use(), one).single_use()),
                move |graph, found| {
                    is_one(found)?;
                    if !keeps_shape(graph, found[x], found[one]) {
                        return Err(Skip::rejected("a number may widen the shape"));
                    }
                    fuse(graph, found.root(), found[x], 1.0)
                },
            ),
        ]),
    }
}

fn fuse(graph: &mut Graph, root: Value, x: Value, alpha: f64) -> Rewritten {
    #[expect(clippy::cast_possible_truncation, reason = "the attribute is an f32; rounded to nearest")]
    let alpha = alpha as f32;
    if !alpha.is_finite() {
        return Err(Skip::rejected(format!("alpha is {alpha}")));
    }
    become_op(graph, root, Op::Swish { alpha }, &[x], format!("is a swish with {alpha:?}"))
}
