//! Attention, in the various forms of exporters.

use super::masks::Scores;
use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::{self, Dim};

impl Draft {
    /// Adds `x W + b`, in one of its forms.
    pub(crate) fn linear(&mut self, x: &Value, width: i64) -> Value {
        let from = x.width();
        if self.random.percent(12) {
            // As a Gemm between two reshapes.
            let rows =
                x.shape[..x.shape.len() - 1].iter().fold(Dim::Known(1), |rows, dim| crate::words::product(&rows, dim));
            let flat = self.reshape(x, vec![rows.clone(), from.into()]);
            let transposed = self.random.percent(50);
            let weight = if transposed { self.weight(&[width, from]) } else { self.weight(&[from, width]) };
            let bias = if self.random.percent(80) { self.weight(&[width]) } else { Value::absent() };
            let attributes = vec![proto::int("transB", i64::from(transposed))];
            let result = self.node("Gemm", &[&flat, &weight, &bias], attributes, x.elem, vec![rows, width.into()]);
            let mut shape = x.shape.clone();
            shape.pop();
            shape.push(width.into());
            return self.reshape(&result, shape);
        }
        let weight = if self.random.percent(15) {
            let weight = self.weight(&[width, from]);
            self.transpose(&weight, &[1, 0])
        } else {
            self.weight(&[from, width])
        };
        let product = self.matmul(x, &weight);
        if self.random.percent(70) {
            let bias = self.weight(&[width]);
            return self.add(&product, &bias);
        }
        product
    }

    /// Splits heads: `[batch, seq, heads * size]` to `[batch, heads, seq, size]`.
    fn split_heads(&mut self, x: &Value, heads: i64) -> Value {
        let size = x.width() / heads;
        let split = self.reshape(x, vec![x.dim(0), x.dim(1), heads.into(), size.into()]);
        self.transpose(&split, &[0, 2, 1, 3])
    }

    /// Adds attention of `[batch, seq, width]` to itself, to another value, or also to the past.
    pub(crate) fn attention(&mut self, x: &Value) -> Value {
        let width = x.width();
        let heads = self.random.pick(&[1, 2, 2, 4]).min(width / 2).max(1);
        let groups = if heads > 1 && self.random.percent(20) { heads / 2 } else { heads };
        let size = width / heads;
        let batch = x.dim(0);
        let elem = self.elem;
        let is_cross = self.random.percent(15);
        let source = if is_cross {
            let memory = self.input("memory", Elem::F32, &[batch.clone(), "memory".into(), width.into()]);
            if elem == Elem::F32 { memory } else { self.cast(&memory, elem) }
        } else {
            x.clone()
        };
        let [mut q, mut k, mut v] = if groups == heads && !is_cross && self.random.percent(25) {
            self.packed_heads(x, heads, size)
        } else {
            let q = self.linear(x, width);
            let k = self.linear(&source, groups * size);
            let v = self.linear(&source, groups * size);
            [self.split_heads(&q, heads), self.split_heads(&k, groups), self.split_heads(&v, groups)]
        };
        if self.random.percent(15) {
            q = self.norm(&q);
            k = self.norm(&k);
        }
        if !is_cross && size % 2 == 0 && self.random.percent(30) {
            [q, k] = self.rotate_both(&q, &k);
        }
        if !is_cross && self.depth() == 0 && self.random.percent(30) {
            k = self.with_past(&k);
            v = self.with_past(&v);
        }
        if groups != heads {
            k = self.repeat_heads(&k, heads / groups);
            v = self.repeat_heads(&v, heads / groups);
        }
        if self.random.percent(8) {
            return self.attention_of_merged_heads(x, [&q, &k, &v]);
        }
        let (query, key) = (q.dim(2), k.dim(2));
        let of = Scores { batch, heads, query, key };
        let attended = if self.opset >= 23 && self.random.percent(25) {
            self.attention_operator([&q, &k, &v], &of)
        } else {
            self.attend(&q, &k, &v, &of)
        };
        let back = self.transpose(&attended, &[0, 2, 1, 3]);
        let merged = self.reshape(&back, vec![x.dim(0), x.dim(1), width.into()]);
        if self.random.percent(80) { self.linear(&merged, width) } else { merged }
    }

    fn packed_heads(&mut self, x: &Value, heads: i64, size: i64) -> [Value; 3] {
        let width = heads * size;
        let packed = self.linear(x, 3 * width);
        if self.random.percent(50) {
            let parts = self.split(&packed, -1, &[width; 3]);
            return [0, 1, 2].map(|at| self.split_heads(&parts[at], heads));
        }
        let five = self.reshape(&packed, vec![x.dim(0), x.dim(1), 3.into(), heads.into(), size.into()]);
        let five = self.transpose(&five, &[2, 0, 3, 1, 4]);
        [0, 1, 2].map(|at| {
            let index = self.scalar(at);
            self.gather(&five, &index, 0)
        })
    }

    /// Concatenates keys or values with the past, and also returns them.
    fn with_past(&mut self, new: &Value) -> Value {
        let name = self.name("past");
        let mut shape = new.shape.clone();
        shape[2] = "past".into();
        let past = self.input(&name, Elem::F32, &shape);
        let past = if self.elem == Elem::F32 { past } else { self.cast(&past, self.elem) };
        // The name of the sum of both lengths.
        let mut all = self.concat(&[&past, new], 2);
        if let Dim::Symbol(_) = all.shape[2] {
            all.shape[2] = crate::words::sum(&"past".into(), &new.dim(2));
        }
        all
    }

