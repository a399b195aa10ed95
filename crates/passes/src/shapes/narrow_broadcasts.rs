use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::read::sizes::{is_defined, position};
use crate::rewrite::{SMALL, insert, needs_node_between, number_list};
use crate::rule::Skip;
use netwright_ir::op::Class;
use netwright_ir::{Dim, ElementType, Graph, NodeId, Op, OpKind, Tensor, TensorType, Value};
use std::collections::{HashMap, HashSet};

/// `add(x, expand(m, s))` -> `add(x, m)`, and so through every chain of operators that broadcast
///
/// Exporters widen a mask to the shape of the scores, or give a vector leading axes of size 1, before an operator that
/// broadcasts anyway. What is read in such places alone is left narrow: Expand, Unsqueeze of leading axes, and `And`
/// with what always holds, go. On every axis one operand keeps the size that the others are broadcast to, and that one
/// is shown to have it, so no result of the graph changes its shape, and no other number is computed.
pub fn narrow_broadcasts() -> Pass {
    let summary = "leave narrow what is broadcast by its readers anyway";
    Pass::new("narrow-broadcasts", summary, Exactness::Bits).on_graph(narrow).after(&["decompose-attention"])
}

/// Axes, counted from the last; a bit each.
type Axes = u64;

/// What the readers of a value need of it.
#[derive(Clone, Copy, Default)]
struct Need {
    /// The axes that must have their size.
    axes: Axes,
    /// How many axes must be there.
    rank: usize,
}

impl Need {
    const ALL: Need = Need { axes: Axes::MAX, rank: usize::MAX };

    fn and(&mut self, other: Need) {
        self.axes |= other.axes;
        self.rank = self.rank.max(other.rank);
    }
}

fn narrow(graph: &mut Graph, log: &mut Log) {
    let schedule = graph.schedule();
    let widened = widened(graph, &schedule);
    let needs = needs(graph, &schedule, &widened);
    let mut changed: HashSet<Value> = HashSet::new();
    for node in schedule {
        if !graph.is_alive(node) || graph.node(node).result_count() != 1 {
            continue;
        }
        let root = Value { node, result: 0 };
        // Where its operands are narrower, it may be.
        let reads_changed = graph.operands(node).into_iter().flatten().any(|operand| changed.contains(&operand));
        if reads_changed && refresh(graph, root) {
            changed.insert(root);
        }
        let name = name_of(graph, node);
        if !log.may_apply_at(&name) {
            continue;
        }
        let mark = graph.mark();
        let need = needs.get(&root).copied().unwrap_or_default();
        let rewritten = match graph.kind(root) {
            OpKind::Expand => drop_expand(graph, root, need),
            OpKind::Unsqueeze => drop_axes(graph, root, need),
            OpKind::And => drop_and(graph, root, need),
            _ => Err(Skip::NoMatch),
        };
        match rewritten {
            Ok((value, note)) => {
                changed.insert(value);
                log.applied_in(graph, name, note);
            }
            Err(_) => graph.undo_to(mark),
        }
    }
}

