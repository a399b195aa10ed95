//! Decomposes operators into others that tract supports for f64.

mod attention;

use super::{int_attribute, tensor_attribute};
use crate::file::{attribute, int, operand};
use tract_onnx::pb::{AttributeProto, NodeProto};

/// Appends a node, decomposed if tract does not support it for f64.
pub(super) fn write_out(
    node: NodeProto,
    nodes: &mut Vec<NodeProto>,
    fresh: &mut usize,
    opset: i64,
) -> Result<(), String> {
    let mut writer = Writer { nodes, fresh, prefix: "f64", opset };
    let input = |index| operand(&node, index).map(str::to_owned);
    let float = |name: &str, default: f64| attribute(&node, name).map_or(default, |attribute| attribute.f.into());
    let int = |name: &str| int(&node, name);
    let Some(x) = input(0) else {
        writer.nodes.push(node);
        return Ok(());
    };
    let w = &mut writer;
    let result = match node.op_type.as_str() {
        "Gemm" => {
            let Some(y) = input(1) else { return Err("the model has a Gemm with one operand".to_owned()) };
            let turned = |w: &mut Writer<'_>, x: String, flag: &str| {
                if int(flag).unwrap_or(0) == 0 { x } else { w.transposed(&x, &[1, 0]) }
            };
            let (a, b) = (turned(w, x, "transA"), turned(w, y, "transB"));
            let product = w.op("MatMul", &[&a, &b]);
            let product = w.scaled(&product, float("alpha", 1.0));
            match input(2) {
                Some(c) => {
                    let c = w.scaled(&c, float("beta", 1.0));
                    w.op("Add", &[&product, &c])
                }
                None => product,
            }
        }
        "Erf" => w.erf(&x),
        "Sigmoid" => w.sigmoid(&x),
        "Gelu" => match attribute(&node, "approximate") {
            Some(attribute) if attribute.s == b"tanh" => w.gelu_tanh(&x),
            _ => w.gelu(&x),
        },
        "BiasGelu" | "FastGelu" => {
            let sum = input(1).map_or(x.clone(), |bias| w.op("Add", &[&x, &bias]));
            if node.op_type == "BiasGelu" { w.gelu(&sum) } else { w.gelu_tanh(&sum) }
        }
        "QuickGelu" => w.swish(&x, float("alpha", 1.702)),
        "Swish" => w.swish(&x, float("alpha", 1.0)),
        "HardSwish" => {
            let gate = w.hard_sigmoid(&x, 1.0 / 6.0, 0.5);
            w.op("Mul", &[&x, &gate])
        }
        "HardSigmoid" => w.hard_sigmoid(&x, float("alpha", f64::from(0.2_f32)), float("beta", 0.5)),
        "LeakyRelu" => {
            let low = w.scaled(&x, float("alpha", f64::from(0.01_f32)));
            w.where_positive(&x, &x, &low)
        }
        "ThresholdedRelu" => {
            let (alpha, zero) = (w.constant(float("alpha", 1.0)), w.constant(0.0));
            let above = w.op("Greater", &[&x, &alpha]);
            w.op("Where", &[&above, &x, &zero])
        }
        "Elu" => w.elu(&x, float("alpha", 1.0), 1.0),
        "Celu" => w.elu(&x, float("alpha", 1.0), float("alpha", 1.0)),
        "Selu" => {
            let elu = w.elu(&x, float("alpha", 1.673_263_2), 1.0);
            w.scaled(&elu, float("gamma", 1.050_701))
        }
        "Softplus" => w.softplus(&x),
        "Mish" => {
            let softplus = w.softplus(&x);
            let tanh = w.op("Tanh", &[&softplus]);
            w.op("Mul", &[&x, &tanh])
        }
        "IsNaN" => {
            let same = w.op("Equal", &[&x, &x]);
            w.op("Not", &[&same])
        }
        "IsInf" => {
            let infinity = w.constant(f64::INFINITY);
            match (int("detect_positive").unwrap_or(1) != 0, int("detect_negative").unwrap_or(1) != 0) {
                (true, true) => {
                    let magnitude = w.op("Abs", &[&x]);
                    w.op("Equal", &[&magnitude, &infinity])
                }
                (true, false) => w.op("Equal", &[&x, &infinity]),
                _ => return Err("the model has an IsInf that detects only negative infinity".to_owned()),
            }
        }
        "RMSNormalization" | "SimplifiedLayerNormalization" => {
            if node.output.len() > 1 {
                return Err(format!("the model has a {} with several results", node.op_type));
            }
            let normalized = w.rms(&x, int("axis").unwrap_or(-1), float("epsilon", f64::from(1e-5_f32)))?;
            input(1).map_or(normalized.clone(), |scale| w.op("Mul", &[&normalized, &scale]))
        }
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
            return w.skip_norm(&node, float("epsilon", f64::from(1e-5_f32)));
        }
        "Attention" if node.domain.is_empty() => return w.attention(&node),
        "GroupQueryAttention" => return w.grouped_attention(&node),
        "MultiHeadAttention"
        | "GroupNormalization"
        | "InstanceNormalization"
        | "Round"
        | "LRN"
        | "GridSample"
        | "Resize"
        | "MatMulNBits"
        | "GatherBlockQuantized" => {
            return Err(format!("the model has {}, which has no f64 form", node.op_type));
        }
        _ => {
            writer.nodes.push(node);
            return Ok(());
        }
    };
    let [output] = node.output.as_slice() else {
        return Err(format!("the model has a {} with several results", node.op_type));
    };
    writer.rename(&result, output);
    Ok(())
}

