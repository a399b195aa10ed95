//! What bodies capture, and in which type they read it.

use super::plan::{Mode, Plan};
use super::{Context, is_float_cast};
use crate::read::rows::{Known, Rows};
use netwright_ir::{Graph, NodeId, Value};
use std::collections::HashMap;

/// The operands that the bodies of a node capture, which come after its own.
pub(super) struct Captured {
    own: usize,
    /// How each is read.
    reading: Vec<Reading>,
    /// What is known of the masks among them, for each body by the value that captures them.
    pub(super) known: Vec<HashMap<Value, Known>>,
}

/// How a body reads what it captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// In the narrow type, at least once.
    Narrow,
    /// In `f32`, or not as a float.
    Wide,
    /// As a mask of attention that [stays](Plan::kept) in `f32`.
    Mask,
}

impl Captured {
    /// Whether an operand is read in the narrow type; `None` if it is not captured.
    pub(super) fn is_narrow(&self, at: usize) -> Option<bool> {
        Some(*self.reading.get(at.checked_sub(self.own)?)? == Reading::Narrow)
    }

    /// Returns the operands that are masks of attention that stays in `f32`.
    pub(super) fn masks(&self) -> impl Iterator<Item = usize> + '_ {
        let masks = self.reading.iter().enumerate().filter(|(_, reading)| **reading == Reading::Mask);
        masks.map(|(at, _)| self.own + at)
    }
}

/// Returns what the bodies of a node capture.
pub(super) fn captured(graph: &Graph, id: NodeId, rows: &Rows<'_>, context: &Context<'_>) -> Captured {
    let operands = graph.operands(id);
    let bodies = graph.node(id).op().bodies();
    let captures: usize = bodies.iter().map(|body| body.captures().len()).sum();
    let own = operands.len().saturating_sub(captures);
    let mut outer = operands.iter().skip(own);
    let (mut reading, mut known) = (vec![], vec![]);
    for body in bodies {
        let of_outer = body.captures().zip(outer.by_ref());
        let its = of_outer.filter_map(|(capture, value)| Some((capture, rows.known((*value)?)?)));
        let its: HashMap<Value, Known> = its.collect();
        reading.extend(readings(body, context, &its));
        known.push(its);
    }
    Captured { own, reading, known }
}

/// Returns for each capture of a body how nodes there read it, perhaps after casts.
fn readings(body: &Graph, context: &Context<'_>, known: &HashMap<Value, Known>) -> Vec<Reading> {
    let plan = Plan::of(body, context, known);
    let is_narrow = |user: NodeId, at: usize| {
        plan.mode(user) == Some(&Mode::Narrow)
            && plan.captures_narrow(user, at).unwrap_or_else(|| context.accepts(body.node(user).op(), at, context.to))
    };
    let reading = |capture| {
        let (mut open, mut found) = (vec![capture], Reading::Wide);
        while let Some(value) = open.pop() {
            for (user, at) in body.users(value) {
                let result = Value { node: user, result: 0 };
                if is_float_cast(body, result) {
                    open.push(result);
                } else if plan.kept.contains_key(&user) || plan.captures_mask(user, at) {
                    return Reading::Mask;
                } else if is_narrow(user, at) {
                    found = Reading::Narrow;
                }
            }
        }
        found
    };
    body.captures().map(reading).collect()
}
