//! Replaces a Gemm of flattened axes with a MatMul that keeps them.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::{constant_shape, same_shape};
use crate::read::transposes::{keeps_rows, order};
use crate::rewrite::{MAX_RECIPE_DEPTH, become_op, first_operands, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, Graph, NodeId, Op, OpKind, Value};

/// `reshape(gemm(reshape(x, [-1, k]), w, c), [.., n])` -> `add(matmul(x, w), c)`
///
/// Exporters flatten all axes but the last for a Gemm, and need arithmetic on shapes to restore them. MatMul accepts
/// them as they are, and runtimes compute it as the same product of matrices. The rounding of one addition may differ:
/// Gemm may add the bias before or after the products.
///
/// A Gemm whose weight has at least `kept` elements stays, for runtimes in which it is faster. So does one that
/// transposes its weight, except between transposes that could be merged without it; then the weight is transposed
/// while it is written.
pub fn unflatten_gemm(kept: Option<u64>) -> Pass {
    let summary = "reshape(gemm(reshape(x), w, c)) -> add(matmul(x, w), c), if the axes are restored";
    Pass::new("unflatten-gemm", summary, Exactness::Rounding)
        .at([OpKind::Reshape], move |graph, root| unflatten(graph, root, kept))
}

fn unflatten(graph: &mut Graph, root: Value, kept: Option<u64>) -> Rewritten {
    let product = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let &Op::Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b } = graph.op(product) else {
        return Err(Skip::NoMatch);
    };
    let [flat, w] = first_operands(graph, product)?;
    if graph.kind(flat) != OpKind::Reshape {
        return Err(Skip::NoMatch);
    }
    let x = graph.operand(flat.node, 0).ok_or(Skip::NoMatch)?;
    let is_kept = kept.zip(graph.tensor(w)).is_some_and(|(kept, weight)| weight.count() >= kept);
    if (is_kept || trans_b) && !is_between_transposes(graph, x, root) {
        return Err(Skip::NoMatch);
    }
    if graph.use_count(product) != 1 {
        return Err(Skip::rejected(format!("{} has another use", graph.operand_text(product))));
    }
    let shape = |value| graph.shape(value).map(<[_]>::to_vec).ok_or(Skip::NoMatch);
    let (from, to, inner, weight) = (shape(x)?, shape(root)?, shape(flat)?, shape(w)?);
    let ([_, k], [rows, columns]) = (inner.as_slice(), weight.as_slice()) else { return Err(Skip::NoMatch) };
    let n = if trans_b { rows } else { columns };
    let [leading @ .., last] = to.as_slice() else { return Err(Skip::NoMatch) };
    if leading.len() < 2 || last.same(n) != Some(true) {
        return Err(Skip::NoMatch);
    }
    // A bias for each row would have to be reshaped too.
    let bias = graph.operand(product.node, 2);
    if let Some(bias) = bias {
        let own = shape(bias)?;
        let (rows, columns) = own.split_at(own.len().saturating_sub(1));
        let one = |dim: &Dim| *dim == Dim::Known(1);
        if !rows.iter().all(one) || !columns.iter().all(|dim| one(dim) || dim.same(n) == Some(true)) {
            return Err(Skip::NoMatch);
        }
    }
    let shape_of_rows: Vec<_> = leading.iter().chain([k]).cloned().collect();
    let rows = if same_shape(&from, &shape_of_rows) {
        x
    } else {
        let target = constant_shape(Some(&from), &shape_of_rows, None).ok_or(Skip::NoMatch)?;
        let target = number_list(graph, root, "shape", &target)?;
        insert(graph, root, "rows", Op::Reshape { allowzero: false }, &[x, target])?
    };
    let w = if trans_b { transposed(graph, root, w)? } else { w };
    let note = "multiplies without flattening";
    match bias {
        None => become_op(graph, root, Op::MatMul, &[rows, w], note),
        Some(bias) => {
            let product = insert(graph, root, "product", Op::MatMul, &[rows, w])?;
            become_op(graph, root, Op::Add, &[product, bias], note)
        }
    }
}

/// Whether a transpose precedes `x` and another one, which keeps the rows, follows the root, without other uses.
fn is_between_transposes(graph: &Graph, x: Value, root: Value) -> bool {
    let order_of = |user: NodeId| order(graph, Value { node: user, result: 0 });
    graph.kind(x) == OpKind::Transpose
        && graph.use_count(x) == 1
        && matches!(graph.users(root).as_slice(), &[(user, _)] if order_of(user).is_some_and(|it| keeps_rows(&it)))
}

/// Inserts the transposed weight, if it is a parameter without other uses.
fn transposed(graph: &mut Graph, root: Value, weight: Value) -> Result<Value, Skip> {
    let held = graph.tensor(weight).filter(|_| graph.kind(weight) == OpKind::Parameter && graph.use_count(weight) == 1);
    let held = held.filter(|held| held.recipe_depth() < MAX_RECIPE_DEPTH).ok_or(Skip::NoMatch)?;
    insert(graph, root, "weight", Op::Parameter(held.transposed()?), &[])
}
