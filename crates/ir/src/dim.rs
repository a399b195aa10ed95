//! Symbolic dims: whole numbers that may depend on names such as `batch` and `seq`.
//!
//! A [`Dim`] is kept in a canonical form (a polynomial over symbols and a few opaque functions), so two dims that are
//! equal by the laws of sums and products compare equal, whatever way they came about:
//!
//! ```
//! use netwright_ir::Dim;
//! let (past, seq) = (Dim::symbol("past"), Dim::symbol("seq"));
//! assert_eq!(past.plus(&seq), "seq + past".parse().unwrap());
//! assert_eq!(past.plus(&seq).minus(&past), seq);
//! assert_eq!(seq.times(&Dim::from(8)).floor_div(&Dim::from(8)), seq);
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

mod parse;

pub use parse::ParseDimError;

/// A name that stands for a whole number, zero or more, fixed when the model runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// The symbol of that name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    /// The name as it stands in an expression: quoted unless it is a plain identifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parse::is_identifier(&self.0) { f.write_str(&self.0) } else { write!(f, "'{}'", self.0.escape_default()) }
    }
}

/// What the symbols of a model stand for in one run.
pub type Bindings = BTreeMap<Symbol, i64>;

/// The size of an axis, or a whole number computed from sizes.
///
/// `==` compares the canonical forms; where soundness matters, ask [`Dim::same`], for which two unknown dims are
/// not known to be equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A number.
    Known(i64),
    /// A symbol alone.
    Symbol(Symbol),
    /// A sum of products that is neither of the above.
    Expr(Arc<DimExpr>),
    /// Nothing is known, not even that it equals another unknown.
    Unknown,
}

/// A sum of terms in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DimExpr(Vec<(Monomial, i64)>);

/// A product of atoms, sorted, each as often as its power; empty for the constant term.
type Monomial = Vec<Atom>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Symbol),
    Apply(Function, Vec<Dim>),
}

/// What is not a polynomial; the operands stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Function {
    FloorDiv,
    Mod,
    Min,
    Max,
    Broadcast,
}

/// A dim taken apart once, for those who compute it when the model runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DimParts {
    /// A number.
    Known(i64),
    /// A symbol alone.
    Symbol(Symbol),
    /// The sum of two or more.
    Sum(Vec<Dim>),
    /// The product of two or more.
    Product(Vec<Dim>),
    /// The smallest of two or more.
    Min(Vec<Dim>),
    /// Nothing is known, or another function.
    Other,
}

/// A longer sum is not kept: comparing it would cost more than it tells.
const MOST_TERMS: usize = 64;

/// No shape is a product of more sizes.
const MOST_DEGREE: usize = 32;

/// Functions of functions nest at most this deep: what walks an expression recurses.
const MOST_DEPTH: usize = 8;

impl From<i64> for Dim {
    fn from(known: i64) -> Self {
        Dim::Known(known)
    }
}

impl From<&str> for Dim {
    /// The symbol of that name (not an expression: parse those).
    fn from(name: &str) -> Self {
        Dim::symbol(name)
    }
}

impl Dim {
    /// The dim that a name stands for.
    pub fn symbol(name: impl Into<Arc<str>>) -> Self {
        Dim::Symbol(Symbol::new(name))
    }

    /// The number, where it is one.
    pub fn known(&self) -> Option<i64> {
        if let Dim::Known(known) = self { Some(*known) } else { None }
    }

    /// `Some(true)` where both are equal for every binding, `Some(false)` where they differ for every binding.
    pub fn same(&self, other: &Dim) -> Option<bool> {
        match self.minus(other) {
            Dim::Known(difference) => Some(difference == 0),
            _ => None,
        }
    }

    /// Whether it is zero or more for every binding.
    pub fn is_nonnegative(&self) -> bool {
        self.terms().is_some_and(|terms| {
            terms.iter().all(|(monomial, factor)| *factor >= 0 && monomial.iter().all(Atom::is_nonnegative))
        })
    }

