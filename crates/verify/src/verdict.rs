//! The outcome of a verification.

use crate::layers::write_table;
use crate::{Comparison, Layer, Reason, gate};
use half::f16;
use netwright_files::Code;
use netwright_ir::ElementType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The outcome of a verification. `Display` prints it, `{:#}` with more figures, and it serializes as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[must_use = "a verdict may say that the model is wrong"]
#[non_exhaustive]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// One model was given: it runs, and its outputs are as declared and finite.
    Runs {
        /// The runtime that judged, with its version: `tract`, or `ONNX Runtime 1.32.0`.
        runtime: String,
        /// The runs.
        runs: Vec<Run<Produced>>,
        /// Notes for the reader: how sizes were chosen, which runs were left out. Details follow the first line.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// The verdicts of further judges, which all are fine: another runtime for a model that computes in a narrow type,
        /// and ONNX Runtime without the int8 activations of MatMulNBits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Verdict>,
    },
    /// Two models were given: all outputs are equal within the tolerance, in all runs.
    Equal {
        /// The runtime that judged.
        runtime: String,
        /// The tolerance.
        tolerance: f64,
        /// The runs.
        runs: Vec<Run<Comparison>>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Verdict>,
    },
    /// Two models were given: outputs differ beyond the tolerance, but the cosine of each is large enough for models that
    /// are quantized differently.
    Close {
        /// The runtime that judged.
        runtime: String,
        /// The smallest cosine that is accepted.
        min_cosine: f64,
        /// How the models are quantized; empty if the smallest cosine was requested.
        why: String,
        /// The cosine of each output over the elements of all runs; `None` if all elements of one model are 0.
        cosines: BTreeMap<String, Option<f64>>,
        /// The runs.
        runs: Vec<Run<Comparison>>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Verdict>,
    },
    /// Two models were given: their inputs or outputs differ.
    OtherInterface {
        /// The first difference.
        what: String,
    },
    /// Two models were given: their outputs differ.
    Differs {
        /// The runtime that judged.
        runtime: String,
        /// The tolerance.
        tolerance: f64,
        /// The smallest cosine that is accepted beyond the tolerance, as in `Close`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_cosine: Option<f64>,
        /// The first run in which they differ.
        run: Run<Comparison>,
        /// The first operator whose results differ, if both models have a value of that name.
        blame: Option<Box<Blame>>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// Two models were given, and the values that they have in common were compared; see
    /// [`Options::by_layer`](crate::Options::by_layer).
    ByLayer {
        /// The runtime that ran them.
        runtime: String,
        /// The size of each symbol.
        bindings: BTreeMap<String, i64>,
        /// The seed of the inputs.
        seed: u64,
        /// The error from which values drift apart.
        tolerance: f64,
        /// What a verification says of the outputs.
        outputs: Outputs,
        /// The values, in the order in which the second model computes them.
        layers: Vec<Layer>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Verdict>,
    },
    /// The largest magnitudes of values were recorded; see [`Options::ranges_of`](crate::Options::ranges_of).
    Ranges {
        /// The runtime that ran the model.
        runtime: String,
        /// The largest magnitude of the finite elements of each value, or 0; only float values that the model has are
        /// listed.
        ranges: BTreeMap<String, f64>,
        /// The values that the runtime cannot return.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<String>,
        /// As in `Runs`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A model is invalid, fails when it runs, or its outputs are not as declared.
    Fails {
        /// The model.
        file: String,
        /// What is wrong with it.
        why: String,
        /// The runtime that judged; `None` if the file itself is invalid.
        runtime: Option<String>,
    },
    /// No runtime can judge the model.
    NotVerifiable {
        /// The model.
        file: String,
        /// The runtime, or the runtimes.
        runtime: String,
        /// All reasons why not.
        reasons: Vec<Reason>,
    },
}

/// What a verification says of the outputs of two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outputs {
    /// They are equal or close.
    Agree,
    /// They differ.
    Differ,
    /// A model fails.
    Fail,
    /// The runtime cannot judge them.
    NotJudged,
}

/// One run: the sizes of symbols, the seed, and the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run<T> {
    /// The size of each symbol.
    pub bindings: BTreeMap<String, i64>,
    /// The seed of the inputs.
    pub seed: u64,
    /// One entry for each output.
    pub outputs: Vec<T>,
}

/// An output that is as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Produced {
    /// The name of the output.
    pub output: String,
    /// Its type, such as `f32[2, 7, 512]`.
    pub ty: String,
}

/// The first differing value with the same name in both models, in the node order of the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blame {
    /// The node and operator of the second model that produces it.
    pub node: String,
    /// The operator of the first model that produces the value of that name.
    pub instead_of: String,
    /// The comparison of the two values.
    pub value: Comparison,
    /// Whether they differ because the first model's is beyond the range of f16.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overflows: bool,
}

impl Verdict {
    /// Returns whether no runtime judged because it does not read bf16.
    pub fn lacks_bf16(&self) -> bool {
        let is_type = |reason: &Reason| reason.why.ends_with(&format!("elements of type {}", ElementType::BF16));
        matches!(self, Verdict::NotVerifiable { reasons, .. } if reasons.iter().any(is_type))
    }

