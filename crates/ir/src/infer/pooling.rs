//! Pooling, and regions of interest.

use super::window::{Rounding, Sliding, Window, per_axis, windows};
use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::op::{AutoPad, RoiCoordinates, RoiMode};
use crate::{Dim, ElementType, Fact, Shape};
use smallvec::smallvec;

/// Results: the maximum of each window, and on request its index in the operand.
#[expect(clippy::too_many_arguments, reason = "the table of operators hands every attribute by itself")]
pub(crate) fn max_pool(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    ceil_mode: &bool,
    dilations: &[i64],
    kernel_shape: &[i64],
    pads: &[i64],
    _storage_order: &bool,
    strides: &[i64],
) -> Outcome {
    x.arity(1..=1, 1..=2)?;
    x.expect_element(0, "a float type, u8 or i8", |element| {
        element.is_float() || matches!(element, ElementType::U8 | ElementType::I8)
    })?;
    let sliding = Sliding { strides, dilations, pads, auto_pad: *auto_pad, rounding: Rounding::of_pool(*ceil_mode) };
    let pooled = Some(pooled(x, kernel_shape, &sliding)?);
    let mut facts = smallvec![tensor(x.element(0)?, pooled.clone())];
    facts.extend((1..x.results).map(|_| tensor(Some(ElementType::I64), pooled.clone())));
    Ok(Inferred { facts, assumed: vec![] })
}

#[expect(clippy::too_many_arguments, reason = "the table of operators hands every attribute by itself")]
pub(crate) fn average_pool(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    ceil_mode: &bool,
    _count_include_pad: &bool,
    dilations: &[i64],
    kernel_shape: &[i64],
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let sliding = Sliding { strides, dilations, pads, auto_pad: *auto_pad, rounding: Rounding::of_pool(*ceil_mode) };
    Ok(tensor(x.element(0)?, Some(pooled(x, kernel_shape, &sliding)?)).into())
}

#[expect(clippy::too_many_arguments, reason = "the table of operators hands every attribute by itself")]
pub(crate) fn lp_pool(
    x: &Operands<'_>,
    auto_pad: &AutoPad,
    ceil_mode: &bool,
    dilations: &[i64],
    kernel_shape: &[i64],
    _p: &i64,
    pads: &[i64],
    strides: &[i64],
) -> Outcome {
    average_pool(x, auto_pad, ceil_mode, &false, dilations, kernel_shape, pads, strides)
}

/// Infers the shape of the result: batch and channels stay.
fn pooled(x: &Operands<'_>, kernel_shape: &[i64], sliding: &Sliding<'_>) -> Result<Shape, InferError> {
    let windows = pool_windows(x, kernel_shape, sliding)?;
    let images = images(x, kernel_shape)?;
    let places = windows.iter().zip(&images[2..]).map(|(window, size)| window.places(x, size));
    images[..2].iter().cloned().map(Ok).chain(places).collect()
}

fn pool_windows(x: &Operands<'_>, kernel_shape: &[i64], sliding: &Sliding<'_>) -> Result<Vec<Window>, InferError> {
    let kernel: Vec<Dim> = kernel_shape.iter().copied().map(Dim::Known).collect();
    windows(x, &kernel, sliding)
}

/// Returns the shape of the first operand: batch, channels, and as many axes as the kernel has.
fn images(x: &Operands<'_>, kernel_shape: &[i64]) -> Result<Shape, InferError> {
    let rank = kernel_shape.len().saturating_add(2);
    match x.shape(0) {
        _ if kernel_shape.is_empty() => Err(x.fail("`kernel_shape` must not be empty")),
        Some(shape) if shape.len() != rank => Err(
            x.fail(format!("`kernel_shape` has length {}, which does not fit the shape {shape}", kernel_shape.len()))
        ),
        Some(shape) => Ok(shape.clone()),
        None => Ok((0..rank).map(|_| Dim::Unknown).collect()),
    }
}

/// All spatial axes get size 1.
pub(crate) fn global(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    if x.shape(0).is_some_and(|shape| shape.len() < 2) {
        return Err(x.fail("the operand must have a batch axis and channels"));
    }
    let one = |shape: &Shape| shape[..2].iter().cloned().chain(shape[2..].iter().map(|_| Dim::Known(1))).collect();
    Ok(tensor(x.element(0)?, x.shape(0).map(one)).into())
}

pub(crate) fn global_lp(x: &Operands<'_>, _p: &i64) -> Outcome {
    global(x)
}

