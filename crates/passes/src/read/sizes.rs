//! Sizes as values: what is known of shapes, and the shortest arithmetic that computes a size when the model runs.

use crate::rewrite::insert;
use crate::rule::Skip;
use netwright_ir::{Dim, DimParts, Graph, NodeId, Op, OpKind, Shape, Symbol, Tensor, Value};
use std::collections::{BTreeMap, HashSet};

/// Longer arithmetic is not searched through.
const MOST_NODES: usize = 64;

/// Of more inputs of the same size the others are not looked at.
const MOST_SOURCES: usize = 16;

/// The opset whose Shape takes the axes from where and up to where.
pub(crate) const PARTIAL_SHAPE: i64 = 15;

/// Sums of sums are followed so far.
const MOST_DEPTH: usize = 8;

/// Where the symbols of a graph come from.
#[derive(Debug)]
pub(crate) struct Sizes {
    sources: BTreeMap<Symbol, Vec<(Value, usize)>>,
    outputs: HashSet<Value>,
}

/// How sizes are computed: one number or a vector of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Numbers that are known.
    Known(Vec<i64>),
    /// The sizes of the axes of a value from one up to another.
    Shape(Value, usize, usize),
    /// The one element of a vector.
    Only(Box<Expression>),
    /// Add or Mul of two of the same rank.
    Apply(OpKind, Box<[Expression; 2]>),
    /// Vectors one behind the other.
    Concat(Vec<Expression>),
}