    fn repeat_heads(&mut self, x: &Value, times: i64) -> Value {
        let Dim::Known(groups) = x.dim(1) else { return x.clone() };
        let five = self.unsqueeze(x, &[2]);
        let shape = vec![x.dim(0), groups.into(), times.into(), x.dim(2), x.dim(3)];
        let five = if self.random.percent(50) {
            self.expand(&five, &shape)
        } else {
            let repeats = self.vector(&[1, 1, times, 1, 1]);
            self.node("Tile", &[&five, &repeats], vec![], x.elem, shape)
        };
        self.reshape(&five, vec![x.dim(0), (groups * times).into(), x.dim(2), x.dim(3)])
    }

    /// Adds the scale of scores, at one of its positions.
    fn attend(&mut self, q: &Value, k: &Value, v: &Value, of: &Scores) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "heads are small")]
        let root = (q.width() as f64).sqrt();
        let place = self.random.below(6);
        let (mut q, mut k) = (q.clone(), k.clone());
        match place {
            0 => {
                let scale = self.number(1.0 / root);
                q = self.mul(&q, &scale);
            }
            1 => {
                let scale = self.number(1.0 / root.sqrt());
                q = self.mul(&q, &scale);
                k = self.mul(&k, &scale);
            }
            2 => {
                // Computed from the shape, as PyTorch does.
                let size = self.size_from_shape(&q);
                let size = self.cast(&size, self.elem);
                let root = self.same("Sqrt", &[&size], vec![]);
                q = self.binary("Div", &q, &root);
            }
            _ => {}
        }
        let transposed = self.transpose(&k, &[0, 1, 3, 2]);
        let mut scores = self.matmul(&q, &transposed);
        let masked_first = self.random.percent(6);
        if masked_first {
            scores = self.mask_scores(scores, of);
        }
        match place {
            3 => {
                let scale = self.number(root);
                scores = self.binary("Div", &scores, &scale);
            }
            4 => {
                let scale = self.number(1.0 / root);
                scores = self.mul(&scores, &scale);
            }
            _ => {}
        }
        if self.random.percent(5) {
            // Soft caps.
            let cap = self.number(5.0);
            let capped = self.binary("Div", &scores, &cap);
            let capped = self.same("Tanh", &[&capped], vec![]);
            scores = self.mul(&capped, &cap);
        }
        if !masked_first {
            scores = self.mask_scores(scores, of);
        }
        let mut weights = self.softmax(&scores, 3);
        if self.opset >= 9 && self.random.percent(8) {
            let nan = self.node("IsNaN", &[&weights], vec![], Elem::Bool, weights.shape.clone());
            let zero = self.number(0.0);
            weights = self.choose(&nan, &zero, &weights);
        }
        if self.random.percent(8) {
            weights = self.same("Dropout", &[&weights], vec![]);
        }
        self.matmul(&weights, v)
    }

    /// Adds the last size of a value, computed from its shape.
    fn size_from_shape(&mut self, value: &Value) -> Value {
        let shape = self.node("Shape", &[value], vec![], Elem::I64, vec![value.rank().into()]);
        if self.random.percent(50) {
            let index = self.scalar(value.rank() - 1);
            return self.gather(&shape, &index, 0);
        }
        let last = self.slice(&shape, 0, -1, i64::MAX, 1, 1.into());
        if self.random.percent(50) { self.squeeze(&last, &[0]) } else { last }
    }

    /// Adds attention with heads merged into the batch, as in exports of BART.
    fn attention_of_merged_heads(&mut self, x: &Value, [q, k, v]: [&Value; 3]) -> Value {
        let heads = q.dim(1);
        let merged = crate::words::product(&q.dim(0), &heads);
        let [q3, k3, v3] = [q, k, v].map(|value| self.reshape(value, vec![merged.clone(), value.dim(2), value.dim(3)]));
        let transposed = self.transpose(&k3, &[0, 2, 1]);
        let mut scores = self.matmul(&q3, &transposed);
        if self.random.percent(60) {
            let Dim::Known(heads) = heads else { return x.clone() };
            let of = Scores { batch: q.dim(0), heads, query: q.dim(2), key: k.dim(2) };
            let four = self.reshape(&scores, vec![q.dim(0), heads.into(), q.dim(2), k.dim(2)]);
            let masked = self.mask_scores(four, &of);
            scores = self.reshape(&masked, vec![merged.clone(), q.dim(2), k.dim(2)]);
        }
        let weights = self.softmax(&scores, 2);
        let attended = self.matmul(&weights, &v3);
        let four = self.reshape(&attended, vec![q.dim(0), q.dim(1), q.dim(2), q.dim(3)]);
        let back = self.transpose(&four, &[0, 2, 1, 3]);
        self.reshape(&back, x.shape.clone())
    }

    /// Adds ONNX's Attention.
    fn attention_operator(&mut self, [q, k, v]: [&Value; 3], of: &Scores) -> Value {
        let mut attributes = vec![];
        if self.random.percent(30) {
            attributes.push(proto::float("scale", 0.4));
        }
        if self.random.percent(15) {
            attributes.push(proto::float("softcap", 4.0));
        }
        let causal = self.random.percent(30) && of.query == of.key;
        if causal {
            attributes.push(proto::int("is_causal", 1));
        }
        let mask = match self.random.below(3) {
            0 => {
                let mask = self.input("mask", Elem::Bool, &[of.batch.clone(), of.key.clone()]);
                let mask = self.unsqueeze(&mask, &[1, 2]);
                let shape = [of.batch.clone(), 1.into(), of.query.clone(), of.key.clone()];
                self.expand(&mask, &shape)
            }
            1 => {
                let mask = self.input("bias", Elem::F32, &[of.query.clone(), of.key.clone()]);
                if self.elem == Elem::F32 { mask } else { self.cast(&mask, self.elem) }
            }
            _ => Value::absent(),
        };
        self.node("Attention", &[q, k, v, &mask], attributes, q.elem, q.shape.clone())
    }
}
