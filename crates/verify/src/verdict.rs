//! What came of a verification.

use crate::{Comparison, Reason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What came of a verification; its text says it in full, and it serializes for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use = "a verdict may say that the model is wrong"]
#[non_exhaustive]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// One model was given; it ran, and its outputs are what it declares, and finite.
    Runs {
        /// The runtime that judged, with its version: `tract`, or `ONNX Runtime 1.32.0`.
        runtime: String,
        /// Each run.
        runs: Vec<Run<Produced>>,
        /// How sizes were chosen, which runs were left out, and what else a reader should know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// Two models were given; all outputs are equal within the tolerance, in all runs.
    Equal {
        /// The runtime that judged.
        runtime: String,
        /// The tolerance.
        tolerance: f64,
        /// Each run.
        runs: Vec<Run<Comparison>>,
        /// As for `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// Two models were given that do not have the same inputs and outputs.
    OtherInterface {
        /// The first difference.
        what: String,
    },
    /// Two models were given that compute different things.
    Differs {
        /// The runtime that judged.
        runtime: String,
        /// The tolerance.
        tolerance: f64,
        /// The first run in which they differ.
        run: Run<Comparison>,
        /// The operator in which they part, if both have a value there.
        blame: Option<Box<Blame>>,
        /// As for `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A model does not do what it says, or is none.
    Fails {
        /// The model.
        file: String,
        /// What it does.
        why: String,
        /// The runtime that judged; `None` where the file itself is at fault.
        runtime: Option<String>,
    },
    /// The runtime cannot tell.
    NotVerifiable {
        /// The model.
        file: String,
        /// The runtime, or the runtimes.
        runtime: String,
        /// All that stands in the way.
        reasons: Vec<Reason>,
    },
}

/// One run: sizes, and what it gave for each output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run<T> {
    /// The sizes that the symbols stood for.
    pub bindings: BTreeMap<String, i64>,
    /// The seed of the inputs.
    pub seed: u64,
    /// Each output.
    pub outputs: Vec<T>,
}

/// An output that came out as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produced {
    /// The name of the output.
    pub output: String,
    /// Its type, as `f32[2, 7, 512]`.
    pub ty: String,
}

/// The first value, in the order of the second model's nodes, that both models have by name and that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blame {
    /// The node and operator of the second model that produces it.
    pub node: String,
    /// The operator of the first model that produces the value of that name.
    pub instead_of: String,
    /// How the value compares.
    pub value: Comparison,
}

impl Verdict {
    /// Whether the models are fine.
    pub fn is_fine(&self) -> bool {
        matches!(self, Verdict::Runs { .. } | Verdict::Equal { .. })
    }
}

impl<T> Run<T> {
    pub(crate) fn sizes(&self) -> String {
        if self.bindings.is_empty() {
            return "no symbols".to_owned();
        }
        self.bindings.iter().map(|(symbol, size)| format!("{symbol} = {size}")).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Runs { runtime, runs, notes } => {
                write!(f, "runs in {runtime}")?;
                for run in runs {
                    let outputs: Vec<_> =
                        run.outputs.iter().map(|output| format!("`{}` {}", output.output, output.ty)).collect();
                    write!(f, "\n  with {}: {}", run.sizes(), outputs.join(", "))?;
                }
                write_notes(f, notes)
            }
            Verdict::Equal { runtime, tolerance, runs, notes } => {
                write!(f, "equal in {runtime} within {tolerance:e}")?;
                runs.iter().try_for_each(|run| write_run(f, run))?;
                write_notes(f, notes)
            }
            Verdict::OtherInterface { what } => write!(f, "the models differ: {what}"),
            Verdict::Differs { runtime, tolerance, run, blame, notes } => {
                let first = run.outputs.iter().find(|output| output.difference.is_some());
                write!(f, "the models differ in {runtime} by more than {tolerance:e}")?;
                if let Some(first) = first {
                    write!(f, ", first in output `{}`", first.output)?;
                }
                write_run(f, run)?;
                if let Some(blame) = blame {
                    let Blame { node, instead_of, value } = &**blame;
                    write!(f, "\n  first at {node}, in place of {instead_of}: value `{}`", value.output)?;
                    match (&value.worst, &value.difference) {
                        (Some(worst), _) => write!(f, " differs most at {worst}")?,
                        (None, Some(difference)) => write!(f, " {difference}")?,
                        (None, None) => {}
                    }
                }
                write_notes(f, notes)
            }
            Verdict::Fails { file, why, .. } => write!(f, "{file} fails: {why}"),
            Verdict::NotVerifiable { file, runtime, reasons } => {
                write!(f, "{file} is not verifiable in {runtime}")?;
                reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
            }
        }
    }
}

fn write_run(f: &mut fmt::Formatter<'_>, run: &Run<Comparison>) -> fmt::Result {
    write!(f, "\n  with {}", run.sizes())?;
    run.outputs.iter().try_for_each(|output| write!(f, "\n    {output}"))
}

fn write_notes(f: &mut fmt::Formatter<'_>, notes: &[String]) -> fmt::Result {
    notes.iter().try_for_each(|note| write!(f, "\n  note: {note}"))
}
