//! Functions with which rewrites insert nodes and replace values.

use crate::rule::{Rewritten, Skip};
use netwright_ir::op::CastRounding;
use netwright_ir::{Dim, ElementType, Fact, Graph, Op, OpKind, Place, Tensor, Value};
use std::borrow::Cow;

/// The maximum size of a tensor that may be copied, in bytes; copies of larger ones would make the file larger.
pub const SMALL: u64 = 1024;

/// The maximum depth of recipes, which are evaluated by recursion.
pub const MAX_RECIPE_DEPTH: usize = 16;

/// Inserts an operator with one result before the root. The name of the result is that of the root and a word.
///
/// # Errors
/// If the operator is not defined for the operands.
pub fn insert(graph: &mut Graph, root: Value, word: &str, op: Op, operands: &[Value]) -> Result<Value, Skip> {
    let operands: Vec<Option<Value>> = operands.iter().copied().map(Some).collect();
    let place = graph.beside(root.node, word);
    Ok(Value { node: graph.insert(place, op, &operands)?, result: 0 })
}

/// Returns the first `N` operands of the node that computes a value.
///
/// # Errors
/// [`Skip::NoMatch`] if one of them is absent.
pub fn first_operands<const N: usize>(graph: &Graph, value: Value) -> Result<[Value; N], Skip> {
    let operands: Option<Vec<Value>> = graph.operands(value.node).into_iter().take(N).collect();
    operands.and_then(|operands| operands.try_into().ok()).ok_or(Skip::NoMatch)
}

/// Whether Squeeze is written with its axes in the opset of a graph: below opset 13, tract requires them.
pub(crate) fn squeezes_by_axes(graph: &Graph) -> bool {
    graph.dialect().is_some_and(|dialect| dialect.opset < 13)
}

/// Inserts the element of a vector of one element, as a scalar.
///
/// # Errors
/// If the operand is not such a vector.
pub(crate) fn only(graph: &mut Graph, root: Value, word: &str, vector: Value) -> Result<Value, Skip> {
    let mut operands = vec![vector];
    if squeezes_by_axes(graph) {
        operands.push(insert(graph, root, "axes", Op::Constant(Tensor::indices(&[0])), &[])?);
    }
    insert(graph, root, word, Op::Squeeze, &operands)
}

/// Inserts a constant of one element before the root.
///
/// # Errors
/// If the type is not a float type to which tensors can be cast.
pub fn number(graph: &mut Graph, root: Value, word: &str, element: ElementType, value: f64) -> Result<Value, Skip> {
    insert(graph, root, word, Op::Constant(scalar_tensor(element, &[], value)?), &[])
}

/// Inserts a constant vector of integers before the root.
///
/// # Errors
/// None.
pub fn number_list(graph: &mut Graph, root: Value, word: &str, numbers: &[i64]) -> Result<Value, Skip> {
    insert(graph, root, word, Op::Constant(Tensor::indices(numbers)), &[])
}

/// Returns a tensor of one float in memory, rounded to its type.
///
/// # Errors
/// If the type is not a float type to which tensors can be cast.
pub fn scalar_tensor(element: ElementType, dims: &[u64], value: f64) -> Result<Tensor, Skip> {
    let wide = Tensor::from_bytes(ElementType::F64, dims, value.to_le_bytes().to_vec())?;
    in_memory(&wide.cast(element)?)
}

/// Returns a tensor with its elements in memory; only for small tensors.
///
/// # Errors
/// If a file cannot be read.
pub fn in_memory(tensor: &Tensor) -> Result<Tensor, Skip> {
    Ok(Tensor::from_bytes(tensor.element(), tensor.dims(), tensor.to_bytes()?)?)
}

/// Returns a Cast to a type.
pub fn cast(to: ElementType) -> Op {
    Op::Cast { to, saturate: true, round_mode: CastRounding::Up }
}

