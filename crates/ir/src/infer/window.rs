//! Windows that slide along the spatial axes, as convolutions and pools have them.

use super::{InferError, Operands};
use crate::Dim;
use crate::op::AutoPad;

/// The window attributes of an operator; an empty list stands for an absent one.
#[derive(Clone, Copy)]
pub(super) struct Sliding<'a> {
    pub(super) strides: &'a [i64],
    pub(super) dilations: &'a [i64],
    pub(super) pads: &'a [i64],
    pub(super) auto_pad: AutoPad,
    pub(super) rounding: Rounding,
}

/// How elements at the end that do not fill a window are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Convolutions leave them out, and have at least one window.
    Whole,
    /// Pools leave them out.
    Down,
    /// Pools with `ceil_mode` give them a window.
    Up,
}

impl Rounding {
    pub(super) fn of_pool(ceil_mode: bool) -> Self {
        if ceil_mode { Rounding::Up } else { Rounding::Down }
    }
}

/// The window along one axis.
pub(super) struct Window {
    /// The extent: `dilation * (kernel - 1) + 1`.
    extent: Dim,
    stride: i64,
    padding: Padding,
    rounding: Rounding,
}

#[derive(Clone, Copy)]
enum Padding {
    /// The sizes before and after.
    Given(i64, i64),
    /// As much as `SAME_UPPER` and `SAME_LOWER` require.
    Same,
    /// The standard and the runtimes do not agree.
    Undecided,
}

/// Returns a list with one value per axis, each at least `least`; an empty list gives `default` for each.
pub(super) fn per_axis(
    x: &Operands<'_>,
    name: &str,
    values: &[i64],
    axes: usize,
    least: i64,
    default: i64,
) -> Result<Vec<i64>, InferError> {
    if let Some(value) = values.iter().find(|value| **value < least) {
        return Err(x.fail(format!("`{name}` holds {value}, but must be at least {least}")));
    }
    match values.len() {
        0 => Ok(vec![default; axes]),
        count if count == axes => Ok(values.to_vec()),
        count => Err(x.fail(format!("`{name}` has length {count}, but must have length {axes}"))),
    }
}

/// Returns the window along each axis, from the sizes of the kernel.
pub(super) fn windows(x: &Operands<'_>, kernel: &[Dim], sliding: &Sliding<'_>) -> Result<Vec<Window>, InferError> {
    let axes = kernel.len();
    let strides = per_axis(x, "strides", sliding.strides, axes, 1, 1)?;
    let dilations = per_axis(x, "dilations", sliding.dilations, axes, 1, 1)?;
    let pads = per_axis(x, "pads", sliding.pads, axes.saturating_mul(2), 0, 0)?;
    if let Some(size) = kernel.iter().filter_map(Dim::known).find(|size| *size < 1) {
        return Err(x.fail(format!("the kernel size is {size}, but must be at least 1")));
    }
    let one = Dim::Known(1);
    let (pool, ceil) = (sliding.rounding != Rounding::Whole, sliding.rounding == Rounding::Up);
    let (begins, ends) = pads.split_at(axes);
    let shapes = kernel.iter().zip(strides).zip(dilations).zip(begins.iter().zip(ends));
    let windows = shapes.map(|(((kernel, stride), dilation), (&begin, &end))| {
        let padding = match sliding.auto_pad {
            AutoPad::NotSet => Padding::Given(begin, end),
            // With `ceil_mode` the standard gives two formulas, which differ if a stride is more than 1.
            AutoPad::Valid if (begin, end) == (0, 0) && (!ceil || stride == 1) => Padding::Given(0, 0),
            // Some runtimes ignore the dilation of a pool here.
            AutoPad::SameUpper | AutoPad::SameLower if sliding.pads.is_empty() && (!pool || dilation == 1) => {
                Padding::Same
            }
            // `pads` must not be given with `auto_pad`; if it is, the runtimes differ.
            _ => Padding::Undecided,
        };
        let extent = kernel.minus(&one).times(&Dim::Known(dilation)).plus(&one);
        Window { extent, stride, padding, rounding: sliding.rounding }
    });
    Ok(windows.collect())
}

impl Window {
    /// Returns the number of positions of the window along an axis of this size.
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
        let ceil = self.rounding == Rounding::Up;
        let last = if ceil { last.plus(&before_next) } else { last };
        if matches!(last, Dim::Known(..0)) {
            let what = format!("a window of {} does not fit in {size} + {begin} + {end}", self.extent);
            // A pool over less than a window is one window to some runtimes and none to others.
            return if self.rounding == Rounding::Whole { Err(x.fail(what)) } else { Ok(Dim::Unknown) };
        }
        let next = last.plus(&stride);
        if !ceil {
            return Ok(next.floor_div(&stride));
        }
        if !self.extent.minus(&end).is_nonnegative() {
            // Several windows might begin in the padding, and the standard leaves out only one.
            return Ok(Dim::Unknown);
        }
        // A last window that would begin in the padding at the end is left out.
        let inside = size.plus(&begin).plus(&before_next);
        Ok(next.minimum(&inside).floor_div(&stride))
    }

    /// Returns the size of an axis that windows at `places` cover, as a transposed convolution spreads them.
    pub(super) fn spread(&self, x: &Operands<'_>, places: &Dim, more: i64) -> Result<Dim, InferError> {
        let stride = Dim::Known(self.stride);
        let size = match self.padding {
            Padding::Given(begin, end) => {
                let last = places.minus(&Dim::Known(1)).times(&stride);
                let whole = last.plus(&self.extent).plus(&Dim::Known(more));
                whole.minus(&Dim::Known(begin)).minus(&Dim::Known(end))
            }
            // If the window is smaller than the stride, nothing can be cropped to reach this size.
            Padding::Same if more == 0 && self.extent.minus(&stride).is_nonnegative() => places.times(&stride),
            Padding::Same | Padding::Undecided => Dim::Unknown,
        };
        match size {
            Dim::Known(size @ ..0) => Err(x.fail(format!("the size {size} would be negative"))),
            size => Ok(size),
        }
    }
}
