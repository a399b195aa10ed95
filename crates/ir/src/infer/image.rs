//! Images: resized, sampled on a grid, decoded.

use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::op::{AspectRatioPolicy, GridPadding, Interpolation, NearestMode, PixelFormat, ResizeCoordinates};
use crate::{Dim, ElementType, Fact, Shape, Tensor};
use smallvec::smallvec;

/// Operands: data, region, scales, sizes. One of the last two is present; the others may be absent or, in older models,
/// empty.
#[expect(clippy::too_many_arguments, reason = "the table of operators hands every attribute by itself")]
pub(crate) fn resize(
    x: &Operands<'_>,
    _antialias: &bool,
    axes: &[i64],
    coordinates: &ResizeCoordinates,
    _cubic_coeff_a: &f32,
    _exclude_outside: &bool,
    _extrapolation_value: &f32,
    policy: &AspectRatioPolicy,
    _mode: &Interpolation,
    _nearest_mode: &NearestMode,
) -> Outcome {
    x.arity(1..=4, 1..=1)?;
    x.expect_element(1, "a float type", ElementType::is_float)?;
    x.expect_element(2, "f32", |element| element == ElementType::F32)?;
    x.expect_element(3, "i64", |element| element == ElementType::I64)?;
    let given = |at: usize| x.fact(at).is_some_and(|fact| fact.shape().is_none_or(|shape| **shape != [Dim::Known(0)]));
    let (by_scales, by_sizes) = (given(2), given(3));
    if by_scales == by_sizes {
        let both = if by_scales { "both scales and sizes are given" } else { "neither scales nor sizes are given" };
        return Err(x.fail(both));
    }
    if by_scales && *policy != AspectRatioPolicy::Stretch {
        return Err(x.fail("`keep_aspect_ratio_policy` applies to sizes only, but scales are given"));
    }
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else { return Ok(tensor(element, None).into()) };
    let axes = if axes.is_empty() { (0..shape.len()).collect() } else { x.axes(axes, shape.len())? };
    let from: Vec<&Dim> = axes.iter().map(|&axis| &shape[axis]).collect();
    let to = if by_sizes {
        let wanted = x.sizes(3, axes.len())?;
        match policy {
            AspectRatioPolicy::Stretch => wanted,
            policy => in_ratio(&from, &wanted, *policy),
        }
    } else {
        let count = i64::try_from(axes.len()).map_or(Dim::Unknown, Dim::Known);
        x.expect_vector(2, &count, "the number of axes", &mut vec![])?;
        match x.tensors.get(2).copied().flatten().and_then(Tensor::floats) {
            // In this mode the region matters too.
            _ if *coordinates == ResizeCoordinates::TfCropAndResize => vec![Dim::Unknown; axes.len()],
            None => vec![Dim::Unknown; axes.len()],
            Some(scales) => from.iter().zip(scales).map(|(size, by)| scaled(x, size, by)).collect::<Result<_, _>>()?,
        }
    };
    let mut result = shape.clone();
    for (axis, size) in axes.into_iter().zip(to) {
        result.dims_mut()[axis] = size;
    }
    Ok(tensor(element, Some(result)).into())
}

/// Returns the size times the scale, rounded down.
///
/// For a symbolic size it is known if the scale is a fraction of few bits, for which all precisions agree.
fn scaled(x: &Operands<'_>, size: &Dim, scale: f64) -> Result<Dim, InferError> {
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(x.fail(format!("the scale {scale} is not positive")));
    }
    if let Dim::Known(size) = size {
        let [single, double] = product(*size, scale).map(|size| whole(size.floor()));
        return Ok(double.filter(|_| single == double).map_or(Dim::Unknown, Dim::Known));
    }
    let denominator = [1.0, 2.0, 4.0, 8.0, 16.0].into_iter().find(|denominator| (scale * denominator).fract() == 0.0);
    let fraction = denominator.and_then(|denominator| Some((whole(scale * denominator)?, whole(denominator)?)));
    Ok(fraction.map_or(Dim::Unknown, |(numerator, denominator)| {
        size.times(&Dim::Known(numerator)).floor_div(&Dim::Known(denominator))
    }))
}

/// Multiplies all sizes by the smallest or largest ratio of a requested size to its axis, rounded to the nearest.
fn in_ratio(from: &[&Dim], wanted: &[Dim], policy: AspectRatioPolicy) -> Vec<Dim> {
    let axes = from.iter().zip(wanted).map(|(from, to)| Some((from.known().filter(|from| *from > 0)?, to.known()?)));
    let axes: Option<Vec<(i64, i64)>> = axes.collect();
    let wide = i128::from;
    let by_ratio = |a: &&(i64, i64), b: &&(i64, i64)| (wide(a.1) * wide(b.0)).cmp(&(wide(b.1) * wide(a.0)));
    let axes = axes.unwrap_or_default();
    let ratio = match policy {
        AspectRatioPolicy::NotSmaller => axes.iter().max_by(by_ratio).copied(),
        _ => axes.iter().min_by(by_ratio).copied(),
    };
    let Some((over, part)) = ratio else { return vec![Dim::Unknown; from.len()] };
    let sizes = axes.into_iter().map(|(size, _)| {
        let exact = i64::try_from((2 * wide(size) * wide(part) + wide(over)) / (2 * wide(over))).ok();
        let [single, double] = product(size, quotient(part, over)).map(|size| whole((size + 0.5).floor()));
        exact.filter(|_| single == exact && double == exact).map_or(Dim::Unknown, Dim::Known)
    });
    sizes.collect()
}

