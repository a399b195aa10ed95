//! Finds the rewrite that changed the result of a model, by bisection.

use crate::ir::Model;
use crate::passes::{self, Event, Limits, Options, Report, optimize};
use std::fmt;

/// The cause of a changed result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Culprit {
    /// The rewrites that may have changed the result: the first one did, or it cannot be distinguished from the others
    /// because the models between them cannot be judged. Usually one.
    Rewrites {
        /// The rewrites.
        events: Vec<Event>,
        /// The number of the first, from 1.
        first: usize,
        /// The total number of rewrites.
        of: usize,
    },
    /// No rewrite: the result differs before the first one.
    BeforeRewrites,
    /// No rewrite: the result is correct after all of them.
    AfterRewrites,
}

/// Finds the rewrite after which the result of a model is wrong.
///
/// `judge` receives the lowered model after some of the rewrites and returns whether it is correct; `None` if it cannot
/// judge the model. The number of calls is logarithmic in the number of rewrites. [`Limits::stop_after`] of the options
/// limits the rewrites that are searched.
///
/// ```
/// use netwright::bisect::bisect;
/// use netwright::ir::{OpKind, Model, parse};
/// use netwright::passes::Options;
///
/// let text = "g(%x: f32[n]) {\n%a = div %x, 2.0 : f32[n]\n%b = div %a, 8.0 : f32[n]\n%y = neg %b : f32[n]\nreturn %y\n}";
/// let model = Model::new(parse(text)?);
/// // This judge accepts only a model with a division by 8.
/// let judge = |model: &Model| Ok(Some(model.graph.to_string().contains("div %a, 8.0")));
/// let culprit = bisect::<Box<dyn std::error::Error>>(&model, &Options::default(), judge)?;
/// assert_eq!(
///     culprit.to_string(),
///     "the rewrite that changed the result: canonicalize at %b (rewrite 2 of 2): multiplies by the inverse, which is exact"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the model cannot be optimized, or `judge` fails.
pub fn bisect<E: From<passes::PassError>>(
    model: &Model,
    options: &Options,
    mut judge: impl FnMut(&Model) -> Result<Option<bool>, E>,
) -> Result<Culprit, E> {
    let most = options.limits.stop_after.unwrap_or(usize::MAX);
    let rewritten = |count: usize| -> Result<(Model, Report), passes::PassError> {
        let limits = Limits { stop_after: Some(count.min(most)), ..options.limits };
        let mut model = model.clone();
        let report = optimize(&mut model, &options.clone().with_limits(limits))?;
        Ok((model, report))
    };
    let (_, report) = rewritten(most)?;
    let of = report.optimized;
    let mut judge = |count: usize| match rewritten(count) {
        Ok((model, _)) => judge(&model),
        // What is requested may be possible only after more rewrites.
        Err(passes::PassError::NoCache { .. } | passes::PassError::Cache(_)) => Ok(None),
        Err(error) => Err(error.into()),
    };
    if judge(0)? == Some(false) {
        return Ok(Culprit::BeforeRewrites);
    }
    if judge(of)? == Some(true) {
        return Ok(Culprit::AfterRewrites);
    }
    // The bounds: a model that is correct or cannot be judged, and one that is wrong.
    let (mut right, mut wrong) = (0, of);
    'halves: while wrong - right > 1 {
        let middle = usize::midpoint(right, wrong);
        // If the middle cannot be judged, try its nearest neighbors.
        let mut nearest: Vec<usize> = (right + 1..wrong).collect();
        nearest.sort_by_key(|count| count.abs_diff(middle));
        for count in nearest.into_iter().take(MAX_NEIGHBOURS) {
            match judge(count)? {
                Some(true) => right = count,
                Some(false) => wrong = count,
                None => continue,
            }
            continue 'halves;
        }
        break;
    }
    let events = report.applied[..of].get(right..wrong).unwrap_or_default().to_vec();
    Ok(Culprit::Rewrites { events, first: right + 1, of })
}

/// The number of neighbors to try for a model that cannot be judged.
const MAX_NEIGHBOURS: usize = 16;

/// The most rewrites that are printed.
const MAX_EVENTS: usize = 8;

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Culprit::Rewrites { events, first, of } => {
                f.write_str(match events.len() {
                    0 | 1 => "the rewrite that changed the result: ",
                    _ => "one of the rewrites that changed the result; the models between them cannot be judged: ",
                })?;
                for (number, event) in (*first..).zip(events).take(MAX_EVENTS) {
                    if number > *first {
                        f.write_str("; ")?;
                    }
                    let node = crate::ir::text::name(&event.node);
                    write!(f, "{} at {node} (rewrite {number} of {of}): {}", event.pass, event.note)?;
                }
                let more = events.len().saturating_sub(MAX_EVENTS);
                if more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
            Culprit::BeforeRewrites => f.write_str(
                "no rewrite changed the result: it differs before the first one, so reading, lowering or writing the model changed it",
            ),
            Culprit::AfterRewrites => f.write_str(
                "no rewrite changed the result: it is correct after all of them, so merging nodes after lowering changed it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;

    #[test]
    fn a_cache_that_cannot_be_added_before_some_rewrites_is_not_judged() {
        let text = "decoder(%input_ids: i64[batch, seq], %attention_mask: i64[batch, seq]) {
  %ids = cast %input_ids {to = f32} : f32[batch, seq]
  %heads = unsqueeze %ids, [1, 3] : f32[batch, 1, seq, 1]
  %keys = sin %heads : f32[batch, 1, seq, 1]
  %values = cos %heads : f32[batch, 1, seq, 1]
  %attended = attention %heads, %keys, %values {is_causal = true} : f32[batch, 1, seq, 1]
  %tokens = squeeze %attended, [1] : f32[batch, seq, 1]
  %y = tanh %tokens : f32[batch, seq, 1]
  return %y
}";
        let mut model = Model::new(parse(text).unwrap_or_else(|error| panic!("{error}")));
        model.opsets.insert(String::new(), 23);
        let options = Options::default().with_add_cache(true);
        let limits = Limits { stop_after: Some(0), ..Limits::default() };
        let unchanged = optimize(&mut model.clone(), &options.clone().with_limits(limits));
        assert!(matches!(unchanged, Err(passes::PassError::NoCache { .. })), "{unchanged:?}");
        for (is_right, is_rewrite) in [(true, false), (false, true)] {
            let culprit = bisect(&model, &options, |_| Ok::<_, passes::PassError>(Some(is_right)));
            let culprit = culprit.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(matches!(culprit, Culprit::Rewrites { .. }), is_rewrite, "{culprit}");
        }
    }
}
