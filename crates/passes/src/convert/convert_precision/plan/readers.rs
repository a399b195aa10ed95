//! What the readers of a value say about its type.

use super::super::is_converted;
use super::super::kinds::{is_bounded, is_choice, is_elementwise, is_structural};
use super::{Mode, Planner};
use crate::read::products::{before_casts, cast_of};
use netwright_ir::op::Class;
use netwright_ir::{ElementType, NodeId, Op, Value};

impl Planner<'_> {
    /// Whether only sines and cosines of a value are computed.
    pub(super) fn is_angle(&self, value: Value) -> bool {
        let users = self.graph.users(value);
        let is_angle = |(user, _): (NodeId, usize)| {
            let result = Value { node: user, result: 0 };
            matches!(self.graph.node(user).op(), Op::Sin | Op::Cos)
                || self.angles.contains(&user)
                || cast_of(self.graph, result).is_some() && self.is_angle(result)
        };
        !users.is_empty() && !self.graph.is_output(value) && users.into_iter().all(is_angle)
    }

    /// Whether a node in `f16` has numbers of a mask in its results, which are limited. If they are outputs, the caller or the
    /// next step of a Loop reads limited numbers.
    pub(super) fn limits_masks(&self, id: NodeId, operands: &[Value]) -> bool {
        let kind = self.graph.node(id).op().kind();
        let has_mask = |operand: &Value| {
            let inner = before_casts(self.graph, *operand).node;
            self.plan.exceeding.contains(&inner) || self.of_masks.contains(&inner)
        };
        let passes_on = (is_structural(kind) || is_elementwise(kind)) && !is_bounded(self.graph, id, self.context);
        self.context.to == ElementType::F16 && passes_on && operands.iter().any(has_mask)
    }

    /// Whether a value is an output, or no node reads it in the narrow type.
    pub(super) fn is_read_wide(&self, value: Value) -> bool {
        self.graph.is_output(value) || self.readers(value).0 == 0
    }

    /// Whether a value is summed up in `f32`.
    pub(super) fn is_summed(&self, value: Value) -> bool {
        let is_sum = |user: NodeId| {
            let kind = self.graph.node(user).op().kind();
            kind.class() == Class::Reduces && !is_choice(kind) && self.plan.mode(user) == Some(&Mode::Wide)
        };
        self.graph.users(value).into_iter().any(|(user, _)| {
            let result = Value { node: user, result: 0 };
            is_sum(user) || cast_of(self.graph, result).is_some() && self.is_summed(result)
        })
    }

    /// How many nodes read a value in the narrow type, and how many in another one; casts between floats are followed.
    pub(super) fn readers(&self, value: Value) -> (usize, usize) {
        let (mut narrow, mut others, mut open) = (0, 0, vec![value]);
        while let Some(value) = open.pop() {
            for (user, at) in self.graph.users(value) {
                let op = self.graph.node(user).op();
                let is_cast = matches!(op, Op::Cast { to, .. } if is_converted(*to));
                // Some operators read only part of their operands in the narrow type, or none.
                let reads_narrow = || {
                    let has_no_body = || op.bodies().is_empty() && self.context.accepts(op, at, self.context.to);
                    self.plan.captures_narrow(user, at).unwrap_or_else(has_no_body)
                };
                match self.plan.mode(user) {
                    _ if is_cast => open.push(Value { node: user, result: 0 }),
                    Some(Mode::Narrow) if reads_narrow() => narrow += 1,
                    Some(_) => others += 1,
                    None => {}
                }
            }
        }
        (narrow, others)
    }
}
