//! Computes operators on constants whose result is exact, in a runtime.

use crate::evaluate::{Budget, Evaluator};
use crate::pass::{Exactness, Pass};
use crate::pattern::{Match, any};
use crate::rewrite::{SMALL, become_op};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{ElementType, Graph, Op, OpKind, Shape, Value};

/// Computes operators on constants, if the floating-point standard leaves only one answer, so that every runtime
/// computes the same, down to the bit and the sign of zero.
///
/// A runtime computes the result, through [`Evaluate`](crate::Evaluate). Parameters stay, and so does an operator whose
/// result would make the file larger: a result is at most 1 KiB, or no larger than the constants that it replaces.
///
/// Without a runtime the pass does nothing. It calls the runtime at most 2,000 times.
pub fn evaluate_constants(evaluator: Option<Evaluator>) -> Pass {
    let summary = "an exact operator on constants -> a constant";
    let budget = evaluator.map(Budget::new);
    Pass::new("evaluate-constants", summary, Exactness::Bits)
        .matching(any("x").into(), move |graph, found| evaluate(graph, found, budget.as_ref().ok_or(Skip::NoMatch)?))
}

/// The maximum size of an operand, in bytes; a larger constant is data.
const MAX_BYTES: u64 = 1 << 16;

fn evaluate(graph: &mut Graph, found: &Match, budget: &Budget) -> Rewritten {
    let root = found.root();
    let op = graph.op(root);
    if !is_exact(graph, root) || graph.node(root.node).result_count() != 1 || graph.is_output(root) {
        return Err(Skip::NoMatch);
    }
    let operands = graph.operands(root.node);
    let mut tensors = vec![];
    let mut freed = 0u64;
    for operand in &operands {
        let value = operand.ok_or(Skip::NoMatch)?;
        let Op::Constant(tensor) = graph.op(value) else { return Err(Skip::NoMatch) };
        if tensor.len() > MAX_BYTES || !is_plain(tensor.element()) {
            return Err(Skip::NoMatch);
        }
        if graph.use_count(value) == 1 {
            freed += tensor.len();
        }
        tensors.push(tensor);
    }
    let ty = graph.fact(root).tensor_type().ok_or(Skip::NoMatch)?;
    let dims = ty.shape.as_ref().and_then(Shape::known).ok_or(Skip::NoMatch)?;
    let count = dims.iter().try_fold(1u64, |count, dim| count.checked_mul(*dim));
    let bytes = count.and_then(|count| ty.element.bytes(count)).ok_or(Skip::NoMatch)?;
    if bytes > freed.max(SMALL) {
        return Err(Skip::rejected(format!("a constant of {bytes} bytes would replace {freed} bytes")));
    }
    let result = budget.evaluate(op, &tensors).ok_or(Skip::NoMatch)?;
    if result.element() != ty.element || result.dims() != dims {
        return Err(Skip::NoMatch);
    }
    become_op(graph, root, Op::Constant(result), &[], "computed")
}

fn is_plain(element: ElementType) -> bool {
    use ElementType as E;
    matches!(element, E::F32 | E::F16 | E::F64 | E::I64 | E::I32 | E::Bool)
}

/// Whether the result is the same in every runtime: operators that move elements, comparisons, and the operations that
/// IEEE 754 rounds correctly. Arithmetic on integers, which could overflow or divide by zero, is excluded.
///
/// The list holds only operators that exporters apply to constants, not all of their classes, because a faulty kernel
/// of the runtime would end up in the file.
fn is_exact(graph: &Graph, root: Value) -> bool {
    let element = |value: Value| graph.fact(value).element();
    let first = graph.operand(root.node, 0).and_then(element);
    let is_float =
        first.is_some_and(|element| matches!(element, ElementType::F32 | ElementType::F16 | ElementType::F64));
    match graph.op(root) {
        op if matches!(
            op.kind(),
            OpKind::Concat
                | OpKind::Slice
                | OpKind::Gather
                | OpKind::Transpose
                | OpKind::Reshape
                | OpKind::Unsqueeze
                | OpKind::Squeeze
                | OpKind::Expand
                | OpKind::Where
                | OpKind::Not
                | OpKind::And
                | OpKind::Or
                | OpKind::Equal
                | OpKind::Less
                | OpKind::LessOrEqual
                | OpKind::Greater
                | OpKind::GreaterOrEqual
        ) =>
        {
            true
        }
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Sqrt | Op::Reciprocal | Op::Neg | Op::Abs => is_float,
        // To a float type, or to an integer type that holds every element.
        Op::Cast { to: ElementType::F32 | ElementType::F64, .. } => first.is_some(),
        Op::Cast { to: ElementType::I64 | ElementType::I32, .. } => {
            matches!(first, Some(ElementType::Bool | ElementType::I32))
        }
        _ => false,
    }
}
