//! Computes shapes, and the layout, type and scale of tensors, at compile time.

use crate::pass::{Exactness, Pass};
use crate::pattern::{Match, any, cast, known, mul, op, scalar, transpose};
use crate::read::sizes::only_element;
use crate::read::transposes::order;
use crate::rewrite::{MAX_RECIPE_DEPTH, SMALL, become_op, element, first_operands, in_memory, keeps_shape};
use crate::rule::{Rewritten, Rule, Skip};
use netwright_ir::{ElementType, Fact, Graph, Op, OpKind, Shape, Tensor, TensorError, Value};

/// Computes what is known at compile time: arithmetic on shapes, and the layout, type and scale of tensors.
///
/// A large tensor becomes a recipe, which is evaluated while it is written; a parameter stays a parameter and keeps its
/// name. Large tensors are not copied: one with another use, such as an embedding that is also the output projection,
/// stays shared. Constants of up to 1 KiB may be copied.
pub fn fold_constants() -> Pass {
    let summary = "compute shapes, and the layout, type and scale of tensors, at compile time";
    Pass::new("fold-constants", summary, Exactness::Bits)
        .rules([fold_integers(), fold_transpose(), fold_cast(), fold_whole_number(), fold_cast_like(), fold_factor()])
        .rules([OpKind::Reshape, OpKind::Unsqueeze, OpKind::Squeeze].map(fold_shape))
}

/// Folds integers whose elements shape inference knows.
fn fold_integers() -> Rule {
    Rule::new("fold-integers", "integers that are known -> a constant", any("x").into(), |graph, found: &Match| {
        let root = found.root();
        if matches!(graph.kind(root), OpKind::Input | OpKind::Parameter | OpKind::Constant | OpKind::Opaque)
            || graph.node(root.node).result_count() != 1
        {
            return Err(Skip::NoMatch);
        }
        let tensor = integers(graph.fact(root))
            .or_else(|| range(graph, root))
            .or_else(|| flattened(graph, root))
            .ok_or(Skip::NoMatch)?;
        not_output(graph, root)?;
        become_op(graph, root, Op::Constant(tensor), &[], "computed")
    })
}

/// Returns the tensor of a fact that knows every element.
fn integers(fact: &Fact) -> Option<Tensor> {
    let elements = fact.known_elements()?;
    let dims = fact.shape()?.known()?;
    if dims.len() > 1 || dims.iter().product::<u64>() != elements.len() as u64 {
        return None;
    }
    let bytes: Option<Vec<Vec<u8>>> = elements
        .into_iter()
        .map(|element| match fact.element()? {
            ElementType::I64 => Some(element.to_le_bytes().to_vec()),
            ElementType::I32 => Some(i32::try_from(element).ok()?.to_le_bytes().to_vec()),
            ElementType::Bool => Some(vec![u8::from(element != 0)]),
            _ => None,
        })
        .collect();
    Tensor::from_bytes(fact.element()?, &dims, bytes?.concat()).ok()
}

/// Returns the elements of a Range whose bounds became known only after the model was read.
fn range(graph: &Graph, root: Value) -> Option<Tensor> {
    let operands = graph.operands(root.node);
    let known = || operands.iter().flatten().all(|bound| graph.tensor(*bound).is_some());
    if graph.kind(root) != OpKind::Range || !known() {
        return None;
    }
    integers(graph.infer(graph.op(root), &operands, 1).ok()?.facts.first()?)
}

/// Returns the elements of a small matrix as a vector. Exporters compute pads as a pair for each axis from the last to
/// the first, and rearrange them by a reversing Slice and a Transpose into the pads before each axis and those after.
fn flattened(graph: &Graph, root: Value) -> Option<Tensor> {
    let operand = graph.operand(root.node, 0).filter(|_| graph.kind(root) == OpKind::Reshape)?;
    let rows = matrix(graph, operand, 0)?;
    (graph.fact(root).rank() == Some(1)).then(|| Tensor::indices(&rows.concat()))
}

/// The maximum number of nodes that rearrange a matrix.
const MAX_TURNS: usize = 4;

