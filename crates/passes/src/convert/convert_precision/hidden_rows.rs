//! Attention in a narrow type whose mask may hide all keys of a row.
//!
//! In such a row, the narrow type rounds the sums of scores and a large number, or the number absorbs other scores than in
//! `f32`. The greatest number of each row is therefore subtracted from the row in `f32`, which does not change the softmax,
//! and the query of a row whose number absorbs the scores in `f32` becomes 0.

use super::added_masks::passes_on;
use super::{Converter, is_float};
use crate::read::masks;
use crate::read::numbers::Numbers;
use crate::read::thresholds::{ABSORBING, Depths, HUGE};
use crate::rewrite::{cast, insert, number, number_list};
use crate::rule::Skip;
use netwright_ir::{Dim, ElementType, Fact, Graph, NodeId, Op, OpKind, Value};
use std::collections::HashSet;

/// The magnitude of numbers to which `f32` adds a score almost as it is: half of the last place is 0.004.
const ADDING: f64 = 1e5;

/// The magnitude from which on a number in a row absorbs the scores in `f32`: half of its last place is 32. Masks that list
/// a number between [`ADDING`] and [`ABSORBING`], which rounds scores without absorbing them, or are computed from one,
/// keep the attention in `f32`.
const HIDING: f64 = 1e9;

/// The maximum number of values before a mask that are examined.
const MAX_VALUES: usize = 64;

/// The operand of an attention that is the mask.
pub(super) const MASK: usize = 3;

/// Whether all readers of a value are attentions that read it as their mask.
pub(super) fn is_mask(graph: &Graph, value: Value) -> bool {
    let users = graph.users(value);
    let is_mask = |(user, at)| at == MASK && graph.node(user).op().kind() == OpKind::Attention;
    !users.is_empty() && !graph.is_output(value) && users.into_iter().all(is_mask)
}

/// How the rows of a mask meet those of the queries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// They have the same axes.
    Same,
    /// The mask has an axis of one head, and the queries have none.
    OneHead,
    /// The mask has an axis of heads, and those of the queries are merged: their number and the size of each.
    Merged { heads: i64, size: i64 },
}

/// Whether an attention may be narrow, with a mask that may hide all keys of a row.
pub(super) fn can_shift(graph: &Graph, id: NodeId, mask: Value) -> bool {
    let whole = masks::before_lift(graph, mask);
    let Numbers { least, few, .. } = Numbers::of(graph, whole.unwrap_or(mask));
    // ONNX Runtime returns zeros for rows of the lowest number, unless they are lifted.
    let is_skipped = |number: &f64| whole.is_none() && number.is_finite() && *number <= HUGE;
    let may_shift = match few {
        Some(few) => !few.iter().any(|number| rounds(*number) || is_skipped(number)),
        None => (whole.is_some() || least > HUGE) && !is_of_rounding(graph, whole.unwrap_or(mask)),
    };
    may_shift && rows(graph, id, mask).is_some()
}

/// Whether `f32` rounds scores to which a number is added, and does not absorb them.
fn rounds(number: f64) -> bool {
    number.abs() > ADDING && number.abs() < ABSORBING
}

/// Whether a bound of a mask, or a constant from which it is computed, [rounds] scores.
fn is_of_rounding(graph: &Graph, mask: Value) -> bool {
    let (mut open, mut known) = (vec![mask], HashSet::new());
    while let Some(value) = open.pop() {
        if !known.insert(value) {
            continue;
        }
        if value == mask || graph.tensor(value).is_some() {
            let Numbers { least, most, few, .. } = Numbers::of(graph, value);
            if few.unwrap_or_else(|| vec![least, most]).into_iter().any(rounds) {
                return true;
            }
        }
        if passes_on(graph.op(value)) && known.len() < MAX_VALUES {
            open.extend(graph.operands(value.node).into_iter().flatten().filter(|operand| is_float(graph, *operand)));
        }
    }
    false
}

/// Returns which queries of an attention whose rows are shifted become 0, if any do.
pub(super) fn hidden_queries(graph: &Graph, id: NodeId) -> Option<Value> {
    let query = graph.operand(id, 0)?;
    let chosen = if graph.kind(query) == OpKind::Reshape { graph.operand(query.node, 0)? } else { query };
    graph.operand(chosen.node, 0).filter(|_| graph.kind(chosen) == OpKind::Where)
}