/// The value that stands in the place of the root, and a word on it.
type Narrowed = Result<(Value, &'static str), Skip>;

/// Whether the operand at that place, broadcast to the root, lacks nothing that is needed.
fn suffices(graph: &Graph, root: Value, operand: Value, need: Need) -> bool {
    let (Some(to), Some(from)) = (graph.shape(root), graph.shape(operand)) else { return false };
    let lacks = |axis: usize| {
        let full = &to[to.len() - 1 - axis];
        match from.len().checked_sub(axis + 1).map(|at| &from[at]) {
            Some(own) if own.same(full) == Some(true) => false,
            // It gives way.
            None | Some(Dim::Known(1)) => has(need.axes, axis) && *full != Dim::Known(1),
            Some(_) => true,
        }
    };
    need.rank.min(to.len()) <= from.len() && to.len() <= 64 && !(0..to.len()).any(lacks)
}

fn has(axes: Axes, axis: usize) -> bool {
    u32::try_from(axis).ok().and_then(|axis| axes.checked_shr(axis)).is_some_and(|axes| axes & 1 == 1)
}

fn bit(axis: usize) -> Axes {
    u32::try_from(axis).ok().and_then(|axis| 1u64.checked_shl(axis)).unwrap_or(0)
}

/// What is known of the root, which is wider, is not true of the value.
fn replace(graph: &mut Graph, root: Value, value: Value, note: &'static str) -> Narrowed {
    if needs_node_between(graph, root, value) {
        return Err(Skip::NoMatch);
    }
    graph.replace(root, value);
    Ok((value, note))
}

fn drop_expand(graph: &mut Graph, root: Value, need: Need) -> Narrowed {
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    if !suffices(graph, root, x, need) || !is_defined(graph, root) {
        return Err(Skip::NoMatch);
    }
    replace(graph, root, x, "dropped: its readers broadcast")
}

/// Drops leading axes of size 1 that it puts in.
fn drop_axes(graph: &mut Graph, root: Value, need: Need) -> Narrowed {
    let (Some(x), Some(axes)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    let shape = graph.shape(root).ok_or(Skip::NoMatch)?;
    let (axes, rank) = (graph.fact(axes).known_elements().ok_or(Skip::NoMatch)?, shape.len());
    let mut axes = axes.iter().map(|axis| position(*axis, rank)).collect::<Option<Vec<_>>>().ok_or(Skip::NoMatch)?;
    axes.sort_unstable();
    // An axis put in behind axes of size 1 is as good as one put in before them.
    let leading = shape.iter().take_while(|dim| **dim == Dim::Known(1)).count();
    let spare = axes.iter().filter(|axis| **axis < leading).count().min(rank.saturating_sub(need.rank));
    if spare == 0 {
        return Err(Skip::NoMatch);
    }
    let note = "leading axes dropped: its readers broadcast";
    if axes.len() == spare {
        return replace(graph, root, x, note);
    }
    // Of the leading ones, whichever they are, as many stay as are needed.
    let kept = axes.iter().filter(|axis| **axis < leading).count() - spare;
    let inner = axes.iter().filter(|axis| **axis >= leading).map(|axis| axis - spare);
    let new: Vec<i64> = (0..kept).chain(inner).filter_map(|axis| i64::try_from(axis).ok()).collect();
    let new = number_list(graph, root, "axes", &new)?;
    let value = insert(graph, root, "new", Op::Unsqueeze, &[x, new])?;
    graph.replace(root, value);
    Ok((value, note))
}

fn drop_and(graph: &mut Graph, root: Value, need: Need) -> Narrowed {
    let (Some(a), Some(b)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    for (holds, other) in [(a, b), (b, a)] {
        if always(graph, holds) && suffices(graph, root, other, need) {
            return replace(graph, root, other, "dropped: the other operand always holds");
        }
    }
    Err(Skip::NoMatch)
}

/// How far what a value is made of is followed.
const MOST_STEPS: usize = 16;

/// Whether every element of the result is one of the first operand. What looks elements up by index is not among them:
/// it fails where an index is out of range, and would fail no more.
fn moves(op: &Op) -> bool {
    op.kind().keeps_elements() || op.kind() == OpKind::Slice
}

/// Whether every element is true.
fn always(graph: &Graph, mut value: Value) -> bool {
    for _ in 0..MOST_STEPS {
        match graph.op(value) {
            Op::Constant(tensor) => return all_true(tensor),
            op if moves(op) => {}
            Op::GreaterOrEqual => {
                let (left, right) = (graph.operand(value.node, 0), graph.operand(value.node, 1));
                let bound = right.and_then(|right| graph.fact(right).known_elements());
                return left
                    .zip(bound)
                    .is_some_and(|(left, bound)| bound.iter().all(|bound| *bound <= 0) && is_nonnegative(graph, left));
            }
            _ => return false,
        }
        let Some(operand) = graph.operand(value.node, 0) else { return false };
        value = operand;
    }
    false
}

fn all_true(tensor: &Tensor) -> bool {
    tensor.element() == ElementType::Bool
        && tensor.len() <= SMALL
        && tensor.to_bytes().is_ok_and(|bytes| bytes.iter().all(|byte| *byte != 0))
}

/// Whether every element of an integer tensor is zero or more: it counts upward from a size.
fn is_nonnegative(graph: &Graph, mut value: Value) -> bool {
    for _ in 0..MOST_STEPS {
        let operand = |at| graph.operand(value.node, at);
        match graph.op(value) {
            Op::Range => {
                let first = |at| graph.fact(operand(at)?).elements.as_ref()?.first().cloned();
                return first(0).is_some_and(|start| start.is_nonnegative())
                    && first(2).is_some_and(|step| step.is_nonnegative());
            }
            op if moves(op) => {}
            _ => return false,
        }
        let Some(operand) = operand(0) else { return false };
        value = operand;
    }
    false
}

/// Infers the result anew from operands that became narrower; whether it became narrower too.
fn refresh(graph: &mut Graph, root: Value) -> bool {
    let operands = graph.operands(root.node);
    let Ok(inferred) = graph.infer(graph.op(root), &operands, 1) else { return false };
    let (Some(new), Some(old)) = (inferred.facts[0].shape(), graph.shape(root)) else { return false };
    // What is not narrower is as it was, of which more may be known than inference sees.
    let dims = new.iter().rev().enumerate().map(|(axis, dim)| {
        let before = old.len().checked_sub(axis + 1).map(|at| &old[at]);
        before.filter(|_| *dim != Dim::Known(1)).unwrap_or(dim).clone()
    });
    let mut dims: Vec<Dim> = dims.collect();
    dims.reverse();
    if dims == old {
        return false;
    }
    let mut fact = graph.fact(root).clone();
    let Some(element) = fact.element() else { return false };
    fact.ty = TensorType::new(element, dims.into_iter().collect()).into();
    fact.elements.clone_from(&inferred.facts[0].elements);
    graph.set_fact(root, fact);
    true
}

/// Whether its operands are broadcast, in the opset of the model too: before 8, those of any number of operands were not.
fn broadcasts(graph: &Graph, kind: OpKind) -> bool {
    let is_young = matches!(kind, OpKind::Max | OpKind::Mean | OpKind::Min | OpKind::Sum);
    kind.class() == Class::Broadcasting && (!is_young || graph.dialect().is_none_or(|dialect| dialect.opset >= 8))
}

/// Of every value the axes on which it was widened, and could be narrow.
fn widened(graph: &Graph, schedule: &[NodeId]) -> HashMap<Value, Axes> {
    let mut widened: HashMap<Value, Axes> = HashMap::new();
    for &node in schedule {
        if graph.node(node).result_count() != 1 {
            continue;
        }
        let root = Value { node, result: 0 };
        let kind = graph.kind(root);
        let operands = graph.operands(node);
        let of = |value: &Value| widened.get(value).copied().unwrap_or(0);
        let axes = if kind.class() == Class::ElementwiseUnary {
            operands.iter().flatten().map(of).fold(0, |all, axes| all | axes)
        } else if kind == OpKind::Expand || broadcasts(graph, kind) {
            let Some(shape) = graph.shape(root) else { continue };
            let read = if kind == OpKind::Expand { &operands[..1] } else { &operands[..] };
            let narrow = |axis: &usize| {
                read.iter().flatten().all(|operand| {
                    let full = graph
                        .shape(*operand)
                        .is_none_or(|own| own.len().checked_sub(axis + 1).is_some_and(|at| own[at] != Dim::Known(1)));
                    !full || has(of(operand), *axis) || (kind == OpKind::And && always(graph, *operand))
                })
            };
            let wide = |axis: &usize| shape[shape.len() - 1 - axis] != Dim::Known(1);
            (0..shape.len().min(64)).filter(wide).filter(narrow).fold(0, |all, axis| all | bit(axis))
        } else {
            0
        };
        if axes != 0 {
            widened.insert(root, axes);
        }
    }
    widened
}

/// What is needed of every value that is read, from the results of the graph backward.
fn needs(graph: &Graph, schedule: &[NodeId], widened: &HashMap<Value, Axes>) -> HashMap<Value, Need> {
    let mut needs: HashMap<Value, Need> = graph.outputs().iter().map(|output| (output.value, Need::ALL)).collect();
    for &node in schedule.iter().rev() {
        let operands = graph.operands(node);
        let root = Value { node, result: 0 };
        let kind = graph.kind(root);
        let single = graph.node(node).result_count() == 1;
        let need = needs.get(&root).copied().unwrap_or_default();
        let of_operands = match (single.then(|| graph.shape(root)).flatten(), kind) {
            (Some(shape), _) if shape.len() > 64 => None,
            (Some(_), kind) if kind.class() == Class::ElementwiseUnary => Some(vec![need; operands.len()]),
            (Some(shape), kind) if broadcasts(graph, kind) => by_operand(graph, &operands, shape, need, widened),
            // The scores and the mask that is added to them.
            (Some(shape), OpKind::ScaledSoftmax) => by_operand(graph, &operands, shape, Need::ALL, widened),
            (Some(_), OpKind::Gather) => by_index(graph, root, need),
            (Some(shape), OpKind::Concat) => by_part(graph, root, &operands, shape.len(), need),
            _ => None,
        };
        for (at, operand) in operands.iter().enumerate() {
            let Some(operand) = operand else { continue };
            let its = of_operands.as_ref().map_or(Need::ALL, |all| all[at]);
            needs.entry(*operand).or_default().and(its);
        }
    }
    needs
}

/// On every axis that is needed one operand keeps the size: one that has it by itself, if there is.
fn by_operand(
    graph: &Graph,
    operands: &[Option<Value>],
    shape: &[Dim],
    need: Need,
    widened: &HashMap<Value, Axes>,
) -> Option<Vec<Need>> {
    let values: Vec<Value> = operands.iter().copied().collect::<Option<_>>()?;
    let shapes: Vec<&[Dim]> = values.iter().map(|value| graph.shape(*value)).collect::<Option<_>>()?;
    let mut needs = vec![Need::default(); values.len()];
    let rank = need.rank.min(shape.len());
    for axis in 0..shape.len() {
        let full = &shape[shape.len() - 1 - axis];
        let own = |at: usize| shapes[at].len().checked_sub(axis + 1).map(|from| &shapes[at][from]);
        let is_full = |at: usize| own(at).is_some_and(|dim| dim.same(full) == Some(true));
        let was_widened = |at: &usize| widened.get(&values[*at]).is_some_and(|axes| has(*axes, axis));
        for (at, need) in needs.iter_mut().enumerate() {
            // Nothing shows that it gives way.
            if !is_full(at) && own(at).is_some_and(|dim| *dim != Dim::Known(1)) {
                need.axes |= bit(axis);
            }
        }
        match (0..values.len()).filter(|at| is_full(*at)).min_by_key(was_widened) {
            Some(at) if has(need.axes, axis) => needs[at].axes |= bit(axis),
            None => needs.iter_mut().for_each(|need| need.axes |= bit(axis)),
            _ => {}
        }
    }
    // The operand that keeps the number of axes: one that was not given them.
    let given = |at: &usize| matches!(graph.kind(values[*at]), OpKind::Unsqueeze | OpKind::Expand);
    let longest = (0..values.len()).filter(|at| shapes[*at].len() >= rank).min_by_key(given)?;
    needs[longest].rank = rank;
    Some(needs)
}

/// Gather along the first axis: the axes of the indices lead those of the result.
fn by_index(graph: &Graph, root: Value, need: Need) -> Option<Vec<Need>> {
    let inner = graph.fact(graph.operand(root.node, 0)?).rank()?.checked_sub(1)?;
    let indices = graph.fact(graph.operand(root.node, 1)?).rank()?;
    let Op::Gather { axis: 0 } = graph.op(root) else { return None };
    // Another index means other elements: all sizes are needed, but leading axes of size 1 may go.
    let rank = need.rank.saturating_sub(inner).min(indices);
    Some(vec![Need::ALL, Need { axes: Axes::MAX, rank }])
}

/// The same value twice and more along an axis counted from the end: leading axes of size 1 may go.
fn by_part(graph: &Graph, root: Value, operands: &[Option<Value>], rank: usize, need: Need) -> Option<Vec<Need>> {
    let &Op::Concat { axis } = graph.op(root) else { return None };
    let from_end = usize::try_from(axis.checked_neg()?).ok()?;
    if from_end == 0 || operands.iter().any(|operand| *operand != operands[0]) {
        return None;
    }
    Some(vec![Need { axes: Axes::MAX, rank: need.rank.min(rank).max(from_end) }; operands.len()])
}
