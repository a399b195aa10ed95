//! Elementwise operators; their operands are broadcast.

use super::{Inferred, Operands, Outcome, elements, tensor};
use crate::op::{CastRounding, GeluApproximation, ShiftDirection};
use crate::{Dim, ElementType, Fact, OpKind};
use smallvec::smallvec;
use std::sync::Arc;

/// One operand of any number type; the result has its type.
pub(crate) fn same(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let on_dims: Option<fn(&Dim) -> Dim> = match x.kind {
        OpKind::Neg => Some(|dim| Dim::Known(0).minus(dim)),
        OpKind::Abs => Some(absolute),
        OpKind::Sign => Some(sign),
        OpKind::Relu => Some(|dim| dim.maximum(&Dim::Known(0))),
        _ => None,
    };
    let element = x.element(0)?;
    let elements = on_dims.zip(x.followed(0));
    let elements: Option<Arc<[Dim]>> = elements.map(|(on_dims, all)| all.iter().map(on_dims).collect());
    let elements = elements.and_then(|all| elements::fitting(x.kind, element, &all));
    Ok(Fact { elements, ..tensor(element, x.shape(0).cloned()) }.into())
}

fn absolute(dim: &Dim) -> Dim {
    let negated = Dim::Known(0).minus(dim);
    match (dim.is_nonnegative(), negated.is_nonnegative()) {
        (true, _) => dim.clone(),
        (_, true) => negated,
        _ => Dim::Unknown,
    }
}

fn sign(dim: &Dim) -> Dim {
    match dim {
        Dim::Known(known) => Dim::Known(known.signum()),
        dim if dim.is_positive() => Dim::Known(1),
        dim if Dim::Known(0).minus(dim).is_positive() => Dim::Known(-1),
        _ => Dim::Unknown,
    }
}

/// One operand of a float type; the result has its type.
pub(crate) fn float(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

pub(crate) fn gelu(x: &Operands<'_>, _approximate: &GeluApproximation) -> Outcome {
    float(x)
}

pub(crate) fn float_with_alpha(x: &Operands<'_>, _alpha: &f32) -> Outcome {
    float(x)
}

pub(crate) fn float_with_two(x: &Operands<'_>, _first: &f32, _second: &f32) -> Outcome {
    float(x)
}

pub(crate) fn shrink(x: &Operands<'_>, _lambd: &f32, _bias: &f32) -> Outcome {
    same(x)
}

/// One operand of a float type; the result is bool.
pub(crate) fn is_nan(x: &Operands<'_>) -> Outcome {
    float(x)?;
    Ok(x.shaped(Some(ElementType::Bool)))
}

pub(crate) fn is_inf(x: &Operands<'_>, _detect_negative: &bool, _detect_positive: &bool) -> Outcome {
    is_nan(x)
}

/// One operand of an integer type; the result has its type.
pub(crate) fn integer(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "an integer type", ElementType::is_integer)?;
    Ok(x.shaped(x.element(0)?))
}

/// One operand of type bool.
pub(crate) fn truth(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "bool", |element| element == ElementType::Bool)?;
    let elements = elements::of(x, 0).map(|all| all.iter().map(elements::opposite).collect());
    Ok(Fact { elements, ..tensor(x.element(0)?, x.shape(0).cloned()) }.into())
}

pub(crate) fn identity(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    Ok(x.fact(0).cloned().unwrap_or_else(|| tensor(None, None)).into())
}

pub(crate) fn cast(x: &Operands<'_>, to: &ElementType, _saturate: &bool, _round_mode: &CastRounding) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    cast_to(x, Some(*to))
}

/// Casts to the element type of the second operand.
pub(crate) fn cast_like(x: &Operands<'_>, _saturate: &bool, _round_mode: &CastRounding) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    cast_to(x, x.element(1)?)
}

fn cast_to(x: &Operands<'_>, to: Option<ElementType>) -> Outcome {
    // Inference follows elements of integer types and bool.
    let followed = to.filter(|to| to.is_integer() || *to == ElementType::Bool);
    let types = x.element(0)?.zip(followed);
    let elements = types.zip(x.followed(0).or_else(|| whole_numbers(x))).map(|((from, to), all)| {
        let cast = |element: &Dim| elements::cast(element, from, to);
        all.iter().map(cast).collect()
    });
    Ok(Fact { elements, ..tensor(to, x.shape(0).cloned()) }.into())
}

