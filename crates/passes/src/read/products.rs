//! Products and sums in a normal form: which factors and terms there are, whatever their order, grouping and spelling.

use crate::rule::Skip;
use netwright_ir::{Graph, OpKind, Tensor, Value};

/// Larger expressions are not looked through.
const MOST_NODES: usize = 24;

/// The values that a rewrite takes away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Region(Vec<Value>);

impl Region {
    /// Takes in a value; `None` where there are too many.
    pub(crate) fn insert(&mut self, value: Value) -> Option<()> {
        if !self.0.contains(&value) {
            self.0.push(value);
        }
        (self.0.len() <= MOST_NODES).then_some(())
    }

    /// Takes in the values of another one.
    pub(crate) fn extend(&mut self, other: &Region) -> Option<()> {
        other.0.iter().try_for_each(|value| self.insert(*value))
    }

    /// Whether nothing outside reads what is in it, but for the root.
    ///
    /// # Errors
    /// When a value is read elsewhere or is a result of the graph.
    pub(crate) fn is_private(&self, graph: &Graph, root: Value) -> Result<(), Skip> {
        let reads = |value: Value| {
            let operands = self.0.iter().map(|reader| graph.operands(reader.node));
            operands.map(|all| all.into_iter().flatten().filter(|read| *read == value).count()).sum::<usize>()
        };
        let shared = self.0.iter().find(|value| **value != root && graph.use_count(**value) != reads(**value));
        match shared {
            Some(value) if graph.is_output(*value) => {
                Err(Skip::rejected(format!("{} is a result of the graph", graph.operand_text(*value))))
            }
            Some(value) => Err(Skip::rejected(format!("{} has another use", graph.operand_text(*value)))),
            None => Ok(()),
        }
    }
}

/// A number times powers of values.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) number: f64,
    pub(crate) factors: Vec<(Value, f64)>,
}

/// The one element of a float tensor.
pub(crate) fn number(graph: &Graph, value: Value) -> Option<f64> {
    graph.tensor(value).and_then(Tensor::float)
}

/// The factors that products, quotients and inverses are made of, down to where `whole` says not to look further.
///
/// Equal factors are not joined: `x * x` has two.
pub(crate) fn product(
    graph: &Graph,
    root: Value,
    whole: &dyn Fn(Value) -> bool,
    region: &mut Region,
) -> Option<Product> {
    let mut product = Product { number: 1.0, factors: vec![] };
    let mut open = vec![(root, 1.0)];
    while let Some((value, power)) = open.pop() {
        if let Some(number) = number(graph, value) {
            product.number *= number.powf(power);
            continue;
        }
        let kind = if whole(value) { OpKind::Identity } else { graph.kind(value) };
        match (kind, graph.operand(value.node, 0), graph.operand(value.node, 1)) {
            (OpKind::Mul, Some(a), Some(b)) => open.extend([(b, power), (a, power)]),
            (OpKind::Div, Some(a), Some(b)) => open.extend([(b, -power), (a, power)]),
            (OpKind::Reciprocal, Some(a), _) => open.push((a, -power)),
            (OpKind::Neg, Some(a), _) => {
                product.number = -product.number;
                open.push((a, power));
            }
            _ => {
                product.factors.push((value, power));
                continue;
            }
        }
        region.insert(value)?;
    }
    product.number.is_finite().then_some(product)
}

/// The terms of a sum, each with its sign.
pub(crate) fn terms(
    graph: &Graph,
    root: Value,
    whole: &dyn Fn(Value) -> bool,
    region: &mut Region,
) -> Option<Vec<(Value, f64)>> {
    let mut terms = vec![];
    let mut open = vec![(root, 1.0)];
    while let Some((value, sign)) = open.pop() {
        let kind = if whole(value) { OpKind::Identity } else { graph.kind(value) };
        match (kind, graph.operand(value.node, 0), graph.operand(value.node, 1)) {
            (OpKind::Add, Some(a), Some(b)) => open.extend([(b, sign), (a, sign)]),
            (OpKind::Sub, Some(a), Some(b)) => open.extend([(b, -sign), (a, sign)]),
            _ => {
                terms.push((value, sign));
                continue;
            }
        }
        region.insert(value)?;
    }
    Some(terms)
}
