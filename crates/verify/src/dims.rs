//! Arithmetic on sizes that tract computes wrongly while they are symbolic.

use crate::file::{bodies, int};
use crate::uses::{Graphs, integer};
use netwright_ir::{ElementType, OpKind};
use std::collections::BTreeMap;
use tract_onnx::pb::{GraphProto, NodeProto};

/// What is known of the elements of a value, in the order of what may be computed wrongly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Elements {
    /// No sizes.
    Data,
    /// Sizes, and sums and products of them.
    Sizes,
    /// Sizes from which something is subtracted: they may be negative.
    Differences,
}

/// Whether a graph or a body in it computes something of sizes that tract 0.23.9 computes wrongly while they are symbolic:
/// Equal of a size and a number is false, and the quotient and the remainder of a negative number are those of ONNX only
/// for a size that is known.
pub(crate) fn needs_known_sizes(graph: &GraphProto) -> bool {
    let uses = Graphs::new(graph);
    let mut known = BTreeMap::new();
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            let known_of = |name: &String| known.get(name.as_str()).copied();
            let most = node.input.iter().filter_map(known_of).max().unwrap_or(Elements::Data);
            let is_wrong = match node.op_type.as_str() {
                "Equal" => most > Elements::Data && !node.input.iter().any(|name| is_negative(&uses, name)),
                "Div" | "Mod" => most == Elements::Differences,
                _ => false,
            };
            if is_wrong {
                return true;
            }
            let result = computed(&uses, node, most);
            known.extend(node.output.iter().map(|name| (name.as_str(), result)));
            graphs.extend(bodies(node));
        }
    }
    false
}

/// Returns what is known of the results of a node, from the most that is known of its operands.
fn computed(graphs: &Graphs<'_>, node: &NodeProto, most: Elements) -> Elements {
    let is_size = most > Elements::Data;
    match node.op_type.as_str() {
        "Shape" | "Size" => Elements::Sizes,
        "Sub" | "Neg" if is_size => Elements::Differences,
        "Add" | "Mul" if is_size && node.input.iter().any(|name| is_negative(graphs, name)) => Elements::Differences,
        // tract computes other types on tensors.
        "Cast" => {
            if int(node, "to") == Some(ElementType::I64.number()) {
                most
            } else {
                Elements::Data
            }
        }
        "Concat" | "Add" | "Mul" | "Div" | "Mod" | "Min" | "Max" | "Where" | "ReduceProd" | "ReduceSum" | "If" => most,
        name if OpKind::from_name(name).is_some_and(OpKind::moves_elements) => most,
        _ => Elements::Data,
    }
}

/// Whether a value is a constant below 0, to which no size is equal.
fn is_negative(graphs: &Graphs<'_>, name: &str) -> bool {
    graphs.constant(name).and_then(integer).is_some_and(|number| number < 0)
}
