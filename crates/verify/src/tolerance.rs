//! The default tolerance, by the float types in which two models compute.

use crate::file::ModelFile;
use netwright_ir::ElementType;
use std::collections::BTreeSet;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// The tolerance if both models compute in `f32` or `f64`; see [`compare`](crate::compare()).
pub const TOLERANCE: f64 = 1e-4;

/// The tolerances by the narrowest float type in which one of the models computes, the narrowest first.
///
/// Operators in `f16` round to 5e-4 of their results, operators in `bf16` to 4e-3, and a Transformer of a few layers adds
/// up to twenty such errors: in the `f16` exports of the tests, the largest is 7e-3 of the scale of an output.
const BY_TYPE: [(ElementType, f64); 2] = [(ElementType::BF16, 8e-2), (ElementType::F16, 1e-2)];

/// Returns the tolerance of the narrowest float type in which one of the models computes.
///
/// A type counts if an operator other than a Cast reads it, or a Cast produces it. Weights that are stored in `f16` and
/// cast to `f32` do not count.
pub(crate) fn tolerance<'m>(models: impl IntoIterator<Item = &'m ModelFile>) -> f64 {
    let found: BTreeSet<ElementType> = models.into_iter().flat_map(computed).collect();
    BY_TYPE.iter().find(|(element, _)| found.contains(element)).map_or(TOLERANCE, |(_, tolerance)| *tolerance)
}

/// Returns the float types in which a model computes.
fn computed(model: &ModelFile) -> BTreeSet<ElementType> {
    let mut found = BTreeSet::new();
    let ports = model.inputs();
    let inputs = ports.iter().filter_map(|port| Some((port.name.as_str(), port.ty.as_ref()?.element)));
    // Names of bodies are looked up beside those of the graph: at worst a type counts that is cast alone.
    let mut stored: Vec<(&str, ElementType)> = inputs.collect();
    let mut nodes: Vec<&NodeProto> = model.model.functions.iter().flat_map(|function| &function.node).collect();
    let mut graphs: Vec<&GraphProto> = vec![&model.graph];
    while let Some(graph) = graphs.pop() {
        stored.extend(graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_str(), element(tensor)?))));
        nodes.extend(&graph.node);
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        graphs.extend(attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)));
    }
    let is_type = |attribute: &&AttributeProto| matches!(&*attribute.name, "to" | "dtype");
    for node in &nodes {
        found.extend(node.attribute.iter().filter(is_type).filter_map(|to| ElementType::from_number(to.i)));
        let tensors = node.attribute.iter().filter_map(|attribute| element(attribute.t.as_ref()?));
        match (node.op_type.as_str(), node.output.first()) {
            ("Constant", Some(result)) => stored.extend(tensors.map(|element| (result.as_str(), element))),
            _ => found.extend(tensors),
        }
    }
    let is_cast = |node: &&&NodeProto| node.op_type == "Cast";
    let read: BTreeSet<&str> =
        nodes.iter().filter(|node| !is_cast(node)).flat_map(|node| &node.input).map(String::as_str).collect();
    found.extend(stored.into_iter().filter(|(name, _)| read.contains(name)).map(|(_, element)| element));
    found
}

fn element(tensor: &TensorProto) -> Option<ElementType> {
    ElementType::from_number(tensor.data_type.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    #[test]
    fn the_narrowest_type_of_both_models_counts() {
        let of = |to: ElementType| {
            let attribute = AttributeProto { name: "to".to_owned(), i: to.number(), ..Default::default() };
            let input = vec!["x".to_owned()];
            let cast = NodeProto {
                op_type: "Cast".to_owned(),
                input,
                output: vec!["y".to_owned()],
                attribute: vec![attribute],
                ..Default::default()
            };
            let graph = GraphProto { node: vec![cast], ..Default::default() };
            let model = ModelProto { graph: Some(graph), ..Default::default() };
            ModelFile::from_bytes("model.onnx", &model.encode_to_vec()).expect("a model")
        };
        let [wide, double, half, brain] =
            [ElementType::F32, ElementType::F64, ElementType::F16, ElementType::BF16].map(of);
        for (a, b, expected) in [
            (&wide, &double, TOLERANCE),
            (&wide, &half, 1e-2),
            (&half, &double, 1e-2),
            (&half, &brain, 8e-2),
            (&brain, &wide, 8e-2),
        ] {
            assert_eq!(tolerance([a, b]), expected);
        }
    }
}
