//! Extracts the smallest model that shows what a rewrite changed.

use crate::bisect::Culprit;
use crate::ir::{Model, Window};
use crate::passes::{self, Event, Limits, Options, Prover, optimize};
use crate::verify::{Array, Comparison, Verdict};
use case::Case;

mod case;
mod graphs;

/// Two small models that differ: a part of a model before a rewrite and the same part after it.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Reproducer {
    /// The part before the rewrite, lowered so that it can be written.
    pub before: Model,
    /// The part after the rewrite, with the same inputs and outputs.
    pub after: Model,
    /// The values of the inputs for which the models differ, by name.
    pub inputs: Vec<(String, Array)>,
    /// The outputs of `before` for these inputs.
    pub before_outputs: Vec<(String, Array)>,
    /// The outputs of `after` for these inputs; `None` if it fails to run.
    pub after_outputs: Option<Vec<(String, Array)>>,
    /// The worst element of the first output that differs, or how `after` fails.
    pub difference: String,
}

/// How the outputs of two models differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// Elements have other values.
    Values,
    /// Elements that are finite in the first model are NaN or infinite in the second.
    NotFinite,
}

impl Symptom {
    /// Returns how outputs differ according to a verdict; `None` if it says nothing of them.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let Verdict::Differs { run, .. } = verdict else { return None };
        let is_lost = run.outputs.iter().any(Comparison::becomes_not_finite);
        Some(if is_lost { Self::NotFinite } else { Self::Values })
    }
}

/// The reason why there is no reproducer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReproduceError {
    /// The culprit is not a rewrite.
    #[error("{0}")]
    NotARewrite(Culprit),
    /// The model cannot be optimized.
    #[error(transparent)]
    Passes(#[from] passes::PassError),
    /// Both sides of the rewrite were equal in every run.
    #[error("both sides of the rewrite computed the same in tract for every input that was tried")]
    Equal,
    /// The sides of the rewrite differ, but not as the models do.
    #[error("the sides of the rewrite differ in tract, but not as the models do, for every input that was tried")]
    OtherSymptom,
    /// The sides of the rewrite could not be run.
    #[error("the sides of the rewrite cannot be run in tract by themselves: {0}")]
    NotRun(String),
}

/// Returns the smallest model found that shows what the culprit of [`bisect`](crate::bisect::bisect()) changed.
///
/// `options` are those with which the culprit was found. If `symptom` is known, the models differ in that way. The
/// rewrite runs in tract with its surroundings, for fixed sizes and generated inputs, in ever narrower windows while
/// both sides differ. Then outputs that do not matter are dropped, and values that are equal on both sides become inputs
/// with these values, so the models differ as the rewritten model does, even if a rule relies on the nodes that compute
/// its operands. The same happens to values that one side computes from inputs that the other does not read. If the pass
/// does not record what it changed, or several rewrites cannot be distinguished, the whole models before and after are
/// reduced.
///
/// ```
/// use netwright::bisect::Culprit;
/// use netwright::ir::{OpKind, Model, Op, parse};
/// use netwright::passes::{Exactness, Options, Pass, Skip, optimize, rewrite};
/// use netwright::reproduce::reproduce;
///
/// let text = "g(%x: f32[n]) {\n%a = exp %x : f32[n]\n%b = neg %a : f32[n]\n%y = sin %b : f32[n]\nreturn %y\n}";
/// let model = Model::new(parse(text)?);
/// // A pass that replaces `-` by `exp`.
/// let wrong = Pass::new("wrong", "neg -> exp", Exactness::Rounding).at([OpKind::Neg], |graph, root| {
///     let operands = [graph.operand(root.node, 0).ok_or(Skip::NoMatch)?];
///     rewrite::become_op(graph, root, Op::Exp, &operands, "wrong")
/// });
/// let options = Options::default().with_own(wrong);
/// let events = optimize(&mut model.clone(), &options)?.applied;
/// let reproducer = reproduce(&model, &options, &Culprit::Rewrites { events, first: 1, of: 1 }, None)?;
/// assert!(reproducer.before.graph.to_string().contains("= neg %a"));
/// assert!(reproducer.after.graph.to_string().contains("= exp %a"));
/// assert_eq!((reproducer.inputs.len(), reproducer.before_outputs.len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the culprit is not a rewrite, or tract does not show a difference.
pub fn reproduce(
    model: &Model,
    options: &Options,
    culprit: &Culprit,
    symptom: Option<Symptom>,
) -> Result<Reproducer, ReproduceError> {
    let Culprit::Rewrites { events, first, .. } = culprit else {
        return Err(ReproduceError::NotARewrite(culprit.clone()));
    };
    let mut found = Err(ReproduceError::Equal);
    if let [event] = &events[..] {
        found = narrowest(&windows(model, options, *first, event)?, symptom);
    }
    let case = match found {
        Ok(case) => case,
        Err(why) => {
            let whole = whole(model, options, *first, events.len())?;
            narrowest(&[whole], symptom).map_err(|other| match (why, other) {
                (why @ ReproduceError::NotRun(_), _) => why,
                (_, other) => other,
            })?
        }
    };
    case.shrunk().into_reproducer()
}

/// Returns the windows of a rewrite, from the narrowest to the widest.
fn windows(model: &Model, options: &Options, number: usize, event: &Event) -> Result<Vec<Window>, passes::PassError> {
    let prover = Prover::recording(options.prover.clone(), number, event);
    rewritten(model, &options.clone().with_prover(prover.clone()), number)?;
    Ok(prover.recorded())
}

/// Returns the whole models before and after some rewrites, as a window.
fn whole(model: &Model, options: &Options, first: usize, count: usize) -> Result<Window, passes::PassError> {
    let before = rewritten(model, options, first.saturating_sub(1))?.graph;
    let after = rewritten(model, options, first + count.saturating_sub(1))?.graph;
    Ok(Window { before, after, can_widen: false })
}

fn rewritten(model: &Model, options: &Options, count: usize) -> Result<Model, passes::PassError> {
    let mut model = model.clone();
    let limits = Limits { stop_after: Some(count), ..options.limits };
    optimize(&mut model, &options.clone().with_limits(limits))?;
    Ok(model)
}

/// Returns the narrowest window whose sides differ as `symptom` says, if they do in all wider windows that run as well.
///
/// A rule may rely on the nodes that compute its operands: then its sides differ in too narrow a window, although the
/// rewrite is correct.
fn narrowest(windows: &[Window], symptom: Option<Symptom>) -> Result<Case, ReproduceError> {
    let (mut found, mut not_found) = (None, None);
    for window in windows.iter().rev() {
        match Case::of(window, symptom) {
            Ok(case) => found = Some(case),
            Err(why) => {
                let is_run = !matches!(why, ReproduceError::NotRun(_));
                not_found.get_or_insert(why);
                if is_run {
                    break;
                }
            }
        }
    }
    found.ok_or_else(|| not_found.unwrap_or(ReproduceError::Equal))
}
