//! Tensors in another float type, and values within its range.

use crate::read::numbers::elements;
use crate::read::thresholds::{Depths, HUGE};
use crate::rewrite::{SMALL, in_memory, insert, number};
use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, Op, Tensor, Value};

/// Tensors of up to so many bytes are searched for numbers that the type does not hold.
pub(super) const MAX_SEARCHED: u64 = 1 << 20;

/// Returns a tensor in another float type; `None` if it is not one of floats.
///
/// A finite number stays finite: the least floats become that of the type, and others that are too large, such as the
/// -1e9 of a mask, a number that hides without marking the row as one to leave out. A large tensor is not searched
/// here: if `is_checked`, the plan has read it; otherwise a number that the type does not hold is an error when the
/// tensor is read.
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

/// Returns the constant mask of an attention for its conversion to `f16`, in which every row has a visible key: numbers
/// near the end of the range or beyond, to which no score can be added, become the number that hides a score. `None` if
/// there are none.
pub(super) fn mask_for_f16(tensor: &Tensor) -> Option<Tensor> {
    let depths = Depths::of(ElementType::F16);
    let own = elements(tensor).ok().filter(|_| tensor.len() <= MAX_SEARCHED)?;
    let is_low = |number: f64| number < depths.masked && number.is_finite();
    if !own.iter().copied().any(is_low) {
        return None;
    }
    let held = |number: f64| if is_low(number) { depths.masked } else { number };
    let bytes: Vec<u8> = own.into_iter().flat_map(|number| held(number).to_le_bytes()).collect();
    let wide = Tensor::from_bytes(ElementType::F64, tensor.dims(), bytes).ok()?;
    in_memory(&wide.cast(tensor.element()).ok()?).ok()
}

/// The value within the range of a type. Masks go beyond it.
pub(super) fn limited(graph: &mut Graph, value: Value, to: ElementType) -> Result<Value, Skip> {
    let limit = Depths::of(to).masked.abs();
    let [least, most] =
        [("least", -limit), ("most", limit)].map(|(word, limit)| number(graph, value, word, ElementType::F32, limit));
    insert(graph, value, "limited", Op::Clip, &[value, least?, most?])
}

/// Whether a number is rounded by more than numbers in the middle of the range, as a share of itself or else of the
/// largest of the numbers.
pub(super) fn rounds_far(numbers: &[f64], to: ElementType, of_itself: bool) -> bool {
    let share = if to == ElementType::F16 { 2_f64.powi(-11) } else { 2_f64.powi(-8) };
    let finite = || numbers.iter().copied().filter(|number| number.is_finite());
    let largest = finite().map(f64::abs).fold(0.0, f64::max);
    let is_far = |number: f64| {
        let error = to.round(number).map_or(0.0, |rounded| (rounded - number).abs());
        error.is_finite() && error > share * if of_itself { number.abs() } else { largest }
    };
    finite().any(is_far)
}

/// A constant as reasons name it: its number, or its name.
pub(super) fn number_text(graph: &Graph, value: Value, tensor: &Tensor) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a constant in f32 is printed as one")]
    tensor.float().map_or_else(|| graph.operand_text(value), |number| format!("{:e}", number as f32))
}
