//! Operators in the form of the model's opset, and sizes computed from shapes.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::{self, Dim};

/// Returns the product of two sizes.
pub(crate) fn product(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Known(a), Dim::Known(b)) => Dim::Known(a * b),
        (Dim::Known(1), other) | (other, Dim::Known(1)) => other.clone(),
        (Dim::Known(a), Dim::Symbol(b)) | (Dim::Symbol(b), Dim::Known(a)) => Dim::Symbol(format!("{b}*{a}")),
        (Dim::Symbol(a), Dim::Symbol(b)) => Dim::Symbol(format!("{a}*{b}")),
    }
}

/// Returns the sum of two sizes.
pub(crate) fn sum(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Known(a), Dim::Known(b)) => Dim::Known(a + b),
        (Dim::Known(a), Dim::Symbol(b)) | (Dim::Symbol(b), Dim::Known(a)) => Dim::Symbol(format!("{b} + {a}")),
        (Dim::Symbol(a), Dim::Symbol(b)) => Dim::Symbol(format!("{a} + {b}")),
    }
}

fn broadcast_dim(a: &Dim, b: &Dim) -> Dim {
    if *a == Dim::Known(1) { b.clone() } else { a.clone() }
}

/// Returns the shape of two operands that broadcast.
pub(crate) fn broadcast(a: &[Dim], b: &[Dim]) -> Vec<Dim> {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let lead = long.len() - short.len();
    let tail = long[lead..].iter().zip(short).map(|(a, b)| broadcast_dim(a, b));
    long[..lead].iter().cloned().chain(tail).collect()
}

/// Returns whether a shape can be broadcast to another.
pub(crate) fn fits(a: &[Dim], to: &[Dim]) -> bool {
    a.len() <= to.len() && to[to.len() - a.len()..].iter().zip(a).all(|(to, a)| a == to || *a == Dim::Known(1))
}

/// Binary operators and others that broadcast.
impl Draft {
    pub(crate) fn binary(&mut self, op: &'static str, a: &Value, b: &Value) -> Value {
        self.node(op, &[a, b], vec![], a.elem, broadcast(&a.shape, &b.shape))
    }

    /// Adds a commutative binary operator, with its operands in either order.
    pub(crate) fn either(&mut self, op: &'static str, a: &Value, b: &Value) -> Value {
        if self.random.percent(50) { self.binary(op, a, b) } else { self.binary(op, b, a) }
    }

    pub(crate) fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.either("Add", a, b)
    }

    pub(crate) fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.either("Mul", a, b)
    }

    pub(crate) fn compare(&mut self, op: &'static str, a: &Value, b: &Value) -> Value {
        self.node(op, &[a, b], vec![], Elem::Bool, broadcast(&a.shape, &b.shape))
    }

    pub(crate) fn choose(&mut self, condition: &Value, a: &Value, b: &Value) -> Value {
        let shape = broadcast(&condition.shape, &broadcast(&a.shape, &b.shape));
        self.node("Where", &[condition, a, b], vec![], a.elem, shape)
    }

    pub(crate) fn cast(&mut self, value: &Value, to: Elem) -> Value {
        self.node("Cast", &[value], vec![proto::int("to", to as i64)], to, value.shape.clone())
    }

    pub(crate) fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        let mut shape = if a.shape.len() >= b.shape.len() { a.shape.clone() } else { b.shape.clone() };
        let rank = shape.len();
        shape[rank - 2] = a.dim(-2);
        shape[rank - 1] = b.dim(-1);
        self.node("MatMul", &[a, b], vec![], a.elem, shape)
    }

    pub(crate) fn softmax(&mut self, value: &Value, axis: i64) -> Value {
        let axis = if self.random.percent(50) { axis } else { axis - value.rank() };
        self.same("Softmax", &[value], vec![proto::int("axis", axis)])
    }
}

/// Operators that move elements.
impl Draft {
    pub(crate) fn transpose(&mut self, value: &Value, perm: &[usize]) -> Value {
        let axes: Vec<i64> = perm.iter().map(|&axis| i64::try_from(axis).unwrap_or(0)).collect();
        let shape = perm.iter().map(|&axis| value.shape[axis].clone()).collect();
        self.node("Transpose", &[value], vec![proto::ints("perm", &axes)], value.elem, shape)
    }