    /// Whether it is one or more for every binding (symbols may be zero).
    pub fn is_positive(&self) -> bool {
        self.minus(&Dim::Known(1)).is_nonnegative()
    }

    /// The sets of symbols of which one is all 0 wherever the dim is 0, each sorted; `None` where that is not seen.
    pub(crate) fn zeros(&self) -> Option<Vec<Vec<Symbol>>> {
        let terms = self.terms()?;
        let symbols = |monomial: &Monomial| {
            let symbol = |atom: &Atom| match atom {
                Atom::Symbol(symbol) => Some(symbol.clone()),
                Atom::Apply(..) => None,
            };
            monomial.iter().map(symbol).collect::<Option<Vec<Symbol>>>()
        };
        if terms.iter().any(|(_, factor)| *factor < 0) {
            return None;
        }
        match terms.as_slice() {
            // A product is 0 where one of its factors is.
            [(monomial, _)] => Some(symbols(monomial)?.into_iter().map(|symbol| vec![symbol]).collect()),
            // A sum is 0 where all of its terms are; a constant term is not.
            terms => {
                let mut all = vec![];
                for (monomial, _) in terms {
                    match symbols(monomial)?.as_slice() {
                        [] => return Some(vec![]),
                        [symbol] => all.push(symbol.clone()),
                        _ => return None,
                    }
                }
                all.sort();
                Some(vec![all])
            }
        }
    }

    /// Whether it is a size that two dims of a broadcast have only if one gives way; see [`Dim::broadcast`].
    pub fn is_broadcast(&self) -> bool {
        self.any_atom(&mut |atom| matches!(atom, Atom::Apply(Function::Broadcast, _)))
    }

    /// The one of two that are equal which says more: an undecided broadcast says less than anything known, and an
    /// unknown dim nothing.
    pub(crate) fn and<'d>(&'d self, other: &'d Dim) -> &'d Dim {
        let vague = *self == Dim::Unknown || self.is_broadcast();
        if vague && *other != Dim::Unknown { other } else { self }
    }

    /// `self + other`.
    pub fn plus(&self, other: &Dim) -> Dim {
        self.combine(other, 1)
    }

    /// `self - other`.
    pub fn minus(&self, other: &Dim) -> Dim {
        self.combine(other, -1)
    }

    fn combine(&self, other: &Dim, sign: i64) -> Dim {
        let (Some(a), Some(b)) = (self.terms(), other.terms()) else { return Dim::Unknown };
        let mut sum: BTreeMap<Monomial, i64> = a.into_iter().collect();
        for (monomial, factor) in b {
            let entry = sum.entry(monomial).or_insert(0);
            let Some(total) = factor.checked_mul(sign).and_then(|signed| entry.checked_add(signed)) else {
                return Dim::Unknown;
            };
            *entry = total;
        }
        Dim::from_terms(sum)
    }

