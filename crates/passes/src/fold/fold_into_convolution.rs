//! Folds what is computed for each channel after a convolution into its weights.

use crate::pass::{Exactness, Pass};
use crate::read::numbers::elements;
use crate::rewrite::{become_op, element, expect_alone, insert};
use crate::rule::{Rewritten, Skip};
use crate::target::Scale;
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// `conv(x, W, b) * k + c` -> `conv(x, W * k, b * k + c)`, also if `k` and `c` are a batch normalization
///
/// In inference, the statistics of a batch normalization are known, and so is the factor of each channel. It can be part
/// of the trained weights, also those of a ConvTranspose. They are computed in f64 and rounded to their type, so the
/// error of a weight is at most half a unit in its last place, as when the scale of attention is folded. Models from
/// TensorFlow add the bias of a convolution after it.
pub fn fold_into_convolution() -> Pass {
    let summary = "conv(x, W, b) * k + c -> conv(x, W * k, b * k + c), also if k and c are a batch normalization";
    Pass::new("fold-into-convolution", summary, Exactness::Rounding)
        .at([OpKind::BatchNormalization, OpKind::Mul, OpKind::Div, OpKind::Add, OpKind::Sub], fold)
        .only_for(|target, _| target.scale == Scale::Projection)
}

/// The maximum size of a weight, which is computed in memory, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// What is computed for each channel: `(x - mean) * factor + shift`.
struct Affine {
    mean: Vec<f64>,
    factors: Option<Vec<f64>>,
    shift: Vec<f64>,
}

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let group = |of: Value| match graph.op(of) {
        Op::Conv { .. } => Some(None),
        Op::ConvTranspose { group, .. } => Some(Some(*group)),
        _ => None,
    };
    let commutes = graph.op(root).kind().commutes();
    let operands = graph.operands(root.node).into_iter().take(if commutes { 2 } else { 1 }).flatten();
    let (conv, group) = operands.into_iter().find_map(|of| Some((of, group(of)?))).ok_or(Skip::NoMatch)?;
    let is_known = |of: &Value| *of == conv || graph.tensor(*of).is_some();
    if graph.kind(root) != OpKind::BatchNormalization && !graph.operands(root.node).iter().flatten().all(is_known) {
        return Err(Skip::NoMatch);
    }
    let weight = graph.operand(conv.node, 1).ok_or(Skip::NoMatch)?;
    let dims = sizes(held(graph, weight)?)?;
    // The channel of the result to which an element of the weights belongs.
    let kernel: usize = dims.iter().skip(2).product();
    let (first, second) = match dims.as_slice() {
        [first, second, ..] if kernel > 0 => (*first, *second),
        _ => return Err(Skip::NoMatch),
    };
    let groups = group.map(|group| usize::try_from(group).unwrap_or(1).max(1));
    let channels = groups.map_or(first, |groups| second * groups);
    let channel = |at: usize| match groups {
        None => at / (second * kernel),
        Some(groups) => (at / (second * kernel)) / (first / groups).max(1) * second + at / kernel % second,
    };
    let Affine { mean, factors, shift } = match graph.kind(root) {
        OpKind::BatchNormalization => normalization(graph, root)?,
        _ => arithmetic(graph, root, conv, channels, dims.len())?,
    };
    expect_alone(graph, conv)?;
    let bias = match graph.operand(conv.node, 2) {
        Some(bias) => Some(floats(graph, bias)?),
        None => shift.iter().chain(&mean).any(|number| *number != 0.0).then(|| vec![0.0; channels]),
    };
    let lengths = [Some(&mean), factors.as_ref(), Some(&shift), bias.as_ref()];
    if lengths.into_iter().flatten().any(|numbers| numbers.len() != channels) {
        return Err(Skip::NoMatch);
    }
    let element = element(graph, weight)?;
    let mut operands = vec![graph.operand(conv.node, 0).ok_or(Skip::NoMatch)?, weight];
    if let Some(factors) = &factors {
        let elements = elements(held(graph, weight)?)?.into_iter().enumerate();
        let products = elements.map(|(at, element)| Some(element * factors.get(channel(at))?));
        let products: Vec<f64> = products.collect::<Option<_>>().ok_or(Skip::NoMatch)?;
        let dims: Vec<u64> = dims.into_iter().map(|dim| dim as u64).collect();
        let weight = Op::Parameter(rounded(&products, &dims, element)?);
        operands[1] = insert(graph, root, "weight", weight, &[])?;
    }
    if let Some(bias) = bias {
        let factor = |at: usize| factors.as_ref().map_or(1.0, |factors| factors[at]);
        let terms = bias.into_iter().zip(mean).zip(shift).enumerate();
        let sums: Vec<f64> = terms.map(|(at, ((bias, mean), shift))| (bias - mean) * factor(at) + shift).collect();
        let bias = Op::Parameter(rounded(&sums, &[channels as u64], element)?);
        operands.push(insert(graph, root, "bias", bias, &[])?);
    }
    become_op(graph, root, graph.op(conv).clone(), &operands, "folded into the weights of the convolution")
}

