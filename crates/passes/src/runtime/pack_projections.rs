//! Packs the projections of queries, keys and values into one product.

use crate::pass::{Exactness, Pass};
use crate::rewrite::{MAX_RECIPE_DEPTH, become_results, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, NodeId, Op, OpKind, Tensor, Value};

/// The maximum number of users of a value that are examined, so that a value with many does not take long.
const MAX_USERS: usize = 64;

/// `x · Wq + bq`, `x · Wk + bk`, `x · Wv + bv` -> `split(x · [Wq Wk Wv] + [bq bk bv])`
///
/// One product replaces those of all attention operands that are projected from the same value. Weights and biases are
/// concatenated while they are written. Every element is the same sum of the same products, but the order in which a
/// runtime sums may depend on the width of the matrix.
pub fn pack_projections() -> Pass {
    let summary = "x · Wq + bq, x · Wk + bk, x · Wv + bv -> split(x · [Wq Wk Wv] + [bq bk bv]), before attention";
    Pass::new("pack-projections", summary, Exactness::Rounding)
        .at([OpKind::MatMul], pack)
        // Projections are packed only for an attention that is not decomposed.
        .after(&["decompose-attention"])
        .only_for(|target, _| target.packs_projections)
}

/// A projection of a value.
struct Projection {
    weight: Tensor,
    bias: Option<Tensor>,
    width: i64,
    result: Value,
}

fn pack(graph: &mut Graph, root: Value) -> Rewritten {
    let first = projection(graph, root.node)?;
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let mut users: Vec<NodeId> = graph.users(x).into_iter().map(|(user, _)| user).take(MAX_USERS).collect();
    users.sort_by_key(|user| graph.node(*user).order());
    let mut all = vec![];
    for user in users {
        if graph.operand(user, 0) != Some(x) {
            continue;
        }
        let Ok(other) = projection(graph, user) else { continue };
        let alike = other.bias.is_some() == first.bias.is_some() && other.weight.dims()[0] == first.weight.dims()[0];
        if alike && other.weight.element() == first.weight.element() {
            all.push((user, other));
        }
    }
    // The rule applies at the first product, for all of them.
    if all.len() < 2 || all.first().is_none_or(|(node, _)| *node != root.node) {
        return Err(Skip::NoMatch);
    }
    let all: Vec<Projection> = all.into_iter().map(|(_, projection)| projection).collect();
    let concatenated = |tensors: Vec<Tensor>| -> Result<Tensor, Skip> {
        if tensors.iter().any(|tensor| tensor.recipe_depth() >= MAX_RECIPE_DEPTH) {
            return Err(Skip::rejected(format!(
                "a weight is already changed by {MAX_RECIPE_DEPTH} recipes, the maximum"
            )));
        }
        Ok(Tensor::concatenated(&tensors)?)
    };
    let weight = concatenated(all.iter().map(|one| one.weight.clone()).collect())?;
    let weight = insert(graph, root, "packed.weight", Op::Parameter(weight), &[])?;
    let mut packed = insert(graph, root, "packed", Op::MatMul, &[x, weight])?;
    if first.bias.is_some() {
        let bias = concatenated(all.iter().filter_map(|one| one.bias.clone()).collect())?;
        let bias = insert(graph, root, "packed.bias", Op::Parameter(bias), &[])?;
        packed = insert(graph, root, "packed.biased", Op::Add, &[packed, bias])?;
    }
    let widths: Vec<i64> = all.iter().map(|one| one.width).collect();
    let widths = number_list(graph, root, "widths", &widths)?;
    let results: Vec<Value> = all.iter().map(|one| one.result).collect();
    let note = format!("merged {} products into one", results.len());
    become_results(graph, &results, Op::Split { axis: -1 }, &[Some(packed), Some(widths)], note)
}

/// Returns the projection whose product a node is, if only attention uses it.
fn projection(graph: &Graph, node: NodeId) -> Result<Projection, Skip> {
    let product = Value { node, result: 0 };
    if graph.kind(product) != OpKind::MatMul {
        return Err(Skip::NoMatch);
    }
    let held = |at: usize| graph.operand(node, at).and_then(|of| Some((of, graph.tensor(of)?.clone())));
    let (at, weight) = held(1).ok_or(Skip::NoMatch)?;
    let &[_, width] = weight.dims() else { return Err(Skip::NoMatch) };
    // ONNX Runtime computes products of narrow numbers in f32 and does not round what attention reads next, but Split does.
    let is_float = weight.element() == ElementType::F32;
    // A weight with another use would be written twice.
    if !is_float || graph.use_count(at) != 1 || graph.is_output(product) {
        return Err(Skip::NoMatch);
    }
    let width = i64::try_from(width).map_err(|_| Skip::NoMatch)?;
    let (result, bias) = match graph.users(product).as_slice() {
        [(user, _)] if graph.node(*user).op().kind() == OpKind::Add => {
            let biased = Value { node: *user, result: 0 };
            let operands = graph.operands(*user);
            let bias = operands.iter().flatten().find_map(|of| graph.tensor(*of)).ok_or(Skip::NoMatch)?;
            (bias.dims() == [width.unsigned_abs()]).then_some(()).ok_or(Skip::NoMatch)?;
            (biased, Some(bias.clone()))
        }
        _ => (product, None),
    };
    let users = graph.users(result);
    let serves_attention = !users.is_empty()
        && users.iter().all(|(user, at)| match graph.node(*user).op().kind() {
            OpKind::Attention => *at < 3,
            OpKind::RotaryEmbedding => *at == 0,
            _ => false,
        });
    let is_wide = graph.shape(result).and_then(<[Dim]>::last) == Some(&Dim::Known(width));
    if !serves_attention || !is_wide || graph.is_output(result) {
        return Err(Skip::NoMatch);
    }
    Ok(Projection { weight, bias, width, result })
}
