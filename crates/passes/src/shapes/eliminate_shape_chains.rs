//! Replaces shapes that are computed at run time with constants, or with less arithmetic.

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::read::sizes::{Sizes, constant_shape, count, inserted_axes, may_be_partial, sliced_shape};
use crate::rewrite::{become_op, become_value, first_operands, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, NodeId, Op, OpKind, Value};

/// Replaces shapes that are computed at run time with constants that contain 0 and -1, or with the shortest arithmetic
/// on the sizes of inputs.
///
/// Exporters compute every shape from its own `Shape` nodes. If symbolic inference knows a shape, a Reshape or an
/// Expand to it needs no arithmetic, provided that the constant is right for every binding:
/// - A size of the result that is at the same axis in the operand is a 0, which keeps it.
/// - One other size may be -1. ONNX Runtime rejects a -1 next to a 0 as ambiguous, so -1 is used only if all others are
///   numbers, or if the model itself has it.
/// - An axis that Expand does not change is a 1.
///
/// If a size is needed as a number (by Range, Slice or a Reshape with two unknown sizes), it is computed once, from the
/// first input that has it. `range(0, n) + c` becomes `range(c, n + c)`, because integers are exact.
pub fn eliminate_shape_chains() -> Pass {
    let summary = "reshape and expand to constant shapes, and compute sizes once, from the inputs";
    Pass::new("eliminate-shape-chains", summary, Exactness::Bits).on_graph(eliminate)
}

fn eliminate(graph: &mut Graph, log: &mut Log) {
    let sizes = Sizes::of(graph);
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        if !graph.is_alive(node) || !may_simplify(graph, node) {
            continue;
        }
        let name = name_of(graph, node);
        if !log.may_apply_at(&name) {
            continue;
        }
        let mark = graph.mark();
        match simplify(graph, &sizes, node) {
            Ok(note) => log.applied_in(graph, name, note),
            Err(skip) => {
                graph.undo_to(mark);
                if let Skip::Rejected(reason) = skip {
                    log.declined(name, reason);
                }
            }
        }
    }
}

/// Whether it computes a size, or may be simpler with sizes that are known.
fn may_simplify(graph: &Graph, node: NodeId) -> bool {
    let kind = graph.node(node).op().kind();
    let takes_sizes = matches!(kind, OpKind::Reshape | OpKind::Expand | OpKind::Add | OpKind::Slice);
    let is_size = || graph.fact(Value { node, result: 0 }).elements.is_some();
    !kind.is_source() && graph.node(node).result_count() == 1 && (takes_sizes || is_size())
}

fn simplify(graph: &mut Graph, sizes: &Sizes, node: NodeId) -> Rewritten {
    let root = Value { node, result: 0 };
    let kind = graph.kind(root);
    if let Some((x, part)) = sliced_shape(graph, root).filter(|_| may_be_partial(graph)) {
        return become_op(graph, root, part, &[x], "reads only the sizes that are used");
    }
    if graph.fact(root).elements.is_some() {
        return shorten(graph, sizes, root);
    }
    match kind {
        OpKind::Reshape => reshape(graph, root),
        OpKind::Expand => expand(graph, sizes, root),
        OpKind::Add => shift_range(graph, sizes, root),
        _ => Err(Skip::NoMatch),
    }
}

/// The maximum number of nodes that keep the order of elements and are looked through.
const MAX_STEPS: usize = 16;

/// Reshapes to a constant shape, or replaces a chain of nodes that keep the order of elements with an Unsqueeze.
fn reshape(graph: &mut Graph, root: Value) -> Rewritten {
    let [x, shape] = first_operands(graph, root)?;
    if graph.tensor(shape).is_some() {
        return Err(Skip::NoMatch);
    }
    let requested = graph.fact(shape).elements.clone().ok_or(Skip::NoMatch)?;
    let to = graph.shape(root).ok_or(Skip::NoMatch)?.to_vec();
    if let Some((base, axes)) = unsqueezed(graph, x, &to) {
        let axes = number_list(graph, root, "axes", &axes)?;
        return become_op(graph, root, Op::Unsqueeze, &[base, axes], "only inserts axes");
    }
    let target = constant_shape(graph.shape(x), &to, Some(&requested)).ok_or_else(|| {
        let shape = graph.operand_text(shape);
        Skip::rejected(format!("the shape {shape} cannot be a constant for every binding, including sizes of 0"))
    })?;
    let target = number_list(graph, root, "shape", &target)?;
    become_op(graph, root, Op::Reshape { allowzero: false }, &[x, target], "reshapes to a constant shape")
}

