//! Arithmetic as a polynomial in a normal form, which does not depend on the order and grouping of terms and factors.

use crate::read::products::{Region, cast_of, exponent, number};
use netwright_ir::{Graph, OpKind, Value};
use std::collections::{BTreeMap, VecDeque};

/// The maximum power of a variable: no fusion needs a higher one.
const MAX_POWER: u8 = 4;

/// The maximum depth of the arithmetic that is read.
const MAX_DEPTH: usize = 20;

/// The maximum number of values above a root that are searched; above most roots there is nothing to find.
const MAX_VALUES: usize = 24;

/// The maximum distance of these values from the root, in operators.
const MAX_STEPS: usize = 6;

/// A polynomial in two variables: the coefficient of each product of their powers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polynomial(BTreeMap<[u8; 2], f64>);

impl Polynomial {
    /// Reads a value as a polynomial of the variables, and adds the values in between to the region. `None` if it is
    /// not a polynomial.
    pub(crate) fn read(graph: &Graph, value: Value, variables: &[Value], region: &mut Region) -> Option<Self> {
        Self::read_to(graph, value, variables, region, MAX_DEPTH)
    }

    fn read_to(graph: &Graph, value: Value, variables: &[Value], region: &mut Region, depth: usize) -> Option<Self> {
        if let Some(at) = variables.iter().position(|variable| *variable == value) {
            return Some(Self::term([u8::from(at == 0), u8::from(at == 1)], 1.0));
        }
        if let Some(number) = number(graph, value) {
            return Some(Self::term([0, 0], number));
        }
        let depth = depth.checked_sub(1)?;
        if let Some(from) = cast_of(graph, value) {
            region.insert(value)?;
            return Self::read_to(graph, from, variables, region, depth);
        }
        let mut operand = |at| Self::read_to(graph, graph.operand(value.node, at)?, variables, &mut *region, depth);
        let polynomial = match graph.kind(value) {
            OpKind::Add => operand(0)?.plus(&operand(1)?, 1.0),
            OpKind::Sub => operand(0)?.plus(&operand(1)?, -1.0),
            OpKind::Mul => operand(0)?.times(&operand(1)?)?,
            OpKind::Neg => operand(0)?.times(&Self::term([0, 0], -1.0))?,
            OpKind::Div => operand(0)?.times(&Self::term([0, 0], operand(1)?.number()?.recip()))?,
            OpKind::Pow => {
                let base = operand(0)?;
                let power = exponent(graph, graph.operand(value.node, 1)?);
                match power.or_else(|| operand(1)?.number())? {
                    2.0 => base.times(&base)?,
                    3.0 => base.times(&base)?.times(&base)?,
                    _ => return None,
                }
            }
            _ => return None,
        };
        region.insert(value)?;
        polynomial.0.values().all(|number| number.is_finite()).then_some(polynomial)
    }

    fn term(powers: [u8; 2], number: f64) -> Self {
        Self(BTreeMap::from([(powers, number)]))
    }

    fn plus(mut self, other: &Self, times: f64) -> Self {
        for (powers, number) in &other.0 {
            *self.0.entry(*powers).or_insert(0.0) += times * number;
        }
        self
    }

    fn times(&self, other: &Self) -> Option<Self> {
        let mut product = Self(BTreeMap::new());
        for (a, number) in &self.0 {
            for (b, other) in &other.0 {
                let powers = [a[0] + b[0], a[1] + b[1]];
                (powers[0].max(powers[1]) <= MAX_POWER).then_some(())?;
                *product.0.entry(powers).or_insert(0.0) += number * other;
            }
        }
        Some(product)
    }

    /// Returns the constant that it is, if it holds no variable.
    fn number(&self) -> Option<f64> {
        if self.0.keys().all(|powers| *powers == [0, 0]) { self.0.get(&[0, 0]).copied() } else { None }
    }

    /// Returns the coefficients of these powers, if there are no others.
    pub(crate) fn numbers<const N: usize>(&self, powers: [[u8; 2]; N]) -> Option<[f64; N]> {
        if self.0.len() != N {
            return None;
        }
        let mut numbers = [0.0; N];
        for (number, powers) in numbers.iter_mut().zip(powers) {
            *number = *self.0.get(&powers)?;
        }
        Some(numbers)
    }
}

/// Returns the root and the values close above it, looking through arithmetic.
pub(crate) fn above(graph: &Graph, root: Value) -> Vec<Value> {
    let mut seen = vec![root];
    let mut open = VecDeque::from([(root, 0)]);
    while let Some((value, depth)) = open.pop_front() {
        let is_arithmetic = matches!(
            graph.kind(value),
            OpKind::Add | OpKind::Sub | OpKind::Mul | OpKind::Div | OpKind::Neg | OpKind::Pow | OpKind::Reciprocal
        );
        let steps = usize::from(cast_of(graph, value).is_none());
        if steps == 1 && !is_arithmetic || depth == MAX_STEPS {
            continue;
        }
        for operand in [0, 1].into_iter().filter_map(|at| graph.operand(value.node, at)) {
            if seen.len() < MAX_VALUES && !seen.contains(&operand) {
                seen.push(operand);
                open.push_back((operand, depth + steps));
            }
        }
    }
    seen
}
