//! Operators that regroup elements: blocks of space and depth, columns of an image, rows of a matrix.

use super::window::{Rounding, Sliding, windows};
use super::{InferError, Inferred, Operands, Outcome, tensor};
use crate::op::{AutoPad, BlockOrder};
use crate::{Dim, ElementType, Shape};
use smallvec::smallvec;

/// `[n, c, h, w]` to `[n, c / blocksize^2, h * blocksize, w * blocksize]`.
pub(crate) fn depth_to_space(x: &Operands<'_>, blocksize: &i64, _mode: &BlockOrder) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let (side, area) = block(x, *blocksize)?;
    let divided = |shape: &Shape| -> Result<Shape, InferError> {
        let channels = part(x, &shape[1], area, "channels")?;
        Ok(Shape::from_iter([shape[0].clone(), channels, shape[2].times(&side), shape[3].times(&side)]))
    };
    let shape = x.shape_of_rank(0, 4)?.map(divided).transpose()?;
    Ok(tensor(x.element(0)?, shape).into())
}

/// `[n, c, h, w]` to `[n, c * blocksize^2, h / blocksize, w / blocksize]`.
pub(crate) fn space_to_depth(x: &Operands<'_>, blocksize: &i64, _mode: &BlockOrder) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let (_, area) = block(x, *blocksize)?;
    let gathered = |shape: &Shape| -> Result<Shape, InferError> {
        let height = part(x, &shape[2], *blocksize, "rows")?;
        let width = part(x, &shape[3], *blocksize, "columns")?;
        Ok(Shape::from_iter([shape[0].clone(), shape[1].times(&Dim::Known(area)), height, width]))
    };
    let shape = x.shape_of_rank(0, 4)?.map(gathered).transpose()?;
    Ok(tensor(x.element(0)?, shape).into())
}

/// Returns the side length of a block and its area.
fn block(x: &Operands<'_>, blocksize: i64) -> Result<(Dim, i64), InferError> {
    match blocksize.checked_mul(blocksize) {
        Some(area) if blocksize >= 1 => Ok((Dim::Known(blocksize), area)),
        _ => Err(x.fail(format!("a block cannot have the side length {blocksize}"))),
    }
}

fn part(x: &Operands<'_>, size: &Dim, parts: i64, what: &str) -> Result<Dim, InferError> {
    x.expect_multiple(size, parts, what, "parts")?;
    Ok(size.floor_div(&Dim::Known(parts)))
}

/// Operands: `[n, c * elements of a block, blocks]`, the shape of the image, and that of a block. Result: `[n, c, …]`.
pub(crate) fn col2im(x: &Operands<'_>, dilations: &[i64], pads: &[i64], strides: &[i64]) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    for at in 1..3 {
        x.expect_element(at, "i64", |element| element == ElementType::I64)?;
        x.shape_of_rank(at, 1)?;
    }
    let element = x.element(0)?;
    let columns = x.shape_of_rank(0, 3)?;
    let size = |at: usize| x.shape(at).and_then(|shape| shape.first()?.known());
    let elements = |at: usize| x.fact(at).and_then(|fact| fact.elements.as_deref());
    let (image, block) = (elements(1), elements(2));
    if let (Some(image), Some(block)) = (size(1), size(2))
        && image != block
    {
        return Err(x.fail(format!("the image has {image} axes, but a block has {block}")));
    }
    let (batch, rows) = columns.map_or((&Dim::Unknown, &Dim::Unknown), |columns| (&columns[0], &columns[1]));
    let in_block = block.map(|block| block.iter().fold(Dim::Known(1), |product, size| product.times(size)));
    let channels = match &in_block {
        Some(Dim::Known(known)) if *known >= 1 => part(x, rows, *known, "rows")?,
        Some(Dim::Known(known)) => return Err(x.fail(format!("a block cannot have {known} elements"))),
        _ => Dim::Unknown,
    };
    let mut assumed = vec![];
    let sizes = match image {
        Some(image) => image.iter().map(|size| x.expect_size(size)).collect::<Result<Vec<_>, _>>()?,
        // A longer vector is not a shape.
        None => match size(1).or(size(2)).and_then(|axes| usize::try_from(axes).ok()).filter(|&axes| axes <= 64) {
            Some(axes) => vec![Dim::Unknown; axes],
            None => return Ok(tensor(element, None).into()),
        },
    };
    if let (Some(columns), Some(block)) = (columns, block) {
        let sliding = Sliding { strides, dilations, pads, auto_pad: AutoPad::NotSet, rounding: Rounding::Whole };
        let windows = windows(x, block, &sliding)?;
        let places = windows.iter().zip(&sizes).map(|(window, size)| window.places(x, size));
        let places = places.collect::<Result<Shape, _>>()?.count();
        x.expect_same(&columns[2], &places, "the numbers of columns and of blocks in the image", &mut assumed)?;
    }
    let shape = [batch.clone(), channels].into_iter().chain(sizes).collect();
    Ok(Inferred { facts: smallvec![tensor(element, Some(shape))], assumed })
}

/// Flattens to a matrix: the axes before `axis` become rows, the others columns.
pub(crate) fn flatten(x: &Operands<'_>, axis: &i64) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else {
        return Ok(tensor(element, Some(Shape::from_iter([Dim::Unknown, Dim::Unknown]))).into());
    };
    // The position after the last axis is valid too.
    let at = if usize::try_from(*axis) == Ok(shape.len()) { shape.len() } else { x.axis(*axis, shape.len())? };
    let (rows, columns) = shape.split_at(at);
    let count = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |product, dim| product.times(dim));
    let shape = Shape::from_iter([count(rows), count(columns)]);
    Ok(tensor(element, Some(shape)).into())
}