    /// Returns whether the model runs, both models are equal or close, or values were recorded as requested.
    pub fn is_fine(&self) -> bool {
        self.code().is_none()
    }

    /// Returns the code of a verdict that is not fine, as an error.
    pub fn code(&self) -> Option<Code> {
        match self {
            Verdict::NotVerifiable { .. } | Verdict::ByLayer { outputs: Outputs::NotJudged, .. } => {
                Some(Code::NotVerifiable)
            }
            Verdict::OtherInterface { .. } => Some(Code::InterfaceDiffers),
            Verdict::Differs { .. } | Verdict::ByLayer { outputs: Outputs::Differ, .. } => Some(Code::Differs),
            Verdict::Fails { .. } | Verdict::ByLayer { outputs: Outputs::Fail, .. } => Some(Code::ModelFails),
            _ => None,
        }
    }

    /// Adds a note before the others, if there is one and the verdict has notes.
    pub fn noted(mut self, note: impl Into<Option<String>>) -> Self {
        use Verdict::{ByLayer, Close, Differs, Equal, Ranges, Runs};
        if let Runs { notes, .. }
        | Equal { notes, .. }
        | Close { notes, .. }
        | Differs { notes, .. }
        | ByLayer { notes, .. }
        | Ranges { notes, .. } = &mut self
        {
            notes.splice(0..0, note.into());
        }
        self
    }

