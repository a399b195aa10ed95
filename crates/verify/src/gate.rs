//! What tract cannot be trusted with.
//!
//! tract looks an operator up by its name alone, without its domain, ignores attributes that it does not know, and
//! does not know the functions of a model: it then computes something else, without a word. So before a model is
//! run, every node is held against a list of what tract computes as the standard says.

mod operators;

use crate::file::{CONTRIB, ModelFile, domain, is_external, place, tensor_type};
use crate::values::has;
use netwright_ir::{Dim, ElementType, OpKind, TensorType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType};

/// Why a model cannot be verified in tract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// The node and its operator, the tensor or the model.
    pub place: String,
    /// What tract does.
    pub why: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

pub(crate) fn list(reasons: &[Reason]) -> String {
    reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

/// All reasons why tract cannot be trusted with a model; none if it can.
pub fn gate(file: &ModelFile) -> Vec<Reason> {
    let mut gate = Gate { reasons: vec![], functions: vec![], types: vec![] };
    match file.opset() {
        Some(version) if operators::OPSETS.contains(&version) => {}
        version => {
            let (first, last) = operators::OPSETS.into_inner();
            let version = version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
            gate.add(
                "the model",
                format!("it imports {version} of ONNX's operators; tract's were compared with {first} to {last}"),
            );
        }
    }
    let functions = file.model.functions.iter();
    gate.functions = functions.map(|function| (domain(function.domain()), function.name())).collect();
    // Graphs in graphs, outermost first; each sees the types of those around it.
    let mut graphs = vec![(&file.graph, 0)];
    while let Some((graph, depth)) = graphs.pop() {
        gate.types.truncate(depth);
        gate.types.push(types(graph));
        gate.graph(graph);
        for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
            graphs.extend(attribute.g.iter().chain(&attribute.graphs).map(|graph| (graph, depth + 1)));
        }
    }
    gate.reasons
}

/// The operators whose results are random, which no runtime can verify.
pub(crate) fn random(file: &ModelFile) -> Vec<Reason> {
    let (mut reasons, mut graphs) = (vec![], vec![&file.graph]);
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            reasons.extend(is_random(node).then(|| Reason { place: place(node), why: RANDOM.to_owned() }));
            graphs.extend(node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)));
        }
    }
    reasons
}

const RANDOM: &str = "its results are random";

fn is_random(node: &NodeProto) -> bool {
    // Dropout drops nothing unless it is told to train, which a model that is run for its results is not.
    let is_random = |kind: OpKind| kind.is_random() && kind != OpKind::Dropout;
    domain(&node.domain).is_empty() && OpKind::from_name(&node.op_type).is_some_and(is_random)
}

struct Gate<'m> {
    reasons: Vec<Reason>,
    /// The domains and names of the model's functions.
    functions: Vec<(&'m str, &'m str)>,
    /// Of the values of the graph at hand and those around it.
    types: Vec<BTreeMap<&'m str, TensorType>>,
}

/// What a graph declares of its values, and its initializers.
pub(crate) fn types(graph: &GraphProto) -> BTreeMap<&str, TensorType> {
    let declared = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let declared = declared.filter_map(|value| Some((value.name.as_str(), tensor_type(value)?)));
    let weights = graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_str(), type_of(tensor)?)));
    declared.chain(weights).collect()
}

pub(crate) fn type_of(tensor: &TensorProto) -> Option<TensorType> {
    let element = ElementType::from_number(tensor.data_type.into())?;
    Some(TensorType::new(element, tensor.dims.iter().map(|&size| Dim::from(size)).collect()))
}

impl<'m> Gate<'m> {
    fn add(&mut self, place: impl Into<String>, why: impl Into<String>) {
        self.reasons.push(Reason { place: place.into(), why: why.into() });
    }

    fn graph(&mut self, graph: &'m GraphProto) {
        for tensor in &graph.initializer {
            self.tensor(&format!("initializer `{}`", tensor.name), tensor);
        }
        for tensor in &graph.sparse_initializer {
            let name = tensor.values.as_ref().map_or("", |values| values.name.as_str());
            self.add(format!("initializer `{name}`"), "tract does not read sparse tensors");
        }
        for value in &graph.input {
            let element = tensor_type(value).map(|ty| ty.element);
            match element.filter(|&element| !has(element)) {
                Some(element) => {
                    self.add(format!("input `{}`", value.name), format!("tract has no elements of type {element}"));
                }
                None if element.is_none() && self.types.len() == 1 => {
                    self.add(format!("input `{}`", value.name), "tract takes tensors of declared types only");
                }
                None => {}
            }
        }
        for node in &graph.node {
            self.node(node);
        }
    }

