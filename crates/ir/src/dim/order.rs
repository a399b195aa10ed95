//! Comparisons of dims that hold for all values of the symbols.

use super::{Atom, Dim, DimParts, Function, Monomial, Symbol};

impl Dim {
    /// Returns `Some(true)` if both are equal for every binding, `Some(false)` if they differ for every binding.
    pub fn same(&self, other: &Dim) -> Option<bool> {
        match (self, other) {
            (Dim::Unknown, _) | (_, Dim::Unknown) => None,
            (Dim::Known(a), Dim::Known(b)) => Some(a == b),
            _ if self == other => Some(true),
            // Only sums may differ by a number.
            (Dim::Expr(_), Dim::Expr(_) | Dim::Symbol(_)) | (Dim::Symbol(_), Dim::Expr(_)) => {
                self.minus(other).known().map(|difference| difference == 0)
            }
            _ => None,
        }
    }

    /// Whether the dim is at least 0 for every binding.
    pub fn is_nonnegative(&self) -> bool {
        match self {
            Dim::Known(known) => *known >= 0,
            Dim::Symbol(_) => true,
            Dim::Expr(expr) => {
                expr.0.iter().all(|(monomial, factor)| *factor >= 0 && monomial.iter().all(Atom::is_nonnegative))
            }
            Dim::Unknown => false,
        }
    }

    /// Whether the dim is at least 1 for every binding (symbols may be 0).
    pub fn is_positive(&self) -> bool {
        self.minus(&Dim::Known(1)).is_nonnegative()
    }

    /// Returns sets of symbols such that one of them is all 0 wherever the dim is 0, each sorted; `None` if that cannot
    /// be decided.
    pub(crate) fn zeros(&self) -> Option<Vec<Vec<Symbol>>> {
        let terms = self.terms()?;
        let symbols = |monomial: &Monomial| {
            let symbol = |atom: &Atom| match atom {
                Atom::Symbol(symbol) => Some(symbol.clone()),
                Atom::Apply(..) => None,
            };
            monomial.iter().map(symbol).collect::<Option<Vec<Symbol>>>()
        };
        if !self.is_nonnegative() {
            return None;
        }
        match terms.as_slice() {
            // A product is 0 if one of its factors is.
            [(monomial, _)] => Some(symbols(monomial)?.into_iter().map(|symbol| vec![symbol]).collect()),
            // A sum is 0 if all of its terms are; a constant term is not.
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

    /// Whether the dim is the size of an undecided broadcast; see [`Dim::broadcast`].
    pub fn is_broadcast(&self) -> bool {
        self.any_atom(&mut |atom| matches!(atom, Atom::Apply(Function::Broadcast, _)))
    }

    /// Returns the more informative of two equal dims: an undecided broadcast is less informative than any other dim,
    /// and an unknown dim the least.
    pub(crate) fn and<'d>(&'d self, other: &'d Dim) -> &'d Dim {
        let vague = *self == Dim::Unknown || self.is_broadcast();
        if vague && *other != Dim::Unknown { other } else { self }
    }

    /// Whether the dim is the minimum of `other` and sizes of at least 1: broadcast with `other`, it gives `other`.
    pub(super) fn is_minimum_of(&self, other: &Dim) -> bool {
        // Nothing else is a minimum.
        matches!(self, Dim::Expr(_))
            && matches!(self.parts(), DimParts::Min(operands)
            if operands.contains(other) && operands.iter().all(|operand| operand == other || operand.is_positive()))
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
