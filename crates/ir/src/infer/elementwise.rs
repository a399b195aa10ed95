//! Operators that work element by element, their operands broadcast.

use super::{Inferred, Operands, Outcome, tensor};
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
    let elements = elements.filter(|all| fit(element, all));
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
    Ok(tensor(x.element(0)?, x.shape(0).cloned()).into())
}

pub(crate) fn identity(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    Ok(x.fact(0).cloned().unwrap_or_else(|| tensor(None, None)).into())
}

pub(crate) fn cast(x: &Operands<'_>, to: &ElementType, _saturate: &bool) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.element(0)?;
    // Casts between wide integers keep small numbers such as sizes; others may round or wrap.
    let wide = |element: ElementType| matches!(element, ElementType::I64 | ElementType::I32);
    let keeps = x.element(0)?.is_some_and(wide) && wide(*to);
    let fits = |dim: &Dim| *to == ElementType::I64 || dim.known().is_none_or(|known| i32::try_from(known).is_ok());
    let elements = x.fact(0).and_then(|fact| fact.elements.clone());
    let elements = elements.filter(|elements| keeps && elements.iter().all(fits));
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
    inferred.facts[0].elements = on_dims.and_then(|on_dims| zip_elements(x, on_dims)).filter(|all| fit(element, all));
    Ok(inferred)
}

/// Whether numbers of that type hold the elements for certain; narrower integers than `i64` wrap.
fn fit(element: Option<ElementType>, elements: &[Dim]) -> bool {
    let small = |dim: &Dim| dim.known().is_some_and(|known| i32::try_from(known).is_ok());
    element == Some(ElementType::I64) || (element == Some(ElementType::I32) && elements.iter().all(small))
}

/// The elements of the result, where those of both operands are known.
fn zip_elements(x: &Operands<'_>, with: impl Fn(&Dim, &Dim) -> Dim) -> Option<Arc<[Dim]>> {
    let (a, b) = (x.fact(0)?, x.fact(1)?);
    let (left, right) = (a.elements.as_ref()?, b.elements.as_ref()?);
    let count = match (left.len(), right.len()) {
        (1, count) | (count, 1) => count,
        (count, other) => (count == other).then_some(count)?,
    };
    let pick = |elements: &[Dim], at: usize| elements[if elements.len() == 1 { 0 } else { at }].clone();
    Some((0..count).map(|at| with(&pick(left, at), &pick(right, at))).collect())
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
    inferred.facts[0].elements = match x.facts.len() {
        1 => x.fact(0).and_then(|fact| fact.elements.clone()),
        2 => zip_elements(x, on_dims),
        _ => None,
    };
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
    broadcast(x, Some(ElementType::Bool))
}

pub(crate) fn compare(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.common_element(0..2)?;
    let mut inferred = broadcast(x, Some(ElementType::Bool))?;
    let decide = |a: &Dim, b: &Dim| {
        let truth = match x.kind {
            Kind::Equal => a.same(b),
            Kind::Less => a.known().zip(b.known()).map(|(a, b)| a < b),
            Kind::LessOrEqual => a.known().zip(b.known()).map(|(a, b)| a <= b),
            Kind::Greater => a.known().zip(b.known()).map(|(a, b)| a > b),
            Kind::GreaterOrEqual => a.known().zip(b.known()).map(|(a, b)| a >= b),
            _ => None,
        };
        truth.map_or(Dim::Unknown, |truth| Dim::Known(truth.into()))
    };
    inferred.facts[0].elements = zip_elements(x, decide);
    Ok(inferred)
}

pub(crate) fn select(x: &Operands<'_>) -> Outcome {
    x.arity(3..=3, 1..=1)?;
    x.expect_element(0, "bool", |element| element == ElementType::Bool)?;
    let element = x.common_element(1..3)?;
    let mut inferred = broadcast(x, element)?;
    inferred.facts[0].elements = select_elements(x);
    Ok(inferred)
}

fn select_elements(x: &Operands<'_>) -> Option<Arc<[Dim]>> {
    let condition = x.fact(0)?.known_elements()?;
    let (yes, no) = (x.fact(1)?.elements.as_ref()?, x.fact(2)?.elements.as_ref()?);
    let lengths = [condition.len(), yes.len(), no.len()];
    let count = if lengths.contains(&0) { 0 } else { lengths.into_iter().max().unwrap_or(0) };
    let place = |len: usize, at: usize| if len == 1 { Some(0) } else { (len == count).then_some(at) };
    let pick = |at: usize| {
        let from = if condition[place(condition.len(), at)?] != 0 { yes } else { no };
        from.get(place(from.len(), at)?).cloned()
    };
    (0..count).map(pick).collect()
}

fn broadcast(x: &Operands<'_>, element: Option<ElementType>) -> Outcome {
    let mut assumed = vec![];
    let shape = x.broadcast((0..x.facts.len()).map(|at| x.shape(at)), &mut assumed)?;
    Ok(Inferred { facts: smallvec![tensor(element, shape)], assumed })
}
