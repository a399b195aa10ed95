//! The nodes that read a weight: products and look-ups, and which axis of the weight they sum over.

use crate::read::transposes::order;
use crate::rewrite::{become_op, become_value, element, insert, number};
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib;
use netwright_ir::op::AutoPad;
use netwright_ir::{
    Attribute, Dim, ElementType, Graph, Name, NodeId, Op, OpKind, OpaqueOp, Tensor, TensorError, Value,
};
use std::borrow::Cow;

/// A node that reads a weight.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// A matrix product, or a convolution of 1 x 1.
    Product(Product),
    /// Rows of the weight, chosen by indices.
    Lookup {
        /// The rows.
        root: Value,
        /// Which rows they are.
        indices: Value,
    },
}

/// `factor * x · w + beta * addend`.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    /// The result.
    pub(crate) root: Value,
    /// The other operand.
    pub(crate) x: Value,
    /// The axis of the weight that is summed over.
    pub(crate) axis: usize,
    factor: f32,
    addend: Option<Value>,
    /// The factor of the addend.
    beta: f32,
    side: Side,
}

/// How the other operand and the result are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// As in `x · w`, or with the last two axes swapped: both in `w · x`, those of the operand in a Gemm with `transA`.
    Matrix { swaps_operand: bool, swaps_result: bool },
    /// The channels of a convolution, in so many groups.
    Channels { groups: i64 },
}

impl Reader {
    /// Returns the product, if its result is laid out as that of `x · w`.
    pub(crate) fn plain_product(&self) -> Option<&Product> {
        match self {
            Reader::Product(product) if matches!(product.side, Side::Matrix { swaps_result: false, .. }) => {
                Some(product)
            }
            _ => None,
        }
    }

    /// Whether it is a convolution in more than one group, which is not a product of one matrix.
    pub(crate) fn is_grouped(&self) -> bool {
        matches!(self, Reader::Product(Product { side: Side::Channels { groups: 2.. }, .. }))
    }

    /// Returns the axis of the weight along which blocks lie.
    pub(crate) fn axis(&self) -> usize {
        match self {
            Reader::Product(product) => product.axis,
            Reader::Lookup { .. } => 1,
        }
    }
}

/// Returns how many axes of a weight its readers do not see: a product of matrices sees the last two, before which there
/// are only axes of size 1.
pub(crate) fn leading_axes(weight: &Tensor, readers: &[Reader]) -> usize {
    let is_matrix = |reader: &Reader| matches!(reader, Reader::Product(Product { side: Side::Matrix { .. }, .. }));
    let sees_two = !readers.is_empty() && readers.iter().all(is_matrix);
    if sees_two { weight.dims().len().saturating_sub(2) } else { 0 }
}

/// Returns a weight as its readers see it.
pub(crate) fn as_read(weight: &Tensor, readers: &[Reader]) -> Result<Tensor, TensorError> {
    match leading_axes(weight, readers) {
        0 => Ok(weight.clone()),
        leading => weight.reshaped(&weight.dims()[leading..]),
    }
}

/// Whether a tensor holds floats that can be quantized.
pub(crate) fn is_weight(tensor: &Tensor) -> bool {
    matches!(tensor.element(), ElementType::F32 | ElementType::F16 | ElementType::BF16) && tensor.dims().len() >= 2
}

/// Returns the nodes that read a weight, in program order.
///
/// # Errors
/// If none is a product or a look-up; with the reason if some are, and another node reads the weight too.
pub(crate) fn readers(graph: &Graph, weight: Value) -> Result<Vec<Reader>, Skip> {
    let (mut readers, mut others) = (vec![], vec![]);
    let mut add = |node: NodeId, at: usize, is_transposed: bool| match reader(graph, node, at, is_transposed) {
        Some(found) => readers.push(found),
        None => others.push(node),
    };
    for (user, at) in graph.users(weight) {
        let turned = Value { node: user, result: 0 };
        // A table that is tied to the head is transposed for it.
        if order(graph, turned).is_some_and(|order| order == [1, 0]) && !graph.is_output(turned) {
            graph.users(turned).into_iter().for_each(|(product, at)| add(product, at, true));
        } else {
            add(user, at, false);
        }
    }
    if readers.is_empty() {
        let is_product = |node: &NodeId| graph.node(*node).op().kind() == OpKind::MatMul;
        let is_stack = graph.fact(weight).rank().is_some_and(|rank| rank > 2) && others.iter().any(is_product);
        let is_captured = others.iter().any(|node| is_read_in_bodies(graph, *node, weight));
        let is_single =
            graph.tensor(weight).is_some_and(|tensor| tensor.dims().iter().rev().skip(2).all(|size| *size == 1));
        return Err(if is_stack && is_single {
            Skip::rejected("one matrix with an axis of size 1 before its own has no quantized form")
        } else if is_stack {
            Skip::rejected("stacks of matrices have no quantized form")
        } else if is_captured {
            Skip::rejected("it stays in floats: a body reads it, and weights that bodies capture are not quantized")
        } else {
            Skip::NoMatch
        });
    }
    if graph.is_output(weight) {
        return Err(Skip::rejected("it is an output of the graph"));
    }
    match others.first().map(|other| graph.node(*other).op()) {
        None => Ok(readers),
        Some(op) => {
            let word = if let Op::Opaque(opaque) = op { &opaque.op_type } else { op.kind().word() };
            Err(Skip::rejected(format!("{word} reads it too, and has no form for quantized weights")))
        }
    }
}

