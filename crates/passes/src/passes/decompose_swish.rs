use crate::pattern::op;
use crate::pipeline::Pass;
use crate::rewrite::{become_op, element, insert, number};
use crate::rule::{Rule, Skip};
use netwright_ir::{Kind, Op};

/// `swish(x; alpha)` -> `x * sigmoid(alpha * x)`
///
/// For opsets below 24, and for runtimes that lack the operator or its alpha.
pub fn decompose_swish() -> Pass {
    let summary = "swish(x; alpha) -> x * sigmoid(alpha * x), where the target does not run it";
    Rule::new("decompose-swish", summary, op(Kind::Swish), |graph, found| {
        let root = found.root();
        let &Op::Swish { alpha } = graph.op(root) else { return Err(Skip::NoMatch) };
        let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        let mut scaled = x;
        // Both are the same number to the bit.
        #[expect(clippy::float_cmp, reason = "an attribute")]
        if alpha != 1.0 {
            let element = element(graph, x)?;
            let alpha = number(graph, root, "alpha", element, alpha.into())?;
            scaled = insert(graph, root, "scaled", Op::Mul, &[x, alpha])?;
        }
        let gate = insert(graph, root, "gate", Op::Sigmoid, &[scaled])?;
        become_op(graph, root, Op::Mul, &[x, gate], "written out")
    })
    .into()
}
