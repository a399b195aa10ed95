//! How the parameters of a model are stored.

use crate::ir::{Attribute, Graph, Op, OpKind};
use crate::parameters::Trained;
use std::collections::BTreeMap;

/// Parameters of one element type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The number of parameters.
    pub parameters: u64,
    /// Their size in bytes, with that of scales and zero points.
    pub bytes: u64,
}

/// Returns the parameters by element type.
pub(super) fn elements(graph: &Graph) -> BTreeMap<String, Stored> {
    let mut found: BTreeMap<String, Stored> = BTreeMap::new();
    for id in graph.schedule() {
        let Some(trained) = Trained::new(graph, id) else { continue };
        let stored = found.entry(trained.element.to_string()).or_default();
        stored.parameters = stored.parameters.saturating_add(trained.parameters);
        stored.bytes = stored.bytes.saturating_add(trained.bytes);
    }
    found
}

/// Returns how weights and activations are quantized: operators, bits and blocks, with the number of nodes.
pub fn quantization(graph: &Graph) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for id in graph.schedule() {
        let op = graph.node(id).op();
        let of_constant = graph.operand(id, 0).is_some_and(|operand| graph.kind(operand).is_source());
        let number = |attribute: &str| match op {
            Op::Opaque(opaque) => opaque.attributes.iter().find_map(|(name, value)| match value {
                Attribute::Int(number) if **name == *attribute => Some(*number),
                _ => None,
            }),
            op => op.attributes().into_iter().find_map(|(name, value)| match value {
                Attribute::Int(number) if name == attribute => Some(number),
                _ => None,
            }),
        };
        let blocks = number("block_size").filter(|size| *size > 0).map(|size| format!(", blocks of {size}"));
        let blocks = blocks.unwrap_or_default();
        let element = || {
            let element = graph.operand(id, 0).and_then(|operand| graph.fact(operand).element());
            element.map_or_else(String::new, |element| element.to_string())
        };
        let word = match op {
            Op::Opaque(opaque) if &*opaque.domain == "com.microsoft" => match &*opaque.op_type {
                name @ ("MatMulNBits" | "GatherBlockQuantized" | "MatMulBnb4") => {
                    format!("{name} of {} bits{blocks}", number("bits").unwrap_or(4))
                }
                name if is_integer(name) => name.to_owned(),
                name @ ("QAttention" | "QGemm" | "MatMulIntegerToFloat") => name.to_owned(),
                _ => continue,
            },
            op => match op.kind() {
                OpKind::DequantizeLinear if of_constant => format!("DequantizeLinear of {} weights{blocks}", element()),
                OpKind::DequantizeLinear => format!("DequantizeLinear of {} activations", element()),
                OpKind::QuantizeLinear => "QuantizeLinear of activations".to_owned(),
                kind if is_integer(kind.name()) => kind.name().to_owned(),
                _ => continue,
            },
        };
        *found.entry(word).or_default() += 1;
    }
    found
}

/// Whether an operator of this name computes with integers for floats, or makes them of activations.
fn is_integer(name: &str) -> bool {
    name.starts_with("QLinear") || name.starts_with("DynamicQuantize") || name.ends_with("Integer")
}
