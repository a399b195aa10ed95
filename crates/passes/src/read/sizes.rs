//! Sizes as values: facts about shapes, and the shortest arithmetic that computes a size at run time.

use crate::rewrite::{insert, only, squeezes_by_axes};
use crate::rule::Skip;
use netwright_ir::{Dim, DimParts, Graph, NodeId, Op, OpKind, Shape, Symbol, Tensor, Value};
use std::collections::{BTreeMap, HashSet};

/// The maximum number of nodes of arithmetic that are counted.
const MAX_NODES: usize = 64;

/// The maximum number of axes with the same symbol that are examined.
const MAX_SOURCES: usize = 16;

/// The maximum depth of sums and products of dims.
const MAX_DEPTH: usize = 8;

/// The axes from which the symbols of a graph can be read at run time.
#[derive(Debug)]
pub(crate) struct Sizes {
    sources: BTreeMap<Symbol, Vec<(Value, usize)>>,
    outputs: HashSet<Value>,
}

/// An expression that computes sizes: a scalar or a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// A vector of known numbers.
    Known(Vec<i64>),
    /// The sizes of a range of axes of a value: the first axis, and the end of the range.
    Shape(Value, usize, usize),
    /// The only element of a vector.
    Only(Box<Expression>),
    /// An Add or Mul of two expressions of the same rank.
    Apply(OpKind, Box<[Expression; 2]>),
    /// The concatenation of vectors.
    Concat(Vec<Expression>),
}

impl Sizes {
    /// Returns the sizes of a graph's inputs; in a branch, which has no inputs, those of its captures. In a body with
    /// both there are none: the size of a loop's state may change while it runs, even if its symbol is also a size
    /// outside.
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut sources: BTreeMap<Symbol, Vec<(Value, usize)>> = BTreeMap::new();
        let is_loop = graph.captures().len() > 0 && graph.inputs().len() > 0;
        // Captures are listed in the order of their first use, which changes as uses do.
        let mut captures: Vec<Value> = graph.captures().collect();
        captures.sort_by_key(|capture| graph.value_name(*capture));
        for input in graph.inputs().chain(captures).filter(|_| !is_loop) {
            for (axis, dim) in graph.shape(input).unwrap_or_default().iter().enumerate() {
                if let Dim::Symbol(symbol) = dim {
                    let places = sources.entry(symbol.clone()).or_default();
                    if places.len() < MAX_SOURCES {
                        places.push((input, axis));
                    }
                }
            }
        }
        Self { sources, outputs: graph.outputs().iter().map(|output| output.value).collect() }
    }

    /// Whether a value is a result of the graph.
    pub(crate) fn is_output(&self, value: Value) -> bool {
        self.outputs.contains(&value)
    }

    /// Returns the shortest expression for these sizes. `None` if a symbol is not the size of an input.
    pub(crate) fn expression(&self, dims: &[Dim], vector: bool) -> Option<Expression> {
        if !vector {
            let [dim] = dims else { return None };
            return Some(Expression::Only(Box::new(self.size(dim, 0)?)));
        }
        let mut parts: Vec<Expression> = vec![];
        let mut rest = dims;
        while let [dim, after @ ..] = rest {
            if let Some(known) = dim.known() {
                match parts.last_mut() {
                    Some(Expression::Known(numbers)) => numbers.push(known),
                    _ => parts.push(Expression::Known(vec![known])),
                }
                rest = after;
                continue;
            }
            let (part, count) = match dim {
                Dim::Symbol(symbol) => self.run(symbol, rest)?,
                _ => (self.size(dim, 0)?, 1),
            };
            parts.push(part);
            rest = &rest[count..];
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Expression::Concat(parts) })
    }

    /// Returns the longest prefix of `dims` whose dims are adjacent in the shape of an input, and its length.
    fn run(&self, symbol: &Symbol, dims: &[Dim]) -> Option<(Expression, usize)> {
        let of = |at: usize, value: Value, axis: usize| match &dims[at] {
            Dim::Symbol(symbol) => self.sources.get(symbol).is_some_and(|places| places.contains(&(value, axis))),
            _ => false,
        };
        let mut best: Option<(Expression, usize)> = None;
        for &(value, axis) in self.sources.get(symbol)? {
            let count = (0..dims.len()).take_while(|&at| of(at, value, axis + at)).count();
            if best.as_ref().is_none_or(|(_, most)| count > *most) {
                best = Some((Expression::Shape(value, axis, axis + count), count));
            }
        }
        best
    }

    /// Returns an expression for a vector that holds one size.
    fn size(&self, dim: &Dim, depth: usize) -> Option<Expression> {
        if depth == MAX_DEPTH {
            return None;
        }
        let (kind, operands) = match dim.parts() {
            DimParts::Known(known) => return Some(Expression::Known(vec![known])),
            DimParts::Symbol(symbol) => return Some(self.run(&symbol, std::slice::from_ref(dim))?.0),
            DimParts::Sum(operands) => (OpKind::Add, operands),
            DimParts::Product(operands) => (OpKind::Mul, operands),
            // Min takes no integers below opset 12.
            DimParts::Min(_) | DimParts::Other => return None,
        };
        let mut operands = operands.iter().map(|operand| self.size(operand, depth + 1));
        let first = operands.next()??;
        operands.try_fold(first, |left, right| Some(Expression::Apply(kind, Box::new([left, right?]))))
    }

    /// Returns the number of nodes that compute a value in the graph as it is, without sources. A slice of a shape counts
    /// as one node, like the Shape of some axes as which it may be written.
    pub(crate) fn cost_of(graph: &Graph, value: Value) -> usize {
        let mut seen = HashSet::from([value.node]);
        let mut open = vec![value.node];
        let mut cost = 0;
        while let Some(node) = open.pop() {
            let kind = graph.node(node).op().kind();
            cost += usize::from(!kind.is_source());
            if cost == MAX_NODES {
                break;
            }
            if kind != OpKind::Shape && sliced_shape(graph, Value { node, result: 0 }).is_none() {
                let operands = graph.operands(node);
                open.extend(operands.into_iter().flatten().map(|value| value.node).filter(|node| seen.insert(*node)));
            }
        }
        cost
    }
}

