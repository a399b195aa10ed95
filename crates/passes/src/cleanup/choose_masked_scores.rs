//! Writes scores that are masked by products with 0 and 1 as a Where.

use crate::pass::{Exactness, Pass};
use crate::read::numbers;
use crate::read::sizes::{Sizes, same_shape};
use crate::rewrite::{become_op, cast, element, first_operands, insert, number};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Tensor, Value};

/// `x * m - c * (1 - m)` -> `where(m, x, -c)`, if every element of `m` is provably 0 or 1
///
/// GPT-2 and similar models masked scores in this way before ONNX had Where, which attention fusion recognizes. If `x`
/// is infinite or NaN and `m` is 0, the result was NaN and becomes `-c`.
pub fn choose_masked_scores() -> Pass {
    let summary = "x * m - c * (1 - m) -> where(m, x, -c)";
    Pass::new("choose-masked-scores", summary, Exactness::Numbers).at([OpKind::Sub, OpKind::Add], choose)
}

fn choose(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = first_operands(graph, root)?;
    let is_sum = graph.kind(root) == OpKind::Add;
    let sides = if is_sum { vec![(a, b), (b, a)] } else { vec![(a, b)] };
    for (product, rest) in sides {
        if graph.kind(product) != OpKind::Mul {
            continue;
        }
        let (Some(x), Some(y)) = (graph.operand(product.node, 0), graph.operand(product.node, 1)) else { continue };
        for (x, mask) in [(x, y), (y, x)] {
            let Some(hidden) = added_if_masked(graph, rest, mask) else { continue };
            let fill = if is_sum { hidden } else { -hidden };
            let is_whole = graph.shape(x).zip(graph.shape(root)).is_some_and(|(own, whole)| same_shape(own, whole));
            if !is_whole {
                return Err(Skip::rejected(format!(
                    "{} broadcasts the masked value to a larger shape",
                    graph.operand_text(mask)
                )));
            }
            if graph.use_count(product) != 1 {
                return Err(Skip::rejected(format!("{} has another use", graph.operand_text(product))));
            }
            let element = element(graph, root)?;
            let condition = match graph.kind(mask) {
                OpKind::Cast if is_truth(graph, graph.operand(mask.node, 0)) => {
                    graph.operand(mask.node, 0).ok_or(Skip::NoMatch)?
                }
                _ => insert(graph, root, "seen", cast(ElementType::Bool), &[mask])?,
            };
            let condition = whole(graph, root, condition)?;
            let fill = number(graph, root, "masked", element, fill)?;
            return become_op(graph, root, Op::Where, &[condition, x, fill], "masks by a where");
        }
    }
    Err(Skip::NoMatch)
}

/// Expands the condition to rows and columns that provably are those of the scores, if the sizes can be computed. For a
/// slice of a table, inference only proves that it is no larger than the table.
fn whole(graph: &mut Graph, root: Value, condition: Value) -> Result<Value, Skip> {
    let (Some([.., own_rows, own_columns]), Some([.., rows, columns])) = (graph.shape(condition), graph.shape(root))
    else {
        return Ok(condition);
    };
    let is = |own: &Dim, size: &Dim| *own == Dim::Known(1) || own.same(size) == Some(true);
    if is(own_rows, rows) && is(own_columns, columns) {
        return Ok(condition);
    }
    let target = [rows.clone(), columns.clone()];
    let Some(sizes) = Sizes::of(graph).expression(&target, true) else { return Ok(condition) };
    let sizes = sizes.insert(graph, root)?;
    insert(graph, root, "seen.whole", Op::Expand, &[condition, sizes])
}

/// Returns the number that `rest` adds at elements whose mask is 0, if it adds nothing at elements whose mask is 1.
fn added_if_masked(graph: &Graph, rest: Value, mask: Value) -> Option<f64> {
    if let (Some(rest), Some(mask)) = (graph.tensor(rest), graph.tensor(mask)) {
        if rest.dims() != mask.dims() || mask.dims().is_empty() {
            return None;
        }
        let mut all = elements(rest)?.into_iter().zip(elements(mask)?);
        let fill = all.clone().find(|(_, mask)| *mask == 0.0)?.0;
        let fits = |(rest, mask): (f64, f64)| mask == 0.0 && rest == fill || mask == 1.0 && rest == 0.0;
        return all.all(fits).then_some(fill);
    }
    let Line { at_0, at_1 } = line(graph, rest, mask, MAX_DEPTH)?;
    (at_1 == 0.0 && at_0 != 0.0 && is_binary(graph, mask)).then_some(at_0)
}

/// The maximum size of a constant mask, in bytes.
const MAX_BYTES: u64 = 1 << 24;

/// The maximum depth of an expression that is read.
const MAX_DEPTH: usize = 6;

fn elements(mask: &Tensor) -> Option<Vec<f64>> {
    if !mask.element().is_float() || mask.len() > MAX_BYTES {
        return None;
    }
    numbers::elements(mask).ok()
}

/// A linear function of the mask: its results for masks 0 and 1.
struct Line {
    at_0: f64,
    at_1: f64,
}

fn line(graph: &Graph, value: Value, mask: Value, depth: usize) -> Option<Line> {
    if value == mask {
        return Some(Line { at_0: 0.0, at_1: 1.0 });
    }
    if let Some(number) = graph.tensor(value).and_then(Tensor::float) {
        return Some(Line { at_0: number, at_1: number });
    }
    let part = |at| line(graph, graph.operand(value.node, at)?, mask, depth.checked_sub(1)?);
    let apply: fn(f64, f64) -> f64 = match graph.kind(value) {
        OpKind::Add => |a, b| a + b,
        OpKind::Sub => |a, b| a - b,
        OpKind::Mul => |a, b| a * b,
        OpKind::Neg => {
            let of = part(0)?;
            return Some(Line { at_0: -of.at_0, at_1: -of.at_1 });
        }
        _ => return None,
    };
    let (a, b) = (part(0)?, part(1)?);
    Some(Line { at_0: apply(a.at_0, b.at_0), at_1: apply(a.at_1, b.at_1) })
}

fn is_truth(graph: &Graph, value: Option<Value>) -> bool {
    value.is_some_and(|value| graph.fact(value).element() == Some(ElementType::Bool))
}

/// Whether every element is provably 0 or 1.
fn is_binary(graph: &Graph, mut value: Value) -> bool {
    for _ in 0..MAX_DEPTH {
        if let Some(tensor) = graph.tensor(value) {
            return elements(tensor).is_some_and(|all| all.iter().all(|one| *one == 0.0 || *one == 1.0));
        }
        let operand = graph.operand(value.node, 0);
        // Elements outside of a triangle are 0.
        let moves = graph.kind(value).moves_elements() || graph.kind(value) == OpKind::Trilu;
        match (graph.kind(value), operand) {
            (OpKind::Cast, inner) if is_truth(graph, inner) => return true,
            (_, Some(inner)) if moves => value = inner,
            _ => return false,
        }
    }
    false
}
