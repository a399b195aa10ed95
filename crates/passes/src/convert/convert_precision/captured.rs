//! What bodies capture, and in which type they read it.

use super::Context;
use super::plan::{Mode, Plan};
use crate::read::products::cast_of;
use crate::read::rows::{Known, Rows};
use netwright_ir::{Graph, NodeId, Value};
use std::cell::RefCell;
use std::collections::HashMap;

/// The operands that the bodies of a node capture, which come after its own.
pub(super) struct Captured {
    own: usize,
    /// How each is read.
    reading: Vec<Reading>,
    /// What is known of those that a body reads as masks, for each body by the value that captures them.
    pub(super) known: Vec<KnownMasks>,
}

/// What is known of captured values; `None` of those whose rows are not known.
pub(super) type KnownMasks = HashMap<Value, Option<Known>>;

/// How a body reads what it captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// In the narrow type, at least once.
    Narrow,
    /// In `f32`, or not as a float.
    Wide,
    /// As a mask of attention that stays in `f32`.
    Mask,
}

impl Captured {
    /// Whether an operand is read in the narrow type; `None` if it is not captured.
    pub(super) fn is_narrow(&self, at: usize) -> Option<bool> {
        Some(*self.reading.get(at.checked_sub(self.own)?)? == Reading::Narrow)
    }

    /// Whether an operand is a mask of attention that stays in `f32`.
    pub(super) fn is_mask(&self, at: usize) -> bool {
        at.checked_sub(self.own).and_then(|at| self.reading.get(at)) == Some(&Reading::Mask)
    }
}

impl Context<'_> {
    /// Returns what holds for the bodies in a graph.
    pub(super) fn of_bodies(&self) -> Self {
        Self { is_of_body: true, ..*self }
    }
}

/// Returns what the bodies of a node capture.
pub(super) fn captured(graph: &Graph, id: NodeId, rows: &Rows<'_>, context: &Context<'_>) -> Captured {
    let operands = graph.operands(id);
    let op = graph.node(id).op();
    let own = operands.len().saturating_sub(op.capture_count());
    let mut outer = operands.iter().skip(own);
    let (mut reading, mut known) = (vec![], vec![]);
    for body in op.bodies() {
        let of_outer: HashMap<Value, Option<Value>> = body.captures().zip(outer.by_ref().copied()).collect();
        // Most captures are weights, which are not read: only the masks among them are asked for.
        let asked = RefCell::new(KnownMasks::new());
        let of_capture = |capture: Value| {
            let found = asked.borrow().get(&capture).cloned();
            found.unwrap_or_else(|| {
                let found = of_outer.get(&capture).copied().flatten().and_then(|value| rows.known(value));
                asked.borrow_mut().insert(capture, found.clone());
                found
            })
        };
        reading.extend(readings(body, context, &of_capture));
        known.push(asked.into_inner());
    }
    Captured { own, reading, known }
}

/// Returns for each capture of a body how nodes there read it, perhaps after casts.
fn readings(body: &Graph, context: &Context<'_>, known: &dyn Fn(Value) -> Option<Known>) -> Vec<Reading> {
    let context = &context.of_bodies();
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
                if cast_of(body, result).is_some() {
                    open.push(result);
                } else if plan.kept.contains_key(&user) || plan.reads_rows(user, at) || plan.captures_mask(user, at) {
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
