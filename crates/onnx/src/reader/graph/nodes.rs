//! Reading of nodes: operators, attributes, operands and results.

use super::super::{ReadProblem, attribute, domain, node_text, notes};
use super::bodies::body_inputs;
use super::{Reader, fresh};
use crate::wire::{AttributeProto, AttributeType, NodeProto};
use crate::{forms, standard};
use netwright_ir::infer::Call;
use netwright_ir::op::OpaqueOp;
use netwright_ir::{Attribute, ElementType, Fact, HashMap, Name, Notes, Op, Place, Tensor, Value};
use std::sync::Arc;

/// The names and metadata of a node in the file.
pub(in crate::reader) struct NodeNames {
    /// The node's name in errors.
    pub(in crate::reader) text: String,
    pub(in crate::reader) label: String,
    pub(in crate::reader) outputs: Vec<String>,
    pub(in crate::reader) notes: Notes,
}

impl Reader<'_> {
    pub(in crate::reader) fn node(&mut self, mut node: NodeProto) -> Result<(), ReadProblem> {
        let text = node_text(&node);
        let fail = |what: String| ReadProblem::Node { node: text.clone(), what };
        let notes = notes::of_node(&mut node, &text)?;
        let domain = name(domain(node.domain.as_deref()));
        let Some(&version) = self.scope.opsets.get(&*domain) else {
            return Err(fail(format!("the model does not import the operator set {domain:?}")));
        };
        let op_type = name(node.op_type.as_deref().unwrap_or_default());
        if op_type.is_empty() {
            return Err(fail("it has no operator".to_owned()));
        }
        let overload = name(node.overload.as_deref().unwrap_or_default());
        let mut operands = vec![];
        for name in &node.input {
            // `order` has checked that every name is that of an earlier value.
            operands.push(if name.is_empty() { None } else { self.values.get(name.as_str()).copied().flatten() });
        }
        while operands.last() == Some(&None) {
            operands.pop();
        }
        let mut outputs = node.output;
        if outputs.iter().all(String::is_empty) {
            return Err(fail("it has no result".to_owned()));
        }
        let label = node.name.unwrap_or_default();
        // If every node has a name, one that equals its result's name is not its own.
        let repeats = outputs.first() == Some(&label) && self.graph.conventions().names_nodes;
        let label = if repeats { String::new() } else { label };
        let mut protos = vec![];
        for proto in node.attribute {
            protos.extend(self.given(proto, &text)?);
        }
        let function = self.context.functions.find(&domain, &op_type, &overload).filter(|_| !self.scope.keep);
        // ONNX Runtime requires a call to list all results of its function.
        while function.is_none() && !self.scope.keep && outputs.last().is_some_and(String::is_empty) {
            outputs.pop();
        }
        if let Some(function) = function.filter(|_| self.context.inline) {
            return self.call(function, &text, &label, operands, protos, outputs);
        }
        let call = match function {
            Some(function) => self.inline(function, &text, &operands, protos.clone(), outputs.len())?,
            None => Call::default(),
        };
        let mut captured: HashMap<Arc<str>, Vec<Option<Value>>> = HashMap::default();
        let mut attributes = vec![];
        let facts: Vec<Option<&Fact>> =
            operands.iter().map(|value| value.map(|value| self.graph.fact(value))).collect();
        let inputs = if domain.is_empty() { body_inputs(&op_type, version, &protos, &facts) } else { vec![] };
        for proto in protos {
            let mut captures = vec![];
            let (name, value) = self.attribute(proto, &text, &inputs, &mut captures)?;
            captured.insert(name.clone(), captures);
            attributes.push((name, value));
        }
        let place = NodeNames { text, label, outputs, notes };
        let opaque = |attributes| OpaqueOp {
            domain: domain.clone(),
            op_type: op_type.clone(),
            overload,
            version,
            attributes,
            call,
        };
        if self.scope.keep || function.is_some() || !domain.is_empty() {
            let op = Op::Opaque(Box::new(opaque(attributes)));
            operands.extend(captures(&op, &mut captured));
            return self.insert(place, op, &operands).map(|_| ());
        }
        if *op_type == *"Constant" && operands.is_empty() && place.outputs.len() == 1 && dense(&attributes) {
            let tensor = constant(attributes).map_err(|what| ReadProblem::Node { node: place.text.clone(), what })?;
            return self.insert(place, Op::Constant(tensor), &[]).map(|_| ());
        }
        if standard::runs_early(&op_type) && standard::since(&op_type).is_some_and(|since| version < since) {
            self.context.early_operators.set(true);
        }
        let results = place.outputs.len();
        let written = forms::FileNode {
            op_type: &op_type,
            opset: version,
            target: version,
            attributes: &attributes,
            operands: &operands,
            results,
        };
        let base = place.outputs.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        let mut name = |word: &str| fresh(&mut self.names, &format!("{base}.{word}"));
        let normal = forms::from_opset(&mut self.graph, written, &mut name);
        if let Some(normal) = normal.map_err(|what| ReadProblem::Node { node: place.text.clone(), what })? {
            let mut normal_operands = normal.operands;
            normal_operands.extend(captures(&normal.op, &mut captured.clone()));
            // Exporters leave branches that are invalid for the shapes at hand and that never run.
            let runs = self.scope.bodies == 0 || self.graph.infer(&normal.op, &normal_operands, results).is_ok();
            if self.scope.bodies == 0
                && let Some(what) = self.out_of_range(&normal.op, &normal_operands)
            {
                return Err(ReadProblem::Node { node: place.text, what });
            }
            if runs {
                return self.insert(place, normal.op, &normal_operands).map(|_| ());
            }
        }
        if !standard::knows(version, &op_type) {
            let what = format!("opset {version} of ONNX has no operator {op_type:?}");
            return Err(ReadProblem::Node { node: place.text, what });
        }
        let sparse = attributes.iter().find_map(|(_, value)| match value {
            Attribute::Sparse(tensor) if *op_type == *"Constant" => Some(tensor.fact()),
            _ => None,
        });
        let op = Op::Opaque(Box::new(opaque(attributes)));
        operands.extend(captures(&op, &mut captured));
        let values = self.insert(place, op, &operands)?;
        if let ([value], Some(fact)) = (values.as_slice(), sparse) {
            self.graph.set_fact(*value, fact);
        }
        Ok(())
    }

    /// Returns the problem if a constant index of a look-up is out of range: then every run fails at the node.
    fn out_of_range(&self, op: &Op, operands: &[Option<Value>]) -> Option<String> {
        let (Op::Gather { axis } | Op::GatherElements { axis }) = op else { return None };
        let [Some(data), Some(indices)] = operands else { return None };
        let shape = self.graph.shape(*data)?;
        let rank = i64::try_from(shape.len()).ok()?;
        let axis = usize::try_from(if *axis < 0 { axis.checked_add(rank)? } else { *axis }).ok()?;
        let size = shape.get(axis)?.known()?;
        // Only small tensors are checked; larger ones are data, which is not read.
        let indices = self.graph.tensor(*indices)?.integers()?;
        let index = indices.into_iter().find(|index| !(-size..size).contains(index))?;
        Some(format!("the index {index} is out of range for the {size} elements of axis {axis}"))
    }

    /// Returns the attribute, or the value that the inlined call gives for it; `None` if it gives none.
    fn given(&self, proto: AttributeProto, text: &str) -> Result<Option<AttributeProto>, ReadProblem> {
        let Some(reference) = proto.ref_attr_name.as_deref().filter(|reference| !reference.is_empty()) else {
            return Ok(Some(proto));
        };
        let name = proto.name.as_deref().unwrap_or_default();
        let fail =
            |what: &str| ReadProblem::Node { node: text.to_owned(), what: format!("attribute {name:?}: {what}") };
        match self.scope.given {
            Some(given) => Ok(given.get(reference).map(|given| AttributeProto { name: proto.name, ..given.clone() })),
            None if self.scope.keep => Ok(Some(proto)),
            None => Err(fail("it refers to an attribute of a function, but is not in a function")),
        }
    }

    /// Reads an attribute; the values that bodies capture go to `captured`.
    fn attribute(
        &mut self,
        mut proto: AttributeProto,
        text: &str,
        inputs: &[Fact],
        captured: &mut Vec<Option<Value>>,
    ) -> Result<(Arc<str>, Attribute), ReadProblem> {
        let (body, bodies) = (proto.g.take(), std::mem::take(&mut proto.graphs));
        if body.is_none() && bodies.is_empty() {
            return attribute::read(proto, text, self.context);
        }
        let ty = if body.is_some() { AttributeType::Graph } else { AttributeType::Graphs };
        if proto.r#type != Some(ty.into()) || (body.is_some() && !bodies.is_empty()) {
            let what = format!("attribute {:?}: its type and its values differ", proto.name.unwrap_or_default());
            return Err(ReadProblem::Node { node: text.to_owned(), what });
        }
        let (name, _) =
            attribute::read(AttributeProto { r#type: Some(AttributeType::Int.into()), ..proto }, text, self.context)?;
        let value = if let Some(body) = body {
            Attribute::Graph(self.body(*body, text, inputs, captured)?)
        } else {
            let bodies = bodies.into_iter().map(|body| self.body(body, text, &[], captured));
            Attribute::Graphs(bodies.collect::<Result<_, _>>()?)
        };
        Ok((name, value))
    }

    /// Inserts a node and defines its results.
    pub(in crate::reader) fn insert(
        &mut self,
        place: NodeNames,
        op: Op,
        operands: &[Option<Value>],
    ) -> Result<Vec<Value>, ReadProblem> {
        let NodeNames { text, label, outputs, notes } = place;
        // An unused result has a name in the IR all the same.
        let base = outputs.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        let mut results: Vec<Name> = vec![];
        for (at, name) in outputs.iter().enumerate() {
            let name =
                if name.is_empty() { fresh(&mut self.names, &format!("{base}.{at}")) } else { self.graph_name(name) };
            results.push(name);
        }
        let place = Place { label: name(&label), results: results.iter().cloned().collect(), order: None };
        let id = self.graph.insert(place, op, operands).map_err(|error| {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
            ReadProblem::Node { node: text.clone(), what: format!("{error}{help}") }
        })?;
        self.graph.set_node_notes(id, notes);
        let values: Vec<Value> = self.graph.results(id).collect();
        for ((name, result), &value) in outputs.into_iter().zip(results).zip(&values) {
            if name.is_empty() {
                self.graph.omit(value);
            } else {
                // An inlined function has its own names.
                let name = if *name == *result { result } else { name.into() };
                self.define(name, value, Some(&text))?;
            }
        }
        Ok(values)
    }
}