    /// Adds the verdict of a further judge to one that is fine, and returns the verdict of both.
    ///
    /// A model that the further judge cannot judge is noted. Any other verdict that is not fine is the verdict of both.
    pub fn and(mut self, other: Verdict) -> Verdict {
        let (Verdict::Runs { also, notes, .. }
        | Verdict::Equal { also, notes, .. }
        | Verdict::Close { also, notes, .. }
        | Verdict::ByLayer { also, notes, .. }) = &mut self
        else {
            return self;
        };
        match other {
            Verdict::NotVerifiable { .. } => notes.push(other.to_string().replace('\n', ";")),
            other if other.is_fine() => also.push(other),
            other => return other,
        }
        self
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
            Verdict::Runs { runtime, runs, notes, also } => {
                write!(f, "runs in {runtime}")?;
                let shown = if f.alternate() { runs.len() } else { 1 };
                for run in runs.iter().take(shown) {
                    let outputs: Vec<_> =
                        run.outputs.iter().map(|output| format!("`{}` {}", output.output, output.ty)).collect();
                    write!(f, "\n  with {}: {}", run.sizes(), outputs.join(", "))?;
                }
                for run in runs.iter().skip(shown) {
                    write!(f, "\n  with {}", run.sizes())?;
                }
                write_rest(f, notes, also)
            }
            Verdict::Equal { runtime, tolerance, runs, notes, also } => {
                let rounding = || outputs(runs).filter(|output| output.is_float()).filter_map(|output| output.rounding);
                let has_integers = outputs(runs).any(|output| !output.is_float() && output.rounding.is_some());
                let padding = rounding().filter(|it| it.other_rows.is_some()).map(|it| it.observed).reduce(f64::max);
                let others = rounding().map(|it| it.other_rows.unwrap_or(it.observed)).reduce(f64::max);
                match (others, padding) {
                    (Some(others), Some(padding)) if others <= *tolerance => write!(
                        f,
                        "equal in {runtime} within {tolerance:e}, except in rows that a mask hides: their largest \
                         error is {padding:.1e} and is rounding, because the models agree in f64"
                    )?,
                    (Some(others), padding) => {
                        write!(
                            f,
                            "equal in {runtime} up to rounding: the largest error is {others:.1e}, beyond {tolerance:e}, but the \
                             models agree in f64"
                        )?;
                        if let Some(padding) = padding.filter(|padding| *padding > others) {
                            write!(f, "; that of rows that a mask hides is {padding:.1e}")?;
                        }
                    }
                    (None, _) => write!(f, "equal in {runtime} within {tolerance:e}")?,
                }
                if has_integers {
                    f.write_str("; integers or truth values differ by rounding, because the models agree in f64")?;
                }
                write_runs(f, runs)?;
                write_rest(f, notes, also)
            }
            Verdict::Close { runtime, min_cosine, why, cosines, runs, notes, also } => {
                let lowest = rounded_down(cosines.values().flatten().copied().fold(1.0, f64::min));
                let of_one_run = rounded_down(outputs(runs).filter_map(|output| output.cosine).fold(1.0, f64::min));
                write!(
                    f,
                    "close in {runtime}: the cosine of every output over all runs together is at least {lowest}"
                )?;
                write!(f, " ({min_cosine} is enough), and the lowest of a single run is {of_one_run}")?;
                if !why.is_empty() {
                    write!(f, "; {why}")?;
                }
                write_runs(f, runs)?;
                write_rest(f, notes, also)
            }
            Verdict::ByLayer { runtime, tolerance, layers, notes, also, .. } => {
                write!(f, "the values of both models in {runtime}")?;
                notes.iter().try_for_each(|note| write!(f, "\n  note: {note}"))?;
                write_table(f, layers, *tolerance, f.alternate())?;
                write_rest(f, &[], also)
            }
            Verdict::Ranges { runtime, ranges, left_out, notes } => {
                write!(f, "the largest magnitudes of {} values in {runtime}", ranges.len())?;
                ranges.iter().try_for_each(|(value, most)| write!(f, "\n  {value}  {most:.1e}"))?;
                left_out.iter().try_for_each(|value| write!(f, "\n  {value}  not returned by the runtime"))?;
                write_rest(f, notes, &[])
            }
            Verdict::OtherInterface { what } => write!(f, "the models differ: {what}"),
            Verdict::Differs { runtime, tolerance, min_cosine, run, blame, notes } => {
                let first = run.outputs.iter().find(|output| output.difference.is_some());
                write!(f, "the models differ in {runtime} by more than {tolerance:e}")?;
                if let Some(min_cosine) = min_cosine {
                    write!(f, ", and not every output has a cosine of {min_cosine}")?;
                }
                if let Some(first) = first {
                    write!(f, ", first in output `{}`", first.output)?;
                }
                write_run(f, run)?;
                if let Some(blame) = blame {
                    let Blame { node, instead_of, value, overflows } = &**blame;
                    write!(f, "\n  first at {node}")?;
                    if node != instead_of {
                        write!(f, ", where the first model has {instead_of}")?;
                    }
                    write!(f, ": value `{}`", value.output)?;
                    match (&value.worst, &value.difference) {
                        (Some(worst), _) => write!(f, " differs most at {worst}")?,
                        (None, Some(difference)) => write!(f, " {difference}")?,
                        (None, None) => {}
                    }
                    if *overflows {
                        write!(f, ", because the largest number of f16 is {}", f16::MAX)?;
                    }
                }
                write_rest(f, notes, &[])
            }
            Verdict::Fails { file, why, .. } => write!(f, "{file} fails: {why}"),
            Verdict::NotVerifiable { file, runtime, reasons } => {
                write!(f, "{file} is not verifiable in {runtime}")?;
                if f.alternate() {
                    return reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"));
                }
                gate::grouped(reasons).iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

fn outputs(runs: &[Run<Comparison>]) -> impl Iterator<Item = &Comparison> {
    runs.iter().flat_map(|run| &run.outputs)
}

/// Returns a number with four decimals that is not larger: a cosine of 0.99997 is not 1.
fn rounded_down(cosine: f64) -> String {
    format!("{:.4}", (cosine * 1e4).floor() / 1e4)
}

/// Writes the output with the largest error of all runs, or all outputs of each run in the alternate form.
fn write_runs(f: &mut fmt::Formatter<'_>, runs: &[Run<Comparison>]) -> fmt::Result {
    if f.alternate() {
        return runs.iter().try_for_each(|run| write_run(f, run));
    }
    let counted = |count: usize, thing: &str| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    let of_each = runs.first().map_or(0, |run| run.outputs.len());
    write!(f, "\n  {} of {}", counted(runs.len(), "run"), counted(of_each, "output"))?;
    let all = runs.iter().flat_map(|run| run.outputs.iter().map(move |output| (run, output)));
    // An index that differs has no error.
    let error = |output: &Comparison| output.worst.as_ref().map_or(0.0, |worst| worst.error.unwrap_or(f64::MAX));
    let worst = all.max_by(|(_, a), (_, b)| error(a).total_cmp(&error(b)));
    match worst.filter(|(_, output)| output.worst.is_some()) {
        Some((run, output)) => {
            write!(f, "; the largest error, with {}:\n    ", run.sizes())?;
            fmt::Display::fmt(output, f)
        }
        None => f.write_str("; every element is the same"),
    }
}

/// Writes a run; the outputs that do not differ only in the alternate form, or if none does.
fn write_run(f: &mut fmt::Formatter<'_>, run: &Run<Comparison>) -> fmt::Result {
    write!(f, "\n  with {}", run.sizes())?;
    let is_shown = |output: &&Comparison| f.alternate() || output.difference.is_some();
    let shown: Vec<&Comparison> = run.outputs.iter().filter(is_shown).collect();
    for output in &shown {
        f.write_str("\n    ")?;
        fmt::Display::fmt(*output, f)?;
    }
    match run.outputs.len() - shown.len() {
        0 => Ok(()),
        1 => f.write_str("\n    1 other output is equal"),
        more => write!(f, "\n    {more} other outputs are equal"),
    }
}

/// Writes notes, of which only the alternate form has more than the first line, and further verdicts.
fn write_rest(f: &mut fmt::Formatter<'_>, notes: &[String], also: &[Verdict]) -> fmt::Result {
    for note in notes {
        let note = if f.alternate() { note.replace('\n', ": ") } else { note.lines().take(1).collect() };
        write!(f, "\n  note: {note}")?;
    }
    also.iter().try_for_each(|verdict| {
        f.write_str("\n")?;
        fmt::Display::fmt(verdict, f)
    })
}
