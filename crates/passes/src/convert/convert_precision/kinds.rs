//! What kinds of operators mean for a conversion to another float type.

use super::Context;
use crate::read::products::{before_casts, cast_of};
use crate::runtime::contrib;
use netwright_ir::op::Class;
use netwright_ir::{Dim, ElementType, Graph, NodeId, Op, OpKind, Tensor, Value};

/// Whether each element of the result is computed from one element of each operand.
pub(crate) fn is_elementwise(kind: OpKind) -> bool {
    let is_arithmetic = matches!(kind.class(), Class::ElementwiseUnary | Class::Broadcasting);
    is_arithmetic && !is_structural(kind) || matches!(kind, OpKind::Clip | OpKind::PRelu)
}

/// Whether it is a GELU of ONNX Runtime's, which is elementwise, perhaps after a bias.
pub(super) fn is_contributed_gelu(op: &Op) -> bool {
    matches!(op, Op::Opaque(kept) if contrib::is_own(kept) && kept.op_type.ends_with("Gelu"))
}

/// Whether the elements of the result are elements of operands, so that it has the type of these.
pub(crate) fn is_structural(kind: OpKind) -> bool {
    kind.moves_elements()
        || is_choice(kind)
        || matches!(
            kind,
            OpKind::Where
                | OpKind::Concat
                | OpKind::Pad
                | OpKind::Trilu
                | OpKind::ScatterND
                | OpKind::ScatterElements
                | OpKind::TopK
                | OpKind::OneHot
                | OpKind::TensorScatter
        )
}

/// Whether a value is the scale that comes with codes that are quantized by the range of the data.
pub(super) fn is_computed_scale(graph: &Graph, value: Value) -> bool {
    let codes = Value { node: value.node, result: 0 };
    value != codes && graph.fact(codes).element().is_some_and(is_short)
}

/// Whether every float type holds all numbers of a type: truth values, and integers of up to 8 bits.
pub(super) fn is_short(element: ElementType) -> bool {
    element == ElementType::Bool || element.is_integer() && element.bits() <= 8
}

/// Whether it chooses rows of a table.
pub(super) fn is_lookup(kind: OpKind) -> bool {
    matches!(kind, OpKind::Gather | OpKind::GatherND | OpKind::GatherElements)
}

/// Whether a number outside the range may hide a score in an operand of the operator.
pub(super) fn may_be_mask(kind: OpKind) -> bool {
    is_structural(kind) && !is_lookup(kind)
        || matches!(kind, OpKind::Mul | OpKind::Div | OpKind::Pow | OpKind::Max | OpKind::Min | OpKind::Clip)
        || matches!(kind, OpKind::Less | OpKind::LessOrEqual | OpKind::Greater | OpKind::GreaterOrEqual | OpKind::Equal)
}

/// Whether numbers outside the range are limited: those of masks of attention. The scales of quantized weights are not
/// searched.
pub(super) fn is_limited(kind: OpKind) -> bool {
    matches!(kind, OpKind::Softmax | OpKind::ScaledSoftmax | OpKind::Attention)
        || matches!(kind, OpKind::DequantizeLinear | OpKind::QuantizeLinear | OpKind::Opaque)
}

pub(super) fn is_product(kind: OpKind) -> bool {
    matches!(kind, OpKind::MatMul | OpKind::Gemm | OpKind::Einsum | OpKind::Conv)
}

/// Whether it reduces by choosing an element.
pub(super) fn is_choice(kind: OpKind) -> bool {
    matches!(kind, OpKind::ReduceMax | OpKind::ReduceMin | OpKind::ArgMax | OpKind::ArgMin)
}

/// Whether the results are small numbers whatever the operands are.
pub(super) fn is_bounded(graph: &Graph, id: NodeId, context: &Context<'_>) -> bool {
    let bound = |at: usize| graph.operand(id, at).and_then(|bound| graph.tensor(bound)).and_then(Tensor::float);
    match graph.node(id).op() {
        Op::Tanh | Op::Sigmoid | Op::Erf | Op::Sin | Op::Cos | Op::Softsign | Op::HardSigmoid { .. } | Op::Sign => true,
        Op::Clip => [1, 2].into_iter().all(|at| bound(at).is_some_and(|bound| context.holds_number(bound))),
        Op::Div => is_normalization(graph, id),
        _ => false,
    }
}

/// Whether a product multiplies numbers by themselves and sums up the squares.
pub(super) fn sums_squares(graph: &Graph, id: NodeId) -> bool {
    let moved = |value: &Value| {
        let moves = graph.kind(*value).moves_elements() || cast_of(graph, *value).is_some();
        graph.operand(value.node, 0).filter(|_| moves)
    };
    let source = |at: usize| std::iter::successors(graph.operand(id, at), moved).take(MAX_MOVES).last();
    let is_of_same = || source(0).is_some_and(|first| Some(first) == source(1));
    match graph.node(id).op() {
        Op::Einsum { equation } => {
            let text: Vec<u8> = equation.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let mut terms = text.split(|byte| matches!(byte, b',' | b'-'));
            let (first, second) = (terms.next(), terms.next());
            graph.operands(id).len() == 2 && first == second && is_of_same()
        }
        Op::MatMul => {
            let shape = graph.shape(Value { node: id, result: 0 });
            shape.is_some_and(|shape| shape.iter().rev().take(2).all(|size| *size == Dim::Known(1))) && is_of_same()
        }
        _ => false,
    }
}

/// The maximum number of operators that are followed back to where numbers are computed.
const MAX_MOVES: usize = 16;

/// Whether it divides numbers by the root of the mean of their squares, as decomposed normalizations do.
fn is_normalization(graph: &Graph, id: NodeId) -> bool {
    let operand = |node: NodeId, at: usize| graph.operand(node, at).map(|value| before_casts(graph, value));
    let of_kind = |value: Option<Value>, kind: OpKind| value.filter(|value| graph.kind(*value) == kind);
    let of = operand(id, 0);
    let sum = of_kind(operand(id, 1), OpKind::Sqrt).and_then(|root| of_kind(operand(root.node, 0), OpKind::Add));
    sum.is_some_and(|sum| {
        let means = (0..2).filter_map(|at| of_kind(operand(sum.node, at), OpKind::ReduceMean));
        let mut squares = means.filter_map(|mean| of_kind(operand(mean.node, 0), OpKind::Mul));
        squares.any(|square| (0..2).all(|at| operand(square.node, at) == of))
    })
}