/// Returns the rows of a small matrix of known integers, looking through nodes that move its elements.
fn matrix(graph: &Graph, value: Value, depth: usize) -> Option<Vec<Vec<i64>>> {
    let ty = graph.fact(value).tensor_type().filter(|ty| ty.element == ElementType::I64)?;
    let dims = ty.shape.as_ref()?.known()?;
    let &[count, size] = &dims[..] else { return None };
    if depth == MAX_TURNS || count.checked_mul(size).is_none_or(|count| count == 0 || 8 * count > SMALL) {
        return None;
    }
    let size = usize::try_from(size).ok()?;
    let operand = graph.operand(value.node, 0);
    let rows = |all: Vec<i64>| all.chunks(size).map(<[i64]>::to_vec).collect();
    if let Some(tensor) = graph.tensor(value) {
        return tensor.integers().map(rows);
    }
    match graph.op(value) {
        Op::Reshape { .. } => match graph.fact(operand?).known_elements() {
            Some(all) => Some(rows(all)),
            None => matrix(graph, operand?, depth + 1).map(|all| rows(all.concat())),
        },
        Op::Transpose { perm } if *perm == [1, 0] => {
            let all = matrix(graph, operand?, depth + 1)?;
            Some((0..all.first()?.len()).map(|at| all.iter().map(|row| row[at]).collect()).collect())
        }
        Op::Slice => {
            let mut all = matrix(graph, operand?, depth + 1)?;
            let one = |at| only_element(graph, value.node, at);
            let last = i64::try_from(all.len()).ok()? - 1;
            let is_whole = [-1, last].contains(&one(1)?) && one(2)? < -last - 1;
            (is_whole && one(3)? == 0 && one(4)? == -1).then(|| {
                all.reverse();
                all
            })
        }
        _ => None,
    }
}

fn fold_transpose() -> Rule {
    let w = known("w");
    Rule::new("fold-transpose", "transpose(w) -> wᵀ, on its last two axes", transpose(w), move |graph, found| {
        let order = order(graph, found.root()).ok_or(Skip::NoMatch)?;
        let mut exchanged: Vec<usize> = (0..order.len()).collect();
        if let [.., a, b] = exchanged.as_mut_slice() {
            std::mem::swap(a, b);
        }
        if order != exchanged {
            return Err(Skip::NoMatch);
        }
        fold(graph, found.root(), found[w], "transposed", Tensor::transposed)
    })
}

/// Folds Reshape, Unsqueeze and Squeeze, which keep the order of the elements.
fn fold_shape(kind: OpKind) -> Rule {
    Rule::new("fold-shape", "a tensor in another shape -> a tensor of that shape", op(kind), |graph, found| {
        let root = found.root();
        let from = graph.operand(root.node, 0).filter(|from| graph.tensor(*from).is_some()).ok_or(Skip::NoMatch)?;
        let dims = graph.fact(root).shape().and_then(Shape::known).ok_or(Skip::NoMatch)?;
        fold(graph, root, from, "reshaped", |tensor| tensor.reshaped(&dims))
    })
}

/// Folds casts between float types, but not of large tensors to a wider type, which would make the file larger, and not
/// from `f64` to 16 bits, which runtimes round differently.
fn fold_cast() -> Rule {
    let w = known("w");
    Rule::new("fold-cast", "cast(w) -> w in that type", cast(w), move |graph, found| {
        let &Op::Cast { to, .. } = graph.op(found.root()) else { return Err(Skip::NoMatch) };
        let tensor = graph.tensor(found[w]).ok_or(Skip::NoMatch)?;
        if !tensor.element().is_float() || !to.is_float() {
            return Err(Skip::NoMatch);
        }
        if to.bits() > tensor.element().bits() && tensor.len() > SMALL {
            let name = graph.operand_text(found[w]);
            return Err(Skip::rejected(format!("{name} would be larger as {to} than as {}", tensor.element())));
        }
        if graph.fact(found[w]).element() == Some(ElementType::F64) && to.bits() < 32 {
            // ONNX Runtime 1.32 rounds twice, by way of f32; the standard rounds once.
            return Err(Skip::rejected(format!("runtimes round f64 to {to} differently")));
        }
        fold(graph, found.root(), found[w], "cast", |tensor| tensor.cast(to))
    })
}

