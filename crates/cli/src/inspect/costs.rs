//! What a run of a model costs.

use crate::output::thousands;
use netwright::ir::cost::{Estimate, peak_activations};
use netwright::ir::{Bindings, Dim, Graph};
use netwright::surgery::symbols;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A number, or a formula in symbolic dims.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Amount {
    Number(u64),
    Formula(String),
}

impl Amount {
    /// Returns the amount of a dim; `None` if it is unknown.
    pub(super) fn new(dim: &Dim) -> Option<Self> {
        match dim {
            Dim::Unknown => None,
            Dim::Known(number) => u64::try_from(*number).ok().map(Self::Number),
            dim => Some(Self::Formula(dim.to_string())),
        }
    }

    pub(super) fn text(amount: Option<&Self>) -> String {
        match amount {
            Some(Self::Number(number)) => thousands(*number),
            Some(Self::Formula(formula)) => formula.clone(),
            None => "unknown: the formula is too long; give sizes with --dim".to_owned(),
        }
    }
}

/// What a run costs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Costs {
    /// The number of arithmetic operations; to multiply and to add are two. `null` if the formula is too long.
    flops: Option<Amount>,
    /// The number of bytes that the nodes read and write, weights included. `null` if the formula is too long.
    bytes_moved: Option<Amount>,
    /// The most bytes that values need at a time in the order of the graph, without weights. `null` if a size is
    /// unknown.
    peak_activation_bytes: Option<u64>,
    /// Why `peak_activation_bytes` is unknown, or else the node that runs then.
    peak_note: String,
    /// The nodes that are not counted, and why.
    uncounted: Vec<String>,
}

impl Costs {
    pub(super) fn new(graph: &Graph, estimate: &Estimate) -> Self {
        let total = estimate.total();
        let name =
            |node| graph.results(node).next().map_or_else(String::new, |value| format!("%{}", graph.value_name(value)));
        let peak = peak_activations(graph, &Bindings::new());
        let peak_note = match &peak {
            Ok(Some(peak)) => format!("at {}", name(peak.node)),
            Ok(None) => "the graph has no nodes".to_owned(),
            Err(value) => {
                // Sizes of inputs come first: others often follow from them.
                let mut open = BTreeSet::new();
                for dim in graph.inputs().flat_map(|input| graph.shape(input).unwrap_or_default()) {
                    dim.for_each_symbol(&mut |symbol| _ = open.insert(symbol.clone()));
                }
                let open = if open.is_empty() { symbols(graph) } else { open };
                let open: Vec<String> = open.iter().map(|symbol| format!("--dim {}=SIZE", symbol.as_str())).collect();
                match open.as_slice() {
                    [] => format!("the size of %{} is unknown", graph.value_name(*value)),
                    open => format!("give {}", open.join(" ")),
                }
            }
        };
        let uncounted = estimate.uncounted.iter();
        Self {
            flops: Amount::new(&total.flops),
            bytes_moved: Amount::new(&total.moved),
            peak_activation_bytes: peak.ok().flatten().map(|peak| peak.bytes),
            peak_note,
            uncounted: uncounted.map(|((name, why), count)| format!("{name} {count}: {why}")).collect(),
        }
    }

    /// Returns the rows to print.
    pub(super) fn rows(&self) -> Vec<[String; 2]> {
        let peak = match self.peak_activation_bytes {
            Some(bytes) => format!("{} {}", thousands(bytes), self.peak_note),
            None => format!("unknown: {}", self.peak_note),
        };
        let counted = |amount: &Option<Amount>| {
            let at_least = if amount.is_none() || self.uncounted.is_empty() { "" } else { "at least " };
            format!("{at_least}{}", Amount::text(amount.as_ref()))
        };
        let mut rows = vec![
            ["FLOPs".to_owned(), counted(&self.flops)],
            ["bytes moved".to_owned(), counted(&self.bytes_moved)],
            ["bytes of activations".to_owned(), peak],
        ];
        // Operators that are not counted for one reason share a row.
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for what in &self.uncounted {
            let (operator, why) = what.rsplit_once(": ").unwrap_or((what, "unknown"));
            reasons.entry(why).or_default().push(operator);
        }
        let row = |(why, operators): (&str, Vec<&str>)| {
            ["not counted".to_owned(), format!("{}: {why}", operators.join(", "))]
        };
        rows.extend(reasons.into_iter().map(row));
        rows
    }
}