/// Replaces the root with an operator.
///
/// # Errors
/// If the operator is not defined for the operands, or its result is of another element type.
pub fn become_op(
    graph: &mut Graph,
    root: Value,
    op: Op,
    operands: &[Value],
    note: impl Into<Cow<'static, str>>,
) -> Rewritten {
    let value = insert(graph, root, "new", op, operands)?;
    if let [Some(old), Some(new)] = [root, value].map(|value| graph.fact(value).element())
        && old != new
    {
        return Err(Skip::rejected(format!("its result would be of type {new} instead of {old}")));
    }
    let fact = known_of_either(graph.fact(root), graph.fact(value));
    graph.set_fact(value, fact);
    graph.replace(root, value);
    Ok(note.into())
}

/// Replaces several values with the results of one operator.
///
/// # Errors
/// If the operator is not defined for the operands.
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
    // The first is replaced last, so that the node keeps its label.
    for (root, new) in roots.iter().zip(results).rev() {
        let fact = known_of_either(graph.fact(*root), graph.fact(new));
        graph.set_fact(new, fact);
        graph.replace(*root, new);
    }
    Ok(note.into())
}

/// Returns the fact that combines two facts about one value. Sizes are spelled as in the first.
pub(crate) fn known_of_either(first: &Fact, second: &Fact) -> Fact {
    let ty = first.ty.and(&second.ty).unwrap_or_else(|| first.ty.clone());
    Fact { ty, elements: first.elements.clone().or_else(|| second.elements.clone()) }
}

/// Returns the element type of a value.
///
/// # Errors
/// If it is unknown.
pub fn element(graph: &Graph, value: Value) -> Result<ElementType, Skip> {
    let unknown = || Skip::rejected(format!("the element type of {} is unknown", graph.operand_text(value)));
    graph.fact(value).element().ok_or_else(unknown)
}

/// Returns why a rule that needs `what` of a value, such as its rank, does not apply: it is unknown, even if it is
/// declared.
pub(crate) fn unknown(graph: &Graph, what: &str, value: Value) -> Skip {
    let name = graph.operand_text(value);
    Skip::rejected(match graph.declared(value) {
        Some(declared) => {
            format!("the {what} of {name} is unknown: the file declares {declared}, which is not proven")
        }
        None => format!("the {what} of {name} is unknown"),
    })
}

/// Whether `root` is a result of the graph that `value` cannot replace, because `value` is an input, a tensor or
/// another result. Runtimes require a node between them.
pub fn needs_node_between(graph: &Graph, root: Value, value: Value) -> bool {
    graph.is_output(root) && (graph.kind(value).is_source() || graph.is_output(value))
}

/// Replaces the root with an existing value, or with an Identity of it if a node [is needed](needs_node_between)
/// between them.
///
/// # Errors
/// If the root is that Identity.
pub fn become_value(graph: &mut Graph, root: Value, value: Value, note: impl Into<Cow<'static, str>>) -> Rewritten {
    if needs_node_between(graph, root, value) {
        if graph.kind(root) == OpKind::Identity {
            return Err(Skip::NoMatch);
        }
        return become_op(graph, root, Op::Identity, &[value], note);
    }
    // Facts about sources and results of the graph are declared by the caller and stay.
    if !graph.kind(value).is_source() && !graph.is_output(root) {
        let fact = known_of_either(graph.fact(value), graph.fact(root));
        graph.set_fact(value, fact);
    }
    graph.replace(root, value);
    Ok(note.into())
}

/// Checks that a rewrite may remove a value that it uses.
///
/// # Errors
/// If the value has several uses, or is a result of the graph.
pub fn expect_alone(graph: &Graph, value: Value) -> Result<(), Skip> {
    let name = || graph.operand_text(value);
    match graph.use_count(value) {
        _ if graph.is_output(value) => Err(Skip::rejected(format!("{} is a result of the graph", name()))),
        0 | 1 => Ok(()),
        _ => Err(Skip::rejected(format!("{} has another use", name()))),
    }
}

/// Whether broadcasting `value` with `with` keeps the shape of `value`, for all sizes.
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
