//! Replaces fused matrix products, and those that tract does not load.

use super::{Attributes, Form, Types, ints, operand};
use netwright_ir::ElementType;
use tract_onnx::pb::NodeProto;

/// Gemm of f16 or f64 -> Transpose of either operand, MatMul, Mul by `alpha`, and Add: tract multiplies by an f32 and then
/// fails.
pub(super) fn gemm(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let fails = |at: usize| {
        let element = operand(node, at).and_then(|value| types.element(value));
        matches!(element, Some(ElementType::F16 | ElementType::F64))
    };
    if !(0..3).any(fails) {
        return None;
    }
    let mut attributes = Attributes::of(node);
    let transposed = ["transA", "transB"].map(|name| attributes.int(name, 0) != 0);
    let [alpha, beta] = ["alpha", "beta"].map(|name| attributes.float(name).unwrap_or(1.0));
    attributes.end()?;
    let mut form = Form::new(node);
    let [a, b] = [0, 1].map(|at| {
        let matrix = operand(node, at)?;
        let turned = |form: &mut Form<'_>| form.add_with("Transpose", &[matrix], vec![ints("perm", &[1, 0])]);
        Some(if transposed[at] { turned(&mut form) } else { matrix.to_owned() })
    });
    let product = form.add("MatMul", &[&a?, &b?]);
    let mut sum = scaled(&mut form, product, alpha);
    if let Some(c) = operand(node, 2) {
        let c = scaled(&mut form, c.to_owned(), beta);
        sum = form.add("Add", &[&sum, &c]);
    }
    Some(form.finish(&[(0, &sum)]))
}

/// Mul by a constant of zeros -> Mul by what is 0 when it runs: for the constant, tract computes 0, whatever the sign of the
/// other operand is and if it is not finite.
pub(super) fn by_zero(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let (a, b) = (operand(node, 0)?, operand(node, 1)?);
    let (x, zero) = if types.is_zero(b) { (a, b) } else { (b, a) };
    if !types.is_zero(zero) || types.is_zero(x) {
        return None;
    }
    let mut form = Form::new(node);
    // Both operands may be broadcast.
    let one = form.add("Exp", &[zero]);
    let x = form.add("Mul", &[x, &one]);
    let zero = form.add("Sub", &[&x, &x]);
    let product = form.add("Mul", &[&x, &zero]);
    Some(form.finish(&[(0, &product)]))
}

/// Multiplies a value by a number of its type.
fn scaled(form: &mut Form<'_>, value: String, factor: f32) -> String {
    if factor == 1.0 {
        return value;
    }
    let number = form.float(factor);
    let number = form.add("CastLike", &[&number, &value]);
    form.add("Mul", &[&value, &number])
}

/// FusedMatMul of `com.microsoft` -> Transpose of either operand, MatMul, and Mul by `alpha`.
pub(super) fn form(node: &NodeProto, types: &Types) -> Option<Vec<NodeProto>> {
    let mut attributes = Attributes::of(node);
    let transposed = ["transA", "transB"].map(|name| attributes.int(name, 0) != 0);
    let batches = ["transBatchA", "transBatchB"].map(|name| attributes.int(name, 0) != 0);
    let alpha = attributes.float("alpha").unwrap_or(1.0);
    attributes.end()?;
    if batches != [false, false] || node.input.len() != 2 {
        return None;
    }
    let mut form = Form::new(node);
    let mut operands = vec![];
    for (at, transposed) in transposed.into_iter().enumerate() {
        let matrix = operand(node, at)?;
        operands.push(if transposed {
            let rank = i64::try_from(types.rank(matrix)?).ok()?;
            // ONNX Runtime does not transpose vectors.
            let perm: Vec<i64> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            if rank < 2 { matrix.to_owned() } else { form.add_with("Transpose", &[matrix], vec![ints("perm", &perm)]) }
        } else {
            matrix.to_owned()
        });
    }
    let product = form.add("MatMul", &[&operands[0], &operands[1]]);
    let product = scaled(&mut form, product, alpha);
    Some(form.finish(&[(0, &product)]))
}
