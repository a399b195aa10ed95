//! Attention masks: how they are computed, and how they are applied to scores.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::{self, Dim};

/// A mask that broadcasts to `[batch, heads, query, key]`.
#[derive(Clone, Debug)]
enum Mask {
    /// It is added to scores.
    Added(Value),
    /// True where a query sees a key.
    Seen(Value),
    /// True where a query does not see a key.
    Hidden(Value),
}

/// The shape of scores.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub(crate) batch: Dim,
    pub(crate) heads: i64,
    pub(crate) query: Dim,
    pub(crate) key: Dim,
}

impl Draft {
    /// Returns a number that hides a key when it is added to the score, or nearly does.
    pub(crate) fn fill(&mut self) -> f64 {
        let lowest = self.elem.lowest();
        let fills = [lowest, lowest, lowest, -1e4, -1e4, -1e9, -50.0, f64::NEG_INFINITY, -1e30, -65504.0, -100.0];
        let fill = self.random.pick(&fills);
        // A number beyond the range of f16 becomes the lowest f16, or -inf.
        if fill.is_finite() && fill < lowest && self.random.percent(70) { lowest } else { fill }
    }

    /// Applies up to three masks to the scores.
    pub(crate) fn mask_scores(&mut self, scores: Value, of: &Scores) -> Value {
        let count = self.random.pick(&[0, 1, 1, 1, 2, 2, 2, 3]);
        let masks: Vec<Mask> = (0..count).map(|_| self.mask(of)).collect();
        if masks.len() > 1 {
            match self.random.below(4) {
                0 => return self.add_combined(&scores, masks),
                1 => return self.mask_by_all(&scores, masks, of),
                _ => {}
            }
        }
        masks.into_iter().fold(scores, |scores, mask| match mask {
            Mask::Seen(seen) if self.random.percent(35) => {
                let fill = self.fill();
                let fill = self.number(fill);
                self.choose(&seen, &scores, &fill)
            }
            Mask::Hidden(hidden) if self.random.percent(35) => {
                let fill = self.fill();
                let fill = self.number(fill);
                self.choose(&hidden, &fill, &scores)
            }
            mask => {
                let added = self.added(mask);
                self.add(&scores, &added)
            }
        })
    }

    /// Adds the sum, the minimum or the clipped sum of the masks.
    fn add_combined(&mut self, scores: &Value, masks: Vec<Mask>) -> Value {
        let masks: Vec<Value> = masks.into_iter().map(|mask| self.added(mask)).collect();
        let way = self.random.below(4);
        let mut all = masks[0].clone();
        for mask in &masks[1..] {
            all = match way {
                0 => self.either("Min", &all, mask),
                _ => self.add(&all, mask),
            };
        }
        if way == 1 {
            let lowest = self.number(self.elem.lowest());
            all = self.either("Max", &all, &lowest);
        }
        self.add(scores, &all)
    }

    /// Combines all bool masks into one selection, and adds the others.
    fn mask_by_all(&mut self, scores: &Value, masks: Vec<Mask>, of: &Scores) -> Value {
        let mut seen: Option<Value> = None;
        let mut scores = scores.clone();
        for mask in masks {
            let one = match mask {
                Mask::Added(added) => {
                    scores = self.add(&scores, &added);
                    continue;
                }
                Mask::Seen(one) => one,
                Mask::Hidden(one) => self.same("Not", &[&one], vec![]),
            };
            seen = Some(match seen {
                Some(other) => self.either("And", &other, &one),
                None => one,
            });
        }
        let Some(seen) = seen else { return scores };
        match self.random.below(3) {
            0 => {
                let fill = self.fill();
                let fill = self.number(fill);
                self.choose(&seen, &scores, &fill)
            }
            1 if seen.shape.len() <= 4 => {
                let shape = vec![of.batch.clone(), 1.into(), of.query.clone(), of.key.clone()];
                let seen = self.expand(&seen, &shape);
                let added = self.added(Mask::Seen(seen));
                self.add(&scores, &added)
            }
            _ => {
                let added = self.added(Mask::Seen(seen));
                self.add(&scores, &added)
            }
        }
    }

