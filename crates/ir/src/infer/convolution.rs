//! Convolutions.

use super::window::{Rounding, Sliding, per_axis, windows};
use super::{Assumption, InferError, Inferred, Operands, Outcome, tensor};
use crate::op::{AutoPad, ConvActivation};
use crate::{Dim, ElementType, Shape};
use smallvec::smallvec;

pub(crate) fn conv(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    dilations: &[i64],
    group: &i64,
    kernel_shape: &[i64],
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..3)?;
    let sliding = Sliding { strides, dilations, pads, auto_pad: *auto_pad, rounding: Rounding::Whole };
    convolved(x, [0, 1, 2], *group, kernel_shape, &sliding, element)
}

/// Operands: data, weight, and the zero points of both, which may be absent.
pub(crate) fn conv_integer(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    dilations: &[i64],
    group: &i64,
    kernel_shape: &[i64],
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    x.arity(2..=4, 1..=1)?;
    x.expect_element(0, "u8 or i8", is_byte)?;
    x.expect_element(1, "u8 or i8", is_byte)?;
    x.common_element([0, 2])?;
    x.common_element([1, 3])?;
    let sliding = Sliding { strides, dilations, pads, auto_pad: *auto_pad, rounding: Rounding::Whole };
    convolved(x, [0, 1, usize::MAX], *group, kernel_shape, &sliding, Some(ElementType::I32))
}

/// Operands: data and weight, each with scale and zero point, the scale and zero point of the result, and a bias.
pub(crate) fn qlinear_conv(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    dilations: &[i64],
    group: &i64,
    kernel_shape: &[i64],
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    x.arity(8..=9, 1..=1)?;
    for at in [0, 3, 7] {
        x.expect_element(at, "u8 or i8", is_byte)?;
    }
    for at in [1, 4, 6] {
        x.expect_element(at, "f32", |element| element == ElementType::F32)?;
    }
    x.expect_element(8, "i32", |element| element == ElementType::I32)?;
    x.common_element([0, 2])?;
    x.common_element([3, 5])?;
    let sliding = Sliding { strides, dilations, pads, auto_pad: *auto_pad, rounding: Rounding::Whole };
    convolved(x, [0, 3, 8], *group, kernel_shape, &sliding, x.element(7)?)
}

fn is_byte(element: ElementType) -> bool {
    matches!(element, ElementType::U8 | ElementType::I8)
}

