//! Chains of elementwise operators: constants with little or no effect, casts, selections.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto;

impl Draft {
    /// Adds a chain of elementwise operators whose result has the shape of `x`.
    pub(crate) fn chain(&mut self, x: &Value) -> Value {
        let mut y = x.clone();
        for _ in 0..=self.random.below(5) {
            y = self.link(&y);
        }
        y
    }

    /// Adds a constant, or picks another value, that broadcasts to the shape of `x`.
    fn partner(&mut self, x: &Value) -> Value {
        if self.random.percent(35) {
            let shape = x.shape.clone();
            if let Some(other) = self.pick(x.elem, |own| crate::words::fits(own, &shape)) {
                return other;
            }
        }
        if self.random.percent(30) && x.width() > 1 && x.elem.is_float() {
            return self.weight_of(x.elem, &[x.width()], 0.5);
        }
        let number = self.random.pick(&[0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 0.125, 1e-7]);
        self.number_of(x.elem, number)
    }

    fn link(&mut self, x: &Value) -> Value {
        match self.random.below(18) {
            0..=4 => {
                let other = self.partner(x);
                let op = self.random.pick(&["Add", "Mul", "Add", "Mul", "Sub", "Sum"]);
                self.node(op, &[x, &other], vec![], x.elem, x.shape.clone())
            }
            5 => {
                let divisor = self.random.pick(&[1.0, 2.0, 8.0, 3.0, -1.0]);
                let divisor = self.number_of(x.elem, divisor);
                self.binary("Div", x, &divisor)
            }
            6 => {
                let power = self.random.pick(&[1.0, 2.0, 3.0, 0.0]);
                let power = self.number_of(x.elem, power);
                // Powers of larger numbers would become scores that come near the fills of masks.
                let bounded = self.same("Tanh", &[x], vec![]);
                self.binary("Pow", &bounded, &power)
            }
            7 | 8 => {
                let ops = ["Neg", "Abs", "Relu", "Tanh", "Sigmoid", "Erf", "Identity", "Softsign", "Sin", "Cos"];
                let op = self.random.pick(&ops);
                if x.elem != Elem::F32 && matches!(op, "Sin" | "Cos" | "Softsign" | "Erf") {
                    return self.same("Tanh", &[x], vec![]);
                }
                self.same(op, &[x], vec![])
            }
            9 => {
                let square = self.mul(x, x);
                let root = self.same("Sqrt", &[&square], vec![]);
                if self.random.percent(30) {
                    let one = self.number_of(x.elem, 1.0);
                    let sum = self.add(&root, &one);
                    return self.same("Log", &[&sum], vec![]);
                }
                root
            }
            10 => {
                let other = self.random.pick(&[Elem::F32, Elem::F64, Elem::F16, Elem::F32]);
                let there = self.cast(x, other);
                self.cast(&there, x.elem)
            }
            11 => {
                let condition = self.condition(x);
                let other = self.partner(x);
                if self.random.percent(50) {
                    self.choose(&condition, x, &other)
                } else {
                    self.choose(&condition, &other, x)
                }
            }
            12 => {
                let other = self.partner(x);
                let op = self.random.pick(&["Min", "Max"]);
                self.node(op, &[x, &other], vec![], x.elem, x.shape.clone())
            }
            13 => {
                let axis = i64::try_from(self.random.below(x.shape.len().max(1))).unwrap_or(0);
                if x.shape.is_empty() {
                    return x.clone();
                }
                match self.random.below(3) {
                    0 => self.softmax(x, axis),
                    1 => {
                        let attributes = vec![proto::int("axis", axis)];
                        self.same("LogSoftmax", &[x], attributes)
                    }
                    _ => {
                        let op = self.random.pick(&["ReduceSum", "ReduceMean", "ReduceMax"]);
                        let op = if op == "ReduceMax" { "ReduceL2" } else { op };
                        let keep = self.random.percent(60);
                        let mut reduced = self.reduce(op, x, &[axis], keep);
                        if !keep {
                            reduced = self.unsqueeze(&reduced, &[axis]);
                        }
                        self.add(x, &reduced)
                    }
                }
            }
            14 => {
                // The same operator twice.
                let other = self.partner(x);
                let (a, b) = (self.mul(x, &other), self.mul(x, &other));
                self.add(&a, &b)
            }
            15 => {
                if self.random.percent(50) {
                    return self.same("Dropout", &[x], vec![]);
                }
                let mut results =
                    self.nodes("Dropout", &[x], vec![], &[(x.elem, x.shape.clone()), (Elem::Bool, x.shape.clone())]);
                let mask = results.remove(1);
                let mask = self.cast(&mask, x.elem);
                self.mul(&results[0], &mask)
            }
            16 => {
                let axis = if x.shape.is_empty() { return x.clone() } else { self.vector(&[0]) };
                let axis = self.squeeze(&axis, &[0]);
                if x.elem == Elem::F16 {
                    return self.same("Identity", &[x], vec![]);
                }
                let exclusive = proto::int("exclusive", i64::from(self.random.percent(30)));
                self.same("CumSum", &[x, &axis], vec![exclusive])
            }
            _ => {
                let (low, high) = (self.tensor(x.elem, &[], &[-2.0]), self.tensor(x.elem, &[], &[2.0]));
                let high = if self.random.percent(30) { Value::absent() } else { high };
                self.same("Clip", &[x, &low, &high], vec![])
            }
        }
    }

