//! Generates models: random combinations of Transformer fragments and of what exporters write around them.

mod activations;
mod attention;
mod bodies;
mod contrib;
mod elementwise;
mod masks;
mod norms;
mod quantized;
mod rotary;
mod shapes;

use crate::draft::{Draft, Value};
use crate::element::Elem;
use crate::proto::Dim;
use crate::random::Random;
use onnx_protobuf::ModelProto;

/// Generates the model of a seed.
///
/// The names of its inputs describe their contents; see [`feeds`](crate::feeds()).
///
/// ```
/// let model = netwright_fuzz::generate(1);
/// assert_eq!(model, netwright_fuzz::generate(1));
/// assert!(!model.graph.node.is_empty());
/// ```
pub fn generate(seed: u64) -> ModelProto {
    let mut draft = Draft::new(Random::new(seed));
    let width = draft.random.pick(&[4, 8, 8]);
    let [batch, seq]: [Dim; 2] = match draft.random.below(8) {
        0 => [2.into(), 5.into()],
        1 => ["batch".into(), 5.into()],
        2 => [1.into(), "seq".into()],
        _ => ["batch".into(), "seq".into()],
    };
    let mut x = if draft.random.percent(25) {
        draft.embedding(&batch, &seq, width)
    } else {
        let x = draft.input("x", Elem::F32, &[batch, seq, width.into()]);
        if draft.elem == Elem::F32 { x } else { draft.cast(&x, draft.elem) }
    };
    let fragments = 1 + draft.random.below(4);
    for _ in 0..fragments {
        let y = draft.fragment(&x);
        x = match draft.random.below(5) {
            0 | 1 => draft.add(&x, &y),
            2 => {
                let sum = draft.add(&x, &y);
                draft.norm(&sum)
            }
            _ => y,
        };
    }
    let outputs = draft.outputs(&x);
    draft.finish(&outputs)
}

impl Draft {
    /// Adds a fragment over `x`, `[batch, seq, width]`, whose result has the same type.
    pub(crate) fn fragment(&mut self, x: &Value) -> Value {
        let deep = self.depth() >= 2;
        match self.random.below(40) {
            0..=9 => self.attention(x),
            10..=13 => self.norm(x),
            14 | 15 => self.activation(x),
            16 | 17 => self.feed_forward(x),
            18..=21 => self.moved(x),
            22..=25 => self.chain(x),
            26 | 27 => self.size_arithmetic(x),
            28 => self.integers(x),
            29 => self.pooled(x),
            30 | 31 if !deep => self.branches(x),
            32 if !deep => self.repeated(x),
            33 if !deep => self.scanned(x),
            34 | 35 => self.quantized(x),
            36..=38 => self.contrib(x),
            39 if self.depth() == 0 && self.opset >= 15 && !self.has_functions() => self.called(x),
            _ => {
                let norm = self.norm(x);
                self.attention(&norm)
            }
        }
    }

    /// Returns the outputs of the model: its result, and some inner values.
    fn outputs(&mut self, result: &Value) -> Vec<Value> {
        let mut outputs = vec![];
        // A value that no node reads would be dead, so most of them are outputs, such as the keys of this step.
        for value in self.unread() {
            if value.name != result.name && self.random.percent(80) {
                outputs.push(value);
            }
        }
        if self.random.percent(25) {
            let elems = [Elem::F32, self.elem, Elem::I64, Elem::Bool];
            let elem = self.random.pick(&elems);
            outputs.extend(self.pick(elem, |_| true).filter(|value| self.is_local(value)));
        }
        outputs.push(result.clone());
        let mut returned: Vec<Value> = vec![];
        for value in outputs {
            let float = matches!(value.elem, Elem::F16 | Elem::BF16);
            let value = if float { self.cast(&value, Elem::F32) } else { value };
            let value = if self.is_local(&value) { value } else { self.same("Identity", &[&value], vec![]) };
            if !matches!(value.elem, Elem::U4 | Elem::I4) && returned.iter().all(|other| other.name != value.name) {
                returned.push(value);
            }
        }
        returned
    }
}