/// Returns whether products or look-ups in the bodies of a node read a weight that these capture.
fn is_read_in_bodies(graph: &Graph, node: NodeId, weight: Value) -> bool {
    let bodies = graph.node(node).op().bodies();
    let captures = bodies.into_iter().flat_map(|body| body.captures().map(move |capture| (body, capture)));
    let captures: Vec<_> = captures.collect();
    let operands = graph.operands(node);
    let outer = operands.iter().skip(operands.len().saturating_sub(captures.len()));
    captures.iter().zip(outer).any(|((body, capture), outer)| {
        *outer == Some(weight) && !matches!(readers(body, *capture), Err(Skip::NoMatch))
    })
}

/// Returns the names by which a weight is found: its own, and those of the results that are computed with it, also those
/// into which a product of packed weights is split.
pub(crate) fn names(graph: &Graph, weight: Value, readers: &[Reader]) -> Vec<Name> {
    let results = readers.iter().flat_map(|reader| match reader {
        Reader::Product(Product { root, .. }) => [*root].into_iter().chain(parts(graph, *root)).collect(),
        Reader::Lookup { root, .. } => vec![*root],
    });
    [weight].into_iter().chain(results).map(|value| graph.value_name(value).clone()).collect()
}

/// Returns the parts into which a product is split, perhaps after a bias was added.
fn parts(graph: &Graph, product: Value) -> Vec<Value> {
    let reader = |value: Value, kind: OpKind| match graph.users(value)[..] {
        [(user, 0 | 1)] if graph.node(user).op().kind() == kind => Some(user),
        _ => None,
    };
    let sum = reader(product, OpKind::Add).map_or(product, |node| Value { node, result: 0 });
    reader(sum, OpKind::Split).map_or_else(Vec::new, |split| graph.results(split).collect())
}

/// Returns what a node does with a weight, or with the transpose of one.
fn reader(graph: &Graph, node: NodeId, at: usize, is_transposed: bool) -> Option<Reader> {
    let root = Value { node, result: 0 };
    let operand = |at| graph.operand(node, at);
    let shape = |value: Value| graph.shape(value);
    let weight = shape(operand(at)?)?;
    let matrix = |swaps_operand, swaps_result| Side::Matrix { swaps_operand, swaps_result };
    let (x, axis, factor, addend, side) = match (graph.node(node).op(), at) {
        (Op::MatMul, 0) => (operand(1)?, 1, 1.0, None, matrix(true, true)),
        (Op::MatMul, 1) => (operand(0)?, 0, 1.0, None, matrix(false, false)),
        (&Op::Gemm { alpha, trans_a, trans_b, .. }, 0) => {
            (operand(1)?, usize::from(!trans_a), alpha, operand(2), matrix(!trans_b, true))
        }
        (&Op::Gemm { alpha, trans_a, trans_b, .. }, 1) => {
            (operand(0)?, usize::from(trans_b), alpha, operand(2), matrix(trans_a, false))
        }
        (Op::Opaque(opaque), 1) => {
            let (alpha, trans_b) = fused_matmul(opaque)?;
            (operand(0)?, usize::from(trans_b), alpha, None, matrix(false, false))
        }
        (Op::Conv { auto_pad, group, pads, strides, .. }, 1) => {
            let is_pointwise = weight.len() > 2
                && weight.iter().skip(2).all(|size| *size == Dim::Known(1))
                && strides.iter().all(|stride| *stride == 1)
                && (*auto_pad != AutoPad::NotSet || pads.iter().all(|pad| *pad == 0));
            (operand(0).filter(|_| is_pointwise)?, 1, 1.0, operand(2), Side::Channels { groups: *group })
        }
        (Op::Gather { axis: 0 }, 0) if !is_transposed && weight.len() == 2 => {
            return Some(Reader::Lookup { root, indices: operand(1)? });
        }
        _ => return None,
    };
    // The axes of size 1 before those of one matrix do not show in the result, if the other operand has as many.
    let is_led = matches!(graph.node(node).op().kind(), OpKind::MatMul | OpKind::Opaque)
        && !is_transposed
        && weight.iter().rev().skip(2).all(|size| *size == Dim::Known(1))
        && shape(x)?.len() >= weight.len();
    let is_matrix = weight.len() == 2 || is_led && weight.len() > 2 || matches!(side, Side::Channels { .. });
    // The product of two constants is left to the runtime.
    if !is_matrix || shape(x)?.len() < 2 || graph.tensor(x).is_some() {
        return None;
    }
    let axis = if is_transposed { 1 - axis } else { axis };
    let beta = if let Op::Gemm { beta, .. } = graph.node(node).op() { *beta } else { 1.0 };
    Some(Reader::Product(Product { root, x, axis, factor, addend, beta, side }))
}