    /// Adds a condition that broadcasts to `x` and does not depend on rounding.
    pub(crate) fn condition(&mut self, x: &Value) -> Value {
        let shape = x.shape.clone();
        match self.random.below(5) {
            0 => {
                if let Some(known) = self.pick(Elem::Bool, |own| crate::words::fits(own, &shape)) {
                    return known;
                }
                let truth = f64::from(u8::from(self.random.percent(50)));
                self.tensor(Elem::Bool, &[], &[truth])
            }
            1 => self.input("flag", Elem::Bool, &[]),
            2 => self.input("flags", Elem::Bool, &shape),
            3 if !shape.is_empty() => {
                let numbers = self.input("numbers", Elem::I64, &shape);
                let number = self.scalar(1);
                let op = self.random.pick(&["Greater", "Less", "Equal"]);
                self.compare(op, &numbers, &number)
            }
            _ => {
                let condition = self.input("flags", Elem::Bool, &shape);
                let other = self.input("flag", Elem::Bool, &[]);
                let op = self.random.pick(&["And", "Or", "Xor"]);
                self.either(op, &condition, &other)
            }
        }
    }

    /// Adds integer arithmetic of any type, whose result is added to `x`.
    pub(crate) fn integers(&mut self, x: &Value) -> Value {
        let elem =
            self.random.pick(&[Elem::I64, Elem::I32, Elem::U8, Elem::I8, Elem::I16, Elem::U16, Elem::U32, Elem::U64]);
        let numbers = self.input("numbers", Elem::I64, &x.shape.clone());
        let mut y = if elem == Elem::I64 { numbers } else { self.cast(&numbers, elem) };
        let wide = matches!(elem, Elem::I64 | Elem::I32) || self.opset >= 14 && matches!(elem, Elem::U32 | Elem::U64);
        for _ in 0..=self.random.below(3) {
            let number = self.random.pick(&[0.0, 1.0, 2.0, 3.0]);
            let number = self.number_of(elem, number);
            y = match self.random.below(5) {
                0 if wide => self.add(&y, &number),
                1 if wide => self.mul(&y, &number),
                2 if wide => {
                    let two = self.number_of(elem, 2.0);
                    self.binary("Div", &y, &two)
                }
                3 => {
                    let three = self.number_of(elem, 3.0);
                    self.binary("Mod", &y, &three)
                }
                4 if self.opset >= 12 && wide => {
                    let op = self.random.pick(&["Max", "Min"]);
                    self.binary(op, &y, &number)
                }
                _ => self.moved_back(&y),
            };
        }
        let y = self.cast(&y, x.elem);
        self.add(x, &y)
    }

    fn moved_back(&mut self, x: &Value) -> Value {
        let perm: Vec<usize> = (0..x.shape.len()).rev().collect();
        let there = self.transpose(x, &perm);
        self.transpose(&there, &perm)
    }
}
