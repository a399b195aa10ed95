//! Moves of elements: reshapes with computed sizes, slices, gathers, concatenations, transposes.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::{self, Dim};
use crate::words::product;

impl Draft {
    /// Adds operators that move elements, and others that restore the shape of `x`.
    pub(crate) fn moved(&mut self, x: &Value) -> Value {
        let steps = 1 + self.random.below(3);
        let mut y = x.clone();
        for _ in 0..steps {
            y = self.move_once(&y);
        }
        self.back_to(&y, &x.shape)
    }

    /// Restores a shape: by a reshape if the number of elements is the same by name, otherwise by a sum.
    fn back_to(&mut self, y: &Value, shape: &[Dim]) -> Value {
        if y.shape == shape {
            return y.clone();
        }
        let mut rest: Vec<&Dim> = y.shape.iter().filter(|dim| **dim != Dim::Known(1)).collect();
        let same = shape.iter().filter(|dim| **dim != Dim::Known(1)).all(|dim| {
            let at = rest.iter().position(|other| *other == dim);
            at.map(|at| rest.remove(at)).is_some()
        });
        if same && rest.is_empty() {
            return self.reshape(y, shape.to_vec());
        }
        // Reduced to one number per row, or to one number, and broadcast again.
        let axes: Vec<i64> = (0..y.rank()).collect();
        // The mean of no elements is NaN; the sum is 0.
        let one = self.reduce("ReduceSum", y, &axes, false);
        self.expand(&one, shape)
    }