fn rows(graph: &Graph, id: NodeId, mask: Value) -> Option<Rows> {
    let Op::Attention { is_causal: false, left_window_size, right_window_size, softcap: 0.0, q_num_heads, .. } =
        *graph.node(id).op()
    else {
        return None;
    };
    let has_scores = graph.results(id).nth(3).is_some_and(|scores| graph.use_count(scores) > 0);
    if left_window_size >= 0 || right_window_size >= 0 || has_scores || graph.operand(id, 6).is_some() {
        return None;
    }
    let query = graph.operand(id, 0)?;
    match (graph.fact(query).rank()?, graph.shape(mask)?) {
        (3 | 4, [_, _]) | (4, [_, _, _, _]) => Some(Rows::Same),
        (3, [_, Dim::Known(1), _, _]) => Some(Rows::OneHead),
        (3, [_, _, _, _]) => {
            let (heads, width) = (q_num_heads?, graph.shape(query)?.last()?.known()?);
            (heads > 0 && width % heads == 0).then_some(Rows::Merged { heads, size: width / heads })
        }
        _ => None,
    }
}

/// A mask whose rows are shifted, in the narrow type, and which queries have rows that absorb their scores in `f32`, if any
/// may.
#[derive(Clone, Copy)]
pub(super) struct Shifted {
    of: Value,
    form: Rows,
    mask: Value,
    is_hidden: Option<Value>,
}

impl Converter<'_> {
    /// Replaces the mask of an attention, whose rows may hide all keys, and the query: no row then does in the narrow type.
    pub(super) fn shift(&mut self, graph: &mut Graph, id: NodeId, operands: &mut [Option<Value>]) -> Result<(), Skip> {
        let (Some(query), Some(mask)) = (operands[0], operands[MASK]) else { return Err(Skip::NoMatch) };
        let to = self.context.to;
        let form = rows(graph, id, mask).ok_or(Skip::NoMatch)?;
        let found = self.shifted.iter().find(|shifted| shifted.of == mask && shifted.form == form).copied();
        let shifted = found.map_or_else(|| shifted(graph, mask, form, to), Ok)?;
        if found.is_none() {
            self.shifted.push(shifted);
        }
        operands[MASK] = Some(shifted.mask);
        let Some(is_hidden) = shifted.is_hidden else { return Ok(()) };
        let (root, mut own) = (Value { node: id, result: 0 }, query);
        if let Rows::Merged { heads, size } = form {
            let sizes = number_list(graph, root, "heads", &[0, 0, heads, size])?;
            own = insert(graph, root, "split", Op::Reshape { allowzero: false }, &[own, sizes])?;
        }
        let zero = number(graph, root, "zero", to, 0.0)?;
        let fact = graph.fact(own).clone();
        let mut shown = insert(graph, root, "query", Op::Where, &[is_hidden, zero, own])?;
        graph.set_fact(shown, Fact { ty: fact.ty, elements: None });
        if let Rows::Merged { heads, size } = form {
            let sizes = number_list(graph, root, "width", &[0, 0, heads * size])?;
            shown = insert(graph, root, "merged", Op::Reshape { allowzero: false }, &[shown, sizes])?;
        }
        operands[0] = Some(shown);
        Ok(())
    }
}

fn shifted(graph: &mut Graph, mask: Value, form: Rows, to: ElementType) -> Result<Shifted, Skip> {
    let whole = masks::before_lift(graph, mask).unwrap_or(mask);
    let least = Numbers::of(graph, whole).least;
    let is_bounded = masks::is_bounded(graph, mask);
    let wide = ElementType::F32;
    let axes = number_list(graph, mask, "axes", &[-1])?;
    let most = Op::ReduceMax { keepdims: true, noop_with_empty_axes: false };
    let mut most = insert(graph, mask, "most", most, &[mask, axes])?;
    if !is_bounded {
        // A row of minus infinity stays one.
        let least = number(graph, mask, "least", wide, Depths::of(wide).ort_skips)?;
        most = insert(graph, mask, "finite", Op::Max, &[most, least])?;
    }
    let mut level = insert(graph, mask, "shifted", Op::Sub, &[mask, most])?;
    if is_bounded {
        let masked = number(graph, mask, "masked", wide, Depths::of(to).masked)?;
        let is_deep = insert(graph, mask, "deep", Op::Less, &[level, masked])?;
        level = insert(graph, mask, "bounded", Op::Where, &[is_deep, masked, level])?;
    }
    let narrow = insert(graph, mask, &to.to_string(), cast(to), &[level])?;
    let mut shifted = Shifted { of: mask, form, mask: narrow, is_hidden: None };
    if least < -ADDING {
        let (hiding, compared) = if whole == mask { (-HIDING, Op::LessOrEqual) } else { (HIDING, Op::GreaterOrEqual) };
        let hiding = number(graph, mask, "hiding", wide, hiding)?;
        let is_hidden = insert(graph, mask, "hidden", compared, &[most, hiding])?;
        shifted.is_hidden = Some(match form {
            Rows::Same => is_hidden,
            Rows::OneHead => {
                let axis = number_list(graph, mask, "axis", &[1])?;
                insert(graph, mask, "rows", Op::Squeeze, &[is_hidden, axis])?
            }
            Rows::Merged { .. } => insert(graph, mask, "rows", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[is_hidden])?,
        });
    }
    Ok(shifted)
}
