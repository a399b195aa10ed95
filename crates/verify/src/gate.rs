//! Finds the nodes that tract computes wrong.
//!
//! tract looks an operator up by its name without its domain, ignores attributes that it does not know, and does not
//! support functions of a model: it then computes something else without an error. So before a model runs, every node
//! is checked against a list of operators and attributes that tract computes as the standard says.

mod operators;

use crate::elements::numbers;
use crate::file::{CONTRIB, ModelFile, attribute, bodies, domain, int, is_external, operand, place, tensor_type};
use crate::values::has;
use netwright_ir::{Dim, ElementType, OpKind, TensorType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType};

/// A reason why a runtime cannot judge a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The node and its operator, the tensor or the model.
    pub place: String,
    /// What the runtime does wrong.
    pub why: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

pub(crate) fn list(reasons: &[Reason]) -> String {
    grouped(reasons).join("; ")
}

/// Returns a line for each different reason, with the first place and the number of the others.
pub(crate) fn grouped(reasons: &[Reason]) -> Vec<String> {
    let mut groups: Vec<(&Reason, usize)> = vec![];
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        let at = *known.entry(&reason.why).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, count)) => *count += 1,
            None => groups.push((reason, 1)),
        }
    }
    let line = |(reason, count): &(&Reason, usize)| match count {
        1 => reason.to_string(),
        count => format!("{reason} ({count} places)"),
    };
    groups.iter().map(line).collect()
}

/// Returns all reasons why tract cannot judge a model; empty if it can.
pub fn gate(file: &ModelFile) -> Vec<Reason> {
    let mut gate = Gate { reasons: vec![], opset: file.opset(), functions: vec![], types: vec![], producers: vec![] };
    match file.opset() {
        Some(version) if operators::OPSETS.contains(&version) => {}
        version => {
            let (first, last) = operators::OPSETS.into_inner();
            let version = version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
            gate.add(
                "the model",
                format!(
                    "it imports {version} of ONNX's operators; only opsets {first} to {last} were compared with tract"
                ),
            );
        }
    }
    let functions = file.model.functions.iter();
    gate.functions = functions.map(|function| (domain(function.domain()), function.name())).collect();
    // Nested graphs, outermost first; each sees the types of the graphs around it.
    let mut graphs = vec![(&file.graph, 0)];
    while let Some((graph, depth)) = graphs.pop() {
        gate.types.truncate(depth);
        gate.types.push(types(graph));
        gate.producers.truncate(depth);
        gate.producers.push(producers(graph));
        gate.graph(graph);
        graphs.extend(graph.node.iter().flat_map(bodies).map(|body| (body, depth + 1)));
    }
    gate.reasons
}

/// Returns the operators whose results are random, which no runtime can verify.
pub(crate) fn random(file: &ModelFile) -> Vec<Reason> {
    let (mut reasons, mut graphs) = (vec![], vec![&file.graph]);
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            reasons.extend(is_random(node).then(|| Reason { place: place(node), why: RANDOM.to_owned() }));
            graphs.extend(bodies(node));
        }
    }
    reasons
}

const RANDOM: &str = "its results are random";

fn is_random(node: &NodeProto) -> bool {
    // Dropout does nothing in inference.
    let is_random = |kind: OpKind| kind.is_random() && kind != OpKind::Dropout;
    domain(&node.domain).is_empty() && OpKind::from_name(&node.op_type).is_some_and(is_random)
}

/// The maximum number of operators that only rearrange before a product.
const MAX_REARRANGED: usize = 64;

const MERGED: &str = "tract also reshapes the weight in blocks if axes may be merged before the product";

struct Gate<'m> {
    reasons: Vec<Reason>,
    /// The opset of the default domain.
    opset: Option<i64>,
    /// The domains and names of the model's functions.
    functions: Vec<(&'m str, &'m str)>,
    /// The types of the values of the current graph and of the graphs around it.
    types: Vec<BTreeMap<&'m str, TensorType>>,
    /// The nodes of the current graph and of the graphs around it, by their results.
    producers: Vec<BTreeMap<&'m str, &'m NodeProto>>,
}

