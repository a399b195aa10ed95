use crate::pipeline::{Body, Log, Pass, name_of};
use crate::rewrite::{become_op, become_value, number_list};
use crate::rule::{Rewritten, Skip};
use crate::sizes::{Sizes, constant_shape, same_shape};
use netwright_ir::{Dim, ElementType, Graph, Kind, NodeId, Op, Value};

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
/// input that has it, and once.
pub fn eliminate_shape_chains() -> Pass {
    Pass {
        name: "eliminate-shape-chains",
        summary: "reshape and expand to constant shapes, and compute sizes once, from the inputs",
        body: Body::Graph(eliminate),
    }
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
        let mark = graph.mark();
        match simplify(graph, &sizes, node) {
            Ok(note) => log.applied(name, note),
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
    match kind {
        Kind::Reshape | Kind::Expand | Kind::Slice if keeps_sizes(graph, sizes, root) => {
            let operand = graph.operand(node, 0).ok_or(Skip::NoMatch)?;
            become_value(graph, root, operand, "dropped: it keeps the shape")
        }
        Kind::Reshape => reshape(graph, sizes, root),
        Kind::Expand => expand(graph, sizes, root),
        _ => shorten(graph, sizes, root),
    }
}

/// Whether the operand has the shape of the result; a slice by other steps than 1 may turn an axis around.
fn keeps_sizes(graph: &Graph, sizes: &Sizes, root: Value) -> bool {
    let Some(operand) = graph.operand(root.node, 0) else { return false };
    let (Some(from), Some(to)) = (sizes.shape(graph, operand), sizes.shape(graph, root)) else { return false };
    let forward = match graph.kind(root) {
        Kind::Slice => graph.operand(root.node, 4).is_none_or(|steps| {
            graph.fact(steps).known_elements().is_some_and(|steps| steps.iter().all(|step| *step == 1))
        }),
        _ => true,
    };
    forward && same_shape(&from, &to)
}

/// Reshape to a constant.
fn reshape(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let (Some(x), Some(shape)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    if graph.tensor(shape).is_some() {
        return Err(Skip::NoMatch);
    }
    let to = sizes.shape(graph, root).ok_or(Skip::NoMatch)?;
    let from = sizes.shape(graph, x);
    let target = constant_shape(from.as_deref(), &to, graph.fact(shape).elements.as_deref()).ok_or_else(|| {
        let shape = graph.operand_text(shape);
        Skip::rejected(format!("the shape {shape} has sizes that no constant gives for every binding, 0 included"))
    })?;
    let target = number_list(graph, root, "shape", &target)?;
    become_op(graph, root, Op::Reshape { allowzero: false }, &[x, target], "reshapes to a constant shape")
}

/// Expand by the axes alone that it widens.
fn expand(graph: &mut Graph, sizes: &Sizes, root: Value) -> Rewritten {
    let (Some(x), Some(shape)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    let (Some(to), Some(from)) = (sizes.shape(graph, root), sizes.shape(graph, x)) else { return Err(Skip::NoMatch) };
    let wanted = graph.fact(shape).elements.clone().ok_or(Skip::NoMatch)?;
    let missing = to.len().saturating_sub(wanted.len());
    let target: Vec<Dim> = (missing..to.len())
        .map(|axis| {
            let own = (axis + from.len()).checked_sub(to.len()).and_then(|axis| from.get(axis));
            let stays = own.is_some_and(|own| own.same(&to[axis]) == Some(true));
            if stays { Dim::Known(1) } else { wanted[axis - missing].clone() }
        })
        .collect();
    if target[..] == wanted[..] {
        return Err(Skip::NoEffect);
    }
    let target = sizes.expression(&target, true).ok_or(Skip::NoMatch)?;
    let target = target.insert(graph, root)?;
    become_op(graph, root, Op::Expand, &[x, target], "names the axes alone that it widens")
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
        return Err(Skip::NoEffect);
    }
    let value = new.insert(graph, root)?;
    become_value(graph, root, value, "computed from the sizes of inputs")
}