impl Sizes {
    /// Those of the inputs; in a branch, which has none, those of what it captures. A body with captures and inputs has
    /// none: a size of its state may change while it runs, whatever name it shares with a size outside.
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut sources: BTreeMap<Symbol, Vec<(Value, usize)>> = BTreeMap::new();
        let is_loop = graph.captures().len() > 0 && graph.inputs().len() > 0;
        // Captures stand in the order in which they were first read, which changes with what reads them.
        let mut captures: Vec<Value> = graph.captures().collect();
        captures.sort_by_key(|capture| graph.value_name(*capture));
        for input in graph.inputs().chain(captures).filter(|_| !is_loop) {
            for (axis, dim) in graph.shape(input).unwrap_or_default().iter().enumerate() {
                if let Dim::Symbol(symbol) = dim {
                    let places = sources.entry(symbol.clone()).or_default();
                    if places.len() < MOST_SOURCES {
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

    /// The shortest way to compute these sizes; `None` where a symbol is the size of no input.
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

    /// The longest run of dims that are neighbours in the shape of an input.
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

    /// A vector of one size.
    fn size(&self, dim: &Dim, depth: usize) -> Option<Expression> {
        if depth == MOST_DEPTH {
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

    /// How many nodes compute these sizes as the graph stands.
    pub(crate) fn cost_of(graph: &Graph, value: Value) -> usize {
        let mut seen = HashSet::from([value.node]);
        let mut open = vec![value.node];
        let mut cost = 0;
        while let Some(node) = open.pop() {
            let kind = graph.node(node).op().kind();
            cost += usize::from(!kind.is_source());
            if cost == MOST_NODES {
                break;
            }
            if kind != OpKind::Shape {
                let operands = graph.operands(node);
                open.extend(operands.into_iter().flatten().map(|value| value.node).filter(|node| seen.insert(*node)));
            }
        }
        cost
    }
}

impl Expression {
    /// How many nodes it takes, each once.
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

    /// Whether the value is computed in that way.
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
            (Expression::Shape(of, from, to), Op::Slice) if !has_partial_shape(graph) => {
                sliced_shape(graph, value) == Some((*of, shape_op(graph, *of, *from, *to)))
            }
            (Expression::Only(vector), Op::Squeeze) => operands.len() == 1 && all(std::slice::from_ref(vector)),
            (Expression::Apply(kind, parts), op) => op.kind() == *kind && all(&parts[..]),
            (Expression::Concat(parts), Op::Concat { axis: 0 }) => all(parts),
            _ => false,
        }
    }

    /// Puts it beside the root.
    ///
    /// # Errors
    /// When an operator is not defined on such operands.
    pub(crate) fn insert(&self, graph: &mut Graph, root: Value) -> Result<Value, Skip> {
        let (word, op, operands) = match self {
            Expression::Known(numbers) => ("sizes", Op::Constant(Tensor::indices(numbers)), vec![]),
            Expression::Shape(of, from, to) => ("size", shape_op(graph, *of, *from, *to), vec![*of]),
            Expression::Only(vector) => ("only", Op::Squeeze, vec![vector.insert(graph, root)?]),
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

/// Shape of some axes; in the form that says all of them where it is all.
fn shape_op(graph: &Graph, of: Value, from: usize, to: usize) -> Op {
    let rank = graph.shape(of).map_or(0, <[Dim]>::len);
    let axis = |axis: usize| i64::try_from(axis).unwrap_or(i64::MAX);
    Op::Shape { start: axis(from), end: (to < rank).then(|| axis(to)) }
}

/// Whether Shape may tell the sizes of some axes alone. Below opset 15, `decompose-partial-shape` writes a Slice.
pub(crate) fn has_partial_shape(graph: &Graph) -> bool {
    graph.dialect().is_none_or(|dialect| dialect.opset >= PARTIAL_SHAPE)
}

/// The only element of an operand, if inference knows it.
pub(crate) fn only_element(graph: &Graph, node: NodeId, at: usize) -> Option<i64> {
    match graph.fact(graph.operand(node, at)?).known_elements()?[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// `slice(shape(x), from, to)`: x, and the Shape of these axes.
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

/// Whether both are shown to be equal for every binding.
pub(crate) fn same_shape(a: &[Dim], b: &[Dim]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b) == Some(true))
}

/// The constant by which a Reshape from one shape makes another, for every binding; `asked` is what the model says.
///
/// - A size that stands at the same place in both is a 0, which keeps it, unless it is known.
/// - One other size may be -1, where the rest is known and the number of elements is shown to be the same: what is left
///   is a quotient by a number that is not 0, and what fails when the model runs goes on failing.
/// - Beside a kept size, which may be 0 when the model runs, a -1 fails then (ONNX Runtime 1.32: "cannot be reshaped");
///   it stands only where the model itself asks for it in that place, and so fails in the same runs.
pub(crate) fn constant_shape(from: Option<&[Dim]>, to: &[Dim], asked: Option<&[Dim]>) -> Option<Vec<i64>> {
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
    let asks = |axis: usize| asked.and_then(|asked| asked.get(axis)) == Some(&Dim::Known(-1));
    let fits = || from.is_some_and(|from| count(from).same(&count(to)) == Some(true));
    open.is_none_or(|axis| asks(axis) || (!keeps && fits())).then_some(target)
}

/// Whether nothing must hold for the node when the model runs, so that taking it away loses no failure.
pub(crate) fn is_defined(graph: &Graph, root: Value) -> bool {
    let results = graph.node(root.node).result_count();
    let inferred = graph.infer(graph.op(root), &graph.operands(root.node), results);
    inferred.is_ok_and(|inferred| inferred.assumed.is_empty())
}

/// The number of elements.
pub(crate) fn count(shape: &[Dim]) -> Dim {
    shape.iter().cloned().collect::<Shape>().count()
}

/// Where axes of size 1 are put into one shape to make the other, which has more.
pub(crate) fn axes_put_in(from: &[Dim], to: &[Dim]) -> Option<Vec<i64>> {
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

/// An axis counted from the first, of one that may count from the end.
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
        for (from, to, asked, expected) in [
            ("b q 32", "b q 4 8", "b q -1 8", Some("0 0 4 8")),
            ("b 4 q 8", "b q 32", "b -1 32", Some("0 -1 32")),
            ("b q 4 8", "b q 32", "b q 32", Some("0 0 32")),
            ("b q 32", "b*q 32", "b*q 32", Some("-1 32")),
            // Where b is 0, -1 is not defined; so it is in the model itself.
            ("b q 8 4", "b 32 q", "b 32 q", None),
            ("b q 8 4", "b 32 q", "b 32 -1", Some("0 32 -1")),
            ("b q 8 4", "b 32 q", "-1 32 q", None),
            ("b*q 32", "b q 32", "b q 32", None),
            // It fails where c is not b, and a -1 would not.
            ("b 32", "c 32", "c 32", None),
            ("b 32", "c 32", "-1 32", Some("-1 32")),
            ("0 32", "0 4 8", "0 4 8", Some("0 4 8")),
        ] {
            let found = constant_shape(Some(&dims(from)), &dims(to), Some(&dims(asked)));
            let expected: Option<Vec<i64>> = expected.map(|sizes| dims(sizes).iter().filter_map(Dim::known).collect());
            assert_eq!(found, expected, "{from} to {to}, asked for as {asked}");
        }
    }

    #[test]
    fn axes_that_were_put_in() {
        for (from, to, expected) in [
            ("b k", "b 1 1 k", Some(vec![1, 2])),
            ("b 1", "b 1 1", Some(vec![2])),
            ("b k", "b k", None),
            ("b k", "k 1 b", None),
            ("b k", "b 1", None),
        ] {
            assert_eq!(axes_put_in(&dims(from), &dims(to)), expected, "{from} to {to}");
        }
    }
}
