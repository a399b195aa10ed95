//! Finds the values of a graph that may hold minus infinity, as masks do.

use super::operand;
use crate::elements::{element, numbers};
use netwright_ir::ElementType;
use std::collections::BTreeSet;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Returns the names of the values that are computed from minus infinity in a tensor of the graph, and are not bounded
/// below by a finite number.
pub(super) fn values(graph: &GraphProto) -> BTreeSet<String> {
    let own = graph.initializer.iter().filter(|tensor| has_infinity(tensor)).map(|tensor| tensor.name.clone());
    let mut found: BTreeSet<String> = own.collect();
    let mut finite: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    finite.retain(|name| !found.contains(*name));
    for (at, node) in graph.node.iter().enumerate() {
        let mut tensors = node.attribute.iter().filter_map(|attribute| attribute.t.as_ref());
        let floats = node.attribute.iter().map(|attribute| attribute.f);
        let is_source = floats.into_iter().any(|number| number == f32::NEG_INFINITY) || tensors.any(has_infinity);
        let reads = node.input.iter().any(|name| found.contains(name)) && !is_bounded(graph, at, node, &finite);
        if is_source || reads {
            found.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
        } else if node.op_type == "Constant" {
            finite.extend(node.output.iter().map(String::as_str));
        }
    }
    found
}

/// Whether a node is `max(x, c)`, or `where(x < c, c, x)` whose comparison is before it.
fn is_bounded(graph: &GraphProto, at: usize, node: &NodeProto, finite: &BTreeSet<&str>) -> bool {
    let is_finite = |name: Option<&str>| name.is_some_and(|name| finite.contains(name));
    match node.op_type.as_str() {
        "Max" => node.input.iter().any(|name| finite.contains(name.as_str())),
        "Clip" => is_finite(operand(node, 1)),
        "Where" => {
            let [condition, least, whole] = [0, 1, 2].map(|at| operand(node, at));
            let less = graph.node[..at].iter().rev().find(|node| node.output.first().map(String::as_str) == condition);
            let is_less =
                |less: &NodeProto| less.op_type == "Less" && [operand(less, 0), operand(less, 1)] == [whole, least];
            is_finite(least) && less.is_some_and(is_less)
        }
        _ => false,
    }
}

fn has_infinity(tensor: &TensorProto) -> bool {
    element(tensor).is_some_and(ElementType::is_float) && numbers(tensor).any(|number| number == f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::values;
    use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

    fn tensor(name: &str, data_type: i32, raw_data: Vec<u8>) -> TensorProto {
        TensorProto { name: name.to_owned(), data_type, raw_data, ..TensorProto::default() }
    }

    fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
        let input = input.iter().map(|&name| name.to_owned()).collect();
        NodeProto { op_type: op_type.to_owned(), input, output: vec![output.to_owned()], ..NodeProto::default() }
    }

    #[test]
    fn infinity_is_followed_to_a_bound() {
        let graph = GraphProto {
            initializer: vec![
                tensor("infinity", 1, f32::NEG_INFINITY.to_le_bytes().to_vec()),
                tensor("lowest", 1, f32::MIN.to_le_bytes().to_vec()),
            ],
            node: vec![
                node("Where", &["keep", "lowest", "infinity"], "mask"),
                node("Where", &["keep", "lowest", "lowest"], "finite"),
                node("Unsqueeze", &["mask", "axes"], "wide"),
                node("Max", &["wide", "lowest"], "max"),
                node("Max", &["wide", "infinity"], "max_of_infinity"),
                node("Clip", &["wide", "lowest"], "clipped"),
                node("Clip", &["wide", "", "lowest"], "clipped_above"),
                node("Less", &["wide", "lowest"], "deep"),
                node("Where", &["deep", "lowest", "wide"], "bounded"),
                node("Where", &["deep", "wide", "lowest"], "swapped"),
                node("Where", &["deep", "lowest", "mask"], "of_another"),
            ],
            ..GraphProto::default()
        };
        let found: Vec<String> = values(&graph).into_iter().collect();
        let expected =
            ["clipped_above", "deep", "infinity", "mask", "max_of_infinity", "of_another", "swapped", "wide"];
        assert_eq!(found, expected);
    }
}
