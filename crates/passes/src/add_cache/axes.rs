//! How the axes of an operator's operands become axes of its result, one slice for one slice.

use crate::read::sizes::position;
use crate::runtime::contrib;
use netwright_ir::op::Class;
use netwright_ir::{Attribute, Dim, Graph, NodeId, Op, OpKind, Value};

/// Returns the axis of the result to which an axis of an operand becomes, if each slice of the result along it is
/// computed from the slice of the operand at the same place, and from no other.
///
/// # Errors
/// Why the operator is not such an operator.
pub(super) fn mapped(graph: &Graph, node: NodeId, at: usize, axis: usize) -> Result<usize, String> {
    let op = graph.node(node).op();
    let operand = |at: usize| graph.operand(node, at);
    let rank_of = |value: Option<Value>| {
        value.and_then(|value| graph.fact(value).rank()).ok_or_else(|| "an operand has an unknown rank".to_owned())
    };
    let rank = rank_of(operand(at))?;
    let result = rank_of(Some(Value { node, result: 0 }))?;
    let word = op.name();
    let along_tokens = || format!("{word} mixes the tokens of a sequence");
    let unless = |is_mixed: bool| if is_mixed { Err(along_tokens()) } else { Ok(axis) };
    let is_axis = |of: i64| position(of, rank) == Some(axis);
    match op {
        Op::Clip if at > 0 => Err(along_tokens()),
        Op::Clip | Op::CastLike { .. } => Ok(axis),
        Op::Transpose { perm } => {
            let place = perm.iter().position(|from| usize::try_from(*from) == Ok(axis));
            place.ok_or_else(along_tokens)
        }
        Op::Unsqueeze | Op::Squeeze | Op::Reshape { .. } | Op::Flatten { .. } if at == 0 => {
            let (Some(from), Some(to)) =
                (graph.shape(operand(0).ok_or_else(along_tokens)?), graph.shape(Value { node, result: 0 }))
            else {
                return Err(format!("{word} has an operand or a result of unknown shape"));
            };
            reshaped(from, to, axis).ok_or_else(|| format!("{word} merges the axis of the sequence with another"))
        }
        Op::Expand if at == 0 => Ok(axis + result.saturating_sub(rank)),
        Op::GatherND { batch_dims: 0 } if at == 1 => unless(axis + 1 == rank),
        Op::GatherND { batch_dims: 0 } => {
            let indices = graph.shape(operand(1).ok_or_else(along_tokens)?).unwrap_or_default();
            let picked =
                indices.last().and_then(|size| usize::try_from(size.known()?).ok()).ok_or_else(along_tokens)?;
            let after = axis.checked_sub(picked).ok_or_else(along_tokens)?;
            Ok(indices.len() - 1 + after)
        }
        Op::Tile if at == 0 => {
            let repeats = operand(1).and_then(|repeats| graph.fact(repeats).elements.clone());
            unless(repeats.as_deref().and_then(|repeats| repeats.get(axis)) != Some(&Dim::Known(1)))
        }
        Op::Concat { axis: along } | Op::Softmax { axis: along } | Op::LogSoftmax { axis: along } => {
            unless(is_axis(*along))
        }
        Op::Split { axis: along } if at == 0 => unless(is_axis(*along)),
        Op::Slice if at == 0 => {
            let axes = match operand(3) {
                Some(axes) => graph.fact(axes).known_elements(),
                None => graph
                    .fact(operand(1).ok_or_else(along_tokens)?)
                    .shape()
                    .and_then(|shape| shape.first()?.known())
                    .map(|count| (0..count).collect()),
            };
            let axes = axes.ok_or_else(|| format!("{word} has unknown axes"))?;
            let Some(place) = axes.iter().position(|of| is_axis(*of)) else { return Ok(axis) };
            let element = |at: usize| graph.fact(operand(at)?).elements.as_ref()?.get(place).cloned();
            let is_forward = operand(4).is_none() || element(4) == Some(Dim::Known(1));
            let dims =
                [operand(0), Some(Value { node, result: 0 })].map(|value| graph.shape(value?)?.get(axis).cloned());
            let is_whole = matches!(&dims, [Some(from), Some(to)] if from.same(to) == Some(true));
            unless(!(is_whole && is_forward && element(1) == Some(Dim::Known(0))))
        }
        Op::Gather { axis: along } => {
            let data = rank_of(operand(0))?;
            let indices = rank_of(operand(1))?;
            let along = position(*along, data).ok_or_else(|| format!("{word} has no such axis"))?;
            match at {
                1 => Ok(along + axis),
                _ if axis < along => Ok(axis),
                _ if axis > along => Ok(axis + indices - 1),
                _ => Err(format!("{word} selects from the tokens of a sequence")),
            }
        }
        Op::LayerNormalization { axis: from, .. } | Op::RMSNormalization { axis: from, .. } if at == 0 => {
            unless(position(*from, rank).is_none_or(|from| axis >= from))
        }
        Op::ScaledSoftmax { axis: along, .. } => {
            let axis = axis + result.saturating_sub(rank);
            if position(*along, result) == Some(axis) { Err(along_tokens()) } else { Ok(axis) }
        }
        Op::CumSum { reverse, .. } if at == 0 => {
            let along = operand(1).and_then(|along| graph.fact(along).known_elements()?.first().copied());
            unless(*reverse || along.is_none_or(is_axis))
        }
        Op::MatMul => {
            let [a, b] = [rank_of(operand(0))?, rank_of(operand(1))?];
            if a < 2 || b < 2 {
                return Err(format!("{word} has an operand of rank 1"));
            }
            let summed = if at == 0 { rank - 1 } else { rank - 2 };
            if axis == summed {
                Err(format!("{word} sums over the tokens of a sequence"))
            } else {
                Ok(axis + result - rank)
            }
        }
        // The weights are constant, and each row is quantized apart.
        Op::Opaque(opaque) if at == 0 && contrib::is(opaque, "MatMulNBits") => unless(axis + 1 == rank),
        Op::Opaque(opaque) if at == 1 && contrib::is(opaque, "GatherBlockQuantized") => {
            match contrib::attribute(opaque, "gather_axis") {
                None | Some(Attribute::Int(0)) => Ok(axis),
                Some(_) => Err(format!("{word} does not look up rows")),
            }
        }
        Op::Gemm { trans_a, .. } => match at {
            0 => unless(*trans_a || axis != 0),
            2 => Ok(axis + result.saturating_sub(rank)),
            _ => Err(along_tokens()),
        },
        Op::RotaryEmbedding { .. } => match at {
            0 => unless(axis == rank - 1 || rank == 4 && axis == 1),
            _ if axis == 1 => Ok(if result == 4 { 2 } else { 1 }),
            _ => Err(along_tokens()),
        },
        op if op.kind().class() == Class::Reduces && at == 0 => {
            reduced(graph, node, axis, rank).ok_or_else(along_tokens)
        }
        op if matches!(op.kind().class(), Class::ElementwiseUnary | Class::Broadcasting) => {
            Ok(axis + result.saturating_sub(rank))
        }
        _ => Err(format!("{word} is not known to compute each token apart")),
    }
}