/// Returns the value before nodes that keep the order of elements, and the axes of size 1 that turn its shape into
/// `to`.
///
/// Each of the nodes is provably defined, so no failure at run time is hidden.
fn unsqueezed(graph: &Graph, mut value: Value, to: &[Dim]) -> Option<(Value, Vec<i64>)> {
    let elements = count(to);
    for _ in 0..MAX_STEPS {
        let shape = graph.shape(value)?;
        if let Some(axes) = inserted_axes(shape, to) {
            return Some((value, axes));
        }
        if !graph.kind(value).keeps_order() || count(shape).same(&elements) != Some(true) {
            return None;
        }
        value = graph.operand(value.node, 0)?;
    }
    None
}

/// Expands to a shape that names only the axes that change.
fn expand(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let [x, shape] = first_operands(graph, root)?;
    let from = graph.shape(x).ok_or(Skip::NoMatch)?.to_vec();
    let requested = graph.fact(shape).elements.clone().ok_or(Skip::NoMatch)?;
    let rank = requested.len();
    let narrow = |(axis, requested): (usize, &Dim)| {
        let own = (axis + from.len()).checked_sub(rank).and_then(|axis| from.get(axis));
        let stays = own.is_some_and(|own| own.same(requested) == Some(true));
        if stays { Dim::Known(1) } else { requested.clone() }
    };
    let target: Vec<Dim> = requested.iter().enumerate().map(narrow).collect();
    if target[..] == requested[..] {
        return Err(Skip::NoMatch);
    }
    let target = sizes.expression(&target, true).ok_or(Skip::NoMatch)?;
    let target = target.insert(graph, root)?;
    become_op(graph, root, Op::Expand, &[x, target], "names only the axes that it changes")
}

/// Rewrites `range(a, b) + c` to `range(a + c, b + c)`.
fn shift_range(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let [a, b] = first_operands(graph, root)?;
    let (range, by) = if graph.kind(a) == OpKind::Range { (a, b) } else { (b, a) };
    let fact = graph.fact(range);
    if graph.kind(range) != OpKind::Range || graph.use_count(range) != 1 || fact.element() != Some(ElementType::I64) {
        return Err(Skip::NoMatch);
    }
    let number = |value: Option<Value>| match graph.fact(value?) {
        fact if fact.rank() == Some(0) => fact.elements.as_ref()?.first().cloned(),
        _ => None,
    };
    let part = |at| graph.operand(range.node, at);
    let (Some(by), Some(start), Some(limit)) = (number(Some(by)), number(part(0)), number(part(1))) else {
        return Err(Skip::NoMatch);
    };
    let step = part(2).ok_or(Skip::NoMatch)?;
    let bound = |bound: &Dim| sizes.expression(&[bound.plus(&by)], false).ok_or(Skip::NoMatch);
    let (start, limit) = (bound(&start)?, bound(&limit)?);
    let (start, limit) = (start.insert(graph, root)?, limit.insert(graph, root)?);
    become_op(graph, root, Op::Range, &[start, limit, step], "starts at the sum")
}

/// Computes sizes from the inputs, if that is shorter.
fn shorten(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let fact = graph.fact(root);
    let (Some(elements), Some(rank @ ..=1)) = (fact.elements.clone(), fact.rank()) else { return Err(Skip::NoMatch) };
    let is_known = elements.iter().all(|dim| dim.known().is_some());
    if is_known || fact.element() != Some(ElementType::I64) || sizes.is_output(root) {
        return Err(Skip::NoMatch);
    }
    // A size from which only other sizes are computed disappears with them.
    let is_read_as_number = |user: NodeId| {
        let node = graph.node(user);
        node.result_count() != 1 || graph.fact(Value { node: user, result: 0 }).elements.is_none()
    };
    if !graph.users(root).iter().any(|(user, _)| is_read_as_number(*user)) {
        return Err(Skip::NoMatch);
    }
    let new = sizes.expression(&elements, rank == 1).ok_or(Skip::NoMatch)?;
    if new.is(graph, root) || new.cost() > Sizes::cost_of(graph, root) {
        return Err(Skip::NoMatch);
    }
    let value = new.insert(graph, root)?;
    become_value(graph, root, value, "computed from the sizes of inputs")
}
