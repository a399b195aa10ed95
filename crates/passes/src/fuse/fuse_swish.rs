//! Fuses a product with a sigmoid into Swish.

use crate::pass::{Exactness, Pass};
use crate::read::polynomial::{Polynomial, above};
use crate::read::products::{Region, number, uncast};
use crate::read::sizes::keeps_sizes;
use crate::rewrite::{become_op, first_operands};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{ElementType, Graph, Op, OpKind, Value};

/// `x * sigmoid(alpha * x)` -> `swish(x; alpha)`
///
/// `SiLU` is the swish with alpha 1, and the quick gelu that with 1.702. The function is the same, but a runtime may round
/// its steps differently, and an alpha that is the product of several constants is rounded once. `SwiGLU`, a swish times
/// another value, is not formed for any target: ONNX has it from opset 28 on, which runtimes do not load.
///
/// A sigmoid that is spelled `1 / (1 + exp(-x))` stays. The sigmoid of ONNX Runtime 1.32 has an absolute error of 1.6e-7,
/// which at -17 is several times its value; the exponential has a relative error of 2e-7 there.
pub fn fuse_swish() -> Pass {
    let summary = "x * sigmoid(alpha * x) -> swish(x; alpha), if the target runs it";
    Pass::new("fuse-swish", summary, Exactness::Rounding)
        .forms(OpKind::Swish)
        // No target runs ONNX's Swish well; it is formed to become QuickGelu.
        .only_for(|target, _| target.contrib)
        .needs_one_of(&[OpKind::Sigmoid, OpKind::Exp])
        .at([OpKind::Mul, OpKind::Div], fuse)
}

/// A factor that is a sigmoid, spelled by the operator or by an exponential.
struct Gate {
    /// The value that the gate multiplies.
    x: Value,
    /// The operand of the sigmoid or of the exponential.
    argument: Value,
    /// -1 for an exponential, whose argument is negated.
    sign: f64,
    region: Region,
}

fn fuse(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = first_operands(graph, root)?;
    let gates = match graph.kind(root) {
        OpKind::Div => vec![by_exponential(graph, a, b)],
        _ => vec![by_sigmoid(graph, a, b), by_sigmoid(graph, b, a), by_inverse(graph, a, b), by_inverse(graph, b, a)],
    };
    let mut skip = Skip::NoMatch;
    for gate in gates.into_iter().flatten() {
        match alpha(graph, root, &gate) {
            Ok(alpha) => {
                return become_op(
                    graph,
                    root,
                    Op::Swish { alpha },
                    &[gate.x],
                    format!("is a swish with alpha {alpha:?}"),
                );
            }
            Err(near @ Skip::Rejected(_)) if skip == Skip::NoMatch => skip = near,
            Err(_) => {}
        }
    }
    Err(skip)
}

fn by_sigmoid(graph: &Graph, x: Value, curve: Value) -> Option<Gate> {
    let mut region = Region::default();
    let curve = uncast(graph, curve, &mut region)?;
    region.insert(curve)?;
    let argument = graph.operand(curve.node, 0).filter(|_| graph.kind(curve) == OpKind::Sigmoid)?;
    Some(Gate { x, argument, sign: 1.0, region })
}

/// Reads `x * (1 / (1 + exp(-argument)))`.
fn by_inverse(graph: &Graph, x: Value, inverse: Value) -> Option<Gate> {
    let divisor = match graph.kind(inverse) {
        OpKind::Reciprocal => graph.operand(inverse.node, 0)?,
        OpKind::Div if number(graph, graph.operand(inverse.node, 0)?) == Some(1.0) => graph.operand(inverse.node, 1)?,
        _ => return None,
    };
    let mut gate = by_exponential(graph, x, divisor)?;
    gate.region.insert(inverse)?;
    Some(gate)
}

/// Reads `x / (1 + exp(-argument))`.
fn by_exponential(graph: &Graph, x: Value, divisor: Value) -> Option<Gate> {
    let curve = above(graph, divisor).into_iter().find(|value| graph.kind(*value) == OpKind::Exp)?;
    let mut region = Region::default();
    region.insert(curve)?;
    let [one, times] = Polynomial::read(graph, divisor, &[curve], &mut region)?.numbers([[0, 0], [1, 0]])?;
    (one == 1.0 && times == 1.0).then_some(())?;
    Some(Gate { x, argument: graph.operand(curve.node, 0)?, sign: -1.0, region })
}

/// Returns the factor of `x` in the gate.
fn alpha(graph: &Graph, root: Value, gate: &Gate) -> Result<f32, Skip> {
    let mut region = gate.region.clone();
    region.insert(root).ok_or(Skip::NoMatch)?;
    let argument = Polynomial::read(graph, gate.argument, &[gate.x], &mut region);
    let [alpha] = argument.and_then(|argument| argument.numbers([[1, 0]])).ok_or(Skip::NoMatch)?;
    let wide = gate.sign * alpha;
    #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest, as the docs say")]
    let alpha = wide as f32;
    if graph.fact(root).element() == Some(ElementType::F64) && f64::from(alpha).to_bits() != wide.to_bits() {
        return Err(Skip::rejected(format!("its alpha {wide} is not exact as an f32 attribute")));
    }
    let element = crate::rewrite::element(graph, root)?;
    if graph.fact(gate.x).element() != Some(element) || region.is_narrower(graph, element) {
        return Err(Skip::NoMatch);
    }
    if !alpha.is_normal() {
        return Err(Skip::rejected(format!("its alpha {alpha} is not a normal f32")));
    }
    if !graph.shape(gate.x).zip(graph.shape(root)).is_some_and(|(from, to)| keeps_sizes(from, to)) {
        return Err(Skip::rejected("a constant may broadcast it to a larger shape"));
    }
    region.is_private(graph, root)?;
    if gate.sign < 0.0 {
        return Err(Skip::rejected("its sigmoid is spelled with an exponential, which is more accurate near 0"));
    }
    Ok(alpha)
}
