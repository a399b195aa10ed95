//! Turns a model into one that computes in `f64`.

use crate::element::Elem;
use crate::proto;
use crate::types::{Elems, elems};
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto};
use std::f64::consts::{FRAC_1_PI, FRAC_1_SQRT_2, PI};

/// Operators without a kernel for `f64`, which are computed in `f32`.
const NARROW: [&str; 17] = [
    "Attention",
    "Clip",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Elu",
    "GroupQueryAttention",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuantizeLinear",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Softplus",
    "Softsign",
];

/// Returns the model with `f64` instead of `f32` and `f16`, in inputs and outputs too.
pub(crate) fn widened(model: &ModelProto) -> ModelProto {
    let elems = elems(model);
    let mut model = model.clone();
    if let Some(graph) = model.graph.as_mut() {
        widen_graph(graph, &elems);
    }
    for function in &mut model.functions {
        widen_nodes(&mut function.node, &elems);
    }
    model
}

fn is_narrow(elem: i32) -> bool {
    elem == Elem::F32 as i32 || elem == Elem::F16 as i32
}

fn widen_graph(graph: &mut GraphProto, elems: &Elems) {
    let declared = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    declared.for_each(widen_type);
    graph.initializer.iter_mut().for_each(widen_tensor);
    widen_nodes(&mut graph.node, elems);
}

fn widen_type(value: &mut ValueInfoProto) {
    if let Some(type_proto::Value::TensorType(tensor)) = value.type_.as_mut().and_then(|type_| type_.value.as_mut())
        && is_narrow(tensor.elem_type)
    {
        tensor.elem_type = Elem::F64 as i32;
    }
}

fn widen_tensor(tensor: &mut TensorProto) {
    if !is_narrow(tensor.data_type) {
        return;
    }
    let values: Vec<f64> = if tensor.data_type == Elem::F16 as i32 {
        let halves = tensor.raw_data.as_chunks::<2>().0.iter();
        halves.map(|two| half::f16::from_le_bytes(*two).to_f64()).collect()
    } else {
        tensor.raw_data.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four).into()).collect()
    };
    *tensor = proto::tensor_of(&tensor.name, Elem::F64, &tensor.dims, &values);
}

fn widen_nodes(nodes: &mut Vec<NodeProto>, elems: &Elems) {
    for mut node in std::mem::take(nodes) {
        for attribute in &mut node.attribute {
            if attribute.name == "to" && i32::try_from(attribute.i).is_ok_and(is_narrow) {
                attribute.i = Elem::F64 as i64;
            }
            attribute.t.as_mut().into_iter().for_each(widen_tensor);
            attribute.g.as_mut().into_iter().for_each(|body| widen_graph(body, elems));
        }
        let mut parts = Parts { of: node.output.first().cloned().unwrap_or_default(), nodes };
        let float = |name: &str, default: f64| {
            let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
            attribute.map_or(default, |attribute| attribute.f.into())
        };
        let x = node.input.first().cloned().unwrap_or_default();
        let biased = |parts: &mut Parts<'_>| match node.input.get(1) {
            Some(bias) if !bias.is_empty() => parts.op("Add", &[&x, bias]),
            _ => x.clone(),
        };
        let is_tanh = node.attribute.iter().any(|attribute| attribute.s == b"tanh");
        let result = match node.op_type.as_str() {
            "Erf" => parts.erf(&x),
            "FastGelu" => {
                let x = biased(&mut parts);
                parts.gelu_by_tanh(&x)
            }
            "Gelu" if is_tanh => parts.gelu_by_tanh(&x),
            "BiasGelu" | "Gelu" => {
                let x = biased(&mut parts);
                parts.gelu(&x)
            }
            "QuickGelu" => {
                let scaled = parts.scaled(&x, float("alpha", 1.702_f32.into()));
                let gate = parts.op("Sigmoid", &[&scaled]);
                parts.op("Mul", &[&x, &gate])
            }
            operator => {
                if NARROW.contains(&operator) {
                    narrow(node, nodes, elems);
                } else {
                    nodes.push(node);
                }
                continue;
            }
        };
        nodes.push(proto::copy(&result, &node.output[0]));
    }
}

