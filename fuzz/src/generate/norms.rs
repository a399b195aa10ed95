//! Normalizations, correct and slightly wrong.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto;

impl Draft {
    fn epsilon(&mut self) -> f64 {
        self.random.pick(&[1e-5, 1e-5, 1e-6, 1e-12, 1e-3, 0.1])
    }

    /// Adds a normalization over the last axis, or something close to it.
    pub(crate) fn norm(&mut self, x: &Value) -> Value {
        match self.random.below(10) {
            0 if self.opset >= 17 => self.layer_norm_operator(x),
            1 if self.opset >= 23 => {
                let weight = self.weight(&[x.width()]);
                let epsilon = self.epsilon();
                self.same("RMSNormalization", &[x, &weight], vec![proto::float("epsilon", epsilon)])
            }
            2..=5 => self.rms_norm(x),
            _ => self.layer_norm(x),
        }
    }

    pub(crate) fn layer_norm_operator(&mut self, x: &Value) -> Value {
        let axis = self.random.pick(&[-1, -1, -1, x.rank() - 1]);
        let epsilon = self.epsilon();
        let weight = self.weight(&[x.width()]);
        let bias = if self.random.percent(70) { self.weight(&[x.width()]) } else { Value::absent() };
        let attributes = vec![proto::int("axis", axis), proto::float("epsilon", epsilon)];
        self.same("LayerNormalization", &[x, &weight, &bias], attributes)
    }

    fn square(&mut self, x: &Value) -> Value {
        if self.random.percent(50) {
            let two = self.number(2.0);
            return self.binary("Pow", x, &two);
        }
        self.binary("Mul", x, x)
    }

    /// Picks the axes of a mean: the last one, or others.
    fn mean_axes(&mut self, x: &Value) -> Vec<i64> {
        match self.random.below(20) {
            0 => vec![-2],
            1 if x.rank() > 2 => vec![-2, -1],
            2 => vec![x.rank() - 1],
            _ => vec![-1],
        }
    }

    fn affine(&mut self, x: &Value) -> Value {
        let width = x.width();
        let dims: &[i64] = match self.random.below(8) {
            0 => &[1, 1, width],
            1 => &[],
            2 => &[1],
            _ => &[width],
        };
        let mut y = x.clone();
        let added_first = self.random.percent(5);
        if added_first {
            let bias = self.weight(dims);
            y = self.add(&y, &bias);
        }
        if self.random.percent(90) {
            let weight = self.weight(dims);
            y = self.mul(&y, &weight);
        }
        if !added_first && self.random.percent(70) {
            let bias = self.weight(&[width]);
            y = self.add(&y, &bias);
        }
        y
    }

    fn layer_norm(&mut self, x: &Value) -> Value {
        let axes = self.mean_axes(x);
        let mean = self.reduce("ReduceMean", x, &axes, true);
        let centered = self.binary("Sub", x, &mean);
        let again = if self.random.percent(15) { self.binary("Sub", x, &mean) } else { centered.clone() };
        let square = self.square(&again);
        let other = if self.random.percent(5) { self.mean_axes(x) } else { axes };
        let variance = if self.random.percent(6) {
            // Divided by the number of elements minus 1.
            let sum = self.reduce("ReduceSum", &square, &other, true);
            #[expect(clippy::cast_precision_loss, reason = "widths are small")]
            let count = self.number((x.width() - 1) as f64);
            self.binary("Div", &sum, &count)
        } else {
            self.reduce("ReduceMean", &square, &other, true)
        };
        let y = self.divide_by_root(&centered, &variance);
        self.affine(&y)
    }

    fn rms_norm(&mut self, x: &Value) -> Value {
        let axes = self.mean_axes(x);
        // Models in f16 compute it in f32.
        let wide = x.elem == Elem::F16 && self.random.percent(60);
        let (elem, x) = if wide { (Elem::F32, self.cast(x, Elem::F32)) } else { (x.elem, x.clone()) };
        let own = std::mem::replace(&mut self.elem, elem);
        let square = self.square(&x);
        let op = self.random.pick(&["ReduceMean", "ReduceMean", "ReduceMean", "ReduceMean", "ReduceSum"]);
        let mean = self.reduce(op, &square, &axes, true);
        let mut y = self.divide_by_root(&x, &mean);
        self.elem = own;
        if wide {
            y = self.cast(&y, own);
        }
        if self.random.percent(90) {
            let weight = self.weight(&[x.width()]);
            y = self.mul(&y, &weight);
        }
        y
    }

    /// Adds `x / sqrt(variance + epsilon)`, in a correct or a wrong form.
    fn divide_by_root(&mut self, x: &Value, variance: &Value) -> Value {
        let epsilon = self.epsilon();
        let epsilon = self.number(epsilon);
        let root = match self.random.below(12) {
            0 => {
                // The epsilon outside the square root.
                let root = self.same("Sqrt", &[variance], vec![]);
                self.add(&root, &epsilon)
            }
            1 => {
                let clipped = self.either("Max", variance, &epsilon);
                self.same("Sqrt", &[&clipped], vec![])
            }
            2 => {
                let sum = self.add(variance, &epsilon);
                let half = self.number(0.5);
                self.binary("Pow", &sum, &half)
            }
            _ => {
                let sum = self.add(variance, &epsilon);
                self.same("Sqrt", &[&sum], vec![])
            }
        };
        match self.random.below(4) {
            0 => {
                let reciprocal = self.same("Reciprocal", &[&root], vec![]);
                self.mul(x, &reciprocal)
            }
            1 => {
                let one = self.number(1.0);
                let reciprocal = self.binary("Div", &one, &root);
                self.mul(x, &reciprocal)
            }
            _ => self.binary("Div", x, &root),
        }
    }
}
