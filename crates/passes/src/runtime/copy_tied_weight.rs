//! Gives a product its own transposed copy of a matrix that has other uses, for tract.

use crate::pass::{Exactness, Pass, Stage};
use crate::read::transposes::order;
use crate::rewrite::{MAX_RECIPE_DEPTH, become_op};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Graph, Op, OpKind, Value};

/// `x · transpose(w)` -> `x · wᵀ`, for a matrix with another use and one product
///
/// An embedding that is also the output projection is transposed for the latter. tract 0.23.9 arranges a matrix for its
/// kernel when it loads the model, but only if one product is its only use; otherwise it does so in every run. A step of
/// GPT-2 takes 110 ms with a tied table, of which 80 ms go into arranging 154 MB, and 30 ms with a copy. The file grows
/// by the table, and the memory by a tenth. If weights are quantized, the pass runs after that: a quantized table remains
/// one tensor, and of a table that stays in floats, the copy may be quantized.
pub fn copy_tied_weight(quantizes: bool) -> Pass {
    let summary = "x · transpose(w) -> x · wᵀ, a copy of a matrix with another use";
    Pass::new("copy-tied-weight", summary, Exactness::Bits)
        .in_stages(if quantizes { &[Stage::Converted] } else { &[Stage::Optimize] })
        .only_for(|target, _| target.arranges_own_weights)
        .at([OpKind::Transpose], copy)
}

fn copy(graph: &mut Graph, root: Value) -> Rewritten {
    let w = graph.operand(root.node, 0).filter(|w| graph.use_count(*w) > 1).ok_or(Skip::NoMatch)?;
    let tensor = graph.tensor(w).ok_or(Skip::NoMatch)?;
    let [(user, 1)] = graph.users(root)[..] else { return Err(Skip::NoMatch) };
    if graph.node(user).op().kind() != OpKind::MatMul || order(graph, root).is_none_or(|order| order != [1, 0]) {
        return Err(Skip::NoMatch);
    }
    if graph.is_output(root) || tensor.recipe_depth() >= MAX_RECIPE_DEPTH {
        return Err(Skip::NoMatch);
    }
    let copy = Op::Parameter(tensor.transposed()?);
    become_op(graph, root, copy, &[], "is a copy, which tract arranges once, when it loads the model")
}