/// Returns a name, without an allocation if it is empty.
fn name(text: &str) -> Name {
    if text.is_empty() { Name::default() } else { text.into() }
}

/// Returns the values that the bodies of an operator capture, in the order of its bodies.
fn captures(op: &Op, captured: &mut HashMap<Arc<str>, Vec<Option<Value>>>) -> Vec<Option<Value>> {
    let bodies = op.attributes().into_iter().filter(|(_, value)| !value.bodies().is_empty());
    bodies.flat_map(|(name, _)| captured.remove(name).unwrap_or_default()).collect()
}

/// Whether a `Constant` holds a dense tensor; with a sparse one it is opaque.
fn dense(attributes: &[(Arc<str>, Attribute)]) -> bool {
    !attributes.iter().any(|(_, value)| matches!(value, Attribute::Sparse(_)))
}

/// Returns the tensor of a `Constant` node, in any of its forms.
fn constant(mut attributes: Vec<(Arc<str>, Attribute)>) -> Result<Tensor, String> {
    let (Some((name, value)), true) = (attributes.pop(), attributes.is_empty()) else {
        return Err("a Constant must have exactly one attribute, its value".to_owned());
    };
    let tensor = match (&*name, value) {
        ("value", Attribute::Tensor(tensor)) => Ok(tensor),
        ("value_int", Attribute::Int(value)) => Ok(Tensor::index(value)),
        ("value_ints", Attribute::Ints(values)) => Ok(Tensor::indices(&values)),
        ("value_float", Attribute::Float(value)) => Ok(Tensor::scalar(value)),
        ("value_floats", Attribute::Floats(values)) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Tensor::from_bytes(ElementType::F32, &[values.len() as u64], bytes)
        }
        ("value_string", Attribute::Text(text)) => Tensor::from_strings(&[], vec![text]),
        ("value_strings", Attribute::Texts(texts)) => Tensor::from_strings(&[texts.len() as u64], texts),
        (name, value) => return Err(format!("a Constant's {name:?} cannot be {}", value.class())),
    };
    tensor.map_err(|error| error.to_string())
}
