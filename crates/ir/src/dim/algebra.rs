//! Arithmetic on dims.

use super::{Atom, Bindings, Dim, Function, MAX_TERMS, Monomial, Symbol, Terms};
use std::collections::BTreeMap;

/// The maximum degree of a product; no shape has more factors.
const MAX_DEGREE: usize = 32;

/// The maximum nesting of functions; code that walks an expression recurses.
const MAX_DEPTH: usize = 8;

impl Dim {
    /// Returns `self + other`.
    pub fn plus(&self, other: &Dim) -> Dim {
        self.combine(other, 1)
    }

    /// Returns `self - other`.
    pub fn minus(&self, other: &Dim) -> Dim {
        self.combine(other, -1)
    }

    fn combine(&self, other: &Dim, sign: i64) -> Dim {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => {
                let sum = b.checked_mul(sign).and_then(|signed| a.checked_add(signed));
                sum.map_or(Dim::Unknown, Dim::Known)
            }
            (dim, Dim::Known(0)) => dim.clone(),
            _ => match (self.terms(), other.terms()) {
                (Some(a), Some(b)) => sum(a, b, sign).map_or(Dim::Unknown, Dim::from_sorted),
                _ => Dim::Unknown,
            },
        }
    }

    /// Returns `self * other`.
    pub fn times(&self, other: &Dim) -> Dim {
        if *self == Dim::Known(0) || *other == Dim::Known(0) {
            return Dim::Known(0);
        }
        match (self, other) {
            (Dim::Known(1), dim) | (dim, Dim::Known(1)) => return dim.clone(),
            (Dim::Known(a), Dim::Known(b)) => return a.checked_mul(*b).map_or(Dim::Unknown, Dim::Known),
            _ => {}
        }
        let (Some(a), Some(b)) = (self.terms(), other.terms()) else { return Dim::Unknown };
        let mut sum: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (left, m) in &a {
            for (right, n) in &b {
                if left.len() + right.len() > MAX_DEGREE {
                    return Dim::Unknown;
                }
                let mut monomial = [left.as_slice(), right.as_slice()].concat();
                monomial.sort();
                let entry = sum.entry(monomial).or_insert(0);
                let Some(total) = m.checked_mul(*n).and_then(|product| entry.checked_add(product)) else {
                    return Dim::Unknown;
                };
                *entry = total;
            }
        }
        Dim::from_terms(sum)
    }

    /// Returns `self / other`, rounded down; unknown for a division by zero.
    pub fn floor_div(&self, other: &Dim) -> Dim {
        let (Some(terms), Some(divisor)) = (self.terms(), other.terms()) else { return Dim::Unknown };
        match (self, other) {
            (_, Dim::Known(0)) => return Dim::Unknown,
            (_, Dim::Known(1)) => return self.clone(),
            (Dim::Known(a), Dim::Known(b)) => {
                return a.checked_div(*b).map_or(Dim::Unknown, |_| Dim::Known(floor(*a, *b)));
            }
            _ => {}
        }
        if let [(monomial, factor)] = divisor.as_slice() {
            // Terms that the divisor divides exactly are taken out: (d * q + r) // d = q + r // d.
            let mut whole = BTreeMap::new();
            let mut rest = BTreeMap::new();
            for (term, coefficient) in terms {
                let exact = coefficient.checked_rem(*factor) == Some(0);
                let quotient = exact.then(|| without(&term, monomial)).flatten();
                match quotient.zip(coefficient.checked_div(*factor)) {
                    Some((term, coefficient)) => whole.insert(term, coefficient),
                    None => rest.insert(term, coefficient),
                };
            }
            let rest = Dim::from_terms(rest);
            let remainder = match &rest {
                Dim::Known(i64::MIN) => Dim::Unknown,
                Dim::Known(rest) if monomial.is_empty() => Dim::Known(floor(*rest, *factor)),
                Dim::Known(0) => Dim::Known(0),
                _ => {
                    // Canceling a common factor does not change the quotient.
                    let common =
                        rest.terms().unwrap_or_default().iter().fold(*factor, |common, (_, n)| gcd(common, *n));
                    let reduce = |dim: &Dim| {
                        let terms = dim.terms().unwrap_or_default().into_iter();
                        Dim::from_terms(terms.map(|(term, n)| (term, n / common)).collect())
                    };
                    Dim::apply(Function::FloorDiv, vec![reduce(&rest), reduce(other)])
                }
            };
            return Dim::from_terms(whole).plus(&remainder);
        }
        if self == other {
            return Dim::Known(1);
        }
        Dim::apply(Function::FloorDiv, vec![self.clone(), other.clone()])
    }

    /// Returns the remainder of [`Dim::floor_div`], with the sign of the divisor.
    pub fn modulo(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Unknown, _) | (_, Dim::Unknown | Dim::Known(0)) => Dim::Unknown,
            _ if self.floor_div(other).times(other) == *self => Dim::Known(0),
            (Dim::Known(a), Dim::Known(b)) => a.checked_rem(*b).map_or(Dim::Unknown, |_| {
                let quotient = floor(*a, *b);
                quotient.checked_mul(*b).and_then(|whole| a.checked_sub(whole)).map_or(Dim::Unknown, Dim::Known)
            }),
            _ => Dim::apply(Function::Mod, vec![self.clone(), other.clone()]),
        }
    }

    /// Returns the smaller of both.
    pub fn minimum(&self, other: &Dim) -> Dim {
        self.extremum(other, Function::Min)
    }

    /// Returns the larger of both.
    pub fn maximum(&self, other: &Dim) -> Dim {
        self.extremum(other, Function::Max)
    }

    fn extremum(&self, other: &Dim, function: Function) -> Dim {
        let (low, high) = if other.minus(self).is_nonnegative() {
            (self, other)
        } else if self.minus(other).is_nonnegative() {
            (other, self)
        } else {
            // An operand that cannot be the extremum because of another one is left out, whatever their order.
            let decides = |one: &Dim, other: &Dim| {
                if function == Function::Min { other.minus(one) } else { one.minus(other) }.is_nonnegative()
            };
            let mut operands: Vec<Dim> = vec![];
            for operand in [self, other].into_iter().flat_map(|dim| dim.clone().arguments_of(function)) {
                if !operands.iter().any(|before| decides(before, &operand)) {
                    operands.retain(|before| !decides(&operand, before));
                    operands.push(operand);
                }
            }
            return Dim::apply(function, operands);
        };
        if function == Function::Min { low.clone() } else { high.clone() }
    }

    /// Returns the size of an axis on which two operands are broadcast: the other dim if one is 1, either if they are
    /// equal.
    ///
    /// If that cannot be decided (two different symbols), the result is the number if one of them is known, else a
    /// special expression; see [`is_broadcast`](Dim::is_broadcast). Returns `None` if they do not broadcast.
    pub fn broadcast(&self, other: &Dim) -> Option<Dim> {
        match (self, other) {
            (Dim::Known(1), dim) | (dim, Dim::Known(1)) => Some(dim.clone()),
            (Dim::Known(a), Dim::Known(b)) => (a == b).then(|| self.clone()),
            (Dim::Known(_), _) => Some(self.clone()),
            (_, Dim::Known(_)) => Some(other.clone()),
            _ if self == other => Some(self.clone()),
            _ if self.is_minimum_of(other) => Some(other.clone()),
            _ if other.is_minimum_of(self) => Some(self.clone()),
            _ => Some(Dim::apply(Function::Broadcast, vec![self.clone(), other.clone()])),
        }
    }

    /// Returns the number for these bindings; `None` if a symbol has no binding, on overflow, and for unknown dims.
    pub fn evaluate(&self, bindings: &Bindings) -> Option<i64> {
        self.substitute(&|symbol| bindings.get(symbol).copied().map(Dim::Known)).known()
    }

    /// Replaces the symbols for which `with` returns a dim.
    pub fn substitute(&self, with: &dyn Fn(&Symbol) -> Option<Dim>) -> Dim {
        let expr = match self {
            Dim::Known(_) | Dim::Unknown => return self.clone(),
            Dim::Symbol(symbol) => return with(symbol).unwrap_or_else(|| self.clone()),
            Dim::Expr(expr) => expr,
        };
        expr.0.iter().fold(Dim::Known(0), |sum, (monomial, factor)| {
            let product = monomial.iter().fold(Dim::Known(*factor), |product, atom| {
                product.times(&match atom {
                    Atom::Symbol(symbol) => with(symbol).unwrap_or_else(|| Dim::Symbol(symbol.clone())),
                    Atom::Apply(function, operands) => {
                        let operands: Vec<_> = operands.iter().map(|operand| operand.substitute(with)).collect();
                        operands[1..].iter().fold(operands[0].clone(), |left, right| function.of(&left, right))
                    }
                })
            });
            sum.plus(&product)
        })
    }

    /// Applies a function without simplifying; operands of commutative functions are flattened and sorted.
    fn apply(function: Function, operands: Vec<Dim>) -> Dim {
        if operands.iter().any(|operand| *operand == Dim::Unknown || operand.depth() >= MAX_DEPTH) {
            return Dim::Unknown;
        }
        let operands = if matches!(function, Function::FloorDiv | Function::Mod) {
            operands
        } else {
            let mut flat: Vec<Dim> = operands.into_iter().flat_map(|operand| operand.arguments_of(function)).collect();
            flat.sort();
            flat.dedup();
            flat
        };
        match operands.as_slice() {
            [only] => only.clone(),
            _ if operands.len() > MAX_TERMS => Dim::Unknown,
            _ => Dim::from_terms(BTreeMap::from([(vec![Atom::Apply(function, operands)], 1)])),
        }
    }
}

