//! Activations that tract computes as infinite for large operands, and sums with 0.

use super::{Form, Types, operand};
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

/// `x + 0` -> `x`, except that -0 becomes 0: tract keeps its sign.
pub(super) fn plus_zero(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let (a, b) = (operand(node, 0)?, operand(node, 1)?);
    let (x, zero) = if types.is_zero(b) { (a, b) } else { (b, a) };
    if !types.is_zero(zero) || types.is_zero(x) {
        return None;
    }
    let mut form = Form::new(node);
    let is_zero = form.add("Equal", &[x, zero]);
    let result = form.add("Where", &[&is_zero, zero, x]);
    Some(form.finish(&[(0, &result)]))
}