    /// Returns the mask in the form that is added.
    fn added(&mut self, mask: Mask) -> Value {
        let elem = self.elem;
        let fill = self.fill();
        match mask {
            Mask::Added(value) => value,
            // A product with -inf is NaN for visible keys.
            Mask::Seen(seen) if fill.is_finite() && self.random.percent(50) => {
                let one = self.number(1.0);
                let seen = self.cast(&seen, elem);
                if self.random.percent(50) {
                    let hidden = self.binary("Sub", &one, &seen);
                    let fill = self.number(fill);
                    self.mul(&hidden, &fill)
                } else {
                    let hidden = self.binary("Sub", &seen, &one);
                    let fill = self.number(-fill);
                    self.mul(&hidden, &fill)
                }
            }
            Mask::Seen(seen) => {
                let (zero, fill) = (self.number(0.0), self.number(fill));
                self.choose(&seen, &zero, &fill)
            }
            Mask::Hidden(hidden) if fill.is_finite() && self.random.percent(50) => {
                let hidden = self.cast(&hidden, elem);
                let fill = self.number(fill);
                self.mul(&hidden, &fill)
            }
            Mask::Hidden(hidden) => {
                let (zero, fill) = (self.number(0.0), self.number(fill));
                self.choose(&hidden, &fill, &zero)
            }
        }
    }

    fn mask(&mut self, of: &Scores) -> Mask {
        match self.random.below(12) {
            0..=4 => self.padding_mask(of),
            5..=8 => self.causal_mask(of),
            9 => {
                let elem = self.elem;
                let heads = self.random.pick(&[1, of.heads]);
                let batch = if self.random.percent(50) { of.batch.clone() } else { 1.into() };
                let shape = [batch, heads.into(), of.query.clone(), of.key.clone()];
                let bias = self.input("bias", Elem::F32, &shape);
                Mask::Added(if elem == Elem::F32 { bias } else { self.cast(&bias, elem) })
            }
            10 => {
                // A slope per head over distances, as in ALiBi.
                let weight = self.weight(&[1, of.heads, 1, 1]);
                let positions = self.positions(&of.key);
                let positions = self.cast(&positions, self.elem);
                Mask::Added(self.mul(&weight, &positions))
            }
            _ => {
                // A constant that adds the same to all scores, or hides all.
                let fill = self.fill();
                let value = self.random.pick(&[0.0, 1.0, fill]);
                Mask::Added(self.number(value))
            }
        }
    }

    /// Adds `[0, ..., size)`, as i64.
    pub(crate) fn positions(&mut self, size: &Dim) -> Value {
        let (zero, one) = (self.scalar(0), self.scalar(1));
        let end = self.size(size);
        self.node("Range", &[&zero, &end, &one], vec![], Elem::I64, vec![size.clone()])
    }

    fn padding_mask(&mut self, of: &Scores) -> Mask {
        let elem = self.random.pick(&[Elem::I64, Elem::I64, Elem::I64, Elem::I32, Elem::Bool, Elem::F32]);
        let mut mask = self.input("mask", elem, &[of.batch.clone(), of.key.clone()]);
        let early = self.random.percent(50);
        if !early {
            mask = self.lift(&mask);
        }
        let mask = match (elem, self.random.below(4)) {
            (Elem::Bool, _) => Mask::Seen(mask),
            (elem, 0) => {
                let zero = self.number_of(elem, 0.0);
                Mask::Hidden(self.compare("Equal", &mask, &zero))
            }
            (elem, 1) => {
                let zero = self.number_of(elem, 0.0);
                Mask::Seen(self.compare("Greater", &mask, &zero))
            }
            (_, 2) => {
                let (elem, fill) = (self.elem, self.fill());
                let mask = if mask.elem == elem { mask } else { self.cast(&mask, elem) };
                let one = self.number(1.0);
                let hidden = self.binary("Sub", &one, &mask);
                if !fill.is_finite() || self.random.percent(40) {
                    // As in exports of Llama: nonzero elements become the fill.
                    let condition = self.cast(&hidden, Elem::Bool);
                    let fill = self.number(fill);
                    Mask::Added(self.choose(&condition, &fill, &hidden))
                } else {
                    let fill = self.number(fill);
                    Mask::Added(self.mul(&hidden, &fill))
                }
            }
            _ => Mask::Seen(self.cast(&mask, Elem::Bool)),
        };
        if !early {
            return mask;
        }
        match mask {
            // A scalar has no axes.
            Mask::Added(value) => Mask::Added(self.lift_flat(value)),
            Mask::Seen(value) => Mask::Seen(self.lift_flat(value)),
            Mask::Hidden(value) => Mask::Hidden(self.lift_flat(value)),
        }
    }

    fn lift_flat(&mut self, value: Value) -> Value {
        if value.shape.len() == 2 { self.lift(&value) } else { value }
    }