impl Expression {
    /// Returns the number of nodes of the expression, equal ones counted once.
    pub(crate) fn cost(&self) -> usize {
        let mut seen = vec![];
        self.collect(&mut seen);
        seen.len()
    }

    fn collect<'e>(&'e self, seen: &mut Vec<&'e Expression>) {
        match self {
            Expression::Known(_) => return,
            Expression::Shape(..) => {}
            Expression::Only(vector) => vector.collect(seen),
            Expression::Apply(_, operands) => operands.iter().for_each(|operand| operand.collect(seen)),
            Expression::Concat(parts) => parts.iter().for_each(|part| part.collect(seen)),
        }
        if !seen.contains(&self) {
            seen.push(self);
        }
    }

    /// Whether the graph already computes a value by this expression.
    pub(crate) fn is(&self, graph: &Graph, value: Value) -> bool {
        let node = value.node;
        let operands = graph.operands(node);
        let all = |parts: &[Expression]| {
            parts.len() == operands.len()
                && parts.iter().zip(&operands).all(|(part, operand)| operand.is_some_and(|value| part.is(graph, value)))
        };
        match (self, graph.node(node).op()) {
            (Expression::Known(numbers), Op::Constant(_)) => {
                graph.fact(value).known_elements().as_ref() == Some(numbers) && graph.fact(value).rank() == Some(1)
            }
            (Expression::Shape(of, from, to), Op::Shape { .. }) => {
                operands[..] == [Some(*of)] && graph.node(node).op() == &shape_op(graph, *of, *from, *to)
            }
            (Expression::Shape(of, from, to), Op::Slice) if !may_be_partial(graph) => {
                sliced_shape(graph, value) == Some((*of, shape_op(graph, *of, *from, *to)))
            }
            (Expression::Only(vector), Op::Squeeze) if operands.len() == 1 || squeezes_by_axes(graph) => {
                operands[0].is_some_and(|value| vector.is(graph, value))
            }
            (Expression::Apply(kind, parts), op) => op.kind() == *kind && all(&parts[..]),
            (Expression::Concat(parts), Op::Concat { axis: 0 }) => all(parts),
            _ => false,
        }
    }

    /// Inserts the expression before the root.
    ///
    /// # Errors
    /// If an operator is not defined for its operands.
    pub(crate) fn insert(&self, graph: &mut Graph, root: Value) -> Result<Value, Skip> {
        let (word, op, operands) = match self {
            Expression::Known(numbers) => ("sizes", Op::Constant(Tensor::indices(numbers)), vec![]),
            Expression::Shape(of, from, to) => ("size", shape_op(graph, *of, *from, *to), vec![*of]),
            Expression::Only(vector) => {
                let vector = vector.insert(graph, root)?;
                return only(graph, root, "only", vector);
            }
            Expression::Apply(kind, parts) => {
                let op = if *kind == OpKind::Add { Op::Add } else { Op::Mul };
                (kind.word(), op, parts.iter().map(|part| part.insert(graph, root)).collect::<Result<_, _>>()?)
            }
            Expression::Concat(parts) => {
                let parts = parts.iter().map(|part| part.insert(graph, root)).collect::<Result<_, _>>()?;
                ("shape", Op::Concat { axis: 0 }, parts)
            }
        };
        insert(graph, root, word, op, &operands)
    }
}