fn producers(graph: &GraphProto) -> BTreeMap<&str, &NodeProto> {
    graph.node.iter().flat_map(|node| node.output.iter().map(move |result| (result.as_str(), node))).collect()
}

/// Returns the types that a graph declares for its values, and the types of its initializers.
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
                    self.add(
                        format!("input `{}`", value.name),
                        format!("tract does not support elements of type {element}"),
                    );
                }
                None if element.is_none() && self.types.len() == 1 => {
                    self.add(format!("input `{}`", value.name), "tract accepts only tensors of declared types");
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
        } else if element == ElementType::F64 && numbers(tensor).next().is_some_and(is_below_f32) {
            self.add(place, "tract computes products with numbers below the range of f32 as 0");
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
            return Some("it calls a function of the model, which tract does not support".to_owned());
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
                "tract does not support it, or was not checked against the standard".to_owned()
            } else {
                "tract ignores the domain and may run another operator of that name".to_owned()
            });
        };
        let unread = node.attribute.iter().find(|attribute| !allows(known, attribute));
        if let Some(attribute) = unread {
            return Some(format!("tract ignores {} = {}", attribute.name, text(attribute)));
        }
        let types = node.attribute.iter().filter(|attribute| matches!(&*attribute.name, "to" | "dtype"));
        let mut types = types.filter_map(|attribute| ElementType::from_number(attribute.i));
        if let Some(element) = types.find(|element| !has(*element)) {
            return Some(format!("tract does not support elements of type {element}"));
        }
        let element = node.input.first().and_then(|x| self.element(x)).filter(|_| default);
        if let Some(element) = element.filter(|element| operators::lacks(operator, *element)) {
            return Some(format!("tract does not support elements of type {element}"));
        }
        match operator {
            "Squeeze" if self.opset < Some(13) && attribute(node, "axes").is_none() => {
                Some("tract requires its axes before opset 13".to_owned())
            }
            "Attention" => attention_flaw(node, &|value| self.ty(value)),
            "MatMulNBits" => self.blocks_flaw(node),
            "MultiHeadAttention" => self.multi_head_flaw(node),
            _ => None,
        }
    }

    /// Returns why tract does not compute a `MultiHeadAttention`, if so. Its operands are query, key, value, bias,
    /// masks and past.
    fn multi_head_flaw(&self, node: &NodeProto) -> Option<String> {
        if (3..node.input.len()).any(|index| operand(node, index).is_some()) {
            return Some("tract supports neither its bias nor its masks nor its past".to_owned());
        }
        let rank = |name: &String| self.ty(name).and_then(|ty| Some(ty.shape.as_ref()?.len()));
        let why = match node.input.iter().map(rank).find(|rank| *rank != Some(3))? {
            Some(_) => "tract only supports queries, keys and values of rank 3",
            None => {
                "tract only supports queries, keys and values of rank 3, and the model does not declare their ranks"
            }
        };
        Some(why.to_owned())
    }

    /// Returns why tract computes a `MatMulNBits` wrong, if so.
    ///
    /// It folds a Reshape that merges the axis that is summed over into the product, and reshapes the weight too, which
    /// is wrong for the blocks of 32 that it keeps. In other types than f32 a cast that tract inserts prevents that. The
    /// walk goes through operators that tract moves before a Reshape; all others prevent it.
    ///
    /// The pass `separate-merged-heads` walks in the same way. It sees the graph that is optimized, and this a file of any
    /// origin, with casts and without inferred shapes: change both together.
    fn blocks_flaw(&self, node: &NodeProto) -> Option<String> {
        let (k, size) = (int(node, "K")?, int(node, "block_size")?);
        let [Some(x), scales] = [0, 2].map(|at| node.input.get(at)) else { return None };
        let element = [Some(x), scales].into_iter().flatten().find_map(|value| self.ty(value)).map(|ty| ty.element);
        if size != 32 || k % 32 != 0 || element.is_some_and(|element| element != ElementType::F32) {
            return None;
        }
        let mut value = x;
        // A file may contain a cycle; a chain of operators that only rearrange is short.
        for _ in 0..MAX_REARRANGED {
            let producer = self.producer(value)?;
            let merges = match producer.op_type.as_str() {
                "Attention" | "MultiHeadAttention" | "RotaryEmbedding" => true,
                "Reshape" | "Flatten" => {
                    let source = producer.input.first().and_then(|source| self.ty(source));
                    source.and_then(|ty| ty.shape.as_ref()?.last()) != Some(&Dim::Known(k))
                }
                // A cast to the same type does nothing.
                "Cast" | "CastLike" => {
                    let element = producer.input.first().and_then(|source| self.element(source));
                    if element.is_some_and(|element| element != ElementType::F32) {
                        return None;
                    }
                    false
                }
                "Dropout" => false,
                name if OpKind::from_name(name).is_some_and(OpKind::moves_elements) => false,
                _ => return None,
            };
            if merges {
                return Some(MERGED.to_owned());
            }
            value = producer.input.first()?;
        }
        Some(MERGED.to_owned())
    }

    /// Returns the element type of a value, if it is declared or that of a cast.
    fn element(&self, value: &str) -> Option<ElementType> {
        self.ty(value).map(|ty| ty.element).or_else(|| {
            let cast = self.producer(value).filter(|node| node.op_type == "Cast")?;
            ElementType::from_number(int(cast, "to")?)
        })
    }

    fn producer(&self, value: &str) -> Option<&'m NodeProto> {
        self.producers.iter().rev().find_map(|nodes| nodes.get(value).copied())
    }

    fn ty(&self, value: &str) -> Option<&TensorType> {
        self.types.iter().rev().find_map(|types| types.get(value))
    }
}

