//! Printing of dims; [`parse`] reads the text back.

use super::{Atom, Dim, Function, Symbol, parse};
use std::fmt;

impl fmt::Display for Symbol {
    /// Prints the name as in an expression: quoted unless it is an identifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if parse::is_identifier(&self.0) { f.write_str(&self.0) } else { write!(f, "'{}'", self.0.escape_default()) }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(known) => write!(f, "{known}"),
            Dim::Symbol(symbol) => write!(f, "{symbol}"),
            Dim::Unknown => f.write_str("?"),
            Dim::Expr(expr) => {
                // The constant term sorts first but is printed last: `seq + 1`.
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
    pub(super) const ALL: [Function; 5] =
        [Function::FloorDiv, Function::Mod, Function::Min, Function::Max, Function::Broadcast];

    pub(super) fn word(self) -> &'static str {
        match self {
            Function::FloorDiv => "floor_div",
            Function::Mod => "mod",
            Function::Min => "min",
            Function::Max => "max",
            Function::Broadcast => "broadcast",
        }
    }
}