/// Returns a Shape of a range of axes, without `end` if the range reaches the last axis.
fn shape_op(graph: &Graph, of: Value, from: usize, to: usize) -> Op {
    let rank = graph.shape(of).map_or(0, <[Dim]>::len);
    let axis = |axis: usize| i64::try_from(axis).unwrap_or(i64::MAX);
    Op::Shape { start: axis(from), end: (to < rank).then(|| axis(to)) }
}

/// Whether Shape has the attributes `start` and `end` in an opset. Below, `decompose-partial-shape` inserts a Slice.
pub(crate) fn has_partial_shape(opset: i64) -> bool {
    opset >= 15
}

/// Whether Shape has the attributes `start` and `end` in the opset of a graph.
pub(crate) fn may_be_partial(graph: &Graph) -> bool {
    graph.dialect().is_none_or(|dialect| has_partial_shape(dialect.opset))
}

/// Returns the only element of an operand, if inference knows it.
pub(crate) fn only_element(graph: &Graph, node: NodeId, at: usize) -> Option<i64> {
    match graph.fact(graph.operand(node, at)?).known_elements()?[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// Returns `x` and a Shape of the same axes for `slice(shape(x), from, to)`.
pub(crate) fn sliced_shape(graph: &Graph, value: Value) -> Option<(Value, Op)> {
    let operand = |at| graph.operand(value.node, at);
    let whole = operand(0).filter(|_| graph.kind(value) == OpKind::Slice)?;
    let x = graph.operand(whole.node, 0).filter(|_| graph.op(whole) == &Op::Shape { start: 0, end: None })?;
    let one = |at| only_element(graph, value.node, at);
    let is_plain = |at, plain| operand(at).is_none() || one(at) == Some(plain);
    let from = usize::try_from(one(1)?).ok()?;
    let to = usize::try_from(one(2)?).ok()?.min(graph.shape(x)?.len());
    (is_plain(3, 0) && is_plain(4, 1) && from < to).then(|| (x, shape_op(graph, x, from, to)))
}

/// Whether two shapes are provably equal for every binding.
pub(crate) fn same_shape(a: &[Dim], b: &[Dim]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b) == Some(true))
}

/// Whether a value of shape `to` that is computed element by element from one of shape `from`, and from tensors of known
/// shapes, has the same shape. A size that is unknown in both is the same: a tensor that is broadcast with it has 1.
pub(crate) fn keeps_sizes(from: &[Dim], to: &[Dim]) -> bool {
    let is_kept = |(from, to): (&Dim, &Dim)| from.same(to) == Some(true) || [from, to] == [&Dim::Unknown; 2];
    from.len() == to.len() && from.iter().zip(to).all(is_kept)
}

/// Returns the constant `shape` operand of a Reshape from one shape to another, valid for every binding. `requested` is
/// the operand in the model.
///
/// - An unknown size that is at the same axis in both shapes is a 0, which keeps it.
/// - One other size may be -1 if all others are known and the number of elements is provably the same. It is then a
///   quotient by a number that is not 0, and a model that fails at run time still does.
/// - A -1 next to a 0 fails at run time if the kept size is 0 (ONNX Runtime 1.32: "cannot be reshaped"). It is used
///   only if the model itself has a -1 at that axis, and so fails in the same runs.
pub(crate) fn constant_shape(from: Option<&[Dim]>, to: &[Dim], requested: Option<&[Dim]>) -> Option<Vec<i64>> {
    let mut target = vec![];
    let mut open = None;
    let mut keeps = false;
    for (axis, dim) in to.iter().enumerate() {
        let stays = from.and_then(|from| from.get(axis)).is_some_and(|from| from.same(dim) == Some(true));
        target.push(match dim.known() {
            Some(size @ 1..) => size,
            _ if stays => {
                keeps = true;
                0
            }
            _ if open.is_none() => {
                open = Some(axis);
                -1
            }
            _ => return None,
        });
    }
    let is_requested = |axis: usize| requested.and_then(|sizes| sizes.get(axis)) == Some(&Dim::Known(-1));
    let fits = || from.is_some_and(|from| count(from).same(&count(to)) == Some(true));
    open.is_none_or(|axis| is_requested(axis) || (!keeps && fits())).then_some(target)
}

