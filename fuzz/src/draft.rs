//! A model under construction: nodes with the types of their results, and nested bodies.

use crate::element::Elem;
use crate::proto::{self, Attribute, Dim};
use crate::random::Random;
use onnx_protobuf::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use protobuf::MessageField;
use std::collections::BTreeMap;

/// A value of the model: its name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) elem: Elem,
    pub(crate) shape: Vec<Dim>,
}

impl Value {
    /// Returns the value of an omitted operand.
    pub(crate) fn absent() -> Self {
        Self { name: String::new(), elem: Elem::F32, shape: vec![] }
    }

    pub(crate) fn rank(&self) -> i64 {
        i64::try_from(self.shape.len()).unwrap_or(i64::MAX)
    }

    /// Returns the size of an axis; a negative axis counts from the end.
    pub(crate) fn dim(&self, axis: i64) -> Dim {
        self.shape[usize::try_from(if axis < 0 { axis + self.rank() } else { axis }).unwrap_or(0)].clone()
    }

    /// Returns the last size, if it is a number.
    pub(crate) fn width(&self) -> i64 {
        match self.dim(-1) {
            Dim::Known(size) => size,
            Dim::Symbol(_) => 1,
        }
    }
}

/// The graph or body to which nodes are added.
#[derive(Debug, Default)]
struct Frame {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    values: Vec<Value>,
}

/// Which types of inner values are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    Nothing,
    Everything,
    Some,
    /// All types, with names of sizes that no other value has.
    OtherNames,
}

/// A model under construction.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) random: Random,
    pub(crate) opset: i64,
    /// The element type in which the model computes.
    pub(crate) elem: Elem,
    pub(crate) declared: Declared,
    pub(crate) named: bool,
    frames: Vec<Frame>,
    names: usize,
    inputs: Vec<Value>,
    functions: Vec<FunctionProto>,
    in_function: bool,
    domains: BTreeMap<&'static str, i64>,
}

impl Draft {
    pub(crate) fn new(mut random: Random) -> Self {
        let opset = i64::try_from(11 + random.below(14)).unwrap_or(11);
        let elem =
            random.pick(&[Elem::F32, Elem::F32, Elem::F32, Elem::F32, Elem::F32, Elem::F32, Elem::F16, Elem::F64]);
        let declared = random.pick(&[Declared::Nothing, Declared::Everything, Declared::Some, Declared::OtherNames]);
        let named = random.percent(80);
        Self {
            random,
            opset,
            elem,
            declared,
            named,
            frames: vec![Frame::default()],
            names: 0,
            inputs: vec![],
            functions: vec![],
            in_function: false,
            domains: BTreeMap::new(),
        }
    }

