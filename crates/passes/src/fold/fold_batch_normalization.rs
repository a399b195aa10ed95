//! Folds a batch normalization into the weights of the convolution before it.

use crate::pass::{Exactness, Pass};
use crate::read::numbers::elements;
use crate::rewrite::{become_op, element, expect_alone, insert};
use crate::rule::{Rewritten, Skip};
use crate::target::Scale;
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// `batch_normalization(conv(x, W, b))` -> `conv(x, W * k, (b - mean) * k + shift)`, with `k = scale / sqrt(variance +
/// e)`
///
/// In inference, the statistics are known, and so is the factor of each channel. It can be part of the trained weights,
/// also those of a ConvTranspose. They are computed in f64 and rounded to their type, so the error of a weight is at
/// most half a unit in its last place, as when the scale of attention is folded.
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
    let products = elements.iter().enumerate();
    let products = products.map(|(at, element)| Some(element * factors.get(channel(at))?));
    let products: Vec<f64> = products.collect::<Option<_>>().ok_or(Skip::NoMatch)?;
    let terms = bias.into_iter().zip(mean).zip(shift).zip(&factors);
    let sums: Vec<f64> = terms.map(|(((bias, mean), shift), factor)| (bias - mean) * factor + shift).collect();
    let dims: Vec<u64> = dims.into_iter().map(|dim| dim as u64).collect();
    let element = element(graph, weight)?;
    let weight = Op::Parameter(rounded(&products, &dims, element)?);
    let weight = insert(graph, root, "weight", weight, &[])?;
    let bias = Op::Parameter(rounded(&sums, &[channels as u64], element)?);
    let bias = insert(graph, root, "bias", bias, &[])?;
    let x = graph.operand(conv.node, 0).ok_or(Skip::NoMatch)?;
    become_op(graph, root, graph.op(conv).clone(), &[x, weight, bias], "folded into the weights of the convolution")
}

/// Returns numbers as a tensor of f32, f16 or bf16.
///
/// # Errors
/// If a number overflows in that type, and if the shape does not fit.
fn rounded(numbers: &[f64], dims: &[u64], element: ElementType) -> Result<Tensor, Skip> {
    let mut bytes = Vec::with_capacity(4 * numbers.len());
    for number in numbers {
        let rounded = element.round(*number).ok_or(Skip::NoMatch)?;
        if number.is_finite() && !rounded.is_finite() {
            return Err(Skip::rejected(format!("a scaled weight overflows in {element}")));
        }
        #[expect(clippy::cast_possible_truncation, reason = "f32 holds the numbers of the type")]
        bytes.extend((rounded as f32).to_le_bytes());
    }
    Ok(Tensor::from_bytes(ElementType::F32, dims, bytes)?.cast(element)?)
}

/// Returns the dims and elements of a parameter or constant.
fn floats(graph: &Graph, value: Value) -> Result<(Vec<usize>, Vec<f64>), Skip> {
    let name = || graph.operand_text(value);
    let tensor =
        graph.tensor(value).ok_or_else(|| Skip::rejected(format!("{} is not a parameter or constant", name())))?;
    if !matches!(tensor.element(), ElementType::F32 | ElementType::F16 | ElementType::BF16) {
        return Err(Skip::rejected(format!("the element type of {} is not f32, f16 or bf16", name())));
    }
    if tensor.len() > MAX_BYTES {
        return Err(Skip::rejected(format!("{} is larger than {} MiB", name(), MAX_BYTES >> 20)));
    }
    let dims = tensor.dims().iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>();
    Ok((dims.map_err(|_| Skip::NoMatch)?, elements(tensor)?))
}
