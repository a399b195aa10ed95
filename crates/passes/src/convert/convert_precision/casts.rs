//! The casts that a conversion inserts, and masks in the narrow type.

use super::{Converter, beside, tensors};
use crate::read::{masks, rows};
use crate::rewrite::cast;
use netwright_ir::{ElementType, Graph, NodeId, Op, OpKind, Value};

impl Converter<'_> {
    /// Moves the cast of a value that is in the graph beside the value if it comes after its new reader, which would
    /// otherwise come after that cast when the file is read again.
    pub(super) fn hoist_cast(&mut self, graph: &mut Graph, value: Value, to: ElementType, reader: NodeId) {
        let is_read = graph.fact(value).element() == Some(to) || self.typed.contains_key(&(value, to));
        let later = cast_in_graph(graph, value, to).filter(|_| !is_read);
        let later = later.filter(|later| graph.node(later.node).order() > graph.node(reader).order());
        let Some(later) = later.filter(|later| later.node != reader) else { return };
        if let Ok(node) = graph.insert(beside(graph, value, to), cast(to), &[Some(value)]) {
            graph.replace(later, Value { node, result: 0 });
            self.done.has_changed = true;
        }
    }

    /// Casts a value; one that may exceed the range of the type, as a mask does, is limited first.
    pub(super) fn insert_cast(&mut self, graph: &mut Graph, value: Value, to: ElementType) -> Value {
        self.done.has_changed = true;
        let exceeds = to == self.context.to && self.plan.exceeding.contains(&value.node);
        if let Some(mask) = Some(value).filter(|_| exceeds).and_then(|value| self.mask_in_type(graph, value, to)) {
            return mask;
        }
        self.done.casts += 1;
        let limited = if exceeds { tensors::limited(graph, value, to).unwrap_or(value) } else { value };
        let place = beside(graph, value, to);
        // A Cast between these types is defined whatever its operand is.
        graph.insert(place, cast(to), &[Some(limited)]).map_or(value, |node| Value { node, result: 0 })
    }

    /// A mask in a narrower type: one that a condition chooses is chosen again, and one whose rows are lifted above what
    /// runtimes leave out is lifted as far as that type allows.
    fn mask_in_type(&mut self, graph: &mut Graph, value: Value, to: ElementType) -> Option<Value> {
        if let Some(whole) = masks::before_lift(graph, value).filter(|_| to == ElementType::F16) {
            let constant = graph.tensor(whole).filter(|_| rows::show_all(graph, whole));
            let constant = constant.map(|tensor| tensors::mask_for_f16(tensor).unwrap_or_else(|| tensor.clone()));
            if let Some(tensor) = constant.and_then(|tensor| tensors::converted(&tensor, to, true)) {
                let place = beside(graph, value, to);
                return graph.insert(place, Op::Parameter(tensor), &[]).ok().map(|node| Value { node, result: 0 });
            }
            let keeps_infinity = !masks::is_finite(graph, whole);
            let narrow = self.in_type(graph, whole, to);
            return masks::lifted(graph, value, narrow, keeps_infinity).ok();
        }
        let [Some(condition), Some(yes), Some(no)] = graph.operands(value.node)[..] else { return None };
        if graph.kind(value) != OpKind::Where || [yes, no].iter().any(|branch| graph.tensor(*branch).is_none()) {
            return None;
        }
        self.several.extend([yes, no]);
        let branches = [yes, no].map(|branch| Some(self.in_type(graph, branch, to)));
        let place = beside(graph, value, to);
        Some(Value {
            node: graph.insert(place, Op::Where, &[Some(condition), branches[0], branches[1]]).ok()?,
            result: 0,
        })
    }
}

/// A cast of a value that is in the graph.
pub(super) fn cast_in_graph(graph: &Graph, value: Value, to: ElementType) -> Option<Value> {
    let is_cast = |id: &NodeId| matches!(graph.node(*id).op(), Op::Cast { to: own, .. } if *own == to);
    graph.users(value).into_iter().map(|(id, _)| id).find(is_cast).map(|node| Value { node, result: 0 })
}