/// Returns the place of an axis after a Reshape: the same number of elements comes before it, and it has the same size.
fn reshaped(from: &[Dim], to: &[Dim], axis: usize) -> Option<usize> {
    let product = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |product, dim| product.times(dim));
    let (before, size) = (product(&from[..axis]), &from[axis]);
    (0..to.len())
        .find(|place| to[*place].same(size) == Some(true) && product(&to[..*place]).same(&before) == Some(true))
}

/// Returns the place of an axis that a reduction keeps.
fn reduced(graph: &Graph, node: NodeId, axis: usize, rank: usize) -> Option<usize> {
    let axes = match graph.node(node).op() {
        Op::ArgMax { axis, .. } | Op::ArgMin { axis, .. } => vec![*axis],
        _ => graph.fact(graph.operand(node, 1)?).known_elements()?,
    };
    let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| position(axis, rank)).collect();
    let axes = axes.filter(|axes| !axes.is_empty() && !axes.contains(&axis))?;
    let keeps_axes = graph.fact(Value { node, result: 0 }).rank()? == rank;
    Some(if keeps_axes { axis } else { axis - axes.iter().filter(|reduced| **reduced < axis).count() })
}

/// Whether an operand is a shape or a bound, whose elements are sizes.
pub(super) fn takes_sizes(kind: OpKind, at: usize) -> bool {
    match kind {
        OpKind::ConstantOfShape => at == 0,
        OpKind::Range => true,
        OpKind::Expand | OpKind::Reshape => at == 1,
        OpKind::Slice => at > 0,
        _ => false,
    }
}
