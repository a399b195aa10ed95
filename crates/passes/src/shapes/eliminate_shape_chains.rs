use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::read::sizes::{Sizes, axes_put_in, constant_shape, count, has_partial_shape, sliced_shape};
use crate::rewrite::{become_op, become_value, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, NodeId, Op, OpKind, Value};

/// Shapes that are computed when the model runs -> constants with 0 and -1, or the shortest arithmetic on the sizes
/// of inputs.
///
/// Exporters compute every shape from `Shape` nodes of their own. Where symbolic inference knows a shape, a Reshape or
/// an Expand to it needs no arithmetic, as long as what the constant says is equal for every binding:
/// - A size of the target that stands at the same place in the operand is a 0, which keeps it.
/// - One other size may be -1. With a 0 among the others, ONNX Runtime rejects a -1, which is ambiguous; so -1 stands
///   only where all others are numbers, or where the model itself had it.
/// - An axis that Expand leaves as it is is a 1.
///
/// Where a size is needed as a number (by Range, Slice or a Reshape of two free sizes) it is computed from the first
/// input that has it, and once. So `range(0, n) + c` is `range(c, n + c)`: integers are exact.
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
        if !graph.is_alive(node) {
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

fn simplify(graph: &mut Graph, sizes: &Sizes, node: NodeId) -> Rewritten {
    let kind = graph.node(node).op().kind();
    if kind.is_source() || graph.node(node).result_count() != 1 {
        return Err(Skip::NoMatch);
    }
    let root = Value { node, result: 0 };
    if let Some((x, part)) = sliced_shape(graph, root).filter(|_| has_partial_shape(graph)) {
        return become_op(graph, root, part, &[x], "takes the sizes of some axes alone");
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

/// So many nodes that move no element in memory are looked through.
const MOST_STEPS: usize = 16;

/// Reshape to a constant, of what was there before other nodes that move no element in memory.
fn reshape(graph: &mut Graph, root: Value) -> Rewritten {
    let (Some(x), Some(shape)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    if graph.tensor(shape).is_some() {
        return Err(Skip::NoMatch);
    }
    let asked = graph.fact(shape).elements.clone().ok_or(Skip::NoMatch)?;
    let to = graph.shape(root).ok_or(Skip::NoMatch)?.to_vec();
    if let Some((base, axes)) = unsqueezed(graph, x, &to) {
        let axes = number_list(graph, root, "axes", &axes)?;
        return become_op(graph, root, Op::Unsqueeze, &[base, axes], "puts axes in");
    }
    let target = constant_shape(graph.shape(x), &to, Some(&asked)).ok_or_else(|| {
        let shape = graph.operand_text(shape);
        Skip::rejected(format!("the shape {shape} has sizes that no constant gives for every binding, 0 included"))
    })?;
    let target = number_list(graph, root, "shape", &target)?;
    become_op(graph, root, Op::Reshape { allowzero: false }, &[x, target], "reshapes to a constant shape")
}

/// The value before nodes that move no element in memory, and the axes of size 1 that make the shape of its own.
///
/// Each of the nodes is shown to be defined, so nothing that fails when the model runs is lost.
fn unsqueezed(graph: &Graph, mut value: Value, to: &[Dim]) -> Option<(Value, Vec<i64>)> {
    let elements = count(to);
    for _ in 0..MOST_STEPS {
        let shape = graph.shape(value)?;
        if let Some(axes) = axes_put_in(shape, to) {
            return Some((value, axes));
        }
        if !graph.kind(value).keeps_order() || count(shape).same(&elements) != Some(true) {
            return None;
        }
        value = graph.operand(value.node, 0)?;
    }
    None
}

/// Expand by the axes alone that it widens.
fn expand(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let (Some(x), Some(shape)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    let from = graph.shape(x).ok_or(Skip::NoMatch)?.to_vec();
    let wanted = graph.fact(shape).elements.clone().ok_or(Skip::NoMatch)?;
    let rank = wanted.len();
    let narrow = |(axis, wanted): (usize, &Dim)| {
        let own = (axis + from.len()).checked_sub(rank).and_then(|axis| from.get(axis));
        let stays = own.is_some_and(|own| own.same(wanted) == Some(true));
        if stays { Dim::Known(1) } else { wanted.clone() }
    };
    let target: Vec<Dim> = wanted.iter().enumerate().map(narrow).collect();
    if target[..] == wanted[..] {
        return Err(Skip::NoMatch);
    }
    let target = sizes.expression(&target, true).ok_or(Skip::NoMatch)?;
    let target = target.insert(graph, root)?;
    become_op(graph, root, Op::Expand, &[x, target], "names the axes alone that it widens")
}

/// `range(a, b) + c` -> `range(a + c, b + c)`
fn shift_range(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let operands = [graph.operand(root.node, 0), graph.operand(root.node, 1)];
    let [Some(a), Some(b)] = operands else { return Err(Skip::NoMatch) };
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
    become_op(graph, root, Op::Range, &[start, limit, step], "counts from there")
}

/// The operands that are sizes, computed from the inputs where that is shorter.
fn shorten(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let fact = graph.fact(root);
    let (Some(elements), Some(rank @ ..=1)) = (fact.elements.clone(), fact.rank()) else { return Err(Skip::NoMatch) };
    let is_known = elements.iter().all(|dim| dim.known().is_some());
    if is_known || fact.element() != Some(ElementType::I64) || sizes.is_output(root) {
        return Err(Skip::NoMatch);
    }
    // What only sizes are computed from goes with them.
    let read_as_number = |user: NodeId| {
        let node = graph.node(user);
        node.result_count() != 1 || graph.fact(Value { node: user, result: 0 }).elements.is_none()
    };
    if !graph.users(root).iter().any(|(user, _)| read_as_number(*user)) {
        return Err(Skip::NoMatch);
    }
    let new = sizes.expression(&elements, rank == 1).ok_or(Skip::NoMatch)?;
    if new.is(graph, root) || new.cost() > Sizes::cost_of(graph, root) {
        return Err(Skip::NoMatch);
    }
    let value = new.insert(graph, root)?;
    become_value(graph, root, value, "computed from the sizes of inputs")
}
