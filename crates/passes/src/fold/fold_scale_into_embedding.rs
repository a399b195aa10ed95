//! Folds the scale of an embedding into its table.

use crate::pass::{Exactness, Pass};
use crate::pattern::{any, gather, known, mul, scalar};
use crate::rewrite::{MAX_RECIPE_DEPTH, become_op, insert, keeps_shape};
use crate::rule::Skip;
use crate::target::Scale;
use netwright_ir::{ElementType, Op};

/// `gather(W, ids) * c` -> `gather(c W, ids)`
///
/// "Attention Is All You Need" multiplies embeddings by the square root of `d_model`. The table is multiplied while it
/// is written instead. The products are the same. A table with another use, for example by a tied head, stays.
pub fn fold_scale_into_embedding() -> Pass {
    let (table, ids, c) = (known("table"), any("ids"), scalar("c"));
    let summary = "gather(W, ids) * c -> gather(c W, ids)";
    let pattern = mul(gather(table, ids).single_use(), c);
    let pass = Pass::new("fold-scale-into-embedding", summary, Exactness::Numbers);
    pass.only_for(|target, _| target.scale == Scale::Projection).matching(pattern, move |graph, found| {
        let root = found.root();
        let gathered =
            graph.operands(root.node).into_iter().flatten().find(|of| graph.operand(of.node, 0) == Some(found[table]));
        let gathered = gathered.ok_or(Skip::NoMatch)?;
        let op = graph.op(gathered).clone();
        let tensor = graph.tensor(found[table]).ok_or(Skip::NoMatch)?;
        #[expect(clippy::cast_possible_truncation, reason = "the factor has the type of the table, which f32 holds")]
        let factor = found.scalar(c) as f32;
        let fits = matches!(tensor.element(), ElementType::F32 | ElementType::F16 | ElementType::BF16);
        if !fits || !keeps_shape(graph, gathered, found[c]) {
            return Err(Skip::NoMatch);
        }
        if graph.use_count(found[table]) != 1 {
            return Err(Skip::rejected(format!("{} has another use", graph.operand_text(found[table]))));
        }
        if tensor.recipe_depth() >= MAX_RECIPE_DEPTH {
            return Err(Skip::rejected(format!(
                "the table is already changed by {MAX_RECIPE_DEPTH} recipes, the maximum"
            )));
        }
        let scaled = tensor.scaled(factor)?;
        let held = if matches!(graph.op(found[table]), Op::Parameter(_)) {
            Op::Parameter(scaled)
        } else {
            Op::Constant(scaled)
        };
        let ids = found[ids];
        let table = insert(graph, root, "table", held, &[])?;
        become_op(graph, root, op, &[table, ids], format!("folded the scale {factor:?} into the table"))
    })
}
