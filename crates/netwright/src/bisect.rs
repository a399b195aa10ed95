//! Finds the rewrite that changed the result of a model, by bisection.

use crate::ir::Model;
use crate::passes::{self, Event, Limits, Options, Report, optimize};
use std::fmt;

/// What changed the result of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Culprit {
    /// Rewrites, of which the first changes the result and the others cannot be told from it, because what the model is
    /// after them cannot be judged; usually one.
    Rewrites {
        /// The rewrites.
        events: Vec<Event>,
        /// The number of the first, from 1.
        first: usize,
        /// How many rewrites there are.
        of: usize,
    },
    /// No rewrite: the result differs without any.
    BeforeRewrites,
    /// No rewrite: the result is right after all of them.
    AfterRewrites,
}

/// Finds the rewrite after which the result of a model is wrong.
///
/// `judge` is given the model after so many rewrites, lowered, and says whether it is right; `None` where it cannot say.
/// It is asked about the logarithm of the number of rewrites times. [`Limits::stop_after`] of the options limits the
/// rewrites that are searched.
///
/// ```
/// use netwright::bisect::bisect;
/// use netwright::ir::{OpKind, Model, parse};
/// use netwright::passes::Options;
///
/// let text = "g(%x: f32[n]) {\n%a = div %x, 2.0 : f32[n]\n%b = div %a, 8.0 : f32[n]\n%y = neg %b : f32[n]\nreturn %y\n}";
/// let model = Model::new(parse(text)?);
/// // As if a division by 8 were the one thing that computes right.
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
/// When the model cannot be optimized, or `judge` fails.
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
    let mut judge = |count: usize| judge(&rewritten(count)?.0);
    if judge(0)? == Some(false) {
        return Ok(Culprit::BeforeRewrites);
    }
    if judge(of)? == Some(true) {
        return Ok(Culprit::AfterRewrites);
    }
    // What is right, or cannot be judged from there on down; and what is wrong.
    let (mut right, mut wrong) = (0, of);
    'halves: while wrong - right > 1 {
        let middle = usize::midpoint(right, wrong);
        // Where the middle cannot be judged, the nearest that can be.
        let mut nearest: Vec<usize> = (right + 1..wrong).collect();
        nearest.sort_by_key(|count| count.abs_diff(middle));
        for count in nearest.into_iter().take(MOST_NEIGHBOURS) {
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

/// How many neighbours are judged of a model that cannot be.
const MOST_NEIGHBOURS: usize = 16;

/// Longer lists of rewrites are cut.
const MOST_EVENTS: usize = 8;

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Culprit::Rewrites { events, first, of } => {
                f.write_str(match events.len() {
                    0 | 1 => "the rewrite that changed the result: ",
                    _ => "one of the rewrites that changed the result; the models between them cannot be judged: ",
                })?;
                for (number, event) in (*first..).zip(events).take(MOST_EVENTS) {
                    if number > *first {
                        f.write_str("; ")?;
                    }
                    let node = crate::ir::text::name(&event.node);
                    write!(f, "{} at {node} (rewrite {number} of {of}): {}", event.pass, event.note)?;
                }
                let more = events.len().saturating_sub(MOST_EVENTS);
                if more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
            Culprit::BeforeRewrites => f.write_str(
                "no rewrite changed the result: it differs without any; reading, lowering or writing the model did",
            ),
            Culprit::AfterRewrites => f.write_str(
                "no rewrite changed the result: it is right after all of them; merging nodes after lowering did",
            ),
        }
    }
}
