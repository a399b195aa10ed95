//! What a graph costs to run: operations, bytes moved and memory, as formulas in its symbols and as numbers.
//!
//! The class of an operator's row gives the formula, so that every operator of a class is counted alike:
//!
//! | class | operations |
//! | --- | --- |
//! | [`Multiplies`](Class::Multiplies) | 2 for each product of elements: one to multiply, one to add |
//! | [`Convolves`](Class::Convolves) | 2 for each weight that a window reads, and 1 for each element of a bias |
//! | [`Attends`](Class::Attends) | those of its two products, and 6 for each score, 7 with a mask |
//! | [`Normalizes`](Class::Normalizes) | 5 for each element, and 1 for each further operand, such as a scale or a bias |
//! | [`Maps`](Class::Maps) | 3 for each element |
//! | [`Broadcasting`](Class::Broadcasting) | 1 for each element and each operand after the first |
//! | [`ElementwiseUnary`](Class::ElementwiseUnary), [`Random`](Class::Random) | 1 for each element |
//! | [`Reduces`](Class::Reduces) | 1 for each element of the operand |
//! | those that move elements | 0 |
//!
//! A score that a mask hides counts as any other. A node reads each of its operands once and writes its results; one
//! that only reshapes moves nothing, and one that selects reads as many elements as it writes. What is computed from
//! weights alone is computed once, when a model is loaded, and does not count. What is unknown is not guessed: such nodes
//! are listed in [`Estimate::uncounted`].
//!
//! ```
//! use netwright_ir::Symbol;
//! use netwright_ir::cost::Estimate;
//! let graph = netwright_ir::parse("
//! g(%x: f32[batch, 768], %w: f32[768, 64]) {
//!   %y = matmul %x, %w : f32[batch, 64]
//!   return %y
//! }")?;
//! let estimate = Estimate::new(&graph);
//! assert_eq!(estimate.total().flops.to_string(), "98304*batch");
//! let two = estimate.at(&[(Symbol::new("batch"), 2)].into()).expect("each symbol has a size");
//! assert_eq!(two.flops, 2 * 2 * 768 * 64);
//! # Ok::<(), netwright_ir::ParseError>(())
//! ```

mod contrib;
mod memory;
mod work;

pub use memory::{Peak, bytes, peak_activations};

use crate::op::Class;
use crate::{Bindings, Dim, Graph, NodeId, Op};
use std::collections::BTreeMap;
use std::fmt;

/// The cost of a node or of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost<N = Dim> {
    /// The number of arithmetic operations; to multiply and to add are two.
    pub flops: N,
    /// The number of bytes read and written.
    pub moved: N,
}

/// Why the cost of a node is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Uncounted {
    /// Its body runs a number of times that is unknown.
    Body,
    /// Nothing says what its operator computes.
    Operator,
    /// The size of an operand or of a result is unknown.
    Size,
}

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "it is unknown how often its body runs",
            Self::Operator => "the number of operations of this operator is unknown",
            Self::Size => "the size of an operand or of a result is unknown",
        })
    }
}

/// The cost of each node of a graph, without those in bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Estimate {
    /// The nodes whose cost is known, in the order of the graph.
    pub nodes: Vec<(NodeId, Cost)>,
    /// How many nodes are not counted, by the name of their operator and the reason.
    pub uncounted: BTreeMap<(String, Uncounted), usize>,
}

impl Estimate {
    /// Estimates the cost of each node of a graph.
    pub fn new(graph: &Graph) -> Self {
        let mut estimate = Self::default();
        let fixed = memory::fixed(graph);
        for id in graph.schedule() {
            let op = graph.node(id).op();
            if op.kind().is_source() || graph.results(id).all(|result| fixed.contains(&result)) {
                continue;
            }
            match of_node(graph, id) {
                Ok(cost) => estimate.nodes.push((id, cost)),
                Err(reason) => *estimate.uncounted.entry((name(op), reason)).or_default() += 1,
            }
        }
        estimate
    }

    /// Returns the sum over all counted nodes; unknown if the formula is too long.
    pub fn total(&self) -> Cost {
        let sum = |of: fn(&Cost) -> &Dim| self.nodes.iter().fold(Dim::Known(0), |sum, (_, cost)| sum.plus(of(cost)));
        Cost { flops: sum(|cost| &cost.flops), moved: sum(|cost| &cost.moved) }
    }

    /// Returns the sum over all counted nodes for these sizes; `None` if a symbol has no size, or on overflow.
    pub fn at(&self, sizes: &Bindings) -> Option<Cost<u64>> {
        let number = |dim: &Dim| u64::try_from(dim.evaluate(sizes)?).ok();
        let mut total = Cost { flops: 0_u64, moved: 0_u64 };
        for (_, cost) in &self.nodes {
            total.flops = total.flops.checked_add(number(&cost.flops)?)?;
            total.moved = total.moved.checked_add(number(&cost.moved)?)?;
        }
        Some(total)
    }
}

/// Estimates the cost of a node.
///
/// # Errors
/// If a size or what the operator computes is unknown.
pub fn of_node(graph: &Graph, id: NodeId) -> Result<Cost, Uncounted> {
    let cost = Cost { flops: work::flops(graph, id)?, moved: memory::moved(graph, id)? };
    if cost.flops == Dim::Unknown || cost.moved == Dim::Unknown { Err(Uncounted::Size) } else { Ok(cost) }
}

/// Returns the name of an operator in ONNX, with its domain if that is not the default one.
pub fn name(op: &Op) -> String {
    match op {
        Op::Opaque(opaque) if opaque.domain.is_empty() => opaque.op_type.to_string(),
        Op::Opaque(opaque) => format!("{}::{}", opaque.domain, opaque.op_type),
        op => op.kind().name().to_owned(),
    }
}
