//! The original model with noise, to measure the effect of rounding on its results.
//!
//! The size of a difference does not show whether it is rounding: a score of -10,000 loses three digits, and a variance
//! near 0 amplifies errors. So every float that the original computes is multiplied by a random number
//! that is 1 except for its last bits. A difference that is no larger than the effect of this noise is rounding.

use crate::element::Elem;
use crate::proto;
use crate::runtime;
use netwright::ir::ElementType;
use netwright::verify::{Array, Session};
use onnx_protobuf::{ModelProto, NodeProto, ValueInfoProto};
use protobuf::Message;
use std::collections::BTreeMap;

/// Operators that do not round.
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

/// The input that seeds the noise.
const SEED: &str = "noise/seed";

/// Loads the model with noise after every node of the graph; `given` are inputs with which it runs.
pub(crate) fn noisy(model: &ModelProto, given: &[(String, Array)]) -> Option<Session> {
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
            after.extend(noise(output, &plain, elem));
            *output = plain;
        }
        nodes.push(node);
        nodes.extend(after);
    }
    graph.node = nodes;
    graph.input.push(proto::declaration(SEED, Elem::F32, Some(&[])));
    for (name, number) in [("noise/low", -1e6), ("noise/high", 1e6), ("noise/one", 1.0), ("noise/part", 1.2e-7)] {
        graph.initializer.push(proto::tensor_of(name, Elem::F32, &[], &[number]));
    }
    graph.initializer.push(proto::tensor_of("noise/wide_part", Elem::F32, &[], &[1e-3]));
    runtime::load(&model.write_to_bytes().ok()?).ok()
}

/// Runs a model with noise.
pub(crate) fn run(noisy: &Session, given: &[(String, Array)], seed: u8) -> Result<Vec<(String, Array)>, String> {
    let seed = Array::new([], vec![f32::from(seed) * 1234.567]).map_err(|error| error.to_string())?;
    let mut given = given.to_vec();
    given.push((SEED.to_owned(), seed));
    runtime::run(noisy, &given)
}

/// Returns the results of nodes that are floats.
fn floats(model: &ModelProto, given: &[(String, Array)]) -> Option<BTreeMap<String, Elem>> {
    let mut model = model.clone();
    let graph = model.graph.as_mut()?;
    let inner = graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()).cloned();
    graph.output = inner.map(|name| ValueInfoProto { name, ..Default::default() }).collect();
    let session = runtime::load(&model.write_to_bytes().ok()?).ok()?;
    let elem = |array: &Array| match array.element() {
        ElementType::F32 => Some(Elem::F32),
        ElementType::F64 => Some(Elem::F64),
        ElementType::F16 => Some(Elem::F16),
        _ => None,
    };
    let outputs = runtime::run(&session, given).ok()?;
    Some(outputs.into_iter().filter_map(|(name, array)| Some((name, elem(&array)?))).collect())
}

/// Returns the nodes that compute `to` from `from`: `from * (1 + part * sin(seed * from))`.
fn noise(to: &str, from: &str, elem: Elem) -> Vec<NodeProto> {
    let node = |op: &str, input: &[&str], output: &str| NodeProto {
        op_type: op.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    };
    let cast = |input: &str, output: &str, elem: Elem| NodeProto {
        attribute: vec![proto::int("to", elem as i64)],
        ..node("Cast", &[input], output)
    };
    let step = |number: usize| format!("{to}/noise{number}");
    // An infinity has no sine.
    let part = if elem == Elem::F16 { "noise/wide_part" } else { "noise/part" };
    vec![
        cast(from, &step(0), Elem::F32),
        node("Clip", &[&step(0), "noise/low", "noise/high"], &step(1)),
        node("Mul", &[&step(1), SEED], &step(2)),
        node("Sin", &[&step(2)], &step(3)),
        node("Mul", &[&step(3), part], &step(4)),
        node("Add", &[&step(4), "noise/one"], &step(5)),
        cast(&step(5), &step(6), elem),
        node("Mul", &[from, &step(6)], to),
    ]
}
