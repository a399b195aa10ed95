//! Removes expansions of values that their users broadcast anyway.

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::read::sizes::{is_defined, position};
use crate::rewrite::{SMALL, first_operands, insert, needs_node_between, number_list};
use crate::rule::Skip;
use netwright_ir::op::Class;
use netwright_ir::{Dim, ElementType, Graph, HashMap, HashSet, NodeId, Op, OpKind, Tensor, TensorType, Value};

/// `add(x, expand(m, s))` -> `add(x, m)`, and likewise through chains of operators that broadcast
///
/// Exporters expand a mask to the shape of the scores, or insert leading axes of size 1 into a vector, before an
/// operator that broadcasts anyway. If all uses of a value broadcast it, the pass removes Expand, Unsqueeze of leading
/// axes, and `And` with a condition that is always true. On every axis, one operand that provably has the broadcast
/// size keeps it, so no result of the graph changes its shape, and the same numbers are computed.
pub fn narrow_broadcasts() -> Pass {
    let summary = "do not expand values that their users broadcast anyway";
    Pass::new("narrow-broadcasts", summary, Exactness::Bits).on_graph(narrow).after(&["decompose-attention"])
}

/// A set of axes, counted from the last; one bit each.
type Axes = u64;

/// The requirements of the users of a value.
#[derive(Clone, Copy, Default)]
struct Need {
    /// The axes whose size must stay.
    axes: Axes,
    /// The minimum rank.
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
    if ![OpKind::Expand, OpKind::Unsqueeze, OpKind::And].iter().any(|kind| graph.has_kind(*kind)) {
        return;
    }
    let schedule = graph.schedule();
    let widened = widened(graph, &schedule);
    let needs = needs(graph, &schedule, &widened);
    let mut changed: HashSet<Value> = HashSet::default();
    for node in schedule {
        if !graph.is_alive(node) || graph.node(node).result_count() != 1 {
            continue;
        }
        let root = Value { node, result: 0 };
        // If its operands became narrower, it may be narrower too.
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

/// The replacement of the root, and the note of the rewrite.
type Narrowed = Result<(Value, &'static str), Skip>;

/// Whether an operand that is broadcast to the root satisfies `need` by itself.
fn suffices(graph: &Graph, root: Value, operand: Value, need: Need) -> bool {
    let (Some(to), Some(from)) = (graph.shape(root), graph.shape(operand)) else { return false };
    let lacks = |axis: usize| {
        let full = &to[to.len() - 1 - axis];
        match from.len().checked_sub(axis + 1).map(|at| &from[at]) {
            Some(own) if own.same(full) == Some(true) => false,
            // An axis that is missing or of size 1 is broadcast.
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

/// Replaces the root with a narrower value, for which facts about the root do not hold.
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
    replace(graph, root, x, "dropped: its users broadcast")
}

/// Drops leading axes of size 1 that an Unsqueeze inserts.
fn drop_axes(graph: &mut Graph, root: Value, need: Need) -> Narrowed {
    let [x, axes] = first_operands(graph, root)?;
    let shape = graph.shape(root).ok_or(Skip::NoMatch)?;
    let (axes, rank) = (graph.fact(axes).known_elements().ok_or(Skip::NoMatch)?, shape.len());
    let mut axes = axes.iter().map(|axis| position(*axis, rank)).collect::<Option<Vec<_>>>().ok_or(Skip::NoMatch)?;
    axes.sort_unstable();
    // Inserting an axis after axes of size 1 is the same as inserting it before them.
    let leading = shape.iter().take_while(|dim| **dim == Dim::Known(1)).count();
    let spare = axes.iter().filter(|axis| **axis < leading).count().min(rank.saturating_sub(need.rank));
    if spare == 0 {
        return Err(Skip::NoMatch);
    }
    let note = "leading axes dropped: its users broadcast";
    if axes.len() == spare {
        return replace(graph, root, x, note);
    }
    // Any of the leading axes may stay; only their number matters.
    let kept = axes.iter().filter(|axis| **axis < leading).count() - spare;
    let inner = axes.iter().filter(|axis| **axis >= leading).map(|axis| axis - spare);
    let new: Vec<i64> = (0..kept).chain(inner).filter_map(|axis| i64::try_from(axis).ok()).collect();
    let new = number_list(graph, root, "axes", &new)?;
    let value = insert(graph, root, "new", Op::Unsqueeze, &[x, new])?;
    graph.replace(root, value);
    Ok((value, note))
}

fn drop_and(graph: &mut Graph, root: Value, need: Need) -> Narrowed {
    let [a, b] = first_operands(graph, root)?;
    for (condition, other) in [(a, b), (b, a)] {
        if is_always_true(graph, condition) && suffices(graph, root, other, need) {
            return replace(graph, root, other, "dropped: the other operand is always true");
        }
    }
    Err(Skip::NoMatch)
}

/// The maximum number of operators before a value that are examined.
const MAX_STEPS: usize = 16;

/// Whether every element of the result is an element of the first operand. Operators with indices are excluded: an
/// index that is out of range must still fail.
fn moves(op: &Op) -> bool {
    op.kind().keeps_elements() || op.kind() == OpKind::Slice
}

/// Whether every element is provably true.
fn is_always_true(graph: &Graph, mut value: Value) -> bool {
    for _ in 0..MAX_STEPS {
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

/// Whether every element of an integer tensor is provably nonnegative: it is a Range that starts at a size and ascends.
fn is_nonnegative(graph: &Graph, mut value: Value) -> bool {
    for _ in 0..MAX_STEPS {
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

/// Infers the result again from operands that became narrower. Returns whether it became narrower too.
fn refresh(graph: &mut Graph, root: Value) -> bool {
    let operands = graph.operands(root.node);
    let Ok(inferred) = graph.infer(graph.op(root), &operands, 1) else { return false };
    let (Some(new), Some(old)) = (inferred.facts[0].shape(), graph.shape(root)) else { return false };
    // A dim that did not become narrower stays: more may be known about it than inference finds.
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

/// Whether an operator broadcasts its operands in the opset of the model. Variadic operators do so from opset 8 on.
fn broadcasts(graph: &Graph, kind: OpKind) -> bool {
    let is_variadic = matches!(kind, OpKind::Max | OpKind::Mean | OpKind::Min | OpKind::Sum);
    kind.class() == Class::Broadcasting && (!is_variadic || graph.dialect().is_none_or(|dialect| dialect.opset >= 8))
}

/// Returns, for every value, the axes on which it was expanded and could be narrow.
fn widened(graph: &Graph, schedule: &[NodeId]) -> HashMap<Value, Axes> {
    let mut widened: HashMap<Value, Axes> = HashMap::default();
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
                    !full || has(of(operand), *axis) || (kind == OpKind::And && is_always_true(graph, *operand))
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

/// Returns the need for every value that has a use, from the results of the graph backward.
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
            // Scores and the mask that is added to them.
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

/// Returns the need for each operand: on every needed axis one operand keeps the size, preferably one that was not
/// expanded to it.
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
            // It is not provably broadcast on this axis.
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
    // The operand that keeps the rank, preferably one to which the axes were not added.
    let given = |at: &usize| matches!(graph.kind(values[*at]), OpKind::Unsqueeze | OpKind::Expand);
    let longest = (0..values.len()).filter(|at| shapes[*at].len() >= rank).min_by_key(given)?;
    needs[longest].rank = rank;
    Some(needs)
}

/// Returns the needs of a Gather along the first axis, whose result begins with the axes of the indices.
fn by_index(graph: &Graph, root: Value, need: Need) -> Option<Vec<Need>> {
    let inner = graph.fact(graph.operand(root.node, 0)?).rank()?.checked_sub(1)?;
    let indices = graph.fact(graph.operand(root.node, 1)?).rank()?;
    let Op::Gather { axis: 0 } = graph.op(root) else { return None };
    // All sizes of the indices are needed, but leading axes of size 1 are not.
    let rank = need.rank.saturating_sub(inner).min(indices);
    Some(vec![Need::ALL, Need { axes: Axes::MAX, rank }])
}

/// Returns the needs of a Concat that repeats one value along an axis counted from the end: leading axes of size 1 are
/// not needed.
fn by_part(graph: &Graph, root: Value, operands: &[Option<Value>], rank: usize, need: Need) -> Option<Vec<Need>> {
    let &Op::Concat { axis } = graph.op(root) else { return None };
    let from_end = usize::try_from(axis.checked_neg()?).ok()?;
    if from_end == 0 || operands.iter().any(|operand| *operand != operands[0]) {
        return None;
    }
    Some(vec![Need { axes: Axes::MAX, rank: need.rank.min(rank).max(from_end) }; operands.len()])
}
