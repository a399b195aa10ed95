//! Products and sums in a normal form, which does not depend on the order, grouping and spelling of factors and terms.

use crate::rule::Skip;
use netwright_ir::{ElementType, Graph, OpKind, Tensor, Value};

/// The maximum number of nodes of an expression that is read.
const MAX_NODES: usize = 40;

/// The values that a rewrite removes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Region(Vec<Value>);

impl Region {
    /// Adds a value. `None` if there are too many.
    pub(crate) fn insert(&mut self, value: Value) -> Option<()> {
        if !self.0.contains(&value) {
            self.0.push(value);
        }
        (self.0.len() <= MAX_NODES).then_some(())
    }

    /// Adds the values of another region. `None` if there are too many.
    pub(crate) fn extend(&mut self, other: &Region) -> Option<()> {
        other.0.iter().try_for_each(|value| self.insert(*value))
    }

    /// Whether a value in the region has another float type than `element`, with at most as many bits.
    pub(crate) fn is_narrower(&self, graph: &Graph, element: ElementType) -> bool {
        let own = self.0.iter().filter_map(|value| graph.fact(*value).element()).filter(|own| own.is_float());
        own.into_iter().any(|own| own != element && own.bits() <= element.bits())
    }

    /// Checks that nothing outside the region uses its values, except the root and casts of values outside, which may
    /// stay.
    ///
    /// # Errors
    /// If a value has another use or is a result of the graph.
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

/// Returns the operand of a Cast between float types of 16 or 32 bits, which does nothing but round.
pub(crate) fn cast_of(graph: &Graph, value: Value) -> Option<Value> {
    let is_rounding =
        |of: Value| matches!(graph.fact(of).element(), Some(ElementType::F32 | ElementType::F16 | ElementType::BF16));
    let from = graph.operand(value.node, 0).filter(|_| graph.kind(value) == OpKind::Cast)?;
    (is_rounding(from) && is_rounding(value)).then_some(from)
}

/// Returns a value before such casts.
pub(crate) fn before_casts(graph: &Graph, value: Value) -> Value {
    std::iter::successors(Some(value), |value| cast_of(graph, *value)).last().unwrap_or(value)
}

/// Returns the last value of a type in a chain of such casts that ends at `value`.
pub(crate) fn in_type(graph: &Graph, value: Value, element: ElementType) -> Option<Value> {
    let mut chain = std::iter::successors(Some(value), |value| cast_of(graph, *value)).take(MAX_NODES);
    chain.find(|value| graph.fact(*value).element() == Some(element))
}

/// Returns a value before such casts, which are added to the region.
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

/// Returns the only element of a float tensor.
pub(crate) fn number(graph: &Graph, value: Value) -> Option<f64> {
    graph.tensor(value).and_then(Tensor::float)
}

/// Returns the only element of a tensor of floats or of integers, which an exponent may be.
pub(crate) fn exponent(graph: &Graph, value: Value) -> Option<f64> {
    let whole = || match graph.tensor(value)?.integers()?[..] {
        [whole] => i32::try_from(whole).ok().map(f64::from),
        _ => None,
    };
    number(graph, value).or_else(whole)
}

/// Returns the factors of products, quotients and inverses, looking through casts between floats. A value for which
/// `whole` returns true is a factor by itself.
///
/// Equal factors are not merged: `x * x` has two.
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

/// Returns the terms of a sum, each with its sign, looking through casts between floats. A value for which `whole`
/// returns true is a term by itself.
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