/// Returns the elements of a small float scalar or vector if all are integers, as exporters write the bounds of a
/// Range.
fn whole_numbers(x: &Operands<'_>) -> Option<Arc<[Dim]>> {
    let tensor = x.tensors.first().copied().flatten().filter(|tensor| tensor.dims().len() <= 1)?;
    // Larger floats have no fractional digits, and no i32 can hold them.
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() < f64::from(i32::MAX);
    let numbers = tensor.floats().filter(|numbers| numbers.iter().all(whole))?;
    #[expect(clippy::cast_possible_truncation, reason = "an integer in range")]
    let dim = |number: f64| Dim::Known(number as i64);
    Some(numbers.into_iter().map(dim).collect())
}

/// The bits stay, so the type must have the same width.
pub(crate) fn bit_cast(x: &Operands<'_>, to: &ElementType) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let from = x.element(0)?;
    if let Some(text) = from.into_iter().chain([*to]).find(|element| *element == ElementType::String) {
        return Err(x.fail(format!("{text} cannot be reinterpreted as another type")));
    }
    match from {
        Some(from) if from.bits() != to.bits() => {
            Err(x.fail(format!("{from} has {} bits, but {to} has {}", from.bits(), to.bits())))
        }
        _ => Ok(x.shaped(Some(*to))),
    }
}

/// Operands: data, the minimum and the maximum, both optional.
pub(crate) fn clip(x: &Operands<'_>) -> Outcome {
    x.arity(1..=3, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let element = x.common_element(0..3)?;
    let bounds = [x.fact(1).map(|_| x.scalar(1)).transpose()?, x.fact(2).map(|_| x.scalar(2)).transpose()?];
    let clipped = |dim: &Dim| {
        let [low, high] = &bounds;
        let raised = low.as_ref().map_or_else(|| dim.clone(), |low| dim.maximum(low));
        high.as_ref().map_or_else(|| raised.clone(), |high| raised.minimum(high))
    };
    let elements = x.fact(0).and_then(|fact| fact.elements.as_ref());
    let elements = elements.map(|all| all.iter().map(clipped).collect());
    Ok(Fact { elements, ..tensor(element, x.shape(0).cloned()) }.into())
}

/// The slope must broadcast to the data without changing its shape.
pub(crate) fn prelu(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let element = x.common_element(0..2)?;
    let mut assumed = vec![];
    if let (Some(data), Some(slope)) = (x.shape(0), x.shape(1)) {
        x.expect_broadcast_to(slope, data, "the slope", &mut assumed)?;
    }
    Ok(Inferred { assumed, ..x.shaped(element) })
}

/// Two operands of the same shape; nothing is broadcast.
pub(crate) fn swiglu(x: &Operands<'_>, _alpha: &f32) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a float type", ElementType::is_float)?;
    let element = x.common_element(0..2)?;
    let mut assumed = vec![];
    let shape = match (x.shape(0), x.shape(1)) {
        (Some(gate), Some(linear)) => {
            x.expect_same_shape(gate, linear, "the shapes of the gate and the linear operand", &mut assumed)?;
            Some(gate.iter().zip(linear.iter()).map(|(a, b)| a.and(b).clone()).collect())
        }
        (gate, linear) => gate.or(linear).cloned(),
    };
    Ok(Inferred { facts: smallvec![tensor(element, shape)], assumed })
}

pub(crate) fn add(x: &Operands<'_>) -> Outcome {
    arithmetic(x, Dim::plus)
}

pub(crate) fn sub(x: &Operands<'_>) -> Outcome {
    arithmetic(x, Dim::minus)
}

pub(crate) fn mul(x: &Operands<'_>) -> Outcome {
    arithmetic(x, Dim::times)
}

pub(crate) fn div(x: &Operands<'_>) -> Outcome {
    // ONNX truncates, dims round down; both agree if nothing is negative.
    arithmetic(x, |a, b| match (a, b) {
        (Dim::Known(a), Dim::Known(b)) => a.checked_div(*b).map_or(Dim::Unknown, Dim::Known),
        _ if a.is_nonnegative() && b.is_nonnegative() => a.floor_div(b),
        _ => Dim::Unknown,
    })
}

pub(crate) fn modulo(x: &Operands<'_>, fmod: &bool) -> Outcome {
    if !*fmod {
        return arithmetic(x, Dim::modulo);
    }
    // With `fmod` the result has the sign of the dividend, otherwise that of the divisor.
    arithmetic(x, |a, b| match (a, b) {
        (Dim::Known(a), Dim::Known(b)) => a.checked_rem(*b).map_or(Dim::Unknown, Dim::Known),
        _ if a.is_nonnegative() && b.is_nonnegative() => a.modulo(b),
        _ => Dim::Unknown,
    })
}

fn arithmetic(x: &Operands<'_>, on_dims: fn(&Dim, &Dim) -> Dim) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let element = x.common_element(0..2)?;
    let mut inferred = broadcast(x, element)?;
    inferred.facts[0].elements = zip_elements(x, on_dims).and_then(|all| elements::fitting(x.kind, element, &all));
    Ok(inferred)
}

/// Returns the elements of the result, if inference follows those of both operands.
fn zip_elements(x: &Operands<'_>, with: impl Fn(&Dim, &Dim) -> Dim) -> Option<Arc<[Dim]>> {
    elements::zip(&elements::of(x, 0)?, &elements::of(x, 1)?, with)
}

pub(crate) fn pow(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    x.expect_element(1, "a number type", ElementType::is_number)?;
    broadcast(x, x.element(0)?)
}

pub(crate) fn min(x: &Operands<'_>) -> Outcome {
    extremum(x, Dim::minimum)
}

pub(crate) fn max(x: &Operands<'_>) -> Outcome {
    extremum(x, Dim::maximum)
}

fn extremum(x: &Operands<'_>, on_dims: fn(&Dim, &Dim) -> Dim) -> Outcome {
    let mut inferred = variadic(x)?;
    inferred.facts[0].elements = elements::folded(x, on_dims);
    Ok(inferred)
}

pub(crate) fn sum(x: &Operands<'_>) -> Outcome {
    let mut inferred = variadic(x)?;
    let element = inferred.facts[0].element();
    inferred.facts[0].elements =
        elements::folded(x, Dim::plus).and_then(|all| elements::fitting(x.kind, element, &all));
    Ok(inferred)
}

pub(crate) fn variadic(x: &Operands<'_>) -> Outcome {
    x.arity(1..=usize::MAX, 1..=1)?;
    let element = x.common_element(0..x.facts.len())?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    broadcast(x, element)
}

/// Two operands of an integer type.
pub(crate) fn bitwise(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "an integer type", ElementType::is_integer)?;
    broadcast(x, x.common_element(0..2)?)
}