/// Returns what a batch normalization computes.
fn normalization(graph: &Graph, root: Value) -> Result<Affine, Skip> {
    let Op::BatchNormalization { epsilon, training_mode: false, .. } = *graph.op(root) else {
        return Err(Skip::NoMatch);
    };
    if graph.node(root.node).result_count() > 1 {
        return Err(Skip::rejected("it returns its statistics"));
    }
    let statistics = |at: usize| {
        let value = graph.operand(root.node, at).ok_or(Skip::NoMatch)?;
        floats(graph, value)
    };
    let (scale, shift, mean, variance) = (statistics(1)?, statistics(2)?, statistics(3)?, statistics(4)?);
    let factors: Vec<f64> =
        scale.iter().zip(variance).map(|(scale, variance)| scale / (variance + f64::from(epsilon)).sqrt()).collect();
    if factors.iter().any(|factor| !factor.is_finite()) {
        return Err(Skip::rejected("a variance is not positive"));
    }
    Ok(Affine { mean, factors: Some(factors), shift })
}

/// Returns what arithmetic with one number, or with one for each channel, computes.
fn arithmetic(graph: &Graph, root: Value, conv: Value, channels: usize, rank: usize) -> Result<Affine, Skip> {
    let other = graph.operands(root.node).into_iter().flatten().find(|of| *of != conv).ok_or(Skip::NoMatch)?;
    let (dims, mut numbers) = (sizes(held(graph, other)?)?, floats(graph, other)?);
    // The axis of the channels is the second one, counted from the last.
    let is_of_channels = |axis: usize| axis + rank == dims.len() + 1;
    let is_channelwise =
        dims.len() <= rank && dims.iter().enumerate().all(|(axis, dim)| *dim == 1 || is_of_channels(axis));
    if !is_channelwise || (numbers.len() != 1 && numbers.len() != channels) {
        return Err(Skip::NoMatch);
    }
    if numbers.len() == 1 {
        numbers = vec![numbers[0]; channels];
    }
    let zeros = vec![0.0; channels];
    let (factors, shift) = match graph.kind(root) {
        OpKind::Mul => (Some(numbers), zeros.clone()),
        OpKind::Div => (Some(numbers.into_iter().map(f64::recip).collect()), zeros.clone()),
        OpKind::Add => (None, numbers),
        OpKind::Sub => (None, numbers.into_iter().map(|number| -number).collect()),
        _ => return Err(Skip::NoMatch),
    };
    if factors.iter().flatten().any(|factor| !factor.is_finite()) {
        return Err(Skip::rejected("a factor is not finite"));
    }
    Ok(Affine { mean: zeros, factors, shift })
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

/// Returns a parameter or constant of f32, f16 or bf16.
///
/// # Errors
/// If the value is something else, or larger than [`MAX_BYTES`].
fn held(graph: &Graph, value: Value) -> Result<&Tensor, Skip> {
    let name = || graph.operand_text(value);
    let tensor =
        graph.tensor(value).ok_or_else(|| Skip::rejected(format!("{} is not a parameter or constant", name())))?;
    if !matches!(tensor.element(), ElementType::F32 | ElementType::F16 | ElementType::BF16) {
        return Err(Skip::rejected(format!("the element type of {} is not f32, f16 or bf16", name())));
    }
    if tensor.len() > MAX_BYTES {
        return Err(Skip::rejected(format!("{} is larger than {} MiB", name(), MAX_BYTES >> 20)));
    }
    Ok(tensor)
}

fn sizes(tensor: &Tensor) -> Result<Vec<usize>, Skip> {
    let sizes = tensor.dims().iter().map(|dim| usize::try_from(*dim).map_err(|_| Skip::NoMatch));
    sizes.collect()
}

/// Returns the elements of a parameter or constant.
fn floats(graph: &Graph, value: Value) -> Result<Vec<f64>, Skip> {
    elements(held(graph, value)?)
}
