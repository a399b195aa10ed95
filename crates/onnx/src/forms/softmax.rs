//! Softmax, LogSoftmax and Hardmax before opset 13: not along one axis, but over all axes from `axis` on, flattened.

use super::{Form, Site};
use netwright_ir::{Attribute, Dim};

/// The part of an operand's shape from `axis` on.
enum Span {
    /// One axis, and others of size 1.
    Axis,
    /// Several axes.
    Several,
    /// Several axes, or unknown, and one may have size 0, which `Reshape` restores only from opset 14 on, with
    /// `allowzero`.
    MaybeEmpty,
    /// There is no such axis.
    None,
}

fn span(axis: i64, shape: Option<&[Dim]>) -> Span {
    let Some(shape) = shape else { return if axis == -1 { Span::Axis } else { Span::MaybeEmpty } };
    let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
    let front = if axis < 0 { axis.saturating_add(rank) } else { axis };
    let Some(front) = usize::try_from(front).ok().filter(|at| *at < shape.len()) else { return Span::None };
    let is_restored = |(at, dim): (usize, &Dim)| match dim {
        Dim::Known(size) => *size != 0,
        _ => restores_zero(at, front),
    };
    if shape[front + 1..].iter().all(|dim| *dim == Dim::Known(1)) {
        Span::Axis
    } else if shape.iter().enumerate().all(is_restored) {
        Span::Several
    } else {
        Span::MaybeEmpty
    }
}

/// Whether a size of 0 at `at` is restored when the operand, flattened at `front`, is reshaped: a 0 in the shape of a
/// `Reshape` stands for the flattened operand's own size there.
fn restores_zero(at: usize, front: usize) -> bool {
    match at {
        0 => front >= 1,
        1 => front <= 1,
        _ => false,
    }
}

pub(super) fn along(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    let axis = match form.remove("axis") {
        None => 1,
        Some(Attribute::Int(axis)) => axis,
        Some(_) => return false,
    };
    let along = match span(axis, site.shape(form, 0)) {
        Span::Axis => axis,
        Span::MaybeEmpty if site.target < 14 => return false,
        Span::Several | Span::MaybeEmpty => {
            form.flattened = Some(axis);
            1
        }
        Span::None => return false,
    };
    form.attributes.push(("axis".into(), Attribute::Int(along)));
    true
}

pub(super) fn coerced(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    let axis = form.int("axis").unwrap_or(-1);
    match span(axis, site.shape(form, 0)) {
        Span::Axis => {
            form.remove("axis");
            form.attributes.insert(0, ("axis".into(), Attribute::Int(axis)));
            Ok(())
        }
        _ => Err("it also normalizes the trailing axes, which are not provably 1".to_owned()),
    }
}