    fn with_axes(
        &mut self,
        op: &'static str,
        value: &Value,
        axes: &[i64],
        since: i64,
        mut rest: Vec<proto::Attribute>,
        shape: Vec<Dim>,
    ) -> Value {
        if self.opset < since {
            rest.push(proto::ints("axes", axes));
            return self.node(op, &[value], rest, value.elem, shape);
        }
        let axes = self.vector(axes);
        self.node(op, &[value, &axes], rest, value.elem, shape)
    }

    pub(crate) fn unsqueeze(&mut self, value: &Value, axes: &[i64]) -> Value {
        let rank = value.shape.len() + axes.len();
        let places: Vec<usize> = axes.iter().map(|&axis| place(axis, rank)).collect();
        let mut rest = value.shape.iter().cloned();
        let shape =
            (0..rank).map(|at| if places.contains(&at) { Dim::Known(1) } else { rest.next().unwrap_or(Dim::Known(1)) });
        let shape = shape.collect();
        self.with_axes("Unsqueeze", value, axes, 13, vec![], shape)
    }

    pub(crate) fn squeeze(&mut self, value: &Value, axes: &[i64]) -> Value {
        let places: Vec<usize> = axes.iter().map(|&axis| place(axis, value.shape.len())).collect();
        let kept = value.shape.iter().enumerate().filter(|(at, _)| !places.contains(at));
        let shape = kept.map(|(_, dim)| dim.clone()).collect();
        self.with_axes("Squeeze", value, axes, 13, vec![], shape)
    }

    pub(crate) fn reduce(&mut self, op: &'static str, value: &Value, axes: &[i64], keep: bool) -> Value {
        let places: Vec<usize> = axes.iter().map(|&axis| place(axis, value.shape.len())).collect();
        let mut shape = vec![];
        for (at, dim) in value.shape.iter().enumerate() {
            match (places.contains(&at), keep) {
                (true, true) => shape.push(Dim::Known(1)),
                (true, false) => {}
                (false, _) => shape.push(dim.clone()),
            }
        }
        let since = if op == "ReduceSum" { 13 } else { 18 };
        let rest = if keep && self.random.percent(50) { vec![] } else { vec![proto::int("keepdims", i64::from(keep))] };
        self.with_axes(op, value, axes, since, rest, shape)
    }

    pub(crate) fn split(&mut self, value: &Value, axis: i64, sizes: &[i64]) -> Vec<Value> {
        let at = place(axis, value.shape.len());
        let results: Vec<(Elem, Vec<Dim>)> = sizes
            .iter()
            .map(|&size| {
                let mut shape = value.shape.clone();
                shape[at] = Dim::Known(size);
                (value.elem, shape)
            })
            .collect();
        let axis = proto::int("axis", axis);
        if self.opset < 13 {
            return self.nodes("Split", &[value], vec![axis, proto::ints("split", sizes)], &results);
        }
        let equal = sizes.windows(2).all(|pair| pair[0] == pair[1]);
        if equal && self.random.percent(40) {
            let mut attributes = vec![axis];
            if self.opset >= 18 {
                attributes.push(proto::int("num_outputs", i64::try_from(sizes.len()).unwrap_or(1)));
            }
            return self.nodes("Split", &[value], attributes, &results);
        }
        let sizes = self.vector(sizes);
        self.nodes("Split", &[value, &sizes], vec![axis], &results)
    }

    /// Adds a slice of one axis, whose size becomes `size`.
    pub(crate) fn slice(&mut self, value: &Value, axis: i64, from: i64, to: i64, step: i64, size: Dim) -> Value {
        let (from, to, axes) = (self.vector(&[from]), self.vector(&[to]), self.vector(&[axis]));
        let step = if step == 1 && self.random.percent(60) { Value::absent() } else { self.vector(&[step]) };
        self.slice_by(value, axis, [&from, &to, &axes, &step], size)
    }