    /// `self * other`.
    pub fn times(&self, other: &Dim) -> Dim {
        if *self == Dim::Known(0) || *other == Dim::Known(0) {
            return Dim::Known(0);
        }
        let (Some(a), Some(b)) = (self.terms(), other.terms()) else { return Dim::Unknown };
        if a.len().saturating_mul(b.len()) > MOST_TERMS * MOST_TERMS {
            return Dim::Unknown;
        }
        let mut sum: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (left, m) in &a {
            for (right, n) in &b {
                if left.len() + right.len() > MOST_DEGREE {
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

    /// `self / other`, rounded down; unknown for a division by zero.
    pub fn floor_div(&self, other: &Dim) -> Dim {
        let (Some(terms), Some(divisor)) = (self.terms(), other.terms()) else { return Dim::Unknown };
        match (self, other) {
            (_, Dim::Known(0)) => return Dim::Unknown,
            (_, Dim::Known(1)) => return self.clone(),
            (Dim::Known(a), Dim::Known(b)) => {
                return a
                    .checked_div_euclid(*b)
                    .map_or(Dim::Unknown, |q| Dim::Known(if *b < 0 { floor(*a, *b) } else { q }));
            }
            _ => {}
        }
        if let [(monomial, factor)] = divisor.as_slice() {
            // What the divisor divides exactly leaves the division; (d * q + r) // d = q + r // d.
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
                    // A common factor leaves the quotient as it is.
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

    /// The remainder of [`Dim::floor_div`], with the divisor's sign.
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

    /// The smaller of both.
    pub fn minimum(&self, other: &Dim) -> Dim {
        self.extremum(other, Function::Min)
    }

    /// The larger of both.
    pub fn maximum(&self, other: &Dim) -> Dim {
        self.extremum(other, Function::Max)
    }

    fn extremum(&self, other: &Dim, function: Function) -> Dim {
        if *self == Dim::Unknown || *other == Dim::Unknown {
            return Dim::Unknown;
        }
        let (low, high) = if other.minus(self).is_nonnegative() {
            (self, other)
        } else if self.minus(other).is_nonnegative() {
            (other, self)
        } else {
            return Dim::apply(function, vec![self.clone(), other.clone()]);
        };
        if function == Function::Min { low.clone() } else { high.clone() }
    }

    /// Whether it is the smaller of `other` and of sizes of one or more: broadcast to `other` it gives way or is it.
    fn is_minimum_of(&self, other: &Dim) -> bool {
        matches!(self.parts(), DimParts::Min(operands)
            if operands.contains(other) && operands.iter().all(|operand| operand == other || operand.is_positive()))
    }

    /// The size of an axis on which two operands are broadcast: the other where one is 1, both where they are equal.
    ///
    /// Where that is not decided (two different symbols), the result is an expression of its own,
    /// [`is_broadcast`](Dim::is_broadcast), or the number where one is known. `None` where it cannot be.
    pub fn broadcast(&self, other: &Dim) -> Option<Dim> {
        match (self, other) {
            (Dim::Known(1), dim) | (dim, Dim::Known(1)) => Some(dim.clone()),
            (Dim::Known(a), Dim::Known(b)) => (a == b).then(|| self.clone()),
            (Dim::Known(_), _) => Some(self.clone()),
            (_, Dim::Known(_)) => Some(other.clone()),
            (Dim::Unknown, _) | (_, Dim::Unknown) => Some(Dim::Unknown),
            _ if self == other => Some(self.clone()),
            _ if self.is_minimum_of(other) => Some(other.clone()),
            _ if other.is_minimum_of(self) => Some(self.clone()),
            _ => Some(Dim::apply(Function::Broadcast, vec![self.clone(), other.clone()])),
        }
    }

    /// The number for these bindings; `None` where a symbol has none, where it overflows, and for unknown dims.
    pub fn evaluate(&self, bindings: &Bindings) -> Option<i64> {
        self.substitute(&|symbol| bindings.get(symbol).copied().map(Dim::Known)).known()
    }

    /// With symbols replaced where `with` gives something for them.
    pub fn substitute(&self, with: &dyn Fn(&Symbol) -> Option<Dim>) -> Dim {
        let Some(terms) = self.terms() else { return Dim::Unknown };
        terms.into_iter().fold(Dim::Known(0), |sum, (monomial, factor)| {
            let product = monomial.iter().fold(Dim::Known(factor), |product, atom| {
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

    /// Calls `visit` with every symbol, as often as it occurs.
    pub fn for_each_symbol(&self, visit: &mut dyn FnMut(&Symbol)) {
        self.any_atom(&mut |atom| {
            if let Atom::Symbol(symbol) = atom {
                visit(symbol);
            }
            false
        });
    }

    fn any_atom(&self, found: &mut dyn FnMut(&Atom) -> bool) -> bool {
        let atoms = self.terms().unwrap_or_default().into_iter().flat_map(|(monomial, _)| monomial);
        atoms.into_iter().any(|atom| {
            found(&atom)
                || matches!(&atom, Atom::Apply(_, operands) if operands.iter().any(|operand| operand.any_atom(found)))
        })
    }

    /// Takes it apart once.
    pub fn parts(&self) -> DimParts {
        let expr = match self {
            Dim::Known(known) => return DimParts::Known(*known),
            Dim::Symbol(symbol) => return DimParts::Symbol(symbol.clone()),
            Dim::Unknown => return DimParts::Other,
            Dim::Expr(expr) => expr,
        };
        match expr.0.as_slice() {
            [(monomial, 1)] if monomial.len() == 1 => match &monomial[0] {
                Atom::Symbol(symbol) => DimParts::Symbol(symbol.clone()),
                Atom::Apply(Function::Min, operands) => DimParts::Min(operands.clone()),
                Atom::Apply(..) => DimParts::Other,
            },
            [(monomial, factor)] => {
                let atom = |atom: &Atom| Dim::from_terms(BTreeMap::from([(vec![atom.clone()], 1)]));
                let factor = (*factor != 1).then_some(Dim::Known(*factor));
                DimParts::Product(monomial.iter().map(atom).chain(factor).collect())
            }
            terms => DimParts::Sum(terms.iter().map(|term| Dim::from_terms(BTreeMap::from([term.clone()]))).collect()),
        }
    }

    /// The sum that it is; `None` for an unknown one.
    fn terms(&self) -> Option<Vec<(Monomial, i64)>> {
        match self {
            Dim::Known(0) => Some(vec![]),
            Dim::Known(known) => Some(vec![(vec![], *known)]),
            Dim::Symbol(symbol) => Some(vec![(vec![Atom::Symbol(symbol.clone())], 1)]),
            Dim::Expr(expr) => Some(expr.0.clone()),
            Dim::Unknown => None,
        }
    }

    fn from_terms(terms: BTreeMap<Monomial, i64>) -> Dim {
        let terms: Vec<_> = terms.into_iter().filter(|(_, factor)| *factor != 0).collect();
        match terms.as_slice() {
            [] => Dim::Known(0),
            [(monomial, factor)] => match (monomial.as_slice(), factor) {
                ([], known) => Dim::Known(*known),
                ([Atom::Symbol(symbol)], 1) => Dim::Symbol(symbol.clone()),
                _ => Dim::Expr(Arc::new(DimExpr(terms))),
            },
            _ if terms.len() > MOST_TERMS => Dim::Unknown,
            _ => Dim::Expr(Arc::new(DimExpr(terms))),
        }
    }

    /// A function that nothing simplifies; those that commute are flattened and sorted.
    fn apply(function: Function, operands: Vec<Dim>) -> Dim {
        if operands.iter().any(|operand| *operand == Dim::Unknown || operand.depth() >= MOST_DEPTH) {
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
            _ if operands.len() > MOST_TERMS => Dim::Unknown,
            _ => Dim::from_terms(BTreeMap::from([(vec![Atom::Apply(function, operands)], 1)])),
        }
    }

    /// How deep functions nest in it.
    fn depth(&self) -> usize {
        let Dim::Expr(expr) = self else { return 0 };
        let atoms = expr.0.iter().flat_map(|(monomial, _)| monomial);
        let depths = atoms.map(|atom| match atom {
            Atom::Symbol(_) => 0,
            Atom::Apply(_, operands) => 1 + operands.iter().map(Dim::depth).max().unwrap_or(0),
        });
        depths.max().unwrap_or(0)
    }

    /// The arguments where it is that function, else itself.
    fn arguments_of(self, function: Function) -> Vec<Dim> {
        if let Dim::Expr(expr) = &self
            && let [(monomial, 1)] = expr.0.as_slice()
            && let [Atom::Apply(found, operands)] = monomial.as_slice()
            && *found == function
        {
            return operands.clone();
        }
        vec![self]
    }
}

impl Atom {
    fn is_nonnegative(&self) -> bool {
        match self {
            Atom::Symbol(_) => true,
            Atom::Apply(Function::Max, operands) => operands.iter().any(Dim::is_nonnegative),
            Atom::Apply(Function::Mod, operands) => operands[1].is_nonnegative(),
            Atom::Apply(_, operands) => operands.iter().all(Dim::is_nonnegative),
        }
    }
}

/// `a / b` rounded down, for operands whose quotient does not overflow.
fn floor(a: i64, b: i64) -> i64 {
    let quotient = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && ((a < 0) != (b < 0)) { quotient - 1 } else { quotient }
}

/// The largest positive number that divides both; at least 1.
fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1).max(1)
}

/// `product` with the atoms of `part` taken out, where it has them all.
fn without(product: &[Atom], part: &[Atom]) -> Option<Monomial> {
    let mut rest = product.to_vec();
    for atom in part {
        let at = rest.iter().position(|other| other == atom)?;
        rest.remove(at);
    }
    Some(rest)
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(known) => write!(f, "{known}"),
            Dim::Symbol(symbol) => write!(f, "{symbol}"),
            Dim::Unknown => f.write_str("?"),
            Dim::Expr(expr) => {
                // The constant term sorts first and reads best last: `seq + 1`.
                let (constant, terms): (Vec<_>, Vec<_>) = expr.0.iter().partition(|(monomial, _)| monomial.is_empty());
                for (at, (monomial, factor)) in terms.into_iter().chain(constant).enumerate() {
                    match (at, *factor < 0) {
                        (0, false) => {}
                        (0, true) => f.write_str("-")?,
                        (_, false) => f.write_str(" + ")?,
                        (_, true) => f.write_str(" - ")?,
                    }
                    let size = factor.unsigned_abs();
                    if monomial.is_empty() || size != 1 {
                        write!(f, "{size}")?;
                    }
                    for (at, atom) in monomial.iter().enumerate() {
                        if at > 0 || size != 1 {
                            f.write_str("*")?;
                        }
                        write!(f, "{atom}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (function, operands) = match self {
            Atom::Symbol(symbol) => return write!(f, "{symbol}"),
            Atom::Apply(function, operands) => (function, operands),
        };
        f.write_str(function.word())?;
        f.write_str("(")?;
        for (at, operand) in operands.iter().enumerate() {
            write!(f, "{}{operand}", if at == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

impl Function {
    const ALL: [Function; 5] = [Function::FloorDiv, Function::Mod, Function::Min, Function::Max, Function::Broadcast];

    fn word(self) -> &'static str {
        match self {
            Function::FloorDiv => "floor_div",
            Function::Mod => "mod",
            Function::Min => "min",
            Function::Max => "max",
            Function::Broadcast => "broadcast",
        }
    }

    fn of(self, left: &Dim, right: &Dim) -> Dim {
        match self {
            Function::FloorDiv => left.floor_div(right),
            Function::Mod => left.modulo(right),
            Function::Min => left.minimum(right),
            Function::Max => left.maximum(right),
            Function::Broadcast => left.broadcast(right).unwrap_or(Dim::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(text: &str) -> Dim {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn canonical_forms() {
        let cases = [
            ("1 + seq", "seq + 1"),
            ("seq + seq", "2*seq"),
            ("seq - seq", "0"),
            ("(a + b) * (a - b)", "a*a - b*b"),
            ("(past + seq) - past", "seq"),
            ("(8*seq) // 8", "seq"),
            ("(8*seq + 3) // 8", "seq"),
            ("(8*seq + 11) // 8", "seq + 1"),
            ("(8*seq + 4*a) / 16", "floor_div(a + 2*seq, 4)"),
            ("(seq + 1) / 2", "floor_div(seq + 1, 2)"),
            ("batch*seq // seq", "batch"),
            ("-7 // 2", "-4"),
            ("7 // -2", "-4"),
            ("-7 % 2", "1"),
            ("min(seq, seq + 1)", "seq"),
            ("max(4, min(b, a))", "max(4, min(a, b))"),
            ("max(a, max(c, b))", "max(a, b, c)"),
            ("9223372036854775807 + 1", "?"),
            ("9223372036854775807 * seq * 2", "?"),
            ("seq // 0", "?"),
            ("0 * ?", "0"),
            ("-9223372036854775807 - 1", "-9223372036854775808"),
            ("(-9223372036854775807 - 1) // -1", "?"),
            ("(-9223372036854775807 - 1) % -1", "?"),
            ("(seq * -9223372036854775808) // -1", "floor_div(-9223372036854775808*seq, -1)"),
            ("'a b' + 1", "'a b' + 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(dim(text).to_string(), expected, "{text}");
            assert_eq!(dim(expected), dim(text), "{text} parses back");
        }
    }

    /// A small file must not make large dims.
    #[test]
    fn degree_and_depth_are_bounded() {
        let (mut squared, mut divided) = (dim("s"), dim("s"));
        for _ in 0..100 {
            squared = squared.times(&squared);
            divided = divided.plus(&Dim::Known(1)).floor_div(&Dim::Known(3));
        }
        assert_eq!((squared, divided), (Dim::Unknown, Dim::Unknown));
    }

    #[test]
    fn same_is_three_valued() {
        for (a, b, expected) in
            [("seq", "seq", Some(true)), ("seq", "seq + 1", Some(false)), ("seq", "past", None), ("?", "?", None)]
        {
            assert_eq!(dim(a).same(&dim(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn parts() {
        let dims = |texts: &[&str]| texts.iter().map(|text| dim(text)).collect::<Vec<_>>();
        for (text, expected) in [
            ("7", DimParts::Known(7)),
            ("seq", DimParts::Symbol(Symbol::new("seq"))),
            ("past + 2*seq + 1", DimParts::Sum(dims(&["1", "past", "2*seq"]))),
            ("2*a*b", DimParts::Product(dims(&["a", "b", "2"]))),
            ("-a", DimParts::Product(dims(&["a", "-1"]))),
            ("min(64, seq)", DimParts::Min(dims(&["64", "seq"]))),
            ("seq // 2", DimParts::Other),
            ("?", DimParts::Other),
        ] {
            assert_eq!(dim(text).parts(), expected, "{text}");
        }
    }

    #[test]
    fn broadcasting() {
        for (a, b, expected) in [
            ("1", "seq", Some("seq")),
            ("seq", "seq", Some("seq")),
            ("4", "seq", Some("4")),
            ("4", "5", None),
            ("seq", "past", Some("broadcast(past, seq)")),
            ("seq", "min(64, seq)", Some("seq")),
            // With n = 0 and seq = 1 it is 0.
            ("seq", "min(n, seq)", Some("broadcast(min(n, seq), seq)")),
        ] {
            assert_eq!(dim(a).broadcast(&dim(b)), expected.map(dim), "{a} {b}");
        }
    }

    #[test]
    fn evaluation_is_sound_for_zero_and_more() {
        for text in ["a + 2*b", "(a + 1) // 2 + b % 3", "max(a, b) - min(a, b)", "broadcast(a, b)"] {
            for a in 1..5 {
                let bindings = Bindings::from([(Symbol::new("a"), a), (Symbol::new("b"), 1)]);
                let expected = match text {
                    "a + 2*b" => a + 2,
                    "max(a, b) - min(a, b)" => a - 1,
                    "broadcast(a, b)" => a,
                    _ => (a + 1) / 2 + 1,
                };
                assert_eq!(dim(text).evaluate(&bindings), Some(expected), "{text} for a = {a}");
            }
        }
        assert_eq!(dim("a").evaluate(&Bindings::new()), None);
    }
}
