//! Activations that tract computes as infinite for large operands.

use super::{Form, operand};
use tract_onnx::pb::NodeProto;

/// Softplus -> `max(x, 0) + log(exp(-|x|) + 1)`, which does not overflow.
pub(super) fn softplus(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let x = operand(node, 0)?;
    let mut form = Form::new(node);
    let result = add_softplus(&mut form, x);
    Some(form.finish(&[(0, &result)]))
}

/// Mish -> `x * tanh(softplus(x))`.
pub(super) fn mish(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let x = operand(node, 0)?;
    let mut form = Form::new(node);
    let softplus = add_softplus(&mut form, x);
    let tanh = form.add("Tanh", &[&softplus]);
    let result = form.add("Mul", &[x, &tanh]);
    Some(form.finish(&[(0, &result)]))
}

fn add_softplus(form: &mut Form<'_>, x: &str) -> String {
    let one = form.float(1.0);
    let one = form.add("CastLike", &[&one, x]);
    let magnitude = form.add("Abs", &[x]);
    let negative = form.add("Neg", &[&magnitude]);
    let power = form.add("Exp", &[&negative]);
    let more = form.add("Add", &[&power, &one]);
    let log = form.add("Log", &[&more]);
    let positive = form.add("Relu", &[x]);
    form.add("Add", &[&positive, &log])
}
