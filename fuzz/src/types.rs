//! Reads the element types of the values of a model.

use crate::element::Elem;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};
use std::collections::BTreeMap;

/// Element types by name.
pub(crate) type Elems = BTreeMap<String, Elem>;

/// Returns the element types of the values of the graph and its bodies. Values that depend on an undeclared input of a
/// body are missing.
pub(crate) fn elems(model: &ModelProto) -> Elems {
    let mut elems = Elems::new();
    if let Some(graph) = model.graph.as_ref() {
        read_graph(graph, &mut elems);
    }
    elems
}

fn read_graph(graph: &GraphProto, elems: &mut Elems) {
    let declared = graph.input.iter().filter_map(|value| Some((value.name.clone(), declared(value)?)));
    let stored = graph.initializer.iter().filter_map(|tensor| Some((tensor.name.clone(), Elem::of(tensor.data_type)?)));
    elems.extend(declared.chain(stored));
    for node in &graph.node {
        for body in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            read_graph(body, elems);
        }
        let results = results(node, elems);
        elems.extend(node.output.iter().zip(results).filter_map(|(name, elem)| Some((name.clone(), elem?))));
    }
}

fn declared(value: &ValueInfoProto) -> Option<Elem> {
    match value.type_.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Elem::of(tensor.elem_type),
        _ => None,
    }
}

/// Returns the element types of the results of a node whose bodies have been read.
fn results(node: &NodeProto, elems: &Elems) -> Vec<Option<Elem>> {
    let of = |name: &String| elems.get(name).copied();
    let operand = |at: usize| node.input.get(at).and_then(of);
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let of_body = |name: &str, skip: usize| {
        let body = attribute(name).and_then(|body| body.g.as_ref());
        body.map(|body| body.output.iter().skip(skip).map(|output| of(&output.name)).collect()).unwrap_or_default()
    };
    let [same, whole, truth] = [operand(0), Some(Elem::I64), Some(Elem::Bool)];
    match node.op_type.as_str() {
        "If" => return of_body("then_branch", 0),
        "Loop" => return of_body("body", 1),
        "Scan" => return of_body("body", 0),
        "Dropout" => return vec![same, truth],
        "TopK" => return vec![same, whole],
        "DynamicQuantizeLinear" => return vec![Some(Elem::U8), Some(Elem::F32), Some(Elem::U8)],
        _ => {}
    }
    let elem = match node.op_type.as_str() {
        "Cast" => attribute("to").and_then(|to| Elem::of(i32::try_from(to.i).ok()?)),
        "Constant" | "ConstantOfShape" => match attribute("value").and_then(|value| value.t.as_ref()) {
            Some(tensor) => Elem::of(tensor.data_type),
            None => Some(Elem::F32),
        },
        "ArgMax" | "ArgMin" | "NonZero" | "Shape" | "Size" => whole,
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "IsInf" | "IsNaN" | "Less" | "LessOrEqual" | "Not" | "Or"
        | "Xor" => truth,
        "DequantizeLinear" | "Where" => operand(1),
        "MatMulInteger" => Some(Elem::I32),
        "QuantizeLinear" => operand(2).or(Some(Elem::U8)),
        _ => same,
    };
    vec![elem; node.output.len()]
}