pub(crate) fn bit_shift(x: &Operands<'_>, _direction: &ShiftDirection) -> Outcome {
    bitwise(x)
}

pub(crate) fn logical(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    for at in 0..2 {
        x.expect_element(at, "bool", |element| element == ElementType::Bool)?;
    }
    let mut inferred = broadcast(x, Some(ElementType::Bool))?;
    let on_truths = match x.kind {
        OpKind::And => elements::both,
        OpKind::Or => elements::either,
        _ => elements::one_alone,
    };
    inferred.facts[0].elements = zip_elements(x, on_truths);
    Ok(inferred)
}

pub(crate) fn compare(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.common_element(0..2)?;
    let mut inferred = broadcast(x, Some(ElementType::Bool))?;
    inferred.facts[0].elements = zip_elements(x, |a, b| elements::compared(x.kind, a, b));
    Ok(inferred)
}

pub(crate) fn select(x: &Operands<'_>) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.expect_element(0, "bool", |element| element == ElementType::Bool)?;
    let element = x.common_element(1..3)?;
    let mut inferred = broadcast(x, element)?;
    inferred.facts[0].elements = elements::selected(x);
    Ok(inferred)
}

fn broadcast(x: &Operands<'_>, element: Option<ElementType>) -> Outcome {
    let mut assumed = vec![];
    let shape = x.broadcast((0..x.facts.len()).map(|at| x.shape(at)), &mut assumed)?;
    Ok(Inferred { facts: smallvec![tensor(element, shape)], assumed })
}
