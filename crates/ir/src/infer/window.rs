//! Windows that slide along the spatial axes: what convolutions and pools share.

use super::{InferError, Operands};
use crate::Dim;
use crate::op::AutoPad;

/// The attributes of windows, as they stand in the operator; an empty list is one that is absent.
#[derive(Clone, Copy)]
pub(super) struct Sliding<'a> {
    pub(super) strides: &'a [i64],
    pub(super) dilations: &'a [i64],
    pub(super) pads: &'a [i64],
    pub(super) auto_pad: AutoPad,
    /// Whether a last window may reach over the end.
    pub(super) ceil: bool,
}

/// The window along one axis.
pub(super) struct Window {
    /// How far it reaches: `dilation * (kernel - 1) + 1`.
    extent: Dim,
    stride: i64,
    padding: Padding,
    ceil: bool,
}

#[derive(Clone, Copy)]
enum Padding {
    /// So much before and behind.
    Given(i64, i64),
    /// As much as `SAME_UPPER` and `SAME_LOWER` need.
    Same,
    /// The standard and the runtimes do not agree.
    Undecided,
}

/// A list with a value for each axis, all at least `least`; where it is empty, `default` for each.
pub(super) fn per_axis(
    x: &Operands<'_>,
    name: &str,
    values: &[i64],
    axes: usize,
    least: i64,
    default: i64,
) -> Result<Vec<i64>, InferError> {
    if let Some(value) = values.iter().find(|value| **value < least) {
        return Err(x.fail(format!("`{name}` holds {value}, but {least} is the least")));
    }
    match values.len() {
        0 => Ok(vec![default; axes]),
        count if count == axes => Ok(values.to_vec()),
        count => Err(x.fail(format!("`{name}` holds {count} values, but {axes} are needed"))),
    }
}

/// The window along each axis, from the sizes of the kernel.
pub(super) fn windows(x: &Operands<'_>, kernel: &[Dim], sliding: &Sliding<'_>) -> Result<Vec<Window>, InferError> {
    let axes = kernel.len();
    let strides = per_axis(x, "strides", sliding.strides, axes, 1, 1)?;
    let dilations = per_axis(x, "dilations", sliding.dilations, axes, 1, 1)?;
    let pads = per_axis(x, "pads", sliding.pads, axes.saturating_mul(2), 0, 0)?;
    if let Some(size) = kernel.iter().filter_map(Dim::known).find(|size| *size < 1) {
        return Err(x.fail(format!("the kernel has the size {size}, but 1 is the least")));
    }
    let one = Dim::Known(1);
    let (begins, ends) = pads.split_at(axes);
    let shapes = kernel.iter().zip(strides).zip(dilations).zip(begins.iter().zip(ends));
    let windows = shapes.map(|(((kernel, stride), dilation), (&begin, &end))| {
        let padding = match sliding.auto_pad {
            AutoPad::NotSet => Padding::Given(begin, end),
            // With `ceil_mode` the standard gives two formulas for it, which differ where a step is more than 1.
            AutoPad::Valid if (begin, end) == (0, 0) && (!sliding.ceil || stride == 1) => Padding::Given(0, 0),
            AutoPad::SameUpper | AutoPad::SameLower if sliding.pads.is_empty() => Padding::Same,
            // `pads` must not be given with it, and where it is, one runtime heeds it and the other does not.
            _ => Padding::Undecided,
        };
        let extent = kernel.minus(&one).times(&Dim::Known(dilation)).plus(&one);
        Window { extent, stride, padding, ceil: sliding.ceil }
    });
    Ok(windows.collect())
}

impl Window {
    /// How many places the window takes along an axis of that size.
    pub(super) fn places(&self, x: &Operands<'_>, size: &Dim) -> Result<Dim, InferError> {
        let stride = Dim::Known(self.stride);
        let before_next = Dim::Known(self.stride - 1);
        let (begin, end) = match self.padding {
            Padding::Given(begin, end) => (Dim::Known(begin), Dim::Known(end)),
            Padding::Same => return Ok(size.plus(&before_next).floor_div(&stride)),
            Padding::Undecided => return Ok(Dim::Unknown),
        };
        let padded = size.plus(&begin).plus(&end);
        let last = padded.minus(&self.extent);
        let last = if self.ceil { last.plus(&before_next) } else { last };
        if matches!(last, Dim::Known(..0)) {
            return Err(x.fail(format!("a window of {} does not fit in {size} + {begin} + {end}", self.extent)));
        }
        let next = last.plus(&stride);
        if !self.ceil {
            return Ok(next.floor_div(&stride));
        }
        if !self.extent.minus(&end).is_nonnegative() {
            // Several windows might begin in the padding, and the standard leaves out but one.
            return Ok(Dim::Unknown);
        }
        // A last window that would begin in the padding at the end is left out.
        let inside = size.plus(&begin).plus(&before_next);
        Ok(next.minimum(&inside).floor_div(&stride))
    }

    /// The size of an axis on which windows at `places` lie side by side, as a transposed convolution spreads them.
    pub(super) fn spread(&self, x: &Operands<'_>, places: &Dim, more: i64) -> Result<Dim, InferError> {
        let stride = Dim::Known(self.stride);
        let size = match self.padding {
            Padding::Given(begin, end) => {
                let last = places.minus(&Dim::Known(1)).times(&stride);
                let whole = last.plus(&self.extent).plus(&Dim::Known(more));
                whole.minus(&Dim::Known(begin)).minus(&Dim::Known(end))
            }
            // Where the window is smaller than the step, there is nothing to take away to come to this size.
            Padding::Same if more == 0 && self.extent.minus(&stride).is_nonnegative() => places.times(&stride),
            Padding::Same | Padding::Undecided => Dim::Unknown,
        };
        match size {
            Dim::Known(size @ ..0) => Err(x.fail(format!("the size {size} would be negative"))),
            size => Ok(size),
        }
    }
}
