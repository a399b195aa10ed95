//! Bodies of If, Loop and Scan, with captures; and functions of the model.

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto;

impl Draft {
    /// Returns a value of this body that its graph may return.
    fn local(&mut self, value: &Value) -> Value {
        if self.is_local(value) { value.clone() } else { self.same("Identity", &[value], vec![]) }
    }

    fn branch(&mut self, x: &Value, fragment: usize) -> onnx_protobuf::GraphProto {
        self.begin_body();
        let y = match fragment {
            0 => x.clone(),
            1 => self.chain(x),
            _ => self.fragment(x),
        };
        let y = self.local(&y);
        self.end_body(&[], &[y])
    }

    /// Adds an If over `x`.
    pub(crate) fn branches(&mut self, x: &Value) -> Value {
        let condition = match self.random.below(5) {
            0 | 1 => self.input("flag", Elem::Bool, &[]),
            2 => {
                let truth = f64::from(u8::from(self.random.percent(50)));
                self.tensor(Elem::Bool, &[], &[truth])
            }
            3 => {
                let size = self.size(&x.dim(1));
                let two = self.scalar(2);
                self.compare("Greater", &size, &two)
            }
            _ => {
                let size = self.size(&x.dim(0));
                let one = self.scalar(1);
                self.compare("Equal", &size, &one)
            }
        };
        let (one, two) = (self.random.below(3), self.random.below(3));
        let then_branch = self.branch(x, one);
        let else_branch = self.branch(x, two);
        let attributes = vec![proto::graph("then_branch", then_branch), proto::graph("else_branch", else_branch)];
        self.node("If", &[&condition], attributes, x.elem, x.shape.clone())
    }

    /// Adds a Loop that carries `x`.
    pub(crate) fn repeated(&mut self, x: &Value) -> Value {
        let count = if self.random.percent(50) {
            let count = self.random.pick(&[0, 1, 2, 3]);
            self.scalar(count)
        } else {
            self.input("count", Elem::I64, &[])
        };
        let go = if self.random.percent(50) { Value::absent() } else { self.tensor(Elem::Bool, &[], &[1.0]) };
        self.begin_body();
        let iteration = self.body_input(Elem::I64, &[]);
        let condition = self.body_input(Elem::Bool, &[]);
        let carried = self.body_input(x.elem, &x.shape.clone());
        let mut y = if self.random.percent(50) { self.chain(&carried) } else { self.fragment(&carried) };
        if self.random.percent(50) {
            let number = self.cast(&iteration, x.elem);
            let small = self.number_of(x.elem, 0.25);
            let number = self.mul(&number, &small);
            y = self.add(&y, &number);
        }
        // Carried values stay bounded.
        let y = self.same("Tanh", &[&y], vec![]);
        let go_on = if self.random.percent(70) {
            self.same("Identity", &[&condition], vec![])
        } else {
            let most = self.scalar(2);
            self.compare("Less", &iteration, &most)
        };
        let scanned = self.random.percent(40);
        let mut outputs = vec![go_on, y.clone()];
        let mut results = vec![(x.elem, x.shape.clone())];
        if scanned {
            let last = self.same("Identity", &[&y], vec![]);
            let shape = [vec!["turns".into()], last.shape.clone()].concat();
            outputs.push(last);
            results.push((x.elem, shape));
        }
        let body = self.end_body(&[iteration, condition, carried], &outputs);
        let results = self.nodes("Loop", &[&count, &go, x], vec![proto::graph("body", body)], &results);
        match results.get(1) {
            Some(all) if self.random.percent(70) => {
                let sum = self.reduce("ReduceSum", all, &[0], false);
                self.add(&results[0], &sum)
            }
            _ => results[0].clone(),
        }
    }

    /// Adds a Scan over the first axis of `x`.
    pub(crate) fn scanned(&mut self, x: &Value) -> Value {
        let row_shape = x.shape[1..].to_vec();
        let zero = self.number_of(x.elem, 0.0);
        let start = self.expand(&zero, &row_shape);
        if start.shape != row_shape {
            return x.clone();
        }
        self.begin_body();
        let state = self.body_input(x.elem, &row_shape);
        let row = self.body_input(x.elem, &row_shape);
        let sum = self.add(&state, &row);
        let next = self.same("Tanh", &[&sum], vec![]);
        let out = self.chain(&next);
        let out = self.local(&out);
        let next = if out == next { self.same("Identity", &[&next], vec![]) } else { next };
        let body = self.end_body(&[state, row], &[next, out]);
        let attributes = vec![proto::int("num_scan_inputs", 1), proto::graph("body", body)];
        let results = self.nodes("Scan", &[&start, x], attributes, &[(x.elem, row_shape), (x.elem, x.shape.clone())]);
        if self.random.percent(50) { self.add(&results[1], &results[0]) } else { results[1].clone() }
    }

    /// Adds a function of the model, and calls it once or twice.
    pub(crate) fn called(&mut self, x: &Value) -> Value {
        self.begin_function();
        let input = self.body_input(x.elem, &x.shape.clone());
        let y = match self.random.below(3) {
            0 => self.plain_norm(&input),
            1 => {
                let gate = self.same("Sigmoid", &[&input], vec![]);
                self.mul(&input, &gate)
            }
            _ => {
                let number = self.number_of(x.elem, 0.5);
                let product = self.mul(&input, &number);
                self.add(&product, &input)
            }
        };
        self.end_function("Fragment", &[input], &[y]);
        let once = self.same("local::Fragment", &[x], vec![]);
        if self.random.percent(50) { self.same("local::Fragment", &[&once], vec![]) } else { once }
    }

    fn plain_norm(&mut self, x: &Value) -> Value {
        let mean = self.reduce("ReduceMean", x, &[-1], true);
        let centered = self.binary("Sub", x, &mean);
        let square = self.mul(&centered, &centered);
        let variance = self.reduce("ReduceMean", &square, &[-1], true);
        let epsilon = self.number(1e-5);
        let sum = self.add(&variance, &epsilon);
        let root = self.same("Sqrt", &[&sum], vec![]);
        self.binary("Div", &centered, &root)
    }
}
