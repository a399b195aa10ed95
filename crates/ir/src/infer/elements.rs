//! Shape arithmetic: the elements of small integer tensors, followed as dims.

use super::Operands;
use crate::types::MAX_ELEMENTS;
use crate::{Dim, ElementType, OpKind};
use std::borrow::Cow;
use std::sync::Arc;

/// Returns the elements of an operand of rank 0 or 1; unknown dims if only their number is known.
pub(super) fn of<'a>(x: &Operands<'a>, at: usize) -> Option<Cow<'a, [Dim]>> {
    let fact = x.fact(at)?;
    if let Some(elements) = &fact.elements {
        return Some(Cow::Borrowed(elements));
    }
    let ty = fact.tensor_type()?;
    let followed = ty.element.is_integer() || ty.element == ElementType::Bool;
    let count = match &**ty.shape.as_ref()? {
        [] => 1,
        [size] => few(size)?,
        _ => return None,
    };
    followed.then(|| Cow::Owned(vec![Dim::Unknown; count]))
}

/// Returns the number of elements of a small vector of this size.
pub(super) fn few(size: &Dim) -> Option<usize> {
    usize::try_from(size.known()?).ok().filter(|&count| count as u64 <= MAX_ELEMENTS)
}

/// Returns a count as a dim.
pub(super) fn number(count: usize) -> Dim {
    i64::try_from(count).map_or(Dim::Unknown, Dim::Known)
}

/// Returns the elements repeated cyclically to `count` elements.
pub(super) fn repeated(all: &[Dim], count: usize) -> Option<Arc<[Dim]>> {
    let fits = !all.is_empty() && count.is_multiple_of(all.len()) && count as u64 <= MAX_ELEMENTS;
    fits.then(|| all.iter().cycle().take(count).cloned().collect())
}

/// Returns the start and end of a slice, from bounds that may count from the end of the axis or pass it; the size is at
/// least 1. The end of a backward slice may be -1.
pub(super) fn positions(size: i64, start: i64, end: i64, step: i64) -> (i64, i64) {
    let shift = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
    if step > 0 {
        (shift(start).clamp(0, size), shift(end).clamp(0, size))
    } else {
        (shift(start).clamp(0, size - 1), shift(end).clamp(-1, size - 1))
    }
}

/// Returns the elements of a slice.
pub(super) fn sliced(all: &[Dim], start: i64, end: i64, step: i64) -> Arc<[Dim]> {
    let size = i64::try_from(all.len()).unwrap_or(i64::MAX);
    if size == 0 || step == 0 {
        return Arc::new([]);
    }
    let (start, end) = positions(size, start, end, step);
    let inside = |at: &i64| if step > 0 { *at < end } else { *at > end };
    let places = std::iter::successors(Some(start), |at| at.checked_add(step)).take_while(inside);
    places.filter_map(|at| all.get(usize::try_from(at).ok()?).cloned()).collect()
}

/// Combines the elements of two operands, with broadcasting.
pub(super) fn zip(left: &[Dim], right: &[Dim], with: impl Fn(&Dim, &Dim) -> Dim) -> Option<Arc<[Dim]>> {
    let count = match (left.len(), right.len()) {
        (1, count) | (count, 1) => count,
        (count, other) => (count == other).then_some(count)?,
    };
    let pick = |all: &[Dim], at: usize| all.get(if all.len() == 1 { 0 } else { at }).cloned();
    (0..count).map(|at| Some(with(&pick(left, at)?, &pick(right, at)?))).collect()
}

/// Combines the elements of all operands.
pub(super) fn folded(x: &Operands<'_>, on_dims: fn(&Dim, &Dim) -> Dim) -> Option<Arc<[Dim]>> {
    let first: Arc<[Dim]> = of(x, 0)?.into();
    (1..x.facts.len()).try_fold(first, |all, at| zip(&all, &of(x, at)?, on_dims))
}

/// Checks the results of arithmetic against the element type: unknown if they may have wrapped.
pub(super) fn fitting(kind: OpKind, element: Option<ElementType>, all: &[Dim]) -> Option<Arc<[Dim]>> {
    let element = element?;
    // None of these operators leaves the range of its operands.
    let shrinks =
        matches!(kind, OpKind::Div | OpKind::Mod | OpKind::Relu | OpKind::Sign | OpKind::ReduceMax | OpKind::ReduceMin);
    let symbolic = element == ElementType::I64 || (element == ElementType::I32 && shrinks);
    let fits = |dim: &Dim| dim.known().map_or(symbolic, |known| holds(element, known));
    Some(all.iter().map(|dim| if fits(dim) { dim.clone() } else { Dim::Unknown }).collect())
}

