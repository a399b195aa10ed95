//! Operators that only ONNX Runtime has.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::{self, Dim};

impl Draft {
    /// Adds an operator of `com.microsoft` over `x`, `[batch, seq, width]`.
    pub(crate) fn contrib(&mut self, x: &Value) -> Value {
        // Most of their kernels support only f32.
        let own = std::mem::replace(&mut self.elem, Elem::F32);
        let wide = if x.elem == Elem::F32 { x.clone() } else { self.cast(x, Elem::F32) };
        let y = self.contrib_of_f32(&wide);
        self.elem = own;
        if x.elem == Elem::F32 { y } else { self.cast(&y, x.elem) }
    }

    fn contrib_of_f32(&mut self, x: &Value) -> Value {
        let width = x.width();
        match self.random.below(12) {
            0 => {
                let op =
                    self.random.pick(&["com.microsoft::Gelu", "com.microsoft::FastGelu", "com.microsoft::BiasGelu"]);
                let bias = match op {
                    "com.microsoft::BiasGelu" => self.weight(&[width]),
                    "com.microsoft::FastGelu" if self.random.percent(50) => self.weight(&[width]),
                    _ => Value::absent(),
                };
                self.same(op, &[x, &bias], vec![])
            }
            1 => {
                let alpha = self.random.pick(&[1.702, 1.0]);
                self.same("com.microsoft::QuickGelu", &[x], vec![proto::float("alpha", alpha)])
            }
            2 | 3 => self.skip_norm(x),
            4 => {
                let weight = self.weight(&[width]);
                let attributes = vec![proto::int("axis", -1), proto::float("epsilon", 1e-5)];
                self.same("SimplifiedLayerNormalization", &[x, &weight], attributes)
            }
            5 => {
                let other = self.weight(&[width, width]);
                let attributes =
                    vec![proto::float("alpha", 0.5), proto::int("transB", i64::from(self.random.percent(50)))];
                self.same("com.microsoft::FusedMatMul", &[x, &other], attributes)
            }
            6 => self.blocks(x),
            7 | 8 => self.multi_head(x),
            9 => self.packed_attention(x),
            10 => self.contrib_rotary(x),
            _ => self.grouped(x),
        }
    }

    fn skip_norm(&mut self, x: &Value) -> Value {
        let width = x.width();
        let simplified = self.random.percent(40);
        let skip = self.linear(x, width);
        let weight = self.weight(&[width]);
        let beta = if simplified { Value::absent() } else { self.weight(&[width]) };
        let bias = if self.random.percent(40) { self.weight(&[width]) } else { Value::absent() };
        let epsilon = vec![proto::float("epsilon", 1e-5)];
        let whole = (Elem::F32, x.shape.clone());
        let mut results = vec![whole.clone()];
        let with_sum = self.random.percent(60);
        if with_sum {
            let row = (Elem::F32, vec![x.dim(0), x.dim(1), 1.into()]);
            results.extend([row.clone(), row, whole]);
        }
        let results = if simplified {
            self.nodes(
                "com.microsoft::SkipSimplifiedLayerNormalization",
                &[x, &skip, &weight, &bias],
                epsilon,
                &results,
            )
        } else {
            self.nodes("com.microsoft::SkipLayerNormalization", &[x, &skip, &weight, &beta, &bias], epsilon, &results)
        };
        match results.get(3) {
            Some(sum) => self.add(&results[0], sum),
            None => results[0].clone(),
        }
    }

    /// Adds a 4-bit weight in blocks of 16.
    fn blocks(&mut self, x: &Value) -> Value {
        let width = x.width();
        let blocks = (width + 15) / 16;
        let bytes: Vec<f64> =
            (0..width * blocks * 8).map(|_| f64::from(u8::try_from(self.random.below(256)).unwrap_or(0))).collect();
        let b = self.tensor(Elem::U8, &[width, blocks, 8], &bytes);
        let scales: Vec<f64> = (0..width * blocks).map(|_| 0.02 + 0.002 * self.random.normal().abs()).collect();
        let scales = self.tensor(Elem::F32, &[width * blocks], &scales);
        let attributes =
            vec![proto::int("K", width), proto::int("N", width), proto::int("bits", 4), proto::int("block_size", 16)];
        self.same("com.microsoft::MatMulNBits", &[x, &b, &scales], attributes)
    }

    fn heads_of(&mut self, width: i64) -> i64 {
        self.random.pick(&[1, 2]).min(width / 2).max(1)
    }