impl Function {
    pub(super) fn of(self, left: &Dim, right: &Dim) -> Dim {
        match self {
            Function::FloorDiv => left.floor_div(right),
            Function::Mod => left.modulo(right),
            Function::Min => left.minimum(right),
            Function::Max => left.maximum(right),
            Function::Broadcast => left.broadcast(right).unwrap_or(Dim::Unknown),
        }
    }
}

/// Returns the terms of `a + sign * b`, sorted as theirs are; `None` on overflow.
fn sum(a: Terms, b: Terms, sign: i64) -> Option<Terms> {
    let mut sum = Terms::with_capacity(a.len() + b.len());
    let mut others = b.into_iter().peekable();
    for (monomial, factor) in a {
        while let Some((other, factor)) = others.next_if(|(other, _)| *other < monomial) {
            sum.push((other, factor.checked_mul(sign)?));
        }
        let same = others.next_if(|(other, _)| *other == monomial).map_or(0, |(_, factor)| factor);
        sum.push((monomial, factor.checked_add(same.checked_mul(sign)?)?));
    }
    for (other, factor) in others {
        sum.push((other, factor.checked_mul(sign)?));
    }
    Some(sum)
}

/// Returns `a / b` rounded down, for operands whose quotient does not overflow.
fn floor(a: i64, b: i64) -> i64 {
    let quotient = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && ((a < 0) != (b < 0)) { quotient - 1 } else { quotient }
}

/// Returns the greatest common divisor; at least 1.
fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1).max(1)
}

/// Returns `product` without the atoms of `part`, if it has them all.
fn without(product: &[Atom], part: &[Atom]) -> Option<Monomial> {
    let mut rest = product.to_vec();
    for atom in part {
        let at = rest.iter().position(|other| other == atom)?;
        rest.remove(at);
    }
    Some(rest)
}
