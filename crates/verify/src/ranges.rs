//! Records the largest magnitudes of the values of a model.

use crate::file::ModelFile;
use crate::interface::sizes;
use crate::runner::Runner;
use crate::runs::first_case;
use crate::{Array, Options, Verdict, VerifyError};
use std::collections::{BTreeMap, BTreeSet};

/// The largest number of elements of all values of a chunk.
const CHUNK: usize = 8 << 20;

/// The number of values in the first chunk, whose sizes are not known yet, and in any chunk.
const FIRST: usize = 8;
const MAX_VALUES: usize = 256;

/// Calls `run` with chunks of values, few enough to be in memory at once; `run` returns the number of their elements.
/// Returns the values that a runtime cannot return, each of which was tried by itself.
pub(crate) fn in_chunks<T>(
    values: &[T],
    mut run: impl FnMut(&[T]) -> Result<usize, VerifyError>,
) -> Result<Vec<&T>, VerifyError> {
    let mut left_out = vec![];
    let mut next = FIRST;
    let mut todo = vec![values];
    while let Some(values) = todo.pop() {
        let (chunk, rest) = values.split_at(values.len().min(next));
        if !rest.is_empty() {
            todo.push(rest);
        }
        match run(chunk) {
            Ok(elements) => next = (chunk.len() * CHUNK / elements.max(1)).clamp(1, MAX_VALUES),
            // The others of the chunk are tried without the value that the runtime cannot return.
            Err(VerifyError::Runtime { .. } | VerifyError::Panic { .. }) if chunk.len() > 1 => {
                let (first, second) = chunk.split_at(chunk.len() / 2);
                todo.extend([second, first]);
            }
            Err(VerifyError::Runtime { .. } | VerifyError::Panic { .. }) => left_out.extend(chunk),
            Err(error) => return Err(error),
        }
    }
    Ok(left_out)
}

/// Records the largest magnitudes of [`Options::ranges_of`], for the first sizes and seed with which the model runs.
pub(crate) fn ranges(model: &ModelFile, options: &Options) -> Result<Verdict, VerifyError> {
    let runtime = &options.runtime;
    let mut notes = vec![];
    let case = first_case(model, None, &Runner::new(model, runtime)?, options, &mut notes)?;
    let wanted: BTreeSet<&str> = options.ranges_of.iter().map(String::as_str).collect();
    let given = case.borrowed().into_iter().filter(|(name, _)| wanted.contains(name));
    let mut ranges: BTreeMap<String, f64> =
        given.filter_map(|(name, array)| Some((name.to_owned(), largest(array)?))).collect();
    let results = model.graph.node.iter().flat_map(|node| &node.output);
    let names: Vec<&String> = results.filter(|name| wanted.contains(name.as_str())).collect();
    let left_out = in_chunks(&names, |chunk| {
        let names = chunk.iter().map(|name| (*name).clone()).collect();
        let values = Runner::of(model, runtime, names)?.run(&case.borrowed(), &case.bindings)?;
        let elements = values.iter().map(|(_, array)| array.any().len()).sum();
        ranges.extend(values.into_iter().filter_map(|(name, array)| Some((name, largest(&array)?))));
        Ok(elements)
    })?;
    let left_out = left_out.into_iter().map(|name| (*name).clone()).collect();
    notes.push(format!("with {}, seed {}", sizes(&case.bindings), case.seed));
    Ok(Verdict::Ranges { runtime: runtime.to_string(), ranges, left_out, notes })
}

/// Returns the largest magnitude of the finite elements of an array, or 0; `None` if they are not floats.
fn largest(array: &Array) -> Option<f64> {
    let elements = array.any().floats()?;
    Some(elements.into_iter().filter(|element| element.is_finite()).map(f64::abs).fold(0.0, f64::max))
}
