//! Finds the values that two models have in common: by name, and by structure where names differ.

use crate::file::{ModelFile, bodies, domain, is_external};
use crate::gate::type_of;
use netwright_ir::fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// A value of both models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Matched<'m> {
    /// Its name in the first model.
    pub(super) a: &'m str,
    /// Its name in the second model.
    pub(super) b: &'m str,
}

/// Returns the nodes of the main graph by the values that they compute.
pub(super) fn producers(model: &ModelFile) -> BTreeMap<&str, &NodeProto> {
    let nodes = model.graph.node.iter();
    nodes.flat_map(|node| results(node).map(move |result| (result, node))).collect()
}

fn results(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.output.iter().map(String::as_str).filter(|name| !name.is_empty())
}

/// Returns the values that a node reads, also in its bodies.
pub(super) fn sources(node: &NodeProto) -> Vec<&str> {
    let mut found: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for body in bodies(node) {
        found.extend(body.node.iter().flat_map(sources));
        found.extend(body.output.iter().map(|output| output.name.as_str()));
    }
    found
}

/// Returns the values of both models, in the order of the nodes of the second model.
///
/// Values match that have the same name; that are computed by equal operators from matching operands; and the operands
/// of equal operators whose results match, if only one operand of each is left to match. Constants match if their
/// types and their first 64 KiB are equal. A value matches one value at most. Values that depend on an input in neither
/// model are left out: their error is that of the operator that reads them.
pub(super) fn matched<'m>(a: &'m ModelFile, b: &'m ModelFile) -> Vec<Matched<'m>> {
    let mut matching = Matching {
        in_a: producers(a),
        in_b: producers(b),
        constants: [constants(a), constants(b)],
        to_a: BTreeMap::new(),
        taken: BTreeSet::new(),
    };
    for input in b.graph.input.iter().filter(|input| a.graph.input.iter().any(|other| other.name == input.name)) {
        matching.pair(&input.name, &input.name);
    }
    let named: Vec<&str> = matching.in_b.keys().copied().filter(|name| matching.in_a.contains_key(name)).collect();
    for name in named {
        matching.pair(name, name);
    }
    for _ in 0..MAX_ROUNDS {
        let found = matching.forward(a, b);
        if !matching.backward() && !found {
            break;
        }
    }
    let in_order = b.graph.node.iter().flat_map(results);
    let (computed_in_a, computed_in_b) = (computed(a), computed(b));
    in_order
        .filter_map(|name| Some(Matched { a: matching.to_a.get(name)?, b: name }))
        .filter(|pair| computed_in_a.contains(pair.a) || computed_in_b.contains(pair.b))
        .collect()
}

/// Returns the values of the main graph that depend on one of its inputs, and these.
fn computed(model: &ModelFile) -> BTreeSet<&str> {
    let GraphProto { input, initializer, node, .. } = &model.graph;
    let held: BTreeSet<&str> = initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut found: BTreeSet<&str> =
        input.iter().map(|input| input.name.as_str()).filter(|name| !held.contains(name)).collect();
    for node in node {
        if sources(node).iter().any(|name| found.contains(name)) {
            found.extend(results(node));
        }
    }
    found
}

/// How often both directions are searched: each round matches what the one before made known.
const MAX_ROUNDS: usize = 16;

struct Matching<'m> {
    in_a: BTreeMap<&'m str, &'m NodeProto>,
    in_b: BTreeMap<&'m str, &'m NodeProto>,
    /// The contents of the constants of both models.
    constants: [BTreeMap<&'m str, String>; 2],
    /// The names in the first model, by those in the second.
    to_a: BTreeMap<&'m str, &'m str>,
    /// The values of the first model that have a match.
    taken: BTreeSet<&'m str>,
}

impl<'m> Matching<'m> {
    /// Matches two values, unless one of them is matched; returns whether it did.
    fn pair(&mut self, a: &'m str, b: &'m str) -> bool {
        let is_new = !self.to_a.contains_key(b) && !self.taken.contains(a);
        if is_new {
            self.to_a.insert(b, a);
            self.taken.insert(a);
        }
        is_new
    }

    /// Describes an operand in the first model, in the same words as the match of an operand in the second.
    fn in_first(&self, name: &'m str) -> String {
        self.constants[0].get(name).cloned().unwrap_or_else(|| format!("value {name}"))
    }

    fn in_second(&self, name: &'m str) -> Option<String> {
        match (self.constants[1].get(name), self.to_a.get(name)) {
            (Some(contents), _) => Some(contents.clone()),
            (None, Some(name)) => Some(format!("value {name}")),
            (None, None) if name.is_empty() => Some("value ".to_owned()),
            (None, None) => None,
        }
    }