/// Returns the product in single and in double precision: runtimes use one or the other, and the size is known if both
/// agree.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "runtimes round the same way")]
fn product(size: i64, scale: f64) -> [f64; 2] {
    [f64::from(size as f32 * scale as f32), size as f64 * scale]
}

#[expect(clippy::cast_precision_loss, reason = "runtimes round the same way")]
fn quotient(part: i64, over: i64) -> f64 {
    part as f64 / over as f64
}

/// Returns the integer, if the double is exactly one.
fn whole(value: f64) -> Option<i64> {
    let exact = value.fract() == 0.0 && (0.0..9.0e15).contains(&value);
    #[expect(clippy::cast_possible_truncation, reason = "it is an integer in range")]
    exact.then_some(value as i64)
}

/// Operands: `[n, c, …]` and a grid `[n, …, axes]`. Result: `[n, c, …]` with the sizes of the grid.
pub(crate) fn grid_sample(
    x: &Operands<'_>,
    _align_corners: &bool,
    _mode: &Interpolation,
    _padding_mode: &GridPadding,
) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(1, "a float type", ElementType::is_float)?;
    let element = x.element(0)?;
    let mut assumed = vec![];
    let Some(rank) = x.shape(0).or(x.shape(1)).map(|shape| shape.len()) else {
        return Ok(tensor(element, None).into());
    };
    let (data, grid) = (x.shape_of_rank(0, rank)?, x.shape_of_rank(1, rank)?);
    let Some(axes) = rank.checked_sub(2).filter(|axes| *axes > 0) else {
        return Err(
            x.fail(format!("the data must have a batch axis, channels and a spatial axis, but has rank {rank}"))
        );
    };
    let mut dims = vec![Dim::Unknown; rank];
    if let Some(grid) = grid {
        let coordinates = i64::try_from(axes).map_or(Dim::Unknown, Dim::Known);
        x.expect_same(&grid[rank - 1], &coordinates, "the coordinates of the grid and the axes", &mut assumed)?;
        dims[0] = grid[0].clone();
        dims[2..].clone_from_slice(&grid[1..=axes]);
    }
    if let Some(data) = data {
        x.expect_same(&data[0], &dims[0], "the batches of the data and of the grid", &mut assumed)?;
        dims[..2].clone_from_slice(&data[..2]);
    }
    Ok(Inferred { facts: smallvec![tensor(element, Some(dims.into_iter().collect()))], assumed })
}

/// Operands: matrices `[n, axes, axes + 1]` and the shape `[n, c, …]` of an image. Result: a grid `[n, …, axes]`.
pub(crate) fn affine_grid(x: &Operands<'_>, _align_corners: &bool) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_element(1, "i64", |element| element == ElementType::I64)?;
    let element = x.element(0)?;
    let mut assumed = vec![];
    let theta = x.shape_of_rank(0, 3)?;
    let by_size = x.shape_of_rank(1, 1)?.and_then(|shape| shape[0].known()).map(|rank| rank.saturating_sub(2));
    let by_theta = theta.and_then(|shape| shape[1].known());
    let axes = match by_size.or(by_theta) {
        Some(2) => 2,
        Some(3) => 3,
        Some(axes) => return Err(x.fail(format!("a grid must have two or three axes, but has {axes}"))),
        None => return Ok(tensor(element, None).into()),
    };
    let image = x.sizes(1, axes + 2)?;
    let coordinates = if axes == 2 { Dim::Known(2) } else { Dim::Known(3) };
    if let Some(theta) = theta {
        let expected = [&image[0], &coordinates, &coordinates.plus(&Dim::Known(1))];
        for (axis, (found, expected)) in theta.iter().zip(expected).enumerate() {
            let what = format_args!("the size of axis {axis} of {theta} and the size that the image requires");
            x.expect_same(found, expected, what, &mut assumed)?;
        }
    }
    let batch = theta.map_or(&image[0], |theta| image[0].and(&theta[0]));
    let shape = [batch].into_iter().chain(&image[2..]).chain([&coordinates]).cloned().collect();
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// Decodes the bytes of a file to `[height, width, channels]`; the result is empty if they cannot be decoded.
pub(crate) fn image_decoder(x: &Operands<'_>, _pixel_format: &PixelFormat) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "u8", |element| element == ElementType::U8)?;
    x.shape_of_rank(0, 1)?;
    Ok(Fact::tensor(ElementType::U8, Shape::from_iter([Dim::Unknown, Dim::Unknown, Dim::Unknown])).into())
}