    fn tensor(&mut self, place: &str, tensor: &TensorProto) {
        let Some(element) = ElementType::from_number(tensor.data_type.into()) else { return };
        if !has(element) {
            self.add(place, format!("tract does not read elements of type {element}"));
        } else if matches!(element, ElementType::U32 | ElementType::U64)
            && tensor.raw_data.is_empty()
            && !is_external(tensor)
            && !tensor.dims.contains(&0)
        {
            self.add(place, format!("tract reads elements of type {element} from `raw_data` only"));
        }
    }

    fn node(&mut self, node: &'m NodeProto) {
        let place = place(node);
        if let Some(why) = self.blind_spot(node) {
            self.add(place.clone(), why);
        }
        for tensor in node.attribute.iter().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors)) {
            self.tensor(&place, tensor);
        }
    }

    fn blind_spot(&self, node: &NodeProto) -> Option<String> {
        let operator = node.op_type.as_str();
        let domain = domain(&node.domain);
        if self.functions.contains(&(domain, operator)) {
            return Some("it calls a function of the model, and tract does not know those".to_owned());
        }
        let default = domain.is_empty();
        if is_random(node) {
            return Some(RANDOM.to_owned());
        }
        let known = match domain {
            "" => operators::attributes(operators::DEFAULT, operator),
            CONTRIB => operators::attributes(operators::MICROSOFT, operator),
            _ => None,
        };
        let Some(known) = known else {
            return Some(if default {
                "tract does not run it, or not for certain as the standard says".to_owned()
            } else {
                "tract does not look at the domain and may take it for another operator".to_owned()
            });
        };
        let unread = node.attribute.iter().find(|attribute| !allows(known, attribute));
        if let Some(attribute) = unread {
            return Some(format!("tract does not honour {} = {}", attribute.name, text(attribute)));
        }
        if operator == "Attention" { attention_flaw(node, &|value| self.ty(value)) } else { None }
    }

    fn ty(&self, value: &str) -> Option<&TensorType> {
        self.types.iter().rev().find_map(|types| types.get(value))
    }
}

/// What tract gets wrong of an `Attention` (opset 23, 24), whose operands are query, key, value, mask, past key, past
/// value and the lengths without padding.
pub(crate) fn attention_flaw<'t>(node: &NodeProto, ty: &dyn Fn(&str) -> Option<&'t TensorType>) -> Option<String> {
    let given = |at: usize| node.input.get(at).filter(|name| !name.is_empty());
    let is_causal = node.attribute.iter().any(|attribute| attribute.name == "is_causal" && attribute.i != 0);
    if node.output.get(3).is_some_and(|name| !name.is_empty()) {
        return Some("tract does not give the fourth result, the scores".to_owned());
    }
    if given(6).is_some() {
        return Some("tract does not read the lengths without padding".to_owned());
    }
    if is_causal && given(4).is_some() {
        return Some("tract gets is_causal wrong where there is a past".to_owned());
    }
    let length = |at: usize| {
        let shape = ty(given(at)?)?.shape.as_ref()?;
        shape.get(shape.len().checked_sub(2)?).cloned().filter(|_| shape.len() == 3 || shape.len() == 4)
    };
    let query = length(0);
    if is_causal {
        let same = query.as_ref().zip(length(1)).and_then(|(query, key)| query.same(&key));
        if same != Some(true) {
            return Some(
                "tract gets is_causal wrong where the lengths of query and key differ, and they are not known to \
                 be equal"
                    .to_owned(),
            );
        }
    }
    let mask = ty(given(3)?)?;
    if mask.element == ElementType::Bool {
        return Some("tract takes no mask of type bool".to_owned());
    }
    let rows = mask.shape.as_ref().and_then(|shape| shape.get(shape.len().checked_sub(2)?));
    if rows == Some(&Dim::Known(1)) && query != Some(Dim::Known(1)) {
        return Some("tract does not broadcast a mask along the queries".to_owned());
    }
    None
}

/// Whether a list of attributes holds this one with this value.
fn allows(known: &str, attribute: &AttributeProto) -> bool {
    known.split_whitespace().any(|entry| match entry.split_once('=') {
        None => entry == attribute.name,
        Some((name, value)) => name == attribute.name && value == text(attribute),
    })
}

/// The value of an attribute, as short as it can be said.
fn text(attribute: &AttributeProto) -> String {
    match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Int) => attribute.i.to_string(),
        Ok(AttributeType::Float) => attribute.f.to_string(),
        Ok(AttributeType::String) => format!("{:?}", String::from_utf8_lossy(&attribute.s)),
        Ok(AttributeType::Ints) => format!("{:?}", attribute.ints),
        Ok(AttributeType::Floats) => format!("{:?}", attribute.floats),
        _ => "a value of another kind".to_owned(),
    }
}
