//! Tensors in another float type, and values within its range.

use crate::read::numbers::elements;
use crate::read::thresholds::{Depths, HUGE};
use crate::rewrite::{SMALL, in_memory, insert, number};
use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, Op, Tensor, Value};
use std::ops::RangeInclusive;

/// Tensors of up to so many bytes are searched for numbers that the type does not hold.
pub(super) const MAX_SEARCHED: u64 = 1 << 20;

/// Returns a tensor in another float type; `None` if it is not one of floats.
///
/// A finite number stays finite: the least floats become that of the type, and others that are too large, such as the
/// -1e9 of a mask, a number that hides without marking the row as one to leave out. Of a large tensor, which is not
/// searched, that was checked before, or is an error when it is read.
pub(super) fn converted(tensor: &Tensor, to: ElementType, is_checked: bool) -> Option<Tensor> {
    let cast = tensor.cast(to).ok()?;
    if tensor.len() > MAX_SEARCHED {
        return if is_checked || to.bits() >= 32 { Some(cast) } else { cast.expecting_no_infinity().ok() };
    }
    let is_lost = |number: &f64| number.is_finite() && to.round(*number).is_none_or(f64::is_infinite);
    match elements(tensor) {
        Ok(numbers) if numbers.iter().any(is_lost) => {
            let depths = Depths::of(to);
            let held = |number: f64| match number {
                number if !is_lost(&number) => number,
                number if number.abs() >= -HUGE => depths.ort_skips.abs().copysign(number),
                number => depths.masked.abs().copysign(number),
            };
            let bytes: Vec<u8> = numbers.into_iter().flat_map(|number| held(number).to_le_bytes()).collect();
            let wide = Tensor::from_bytes(ElementType::F64, tensor.dims(), bytes).ok()?;
            in_memory(&wide.cast(to).ok()?).ok()
        }
        // Rules read small tensors. A file that cannot be read is reported when it is written.
        Ok(_) if tensor.len() <= SMALL => in_memory(&cast).ok(),
        _ => Some(cast),
    }
}

/// The magnitudes of numbers that `f16` cannot add to scores without losing their fractions, and `f32` can.
const COARSE: RangeInclusive<f64> = 1024.0..=1_048_576.0;

/// Returns the constant mask of an attention in `f32` for its conversion to `f16`; `None` if it is converted as it is.
///
/// A row whose greatest number rounds scores in `f16` but not in `f32` is shifted so that its greatest number is 0:
/// what is added to all scores of a row does not change its probabilities. In other rows, numbers near the end of the
/// range, to which no score can be added, become the number that hides a score; so do lower ones if the mask
/// `is_lifted`, so that runtimes leave out no row. A row of minus infinity cannot be lifted.
pub(super) fn mask_for_f16(tensor: &Tensor, is_lifted: bool) -> Option<Tensor> {
    let width = usize::try_from(*tensor.dims().last()?).ok().filter(|_| tensor.len() <= MAX_SEARCHED)?;
    let depths = Depths::of(ElementType::F16);
    let own = elements(tensor).ok()?;
    let mut numbers = own.clone();
    for row in numbers.chunks_mut(width.max(1)) {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shift = if COARSE.contains(&most.abs()) { most } else { 0.0 };
        if is_lifted && most == f64::NEG_INFINITY {
            return None;
        }
        for number in row {
            *number -= shift;
            let is_low = *number < depths.masked && number.is_finite();
            if is_low && (is_lifted || *number >= depths.huge) {
                *number = depths.masked;
            }
        }
    }
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let wide =
        Tensor::from_bytes(ElementType::F64, tensor.dims(), bytes).ok().filter(|_| is_lifted || numbers != own)?;
    in_memory(&wide.cast(tensor.element()).ok()?).ok()
}

/// The value within the range of a type. Masks go beyond it.
pub(super) fn limited(graph: &mut Graph, value: Value, to: ElementType) -> Result<Value, Skip> {
    let limit = Depths::of(to).masked.abs();
    let [least, most] =
        [("least", -limit), ("most", limit)].map(|(word, limit)| number(graph, value, word, ElementType::F32, limit));
    insert(graph, value, "limited", Op::Clip, &[value, least?, most?])
}
