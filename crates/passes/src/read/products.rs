//! Products and sums in a normal form: which factors and terms there are, whatever their order, grouping and spelling.

use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, OpKind, Tensor, Value};

/// Larger expressions are not looked through.
const MOST_NODES: usize = 40;

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

    /// Whether a value in it is of another float type than one, and of no more bits.
    pub(crate) fn is_narrower(&self, graph: &Graph, element: ElementType) -> bool {
        let own = self.0.iter().filter_map(|value| graph.fact(*value).element()).filter(|own| own.is_float());
        own.into_iter().any(|own| own != element && own.bits() <= element.bits())
    }

    /// Whether nothing outside reads what is in it, but for the root, and for casts of what is outside: those may stay.
    ///
    /// # Errors
    /// When a value is read elsewhere or is a result of the graph.
    pub(crate) fn is_private(&self, graph: &Graph, root: Value) -> Result<(), Skip> {
        let reads = |value: Value| {
            let operands = self.0.iter().map(|reader| graph.operands(reader.node));
            operands.map(|all| all.into_iter().flatten().filter(|read| *read == value).count()).sum::<usize>()
        };
        let may_stay = |value: Value| cast_of(graph, value).is_some_and(|from| !self.0.contains(&from));
        let is_shared = |value: Value| value != root && graph.use_count(value) != reads(value) && !may_stay(value);
        let shared = self.0.iter().find(|value| is_shared(**value));
        match shared {
            Some(value) if graph.is_output(*value) => {
                Err(Skip::rejected(format!("{} is a result of the graph", graph.operand_text(*value))))
            }
            Some(value) => Err(Skip::rejected(format!("{} has another use", graph.operand_text(*value)))),
            None => Ok(()),
        }
    }
}

/// What a value casts, from a float of 16 or 32 bits to another one: all that such a cast does is rounding.
pub(crate) fn cast_of(graph: &Graph, value: Value) -> Option<Value> {
    let is_rounding =
        |of: Value| matches!(graph.fact(of).element(), Some(ElementType::F32 | ElementType::F16 | ElementType::BF16));
    let from = graph.operand(value.node, 0).filter(|_| graph.kind(value) == OpKind::Cast)?;
    (is_rounding(from) && is_rounding(value)).then_some(from)
}

/// What a value is before such casts.
pub(crate) fn before_casts(graph: &Graph, value: Value) -> Value {
    std::iter::successors(Some(value), |value| cast_of(graph, *value)).take(MOST_NODES).last().unwrap_or(value)
}

/// The last of what such casts made of one another that is of a type.
pub(crate) fn in_type(graph: &Graph, value: Value, element: ElementType) -> Option<Value> {
    let mut chain = std::iter::successors(Some(value), |value| cast_of(graph, *value)).take(MOST_NODES);
    chain.find(|value| graph.fact(*value).element() == Some(element))
}

/// What a value is before such casts, which the region takes in.
pub(crate) fn uncast(graph: &Graph, mut value: Value, region: &mut Region) -> Option<Value> {
    while let Some(from) = cast_of(graph, value) {
        region.insert(value)?;
        value = from;
    }
    Some(value)
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

/// The factors that products, quotients and inverses are made of, down to where `whole` says not to look further; casts
/// between floats are looked through.
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
            (OpKind::Cast, Some(a), _) if cast_of(graph, value).is_some() => open.push((a, power)),
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

/// The terms of a sum, each with its sign; casts between floats are looked through.
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
            (OpKind::Cast, Some(a), _) if cast_of(graph, value).is_some() => open.push((a, sign)),
            _ => {
                terms.push((value, sign));
                continue;
            }
        }
        region.insert(value)?;
    }
    Some(terms)
}
