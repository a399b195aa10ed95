//! One mask that is added to the scores, in the form that runtimes run.

use super::scores::{Mask, Scores};
use crate::masks::{is_over, lifted};
use crate::rewrite::{insert, number};
use crate::rule::Skip;
use crate::sizes::Sizes;
use crate::target::AttentionKernel;
use netwright_ir::{Dim, ElementType, Graph, Op, Tensor, Value};

/// Less than every score by so much that nothing is left of it, and far from where floats end: runtimes take the least
/// float for a row that is masked whole, and give zeros where the model gives the mean.
const MASKED: f64 = -1e30_f32 as f64;

/// The masks as one, whose axes are those of the scores `[batch, heads, query, key]`, or 1 for the first two.
pub(super) fn additive(
    graph: &mut Graph,
    root: Value,
    scores: &Scores,
    kernel: AttentionKernel,
    sizes: &[Dim; 4],
) -> Result<Option<Value>, Skip> {
    let infinite = scores.guarded;
    if infinite && !kernel.masked_rows {
        return Err(Skip::rejected("the target gives NaN for a row that is masked whole, where the model gives zeros"));
    }
    let mut sum: Option<Value> = None;
    for mask in scores.masks.iter().rev() {
        let mask = match *mask {
            // The same number everywhere changes no probability.
            Mask::Added(mask) if graph.tensor(mask).and_then(Tensor::float).is_some_and(f64::is_finite) => continue,
            Mask::Added(mask) => bounded(graph, root, mask, infinite)?,
            Mask::Filled { condition, masked, fill } => {
                let (fill, keep) =
                    (fill_of(graph, root, fill, infinite)?, number(graph, root, "kept", ElementType::F32, 0.0)?);
                let (yes, no) = if masked { (fill, keep) } else { (keep, fill) };
                insert(graph, root, "mask", Op::Where, &[condition, yes, no])?
            }
        };
        sum = Some(match sum {
            Some(sum) => insert(graph, root, "masks", Op::Add, &[sum, mask])?,
            None => mask,
        });
    }
    let Some(mut mask) = sum else { return Ok(None) };
    if !kernel.masked_rows {
        mask = lifted(graph, root, mask)?;
    }
    widened(graph, root, mask, sizes).map(Some)
}

fn fill_of(graph: &mut Graph, root: Value, fill: f64, infinite: bool) -> Result<Value, Skip> {
    if fill > -1e4 {
        return Err(Skip::rejected(format!("the scores are replaced with {fill}, which masks nothing")));
    }
    let kept = infinite && fill == f64::NEG_INFINITY;
    number(graph, root, "masked", ElementType::F32, if kept { fill } else { MASKED })
}

/// The mask with nothing in it that is less than [`MASKED`].
fn bounded(graph: &mut Graph, root: Value, mask: Value, infinite: bool) -> Result<Value, Skip> {
    if is_over(graph, mask, MASKED) {
        return Ok(mask);
    }
    if let Op::Where = graph.op(mask) {
        let [condition, yes, no] = [0, 1, 2].map(|at| graph.operand(mask.node, at));
        let float = |value: Option<Value>| graph.tensor(value?).and_then(Tensor::float);
        if let (Some(condition), Some(a), Some(b)) = (condition, float(yes), float(no)) {
            let clamp = |fill: f64| if infinite && fill == f64::NEG_INFINITY { fill } else { fill.max(MASKED) };
            if (clamp(a), clamp(b)) == (a, b) {
                // Such as a guarded minus infinity.
                return Ok(mask);
            }
            let yes = number(graph, root, "yes", ElementType::F32, clamp(a))?;
            let no = number(graph, root, "no", ElementType::F32, clamp(b))?;
            return insert(graph, root, "mask", Op::Where, &[condition, yes, no]);
        }
    }
    if infinite {
        let name = graph.operand_text(mask);
        return Err(Skip::rejected(format!("nothing shows which rows {name} masks whole, and how")));
    }
    let least = number(graph, root, "masked", ElementType::F32, MASKED)?;
    insert(graph, root, "mask", Op::Max, &[mask, least])
}

/// The mask with an axis for the queries and one for the keys, neither of them broadcast.
fn widened(graph: &mut Graph, root: Value, mask: Value, sizes: &[Dim; 4]) -> Result<Value, Skip> {
    let name = || graph.operand_text(mask);
    let shape = graph.shape(mask).ok_or_else(|| Skip::rejected(format!("the rank of {} is not known", name())))?;
    if shape.len() > 4 {
        return Err(Skip::rejected(format!("the mask {} has rank {}", name(), shape.len())));
    }
    let mut own = vec![Dim::Known(1); 4 - shape.len()];
    own.extend(shape.iter().cloned());
    let mut wide = own.clone();
    for (axis, (own, size)) in own.iter().zip(sizes).enumerate() {
        if own.same(size) == Some(true) {
            continue;
        }
        if *own != Dim::Known(1) {
            let text = format!("nothing shows that axis {axis} of the mask {} is that of the scores", name());
            return Err(Skip::rejected(text));
        }
        if axis >= 2 {
            wide[axis] = size.clone();
        }
    }
    if wide == own && (shape.len() == 4 || shape.len() == 2) {
        return Ok(mask);
    }
    // What stays as it is needs no size: an Expand takes the larger of both.
    let asked: Vec<Dim> =
        wide.iter().zip(&own).map(|(wide, own)| if wide == own { Dim::Known(1) } else { wide.clone() }).collect();
    let expression = Sizes::of(graph).expression(&asked, true);
    let shape = match expression {
        Some(expression) => expression.insert(graph, root)?,
        None => return Err(Skip::rejected(format!("no input has the sizes that the mask {} lacks", name()))),
    };
    insert(graph, root, "mask.wide", Op::Expand, &[mask, shape])
}
