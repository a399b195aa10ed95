//! Whether two models have the same quantized weights.
//!
//! Other forms of the same weights, such as DequantizeLinear and MatMulNBits, have the same scales in another order.
//! Weights that are quantized in other blocks or by another method have other scales, and other codes.

use super::{MAX_MOVES, first_operands, nodes};
use crate::elements::{element, of_bytes};
use crate::file::ModelFile;
use crate::tables::Bytes;
use half::f16;
use netwright_ir::op::computes_with_integers;
use netwright_ir::{OpKind, fingerprint};
use std::collections::BTreeMap;
use tract_onnx::pb::{NodeProto, TensorProto};

/// Numbers, with how often each occurs.
type Counts = BTreeMap<u64, u64>;

/// Returns whether the weights of two models are quantized in the same way, as far as that can be read: three quarters of
/// their scales are the same, or half of the tensors of codes. A few that differ are a mistake, not another way.
pub(super) fn are_same(a: &ModelFile, b: &ModelFile) -> bool {
    let (left, right) = (Quantized::of(a), Quantized::of(b));
    let is_narrow = left.has_narrow_scales() || right.has_narrow_scales();
    let share = |of: &dyn Fn(&Quantized<'_>) -> Counts| {
        let (left, right) = (of(&left), of(&right));
        let most = left.values().sum::<u64>().max(right.values().sum());
        let common = left.iter().map(|(key, count)| *right.get(key).unwrap_or(&0).min(count)).sum::<u64>();
        (!left.is_empty() && !right.is_empty()).then(|| common as f64 / most as f64)
    };
    match share(&|weights| weights.scales(is_narrow)) {
        Some(scales) if scales >= 0.75 => true,
        scales => share(&|weights| weights.codes()).map_or(scales.is_none(), |codes| codes >= 0.5),
    }
}

/// The constants of quantized weights.
struct Quantized<'m> {
    model: &'m ModelFile,
    scales: Vec<&'m TensorProto>,
    codes: Vec<&'m TensorProto>,
}

impl<'m> Quantized<'m> {
    fn of(model: &'m ModelFile) -> Self {
        let nodes = nodes(model);
        let moves = |name: &str| {
            matches!(name, "Cast" | "Identity" | "Gather")
                || OpKind::from_name(name).is_some_and(OpKind::moves_elements)
        };
        let moved = first_operands(&nodes, moves);
        let mut constants: BTreeMap<&str, &TensorProto> =
            model.graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let held = nodes.iter().filter(|node| node.op_type == "Constant");
        constants
            .extend(held.filter_map(|node| Some((node.output.first()?.as_str(), node.attribute.first()?.t.as_ref()?))));
        let find = |name: &'m str| {
            let mut name = name;
            (0..MAX_MOVES).find_map(|_| {
                let found = constants.get(name).copied();
                name = moved.get(name).copied().unwrap_or(name);
                found
            })
        };
        let mut all = Self { model, scales: vec![], codes: vec![] };
        for node in nodes {
            let (codes, scales) = places(node);
            let operand = |at: Option<usize>| node.input.get(at?).and_then(|name| find(name));
            // Activations have scales too, but no codes.
            if let Some(codes) = operand(codes) {
                all.codes.push(codes);
                all.scales.extend(operand(scales));
            }
        }
        all
    }

    fn has_narrow_scales(&self) -> bool {
        self.scales.iter().any(|tensor| element(tensor).is_some_and(|element| element.bits() < 32))
    }

    /// Returns the scales, rounded to f16 if those of one model are.
    fn scales(&self, is_narrow: bool) -> Counts {
        let mut found = Counts::new();
        let mut bytes = vec![];
        for tensor in &self.scales {
            let of = Bytes::of(self.model, tensor).and_then(|of| of.read(0, of.len(), &mut bytes));
            for scale in of_bytes(element(tensor), &bytes).filter(|_| of.is_some()) {
                let scale = if is_narrow { f16::from_f64(scale).to_f64() } else { scale };
                *found.entry(scale.to_bits()).or_default() += 1;
            }
        }
        found
    }

    /// Returns the fingerprints of the codes.
    fn codes(&self) -> Counts {
        let mut found = Counts::new();
        let mut bytes = vec![];
        for tensor in &self.codes {
            let read = Bytes::of(self.model, tensor).and_then(|of| of.read(0, of.len(), &mut bytes));
            if read.is_some() {
                *found.entry(fingerprint(bytes.iter().copied())).or_default() += 1;
            }
        }
        found
    }
}

/// Returns the operands of a node that are codes of a weight, and their scales.
fn places(node: &NodeProto) -> (Option<usize>, Option<usize>) {
    match node.op_type.as_str() {
        "DequantizeLinear" => (Some(0), Some(1)),
        "MatMulNBits" | "MatMulBnb4" => (Some(1), Some(2)),
        "GatherBlockQuantized" => (Some(0), Some(2)),
        "QLinearMatMul" | "QLinearConv" => (Some(3), Some(4)),
        name if computes_with_integers(name) => (Some(1), None),
        _ => (None, None),
    }
}
