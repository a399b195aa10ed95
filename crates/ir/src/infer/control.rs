//! Operators with bodies: graphs that run as a part of a node.
//!
//! A body sees values of the graph around it through its captures. Those are operands of the node too, behind the
//! operator's own: those of the first body, then those of the next.

use super::{Inferred, Operands, Outcome, unknown};
use crate::{Dim, ElementType, Fact, Graph, InferError, Shape, TensorType, ValueType};
use std::sync::Arc;

type Facts<'a> = &'a [Option<&'a Fact>];

/// The operator's own operands; those behind them must be what the bodies capture.
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
                return Err(x.fail(format!("the captured value {at} is {outer}, but in the body it is {inner}")));
            }
            Some(_) => {}
        }
    }
    Ok(own)
}

fn results(x: &Operands<'_>, expected: usize) -> Result<(), InferError> {
    if x.results > expected {
        return Err(x.fail(format!("it has {expected} results, but {} are asked for", x.results)));
    }
    Ok(())
}

fn output_facts(body: &Graph) -> impl Iterator<Item = &Fact> {
    body.outputs().iter().map(|output| body.fact(output.value))
}

/// One of two bodies without inputs.
pub(crate) fn if_(x: &Operands<'_>, then_branch: &Arc<Graph>, else_branch: &Arc<Graph>) -> Outcome {
    let own = own(x, &[then_branch, else_branch])?;
    if own.len() != 1 {
        return Err(x.fail(format!("it takes one operand, its condition, but there are {}", own.len())));
    }
    x.expect_element(0, "bool", |element| element == ElementType::Bool)?;
    for (name, body) in [("then_branch", then_branch), ("else_branch", else_branch)] {
        if body.inputs().len() != 0 {
            return Err(x.fail(format!("its {name} has inputs")));
        }
    }
    let (yes, no) = (then_branch.outputs().len(), else_branch.outputs().len());
    if yes != no {
        return Err(x.fail(format!("its branches have {yes} and {no} results")));
    }
    results(x, yes)?;
    let both = output_facts(then_branch).zip(output_facts(else_branch));
    let facts = both.take(x.results).map(|(yes, no)| Fact::of(yes.ty.or(&no.ty))).collect();
    Ok(Inferred { facts, assumed: vec![] })
}

/// Operands: the trip count and the first condition, both perhaps absent, and the first state. Body: from iteration,
/// condition and state to condition, state and what is scanned. Results: the last state, and the scanned values of all
/// iterations, one after the other.
pub(crate) fn loop_(x: &Operands<'_>, body: &Arc<Graph>) -> Outcome {
    let own = own(x, &[body])?;
    let states = body.inputs().len().checked_sub(2);
    let states = states.ok_or_else(|| x.fail("its body takes less than the iteration and the condition"))?;
    if own.len() > states + 2 {
        return Err(x.fail(format!("its body takes a state of {states}, but it has {} operands", own.len())));
    }
    if (2..states + 2).any(|at| own.get(at).copied().flatten().is_none()) {
        return Err(x.fail(format!("its body takes a state of {states}, and one of them is absent")));
    }
    if body.outputs().len() < states + 1 {
        return Err(x.fail(format!("its body has {} results: a condition and {states} are due", body.outputs().len())));
    }
    results(x, body.outputs().len() - 1)?;
    let facts = output_facts(body).skip(1).enumerate().take(x.results).map(|(at, after)| match own.get(at + 2) {
        // It may run not once.
        Some(Some(before)) if at < states => Fact::of(before.ty.or(&after.ty)),
        _ if at < states => Fact::of(ValueType::Unknown),
        _ => Fact::of(of_known_sizes(&stacked(after, 0, &Dim::Unknown).ty)),
    });
    Ok(Inferred { facts: facts.collect(), assumed: vec![] })
}

/// The type with the symbols left out: where a Loop runs not once, ONNX Runtime makes each size that is not a number 0.
fn of_known_sizes(ty: &ValueType) -> ValueType {
    let ValueType::Tensor(TensorType { element, shape: Some(shape) }) = ty else { return ty.clone() };
    let known = |dim: &Dim| dim.known().map_or(Dim::Unknown, Dim::Known);
    TensorType { element: *element, shape: Some(shape.iter().map(known).collect()) }.into()
}

/// A tensor for each iteration, along a new axis.
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

/// Operands: the first state, then the tensors that are scanned along an axis. Body: from state and slices to state
/// and slices. Results: the last state, and the slices of all iterations along an axis.
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
        return Err(x.fail(format!("num_scan_inputs is {num_scan_inputs}, and it has {} operands", own.len())));
    };
    let states = own.len() - scanned;
    if body.inputs().len() != own.len() {
        return Err(x.fail(format!("its body takes {} values, but it has {}", body.inputs().len(), own.len())));
    }
    if body.outputs().len() < states {
        return Err(x.fail(format!("its body has {} results, and the state has {states}", body.outputs().len())));
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

/// Operands: a sequence, then sequences of its length or tensors. Body: from an element of each to an element of each
/// result, which are sequences.
pub(crate) fn sequence_map(x: &Operands<'_>, body: &Arc<Graph>) -> Outcome {
    let own = own(x, &[body])?;
    if own.len() != body.inputs().len() {
        return Err(x.fail(format!("its body takes {} values, but it has {}", body.inputs().len(), own.len())));
    }
    results(x, body.outputs().len())?;
    let mut inferred = unknown(x);
    for (fact, element) in inferred.facts.iter_mut().zip(output_facts(body)) {
        fact.ty = ValueType::Sequence(Box::new(element.ty.clone()));
    }
    Ok(inferred)
}