/// Adds a node that computes in `f32`, with casts from and to `f64`.
fn narrow(mut node: NodeProto, nodes: &mut Vec<NodeProto>, elems: &Elems) {
    let is_float = |name: &String| elems.get(name).is_some_and(|elem| is_narrow(*elem as i32));
    let of = node.output.first().cloned().unwrap_or_default();
    for (at, name) in node.input.iter_mut().enumerate().filter(|(_, name)| is_float(name)) {
        let own = format!("{of}/operand{at}");
        nodes.push(proto::cast(name, &own, Elem::F32));
        *name = own;
    }
    let mut after = vec![];
    for name in node.output.iter_mut().filter(|name| is_float(name)) {
        let own = format!("{name}/own");
        after.push(proto::cast(&own, name, Elem::F64));
        *name = own;
    }
    nodes.push(node);
    nodes.extend(after);
}

/// Writes standard operators instead of one that has a kernel only for `f32`.
struct Parts<'n> {
    /// The result of the operator.
    of: String,
    nodes: &'n mut Vec<NodeProto>,
}

impl Parts<'_> {
    fn op(&mut self, op: &str, input: &[&str]) -> String {
        let output = format!("{}/{}", self.of, self.nodes.len());
        self.nodes.push(proto::node(op, input, &output));
        output
    }

    fn number(&mut self, number: f64) -> String {
        let output = self.op("Constant", &[]);
        if let Some(node) = self.nodes.last_mut() {
            node.attribute = vec![proto::tensor("value", proto::tensor_of("", Elem::F64, &[], &[number]))];
        }
        output
    }

    fn scaled(&mut self, x: &str, by: f64) -> String {
        let by = self.number(by);
        self.op("Mul", &[x, &by])
    }

    /// The error function: the first terms of the Fourier series of a square wave of period 24 that is smoothed by
    /// `exp(-x^2)`. Its edges at -12 and 12 change nothing between -6 and 6, beyond which the function is -1 and 1 in `f64`.
    fn erf(&mut self, x: &str) -> String {
        let (low, high) = (self.number(-6.0), self.number(6.0));
        let x = self.op("Max", &[x, &low]);
        let x = self.op("Min", &[&x, &high]);
        let mut sum = self.number(0.0);
        for odd in (0..25).map(|at| f64::from(2 * at + 1)) {
            let frequency = odd * PI / 12.0;
            let angle = self.scaled(&x, frequency);
            let sine = self.op("Sin", &[&angle]);
            let term = self.scaled(&sine, 4.0 / (PI * odd) * (-frequency * frequency / 4.0).exp());
            sum = self.op("Add", &[&sum, &term]);
        }
        sum
    }

    fn gelu(&mut self, x: &str) -> String {
        let scaled = self.scaled(x, FRAC_1_SQRT_2);
        let gate = self.erf(&scaled);
        self.gated(x, &gate)
    }

    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`
    fn gelu_by_tanh(&mut self, x: &str) -> String {
        let square = self.op("Mul", &[x, x]);
        let cube = self.op("Mul", &[&square, x]);
        let slope = self.scaled(&cube, 0.044_715);
        let sum = self.op("Add", &[x, &slope]);
        let scaled = self.scaled(&sum, (2.0 * FRAC_1_PI).sqrt());
        let gate = self.op("Tanh", &[&scaled]);
        self.gated(x, &gate)
    }

    /// `x / 2 * (1 + gate)`
    fn gated(&mut self, x: &str, gate: &str) -> String {
        let one = self.number(1.0);
        let sum = self.op("Add", &[gate, &one]);
        let half = self.scaled(x, 0.5);
        self.op("Mul", &[&half, &sum])
    }
}
