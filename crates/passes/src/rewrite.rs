//! The words in which rewrites say what they put into the graph.

use crate::rule::{Rewritten, Skip};
use netwright_ir::op::CastRounding;
use netwright_ir::{Dim, ElementType, Fact, Graph, Op, OpKind, Place, Tensor, Value};
use std::borrow::Cow;

/// Tensors of up to this many bytes may be copied; larger ones would make the file larger.
pub const SMALL: u64 = 1024;

/// Recipes are evaluated by recursion, so they nest no deeper.
pub const MOST_RECIPES: usize = 16;

/// Inserts an operator of one result beside the root, called by a word behind the root's name.
///
/// # Errors
/// When the operator is not defined on such operands.
pub fn insert(graph: &mut Graph, root: Value, word: &str, op: Op, operands: &[Value]) -> Result<Value, Skip> {
    let operands: Vec<Option<Value>> = operands.iter().copied().map(Some).collect();
    let place = graph.beside(root.node, word);
    Ok(Value { node: graph.insert(place, op, &operands)?, result: 0 })
}

/// Inserts a constant of one element beside the root.
///
/// # Errors
/// When the type is no float type that tensors can be cast to.
pub fn number(graph: &mut Graph, root: Value, word: &str, element: ElementType, value: f64) -> Result<Value, Skip> {
    insert(graph, root, word, Op::Constant(scalar_tensor(element, &[], value)?), &[])
}

/// Inserts a constant vector of integers beside the root.
///
/// # Errors
/// None.
pub fn number_list(graph: &mut Graph, root: Value, word: &str, numbers: &[i64]) -> Result<Value, Skip> {
    insert(graph, root, word, Op::Constant(Tensor::indices(numbers)), &[])
}

/// A tensor of one float, rounded to its type, in memory.
///
/// # Errors
/// When the type is no float type that tensors can be cast to.
pub fn scalar_tensor(element: ElementType, dims: &[u64], value: f64) -> Result<Tensor, Skip> {
    let wide = Tensor::from_bytes(ElementType::F64, dims, value.to_le_bytes().to_vec())?;
    in_memory(&wide.cast(element)?)
}

/// The tensor with its elements computed; for those known to be small.
///
/// # Errors
/// When a file cannot be read.
pub fn in_memory(tensor: &Tensor) -> Result<Tensor, Skip> {
    Ok(Tensor::from_bytes(tensor.element(), tensor.dims(), tensor.to_bytes()?)?)
}

/// A Cast to that type.
pub fn cast(to: ElementType) -> Op {
    Op::Cast { to, saturate: true, round_mode: CastRounding::Up }
}

/// Puts an operator in the place of the root.
///
/// # Errors
/// When the operator is not defined on such operands.
pub fn become_op(
    graph: &mut Graph,
    root: Value,
    op: Op,
    operands: &[Value],
    note: impl Into<Cow<'static, str>>,
) -> Rewritten {
    let value = insert(graph, root, "new", op, operands)?;
    let fact = known_of_either(graph.fact(root), graph.fact(value));
    graph.set_fact(value, fact);
    graph.replace(root, value);
    Ok(note.into())
}

/// Puts an operator of several results in the place of values, one each.
///
/// # Errors
/// When the operator is not defined on such operands.
pub fn become_results(
    graph: &mut Graph,
    roots: &[Value],
    op: Op,
    operands: &[Option<Value>],
    note: impl Into<Cow<'static, str>>,
) -> Rewritten {
    let Some(first) = roots.first() else { return Err(Skip::NoMatch) };
    let results = roots.iter().map(|root| format!("{}.new", graph.value_name(*root)).into()).collect();
    let place = Place { results, ..graph.beside(first.node, "new") };
    let node = graph.insert(place, op, operands)?;
    let results: Vec<Value> = graph.results(node).collect();
    // The first comes last: the node keeps its label.
    for (root, new) in roots.iter().zip(results).rev() {
        let fact = known_of_either(graph.fact(*root), graph.fact(new));
        graph.set_fact(new, fact);
        graph.replace(*root, new);
    }
    Ok(note.into())
}

/// What is known of a value of which both facts are true; the spelling of sizes is that of the first.
pub(crate) fn known_of_either(first: &Fact, second: &Fact) -> Fact {
    let ty = first.ty.and(&second.ty).unwrap_or_else(|| first.ty.clone());
    Fact { ty, elements: first.elements.clone().or_else(|| second.elements.clone()) }
}

/// The element type of a value.
///
/// # Errors
/// When it is not known.
pub fn element(graph: &Graph, value: Value) -> Result<ElementType, Skip> {
    let unknown = || Skip::rejected(format!("the element type of {} is not known", graph.operand_text(value)));
    graph.fact(value).element().ok_or_else(unknown)
}

/// Why a rule that needs the rank, the shape or the size of a value does not apply: it is not known, though perhaps
/// declared.
pub(crate) fn unknown(graph: &Graph, what: &str, value: Value) -> Skip {
    let name = graph.operand_text(value);
    Skip::rejected(match graph.declared(value) {
        Some(declared) => {
            format!("the {what} of {name} is not known: the file declares {declared}, which nothing proves")
        }
        None => format!("the {what} of {name} is not known"),
    })
}

/// Whether `root` is a result of the graph that `value` cannot stand for: an input, a tensor or another result.
/// Runtimes ask for a node between those.
pub fn needs_node_between(graph: &Graph, root: Value, value: Value) -> bool {
    graph.is_output(root) && (graph.kind(value).is_source() || graph.is_output(value))
}

/// Puts a value that is there already in the place of the root, or an identity of it where there
/// [must be a node](needs_node_between) between them.
///
/// # Errors
/// When the root is that identity.
pub fn become_value(graph: &mut Graph, root: Value, value: Value, note: impl Into<Cow<'static, str>>) -> Rewritten {
    if needs_node_between(graph, root, value) {
        if graph.kind(root) == OpKind::Identity {
            return Err(Skip::NoMatch);
        }
        return become_op(graph, root, Op::Identity, &[value], note);
    }
    // What is declared of a source is the caller's word, and so it is of a result of the graph.
    if !graph.kind(value).is_source() && !graph.is_output(root) {
        let fact = known_of_either(graph.fact(value), graph.fact(root));
        graph.set_fact(value, fact);
    }
    graph.replace(root, value);
    Ok(note.into())
}

/// Fails where something else reads a value that a rewrite is to take away.
///
/// # Errors
/// When it has several uses, or is a result of the graph.
pub fn expect_alone(graph: &Graph, value: Value) -> Result<(), Skip> {
    let name = || graph.operand_text(value);
    match graph.use_count(value) {
        _ if graph.is_output(value) => Err(Skip::rejected(format!("{} is a result of the graph", name()))),
        0 | 1 => Ok(()),
        _ => Err(Skip::rejected(format!("{} has another use", name()))),
    }
}

/// Whether broadcasting `with` to `value` leaves the shape of `value` as it is, for every size of its axes.
pub fn keeps_shape(graph: &Graph, value: Value, with: Value) -> bool {
    match (graph.shape(value), graph.shape(with)) {
        (_, Some([])) => true,
        (Some(shape), Some(with)) if with.len() <= shape.len() => {
            let aligned = &shape[shape.len() - with.len()..];
            with.iter().zip(aligned).all(|(with, dim)| *with == Dim::Known(1) || with.same(dim) == Some(true))
        }
        _ => false,
    }
}
