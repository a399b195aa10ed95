use crate::pass::{Exactness, Pass};
use crate::read::numbers::elements;
use crate::rewrite::{become_op, expect_alone, insert};
use crate::rule::{Rewritten, Skip};
use crate::target::Scale;
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// `batch_normalization(conv(x, W, b))` -> `conv(x, W * k, (b - mean) * k + shift)`, with `k = scale / sqrt(variance +
/// e)`
///
/// In inference, the statistics are known, and so is the factor of each channel. It can be part of the trained weights,
/// also those of a ConvTranspose. It is computed in f64 and rounded once, so the error of a weight is at most half a
/// unit in its last place, as when the scale of attention is folded.
pub fn fold_batch_normalization() -> Pass {
    let summary = "batch_normalization(conv(x, W, b)) -> conv(x, W * k, (b - mean) * k + shift)";
    Pass::new("fold-batch-normalization", summary, Exactness::Rounding)
        .at([OpKind::BatchNormalization], fold)
        .only_for(|target, _| target.scale == Scale::Projection)
}

/// The maximum size of a weight, which is computed in memory, in bytes.
const MAX_BYTES: u64 = 64 << 20;

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let Op::BatchNormalization { epsilon, training_mode: false, .. } = *graph.op(root) else {
        return Err(Skip::NoMatch);
    };
    let conv = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let group = match graph.op(conv) {
        Op::Conv { .. } => None,
        Op::ConvTranspose { group, .. } => Some(*group),
        _ => return Err(Skip::NoMatch),
    };
    expect_alone(graph, conv)?;
    if graph.node(root.node).result_count() > 1 {
        return Err(Skip::rejected("it returns its statistics"));
    }
    let weight = graph.operand(conv.node, 1).ok_or(Skip::NoMatch)?;
    let (dims, elements) = floats(graph, weight)?;
    let statistics = |at: usize| {
        let value = graph.operand(root.node, at).ok_or(Skip::NoMatch)?;
        Ok::<_, Skip>(floats(graph, value)?.1)
    };
    let (scale, shift, mean, variance) = (statistics(1)?, statistics(2)?, statistics(3)?, statistics(4)?);
    let channels = scale.len();
    let bias = match graph.operand(conv.node, 2) {
        Some(bias) => floats(graph, bias)?.1,
        None => vec![0.0; channels],
    };
    if [shift.len(), mean.len(), variance.len(), bias.len()].iter().any(|len| *len != channels) {
        return Err(Skip::NoMatch);
    }
    let factors: Vec<f64> =
        scale.iter().zip(variance).map(|(scale, variance)| scale / (variance + f64::from(epsilon)).sqrt()).collect();
    if factors.iter().any(|factor| !factor.is_finite()) {
        return Err(Skip::rejected("a variance is not positive"));
    }
    // The channel of the result to which an element of the weights belongs.
    let kernel: usize = dims.iter().skip(2).product();
    let (first, second) = match dims.as_slice() {
        [first, second, ..] if kernel > 0 => (*first, *second),
        _ => return Err(Skip::NoMatch),
    };
    let channel = |at: usize| match group {
        None => at / (second * kernel),
        Some(group) => {
            let rows = first / usize::try_from(group).unwrap_or(1).max(1);
            (at / (second * kernel)) / rows.max(1) * second + at / kernel % second
        }
    };
    let mut bytes = Vec::with_capacity(4 * elements.len());
    for (at, element) in elements.iter().enumerate() {
        let factor = factors.get(channel(at)).ok_or(Skip::NoMatch)?;
        bytes.extend(narrow(element * factor).to_le_bytes());
    }
    let terms = bias.into_iter().zip(mean).zip(shift).zip(&factors);
    let sums: Vec<u8> = terms
        .flat_map(|(((bias, mean), shift), factor)| narrow((bias - mean) * factor + shift).to_le_bytes())
        .collect();
    let dims: Vec<u64> = dims.into_iter().map(|dim| dim as u64).collect();
    let weight = Op::Parameter(Tensor::from_bytes(ElementType::F32, &dims, bytes)?);
    let weight = insert(graph, root, "weight", weight, &[])?;
    let bias = Op::Parameter(Tensor::from_bytes(ElementType::F32, &[channels as u64], sums)?);
    let bias = insert(graph, root, "bias", bias, &[])?;
    let x = graph.operand(conv.node, 0).ok_or(Skip::NoMatch)?;
    become_op(graph, root, graph.op(conv).clone(), &[x, weight, bias], "folded into the weights of the convolution")
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
fn narrow(number: f64) -> f32 {
    number as f32
}

/// Returns the dims and elements of a parameter or constant.
fn floats(graph: &Graph, value: Value) -> Result<(Vec<usize>, Vec<f64>), Skip> {
    let name = || graph.operand_text(value);
    let tensor =
        graph.tensor(value).ok_or_else(|| Skip::rejected(format!("{} is not a parameter or constant", name())))?;
    if tensor.element() != ElementType::F32 {
        return Err(Skip::rejected(format!("the element type of {} is not f32", name())));
    }
    if tensor.len() > MAX_BYTES {
        return Err(Skip::rejected(format!("{} is larger than {} MiB", name(), MAX_BYTES >> 20)));
    }
    let dims = tensor.dims().iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>();
    Ok((dims.map_err(|_| Skip::NoMatch)?, elements(tensor)?))
}