/// Folds casts of a whole number from a float type, in which exporters write the bounds of a Range.
fn fold_whole_number() -> Rule {
    let c = scalar("c");
    let summary = "cast(c) -> c as an integer or a truth value, for a whole number";
    Rule::new("fold-whole-number", summary, cast(c), move |graph, found| {
        let root = found.root();
        let (&Op::Cast { to, .. }, number) = (graph.op(root), found.scalar(c)) else { return Err(Skip::NoMatch) };
        // Larger floats have no fraction, and do not fit in an i32.
        if number.fract() != 0.0 || number.abs() >= f64::from(i32::MAX) || graph.kind(found[c]) != OpKind::Constant {
            return Err(Skip::NoMatch);
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and in range")]
        let whole = number as i64;
        let dims = graph.tensor(found[c]).ok_or(Skip::NoMatch)?.dims().to_vec();
        let bytes = match to {
            ElementType::I64 => whole.to_le_bytes().to_vec(),
            ElementType::I32 => i32::try_from(whole).map_err(|_| Skip::NoMatch)?.to_le_bytes().to_vec(),
            ElementType::Bool => vec![u8::from(whole != 0)],
            _ => return Err(Skip::NoMatch),
        };
        not_output(graph, root)?;
        become_op(graph, root, Op::Constant(Tensor::from_bytes(to, &dims, bytes)?), &[], "computed")
    })
}

/// Replaces CastLike with Cast.
fn fold_cast_like() -> Rule {
    let summary = "cast_like(x, y) -> cast(x) to the type of y";
    Rule::new("fold-cast-like", summary, op(OpKind::CastLike), |graph, found| {
        let root = found.root();
        let &Op::CastLike { saturate, round_mode } = graph.op(root) else { return Err(Skip::NoMatch) };
        let [x, like] = first_operands(graph, root)?;
        let to = element(graph, like)?;
        become_op(graph, root, Op::Cast { to, saturate, round_mode }, &[x], format!("casts to {to}"))
    })
}

/// Folds a constant factor. The product is rounded once to the tensor's type, as the operator does.
fn fold_factor() -> Rule {
    let (w, c) = (known("w"), scalar("c"));
    Rule::new("fold-factor", "w * c -> a scaled w", mul(w, c), move |graph, found| {
        #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
        let factor = found.scalar(c) as f32;
        if f64::from(factor) != found.scalar(c) || !keeps_shape(graph, found[w], found[c]) {
            return Err(Skip::NoMatch);
        }
        if graph.kind(found[w]) == OpKind::Constant && graph.kind(found[c]) == OpKind::Parameter {
            return Err(Skip::rejected(format!("{} is a parameter", graph.operand_text(found[c]))));
        }
        fold(graph, found.root(), found[w], "scaled", |tensor| tensor.scaled(factor))
    })
}

/// Fails if the root is a result of the graph, because runtimes require a node there.
fn not_output(graph: &Graph, root: Value) -> Result<(), Skip> {
    if graph.is_output(root) { Err(Skip::rejected("it is a result of the graph")) } else { Ok(()) }
}

/// Replaces the root with a tensor that `change` computes from `of`.
fn fold(
    graph: &mut Graph,
    root: Value,
    of: Value,
    note: &'static str,
    change: impl FnOnce(&Tensor) -> Result<Tensor, TensorError>,
) -> Rewritten {
    not_output(graph, root)?;
    let old = graph.op(of).clone();
    let name = graph.operand_text(of);
    let changed = change(old.tensor().ok_or(Skip::NoMatch)?)?;
    if changed.recipe_depth() > MAX_RECIPE_DEPTH {
        return Err(Skip::rejected(format!("{name} is already changed by {MAX_RECIPE_DEPTH} recipes, the maximum")));
    }
    let op = match old {
        Op::Constant(_) if changed.len() <= SMALL => Op::Constant(in_memory(&changed)?),
        Op::Constant(_) => Op::Constant(changed),
        _ => Op::Parameter(changed),
    };
    if graph.use_count(of) == 1 {
        // In its place, so that a parameter keeps its name and position.
        let fact = op.tensor().map(Tensor::fact).ok_or(Skip::NoMatch)?;
        graph.set_op(of.node, op);
        graph.set_fact(of, fact);
        graph.replace(root, of);
        return Ok(note.into());
    }
    match op {
        Op::Constant(tensor) if tensor.len() <= SMALL => become_op(graph, root, Op::Constant(tensor), &[], note),
        _ => Err(Skip::rejected(format!("{name} has another use, and a second copy would make the file larger"))),
    }
}
