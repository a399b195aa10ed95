//! Operators that work element by element, their operands broadcast.

use super::{Inferred, Operands, Outcome, elements, tensor};
use crate::op::GeluApproximation;
use crate::{Dim, ElementType, Fact, Kind};
use smallvec::smallvec;
use std::sync::Arc;

/// One operand of any number type; the result has its type.
pub(crate) fn same(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let negated = (x.kind == Kind::Neg).then(|| x.fact(0)?.elements.clone()).flatten();
    let elements: Option<Arc<[Dim]>> = negated.map(|all| all.iter().map(|dim| Dim::Known(0).minus(dim)).collect());
    let element = x.element(0)?;
    let elements = elements.and_then(|all| elements::fitting(element, &all));
    Ok(Fact { elements, ..tensor(element, x.shape(0).cloned()) }.into())
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

/// One operand of truth values.
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

pub(crate) fn cast(x: &Operands<'_>, to: &ElementType, _saturate: &bool) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let from = x.element(0)?;
    let elements = from.zip(x.followed(0));
    let elements = elements
        .map(|(from, all)| all.iter().map(|element| elements::cast(element, from, *to)).collect::<Arc<[Dim]>>());
    Ok(Fact { elements, ..tensor(Some(*to), x.shape(0).cloned()) }.into())
}

pub(crate) fn add(x: &Operands<'_>) -> Outcome {
    arithmetic(x, Some(Dim::plus))
}

pub(crate) fn sub(x: &Operands<'_>) -> Outcome {
    arithmetic(x, Some(Dim::minus))
}

pub(crate) fn mul(x: &Operands<'_>) -> Outcome {
    arithmetic(x, Some(Dim::times))
}

pub(crate) fn div(x: &Operands<'_>) -> Outcome {
    // ONNX rounds toward zero and dims round down; they agree where nothing is negative.
    arithmetic(x, Some(|a, b| if a.is_nonnegative() && b.is_nonnegative() { a.floor_div(b) } else { Dim::Unknown }))
}

pub(crate) fn modulo(x: &Operands<'_>, fmod: &bool) -> Outcome {
    if *fmod {
        return arithmetic(x, None);
    }
    arithmetic(x, Some(|a, b| if a.is_nonnegative() && b.is_nonnegative() { a.modulo(b) } else { Dim::Unknown }))
}

fn arithmetic(x: &Operands<'_>, on_dims: Option<fn(&Dim, &Dim) -> Dim>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let element = x.common_element(0..2)?;
    let mut inferred = broadcast(x, element)?;
    inferred.facts[0].elements = on_dims.and_then(|on_dims| zip_elements(x, on_dims));
    inferred.facts[0].elements = inferred.facts[0].elements.take().and_then(|all| elements::fitting(element, &all));
    Ok(inferred)
}

/// The elements of the result, where those of both operands are followed.
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
    inferred.facts[0].elements = elements::folded(x, Dim::plus).and_then(|all| elements::fitting(element, &all));
    Ok(inferred)
}

pub(crate) fn variadic(x: &Operands<'_>) -> Outcome {
    x.arity(1..=usize::MAX, 1..=1)?;
    let element = x.common_element(0..x.facts.len())?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    broadcast(x, element)
}

pub(crate) fn logical(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    for at in 0..2 {
        x.expect_element(at, "bool", |element| element == ElementType::Bool)?;
    }
    let mut inferred = broadcast(x, Some(ElementType::Bool))?;
    let on_truths = match x.kind {
        Kind::And => elements::both,
        Kind::Or => elements::either,
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
