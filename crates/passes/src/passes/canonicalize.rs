use crate::pattern::{Found, any, cast, div, identity, mul, op, reshape, scalar, transpose};
use crate::pipeline::{Body, Pass};
use crate::rewrite::{become_op, become_value, insert, keeps_shape, scalar_tensor};
use crate::rule::{Rule, Skip};
use netwright_ir::{Dim, Graph, Kind, NodeId, Op};

/// Brings the graph into the form that later rules rely on; every step is exact.
///
/// `x + 0`, `x * 0` and `x - x` are no steps: -0.0 and NaN would change.
pub fn canonicalize() -> Pass {
    Pass {
        name: "canonicalize",
        summary: "drop what changes nothing, merge transposes and reshapes, divide by powers of two by multiplying",
        body: Body::Rules(vec![
            drop_identity(),
            drop_cast(),
            drop_transpose(),
            drop_unit_factor(),
            merge_transposes(),
            merge_reshapes(),
            multiply_by_inverse(),
            drop_unit_scale(),
        ]),
    }
}

fn drop_identity() -> Rule {
    let x = any("x");
    Rule::new("drop-identity", "identity(x) -> x", identity(x), move |graph, found| {
        become_value(graph, found.root(), found[x], "dropped")
    })
}

fn drop_cast() -> Rule {
    let x = any("x");
    Rule::new("drop-cast", "cast(x) -> x, to the type that it has", cast(x), move |graph, found| {
        match graph.op(found.root()) {
            Op::Cast { to, .. } if graph.fact(found[x]).element() == Some(*to) => {
                become_value(graph, found.root(), found[x], "dropped: it has that type")
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

fn drop_transpose() -> Rule {
    let x = any("x");
    Rule::new("drop-transpose", "transpose(x) -> x, in the order that it has", transpose(x), move |graph, found| {
        let perm = permutation(graph, found.root().node).ok_or(Skip::NoMatch)?;
        if !perm.iter().copied().eq(0..perm.len()) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, found.root(), found[x], "dropped: it keeps the order")
    })
}

/// Sound for NaN and -0.0, but not where the 1 widens the shape.
fn drop_unit_factor() -> Rule {
    let (x, c) = (any("x"), scalar("c"));
    Rule::new("drop-unit-factor", "x * 1 -> x", mul(x, c), move |graph, found| {
        if found.scalar(c) != 1.0 || !keeps_shape(graph, found[x], found[c]) {
            return Err(Skip::NoMatch);
        }
        become_value(graph, found.root(), found[x], "dropped: it multiplies by 1")
    })
}

fn merge_transposes() -> Rule {
    let x = any("x");
    Rule::new(
        "merge-transposes",
        "transpose(transpose(x)) -> transpose(x)",
        transpose(transpose(x)),
        move |graph, found| {
            let outer = found.root().node;
            let inner = graph.operand(outer, 0).ok_or(Skip::NoMatch)?.node;
            let (Some(first), Some(second)) = (permutation(graph, inner), permutation(graph, outer)) else {
                return Err(Skip::NoMatch);
            };
            let axis = |at: &usize| first.get(*at).and_then(|axis| i64::try_from(*axis).ok());
            let perm = second.iter().map(axis).collect::<Option<_>>().ok_or(Skip::NoMatch)?;
            become_op(graph, found.root(), Op::Transpose { perm }, &[found[x]], "merged with the transpose before it")
        },
    )
}

/// The order of axes of a transpose, counted from 0.
fn permutation(graph: &Graph, node: NodeId) -> Option<Vec<usize>> {
    let Op::Transpose { perm } = graph.node(node).op() else { return None };
    let rank = i64::try_from(perm.len()).ok()?;
    perm.iter().map(|&axis| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()).collect()
}

/// Sound where the second shape speaks of no size of the first: it holds no 0, which would keep one.
fn merge_reshapes() -> Rule {
    let (x, first, second) = (any("x"), any("first"), any("second"));
    Rule::new(
        "merge-reshapes",
        "reshape(reshape(x, first), second) -> reshape(x, second), where second keeps no size",
        reshape(reshape(x, first), second),
        move |graph, found| {
            let &Op::Reshape { allowzero } = graph.op(found.root()) else { return Err(Skip::NoMatch) };
            let may_keep =
                |dim: &Dim| *dim != Dim::Known(-1) && dim.known().is_none_or(|size| size == 0) && !dim.is_positive();
            let sizes = graph.fact(found[second]).elements.as_deref();
            if !allowzero && sizes.is_none_or(|sizes| sizes.iter().any(may_keep)) {
                let shape = graph.operand_text(found[second]);
                return Err(Skip::rejected(format!("the second shape {shape} may keep a size of the first")));
            }
            become_op(
                graph,
                found.root(),
                Op::Reshape { allowzero },
                &[found[x], found[second]],
                "merged with the reshape before it",
            )
        },
    )
}

/// Exact where the inverse is: both round the same number.
fn multiply_by_inverse() -> Rule {
    let (x, c) = (any("x"), scalar("c"));
    Rule::new("multiply-by-inverse", "x / c -> x * (1 / c), for powers of two", div(x, c), move |graph, found| {
        let divisor = found.scalar(c);
        let tensor = graph.tensor(found[c]).filter(|_| is_power_of_two(divisor)).ok_or(Skip::NoMatch)?;
        let inverse = scalar_tensor(tensor.element(), tensor.dims(), 1.0 / divisor)?;
        // It may be out of the range of the type.
        if inverse.float() != Some(1.0 / divisor) {
            return Err(Skip::NoMatch);
        }
        let root = found.root();
        let inverse = insert(graph, root, "inverse", Op::Constant(inverse), &[])?;
        become_op(graph, root, Op::Mul, &[found[x], inverse], "multiplies by the inverse, which is exact")
    })
}

fn is_power_of_two(value: f64) -> bool {
    const DIGITS: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;
    value.is_normal() && value.to_bits() & DIGITS == 0
}

fn drop_unit_scale() -> Rule {
    Rule::new(
        "drop-unit-scale",
        "scaled_softmax(x, m; 1) -> softmax(x + m)",
        op(Kind::ScaledSoftmax),
        |graph, found: &Found| match graph.op(found.root()) {
            Op::ScaledSoftmax { scale: 1.0, .. } => super::lower_scaled_softmax::expand(graph, found.root()),
            _ => Err(Skip::NoMatch),
        },
    )
}