/// Operands: the elements, their indices, and optionally the shape of the result.
pub(crate) fn max_unpool(x: &Operands<'_>, kernel_shape: &[i64], pads: &[i64], strides: &[i64]) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    for at in 1..3 {
        x.expect_element(at, "i64", |element| element == ElementType::I64)?;
    }
    let sliding = Sliding { strides, dilations: &[], pads, auto_pad: AutoPad::NotSet, rounding: Rounding::Whole };
    let windows = pool_windows(x, kernel_shape, &sliding)?;
    let images = images(x, kernel_shape)?;
    let mut assumed = vec![];
    if let Some(indices) = x.shape_of_rank(1, images.len())? {
        for (axis, (found, expected)) in indices.iter().zip(images.iter()).enumerate() {
            x.expect_same(found, expected, format_args!("the sizes of axis {axis} of both operands"), &mut assumed)?;
        }
    }
    let shape = if x.fact(2).is_some() {
        x.sizes(2, images.len())?.into_iter().collect()
    } else {
        let spread = windows.iter().zip(&images[2..]).map(|(window, places)| window.spread(x, places, 0));
        images[..2].iter().cloned().map(Ok).chain(spread).collect::<Result<Shape, _>>()?
    };
    Ok(Inferred { facts: smallvec![tensor(x.element(0)?, Some(shape))], assumed })
}

/// Operands: `[n, c, h, w]` and regions `[r, 5]`. Result: `[r, c, …]`.
pub(crate) fn max_roi_pool(x: &Operands<'_>, pooled_shape: &[i64], _spatial_scale: &f32) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    if pooled_shape.is_empty() {
        return Err(x.fail("`pooled_shape` must not be empty"));
    }
    let pooled = per_axis(x, "pooled_shape", pooled_shape, 2, 1, 1)?;
    regions(x, 5, pooled)
}

/// Operands: `[n, c, h, w]`, regions `[r, 4]`, and for each region its index in the batch. Result: `[r, c, …]`.
pub(crate) fn roi_align(
    x: &Operands<'_>,
    _coordinates: &RoiCoordinates,
    _mode: &RoiMode,
    output_height: &i64,
    output_width: &i64,
    _sampling_ratio: &i64,
    _spatial_scale: &f32,
) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.expect_element(2, "i64", |element| element == ElementType::I64)?;
    let height = per_axis(x, "output_height", &[*output_height], 1, 1, 1)?;
    let width = per_axis(x, "output_width", &[*output_width], 1, 1, 1)?;
    regions(x, 4, [height, width].concat())
}

fn regions(x: &Operands<'_>, coordinates: i64, pooled: Vec<i64>) -> Outcome {
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..2)?;
    let (data, regions) = (x.shape_of_rank(0, 4)?, x.shape_of_rank(1, 2)?);
    let count = regions.map_or(Dim::Unknown, |shape| shape[0].clone());
    let mut assumed = vec![];
    if let Some(regions) = regions {
        let what = "the size of a region and the number of its coordinates";
        x.expect_same(&regions[1], &Dim::Known(coordinates), what, &mut assumed)?;
    }
    x.expect_vector(2, &count, "the number of regions", &mut assumed)?;
    let channels = data.map_or(Dim::Unknown, |shape| shape[1].clone());
    let shape = [count, channels].into_iter().chain(pooled.into_iter().map(Dim::Known)).collect();
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// Operands: boxes `[n, boxes, 4]`, scores `[n, classes, boxes]`, and up to three scalars. The result holds three
/// indices for each selected box.
pub(crate) fn non_max_suppression(x: &Operands<'_>, _center_point_box: &bool) -> Outcome {
    x.arity(2..=5, 1..=1)?;
    for at in [0, 1, 3, 4] {
        x.expect_element(at, "f32", |element| element == ElementType::F32)?;
    }
    x.expect_element(2, "i64", |element| element == ElementType::I64)?;
    let mut assumed = vec![];
    let (boxes, scores) = (x.shape_of_rank(0, 3)?, x.shape_of_rank(1, 3)?);
    if let Some(boxes) = boxes {
        x.expect_same(&boxes[2], &Dim::Known(4), "the size of a box and 4", &mut assumed)?;
    }
    if let (Some(boxes), Some(scores)) = (boxes, scores) {
        x.expect_same(&boxes[0], &scores[0], "the batches of boxes and scores", &mut assumed)?;
        x.expect_same(&boxes[1], &scores[2], "the numbers of boxes and scores", &mut assumed)?;
    }
    let shape = Shape::from_iter([Dim::Unknown, Dim::Known(3)]);
    Ok(Inferred { facts: smallvec![Fact::tensor(ElementType::I64, shape)], assumed })
}