    pub(crate) fn slice_by(&mut self, value: &Value, axis: i64, operands: [&Value; 4], size: Dim) -> Value {
        let mut shape = value.shape.clone();
        let at = place(axis, shape.len());
        shape[at] = size;
        let [from, to, axes, step] = operands;
        self.node("Slice", &[value, from, to, axes, step], vec![], value.elem, shape)
    }

    pub(crate) fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        let mut shape = values[0].shape.clone();
        let at = place(axis, shape.len());
        shape[at] = values.iter().skip(1).fold(shape[at].clone(), |size, value| sum(&size, &value.shape[at]));
        self.node("Concat", values, vec![proto::int("axis", axis)], values[0].elem, shape)
    }

    pub(crate) fn gather(&mut self, value: &Value, indices: &Value, axis: i64) -> Value {
        let at = place(axis, value.shape.len());
        let shape = [&value.shape[..at], &indices.shape, &value.shape[at + 1..]].concat();
        let attributes = if axis == 0 && self.random.percent(50) { vec![] } else { vec![proto::int("axis", axis)] };
        self.node("Gather", &[value, indices], attributes, value.elem, shape)
    }

    /// Adds a reshape to dims of the model; the sizes are constants where possible, or computed.
    pub(crate) fn reshape(&mut self, value: &Value, shape: Vec<Dim>) -> Value {
        let sizes = self.sizes(value, &shape, true);
        self.node("Reshape", &[value, &sizes], vec![], value.elem, shape)
    }

    pub(crate) fn expand(&mut self, value: &Value, shape: &[Dim]) -> Value {
        let sizes = self.sizes(value, shape, false);
        let shape = broadcast(shape, &value.shape);
        self.node("Expand", &[value, &sizes], vec![], value.elem, shape)
    }
}

/// Sizes, computed in the various ways of exporters.
impl Draft {
    /// Adds a size as an i64 scalar.
    pub(crate) fn size(&mut self, dim: &Dim) -> Value {
        match dim {
            Dim::Known(size) => self.scalar(*size),
            Dim::Symbol(_) => {
                let one = self.size_of_one(dim);
                if self.random.percent(50) {
                    self.squeeze(&one, &[0])
                } else {
                    let zero = self.scalar(0);
                    self.gather(&one, &zero, 0)
                }
            }
        }
    }

    /// Adds a size as an i64 vector of one element.
    pub(crate) fn size_of_one(&mut self, dim: &Dim) -> Value {
        let Dim::Symbol(name) = dim else {
            let Dim::Known(size) = dim else { return self.scalar(0) };
            return self.vector(&[*size]);
        };
        // Sums and products of names that are not the size of a value.
        let holders: Vec<Value> = self.values().filter(|value| value.shape.contains(dim)).cloned().collect();
        if holders.is_empty() || self.random.percent(10) {
            for (sign, op) in [("*", "Mul"), (" + ", "Add")] {
                if let Some((a, b)) = name.rsplit_once(sign) {
                    let part = |text: &str| text.parse().map_or_else(|_| Dim::from(text), Dim::Known);
                    let (a, b) = (self.size_of_one(&part(a)), self.size_of_one(&part(b)));
                    return self.either(op, &a, &b);
                }
            }
        }
        if holders.is_empty() {
            // No value has that size: the model does not load, and is not counted.
            return self.vector(&[1]);
        }
        let holder = holders[self.random.below(holders.len())].clone();
        let at = holder.shape.iter().position(|other| other == dim).unwrap_or(0);
        let at = i64::try_from(at).unwrap_or(0);
        let rank = holder.rank();
        if self.opset >= 15 && self.random.percent(30) {
            let start = if self.random.percent(50) { at } else { at - rank };
            let mut attributes = vec![proto::int("start", start)];
            if at + 1 < rank {
                attributes.push(proto::int("end", at + 1));
            }
            return self.node("Shape", &[&holder], attributes, Elem::I64, vec![1.into()]);
        }
        let shape = self.node("Shape", &[&holder], vec![], Elem::I64, vec![rank.into()]);
        match self.random.below(3) {
            0 => {
                let place = if self.random.percent(70) { at } else { at - rank };
                let index = self.scalar(place);
                let scalar = self.gather(&shape, &index, 0);
                let scalar = if self.random.percent(15) { self.in_other_type(&scalar) } else { scalar };
                self.unsqueeze(&scalar, &[0])
            }
            1 => {
                let index = self.vector(&[at]);
                self.gather(&shape, &index, 0)
            }
            _ => self.slice(&shape, 0, at, at + 1, 1, 1.into()),
        }
    }