    fn move_once(&mut self, x: &Value) -> Value {
        let rank = x.shape.len();
        if rank == 0 {
            return self.unsqueeze(x, &[0]);
        }
        match self.random.below(16) {
            0 | 1 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for at in (1..rank).rev() {
                    perm.swap(at, self.random.below(at + 1));
                }
                let y = self.transpose(x, &perm);
                if self.random.percent(30) { self.transpose(&y, &perm) } else { y }
            }
            2 | 3 => {
                // Merges two neighboring axes.
                let Some(at) = (rank > 1).then(|| self.random.below(rank - 1)) else { return self.unsqueeze(x, &[0]) };
                let merged = product(&x.shape[at], &x.shape[at + 1]);
                let shape = [&x.shape[..at], &[merged], &x.shape[at + 2..]].concat();
                self.reshape(x, shape)
            }
            4 => {
                // Splits one axis into two.
                let halves = |dim: &Dim| match dim {
                    Dim::Known(size) if *size > 2 && size % 2 == 0 => Some(size / 2),
                    _ => None,
                };
                let Some(at) = x.shape.iter().position(|dim| halves(dim).is_some()) else {
                    return self.same("Identity", &[x], vec![]);
                };
                let half = halves(&x.shape[at]).unwrap_or(1);
                let two = if self.random.percent(50) { [2.into(), half.into()] } else { [half.into(), 2.into()] };
                let shape = [&x.shape[..at], &two, &x.shape[at + 1..]].concat();
                self.reshape(x, shape)
            }
            5 => {
                let axis = i64::try_from(self.random.below(rank + 1)).unwrap_or(0);
                let y = self.unsqueeze(x, &[axis]);
                if self.random.percent(40) { self.squeeze(&y, &[axis]) } else { y }
            }
            6 => {
                let at = self.random.below(rank);
                let axis = i64::try_from(at).unwrap_or(0);
                match x.shape[at] {
                    Dim::Known(size) if size > 1 => {
                        let cut = size / 2;
                        let first = self.slice(x, axis, 0, cut, 1, cut.into());
                        let to = self.random.pick(&[size, i64::MAX]);
                        let second = self.slice(x, axis, cut, to, 1, (size - cut).into());
                        let mut y = self.concat(&[&first, &second], axis);
                        y.shape[at] = size.into();
                        y
                    }
                    Dim::Known(_) => self.same("Identity", &[x], vec![]),
                    Dim::Symbol(_) => {
                        // Slices all, up to the computed end; or all but the last element, concatenated with itself.
                        let (zero, axes) = (self.vector(&[0]), self.vector(&[axis]));
                        let end = self.size_of_one(&x.shape[at].clone());
                        self.slice_by(x, axis, [&zero, &end, &axes, &Value::absent()], x.shape[at].clone())
                    }
                }
            }
            7 => {
                let axis = self.random.below(rank);
                let axis_number = i64::try_from(axis).unwrap_or(0);
                match x.shape[axis] {
                    Dim::Known(size) if size > 1 && size % 2 == 0 => {
                        let mut parts = self.split(x, axis_number, &[size / 2, size / 2]);
                        if self.random.percent(50) {
                            parts.swap(0, 1);
                        }
                        let mut y = self.concat(&[&parts[0], &parts[1]], axis_number);
                        y.shape[axis] = size.into();
                        y
                    }
                    _ => self.concat(&[x, x], axis_number),
                }
            }
            8 => {
                // Gathers or slices the last or the first element.
                let at = self.random.below(rank);
                let axis = i64::try_from(at).unwrap_or(0);
                let place = self.random.pick(&[0, -1]);
                if self.random.percent(50) {
                    let index = self.scalar(place);
                    self.gather(x, &index, axis)
                } else {
                    let to = if place == 0 { 1 } else { i64::MAX };
                    self.slice(x, axis, place, to, 1, 1.into())
                }
            }
            9 => {
                let at = self.random.below(rank);
                let axis = i64::try_from(at).unwrap_or(0);
                let Dim::Known(size) = x.shape[at] else { return self.same("Identity", &[x], vec![]) };
                let indices: Vec<i64> = (0..size)
                    .map(|_| i64::try_from(self.random.below(usize::try_from(size).unwrap_or(1))).unwrap_or(0))
                    .collect();
                let indices = if self.random.percent(40) { (0..size).collect() } else { indices };
                let indices = self.vector(&indices);
                self.gather(x, &indices, axis)
            }
            10 => {
                let repeats: Vec<i64> = (0..rank).map(|at| if at == 0 { 2 } else { 1 }).collect();
                let mut shape = x.shape.clone();
                shape[0] = product(&shape[0], &2.into());
                let repeats = self.vector(&repeats);
                self.node("Tile", &[x, &repeats], vec![], x.elem, shape)
            }
            11 => {
                let at = self.random.below(rank);
                let amount = i64::try_from(self.random.below(2)).unwrap_or(0);
                let mut pads = vec![0; 2 * rank];
                pads[rank + at] = amount;
                let mut shape = x.shape.clone();
                shape[at] = crate::words::sum(&shape[at], &amount.into());
                let pads = self.vector(&pads);
                let value = if self.random.percent(50) { Value::absent() } else { self.tensor(x.elem, &[], &[1.0]) };
                self.node("Pad", &[x, &pads, &value], vec![], x.elem, shape)
            }
            12 => {
                // Zeros or ones of a computed shape.
                let sizes = self.sizes(x, &x.shape, false);
                if sizes.shape != [Dim::Known(x.rank())] {
                    return self.same("Identity", &[x], vec![]);
                }
                let shape = self.node("Shape", &[x], vec![], Elem::I64, vec![x.rank().into()]);
                let number = self.random.pick(&[0.0, 1.0]);
                let value = proto::tensor("value", proto::tensor_of("", x.elem, &[1], &[number]));
                let filled = self.node("ConstantOfShape", &[&shape], vec![value], x.elem, x.shape.clone());
                if number == 0.0 { self.add(x, &filled) } else { self.mul(x, &filled) }
            }
            13 if rank == 3 => {
                let equation = self.random.pick(&["bij->bji", "bij,bkj->bik", "bij,bij->bij"]);
                let attributes = vec![proto::string("equation", equation)];
                if self.opset < 12 || x.elem == Elem::F16 || x.elem == Elem::I64 {
                    return self.same("Identity", &[x], vec![]);
                }
                let turned = vec![x.dim(0), x.dim(2), x.dim(1)];
                match equation {
                    "bij->bji" => self.node("Einsum", &[x], attributes, x.elem, turned),
                    "bij,bkj->bik" => {
                        let shape = vec![x.dim(0), x.dim(1), x.dim(1)];
                        self.node("Einsum", &[x, x], attributes, x.elem, shape)
                    }
                    _ => self.same("Einsum", &[x, x], attributes),
                }
            }
            14 => {
                let start = self.random.below(rank + 1);
                let flat = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |all, dim| product(&all, dim));
                let shape = vec![flat(&x.shape[..start]), flat(&x.shape[start..])];
                let axis = proto::int("axis", i64::try_from(start).unwrap_or(0));
                self.node("Flatten", &[x], vec![axis], x.elem, shape)
            }
            _ => {
                // A size of 0 copies; so does one that is 0 only when the model runs.
                let sizes: Vec<i64> = vec![0; rank];
                let zeros = if self.random.percent(50) {
                    self.vector(&sizes)
                } else {
                    let shape = self.node("Shape", &[x], vec![], Elem::I64, vec![x.rank().into()]);
                    self.binary("Sub", &shape, &shape)
                };
                self.same("Reshape", &[x, &zeros], vec![])
            }
        }
    }

    /// Adds arithmetic on sizes that ends in a number that the model adds.
    pub(crate) fn size_arithmetic(&mut self, x: &Value) -> Value {
        let mut size = self.size(&x.dim(1));
        for _ in 0..=self.random.below(3) {
            let other = if self.random.percent(40) {
                self.size(&x.dim(0))
            } else {
                let number = self.random.pick(&[1, 2, 3]);
                self.scalar(number)
            };
            let op = self.random.pick(&["Add", "Mul", "Sub", "Max", "Min", "Div"]);
            if op == "Div" {
                let two = self.scalar(2);
                size = self.binary(op, &size, &two);
            } else if self.opset >= 12 || op != "Max" && op != "Min" {
                size = self.binary(op, &size, &other);
            }
        }
        if self.random.percent(20) {
            size = self.in_other_type(&size);
        }
        let number = self.cast(&size, x.elem);
        let number = if self.random.percent(50) {
            let scale = self.number_of(x.elem, 0.125);
            self.mul(&number, &scale)
        } else {
            number
        };
        self.add(x, &number)
    }

    /// Adds a lookup of ids in a table, as an embedding.
    pub(crate) fn embedding(&mut self, batch: &Dim, seq: &Dim, width: i64) -> Value {
        let ids = self.input("ids", Elem::I64, &[batch.clone(), seq.clone()]);
        let table = self.weight(&[7, width]);
        let rows = self.gather(&table, &ids, 0);
        if self.random.percent(50) {
            // With positions.
            let table = self.weight(&[32, width]);
            let positions = self.positions(seq);
            let positions = if self.random.percent(50) { self.unsqueeze(&positions, &[0]) } else { positions };
            let places = self.gather(&table, &positions, 0);
            return self.add(&rows, &places);
        }
        rows
    }

    /// Adds the last row of every sequence that its mask shows, by indices.
    pub(crate) fn pooled(&mut self, x: &Value) -> Value {
        let mask = self.input("mask", Elem::I64, &[x.dim(0), x.dim(1)]);
        match self.random.below(3) {
            0 => {
                // The mean of the rows that the mask shows.
                let mask = self.cast(&mask, x.elem);
                let mask = self.unsqueeze(&mask, &[2]);
                let shown = self.mul(x, &mask);
                let total = self.reduce("ReduceSum", &shown, &[1], false);
                let count = self.reduce("ReduceSum", &mask, &[1], false);
                let least = self.number_of(x.elem, 0.001);
                let count = self.either("Max", &count, &least);
                let mean = self.binary("Div", &total, &count);
                let mean = self.unsqueeze(&mean, &[1]);
                self.add(x, &mean)
            }
            1 => {
                let first = self.scalar(0);
                let first = self.gather(x, &first, 1);
                let first = self.unsqueeze(&first, &[1]);
                self.add(x, &first)
            }
            _ => {
                let counts = self.reduce("ReduceSum", &mask, &[1], true);
                let counts = self.unsqueeze(&counts, &[2]);
                let one = self.scalar(1);
                let last = self.binary("Sub", &counts, &one);
                let zero = self.scalar(0);
                let last = if self.opset >= 12 { self.either("Max", &last, &zero) } else { self.mul(&last, &zero) };
                let shape = [x.dim(0), 1.into(), x.dim(2)];
                let indices = self.expand(&last, &shape);
                let row =
                    self.node("GatherElements", &[x, &indices], vec![proto::int("axis", 1)], x.elem, shape.to_vec());
                self.add(x, &row)
            }
        }
    }
}
