//! Replaces operators that tract lacks or computes wrong by operators that it computes correctly.
//!
//! A node is replaced before the [gate](crate::gate) checks it; the gate reports a node that has no replacement.

mod activations;
mod attention;
mod branches;
mod functions;
mod infinite;
mod products;
mod rotary;
mod sequences;

pub(crate) use branches::choose;
pub(crate) use functions::inline;

use crate::file::{CONTRIB, domain, operand};
use netwright_ir::{ElementType, OpKind, Shape, TensorType};
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType};

/// Replaces nodes that tract does not run as the standard says.
pub(crate) fn spell_out(graph: &mut GraphProto) {
    replace(graph, Purpose::Run);
}

/// Also replaces nodes that tract computes wrong only for some values of their operands.
pub(crate) fn spell_out_to_judge(graph: &mut GraphProto) {
    replace(graph, Purpose::Judge);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Run,
    Judge,
}

fn replace(graph: &mut GraphProto, purpose: Purpose) {
    let types = Types::of(graph);
    let splits = sequences::splits(graph, &types);
    let has_attention = graph.node.iter().any(|node| node.op_type == "Attention");
    let infinite = if has_attention { infinite::values(graph) } else { BTreeSet::new() };
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|body| replace(body, purpose));
        }
        let form = match (domain(&node.domain), node.op_type.as_str()) {
            ("", "Attention") => {
                let may_mask_rows = match purpose {
                    Purpose::Run => operand(&node, 3).is_some_and(|mask| infinite.contains(mask)),
                    Purpose::Judge => operand(&node, 3).is_some(),
                };
                attention::form(&node, &types, may_mask_rows)
            }
            ("", "Cast") => cast(&node, &types),
            ("", "CumSum") => cumulative_sum(&node, &types),
            ("", "Gemm") => products::gemm(&node, &types),
            ("", "Mish") if purpose == Purpose::Judge => activations::mish(&node),
            ("", "Mul") if purpose == Purpose::Judge => products::by_zero(&node, &types),
            ("", "SequenceAt") => sequences::form(&node, &splits, &types),
            ("", "Softplus") if purpose == Purpose::Judge => activations::softplus(&node),
            ("", "SplitToSequence") => node.output.first().and_then(|name| splits.get(name)).map(|_| vec![]),
            (CONTRIB, "FusedMatMul" | "TransposeMatMul") => products::form(&node, &types),
            (CONTRIB, "RotaryEmbedding") => rotary::form(&node, &types),
            _ => None,
        };
        match form {
            Some(form) => nodes.extend(form),
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

/// Cast of an i64 to i64 -> Identity: tract turns it into an expression over symbols, and then computes a Slice up to
/// the largest i64 wrong.
fn cast(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let [to] = node.attribute.as_slice() else { return None };
    let same = [types.element(operand(node, 0)?), ElementType::from_number(to.i)] == [Some(ElementType::I64); 2];
    same.then(|| Form::new(node).finish(&[(0, &node.input[0])]))
}

/// CumSum of i64 -> CumSum of f64: tract cannot sum expressions over symbols. The result is exact up to 2^53.
fn cumulative_sum(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let (x, axis) = (operand(node, 0)?, operand(node, 1)?);
    if types.element(x)? != ElementType::I64 {
        return None;
    }
    let mut form = Form::new(node);
    let [wide, back] = [ElementType::F64, ElementType::I64].map(|ty| int("to", ty.number()));
    let x = form.add_with("Cast", &[x], vec![wide]);
    let sum = form.add_with("CumSum", &[&x, axis], node.attribute.clone());
    let sum = form.add_with("Cast", &[&sum], vec![back]);
    Some(form.finish(&[(0, &sum)]))
}

/// Known types and small constants of a graph.
struct Types {
    declared: BTreeMap<String, TensorType>,
    /// The elements of small constants.
    integers: BTreeMap<String, Vec<i64>>,
    /// Small constants of floats that are all 0.
    zeros: BTreeSet<String>,
}

impl Types {
    /// Collects declared types, types of constants, and types that follow from the operators.
    fn of(graph: &GraphProto) -> Self {
        let mut types: BTreeMap<String, TensorType> =
            crate::gate::types(graph).into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
        let mut integers: BTreeMap<String, Vec<i64>> =
            graph.initializer.iter().filter_map(|tensor| Some((tensor.name.clone(), numbers(tensor)?))).collect();
        let zeros = graph.initializer.iter().filter(|tensor| is_zero(tensor)).map(|tensor| tensor.name.clone());
        let mut zeros: BTreeSet<String> = zeros.collect();
        for node in &graph.node {
            let Some(result) = node.output.first() else { continue };
            let constant = node.attribute.iter().find_map(|attribute| attribute.t.as_ref());
            let constant = constant.filter(|_| node.op_type == "Constant");
            let ty = match constant {
                Some(tensor) => crate::gate::type_of(tensor),
                None => element(node, &types).map(|element| TensorType { element, shape: None }),
            };
            if let Some(ty) = ty {
                types.entry(result.clone()).or_insert(ty);
            }
            if let Some(numbers) = constant.and_then(numbers) {
                integers.insert(result.clone(), numbers);
            }
            if constant.is_some_and(is_zero) {
                zeros.insert(result.clone());
            }
        }
        Self { declared: types, integers, zeros }
    }

    fn get(&self, value: &str) -> Option<&TensorType> {
        self.declared.get(value)
    }

    fn is_zero(&self, value: &str) -> bool {
        self.zeros.contains(value)
    }

    fn integers(&self, value: &str) -> Option<&[i64]> {
        self.integers.get(value).map(Vec::as_slice)
    }

    fn element(&self, value: &str) -> Option<ElementType> {
        self.declared.get(value).map(|ty| ty.element)
    }

    fn shape(&self, value: &str) -> Option<&Shape> {
        self.declared.get(value)?.shape.as_ref()
    }

    fn rank(&self, value: &str) -> Option<usize> {
        self.shape(value).map(|shape| shape.len())
    }
}

/// Returns the elements of a small i64 tensor.
fn numbers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let is_i64 = ElementType::from_number(tensor.data_type.into()) == Some(ElementType::I64);
    let count = tensor.dims.iter().try_fold(1_i64, |count, size| count.checked_mul(*size))?;
    let numbers: Vec<i64> = if tensor.raw_data.is_empty() {
        tensor.int64_data.clone()
    } else {
        tensor.raw_data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    };
    (is_i64 && (0..=64).contains(&count) && i64::try_from(numbers.len()) == Ok(count)).then_some(numbers)
}