/// Appends nodes that compute `to` from `from`: `from * (1 + step * sin(phase * from))`, also for infinities.
pub(super) fn write_noise(
    to: &str,
    from: &str,
    [step, phase]: [f64; 2],
    nodes: &mut Vec<NodeProto>,
    fresh: &mut usize,
) {
    let mut w = Writer { nodes, fresh, prefix: "noise", opset: 0 };
    let from = from.to_owned();
    let (low, high) = (w.constant(-1e6), w.constant(1e6));
    let finite = w.op("Max", &[&from, &low]);
    let finite = w.op("Min", &[&finite, &high]);
    let angle = w.scaled(&finite, phase);
    let sine = w.op("Sin", &[&angle]);
    let part = w.scaled(&sine, step);
    let factor = w.plus(&part, 1.0);
    w.node("Mul", &[&from, &factor], vec![], to.to_owned());
    // The node that computed the value before may have its name.
    let name = w.name();
    if let Some(node) = w.nodes.last_mut() {
        node.name = name;
    }
}

/// Appends nodes that add the noise of a number of at most the magnitude of [`SCORE`] to `from`, under the name `to`.
pub(super) fn write_noise_of_score(
    to: &str,
    from: &str,
    noise: [f64; 2],
    nodes: &mut Vec<NodeProto>,
    fresh: &mut usize,
) {
    let mut w = Writer { nodes, fresh, prefix: "noise", opset: 0 };
    let (low, high) = (w.constant(-SCORE), w.constant(SCORE));
    let from = from.to_owned();
    let score = w.op("Max", &[&from, &low]);
    let score = w.op("Min", &[&score, &high]);
    let noisy = w.name();
    write_noise(&noisy, &score, noise, nodes, fresh);
    let mut w = Writer { nodes, fresh, prefix: "noise", opset: 0 };
    let noise = w.op("Sub", &[&noisy, &score]);
    w.node("Add", &[&from, &noise], vec![], to.to_owned());
    let name = w.name();
    if let Some(node) = w.nodes.last_mut() {
        node.name = name;
    }
}

/// A magnitude that scores rarely exceed.
const SCORE: f64 = 64.0;

/// Appends nodes to a graph.
struct Writer<'n> {
    nodes: &'n mut Vec<NodeProto>,
    /// The number of generated names.
    fresh: &'n mut usize,
    prefix: &'static str,
    /// The opset of the model.
    opset: i64,
}

