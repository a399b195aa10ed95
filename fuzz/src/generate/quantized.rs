//! Quantized tensors: QuantizeLinear and DequantizeLinear, integer products, quantized weights.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto;

impl Draft {
    fn quantized_type(&mut self) -> Elem {
        self.random.pick(&[Elem::U8, Elem::I8])
    }

    /// Quantizes and dequantizes `x`, or multiplies it by quantized weights.
    pub(crate) fn quantized(&mut self, x: &Value) -> Value {
        // The kernels of ONNX Runtime support only f32.
        let own = std::mem::replace(&mut self.elem, Elem::F32);
        let wide = if x.elem == Elem::F32 { x.clone() } else { self.cast(x, Elem::F32) };
        let y = match self.random.below(5) {
            0 => self.through_integers(&wide),
            1 => self.by_quantized_weight(&wide),
            2 => self.by_dynamic_product(&wide),
            3 => {
                let there = self.through_integers(&wide);
                let product = self.by_quantized_weight(&there);
                self.through_integers(&product)
            }
            _ => {
                let there = self.through_integers(&wide);
                let moved = self.transpose(&there, &[0, 2, 1]);
                let back = self.transpose(&moved, &[0, 2, 1]);
                self.through_integers(&back)
            }
        };
        self.elem = own;
        if x.elem == Elem::F32 { y } else { self.cast(&y, x.elem) }
    }

    fn through_integers(&mut self, x: &Value) -> Value {
        let elem = self.quantized_type();
        let scale = self.tensor(Elem::F32, &[], &[0.05]);
        let zero = if elem == Elem::U8 { 128.0 } else { 0.0 };
        let zero = self.tensor(elem, &[], &[zero]);
        let q = self.node("QuantizeLinear", &[x, &scale, &zero], vec![], elem, x.shape.clone());
        self.node("DequantizeLinear", &[&q, &scale, &zero], vec![], Elem::F32, x.shape.clone())
    }

    /// Adds integers within the range of a type.
    fn integers_of(&mut self, elem: Elem, count: i64) -> Vec<f64> {
        let (low, span) = match elem {
            Elem::U8 => (0.0, 256),
            Elem::U4 => (0.0, 16),
            Elem::I4 => (-8.0, 16),
            _ => (-128.0, 256),
        };
        #[expect(clippy::cast_precision_loss, reason = "numbers of one byte")]
        (0..count).map(|_| low + self.random.below(span) as f64).collect()
    }

    fn by_quantized_weight(&mut self, x: &Value) -> Value {
        let width = x.width();
        let elem = if self.opset >= 21 && self.random.percent(40) {
            self.random.pick(&[Elem::I4, Elem::U4])
        } else {
            self.quantized_type()
        };
        let numbers = self.integers_of(elem, width * width);
        let weight = self.tensor(elem, &[width, width], &numbers);
        let per_axis = self.opset >= 13 && self.random.percent(50);
        let per_block = self.opset >= 21 && self.random.percent(30) && width % 4 == 0;
        let (dims, attributes): (Vec<i64>, _) = if per_block {
            (vec![width / 4, width], vec![proto::int("axis", 0), proto::int("block_size", 4)])
        } else if per_axis {
            (vec![width], vec![proto::int("axis", 1)])
        } else {
            (vec![], vec![])
        };
        let count = dims.iter().product::<i64>();
        #[expect(clippy::cast_precision_loss, reason = "a few numbers")]
        let scales: Vec<f64> = (0..count).map(|at| 0.003 + 0.001 * at as f64).collect();
        let scale = self.tensor(Elem::F32, &dims, &scales);
        let zero = if self.random.percent(60) {
            let zeros = self.integers_of(elem, count);
            self.tensor(elem, &dims, &zeros)
        } else {
            Value::absent()
        };
        let shape = weight.shape.clone();
        let dequantized = self.node("DequantizeLinear", &[&weight, &scale, &zero], attributes, Elem::F32, shape);
        let product = self.matmul(x, &dequantized);
        if self.random.percent(50) {
            let bias = self.weight_of(Elem::F32, &[width], 0.3);
            return self.add(&product, &bias);
        }
        product
    }

    fn by_dynamic_product(&mut self, x: &Value) -> Value {
        let width = x.width();
        let numbers = self.integers_of(Elem::I8, width * width);
        let weight = self.tensor(Elem::I8, &[width, width], &numbers);
        let results = [(Elem::U8, x.shape.clone()), (Elem::F32, vec![]), (Elem::U8, vec![])];
        let q = self.nodes("DynamicQuantizeLinear", &[x], vec![], &results);
        let zero = self.tensor(Elem::I8, &[], &[0.0]);
        let product = self.node("MatMulInteger", &[&q[0], &weight, &q[2], &zero], vec![], Elem::I32, x.shape.clone());
        let product = self.cast(&product, Elem::F32);
        let scale = self.tensor(Elem::F32, &[], &[0.01]);
        let scale = self.mul(&q[1], &scale);
        self.mul(&product, &scale)
    }
}