/// Returns whether a number is not 0, and 0 in f32.
#[expect(clippy::cast_possible_truncation, reason = "tract rounds so")]
fn is_below_f32(number: f64) -> bool {
    number != 0.0 && number as f32 == 0.0
}

/// Returns what tract computes wrong in an `Attention` of opset 23 or 24. Its operands are query, key, value, mask,
/// past key, past value and the lengths without padding.
pub(crate) fn attention_flaw<'t>(node: &NodeProto, ty: &dyn Fn(&str) -> Option<&'t TensorType>) -> Option<String> {
    let given = |index| operand(node, index);
    let is_causal = int(node, "is_causal").unwrap_or(0) != 0;
    if node.output.get(3).is_some_and(|name| !name.is_empty()) {
        return Some("tract does not return the fourth result, the scores".to_owned());
    }
    if given(6).is_some() {
        return Some("tract ignores the lengths without padding".to_owned());
    }
    if is_causal && given(4).is_some() {
        return Some("tract computes is_causal wrong with a past".to_owned());
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
                "tract computes is_causal wrong unless query and key have the same length, which is not known here"
                    .to_owned(),
            );
        }
    }
    let mask = ty(given(3)?)?;
    if !mask.element.is_float() {
        return Some(format!("tract does not support masks of type {}", mask.element));
    }
    let rows = mask.shape.as_ref().and_then(|shape| shape.get(shape.len().checked_sub(2)?));
    if rows == Some(&Dim::Known(1)) && query != Some(Dim::Known(1)) {
        return Some("tract does not broadcast a mask along the queries".to_owned());
    }
    None
}

/// Returns whether a list of attributes allows this attribute with its value.
fn allows(known: &str, attribute: &AttributeProto) -> bool {
    known.split_whitespace().any(|entry| match entry.split_once('=') {
        None => entry == attribute.name,
        Some((name, value)) => name == attribute.name && value == text(attribute),
    })
}

/// Formats the value of an attribute.
fn text(attribute: &AttributeProto) -> String {
    match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Int) => attribute.i.to_string(),
        Ok(AttributeType::Float) => attribute.f.to_string(),
        Ok(AttributeType::String) => format!("{:?}", String::from_utf8_lossy(&attribute.s)),
        Ok(AttributeType::Ints) => format!("{:?}", attribute.ints),
        Ok(AttributeType::Floats) => format!("{:?}", attribute.floats),
        _ => "a value of another type".to_owned(),
    }
}