/// Returns whether a comparison is true, if the difference decides it for all sizes.
pub(super) fn compared(kind: OpKind, a: &Dim, b: &Dim) -> Dim {
    let (up, down) = (b.minus(a), a.minus(b));
    let (below, above) = (up.is_positive(), down.is_positive());
    let (at_most, at_least) = (up.is_nonnegative(), down.is_nonnegative());
    let (yes, no) = match kind {
        OpKind::Equal => (at_most && at_least, below || above),
        OpKind::Less => (below, at_least),
        OpKind::LessOrEqual => (at_most, above),
        OpKind::Greater => (above, at_most),
        OpKind::GreaterOrEqual => (at_least, below),
        _ => (false, false),
    };
    if yes || no { Dim::Known(i64::from(yes)) } else { Dim::Unknown }
}

/// Selects each element by the condition; if the condition is unknown, what both branches agree on.
pub(super) fn selected(x: &Operands<'_>) -> Option<Arc<[Dim]>> {
    let (condition, yes, no) = (of(x, 0)?, of(x, 1)?, of(x, 2)?);
    let lengths = [condition.len(), yes.len(), no.len()];
    let count = if lengths.contains(&0) { 0 } else { lengths.into_iter().max()? };
    let pick = |all: &[Dim], at: usize| if all.len() == 1 { all.first().cloned() } else { all.get(at).cloned() };
    let element = |at: usize| {
        let (yes, no) = (pick(&yes, at)?, pick(&no, at)?);
        Some(match pick(&condition, at)? {
            Dim::Known(0) => no,
            Dim::Known(_) => yes,
            _ if yes.same(&no) == Some(true) => yes,
            _ => Dim::Unknown,
        })
    };
    (0..count).map(element).collect()
}

/// Returns the negation, if the value is known.
pub(super) fn opposite(truth: &Dim) -> Dim {
    truth.known().map_or(Dim::Unknown, |truth| Dim::Known(i64::from(truth == 0)))
}

pub(super) fn both(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Known(0), _) | (_, Dim::Known(0)) => Dim::Known(0),
        (Dim::Known(_), Dim::Known(_)) => Dim::Known(1),
        _ => Dim::Unknown,
    }
}

pub(super) fn either(a: &Dim, b: &Dim) -> Dim {
    opposite(&both(&opposite(a), &opposite(b)))
}

pub(super) fn one_alone(a: &Dim, b: &Dim) -> Dim {
    a.known().zip(b.known()).map_or(Dim::Unknown, |(a, b)| Dim::Known(i64::from((a == 0) != (b == 0))))
}

/// Casts an element: unknown if the type may not hold it, or if rounding or wrapping would change it.
pub(super) fn cast(element: &Dim, from: ElementType, to: ElementType) -> Dim {
    match (element, from, to) {
        (Dim::Known(truth), ElementType::Bool, _) if !(0..=1).contains(truth) => Dim::Unknown,
        (Dim::Known(known), _, ElementType::Bool) => Dim::Known(i64::from(*known != 0)),
        (size, _, ElementType::Bool) if size.is_positive() => Dim::Known(1),
        (_, _, ElementType::Bool) => Dim::Unknown,
        (Dim::Known(known), _, _) if holds(to, *known) => element.clone(),
        // A size that does not fit an i32 cannot be that of a tensor in 32-bit arithmetic.
        (Dim::Symbol(_) | Dim::Expr(_), _, ElementType::I64 | ElementType::I32) => element.clone(),
        _ => Dim::Unknown,
    }
}

/// Whether the integer type can represent the number.
pub(super) fn holds(element: ElementType, number: i64) -> bool {
    let bits = element.bits();
    match element {
        ElementType::I64 => true,
        ElementType::U64 => number >= 0,
        _ if !element.is_integer() => false,
        ElementType::I32 | ElementType::I16 | ElementType::I8 | ElementType::I4 | ElementType::I2 => {
            let limit = 1i64 << (bits - 1);
            (-limit..limit).contains(&number)
        }
        _ => (0..1i64 << bits).contains(&number),
    }
}

impl Operands<'_> {
    /// Returns the elements of the operand, if inference follows them.
    pub(super) fn followed(&self, at: usize) -> Option<Arc<[Dim]>> {
        self.fact(at)?.elements.clone()
    }
}
