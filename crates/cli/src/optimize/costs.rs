//! Estimates what a run with typical sizes costs, before and after optimizing.

use netwright::ir::cost::Estimate;
use netwright::ir::{Bindings, Dim, Model};
use netwright::surgery::fix_dims;
use netwright::verify::typical_sizes;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of tokens to try, in this order: the first that the positions of the model allow is used.
const TOKENS: [i64; 4] = [128, 64, 32, 16];

/// What a run with typical sizes costs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TypicalRun {
    /// The size of each symbolic dim.
    pub(super) sizes: BTreeMap<String, i64>,
    /// The number of arithmetic operations; a multiplication and an addition count as two.
    pub(super) flops: u64,
    /// The number of bytes that the nodes read and write, weights included.
    pub(super) bytes_moved: u64,
    /// The number of nodes whose cost is unknown.
    pub(super) uncounted: usize,
}

impl TypicalRun {
    /// Estimates a run; `None` if the model does not allow typical sizes, or if a cost depends on a size that is still
    /// unknown or is too large.
    pub(super) fn new(model: &Model) -> Option<Self> {
        let mut symbols = BTreeSet::new();
        for dim in model.graph.inputs().flat_map(|input| model.graph.shape(input).unwrap_or_default()) {
            dim.for_each_symbol(&mut |symbol| _ = symbols.insert(symbol.clone()));
        }
        let (sizes, model) = TOKENS.iter().find_map(|tokens| {
            let sizes = typical_sizes(&symbols, *tokens);
            // With sizes, more shapes are known than with symbols.
            let mut model = model.clone();
            let fixed = sizes.iter().map(|(symbol, size)| (symbol.clone(), Dim::Known(*size))).collect();
            fix_dims(&mut model, &fixed).ok().map(|()| (sizes, model))
        })?;
        let estimate = Estimate::new(&model.graph);
        let cost = estimate.at(&Bindings::new())?;
        Some(Self {
            sizes: sizes.iter().map(|(symbol, size)| (symbol.as_str().to_owned(), *size)).collect(),
            flops: cost.flops,
            bytes_moved: cost.moved,
            uncounted: estimate.uncounted.values().sum(),
        })
    }

    /// Returns the sizes as text: `batch = 1, seq = 128`.
    fn sizes_text(&self) -> String {
        let sizes = self.sizes.iter().map(|(symbol, size)| format!("{symbol} = {size}"));
        sizes.collect::<Vec<_>>().join(", ")
    }

    /// Returns the rows of the table: the amounts before and after, and the change.
    pub(super) fn rows(before: &Self, after: &Self) -> [[String; 4]; 2] {
        let amounts = [("FLOPs", before.flops, after.flops), ("bytes moved", before.bytes_moved, after.bytes_moved)];
        // If more or fewer nodes are counted, the amounts cannot be compared.
        let is_same = before.uncounted == after.uncounted;
        let change = |before, after| if is_same { percent(before, after) } else { String::new() };
        amounts.map(|(name, before, after)| [name.to_owned(), short(before), short(after), change(before, after)])
    }

    /// Returns what the estimates assume.
    pub(super) fn note(before: &Self, after: &Self) -> String {
        let with = match (before.sizes_text(), after.sizes_text()) {
            (own, other) if own == other && own.is_empty() => String::new(),
            (own, other) if own == other => format!(" for {own}"),
            (own, other) => format!(" for {own} before, and {other} after"),
        };
        let uncounted = match (before.uncounted, after.uncounted) {
            (0, 0) => String::new(),
            (own, other) => format!("; {own} nodes before and {other} after are not counted"),
        };
        format!("FLOPs and bytes moved are estimates{with}{uncounted}")
    }
}

/// Returns a number with three digits and a unit: `22.4 G`.
fn short(number: u64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let number = number as f64;
    // A number that rounds to a thousand of a unit is printed in the next unit.
    let Some((factor, unit)) = units.into_iter().find(|(factor, _)| number >= factor * 0.999_5) else {
        return number.to_string();
    };
    let number = number / factor;
    let decimals = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
    format!("{number:.decimals$} {unit}")
}

/// Returns a change in percent; empty if it rounds to 0, or if the amount before is 0.
fn percent(before: u64, after: u64) -> String {
    if before == 0 {
        return String::new();
    }
    let change = 100.0 * (after as f64 / before as f64 - 1.0);
    if change.abs() < 0.05 { String::new() } else { format!("{change:+.1} %") }
}

#[cfg(test)]
mod tests {
    use super::{percent, short};

    #[test]
    fn amounts_have_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00 k"),
            (12_345, "12.3 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (9_996_000, "10.0 M"),
            (22_356_789_248, "22.4 G"),
            (4_900_000_000_000_000, "4900 T"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn changes_are_rounded() {
        for (before, after, text) in
            [(0, 5, ""), (1000, 1000, ""), (10_000, 9_999, ""), (1000, 876, "-12.4 %"), (50, 75, "+50.0 %")]
        {
            assert_eq!(percent(before, after), text, "{before} to {after}");
        }
    }
}
