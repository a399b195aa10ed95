//! Operators with bodies: graphs that run as part of a node.
//!
//! A body captures values of the graph around it. They are operands of the node too, after the operator's own: those of
//! the first body, then those of the next.

use super::{Inferred, Operands, Outcome, unknown};
use crate::{Dim, ElementType, Fact, Graph, InferError, Shape, TensorType, ValueType};
use std::sync::Arc;

type Facts<'a> = &'a [Option<&'a Fact>];

/// Returns the operator's own operands and checks that the operands after them are those that the bodies capture.
fn own<'a>(x: &Operands<'a>, bodies: &[&Graph]) -> Result<Facts<'a>, InferError> {
    let captures: Vec<_> = bodies.iter().flat_map(|body| body.captures().map(|value| body.fact(value))).collect();
    let Some((own, captured)) = x.facts.len().checked_sub(captures.len()).map(|own| x.facts.split_at(own)) else {
        let what = format!("its bodies capture {} values, but it has {} operands", captures.len(), x.facts.len());
        return Err(x.fail(what));
    };
    for (at, (outer, inner)) in captured.iter().zip(captures).enumerate() {
        match outer {
            None => return Err(x.fail(format!("the captured value {at} is absent"))),
            Some(outer) if outer.ty.contradicts(&inner.ty) => {
                return Err(x.fail(format!("the captured value {at} is {outer}, but the body declares it as {inner}")));
            }
            Some(_) => {}
        }
    }
    Ok(own)
}

fn results(x: &Operands<'_>, expected: usize) -> Result<(), InferError> {
    if x.results > expected {
        return Err(x.fail(format!("it has {expected} results, but {} are requested", x.results)));
    }
    Ok(())
}

fn output_facts(body: &Graph) -> impl Iterator<Item = &Fact> {
    body.outputs().iter().map(|output| body.fact(output.value))
}

/// Runs one of two bodies, which have no inputs.
pub(crate) fn if_(x: &Operands<'_>, then_branch: &Arc<Graph>, else_branch: &Arc<Graph>) -> Outcome {
    let own = own(x, &[then_branch, else_branch])?;
    if own.len() != 1 {
        return Err(x.fail(format!("it takes one operand, its condition, but there are {}", own.len())));
    }
    x.expect_element(0, "bool", |element| element == ElementType::Bool)?;
    for (name, body) in [("then_branch", then_branch), ("else_branch", else_branch)] {
        if body.inputs().len() != 0 {
            return Err(x.fail(format!("its {name} must not have inputs")));
        }
    }
    let (yes, no) = (then_branch.outputs().len(), else_branch.outputs().len());
    if yes != no {
        return Err(x.fail(format!("its branches must have the same number of results, but have {yes} and {no}")));
    }
    results(x, yes)?;
    let both = output_facts(then_branch).zip(output_facts(else_branch));
    let facts = both.take(x.results).map(|(yes, no)| Fact::of(yes.ty.or(&no.ty))).collect();
    Ok(Inferred { facts, assumed: vec![] })
}

/// Operands: the trip count and the initial condition, either possibly absent, and the initial state. Body: takes the
/// iteration, the condition and the state; returns the condition, the state and scanned values. Results: the last
/// state, and the scanned values of all iterations, stacked.
pub(crate) fn loop_(x: &Operands<'_>, body: &Arc<Graph>) -> Outcome {
    let own = own(x, &[body])?;
    let states = body.inputs().len().checked_sub(2);
    let states = states.ok_or_else(|| x.fail("its body must take at least the iteration and the condition"))?;
    if own.len() > states + 2 {
        return Err(x.fail(format!("its body takes {states} state values, but the node has {} operands", own.len())));
    }
    if (2..states + 2).any(|at| own.get(at).copied().flatten().is_none()) {
        return Err(x.fail(format!("its body takes {states} state values, but one of them is absent")));
    }
    if body.outputs().len() < states + 1 {
        return Err(x.fail(format!(
            "its body has {} results, but must have at least a condition and {states} state values",
            body.outputs().len()
        )));
    }
    results(x, body.outputs().len() - 1)?;
    let facts = output_facts(body).skip(1).enumerate().take(x.results).map(|(at, after)| match own.get(at + 2) {
        // It may run zero times.
        Some(Some(before)) if at < states => Fact::of(before.ty.or(&after.ty)),
        _ if at < states => Fact::of(ValueType::Unknown),
        _ => Fact::of(of_known_sizes(&stacked(after, 0, &Dim::Unknown).ty)),
    });
    Ok(Inferred { facts: facts.collect(), assumed: vec![] })
}

/// Returns the type without symbols: if a Loop runs zero times, ONNX Runtime makes each symbolic size 0.
fn of_known_sizes(ty: &ValueType) -> ValueType {
    let ValueType::Tensor(TensorType { element, shape: Some(shape) }) = ty else { return ty.clone() };
    let known = |dim: &Dim| dim.known().map_or(Dim::Unknown, Dim::Known);
    TensorType { element: *element, shape: Some(shape.iter().map(known).collect()) }.into()
}