/// Returns whether a tensor in the message has floats that are all 0, not -0.
fn is_zero(tensor: &TensorProto) -> bool {
    let is_float = ElementType::from_number(tensor.data_type.into()).is_some_and(ElementType::is_float);
    let mut floats = tensor.float_data.iter();
    let is_held = !tensor.raw_data.is_empty() || !tensor.float_data.is_empty();
    is_float && is_held && tensor.raw_data.iter().all(|byte| *byte == 0) && floats.all(|x| x.to_bits() == 0)
}

/// Returns the element type of the result of an operator that computes masks.
fn element(node: &NodeProto, types: &BTreeMap<String, TensorType>) -> Option<ElementType> {
    let of = |at: usize| types.get(node.input.get(at)?).map(|ty| ty.element);
    match node.op_type.as_str() {
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "Or" => {
            Some(ElementType::Bool)
        }
        "Cast" => ElementType::from_number(crate::file::int(node, "to")?),
        "Add" | "Concat" | "Div" | "Mul" | "Sub" | "Trilu" => of(0),
        "Where" => of(1),
        other if OpKind::from_name(other).is_some_and(OpKind::moves_elements) => of(0),
        _ => None,
    }
}

/// The attributes of a node that have not been read yet.
struct Attributes<'n>(Vec<&'n AttributeProto>);

impl<'n> Attributes<'n> {
    fn of(node: &'n NodeProto) -> Self {
        Self(node.attribute.iter().collect())
    }

    fn take(&mut self, name: &str) -> Option<&'n AttributeProto> {
        let at = self.0.iter().position(|attribute| attribute.name == name)?;
        Some(self.0.swap_remove(at))
    }

    fn int(&mut self, name: &str, default: i64) -> i64 {
        self.take(name).map_or(default, |attribute| attribute.i)
    }

    fn float(&mut self, name: &str) -> Option<f32> {
        self.take(name).map(|attribute| attribute.f)
    }

    /// Returns `None` if an attribute has not been read.
    fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Builds the nodes that replace a node.
struct Form<'n> {
    of: &'n NodeProto,
    nodes: Vec<NodeProto>,
}

impl<'n> Form<'n> {
    fn new(of: &'n NodeProto) -> Self {
        Self { of, nodes: vec![] }
    }

    /// Adds a node with one result, and returns the name of the result.
    fn add(&mut self, op_type: &str, operands: &[&str]) -> String {
        self.add_with(op_type, operands, vec![])
    }

    fn add_with(&mut self, op_type: &str, operands: &[&str], attribute: Vec<AttributeProto>) -> String {
        // Names of results are unique, those of nodes need not be.
        let name = self.of.output.iter().find(|name| !name.is_empty());
        let result = format!("{} ({} {})", name.map_or("", String::as_str), op_type, self.nodes.len());
        self.nodes.push(NodeProto {
            name: result.clone(),
            op_type: op_type.to_owned(),
            input: operands.iter().map(|&name| name.to_owned()).collect(),
            output: vec![result.clone()],
            attribute,
            ..NodeProto::default()
        });
        result
    }

    fn ints(&mut self, values: &[i64]) -> String {
        self.add_with("Constant", &[], vec![ints("value_ints", values)])
    }

    fn float(&mut self, value: f32) -> String {
        self.add_with("Constant", &[], vec![float("value_float", value)])
    }

    /// Adds nodes that compute the size of an axis as a list of one element; a negative axis counts from the end.
    fn size(&mut self, of: &str, axis: i64) -> String {
        let shape = self.add("Shape", &[of]);
        let axis = self.ints(&[axis]);
        self.add("Gather", &[&shape, &axis])
    }

    /// Adds a Slice along one axis.
    fn slice(&mut self, of: &str, start: &str, end: &str, axis: i64) -> String {
        let axis = self.ints(&[axis]);
        self.add("Slice", &[of, start, end, &axis])
    }

    /// Returns the nodes, with the given values renamed to the results of the replaced node.
    fn finish(mut self, results: &[(usize, &str)]) -> Vec<NodeProto> {
        for (at, value) in results {
            if let Some(result) = self.of.output.get(*at).filter(|name| !name.is_empty()) {
                self.add("Identity", &[value]);
                if let Some(identity) = self.nodes.last_mut() {
                    identity.output = vec![result.clone()];
                }
            }
        }
        self.nodes
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, AttributeType::Float) }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: r#type as i32, ..AttributeProto::default() }
}
