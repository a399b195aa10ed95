//! What a model is made of, counted from its graph.

use crate::ir::{Graph, Op};
use std::collections::BTreeMap;

/// Counts of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Nodes that compute something: neither inputs nor tensors.
    pub nodes: usize,
    /// How many there are of each operator, by its ONNX name.
    pub operators: BTreeMap<String, usize>,
    /// Elements of the trained tensors, each counted once.
    pub parameters: u64,
    /// Bytes of the trained tensors.
    pub parameter_bytes: u64,
    /// Elements of the tensors that a compiler or exporter computed.
    pub constants: u64,
}

/// Counts what a graph is made of.
///
/// ```
/// let graph = netwright::ir::parse("g(%x: f32[4]) {\n%y = mul %x, 0.5 : f32[4]\nreturn %y\n}")?;
/// let inventory = netwright::inventory::inventory(&graph);
/// assert_eq!((inventory.nodes, inventory.constants, inventory.operators["Mul"]), (1, 1, 1));
/// # Ok::<(), netwright::ir::ParseError>(())
/// ```
pub fn inventory(graph: &Graph) -> Inventory {
    let mut inventory = Inventory::default();
    for id in graph.schedule() {
        match graph.node(id).op() {
            Op::Input => {}
            Op::Parameter(tensor) => {
                inventory.parameters += tensor.count();
                inventory.parameter_bytes += tensor.len();
            }
            Op::Constant(tensor) => inventory.constants += tensor.count(),
            op => {
                let name = match op {
                    Op::Kept(kept) if kept.domain.is_empty() => kept.op_type.to_string(),
                    Op::Kept(kept) => format!("{}::{}", kept.domain, kept.op_type),
                    op => op.kind().name().to_owned(),
                };
                inventory.nodes += 1;
                *inventory.operators.entry(name).or_default() += 1;
            }
        }
    }
    inventory
}