impl Writer<'_> {
    fn name(&mut self) -> String {
        *self.fresh += 1;
        format!("{}.{}", self.prefix, self.fresh)
    }

    fn node(&mut self, operator: &str, operands: &[&str], attributes: Vec<AttributeProto>, result: String) -> String {
        self.nodes.push(NodeProto {
            name: result.clone(),
            op_type: operator.to_owned(),
            input: operands.iter().map(|&name| name.to_owned()).collect(),
            output: vec![result.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        result
    }

    fn op(&mut self, operator: &str, operands: &[&str]) -> String {
        self.with(operator, operands, vec![])
    }

    fn with(&mut self, operator: &str, operands: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.name();
        self.node(operator, operands, attributes, name)
    }

    fn constant(&mut self, value: f64) -> String {
        let name = self.name();
        self.node("Constant", &[], vec![tensor_attribute("value", &[], &[value])], name)
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let mut attribute = tensor_attribute("value", &[values.len()], &[]);
        if let Some(tensor) = &mut attribute.t {
            tensor.data_type = 7;
            tensor.raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        }
        let name = self.name();
        self.node("Constant", &[], vec![attribute], name)
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.node("Identity", &[from], vec![], to.to_owned());
    }

    fn scaled(&mut self, x: &str, by: f64) -> String {
        let by = self.constant(by);
        self.op("Mul", &[x, &by])
    }

    fn plus(&mut self, x: &str, more: f64) -> String {
        let more = self.constant(more);
        self.op("Add", &[x, &more])
    }

    fn where_positive(&mut self, x: &str, positive: &str, other: &str) -> String {
        let zero = self.constant(0.0);
        let is_positive = self.op("Greater", &[x, &zero]);
        self.op("Where", &[&is_positive, positive, other])
    }

    fn sigmoid(&mut self, x: &str) -> String {
        let minus = self.op("Neg", &[x]);
        let exp = self.op("Exp", &[&minus]);
        let below = self.plus(&exp, 1.0);
        let one = self.constant(1.0);
        self.op("Div", &[&one, &below])
    }

    fn swish(&mut self, x: &str, alpha: f64) -> String {
        let scaled = self.scaled(x, alpha);
        let gate = self.sigmoid(&scaled);
        self.op("Mul", &[x, &gate])
    }

    fn hard_sigmoid(&mut self, x: &str, alpha: f64, beta: f64) -> String {
        let scaled = self.scaled(x, alpha);
        let line = self.plus(&scaled, beta);
        let (zero, one) = (self.constant(0.0), self.constant(1.0));
        let low = self.op("Max", &[&line, &zero]);
        self.op("Min", &[&low, &one])
    }

    fn elu(&mut self, x: &str, alpha: f64, divisor: f64) -> String {
        let zero = self.constant(0.0);
        let low = self.op("Min", &[x, &zero]);
        let scaled = self.scaled(&low, divisor.recip());
        let exp = self.op("Exp", &[&scaled]);
        let less = self.plus(&exp, -1.0);
        let low = self.scaled(&less, alpha);
        self.where_positive(x, x, &low)
    }

    /// `max(x, 0) + log(1 + exp(-|x|))`
    fn softplus(&mut self, x: &str) -> String {
        let zero = self.constant(0.0);
        let high = self.op("Max", &[x, &zero]);
        let magnitude = self.op("Abs", &[x]);
        let minus = self.op("Neg", &[&magnitude]);
        let exp = self.op("Exp", &[&minus]);
        let more = self.plus(&exp, 1.0);
        let log = self.op("Log", &[&more]);
        self.op("Add", &[&high, &log])
    }

    fn gelu(&mut self, x: &str) -> String {
        let scaled = self.scaled(x, std::f64::consts::FRAC_1_SQRT_2);
        let erf = self.erf(&scaled);
        self.half_gated(x, &erf)
    }

    fn gelu_tanh(&mut self, x: &str) -> String {
        let square = self.op("Mul", &[x, x]);
        let cube = self.op("Mul", &[&square, x]);
        let small = self.scaled(&cube, f64::from(0.044_715_f32));
        let sum = self.op("Add", &[x, &small]);
        let scaled = self.scaled(&sum, (2.0 / std::f64::consts::PI).sqrt());
        let tanh = self.op("Tanh", &[&scaled]);
        self.half_gated(x, &tanh)
    }

    /// `0.5 * x * (1 + gate)`
    fn half_gated(&mut self, x: &str, gate: &str) -> String {
        let more = self.plus(gate, 1.0);
        let half = self.scaled(x, 0.5);
        self.op("Mul", &[&half, &more])
    }

    /// The error function, by a Chebyshev series of `erfc(z) = t * exp(-z^2 + series(t))` with `t = 2 / (2 + z)`.
    fn erf(&mut self, x: &str) -> String {
        let z = self.op("Abs", &[x]);
        let below = self.plus(&z, 2.0);
        let two = self.constant(2.0);
        let t = self.op("Div", &[&two, &below]);
        let scaled = self.scaled(&t, 4.0);
        let y = self.plus(&scaled, -2.0);
        let zero = self.constant(0.0);
        let (mut d, mut before) = (zero.clone(), zero);
        for &coefficient in ERFC[1..].iter().rev() {
            let product = self.op("Mul", &[&y, &d]);
            let difference = self.op("Sub", &[&product, &before]);
            before = d;
            d = self.plus(&difference, coefficient);
        }
        let product = self.op("Mul", &[&y, &d]);
        let sum = self.plus(&product, ERFC[0]);
        let half = self.scaled(&sum, 0.5);
        let series = self.op("Sub", &[&half, &before]);
        let square = self.op("Mul", &[&z, &z]);
        let exponent = self.op("Sub", &[&series, &square]);
        let exp = self.op("Exp", &[&exponent]);
        let erfc = self.op("Mul", &[&t, &exp]);
        let one = self.constant(1.0);
        let erf = self.op("Sub", &[&one, &erfc]);
        let minus = self.op("Neg", &[&erf]);
        self.where_positive(x, &erf, &minus)
    }

    /// `x / sqrt(mean(x^2) + epsilon)` over the last axis.
    fn rms(&mut self, x: &str, axis: i64, epsilon: f64) -> Result<String, String> {
        if axis != -1 {
            return Err("the model has a normalization over other axes than the last".to_owned());
        }
        let square = self.op("Mul", &[x, x]);
        let mean = self.mean(&square);
        let more = self.plus(&mean, epsilon);
        let root = self.op("Sqrt", &[&more]);
        Ok(self.op("Div", &[x, &root]))
    }

    /// The mean over the last axis.
    fn mean(&mut self, x: &str) -> String {
        if self.opset >= 18 {
            let axes = self.integers(&[-1]);
            return self.op("ReduceMean", &[x, &axes]);
        }
        let axes = AttributeProto { name: "axes".to_owned(), r#type: 7, ints: vec![-1], ..AttributeProto::default() };
        self.with("ReduceMean", &[x], vec![axes])
    }

    /// Operands: x, skip, gamma, beta (absent in the simplified form), bias. The fourth result is the sum.
    fn skip_norm(&mut self, node: &NodeProto, epsilon: f64) -> Result<(), String> {
        let w = self;
        let is_simplified = node.op_type.contains("Simplified");
        let input = |index| operand(node, index);
        let (Some(x), Some(skip), Some(gamma)) = (input(0), input(1), input(2)) else {
            return Err(format!("the model has a {} without its operands", node.op_type));
        };
        let (beta, bias) = if is_simplified { (None, input(3)) } else { (input(3), input(4)) };
        let mut sum = w.op("Add", &[x, skip]);
        if let Some(bias) = bias {
            sum = w.op("Add", &[&sum, bias]);
        }
        let centred = if is_simplified {
            sum.clone()
        } else {
            let mean = w.mean(&sum);
            w.op("Sub", &[&sum, &mean])
        };
        let mut normalized = w.rms(&centred, -1, epsilon)?;
        normalized = w.op("Mul", &[&normalized, gamma]);
        if let Some(beta) = beta {
            normalized = w.op("Add", &[&normalized, beta]);
        }
        for (at, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            match at {
                0 => w.rename(&normalized, output),
                3 => w.rename(&sum, output),
                _ => return Err(format!("the model has a {} that returns its mean", node.op_type)),
            }
        }
        Ok(())
    }

    fn transposed(&mut self, x: &str, order: &[i64]) -> String {
        let perm =
            AttributeProto { name: "perm".to_owned(), r#type: 7, ints: order.to_vec(), ..AttributeProto::default() };
        self.with("Transpose", &[x], vec![perm])
    }

    /// The size of an axis, as f64.
    fn size(&mut self, x: &str, axis: i64) -> String {
        let shape = self.op("Shape", &[x]);
        let at = self.integers(&[axis]);
        let size = self.with("Gather", &[&shape, &at], vec![int_attribute("axis", 0)]);
        self.with("Cast", &[&size], vec![int_attribute("to", super::F64.into())])
    }
}

/// Chebyshev coefficients of the logarithm of `erfc(z) * exp(z^2) / t` over `4 * t - 2`: errors are below 3e-16.
#[expect(clippy::unreadable_literal, reason = "the digits of coefficients are not grouped")]
const ERFC: [f64; 28] = [
    -1.3026537197817094,
    6.419697923564902e-1,
    1.9476473204185836e-2,
    -9.56151478680863e-3,
    -9.46595344482036e-4,
    3.66839497852761e-4,
    4.2523324806907e-5,
    -2.0278578112534e-5,
    -1.624290004647e-6,
    1.303655835580e-6,
    1.5626441722e-8,
    -8.5238095915e-8,
    6.529054439e-9,
    5.059343495e-9,
    -9.91364156e-10,
    -2.27365122e-10,
    9.6467911e-11,
    2.394038e-12,
    -6.886027e-12,
    8.94487e-13,
    3.13092e-13,
    -1.12708e-13,
    3.81e-16,
    7.106e-15,
    -1.523e-15,
    -9.4e-17,
    1.21e-16,
    -2.8e-17,
];
