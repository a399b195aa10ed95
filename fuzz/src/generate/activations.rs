//! Activations, correct and with slightly wrong constants.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto;

impl Draft {
    pub(crate) fn activation(&mut self, x: &Value) -> Value {
        let x = &if self.random.percent(30) {
            let bias = self.weight(&[x.width()]);
            self.add(x, &bias)
        } else {
            x.clone()
        };
        match self.random.below(14) {
            // ONNX Runtime does not support Erf of f64.
            0..=3 if x.elem != Elem::F64 => self.gelu_of_erf(x),
            0..=5 => self.gelu_of_tanh(x),
            6 => {
                let alpha = self.random.pick(&[1.702, 1.702, 1.7, 1.0]);
                let alpha = self.number(alpha);
                let inner = self.mul(x, &alpha);
                let gate = self.same("Sigmoid", &[&inner], vec![]);
                self.mul(x, &gate)
            }
            7 => {
                let gate = self.same("Sigmoid", &[x], vec![]);
                self.mul(x, &gate)
            }
            8 => {
                // SiLU by its definition.
                let minus = self.same("Neg", &[x], vec![]);
                let exp = self.same("Exp", &[&minus], vec![]);
                let one = self.number(1.0);
                let sum = self.add(&exp, &one);
                self.binary("Div", x, &sum)
            }
            9 if self.opset >= 20 => {
                let approximate = self.random.pick(&["none", "tanh"]);
                self.same("Gelu", &[x], vec![proto::string("approximate", approximate)])
            }
            10 if self.opset >= 24 => {
                let alpha = self.random.pick(&[1.0, 1.5]);
                self.same("Swish", &[x], vec![proto::float("alpha", alpha)])
            }
            11 if self.opset >= 14 => self.same("HardSwish", &[x], vec![]),
            12 => {
                let (low, high) = (self.number_of(x.elem, 0.0), self.number_of(x.elem, 6.0));
                let (low, high) = (self.flat(&low), self.flat(&high));
                self.same("Clip", &[x, &low, &high], vec![])
            }
            _ => {
                let ops = ["Relu", "Tanh", "Sigmoid", "Elu", "LeakyRelu", "Softplus", "HardSigmoid"];
                let op = if x.elem == Elem::F32 { self.random.pick(&ops) } else { self.random.pick(&ops[..3]) };
                self.same(op, &[x], vec![])
            }
        }
    }

    /// Adds a number as a scalar, which Clip requires.
    fn flat(&mut self, number: &Value) -> Value {
        if number.shape.is_empty() {
            return number.clone();
        }
        let none = self.vector(&[]);
        self.node("Reshape", &[number, &none], vec![], number.elem, vec![])
    }

    fn gelu_of_erf(&mut self, x: &Value) -> Value {
        let root = std::f64::consts::SQRT_2;
        // Some exporters round the square root of 2 to four or five places.
        let rounded = |places: f64| (root * places).floor() / places;
        let roots = [root, root, root, root, rounded(1e4), rounded(1e5), rounded(1e2), 1.5, root * 1.0001];
        let root = self.random.pick(&roots);
        let inner = if self.random.percent(60) {
            let root = self.number(root);
            self.binary("Div", x, &root)
        } else {
            let root = self.number(1.0 / root);
            self.mul(x, &root)
        };
        let erf = self.same("Erf", &[&inner], vec![]);
        self.halved(x, &erf)
    }

    fn gelu_of_tanh(&mut self, x: &Value) -> Value {
        let cubic = self.random.pick(&[0.044_715, 0.044_715, 0.044_715, 0.0447, 0.05]);
        let factor = (2.0 / std::f64::consts::PI).sqrt();
        let factor = self.random.pick(&[factor, factor, factor, 0.797_9, 0.8]);
        let cube = if self.random.percent(60) {
            let three = self.number(3.0);
            self.binary("Pow", x, &three)
        } else {
            let square = self.mul(x, x);
            self.mul(&square, x)
        };
        let cubic = self.number(cubic);
        let cube = self.mul(&cube, &cubic);
        let sum = self.add(x, &cube);
        let factor = self.number(factor);
        let inner = self.mul(&sum, &factor);
        let tanh = self.same("Tanh", &[&inner], vec![]);
        self.halved(x, &tanh)
    }

    /// Adds `0.5 x (1 + y)`, in one of its orders.
    fn halved(&mut self, x: &Value, y: &Value) -> Value {
        let one = self.random.pick(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.001]);
        let one = self.number(one);
        let sum = self.add(y, &one);
        let half = self.random.pick(&[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.501]);
        let half = self.number(half);
        match self.random.below(3) {
            0 => {
                let product = self.mul(x, &sum);
                self.mul(&product, &half)
            }
            1 => {
                let halved = self.mul(x, &half);
                self.mul(&halved, &sum)
            }
            _ => {
                let halved = self.mul(&sum, &half);
                self.mul(x, &halved)
            }
        }
    }

    /// Adds two linear layers with an activation between them, or a gate.
    pub(crate) fn feed_forward(&mut self, x: &Value) -> Value {
        let width = x.width();
        let wide = self.random.pick(&[4, 8]);
        let first = self.linear(x, wide);
        let active = self.activation(&first);
        let active = if self.random.percent(30) {
            let gate = self.linear(x, wide);
            self.mul(&active, &gate)
        } else {
            active
        };
        self.linear(&active, width)
    }
}
