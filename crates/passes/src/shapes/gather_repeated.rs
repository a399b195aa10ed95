//! Repeats slices by a Gather instead of an Expand and a Reshape.

use crate::pass::{Exactness, Pass};
use crate::pattern::{any, expand, reshape, unsqueeze};
use crate::read::sizes::{is_defined, position, same_shape};
use crate::rewrite::{SMALL, become_op, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, Op, OpKind, Value};

/// `reshape(expand(unsqueeze(x)))` -> `gather(x, [0, 0, 1, 1])`
///
/// Grouped-query attention repeats every head of keys and values for the query heads that share it. A Gather along the
/// axis of the heads copies the same blocks, and does not need arithmetic on shapes, unlike the Reshape that merges
/// axes.
pub fn gather_repeated() -> Pass {
    let summary = "reshape(expand(unsqueeze(x))) -> gather(x, [0, 0, 1, 1]), for repeated slices";
    Pass::new("gather-repeated", summary, Exactness::Bits).at([OpKind::Reshape], repeat)
}

fn repeat(graph: &mut Graph, root: Value) -> Rewritten {
    let (x, axes, shape, target) = (any("x"), any("axes"), any("shape"), any("target"));
    let pattern = reshape(expand(unsqueeze(x, axes), shape).single_use(), target);
    let matches = pattern.matches(graph, root.node);
    let found = matches.found.first().ok_or(Skip::NoMatch)?;
    let (x, axes) = (found[x], graph.fact(found[axes]).known_elements().ok_or(Skip::NoMatch)?);
    let wide = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let (Some(from), Some(between), Some(to)) = (graph.shape(x), graph.shape(wide), graph.shape(root)) else {
        return Err(Skip::NoMatch);
    };
    let [axis] = axes.as_slice() else { return Err(Skip::NoMatch) };
    let axis = position(*axis, from.len() + 1).filter(|axis| *axis > 0).ok_or(Skip::NoMatch)?;
    // Only the new axis is expanded, and it is merged with the axis before it.
    let mut rest = between.to_vec();
    let times = rest.remove(axis);
    let repeated = axis - 1;
    let heads = &from[repeated];
    let mut merged = from.to_vec();
    merged[repeated] = heads.times(&times);
    if between.len() != from.len() + 1
        || !same_shape(&rest, from)
        || !same_shape(&merged, to)
        || !is_defined(graph, wide)
    {
        return Err(Skip::NoMatch);
    }
    let (Dim::Known(heads), Dim::Known(times)) = (heads, &times) else { return Err(Skip::NoMatch) };
    let count = heads.checked_mul(*times).and_then(|count| u64::try_from(count).ok()).ok_or(Skip::NoMatch)?;
    if count * 8 > SMALL {
        return Err(Skip::rejected(format!("{count} indices would make the file larger")));
    }
    let indices: Vec<i64> = (0..*heads).flat_map(|head| (0..*times).map(move |_| head)).collect();
    let axis = i64::try_from(repeated).map_err(|_| Skip::NoMatch)?;
    let indices = number_list(graph, root, "repeated", &indices)?;
    become_op(graph, root, Op::Gather { axis }, &[x, indices], "repeats slices by one gather")
}
