//! Rotary position embeddings: halves, interleaved, and on a part of each head.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::{self, Dim};

/// The layout of pairs of elements in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pairs {
    Halves,
    Interleaved,
}

impl Draft {
    /// Rotates queries and keys `[batch, heads, seq, size]` by the same angles.
    pub(crate) fn rotate_both(&mut self, q: &Value, k: &Value) -> [Value; 2] {
        let size = q.width();
        let rotated = if size >= 4 && self.random.percent(25) { size / 2 } else { size };
        let pairs = if self.random.percent(75) { Pairs::Halves } else { Pairs::Interleaved };
        if self.opset >= 23 && self.elem != Elem::F64 && self.random.percent(15) {
            let tables = self.half_tables(&q.dim(2), rotated / 2);
            return [q, k].map(|x| self.rotary_operator(x, &tables, pairs, rotated));
        }
        let tables = self.tables(&q.dim(0), &q.dim(2), rotated, pairs);
        [q, k].map(|x| self.rotate(x, &tables, pairs, rotated))
    }

    /// Adds cosines and sines that broadcast to `[batch, heads, seq, size]`.
    fn tables(&mut self, batch: &Dim, seq: &Dim, size: i64, pairs: Pairs) -> [Value; 2] {
        let positions = match self.random.below(3) {
            0 => self.input("positions", Elem::I64, &[batch.clone(), seq.clone()]),
            1 => {
                let range = self.positions(seq);
                self.unsqueeze(&range, &[0])
            }
            // Looked up by position in a table.
            _ => return self.stored_tables(batch, seq, size, pairs),
        };
        let positions = self.cast(&positions, self.elem);
        let positions = self.unsqueeze(&positions, &[2]);
        let frequencies: Vec<f64> = frequencies(size);
        let frequencies = self.tensor(self.elem, &[1, 1, size / 2], &frequencies);
        let angles = if self.random.percent(50) {
            self.matmul(&positions, &frequencies)
        } else {
            self.mul(&positions, &frequencies)
        };
        let angles = match pairs {
            Pairs::Halves => self.concat(&[&angles, &angles], -1),
            Pairs::Interleaved => {
                let one = self.unsqueeze(&angles, &[3]);
                let two = self.concat(&[&one, &one], 3);
                let shape = vec![angles.dim(0), angles.dim(1), size.into()];
                self.reshape(&two, shape)
            }
        };
        let factor = self.random.percent(20);
        ["Cos", "Sin"].map(|op| {
            let mut table = if self.elem == Elem::F16 {
                // ONNX Runtime does not support Sin of f16.
                let wide = self.cast(&angles, Elem::F32);
                let wide = self.same(op, &[&wide], vec![]);
                self.cast(&wide, Elem::F16)
            } else {
                self.same(op, &[&angles], vec![])
            };
            if factor {
                let one = self.random.pick(&[1.0, 1.0, 1.2]);
                let one = self.number(one);
                table = self.mul(&table, &one);
            }
            self.unsqueeze(&table, &[1])
        })
    }

    fn stored_tables(&mut self, batch: &Dim, seq: &Dim, size: i64, pairs: Pairs) -> [Value; 2] {
        let gathered = self.random.percent(50);
        ["cos", "sin"].map(|which| {
            let entries: Vec<f64> = table(32, size, |pair, at| match pairs {
                Pairs::Halves => at % pair,
                Pairs::Interleaved => at / 2,
            })
            .into_iter()
            .map(|angle| if which == "cos" { angle.cos() } else { angle.sin() })
            .collect();
            let table = self.tensor(self.elem, &[32, size], &entries);
            if gathered {
                let positions = self.input("positions", Elem::I64, &[batch.clone(), seq.clone()]);
                let rows = self.gather(&table, &positions, 0);
                return self.unsqueeze(&rows, &[1]);
            }
            let (zero, axis) = (self.vector(&[0]), self.vector(&[0]));
            let end = self.size_of_one(seq);
            self.slice_by(&table, 0, [&zero, &end, &axis, &Value::absent()], seq.clone())
        })
    }

    /// Adds `[batch, seq, half]`, the shape that the operator requires.
    fn half_tables(&mut self, seq: &Dim, half: i64) -> [Value; 2] {
        ["Cos", "Sin"].map(|op| {
            let angles: Vec<f64> = table(32, 2 * half, |pair, at| at % pair);
            let rows = angles.chunks(usize::try_from(2 * half).unwrap_or(1));
            let half = usize::try_from(half).unwrap_or(1);
            let entries: Vec<f64> = rows
                .flat_map(|row| row[..half].iter().map(|angle| if op == "Cos" { angle.cos() } else { angle.sin() }))
                .collect();
            let columns = i64::try_from(half).unwrap_or(1);
            let table = self.tensor(self.elem, &[32, columns], &entries);
            let positions = self.input("positions", Elem::I64, &["batch".into(), seq.clone()]);
            self.gather(&table, &positions, 0)
        })
    }