    fn multi_head(&mut self, x: &Value) -> Value {
        let width = x.width();
        let heads = self.heads_of(width);
        let q = self.linear(x, width);
        let k = self.linear(x, width);
        let v = self.linear(x, width);
        let bias = if self.random.percent(40) { self.weight(&[3 * width]) } else { Value::absent() };
        let mask = if self.random.percent(40) {
            self.input("mask", Elem::I32, &[x.dim(0), x.dim(1)])
        } else {
            Value::absent()
        };
        let added = if self.random.percent(30) {
            let batch = if self.random.percent(50) { x.dim(0) } else { 1.into() };
            self.input("bias", Elem::F32, &[batch, heads.into(), x.dim(1), x.dim(1)])
        } else {
            Value::absent()
        };
        let mut attributes = vec![proto::int("num_heads", heads)];
        if self.random.percent(25) {
            attributes.push(proto::int("unidirectional", 1));
        }
        if self.random.percent(25) {
            attributes.push(proto::float("scale", 0.3));
        }
        if self.random.percent(25) && self.depth() == 0 && added.name.is_empty() && mask.name.is_empty() {
            let shape: Vec<Dim> = vec![x.dim(0), heads.into(), "past".into(), (width / heads).into()];
            let names = [self.name("past"), self.name("past")];
            let [past_key, past_value] = names.map(|name| self.input(&name, Elem::F32, &shape));
            let mut all = shape;
            all[2] = crate::words::sum(&"past".into(), &x.dim(1));
            let results = [(Elem::F32, x.shape.clone()), (Elem::F32, all.clone()), (Elem::F32, all)];
            let absent = Value::absent();
            let operands = [&q, &k, &v, &bias, &absent, &absent, &past_key, &past_value];
            return self.nodes("com.microsoft::MultiHeadAttention", &operands, attributes, &results).remove(0);
        }
        self.same("com.microsoft::MultiHeadAttention", &[&q, &k, &v, &bias, &mask, &added], attributes)
    }

    fn packed_attention(&mut self, x: &Value) -> Value {
        let width = x.width();
        let heads = self.heads_of(width);
        let weight = self.weight(&[width, 3 * width]);
        let bias = self.weight(&[3 * width]);
        let mask = if self.random.percent(60) {
            self.input("mask", Elem::I32, &[x.dim(0), x.dim(1)])
        } else {
            Value::absent()
        };
        let mut attributes = vec![proto::int("num_heads", heads)];
        if self.random.percent(30) {
            attributes.push(proto::int("unidirectional", 1));
        }
        self.same("com.microsoft::Attention", &[x, &weight, &bias, &mask], attributes)
    }

    fn contrib_rotary(&mut self, x: &Value) -> Value {
        let width = x.width();
        let heads = self.heads_of(width);
        let size = width / heads;
        if size % 2 != 0 {
            return x.clone();
        }
        let positions = self.input("positions", Elem::I64, &[x.dim(0), x.dim(1)]);
        let tables = [false, true].map(|is_sine| {
            #[expect(clippy::cast_precision_loss, reason = "a small table")]
            let entries: Vec<f64> = (0..32 * size / 2)
                .map(|at| {
                    let angle = (at / (size / 2)) as f64 * 10_f64.powi(-i32::try_from(at % (size / 2)).unwrap_or(0));
                    if is_sine { angle.sin() } else { angle.cos() }
                })
                .collect();
            self.tensor(Elem::F32, &[32, size / 2], &entries)
        });
        let mut attributes = vec![proto::int("interleaved", i64::from(self.random.percent(40)))];
        if heads > 1 {
            // For three axes, the operator takes the number of heads from the tables.
            attributes.push(proto::int("num_heads", 0));
        }
        self.same("com.microsoft::RotaryEmbedding", &[x, &positions, &tables[0], &tables[1]], attributes)
    }

    fn grouped(&mut self, x: &Value) -> Value {
        let width = x.width();
        let heads = 2.min(width / 2).max(1);
        let groups = if self.random.percent(50) { 1 } else { heads };
        let size = width / heads;
        let q = self.linear(x, width);
        let (k, v) = (self.linear(x, groups * size), self.linear(x, groups * size));
        // Every sequence fills the batch: its last index is the length minus 1.
        let length = self.size_of_one(&x.dim(1));
        let one = self.vector(&[1]);
        let last = self.binary("Sub", &length, &one);
        let lengths = self.expand(&last, &[x.dim(0)]);
        let lengths = self.cast(&lengths, Elem::I32);
        let total = self.size(&x.dim(1));
        let total = self.cast(&total, Elem::I32);
        let attributes = vec![proto::int("num_heads", heads), proto::int("kv_num_heads", groups)];
        let shape = vec![x.dim(0), groups.into(), x.dim(1), size.into()];
        let results = [(Elem::F32, x.shape.clone()), (Elem::F32, shape.clone()), (Elem::F32, shape)];
        let absent = Value::absent();
        let operands = [&q, &k, &v, &absent, &absent, &lengths, &total];
        self.nodes("com.microsoft::GroupQueryAttention", &operands, attributes, &results).remove(0)
    }
}
