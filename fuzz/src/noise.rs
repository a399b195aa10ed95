//! The original with noise: what rounding alone does to its results.
//!
//! Whether a difference is rounding cannot be told from its size: a score of -10,000 loses three digits, and a variance
//! of nearly 0 multiplies what is left. So every float that the original computes is multiplied by a random number
//! that is 1 but for the last bits, and results that move as much as they differ are the same.

use crate::element::Elem;
use crate::proto;
use crate::runtime::Loaded;
use netwright::ir::ElementType;
use netwright::verify::Array;
use onnx_protobuf::{ModelProto, NodeProto, ValueInfoProto};
use protobuf::Message;
use std::collections::BTreeMap;

/// Operators that round nothing.
const EXACT: [&str; 16] = [
    "Cast",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Range",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Loads the model with noise after every node of the graph; `given` are inputs that it runs with.
pub(crate) fn noisy(model: &ModelProto, given: &[(String, Array)]) -> Option<Loaded> {
    let floats = floats(model, given)?;
    let mut model = model.clone();
    let graph = model.graph.as_mut()?;
    let mut nodes = vec![];
    for mut node in std::mem::take(&mut graph.node) {
        let mut after = vec![];
        let is_exact = EXACT.contains(&node.op_type.as_str());
        for output in &mut node.output {
            let Some(&elem) = floats.get(output).filter(|_| !is_exact) else { continue };
            let plain = format!("{output}/plain");
            after.extend(noise(std::mem::replace(output, plain.clone()), plain, elem, nodes.len()));
        }
        nodes.push(node);
        nodes.extend(after);
    }
    graph.node = nodes;
    Loaded::new(&model.write_to_bytes().ok()?).ok()
}

/// The results of nodes that are floats.
fn floats(model: &ModelProto, given: &[(String, Array)]) -> Option<BTreeMap<String, Elem>> {
    let mut model = model.clone();
    let graph = model.graph.as_mut()?;
    let inner = graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()).cloned();
    graph.output = inner.map(|name| ValueInfoProto { name, ..Default::default() }).collect();
    let mut loaded = Loaded::new(&model.write_to_bytes().ok()?).ok()?;
    let elem = |array: &Array| match array.element() {
        ElementType::F32 => Some(Elem::F32),
        ElementType::F64 => Some(Elem::F64),
        ElementType::F16 => Some(Elem::F16),
        _ => None,
    };
    let outputs = loaded.run(given).ok()?;
    Some(outputs.into_iter().filter_map(|(name, array)| Some((name, elem(&array)?))).collect())
}

/// The nodes that compute `to` from `from`.
fn noise(to: String, from: String, elem: Elem, seed: usize) -> Vec<NodeProto> {
    // The distance of 1 from its neighbours; attributes are f32, and so f64 gets that of f32.
    let part = if elem == Elem::F16 { 1e-3 } else { 1.2e-7 };
    let wide = if elem == Elem::F64 { Elem::F64 } else { Elem::F32 };
    let (factor, cast) = (format!("{to}/factor"), format!("{to}/cast"));
    #[expect(clippy::cast_precision_loss, reason = "nodes are few")]
    let attribute = vec![
        proto::int("dtype", wide as i64),
        proto::float("low", 1.0 - part),
        proto::float("high", 1.0 + part),
        proto::float("seed", seed as f64),
    ];
    let node = |op: &str, input: Vec<String>, output: String| NodeProto {
        op_type: op.to_owned(),
        input,
        output: vec![output],
        ..Default::default()
    };
    let random = NodeProto { attribute, ..node("RandomUniformLike", vec![from.clone()], factor.clone()) };
    if wide == elem {
        return vec![random, node("Mul", vec![from, factor], to)];
    }
    let to_elem = vec![proto::int("to", elem as i64)];
    let narrow = NodeProto { attribute: to_elem, ..node("Cast", vec![factor], cast.clone()) };
    vec![random, narrow, node("Mul", vec![from, cast], to)]
}