/// Returns the factor of a FusedMatMul and whether its second operand is transposed; `None` for other operators and if
/// it does something else to its operands.
fn fused_matmul(opaque: &OpaqueOp) -> Option<(f32, bool)> {
    let (mut alpha, mut trans_b) = (1.0, false);
    for (name, value) in &opaque.attributes {
        match (&**name, value) {
            ("alpha", Attribute::Float(value)) => alpha = *value,
            ("transB", Attribute::Int(value)) => trans_b = *value != 0,
            ("transA" | "transBatchA" | "transBatchB", Attribute::Int(0)) => {}
            _ => return None,
        }
    }
    contrib::is(opaque, "FusedMatMul").then_some((alpha, trans_b))
}

impl Product {
    /// Makes the product read another value for the weight.
    ///
    /// # Errors
    /// If its operator is not defined on it.
    pub(crate) fn read(&self, graph: &mut Graph, old: Value, new: Value) -> Rewritten {
        let operands = graph.operands(self.root.node).into_iter().flatten();
        let operands: Vec<Value> = operands.map(|value| if value == old { new } else { value }).collect();
        let op = graph.op(self.root).clone();
        become_op(graph, self.root, op, &operands, "")
    }

    /// Replaces the product by one that `multiply` forms of the other operand, which it sums over the last axis of.
    ///
    /// # Errors
    /// If an operator is not defined on its operands.
    pub(crate) fn replace(
        &self,
        graph: &mut Graph,
        multiply: impl FnOnce(&mut Graph, Value) -> Result<Value, Skip>,
        note: impl Into<Cow<'static, str>>,
    ) -> Rewritten {
        let rank = graph.fact(self.x).rank().and_then(|rank| i64::try_from(rank).ok()).ok_or(Skip::NoMatch)?;
        // The axes of `x` with the one that is summed over last, and those of the result in their order.
        let swap = |swaps: bool| if swaps { (0..rank - 2).chain([rank - 1, rank - 2]).collect() } else { vec![] };
        let (to_last, back): (Vec<i64>, Vec<i64>) = match self.side {
            Side::Matrix { swaps_operand, swaps_result } => (swap(swaps_operand), swap(swaps_result)),
            Side::Channels { .. } => (
                [0].into_iter().chain(2..rank).chain([1]).collect(),
                [0, rank - 1].into_iter().chain(1..rank - 1).collect(),
            ),
        };
        let turn = |graph: &mut Graph, word, value, perm: Vec<i64>| {
            if perm.is_empty() { Ok(value) } else { insert(graph, self.root, word, Op::Transpose { perm }, &[value]) }
        };
        let x = turn(graph, "rows", self.x, to_last)?;
        let mut value = multiply(graph, x)?;
        if self.factor != 1.0 {
            let element = element(graph, value)?;
            let factor = number(graph, self.root, "factor", element, self.factor.into())?;
            value = insert(graph, self.root, "scaled", Op::Mul, &[value, factor])?;
        }
        // The bias of a convolution is that of channels, which are last here.
        let is_of_channels = matches!(self.side, Side::Channels { .. });
        if !is_of_channels {
            value = turn(graph, "columns", value, back.clone())?;
        }
        if let Some(mut addend) = self.addend {
            if self.beta != 1.0 {
                let element = element(graph, addend)?;
                let beta = number(graph, self.root, "beta", element, self.beta.into())?;
                addend = insert(graph, self.root, "bias", Op::Mul, &[addend, beta])?;
            }
            value = insert(graph, self.root, "biased", Op::Add, &[value, addend])?;
        }
        if is_of_channels {
            value = turn(graph, "columns", value, back)?;
        }
        become_value(graph, self.root, value, note)
    }
}
