//! The number of operations of a node.

use super::{Class, Uncounted, contrib};
use crate::{Dim, Graph, NodeId, Op, Shape, Value};

/// The operands and results of a node, by their sizes.
pub(super) struct Sizes<'g> {
    graph: &'g Graph,
    pub(super) operands: Vec<Option<Value>>,
    result: Option<Value>,
}

impl<'g> Sizes<'g> {
    fn new(graph: &'g Graph, id: NodeId) -> Self {
        Self { graph, operands: graph.operands(id).to_vec(), result: graph.results(id).next() }
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.operands.get(at).is_some_and(Option::is_some)
    }

    /// Returns the shape of an operand.
    pub(super) fn shape(&self, at: usize) -> Result<&'g Shape, Uncounted> {
        let operand = self.operands.get(at).copied().flatten().ok_or(Uncounted::Size)?;
        self.graph.fact(operand).shape().ok_or(Uncounted::Size)
    }

    /// Returns a size of an operand; negative axes count from the end.
    pub(super) fn dim(&self, at: usize, axis: isize) -> Result<Dim, Uncounted> {
        let shape = self.shape(at)?;
        let axis = if axis < 0 { shape.len().checked_add_signed(axis) } else { usize::try_from(axis).ok() };
        axis.and_then(|axis| shape.get(axis)).cloned().ok_or(Uncounted::Size)
    }

    /// Returns the number of elements of an operand.
    pub(super) fn count(&self, at: usize) -> Result<Dim, Uncounted> {
        self.shape(at).map(Shape::count)
    }

    /// Returns the number of elements of the first result.
    pub(super) fn written(&self) -> Result<Dim, Uncounted> {
        let shape = self.result.and_then(|result| self.graph.fact(result).shape());
        shape.map(Shape::count).ok_or(Uncounted::Size)
    }

    /// Returns the number of operands that are present.
    pub(super) fn present(&self) -> usize {
        self.operands.iter().flatten().count()
    }
}

/// Returns a number of elements times a small number.
pub(super) fn times(count: &Dim, factor: usize) -> Dim {
    count.times(&i64::try_from(factor).map_or(Dim::Unknown, Dim::Known))
}

/// Returns the number of operations of a node.
pub(super) fn flops(graph: &Graph, id: NodeId) -> Result<Dim, Uncounted> {
    let op = graph.node(id).op();
    let sizes = Sizes::new(graph, id);
    if op.kind().keeps_order() {
        return Ok(Dim::Known(0));
    }
    match op.kind().class() {
        Class::Reshapes | Class::Rearranges | Class::Selects | Class::Copies | Class::Measures => Ok(Dim::Known(0)),
        Class::ElementwiseUnary | Class::Random => sizes.written(),
        Class::Broadcasting => Ok(times(&sizes.written()?, sizes.present().saturating_sub(1).max(1))),
        Class::Reduces => sizes.count(0),
        Class::Maps => Ok(times(&sizes.written()?, 3)),
        Class::Normalizes => normalization(&sizes),
        Class::Multiplies => product(op, &sizes),
        Class::Convolves => convolution(op, &sizes),
        Class::Attends => attention(op, &sizes),
        Class::Control => Err(Uncounted::Body),
        Class::Other => match op {
            Op::Opaque(opaque) => contrib::flops(opaque, &sizes),
            _ => Err(Uncounted::Operator),
        },
    }
}

/// Statistics of 5 operations for each element, and one for each further operand.
pub(super) fn normalization(sizes: &Sizes<'_>) -> Result<Dim, Uncounted> {
    Ok(times(&sizes.count(0)?, 4 + sizes.present()))
}

fn product(op: &Op, sizes: &Sizes<'_>) -> Result<Dim, Uncounted> {
    match op {
        Op::Einsum { equation } => einsum(equation, sizes),
        Op::Gemm { trans_a, .. } => {
            let inner = sizes.dim(0, isize::from(!*trans_a))?;
            let written = sizes.written()?;
            let products = times(&written.times(&inner), 2);
            Ok(if sizes.has(2) { products.plus(&written) } else { products })
        }
        _ => Ok(times(&sizes.written()?.times(&sizes.dim(0, -1)?), 2)),
    }
}

/// The sizes of all labels multiplied; an ellipsis, or a contraction of more than two operands, has no fixed cost.
fn einsum(equation: &[u8], sizes: &Sizes<'_>) -> Result<Dim, Uncounted> {
    let plain: Vec<u8> = equation.iter().copied().filter(|byte| *byte != b' ').collect();
    let left = plain.windows(2).position(|pair| pair == b"->").map_or(&plain[..], |at| &plain[..at]);
    let terms: Vec<&[u8]> = left.split(|byte| *byte == b',').collect();
    if terms.len() > 2 || terms.len() != sizes.operands.len() || left.contains(&b'.') {
        return Err(Uncounted::Operator);
    }
    let mut seen = vec![];
    let mut count = Dim::Known(1);
    for (at, term) in terms.iter().enumerate() {
        for (label, dim) in term.iter().zip(sizes.shape(at)?.iter()) {
            if !seen.contains(label) {
                seen.push(*label);
                count = count.times(dim);
            }
        }
    }
    Ok(times(&count, terms.len()))
}

fn convolution(op: &Op, sizes: &Sizes<'_>) -> Result<Dim, Uncounted> {
    let (weights, bias, windows) = match op {
        Op::QLinearConv { .. } => (3, sizes.has(8), sizes.written()?),
        Op::ConvTranspose { .. } => (1, sizes.has(2), sizes.count(0)?),
        Op::Conv { .. } => (1, sizes.has(2), sizes.written()?),
        _ => (1, false, sizes.written()?),
    };
    let window = sizes.shape(weights)?.iter().skip(1).fold(Dim::Known(1), |count, dim| count.times(dim));
    let products = times(&windows.times(&window), 2);
    Ok(if bias { products.plus(&sizes.written()?) } else { products })
}

/// Operands: queries, keys, values, mask, past keys, past values. They have rank 4, `[batch, heads, length, size]`, or
/// rank 3, `[batch, length, heads * size]`.
fn attention(op: &Op, sizes: &Sizes<'_>) -> Result<Dim, Uncounted> {
    let Op::Attention { q_num_heads, .. } = op else { return Err(Uncounted::Operator) };
    let heads = match (sizes.shape(0)?.len(), q_num_heads) {
        (4, _) => sizes.dim(0, 1)?,
        (_, Some(heads)) => Dim::Known(*heads),
        (_, None) => return Err(Uncounted::Size),
    };
    let past = if sizes.has(4) { sizes.dim(4, 2)? } else { Dim::Known(0) };
    let keys = sizes.dim(1, -2)?.plus(&past);
    scores(sizes, &heads, &keys, sizes.has(3))
}

/// The two products of an attention over this number of keys, and 6 operations for each score: its scale and the
/// softmax.
pub(super) fn scores(sizes: &Sizes<'_>, heads: &Dim, keys: &Dim, has_mask: bool) -> Result<Dim, Uncounted> {
    let rows = sizes.dim(0, 0)?.times(heads).times(&sizes.dim(0, -2)?);
    let products = times(&sizes.count(0)?.plus(&sizes.written()?).times(keys), 2);
    Ok(products.plus(&times(&rows.times(keys), if has_mask { 7 } else { 6 })))
}
