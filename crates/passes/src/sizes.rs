//! Sizes as values: what is known of shapes, and the shortest arithmetic that computes a size when the model runs.

use crate::rewrite::insert;
use crate::rule::Skip;
use netwright_ir::infer::Operands;
use netwright_ir::{Dim, DimParts, ElementType, Fact, Graph, Kind, Op, Symbol, Tensor, TensorError, Value, ValueType};
use std::collections::{BTreeMap, HashSet};

/// Longer arithmetic is not searched through.
const MOST_NODES: usize = 64;

/// Sums of sums, and results of the graph computed from others, are followed so far.
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
    Known(Vec<i64>, bool),
    /// The sizes of the axes of a value from one up to another.
    Shape(Value, usize, usize),
    /// The one element of a vector.
    Only(Box<Expression>),
    /// An operator on two of the same rank.
    Apply(Kind, Box<[Expression; 2]>),
    /// Vectors one behind the other.
    Concat(Vec<Expression>),
}

impl Sizes {
    /// Those of the inputs.
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut sources: BTreeMap<Symbol, Vec<(Value, usize)>> = BTreeMap::new();
        for input in graph.inputs() {
            for (axis, dim) in graph.shape(input).unwrap_or_default().iter().enumerate() {
                if let Dim::Symbol(symbol) = dim {
                    sources.entry(symbol.clone()).or_default().push((input, axis));
                }
            }
        }
        Self { sources, outputs: graph.outputs().iter().map(|output| output.value).collect() }
    }

    /// Whether a value is a result of the graph.
    pub(crate) fn is_output(&self, value: Value) -> bool {
        self.outputs.contains(&value)
    }

    /// The shape of a value as it follows from its operands.
    ///
    /// The type that a file declares for a result of the graph is the caller's view, and no fact: exporters name its
    /// sizes as they name those of inputs that may differ.
    pub(crate) fn shape(&self, graph: &Graph, value: Value) -> Option<Vec<Dim>> {
        Some(self.fact(graph, value, 0)?.shape()?.to_vec())
    }

    fn fact(&self, graph: &Graph, value: Value, depth: usize) -> Option<Fact> {
        let kind = graph.kind(value);
        if !self.outputs.contains(&value) || kind.is_source() {
            return Some(graph.fact(value).clone());
        }
        if depth == MOST_DEPTH || kind == Kind::Kept {
            return None;
        }
        let unknown = || Fact::of(ValueType::Unknown);
        let operands = graph.operands(value.node);
        let facts: Vec<Option<Fact>> = operands
            .iter()
            .map(|operand| operand.map(|operand| self.fact(graph, operand, depth + 1).unwrap_or_else(unknown)))
            .collect();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let tensors: Vec<Option<&Tensor>> = operands.iter().map(|operand| graph.tensor((*operand)?)).collect();
        let results = graph.node(value.node).result_count();
        let inferred = graph.op(value).infer(&Operands { kind, facts: &facts, tensors: &tensors, results }).ok()?;
        inferred.facts.into_iter().nth(value.result as usize)
    }

    /// The shortest way to compute these sizes; `None` where a symbol is the size of no input.
    pub(crate) fn expression(&self, dims: &[Dim], vector: bool) -> Option<Expression> {
        if !vector {
            let [dim] = dims else { return None };
            return match dim.parts() {
                DimParts::Known(known) => Some(Expression::Known(vec![known], false)),
                _ => Some(Expression::Only(Box::new(self.size(dim, 0)?))),
            };
        }
        let mut parts: Vec<Expression> = vec![];
        let mut rest = dims;
        while let [dim, after @ ..] = rest {
            if let Some(known) = dim.known() {
                match parts.last_mut() {
                    Some(Expression::Known(numbers, _)) => numbers.push(known),
                    _ => parts.push(Expression::Known(vec![known], true)),
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
            DimParts::Known(known) => return Some(Expression::Known(vec![known], true)),
            DimParts::Symbol(symbol) => return Some(self.run(&symbol, std::slice::from_ref(dim))?.0),
            DimParts::Sum(operands) => (Kind::Add, operands),
            DimParts::Product(operands) => (Kind::Mul, operands),
            DimParts::Min(operands) => (Kind::Min, operands),
            DimParts::Max(operands) => (Kind::Max, operands),
            DimParts::Other => return None,
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
            if kind != Kind::Shape {
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
            Expression::Known(..) => return,
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
            (Expression::Known(numbers, vector), Op::Constant(tensor)) => {
                integers(numbers, *vector).is_ok_and(|own| own.ty() == tensor.ty())
                    && graph.fact(value).known_elements().as_ref() == Some(numbers)
            }
            (Expression::Shape(of, from, to), Op::Shape { .. }) => {
                operands[..] == [Some(*of)] && graph.node(node).op() == &shape_op(graph, *of, *from, *to)
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
            Expression::Known(numbers, vector) => ("sizes", Op::Constant(integers(numbers, *vector)?), vec![]),
            Expression::Shape(of, from, to) => ("size", shape_op(graph, *of, *from, *to), vec![*of]),
            Expression::Only(vector) => ("only", Op::Squeeze, vec![vector.insert(graph, root)?]),
            Expression::Apply(kind, parts) => {
                let op = match kind {
                    Kind::Add => Op::Add,
                    Kind::Mul => Op::Mul,
                    Kind::Min => Op::Min,
                    _ => Op::Max,
                };
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

/// Whether both are shown to be equal for every binding.
pub(crate) fn same_shape(a: &[Dim], b: &[Dim]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b) == Some(true))
}

/// The constant by which a Reshape from one shape makes another, for every binding; `asked` is what the model says.
///
/// - A size that stands at the same place in both is a 0, which keeps it, unless it is known.
/// - One other size may be -1, where the rest is known: what is left is a quotient by a number that is not 0.
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
    (!keeps || open.is_none_or(asks)).then_some(target)
}

/// Integers as a vector, or one of them.
pub(crate) fn integers(numbers: &[i64], vector: bool) -> Result<Tensor, TensorError> {
    let dims = if vector { vec![numbers.len() as u64] } else { vec![] };
    Tensor::from_bytes(
        ElementType::I64,
        &dims,
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>(),
    )
}

/// An axis counted from the first, of one that may count from the end.
pub(crate) fn position(axis: i64, rank: usize) -> Option<usize> {
    let size = i64::try_from(rank).ok()?;
    usize::try_from(if axis < 0 { axis.checked_add(size)? } else { axis }).ok().filter(|axis| *axis < rank)
}