    /// Matches results of equal operators with matching operands; returns whether there are any.
    fn forward(&mut self, a: &'m ModelFile, b: &'m ModelFile) -> bool {
        let mut known: BTreeMap<Vec<String>, &NodeProto> = BTreeMap::new();
        for node in a.graph.node.iter().filter(|node| is_plain(node)) {
            let operands = node.input.iter().map(|name| self.in_first(name));
            known.entry(std::iter::once(operator(node)).chain(operands).collect()).or_insert(node);
        }
        let mut found = false;
        for node in b.graph.node.iter().filter(|node| is_plain(node)) {
            let operands: Option<Vec<String>> = node.input.iter().map(|name| self.in_second(name)).collect();
            let Some(operands) = operands else { continue };
            let key: Vec<String> = std::iter::once(operator(node)).chain(operands).collect();
            let Some(other) = known.get(&key).filter(|other| other.output.len() == node.output.len()) else { continue };
            for (a, b) in other.output.iter().zip(&node.output).filter(|(a, b)| !a.is_empty() && !b.is_empty()) {
                found |= self.pair(a, b);
            }
        }
        found
    }

    /// Matches the only operands left to match of equal operators with matching results; returns whether there are any.
    fn backward(&mut self) -> bool {
        let mut found = false;
        let pairs: Vec<(&str, &str)> = self.to_a.iter().map(|(b, a)| (*a, *b)).collect();
        for (a, b) in pairs {
            let (Some(from), Some(to)) = (self.in_a.get(a).copied(), self.in_b.get(b).copied()) else { continue };
            if !is_plain(from) || operator(from) != operator(to) || from.input.len() != to.input.len() {
                continue;
            }
            let is_value = |name: &&String, constants: &BTreeMap<&str, String>| {
                !name.is_empty() && !constants.contains_key(name.as_str())
            };
            let mut in_a = from
                .input
                .iter()
                .filter(|name| is_value(name, &self.constants[0]) && !self.taken.contains(name.as_str()));
            let mut in_b = to
                .input
                .iter()
                .filter(|name| is_value(name, &self.constants[1]) && !self.to_a.contains_key(name.as_str()));
            if let (Some(a), None, Some(b), None) = (in_a.next(), in_a.next(), in_b.next(), in_b.next()) {
                found |= self.pair(a, b);
            }
        }
        found
    }
}

/// Returns whether a node computes something, and has no bodies.
fn is_plain(node: &NodeProto) -> bool {
    node.op_type != "Constant" && bodies(node).next().is_none()
}

/// Describes the operator of a node with its attributes.
fn operator(node: &NodeProto) -> String {
    let mut attributes: Vec<&AttributeProto> = node.attribute.iter().collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    format!("{} {} {attributes:?}", domain(&node.domain), node.op_type)
}

/// The number of bytes of a constant that are compared.
const SAMPLE: usize = 1 << 16;

/// Returns descriptions of the contents of constants: the type and a hash of the first bytes.
fn constants(model: &ModelFile) -> BTreeMap<&str, String> {
    let GraphProto { initializer, node, .. } = &model.graph;
    let constants = node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        Some((node.output.first()?.as_str(), node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?))
    });
    let tensors = initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(constants);
    tensors.map(|(name, tensor)| (name, contents(model, tensor))).collect()
}

fn first<T>(data: &[T]) -> &[T] {
    data.get(..SAMPLE / size_of::<T>().max(1)).unwrap_or(data)
}

fn contents(model: &ModelFile, tensor: &TensorProto) -> String {
    let ty = type_of(tensor).map_or_else(String::new, |ty| ty.to_string());
    let mut read = vec![];
    if is_external(tensor) {
        let offset = tensor.external_data.iter().find(|entry| entry.key == "offset");
        if let Some(at) = offset.and_then(|entry| entry.value.parse().ok()) {
            read = model.weights.sample(at, SAMPLE);
        }
    } else if !tensor.raw_data.is_empty() {
        read.extend(tensor.raw_data.iter().take(SAMPLE));
    } else {
        let TensorProto { float_data, double_data, int32_data, int64_data, uint64_data, string_data, .. } = tensor;
        let (floats, doubles) = (first(float_data), first(double_data));
        let integers = (first(int32_data), first(int64_data), first(uint64_data));
        read = format!("{floats:?} {doubles:?} {integers:?} {:?}", first(string_data)).into_bytes();
    }
    format!("constant {ty} {}", fingerprint(read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn constants_that_are_stored_in_any_field_are_told_apart() {
        let model = ModelFile::from_bytes(
            "model.onnx",
            &tract_onnx::pb::ModelProto { graph: Some(GraphProto::default()), ..Default::default() }.encode_to_vec(),
        )
        .expect("a model");
        let typed = |data: fn(&mut TensorProto)| {
            let mut tensor = TensorProto { data_type: 1, dims: vec![1], ..TensorProto::default() };
            data(&mut tensor);
            contents(&model, &tensor)
        };
        let all = [
            typed(|tensor| tensor.float_data = vec![1.0]),
            typed(|tensor| tensor.float_data = vec![2.0]),
            typed(|tensor| tensor.double_data = vec![1.0]),
            typed(|tensor| tensor.double_data = vec![2.0]),
            typed(|tensor| tensor.int32_data = vec![1]),
            typed(|tensor| tensor.int64_data = vec![1]),
            typed(|tensor| tensor.uint64_data = vec![1]),
            typed(|tensor| tensor.uint64_data = vec![2]),
            typed(|tensor| tensor.string_data = vec![b"a".as_slice().into()]),
            typed(|tensor| tensor.string_data = vec![b"b".as_slice().into()]),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
        assert_eq!(all[2], typed(|tensor| tensor.double_data = vec![1.0]));
    }
}