    fn rotary_operator(&mut self, x: &Value, tables: &[Value; 2], pairs: Pairs, rotated: i64) -> Value {
        let mut attributes = vec![proto::int("interleaved", i64::from(pairs == Pairs::Interleaved))];
        if rotated != x.width() {
            attributes.push(proto::int("rotary_embedding_dim", rotated));
        }
        self.same("RotaryEmbedding", &[x, &tables[0], &tables[1]], attributes)
    }

    fn rotate(&mut self, x: &Value, [cos, sin]: &[Value; 2], pairs: Pairs, rotated: i64) -> Value {
        if rotated != x.width() {
            let (first, rest) = if self.random.percent(50) {
                let mut parts = self.split(x, -1, &[rotated, x.width() - rotated]);
                let rest = parts.remove(1);
                (parts.remove(0), rest)
            } else {
                let first = self.slice(x, 3, 0, rotated, 1, rotated.into());
                (first, self.slice(x, 3, rotated, i64::MAX, 1, (x.width() - rotated).into()))
            };
            let first = self.rotate_whole(&first, cos, sin, pairs);
            return self.concat(&[&first, &rest], -1);
        }
        self.rotate_whole(x, cos, sin, pairs)
    }

    fn rotate_whole(&mut self, x: &Value, cos: &Value, sin: &Value, pairs: Pairs) -> Value {
        let turned = match pairs {
            Pairs::Halves => self.turn_halves(x),
            Pairs::Interleaved => self.turn_pairs(x),
        };
        let plain = self.mul(x, cos);
        let turned = self.mul(&turned, sin);
        self.add(&plain, &turned)
    }

    fn turn_halves(&mut self, x: &Value) -> Value {
        let half = x.width() / 2;
        let [first, second] = if self.random.percent(30) {
            let parts = self.split(x, -1, &[half, half]);
            [parts[0].clone(), parts[1].clone()]
        } else {
            let first = self.slice(x, 3, 0, half, 1, half.into());
            [first, self.slice(x, 3, half, i64::MAX, 1, half.into())]
        };
        if self.random.percent(7) {
            // The wrong half is negated, so it is not a rotation.
            let negated = self.same("Neg", &[&first], vec![]);
            return self.concat(&[&second, &negated], -1);
        }
        let negated = self.same("Neg", &[&second], vec![]);
        self.concat(&[&negated, &first], -1)
    }

    fn turn_pairs(&mut self, x: &Value) -> Value {
        let half = x.width() / 2;
        if self.random.percent(50) {
            let shape = vec![x.dim(0), x.dim(1), x.dim(2), half.into(), 2.into()];
            let five = self.reshape(x, shape);
            let parts = self.split(&five, -1, &[1, 1]);
            let negated = self.same("Neg", &[&parts[1]], vec![]);
            let five = self.concat(&[&negated, &parts[0]], -1);
            return self.reshape(&five, x.shape.clone());
        }
        let even = self.slice(x, 3, 0, i64::MAX, 2, half.into());
        let odd = self.slice(x, 3, 1, i64::MAX, 2, half.into());
        let negated = self.same("Neg", &[&odd], vec![]);
        let (odd, even) = (self.unsqueeze(&negated, &[4]), self.unsqueeze(&even, &[4]));
        let five = self.concat(&[&odd, &even], 4);
        self.reshape(&five, x.shape.clone())
    }
}

fn frequencies(size: i64) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "heads are small")]
    let frequency = |at: i64| 10_000_f64.powf(-2.0 * at as f64 / size as f64);
    (0..size / 2).map(frequency).collect()
}

/// Returns the angles of `rows` positions; `pair` returns the pair of the element at an index.
fn table(rows: usize, size: i64, pair: impl Fn(usize, usize) -> usize) -> Vec<f64> {
    let frequencies = frequencies(size);
    let width = frequencies.len() * 2;
    let angle = |row: usize, at: usize| {
        #[expect(clippy::cast_precision_loss, reason = "positions are few")]
        let row = row as f64;
        row * frequencies[pair(frequencies.len(), at)]
    };
    (0..rows).flat_map(|row| (0..width).map(move |at| (row, at))).map(|(row, at)| angle(row, at)).collect()
}