/// Infers `[n, c, …]` convolved with weights `[m, c / group, …]` and a bias `[m]`; `data`, `weight` and `bias` are
/// operand indices.
fn convolved(
    x: &Operands<'_>,
    [data, weight, bias]: [usize; 3],
    group: i64,
    kernel_shape: &[i64],
    sliding: &Sliding<'_>,
    element: Option<ElementType>,
) -> Outcome {
    let mut assumed = vec![];
    let Some(Images { data, weight, kernel }) = images(x, data, weight, kernel_shape, &mut assumed)? else {
        return Ok(tensor(element, None).into());
    };
    let in_group = weight[1].times(&grouped(x, group)?);
    x.expect_same(&data[1], &in_group, "the channels of the data and of the weights", &mut assumed)?;
    x.expect_multiple(&weight[0], group, "output channels", "groups")?;
    x.expect_vector(bias, &weight[0], "the output channels", &mut assumed)?;
    let windows = windows(x, &kernel, sliding)?;
    let sizes = windows.iter().zip(&data[2..]).map(|(window, size)| window.places(x, size));
    let shape = [Ok(data[0].clone()), Ok(weight[0].clone())].into_iter().chain(sizes).collect::<Result<Shape, _>>()?;
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

#[expect(clippy::too_many_arguments, reason = "the table of operators hands every attribute by itself")]
pub(crate) fn conv_transpose(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    dilations: &[i64],
    group: &i64,
    kernel_shape: &[i64],
    output_padding: &[i64],
    output_shape: &[i64],
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..3)?;
    let mut assumed = vec![];
    let Some(Images { data, weight, kernel }) = images(x, 0, 1, kernel_shape, &mut assumed)? else {
        return Ok(tensor(element, None).into());
    };
    let channels = weight[1].times(&grouped(x, *group)?);
    x.expect_same(&data[1], &weight[0], "the channels of the data and of the weights", &mut assumed)?;
    x.expect_multiple(&data[1], *group, "input channels", "groups")?;
    x.expect_vector(2, &channels, "the output channels", &mut assumed)?;
    let axes = kernel.len();
    let sliding = Sliding { strides, dilations, pads, auto_pad: *auto_pad, rounding: Rounding::Whole };
    let windows = windows(x, &kernel, &sliding)?;
    let more = per_axis(x, "output_padding", output_padding, axes, 0, 0)?;
    let wanted = per_axis(x, "output_shape", output_shape, axes, 0, 0)?;
    let sizes = windows.iter().zip(&data[2..]).zip(more).zip(wanted).map(|(((window, size), more), wanted)| {
        // The padding then follows from it.
        if output_shape.is_empty() { window.spread(x, size, more) } else { Ok(Dim::Known(wanted)) }
    });
    let shape = [Ok(data[0].clone()), Ok(channels)].into_iter().chain(sizes).collect::<Result<Shape, _>>()?;
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// Operands: data `[n, c, h, w]`, weight `[m, c / group, kh, kw]`, offsets `[n, offset_group * kh * kw * 2, …]`, bias
/// `[m]`, mask `[n, offset_group * kh * kw, …]`; the last two may be absent.
pub(crate) fn deform_conv(
    x: &Operands<'_>,
    dilations: &[i64],
    group: &i64,
    kernel_shape: &[i64],
    offset_group: &i64,
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    x.arity(3..=5, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..5)?;
    let sliding = Sliding { strides, dilations, pads, auto_pad: AutoPad::NotSet, rounding: Rounding::Whole };
    let mut inferred = convolved(x, [0, 1, 3], *group, kernel_shape, &sliding, element)?;
    let Some(Images { data, kernel, .. }) = images(x, 0, 1, kernel_shape, &mut vec![])? else { return Ok(inferred) };
    if *offset_group < 1 {
        return Err(x.fail(format!("`offset_group` is {offset_group}, but must be at least 1")));
    }
    x.expect_multiple(&data[1], *offset_group, "input channels", "offset groups")?;
    let Some(result) = inferred.facts[0].shape().cloned() else { return Ok(inferred) };
    let taps = kernel.iter().fold(Dim::Known(*offset_group), |taps, size| taps.times(size));
    let axes = i64::try_from(kernel.len()).map_or(Dim::Unknown, Dim::Known);
    for (at, channels) in [(2, taps.times(&axes)), (4, taps)] {
        let Some(shape) = x.shape_of_rank(at, result.len())? else { continue };
        let expected = [&result[0], &channels].into_iter().chain(&result[2..]);
        for (axis, (found, expected)) in shape.iter().zip(expected).enumerate() {
            let what = format_args!("the size of axis {axis} of operand {at} and the size that the weights require");
            x.expect_same(found, expected, what, &mut inferred.assumed)?;
        }
    }
    Ok(inferred)
}

/// Operands: data `[n, c, length]`, weight `[c, 1, k]`, bias `[c]`, the past state `[n, c, k - 1]`. Results: the data's
/// shape, and the next state.
pub(crate) fn causal_conv_with_state(x: &Operands<'_>, _activation: &ConvActivation) -> Outcome {
    x.arity(2..=4, 1..=2)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..4)?;
    let mut assumed = vec![];
    let (data, weight) = (x.shape_of_rank(0, 3)?, x.shape_of_rank(1, 3)?);
    let past = x.shape_of_rank(3, 3)?;
    let unknown = Dim::Unknown;
    let channels = data.or(past).map(|shape| &shape[1]).or(weight.map(|shape| &shape[0])).unwrap_or(&unknown);
    let batch = data.or(past).map_or(&unknown, |shape| &shape[0]);
    let kept = match (weight, past) {
        (Some(weight), _) => {
            x.expect_same(&weight[0], channels, "the channels of the data and of the weights", &mut assumed)?;
            x.expect_same(&weight[1], &Dim::Known(1), "the size of axis 1 of the weights and 1", &mut assumed)?;
            weight[2].minus(&Dim::Known(1))
        }
        (None, Some(past)) => past[2].clone(),
        (None, None) => Dim::Unknown,
    };
    if matches!(kept, Dim::Known(..0)) {
        return Err(x.fail("the kernel size is 0"));
    }
    x.expect_vector(2, channels, "the channels", &mut assumed)?;
    let state = Shape::from_iter([batch.clone(), channels.clone(), kept]);
    if let Some(past) = past {
        for (axis, (found, expected)) in past.iter().zip(state.iter()).enumerate() {
            x.expect_same(found, expected, format_args!("the sizes of axis {axis} of the states"), &mut assumed)?;
        }
    }
    let facts = [tensor(element, data.cloned()), tensor(element, Some(state))].into_iter().take(x.results).collect();
    Ok(Inferred { facts, assumed })
}

/// The shapes of data and weights, of the same rank, and the sizes of the kernel.
struct Images {
    data: Shape,
    weight: Shape,
    kernel: Vec<Dim>,
}

/// Returns the shapes; unknown sizes if one of both is unknown, `None` if both are.
fn images(
    x: &Operands<'_>,
    data: usize,
    weight: usize,
    kernel_shape: &[i64],
    assumed: &mut Vec<Assumption>,
) -> Result<Option<Images>, InferError> {
    let unknown = |like: &Shape| like.iter().map(|_| Dim::Unknown).collect::<Shape>();
    let (data, weight) = match (x.shape(data), x.shape(weight)) {
        (Some(data), Some(weight)) if data.len() != weight.len() => {
            return Err(x.fail(format!("the ranks of the data {data} and of the weights {weight} differ")));
        }
        (Some(data), Some(weight)) => (data.clone(), weight.clone()),
        (Some(data), None) => (data.clone(), unknown(data)),
        (None, Some(weight)) => (unknown(weight), weight.clone()),
        (None, None) => return Ok(None),
    };
    if data.len() < 3 {
        return Err(x.fail(format!("the data must have a batch, channels and a spatial axis, but is {data}")));
    }
    let mut kernel = weight[2..].to_vec();
    if !kernel_shape.is_empty() {
        let given = per_axis(x, "kernel_shape", kernel_shape, kernel.len(), 1, 1)?;
        for (dim, given) in kernel.iter_mut().zip(given) {
            x.expect_same(dim, &Dim::Known(given), "the sizes of the weights and of `kernel_shape`", assumed)?;
            *dim = Dim::Known(given);
        }
    }
    Ok(Some(Images { data, weight, kernel }))
}

/// Returns the number of groups, as a dim.
fn grouped(x: &Operands<'_>, group: i64) -> Result<Dim, InferError> {
    if group < 1 {
        return Err(x.fail(format!("`group` is {group}, but must be at least 1")));
    }
    Ok(Dim::Known(group))
}