/// Stacks a tensor of each iteration along a new axis.
fn stacked(one: &Fact, axis: i64, count: &Dim) -> Fact {
    let Some(one) = one.tensor_type() else { return Fact::of(ValueType::Unknown) };
    let shape = one.shape.as_ref().and_then(|shape| {
        let rank = i64::try_from(shape.len()).ok()?;
        let at = usize::try_from(if axis < 0 { axis.checked_add(rank + 1)? } else { axis }).ok()?;
        let (before, behind) = shape.split_at_checked(at)?;
        Some(Shape::from_iter(before.iter().chain([count]).chain(behind).cloned()))
    });
    Fact::of(TensorType { element: one.element, shape })
}

/// Operands: the initial state, then the tensors that are scanned along an axis. Body: takes the state and slices;
/// returns the state and slices. Results: the last state, and the slices of all iterations, stacked along an axis.
pub(crate) fn scan(
    x: &Operands<'_>,
    body: &Arc<Graph>,
    num_scan_inputs: &i64,
    scan_input_axes: &[i64],
    _scan_input_directions: &[i64],
    scan_output_axes: &[i64],
    _scan_output_directions: &[i64],
) -> Outcome {
    let own = own(x, &[body])?;
    let scanned = usize::try_from(*num_scan_inputs).ok().filter(|scanned| (1..=own.len()).contains(scanned));
    let Some(scanned) = scanned else {
        return Err(x.fail(format!("`num_scan_inputs` is {num_scan_inputs}, but the node has {} operands", own.len())));
    };
    let states = own.len() - scanned;
    if body.inputs().len() != own.len() {
        return Err(x.fail(format!(
            "its body takes {} values, but the node has {} operands",
            body.inputs().len(),
            own.len()
        )));
    }
    if body.outputs().len() < states {
        return Err(x.fail(format!("its body has {} results, but the state has {states} values", body.outputs().len())));
    }
    results(x, body.outputs().len())?;
    let mut count = Dim::Unknown;
    for (at, operand) in own[states..].iter().enumerate() {
        let Some(shape) = operand.and_then(Fact::shape) else { continue };
        let axis = x.axis(scan_input_axes.get(at).copied().unwrap_or(0), shape.len())?;
        count = if count == Dim::Unknown { shape[axis].clone() } else { count.and(&shape[axis]).clone() };
    }
    let facts = output_facts(body).enumerate().take(x.results).map(|(at, after)| match own.get(at) {
        Some(Some(before)) if at < states => Fact::of(before.ty.or(&after.ty)),
        _ if at < states => Fact::of(ValueType::Unknown),
        _ => stacked(after, scan_output_axes.get(at - states).copied().unwrap_or(0), &count),
    });
    Ok(Inferred { facts: facts.collect(), assumed: vec![] })
}

/// Returns the facts of the inputs of a Scan's body: the state, which keeps its shape, then slices of the tensors that are
/// scanned along `axes`, or 0.
pub fn scan_inputs(operands: &[Option<&Fact>], scanned: usize, axes: &[i64]) -> Vec<Fact> {
    let states = operands.len().saturating_sub(scanned);
    let input = |(at, operand): (usize, Option<&Fact>)| {
        let Some(TensorType { element, shape }) = operand.and_then(Fact::tensor_type) else {
            return Fact::of(ValueType::Unknown);
        };
        let shape = shape.as_ref().and_then(|shape| match at.checked_sub(states) {
            None => Some(shape.clone()),
            Some(input) => without(shape, axes.get(input).copied().unwrap_or(0)),
        });
        Fact::of(TensorType { element: *element, shape })
    };
    operands.iter().copied().enumerate().map(input).collect()
}

/// Returns the shape of a slice along an axis.
fn without(shape: &Shape, axis: i64) -> Option<Shape> {
    let rank = i64::try_from(shape.len()).ok()?;
    let axis = usize::try_from(if axis < 0 { axis.checked_add(rank)? } else { axis }).ok()?;
    (axis < shape.len()).then(|| shape[..axis].iter().chain(&shape[axis + 1..]).cloned().collect())
}

/// Operands: a sequence, then sequences of its length or tensors. Body: takes an element of each; returns an element of
/// each result. Results: sequences.
pub(crate) fn sequence_map(x: &Operands<'_>, body: &Arc<Graph>) -> Outcome {
    let own = own(x, &[body])?;
    if own.len() != body.inputs().len() {
        return Err(x.fail(format!(
            "its body takes {} values, but the node has {} operands",
            body.inputs().len(),
            own.len()
        )));
    }
    results(x, body.outputs().len())?;
    let mut inferred = unknown(x);
    for (fact, element) in inferred.facts.iter_mut().zip(output_facts(body)) {
        fact.ty = ValueType::Sequence(Box::new(element.ty.clone()));
    }
    Ok(inferred)
}