/// Whether a node is defined for all operands of the known types, so that removing it does not hide a failure.
pub(crate) fn is_defined(graph: &Graph, root: Value) -> bool {
    let results = graph.node(root.node).result_count();
    let inferred = graph.infer(graph.op(root), &graph.operands(root.node), results);
    inferred.is_ok_and(|inferred| inferred.assumed.is_empty())
}

/// Returns the number of elements.
pub(crate) fn count(shape: &[Dim]) -> Dim {
    shape.iter().cloned().collect::<Shape>().count()
}

/// Returns the axes of size 1 that turn one shape into another of higher rank when they are inserted.
pub(crate) fn inserted_axes(from: &[Dim], to: &[Dim]) -> Option<Vec<i64>> {
    let mut rest = from;
    let mut axes = vec![];
    for (axis, dim) in to.iter().enumerate() {
        match rest {
            [first, after @ ..] if first.same(dim) == Some(true) => rest = after,
            _ if *dim == Dim::Known(1) => axes.push(i64::try_from(axis).ok()?),
            _ => return None,
        }
    }
    (rest.is_empty() && !axes.is_empty()).then_some(axes)
}

/// Returns a possibly negative axis as an index from the front. `None` if it is out of range.
pub(crate) fn position(axis: i64, rank: usize) -> Option<usize> {
    let size = i64::try_from(rank).ok()?;
    usize::try_from(if axis < 0 { axis.checked_add(size)? } else { axis }).ok().filter(|axis| *axis < rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(text: &str) -> Vec<Dim> {
        text.split(' ').map(|dim| dim.parse().unwrap_or_else(|error| panic!("{dim}: {error}"))).collect()
    }

    #[test]
    fn constants_that_reshape_for_every_binding() {
        for (from, to, requested, expected) in [
            ("b q 32", "b q 4 8", "b q -1 8", Some("0 0 4 8")),
            ("b 4 q 8", "b q 32", "b -1 32", Some("0 -1 32")),
            ("b q 4 8", "b q 32", "b q 32", Some("0 0 32")),
            ("b q 32", "b*q 32", "b*q 32", Some("-1 32")),
            // If b is 0, -1 is not defined, as in the model itself.
            ("b q 8 4", "b 32 q", "b 32 q", None),
            ("b q 8 4", "b 32 q", "b 32 -1", Some("0 32 -1")),
            ("b q 8 4", "b 32 q", "-1 32 q", None),
            ("b*q 32", "b q 32", "b q 32", None),
            // It fails if c is not b, and a -1 would not.
            ("b 32", "c 32", "c 32", None),
            ("b 32", "c 32", "-1 32", Some("-1 32")),
            ("0 32", "0 4 8", "0 4 8", Some("0 4 8")),
        ] {
            let found = constant_shape(Some(&dims(from)), &dims(to), Some(&dims(requested)));
            let expected: Option<Vec<i64>> = expected.map(|sizes| dims(sizes).iter().filter_map(Dim::known).collect());
            assert_eq!(found, expected, "{from} to {to}, requested as {requested}");
        }
    }

    #[test]
    fn a_slice_of_a_shape_counts_as_one_node() {
        let graph = netwright_ir::parse(
            "sizes(%x: f32[n, 4]) {
  %all = shape %x : i64[2]
  %slice = slice %all, [0], [1], [0] : i64[1]
  %part = shape %x {start = 0, end = 1} : i64[1]
  %sum = add %slice, %part : i64[1]
  return %slice, %part, %sum
}",
        );
        let graph = graph.unwrap_or_else(|error| panic!("{error}"));
        let costs: Vec<_> = graph.outputs().iter().map(|output| Sizes::cost_of(&graph, output.value)).collect();
        assert_eq!(costs, [1, 1, 3]);
    }

    #[test]
    fn axes_of_size_1_are_found() {
        for (from, to, expected) in [
            ("b k", "b 1 1 k", Some(vec![1, 2])),
            ("b 1", "b 1 1", Some(vec![2])),
            ("b k", "b k", None),
            ("b k", "k 1 b", None),
            ("b k", "b 1", None),
        ] {
            assert_eq!(inserted_axes(&dims(from), &dims(to)), expected, "{from} to {to}");
        }
    }
}