    /// Adds axes: `[batch, key]` to `[batch, 1, 1, key]`.
    fn lift(&mut self, mask: &Value) -> Value {
        match self.random.below(3) {
            0 => self.unsqueeze(mask, &[1, 2]),
            1 => {
                let one = self.unsqueeze(mask, &[1]);
                self.unsqueeze(&one, &[2])
            }
            _ => {
                let shape = vec![mask.dim(0), 1.into(), 1.into(), mask.dim(1)];
                self.reshape(mask, shape)
            }
        }
    }

    /// Adds a causal mask; the queries are aligned with the last keys.
    fn causal_mask(&mut self, of: &Scores) -> Mask {
        let shape = vec![of.query.clone(), of.key.clone()];
        match self.random.below(5) {
            0 if self.opset >= 14 && of.query == of.key => {
                // Trilu of a square of fills, or of bools.
                let fill = self.fill();
                let square = if self.random.percent(50) {
                    let fill = self.number_of(self.elem, fill);
                    self.expand(&fill, &shape)
                } else {
                    let sizes = self.sizes(&Value::absent(), &shape, false);
                    let value = proto::tensor("value", proto::tensor_of("", self.elem, &[1], &[fill]));
                    self.node("ConstantOfShape", &[&sizes], vec![value], self.elem, shape.clone())
                };
                let k = self.scalar(1);
                let mut mask = self.same("Trilu", &[&square, &k], vec![proto::int("upper", 1)]);
                if self.random.percent(50) {
                    mask = self.unsqueeze(&mask, &[0, 1]);
                }
                Mask::Added(mask)
            }
            1 | 2 => {
                // A table for the longest text, of which the rows of the last queries and the first keys are sliced.
                let size = 16_usize;
                let fill = self.fill();
                let is_bool = self.random.percent(60);
                let below = |at: usize| (at % size) <= at / size;
                let entry = |at: usize| match (is_bool, below(at)) {
                    (true, seen) => f64::from(u8::from(seen)),
                    (false, true) => 0.0,
                    (false, false) => fill,
                };
                let entries: Vec<f64> = (0..size * size).map(entry).collect();
                let elem = if is_bool { Elem::Bool } else { self.elem };
                let table = self.tensor(elem, &[1, 1, 16, 16], &entries);
                let key = self.size_of_one(&of.key);
                let query = self.size_of_one(&of.query);
                let zero = self.vector(&[0]);
                let from = self.binary("Sub", &key, &query);
                let (rows, columns) = (self.vector(&[2]), self.vector(&[3]));
                let table = self.slice_by(&table, 2, [&from, &key, &rows, &Value::absent()], of.query.clone());
                let table = self.slice_by(&table, 3, [&zero, &key, &columns, &Value::absent()], of.key.clone());
                if is_bool { Mask::Seen(table) } else { Mask::Added(table) }
            }
            _ => {
                let keys = self.positions(&of.key);
                let mut queries = self.positions(&of.query);
                if of.query != of.key {
                    let (key, query) = (self.size(&of.key), self.size(&of.query));
                    let past = self.binary("Sub", &key, &query);
                    queries = self.add(&queries, &past);
                }
                let queries = self.unsqueeze(&queries, &[1]);
                let mut mask = match self.random.below(3) {
                    0 if self.opset >= 12 => Mask::Seen(self.compare("LessOrEqual", &keys, &queries)),
                    1 if self.opset >= 12 => Mask::Seen(self.compare("GreaterOrEqual", &queries, &keys)),
                    _ => Mask::Hidden(self.compare("Greater", &keys, &queries)),
                };
                if self.random.percent(25) {
                    // A window: keys that are too far before the query are hidden too.
                    let window = self.scalar(2);
                    let edge = self.binary("Sub", &queries, &window);
                    let near = self.compare("Greater", &keys, &edge);
                    mask = match mask {
                        Mask::Seen(seen) => Mask::Seen(self.either("And", &seen, &near)),
                        Mask::Hidden(hidden) => {
                            let far = self.same("Not", &[&near], vec![]);
                            Mask::Hidden(self.either("Or", &hidden, &far))
                        }
                        Mask::Added(added) => Mask::Added(added),
                    };
                }
                if self.random.percent(50) {
                    return mask;
                }
                match mask {
                    Mask::Seen(value) => Mask::Seen(self.unsqueeze(&value, &[0, 1])),
                    Mask::Hidden(value) => Mask::Hidden(self.unsqueeze(&value, &[0, 1])),
                    Mask::Added(value) => Mask::Added(value),
                }
            }
        }
    }
}
