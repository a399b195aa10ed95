//! Removes the merging of batch and heads, and their splitting, around operators that work on both axes.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::{constant_shape, position, same_shape};
use crate::read::transposes::order;
use crate::rewrite::{become_op, become_value, insert, number, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::op::Class;
use netwright_ir::{Dim, Graph, Op, OpKind, Tensor, Value};
use std::collections::BTreeMap;

/// `split(f(merge(x), merge(y)))` -> `f(x, y)`, if `[batch, heads, …]` is merged to `[batch * heads, …]`
///
/// Batched products of rank 3 used to be faster, so older exports (BART, fairseq, Megatron, BLOOM, PyTorch's own
/// MultiheadAttention) merge batch and heads before them and split them afterwards. Attention is only recognized with
/// four axes. The same numbers are computed; a runtime may sum the products in another order.
pub fn split_merged_heads() -> Pass {
    let summary = "split(f(merge(x), merge(y))) -> f(x, y), for merged batch and heads";
    Pass::new("split-merged-heads", summary, Exactness::Rounding).at([OpKind::Reshape], split)
}

/// The maximum number of operators between merging and splitting.
const MAX_NODES: usize = 64;

fn split(graph: &mut Graph, root: Value) -> Rewritten {
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    if graph.kind(x) == OpKind::Reshape {
        return Err(Skip::NoMatch);
    }
    let (Some(from), Some(to)) = (graph.shape(x), graph.shape(root)) else { return Err(Skip::NoMatch) };
    let (axis, merged) = parts(from, to).ok_or(Skip::NoMatch)?;
    let mut region = Region { root, merged, unmerged: BTreeMap::new(), merges: 0, operators: 0 };
    let whole = region.whole(graph, x, axis)?;
    if region.merges == 0 || region.operators == 0 {
        return Err(Skip::NoMatch);
    }
    let (Some(own), Some(to)) = (graph.shape(whole), graph.shape(root)) else { return Err(Skip::NoMatch) };
    let note = "computed before batch and heads are merged";
    if same_shape(own, to) {
        return become_value(graph, root, whole, note);
    }
    let target = constant_shape(Some(own), to, None);
    let target =
        target.ok_or_else(|| Skip::rejected("the heads cannot be merged by a constant shape for every binding"))?;
    let target = number_list(graph, root, "sizes", &target)?;
    become_op(graph, root, Op::Reshape { allowzero: false }, &[whole, target], note)
}

/// The dims of batch and heads.
type Merged = [Dim; 2];

/// Returns the axis that is split, and the dims into which: `[.., batch * heads, ..]` to `[.., batch, heads, ..]`, or
/// `[length, batch * heads, size]` to `[length, batch, heads * size]` or `[length * batch, heads * size]`.
fn parts(from: &[Dim], to: &[Dim]) -> Option<(usize, Merged)> {
    let [first, second, last] = from else { return None };
    let is = |a: &Dim, b: &Dim| a.same(b) == Some(true);
    let parts = |batch: &Dim, heads: &Dim| [batch.clone(), heads.clone()];
    let by_width = |batch: &Dim, width: &Dim| {
        let (width, size) = (width.known()?, last.known().filter(|size| *size > 0)?);
        let heads = Dim::Known(width / size);
        let fits = width % size == 0 && is(&batch.times(&heads), second);
        fits.then(|| (1, [batch.clone(), heads]))
    };
    match to {
        [a, b, c, d] if is(&a.times(b), first) && is(c, second) && is(d, last) => Some((0, parts(a, b))),
        [a, b, c, d] if is(a, first) && is(&b.times(c), second) && is(d, last) => Some((1, parts(b, c))),
        [a, batch, width] if is(a, first) => by_width(batch, width),
        [rows, width] => {
            let batch = rows.floor_div(first);
            if is(&batch.times(first), rows) { by_width(&batch, width) } else { None }
        }
        _ => None,
    }
}

/// The nodes between merging and splitting, and their replacements.
struct Region {
    root: Value,
    merged: Merged,
    /// For a value and its axis of merged batch and heads, the replacement in which they are two axes.
    unmerged: BTreeMap<(Value, usize), Value>,
    merges: usize,
    operators: usize,
}

impl Region {
    /// Returns a value with batch and heads as two axes; in `value`, of rank 3, they are merged at `axis`.
    fn whole(&mut self, graph: &mut Graph, value: Value, axis: usize) -> Result<Value, Skip> {
        if let Some(unmerged) = self.unmerged.get(&(value, axis)) {
            return Ok(*unmerged);
        }
        let unmerged = match self.before_merge(graph, value, axis)? {
            Some(before) => {
                self.merges += 1;
                before
            }
            None => self.operator(graph, value, axis)?,
        };
        self.unmerged.insert((value, axis), unmerged);
        Ok(unmerged)
    }

    /// Returns the value before a Reshape that merges batch and heads.
    fn before_merge(&self, graph: &mut Graph, value: Value, axis: usize) -> Result<Option<Value>, Skip> {
        if graph.kind(value) != OpKind::Reshape {
            return Ok(None);
        }
        let (Some(x), Some(own)) = (graph.operand(value.node, 0), graph.shape(value)) else { return Ok(None) };
        let Some(from) = graph.shape(x) else { return Ok(None) };
        let [batch, heads] = &self.merged;
        let mut apart = own.to_vec();
        apart.splice(axis..=axis, self.merged.iter().cloned());
        if same_shape(from, &apart) {
            return Ok(Some(x));
        }
        let is = |a: &Dim, b: &Dim| a.same(b) == Some(true);
        match (from, own, axis) {
            // `[length, batch, heads * size]`
            ([length, own_batch, width], [own_length, _, size], 1)
                if is(length, own_length) && is(own_batch, batch) && is(width, &heads.times(size)) =>
            {
                let (Some(heads), Some(size)) = (heads.known(), size.known()) else { return Ok(None) };
                let sizes = number_list(graph, self.root, "sizes", &[0, 0, heads, size])?;
                insert(graph, self.root, "apart", Op::Reshape { allowzero: false }, &[x, sizes]).map(Some)
            }
            // `[batch, heads, key]` to `[batch * heads, 1, key]`
            ([own_batch, own_heads, key], [_, one, own_key], 0)
                if is(own_batch, batch) && is(own_heads, heads) && *one == Dim::Known(1) && is(key, own_key) =>
            {
                let axes = number_list(graph, self.root, "axes", &[2])?;
                insert(graph, self.root, "apart", Op::Unsqueeze, &[x, axes]).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Applies the operator of a value to operands with batch and heads as two axes.
    fn operator(&mut self, graph: &mut Graph, value: Value, axis: usize) -> Result<Value, Skip> {
        let name = || graph.operand_text(value);
        if graph.use_count(value) != 1 {
            return Err(Skip::rejected(format!("{} has another use", name())));
        }
        self.operators += 1;
        if self.operators > MAX_NODES {
            return Err(Skip::NoMatch);
        }
        let op = graph.op(value).clone();
        let operands: Vec<Value> =
            graph.operands(value.node).into_iter().collect::<Option<_>>().ok_or(Skip::NoMatch)?;
        let apart = |axis_of: i64| {
            let at = position(axis_of, 3).filter(|at| *at != axis)?;
            i64::try_from(if at > axis { at + 1 } else { at }).ok()
        };
        let works_on_merged = || Skip::rejected(format!("{} works along the axis of batch and heads", name()));
        let (op, operands) = match (op, operands.as_slice()) {
            (op @ Op::MatMul, [a, b]) if axis == 0 && graph.fact(*a).rank() == Some(3) => {
                let left = self.whole(graph, *a, 0)?;
                let right = if graph.fact(*b).rank() == Some(2) { *b } else { self.whole(graph, *b, 0)? };
                (op, vec![left, right])
            }
            (Op::Transpose { .. }, [x]) => {
                let order = order(graph, value).filter(|order| order.len() == 3).ok_or(Skip::NoMatch)?;
                let from = *order.get(axis).ok_or(Skip::NoMatch)?;
                let x = self.whole(graph, *x, from)?;
                let perm = order.iter().flat_map(|&at| match at {
                    at if at == from => vec![at, at + 1],
                    at => vec![if at > from { at + 1 } else { at }],
                });
                let perm = perm.map(i64::try_from).collect::<Result<_, _>>().map_err(|_| Skip::NoMatch)?;
                (Op::Transpose { perm }, vec![x])
            }
            (Op::Softmax { axis: along }, [x]) => {
                let along = apart(along).ok_or_else(works_on_merged)?;
                let along = if along == 3 { -1 } else { along };
                (Op::Softmax { axis: along }, vec![self.whole(graph, *x, axis)?])
            }
            (Op::Concat { axis: along }, parts) => {
                let along = apart(along).ok_or_else(works_on_merged)?;
                let parts = parts.iter().map(|part| self.whole(graph, *part, axis));
                (Op::Concat { axis: along }, parts.collect::<Result<_, _>>()?)
            }
            (op, [x]) if op.kind().class() == Class::ElementwiseUnary => (op, vec![self.whole(graph, *x, axis)?]),
            (op, all) if op.kind().class() == Class::Broadcasting => {
                let mut apart = vec![];
                for operand in all {
                    apart.push(self.broadcast(graph, value, *operand, axis)?);
                }
                (op, apart)
            }
            _ => return Err(Skip::rejected(format!("{} may not treat each head independently", name()))),
        };
        insert(graph, self.root, "apart", op, &operands)
    }

    /// Returns an operand that is broadcast to the shape of the result, with batch and heads as two axes.
    fn broadcast(&mut self, graph: &mut Graph, result: Value, operand: Value, axis: usize) -> Result<Value, Skip> {
        let shape = graph.shape(operand).ok_or(Skip::NoMatch)?;
        if shape.len() + axis <= 2 {
            return Ok(operand);
        }
        let Some(own) = shape.get(axis).filter(|_| shape.len() == 3) else { return Err(Skip::NoMatch) };
        if *own == Dim::Known(1) {
            let axes = number_list(graph, self.root, "axes", &[i64::try_from(axis).unwrap_or(0)])?;
            return insert(graph, self.root, "apart", Op::Unsqueeze, &[operand, axes]);
        }
        let (mark, before) = (graph.mark(), (self.merges, self.operators));
        match self.whole(graph, operand, axis) {
            Ok(apart) => Ok(apart),
            Err(skip) => {
                graph.undo_to(mark);
                self.unmerged.retain(|_, unmerged| graph.is_alive(unmerged.node));
                (self.merges, self.operators) = before;
                let element = graph.fact(operand).element().ok_or(Skip::NoMatch)?;
                // Another operand must have the whole shape, so that a scalar in place of this one suffices.
                let widens = graph.operands(result.node).into_iter().flatten().all(|other| {
                    other == operand
                        || graph.shape(other).zip(graph.shape(result)).is_none_or(|(a, b)| !same_shape(a, b))
                });
                match uniform(graph, operand).filter(|_| !widens) {
                    Some(value) => number(graph, self.root, "uniform", element, value),
                    None => Err(skip),
                }
            }
        }
    }
}

/// Returns the number that all elements equal.
fn uniform(graph: &Graph, value: Value) -> Option<f64> {
    let operand = |at| graph.operand(value.node, at).and_then(|of| uniform_of(graph, of));
    match graph.op(value) {
        Op::Mul => Some(operand(0)? * operand(1)?),
        _ => uniform_of(graph, value),
    }
}

fn uniform_of(graph: &Graph, value: Value) -> Option<f64> {
    match graph.op(value) {
        Op::ConstantOfShape { value } => value.float(),
        Op::Expand => graph.operand(value.node, 0).and_then(|of| graph.tensor(of)).and_then(Tensor::float),
        _ => graph.tensor(value).and_then(Tensor::float),
    }
}
