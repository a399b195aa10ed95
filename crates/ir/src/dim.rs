//! Symbolic dims: integers that may depend on names such as `batch` and `seq`.
//!
//! A [`Dim`] is kept in a canonical form (a polynomial over symbols and a few opaque functions), so dims that are equal
//! by the rules of sums and products compare equal, however they were computed:
//!
//! ```
//! use netwright_ir::Dim;
//! let (past, seq) = (Dim::symbol("past"), Dim::symbol("seq"));
//! assert_eq!(past.plus(&seq), "seq + past".parse().unwrap());
//! assert_eq!(past.plus(&seq).minus(&past), seq);
//! assert_eq!(seq.times(&Dim::from(8)).floor_div(&Dim::from(8)), seq);
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

mod algebra;
mod display;
mod order;
mod parse;
#[cfg(test)]
mod tests;

pub use parse::ParseDimError;
pub(crate) use parse::unescape;

/// A name for a nonnegative integer that is fixed at run time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<Box<str>>);

impl Symbol {
    /// Creates the symbol of this name.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(Arc::new(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The values of a model's symbols in one run.
pub type Bindings = BTreeMap<Symbol, i64>;

/// The size of an axis, or an integer computed from sizes.
///
/// `==` compares the canonical forms; where soundness matters use [`Dim::same`], for which two unknown dims are not
/// known to be equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A number.
    Known(i64),
    /// A single symbol.
    Symbol(Symbol),
    /// A sum of products that is neither of the above.
    Expr(Arc<DimExpr>),
    /// Unknown, and not known to equal another unknown dim.
    Unknown,
}

/// A sum of terms in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DimExpr(Terms);

/// The terms of a sum with their factors, sorted by their monomials.
type Terms = Vec<(Monomial, i64)>;

/// A sorted product of atoms, each repeated for its power; empty for the constant term.
type Monomial = Vec<Atom>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Symbol),
    Apply(Function, Vec<Dim>),
}

/// A function that is not a polynomial; its operands are kept unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Function {
    FloorDiv,
    Mod,
    Min,
    Max,
    Broadcast,
}

/// The top level of a dim, for callers that compute it at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DimParts {
    /// A number.
    Known(i64),
    /// A single symbol.
    Symbol(Symbol),
    /// The sum of two or more dims.
    Sum(Vec<Dim>),
    /// The product of two or more dims.
    Product(Vec<Dim>),
    /// The minimum of two or more dims.
    Min(Vec<Dim>),
    /// Unknown, or another function.
    Other,
}

/// The maximum number of terms of a sum; longer sums become unknown, as comparing them would cost too much.
const MAX_TERMS: usize = 64;

impl From<i64> for Dim {
    fn from(known: i64) -> Self {
        Dim::Known(known)
    }
}

impl From<&str> for Dim {
    /// Creates the symbol of this name; the name is not parsed as an expression.
    fn from(name: &str) -> Self {
        Dim::symbol(name)
    }
}

impl Dim {
    /// Creates the dim of a symbol.
    pub fn symbol(name: impl Into<Box<str>>) -> Self {
        Dim::Symbol(Symbol::new(name))
    }

    /// Returns the number, if it is one.
    pub fn known(&self) -> Option<i64> {
        if let Dim::Known(known) = self { Some(*known) } else { None }
    }

    /// Calls `visit` with every symbol, once per occurrence.
    pub fn for_each_symbol(&self, visit: &mut dyn FnMut(&Symbol)) {
        self.any_atom(&mut |atom| {
            if let Atom::Symbol(symbol) = atom {
                visit(symbol);
            }
            false
        });
    }

    fn any_atom(&self, found: &mut dyn FnMut(&Atom) -> bool) -> bool {
        match self {
            Dim::Known(_) | Dim::Unknown => false,
            Dim::Symbol(symbol) => found(&Atom::Symbol(symbol.clone())),
            Dim::Expr(expr) => expr.0.iter().flat_map(|(monomial, _)| monomial).any(|atom| {
                found(atom)
                    || matches!(atom, Atom::Apply(_, operands) if operands.iter().any(|operand| operand.any_atom(found)))
            }),
        }
    }

    /// Returns the top level of the dim.
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

    /// Returns the dim as a sum; `None` if it is unknown.
    fn terms(&self) -> Option<Terms> {
        match self {
            Dim::Known(0) => Some(vec![]),
            Dim::Known(known) => Some(vec![(vec![], *known)]),
            Dim::Symbol(symbol) => Some(vec![(vec![Atom::Symbol(symbol.clone())], 1)]),
            Dim::Expr(expr) => Some(expr.0.clone()),
            Dim::Unknown => None,
        }
    }

    fn from_terms(terms: BTreeMap<Monomial, i64>) -> Dim {
        Self::from_sorted(terms.into_iter().collect())
    }

    /// Creates a sum of terms that are sorted by their monomials, all different.
    fn from_sorted(mut terms: Terms) -> Dim {
        terms.retain(|(_, factor)| *factor != 0);
        match terms.as_slice() {
            [] => Dim::Known(0),
            [(monomial, factor)] => match (monomial.as_slice(), factor) {
                ([], known) => Dim::Known(*known),
                ([Atom::Symbol(symbol)], 1) => Dim::Symbol(symbol.clone()),
                _ => Dim::Expr(Arc::new(DimExpr(terms))),
            },
            _ if terms.len() > MAX_TERMS => Dim::Unknown,
            _ => Dim::Expr(Arc::new(DimExpr(terms))),
        }
    }

    /// Returns how deeply functions nest in it.
    fn depth(&self) -> usize {
        let Dim::Expr(expr) = self else { return 0 };
        let atoms = expr.0.iter().flat_map(|(monomial, _)| monomial);
        let depths = atoms.map(|atom| match atom {
            Atom::Symbol(_) => 0,
            Atom::Apply(_, operands) => 1 + operands.iter().map(Dim::depth).max().unwrap_or(0),
        });
        depths.max().unwrap_or(0)
    }

    /// Returns the arguments if it is this function, else the dim itself.
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
