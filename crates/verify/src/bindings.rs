//! The sizes of symbolic dims in each run.

use crate::VerifyError;
use crate::file::Port;
use netwright_ir::nearest::suggestion;
use netwright_ir::{Bindings, Dim, Symbol};
use std::collections::{BTreeMap, BTreeSet};

/// The largest size: models are verified with small inputs.
const MOST: i64 = 1 << 20;

/// The length of the long run.
pub(crate) const LONG: i64 = 130;

/// The length of the run that `longest` adds.
const LONGEST: i64 = 512;

/// The sizes of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The size of each symbol.
    pub bindings: Bindings,
    /// The purpose of the run.
    pub kind: SizesKind,
}

/// The purpose of a run, which determines its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizesKind {
    /// Sizes with which every model must run.
    Usual,
    /// Other small sizes, such as a past of length 0; left out if the first model refuses them.
    Unusual,
    /// Lengths of 130 and more, or of 512; optional as `Unusual` is.
    Long,
    /// Lengths of about 64, and then of about 30, if the first model refuses longer ones; optional as `Unusual` is.
    Shorter,
    /// The greatest length that the first model accepts, if it refuses `Long`.
    Limit,
    /// A size of 0; optional as `Unusual` is.
    Empty,
}

/// The sizes of the free symbols in a run: batches, lengths and lengths of the past.
///
/// Lengths are distinct: `first`, `first + step` and so on, in the order of their names. The past is one of them if
/// `past` is `None`.
struct Row {
    kind: SizesKind,
    batch: i64,
    first: i64,
    step: i64,
    past: Option<i64>,
}

const ROWS: [Row; 13] = {
    use SizesKind::{Empty, Long, Shorter, Unusual, Usual};
    [
        Row { kind: Usual, batch: 1, first: 5, step: 3, past: None },
        Row { kind: Usual, batch: 2, first: 7, step: 2, past: None },
        Row { kind: Usual, batch: 3, first: 2, step: 2, past: None },
        Row { kind: Unusual, batch: 8, first: 3, step: 1, past: Some(0) },
        Row { kind: Unusual, batch: 2, first: 1, step: 0, past: None },
        Row { kind: Unusual, batch: 2, first: 6, step: 3, past: None },
        Row { kind: Unusual, batch: 2, first: 4, step: 5, past: None },
        Row { kind: Long, batch: 1, first: LONG, step: 3, past: None },
        Row { kind: Shorter, batch: 2, first: 64, step: 3, past: None },
        Row { kind: Shorter, batch: 4, first: 29, step: 1, past: None },
        Row::of_length(29),
        Row { kind: Empty, batch: 0, first: 4, step: 1, past: None },
        Row { kind: Empty, batch: 2, first: 0, step: 0, past: Some(3) },
    ]
};

/// The run that `longest` adds.
const LONGEST_ROW: Row = Row { kind: SizesKind::Long, batch: 1, first: LONGEST, step: 5, past: Some(130) };

/// Returns the sizes of all symbols in the inputs' shapes, for each run.
///
/// `dims` gives sizes of symbols: numbers, or expressions over other symbols. The other sizes are mostly small, and
/// lengths are distinct. Among the runs are a batch of 8, lengths of 1, a past of length 0, lengths of 130 and more, and
/// sizes of 0. `longest` adds a run with lengths of 512.
///
/// ```
/// use netwright_ir::{Dim, Symbol, TensorType, ElementType::I64, shape};
/// use netwright_verify::{Port, bindings};
/// let mask = Port { name: "mask".into(), ty: Some(TensorType::new(I64, shape!["batch", "past_plus_seq"])) };
/// let past = Port { name: "past".into(), ty: Some(TensorType::new(I64, shape!["past", "seq"])) };
/// let dims = [(Symbol::new("past_plus_seq"), "past + seq".parse()?)].into();
/// let runs = bindings(&[mask, past], &dims, false)?;
/// // batch, past, past_plus_seq, seq
/// assert_eq!(runs[0].bindings.values().collect::<Vec<_>>(), [&1, &5, &13, &8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If `dims` names an unknown symbol, depends on itself, or gives a size that is negative or over 1,048,576.
pub fn bindings(inputs: &[Port], dims: &BTreeMap<Symbol, Dim>, longest: bool) -> Result<Vec<Sizes>, VerifyError> {
    let symbols = symbols(inputs);
    let mut named: Vec<(Symbol, Option<&Symbol>)> = dims.keys().map(|symbol| (symbol.clone(), None)).collect();
    for (of, dim) in dims {
        dim.for_each_symbol(&mut |symbol| named.push((symbol.clone(), Some(of))));
    }
    if let Some((symbol, of)) = named.into_iter().find(|(symbol, _)| !symbols.contains(symbol)) {
        let known: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        let help = match of {
            Some(of) => format!("the size of {of} must be a number, or an expression over symbols of the inputs"),
            None => suggestion(symbol.as_str(), &known),
        };
        return Err(VerifyError::UnknownSymbol { symbol, help });
    }
    let free: Vec<&Symbol> = symbols.iter().filter(|symbol| !dims.contains_key(*symbol)).collect();
    let pasts = pasts(inputs);
    let has_length = free.iter().any(|symbol| !is_batch(symbol.as_str()));
    let mut runs: Vec<Sizes> = vec![];
    for row in ROWS.iter().chain(longest.then_some(&LONGEST_ROW)) {
        let mut bound = row.bind(&free, &pasts);
        let failed = resolve(dims, &mut bound);
        match (row.kind, failed) {
            (SizesKind::Usual, failed) => failed?,
            // An expression may not be a size for these.
            (_, Err(_)) => continue,
            (SizesKind::Long | SizesKind::Shorter | SizesKind::Limit, Ok(())) if !has_length => continue,
            (SizesKind::Empty, Ok(())) if bound.values().all(|&size| size > 0) => continue,
            _ => {}
        }
        // Runs of the same sizes differ in their inputs.
        runs.push(Sizes { bindings: bound, kind: row.kind });
    }
    Ok(runs)
}