    /// Casts a number to another type and back.
    pub(crate) fn in_other_type(&mut self, value: &Value) -> Value {
        let other = self.random.pick(&[Elem::I32, Elem::F32, Elem::F64]);
        let there = self.cast(value, other);
        self.cast(&there, value.elem)
    }

    /// Adds the sizes of a shape, for a Reshape or an Expand.
    pub(crate) fn sizes(&mut self, value: &Value, shape: &[Dim], reshaped: bool) -> Value {
        // One size may be -1, and 0 may copy a size.
        let infer = (reshaped && self.random.percent(60)).then(|| {
            let symbols: Vec<usize> = (0..shape.len()).filter(|&at| matches!(shape[at], Dim::Symbol(_))).collect();
            if symbols.is_empty() || self.random.percent(20) {
                self.random.below(shape.len().max(1))
            } else {
                symbols[self.random.below(symbols.len())]
            }
        });
        let copies = reshaped && self.random.percent(40);
        let mut parts: Vec<(Option<i64>, Dim)> = vec![];
        for (at, dim) in shape.iter().enumerate() {
            let number = match dim {
                _ if infer == Some(at) => Some(-1),
                _ if copies && value.shape.get(at) == Some(dim) => Some(0),
                Dim::Known(size) => Some(*size),
                Dim::Symbol(_) if !reshaped && value.shape.len() == shape.len() && value.shape[at] == *dim => {
                    self.random.percent(60).then_some(1)
                }
                Dim::Symbol(_) => None,
            };
            parts.push((number, dim.clone()));
        }
        if parts.iter().all(|(number, _)| number.is_some()) && (!parts.is_empty()) && self.random.percent(90) {
            let numbers: Vec<i64> = parts.iter().filter_map(|(number, _)| *number).collect();
            return self.vector(&numbers);
        }
        if parts.is_empty() {
            return self.vector(&[]);
        }
        // The whole shape of a value at once.
        let same = self.values().find(|other| other.shape == shape && !other.name.is_empty()).cloned();
        if let Some(same) = same.filter(|_| self.random.percent(35)) {
            return self.node("Shape", &[&same], vec![], Elem::I64, vec![same.rank().into()]);
        }
        let mut vectors: Vec<Value> = vec![];
        let mut pending: Vec<i64> = vec![];
        for (number, dim) in parts {
            if let Some(number) = number {
                pending.push(number);
                continue;
            }
            if !pending.is_empty() {
                vectors.push(self.vector(&std::mem::take(&mut pending)));
            }
            vectors.push(self.size_of_one(&dim));
        }
        if !pending.is_empty() {
            vectors.push(self.vector(&pending));
        }
        let operands: Vec<&Value> = vectors.iter().collect();
        let sizes = if operands.len() == 1 && self.random.percent(70) {
            vectors[0].clone()
        } else {
            self.node(
                "Concat",
                &operands,
                vec![proto::int("axis", 0)],
                Elem::I64,
                vec![i64::try_from(shape.len()).unwrap_or(0).into()],
            )
        };
        if !reshaped && self.random.percent(25) {
            // As PyTorch writes it: -1 keeps a size.
            let ones = self.vector(&vec![1; shape.len()]);
            let minus = self.vector(&[-1]);
            let keeps = self.compare("Equal", &sizes, &minus);
            return self.choose(&keeps, &ones, &sizes);
        }
        if self.random.percent(10) { self.in_other_type(&sizes) } else { sizes }
    }
}

fn place(axis: i64, rank: usize) -> usize {
    let rank = i64::try_from(rank).unwrap_or(0);
    usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(0)
}
