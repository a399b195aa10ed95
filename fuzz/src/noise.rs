//! The original model with noise, to measure the effect of rounding on its results.
//!
//! The size of a difference does not show whether it is rounding: a score of -10,000 loses three digits, and a variance
//! near 0 amplifies errors. So every float that the original computes is multiplied by a random number
//! that is 1 except for its last bits. A difference that is no larger than the effect of this noise is rounding.

use crate::element::Elem;
use crate::proto;
use crate::runtime;
use crate::types::{Elems, elems};
use netwright::verify::{Array, Session};
use onnx_protobuf::{GraphProto, ModelProto, NodeProto};
use protobuf::Message;

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

/// Loads the model with noise after every node of the graph and its bodies.
pub(crate) fn noisy(model: &ModelProto) -> Option<Session> {
    let elems = elems(model);
    let mut model = model.clone();
    let graph = model.graph.as_mut()?;
    add_noise(graph, &elems);
    graph.input.push(proto::declaration(SEED, Elem::F32, Some(&[])));
    for (name, number) in [("noise/low", -1e6), ("noise/high", 1e6), ("noise/one", 1.0), ("noise/part", 1.2e-7)] {
        graph.initializer.push(proto::tensor_of(name, Elem::F32, &[], &[number]));
    }
    graph.initializer.push(proto::tensor_of("noise/wide_part", Elem::F32, &[], &[1e-3]));
    runtime::load(&model.write_to_bytes().ok()?).ok()
}

fn add_noise(graph: &mut GraphProto, elems: &Elems) {
    for mut node in std::mem::take(&mut graph.node) {
        node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(|body| add_noise(body, elems));
        let mut after = vec![];
        let is_exact = EXACT.contains(&node.op_type.as_str());
        for output in &mut node.output {
            let is_float = |elem: &&Elem| matches!(elem, Elem::F16 | Elem::F32 | Elem::F64);
            let Some(&elem) = elems.get(output).filter(is_float).filter(|_| !is_exact) else { continue };
            let plain = format!("{output}/plain");
            after.extend(noise(output, &plain, elem));
            *output = plain;
        }
        graph.node.push(node);
        graph.node.extend(after);
    }
}

/// Runs a model with noise.
pub(crate) fn run(noisy: &Session, given: &[(String, Array)], seed: u8) -> Result<Vec<(String, Array)>, String> {
    let seed = Array::new([], vec![f32::from(seed) * 1234.567]).map_err(|error| error.to_string())?;
    let mut given = given.to_vec();
    given.push((SEED.to_owned(), seed));
    runtime::run(noisy, &given)
}

/// Returns the nodes that compute `to` from `from`: `from * (1 + part * sin(seed * from))`.
fn noise(to: &str, from: &str, elem: Elem) -> Vec<NodeProto> {
    let step = |number: usize| format!("{to}/noise{number}");
    // An infinity has no sine.
    let part = if elem == Elem::F16 { "noise/wide_part" } else { "noise/part" };
    vec![
        proto::cast(from, &step(0), Elem::F32),
        proto::node("Clip", &[&step(0), "noise/low", "noise/high"], &step(1)),
        proto::node("Mul", &[&step(1), SEED], &step(2)),
        proto::node("Sin", &[&step(2)], &step(3)),
        proto::node("Mul", &[&step(3), part], &step(4)),
        proto::node("Add", &[&step(4), "noise/one"], &step(5)),
        proto::cast(&step(5), &step(6), elem),
        proto::node("Mul", &[from, &step(6)], to),
    ]
}