/// Returns all symbols of the inputs' shapes.
pub(crate) fn symbols<'p>(inputs: impl IntoIterator<Item = &'p Port>) -> BTreeSet<Symbol> {
    let mut symbols = BTreeSet::new();
    for dim in inputs.into_iter().filter_map(|port| port.ty.as_ref()?.shape.as_ref()).flat_map(|shape| shape.iter()) {
        dim.for_each_symbol(&mut |symbol| _ = symbols.insert(symbol.clone()));
    }
    symbols
}

/// Returns the symbols that are the length of the past: by their names, or as sizes of nothing but inputs that are named
/// after the past.
fn pasts(inputs: &[Port]) -> BTreeSet<Symbol> {
    let (of_past, others): (Vec<&Port>, Vec<&Port>) =
        inputs.iter().partition(|port| port.name.to_lowercase().contains("past"));
    let (of_past, others) = (symbols(of_past), symbols(others));
    let is_only_of_past = |symbol: &Symbol| of_past.contains(symbol) && !others.contains(symbol);
    of_past.union(&others).filter(|symbol| is_past(symbol) || is_only_of_past(symbol)).cloned().collect()
}

/// Returns the sizes of a run in which all lengths are the same and the past is empty; `None` if `dims` does not allow that.
pub(crate) fn with_length(inputs: &[Port], dims: &BTreeMap<Symbol, Dim>, length: i64) -> Option<Bindings> {
    let symbols = symbols(inputs);
    let free: Vec<&Symbol> = symbols.iter().filter(|symbol| !dims.contains_key(*symbol)).collect();
    let mut bound = Row::of_length(length).bind(&free, &pasts(inputs));
    resolve(dims, &mut bound).ok().map(|()| bound)
}

impl Row {
    const fn of_length(length: i64) -> Self {
        Self { kind: SizesKind::Limit, batch: 1, first: length, step: 0, past: Some(0) }
    }

    fn bind(&self, free: &[&Symbol], pasts: &BTreeSet<Symbol>) -> Bindings {
        let (batches, lengths): (Vec<&Symbol>, Vec<&Symbol>) =
            free.iter().partition(|symbol| is_batch(symbol.as_str()));
        let mut bound: Bindings = batches.into_iter().map(|symbol| (symbol.clone(), self.batch)).collect();
        let sizes = (0..).map(|at| self.first + self.step * at);
        bound.extend(lengths.iter().map(|&symbol| symbol.clone()).zip(sizes));
        if let Some(past) = self.past {
            bound.extend(
                lengths.into_iter().filter(|symbol| pasts.contains(*symbol)).map(|symbol| (symbol.clone(), past)),
            );
        }
        bound
    }
}

/// Returns typical sizes of symbols, for estimates of what a run costs: a batch of 1; `tokens` tokens, of which all
/// except one are in the past if the model has one; images of 224 by 224 pixels.
///
/// ```
/// use netwright_ir::Symbol;
/// let sizes = netwright_verify::typical_sizes(&["batch", "past_length", "sequence_length"].map(Symbol::new), 128);
/// // In the order of the names.
/// assert_eq!(sizes.values().collect::<Vec<_>>(), [&1, &127, &1]);
/// ```
pub fn typical_sizes<'s>(symbols: impl IntoIterator<Item = &'s Symbol> + Clone, tokens: i64) -> Bindings {
    let has_past = symbols.clone().into_iter().any(is_past);
    let size = |symbol: &Symbol| {
        let name = symbol.as_str().to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is_batch(&name) {
            1
        } else if has(&["height", "width"]) {
            224
        } else if has(&["channel"]) {
            3
        } else if is_past(symbol) {
            tokens - 1
        } else if has_past && !has(&["past", "total", "max", "encoder", "source"]) && name != "enc" {
            // The new tokens, not all, and not those of an encoder.
            1
        } else {
            tokens
        }
    };
    symbols.into_iter().map(|symbol| (symbol.clone(), size(symbol))).collect()
}

/// Returns whether a symbol is named after the length of the past alone.
pub(crate) fn is_past(symbol: &Symbol) -> bool {
    let name = symbol.as_str().to_lowercase();
    name.contains("past") && !["plus", "total", "+", "and"].iter().any(|word| name.contains(word))
}

pub(crate) fn is_batch(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("batch") || name == "b" || name == "n"
}

/// Evaluates `dims` with the sizes in `bound`, and adds the results to it.
fn resolve(dims: &BTreeMap<Symbol, Dim>, bound: &mut Bindings) -> Result<(), VerifyError> {
    let mut open: Vec<_> = dims.iter().collect();
    while let Some(&(symbol, dim)) = open.first() {
        let failed = |symbol: &Symbol, dim: &Dim, cause| {
            Err(VerifyError::Binding { symbol: symbol.clone(), dim: dim.to_string(), cause })
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
            return failed(symbol, dim, "it is not between 0 and 1,048,576");
        }
        if open.len() == before {
            return failed(symbol, dim, "it depends on itself, or is not a whole number for these sizes");
        }
    }
    Ok(())
}