    pub(crate) fn name(&mut self, word: &str) -> String {
        self.names += 1;
        format!("{word}_{}", self.names)
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// Adds an input of the model, or returns the one with that name.
    pub(crate) fn input(&mut self, name: &str, elem: Elem, shape: &[Dim]) -> Value {
        if let Some(known) = self.inputs.iter().find(|input| input.name == name) {
            if known.elem == elem && known.shape == shape {
                return known.clone();
            }
            let name = self.name(name);
            return self.input(&name, elem, shape);
        }
        let value = Value { name: name.to_owned(), elem, shape: shape.to_vec() };
        self.inputs.push(value.clone());
        self.frames[0].values.push(value.clone());
        value
    }

    /// Adds a node with several results.
    pub(crate) fn nodes(
        &mut self,
        op: &'static str,
        operands: &[&Value],
        attributes: Vec<Attribute>,
        results: &[(Elem, Vec<Dim>)],
    ) -> Vec<Value> {
        let (domain, op_type) = op.split_once("::").unwrap_or(("", op));
        if !domain.is_empty() {
            self.domains.insert(domain, 1);
        }
        let values: Vec<Value> = results
            .iter()
            .map(|(elem, shape)| Value { name: self.name(&op_type.to_lowercase()), elem: *elem, shape: shape.clone() })
            .collect();
        let name = if self.named { self.name(op_type) } else { String::new() };
        let mut input: Vec<String> = operands.iter().map(|value| value.name.clone()).collect();
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let node = NodeProto {
            name,
            op_type: op_type.to_owned(),
            domain: domain.to_owned(),
            input,
            output: values.iter().map(|value| value.name.clone()).collect(),
            attribute: attributes,
            ..Default::default()
        };
        let frame = self.frame();
        frame.nodes.push(node);
        frame.values.extend(values.iter().cloned());
        values
    }

    /// Adds a node with one result.
    pub(crate) fn node(
        &mut self,
        op: &'static str,
        operands: &[&Value],
        attributes: Vec<Attribute>,
        elem: Elem,
        shape: Vec<Dim>,
    ) -> Value {
        self.nodes(op, operands, attributes, &[(elem, shape)]).remove(0)
    }

    /// Adds a node whose result has the type of its first operand.
    pub(crate) fn same(&mut self, op: &'static str, operands: &[&Value], attributes: Vec<Attribute>) -> Value {
        let (elem, shape) = (operands[0].elem, operands[0].shape.clone());
        self.node(op, operands, attributes, elem, shape)
    }

    /// Adds a tensor as an initializer or a Constant node.
    pub(crate) fn tensor(&mut self, elem: Elem, dims: &[i64], values: &[f64]) -> Value {
        let shape: Vec<Dim> = dims.iter().map(|&size| Dim::Known(size)).collect();
        if self.random.percent(40) && elem != Elem::U4 && elem != Elem::I4 {
            let attributes = vec![proto::tensor("value", proto::tensor_of("", elem, dims, values))];
            return self.node("Constant", &[], attributes, elem, shape);
        }
        let name = self.name("weight");
        // The nodes of a function cannot use tensors of the graph.
        let at = if self.random.percent(70) && !self.in_function { 0 } else { self.frames.len() - 1 };
        self.frames[at].initializers.push(proto::tensor_of(&name, elem, dims, values));
        Value { name, elem, shape }
    }

    /// Adds random numbers of the element type of the model.
    pub(crate) fn weight(&mut self, dims: &[i64]) -> Value {
        let elem = self.elem;
        self.weight_of(elem, dims, 0.4)
    }

    pub(crate) fn weight_of(&mut self, elem: Elem, dims: &[i64], scale: f64) -> Value {
        let count = usize::try_from(dims.iter().product::<i64>()).unwrap_or(0);
        let values: Vec<f64> = (0..count).map(|_| self.random.normal() * scale).collect();
        self.tensor(elem, dims, &values)
    }

    /// Adds a number in one of the shapes that broadcast like a scalar.
    pub(crate) fn number(&mut self, value: f64) -> Value {
        let elem = self.elem;
        self.number_of(elem, value)
    }

    pub(crate) fn number_of(&mut self, elem: Elem, value: f64) -> Value {
        let dims: &[i64] = self.random.pick(&[&[], &[], &[], &[1], &[1, 1]]);
        self.tensor(elem, dims, &[value])
    }

    /// Adds an i64 vector.
    #[expect(clippy::cast_precision_loss, reason = "sizes and axes are small")]
    pub(crate) fn vector(&mut self, values: &[i64]) -> Value {
        let numbers: Vec<f64> = values.iter().map(|&value| value as f64).collect();
        self.tensor(Elem::I64, &[i64::try_from(values.len()).unwrap_or(0)], &numbers)
    }

    /// Adds an i64 scalar.
    #[expect(clippy::cast_precision_loss, reason = "sizes and axes are small")]
    pub(crate) fn scalar(&mut self, value: i64) -> Value {
        self.tensor(Elem::I64, &[], &[value as f64])
    }

    /// Returns the values that nodes may read here: of this body and of those around it.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.frames.iter().flat_map(|frame| &frame.values)
    }

    /// Picks a value with an element type and with a shape that `test` accepts.
    pub(crate) fn pick(&mut self, elem: Elem, accepts: impl Fn(&[Dim]) -> bool) -> Option<Value> {
        let found: Vec<Value> =
            self.values().filter(|value| value.elem == elem && accepts(&value.shape)).cloned().collect();
        (!found.is_empty()).then(|| found[self.random.below(found.len())].clone())
    }

    /// Starts a body; nodes are added to it until [`Draft::end_body`].
    pub(crate) fn begin_body(&mut self) {
        self.frames.push(Frame::default());
    }

    /// Returns the number of bodies around the next node.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// Adds an input of the body.
    pub(crate) fn body_input(&mut self, elem: Elem, shape: &[Dim]) -> Value {
        let value = Value { name: self.name("body_input"), elem, shape: shape.to_vec() };
        self.frame().values.push(value.clone());
        value
    }

    /// Ends a body.
    pub(crate) fn end_body(&mut self, inputs: &[Value], outputs: &[Value]) -> GraphProto {
        let name = self.name("body");
        let frame = self.frames.pop().unwrap_or_default();
        self.graph(name, frame, inputs, outputs)
    }

    /// Returns whether a node of this frame computes the value, so that a body may return it.
    pub(crate) fn is_local(&self, value: &Value) -> bool {
        let frame = self.frames.last();
        frame.is_some_and(|frame| frame.nodes.iter().any(|node| node.output.contains(&value.name)))
    }

