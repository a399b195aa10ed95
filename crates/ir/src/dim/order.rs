//! What is known of a dim, and of two compared, whatever the symbols are.

use super::{Atom, Dim, DimParts, Function, Monomial, Symbol};

impl Dim {
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

    /// Whether it is the smaller of `other` and of sizes of one or more: broadcast to `other` it gives way or is it.
    pub(super) fn is_minimum_of(&self, other: &Dim) -> bool {
        matches!(self.parts(), DimParts::Min(operands)
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
