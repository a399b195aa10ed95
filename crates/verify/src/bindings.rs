//! What the symbolic dims of a model stand for in each run.

use crate::Error;
use crate::file::Port;
use crate::run::list;
use netwright_ir::{Bindings, Dim, Symbol};
use std::collections::{BTreeMap, BTreeSet};

/// How often a model is run, each time with other sizes and other inputs.
pub const RUNS: usize = 3;

/// No size is larger: a model is verified on small inputs.
const MOST: i64 = 1 << 20;

/// The sizes of all symbols in the inputs' shapes, for each run.
///
/// `dims` says what is to hold of symbols: a number, or an expression over other symbols. The others are small and
/// distinct in each run: 1, 2 and 3 for batches, for lengths from 5, 7 and 2 on.
///
/// ```
/// use netwright_ir::{Dim, Symbol, TensorType, ElementType::I64, shape};
/// use netwright_verify::{Port, bindings};
/// let mask = Port { name: "mask".into(), ty: Some(TensorType::new(I64, shape!["batch", "past_plus_seq"])) };
/// let past = Port { name: "past".into(), ty: Some(TensorType::new(I64, shape!["past", "seq"])) };
/// let dims = [(Symbol::new("past_plus_seq"), "past + seq".parse()?)].into();
/// let runs = bindings(&[mask, past], &dims)?;
/// assert_eq!(runs[0].values().collect::<Vec<_>>(), [&1, &5, &13, &8]); // batch, past, past_plus_seq, seq
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bindings(inputs: &[Port], dims: &BTreeMap<Symbol, Dim>) -> Result<[Bindings; RUNS], Error> {
    let mut symbols = BTreeSet::new();
    for dim in inputs.iter().filter_map(|port| port.ty.as_ref()?.shape.as_ref()).flat_map(|shape| shape.iter()) {
        dim.for_each_symbol(&mut |symbol| _ = symbols.insert(symbol.clone()));
    }
    let mut named: Vec<Symbol> = dims.keys().cloned().collect();
    for dim in dims.values() {
        dim.for_each_symbol(&mut |symbol| named.push(symbol.clone()));
    }
    if let Some(symbol) = named.into_iter().find(|symbol| !symbols.contains(symbol)) {
        return Err(Error::UnknownSymbol { symbol, symbols: list(symbols.iter().map(Symbol::as_str)) });
    }
    let mut runs = [const { Bindings::new() }; RUNS];
    for (bound, (batch, first, step)) in runs.iter_mut().zip([(1, 5, 3), (2, 7, 2), (3, 2, 2)]) {
        let free = symbols.iter().filter(|symbol| !dims.contains_key(*symbol));
        let (batches, lengths): (Vec<&Symbol>, Vec<_>) = free.partition(|symbol| is_batch(symbol.as_str()));
        bound.extend(batches.into_iter().cloned().zip(std::iter::repeat(batch)));
        bound.extend(lengths.into_iter().cloned().zip((0..).map(|at| first + step * at)));
        resolve(dims, bound)?;
    }
    Ok(runs)
}

fn is_batch(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("batch") || name == "b" || name == "n"
}

/// Adds what `dims` comes down to, given what is bound.
fn resolve(dims: &BTreeMap<Symbol, Dim>, bound: &mut Bindings) -> Result<(), Error> {
    let mut open: Vec<_> = dims.iter().collect();
    while let Some(&(symbol, dim)) = open.first() {
        let failed = |symbol: &Symbol, dim: &Dim, cause| {
            Err(Error::Binding { symbol: symbol.clone(), dim: dim.to_string(), cause })
        };
        let before = open.len();
        let mut wrong = None;
        open.retain(|&(symbol, dim)| match dim.evaluate(bound) {
            Some(size) if (0..=MOST).contains(&size) => bound.insert(symbol.clone(), size).is_some(),
            Some(_) => {
                wrong = Some((symbol, dim));
                false
            }
            None => true,
        });
        if let Some((symbol, dim)) = wrong {
            return failed(symbol, dim, "that is no size between 0 and 1,048,576");
        }
        if open.len() == before {
            return failed(symbol, dim, "it depends on itself, or is no number for these sizes");
        }
    }
    Ok(())
}