    /// Returns whether the model has functions.
    pub(crate) fn has_functions(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Starts a function; nodes are added to it until [`Draft::end_function`].
    pub(crate) fn begin_function(&mut self) {
        self.begin_body();
        self.in_function = true;
    }

    /// Ends a body and turns it into a function, whose nodes must not read outer values.
    pub(crate) fn end_function(&mut self, name: &str, inputs: &[Value], outputs: &[Value]) {
        self.in_function = false;
        let mut frame = self.frames.pop().unwrap_or_default();
        let initializers = frame.initializers.drain(..).map(|mut tensor| {
            let output = vec![std::mem::take(&mut tensor.name)];
            let attribute = vec![proto::tensor("value", tensor)];
            NodeProto { op_type: "Constant".to_owned(), output, attribute, ..Default::default() }
        });
        let nodes: Vec<NodeProto> = initializers.chain(frame.nodes).collect();
        let names = |values: &[Value]| values.iter().map(|value| value.name.clone()).collect();
        self.functions.push(FunctionProto {
            name: name.to_owned(),
            domain: "local".to_owned(),
            input: names(inputs),
            output: names(outputs),
            node: nodes,
            opset_import: vec![import("", self.opset)],
            ..Default::default()
        });
    }

    fn declare(&mut self, value: &Value, own: bool) -> ValueInfoProto {
        let shape: Vec<Option<Dim>> = value.shape.iter().map(|dim| Some(dim.clone())).collect();
        if !own {
            return proto::declaration(&value.name, value.elem, Some(&shape));
        }
        let shape: Vec<Option<Dim>> = match self.declared {
            Declared::OtherNames => {
                let mut other = |dim: Dim| match dim {
                    Dim::Symbol(_) => Dim::Symbol(self.name("unk")),
                    known @ Dim::Known(_) => known,
                };
                value.shape.iter().map(|dim| Some(other(dim.clone()))).collect()
            }
            Declared::Some => shape.into_iter().map(|dim| dim.filter(|_| self.random.percent(60))).collect(),
            Declared::Nothing if self.random.percent(50) => return proto::declaration(&value.name, value.elem, None),
            Declared::Nothing | Declared::Everything => shape,
        };
        proto::declaration(&value.name, value.elem, Some(&shape))
    }

    fn graph(&mut self, name: String, frame: Frame, inputs: &[Value], outputs: &[Value]) -> GraphProto {
        let mut value_info = vec![];
        let ports: Vec<&str> = inputs.iter().chain(outputs).map(|value| value.name.as_str()).collect();
        for value in &frame.values {
            let wanted = match self.declared {
                Declared::Nothing => false,
                Declared::Some => self.random.percent(40),
                Declared::Everything | Declared::OtherNames => true,
            };
            if wanted && !ports.contains(&value.name.as_str()) {
                value_info.push(self.declare(value, true));
            }
        }
        let is_body = !self.frames.is_empty();
        GraphProto {
            name,
            node: frame.nodes,
            initializer: frame.initializers,
            input: inputs.iter().map(|value| self.declare(value, is_body)).collect(),
            output: outputs.iter().map(|value| self.declare(value, true)).collect(),
            value_info,
            ..Default::default()
        }
    }

    /// Returns the values of the graph itself that no node reads.
    pub(crate) fn unread(&self) -> Vec<Value> {
        let mut read = vec![];
        for frame in &self.frames {
            for node in &frame.nodes {
                read.extend(node.input.iter().map(String::as_str));
                let bodies = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
                bodies.for_each(|body| free(body, &mut read));
            }
        }
        let values = self.frames.first().into_iter().flat_map(|frame| &frame.values);
        let inputs = |value: &&Value| !self.inputs.contains(value);
        values.filter(inputs).filter(|value| !read.contains(&value.name.as_str())).cloned().collect()
    }

    /// Returns the finished model.
    pub(crate) fn finish(mut self, outputs: &[Value]) -> ModelProto {
        let frame = self.frames.pop().unwrap_or_default();
        let inputs = std::mem::take(&mut self.inputs);
        let graph = self.graph("generated".to_owned(), frame, &inputs, outputs);
        let mut opset_import = vec![import("", self.opset)];
        opset_import.extend(self.domains.iter().map(|(domain, version)| import(domain, *version)));
        let ir_version = match self.opset {
            ..=11 => 6,
            12..=14 => 7,
            15..=18 => 8,
            19..=20 => 9,
            _ => 10,
        };
        ModelProto {
            ir_version: if self.functions.is_empty() { ir_version } else { ir_version.max(8) },
            opset_import,
            graph: MessageField::some(graph),
            functions: self.functions,
            ..Default::default()
        }
    }
}

fn import(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: domain.to_owned(), version, ..Default::default() }
}

/// Collects the values that the nodes of a body read and that it returns.
fn free<'g>(graph: &'g GraphProto, read: &mut Vec<&'g str>) {
    read.extend(graph.output.iter().map(|output| output.name.as_str()));
    for node in &graph.node {
        read.extend(node.input.iter().map(String::as_str));
        node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).for_each(|body| free(body, read));
    }
}
