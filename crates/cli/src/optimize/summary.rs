//! What `optimize` reports: a table of what changed, and what to do next.

use super::advice::Alternative;
use super::branches::Branch;
use super::costs::TypicalRun;
use super::is_rewrite;
use crate::output::{Output, Paint, Style, counted, printable, table, thousands};
use crate::quantize::Quantized;
use crate::report;
use crate::verify;
use netwright::inventory::Inventory;
use netwright::passes::ProofReport;
use netwright::passes::sites::{Site, SiteKind, counts};
use netwright::verify::Verdict;
use schemars::JsonSchema;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The model before or after optimizing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Side {
    nodes: usize,
    operators: BTreeMap<String, usize>,
    /// The size of the model's file and of its weights in other files.
    pub(super) bytes: u64,
    parameters: u64,
    constants: u64,
    /// The size of parameters and constants.
    pub(super) weight_bytes: u64,
    /// What a run with typical sizes costs; `null` if the model does not allow these sizes, or with --quiet.
    run: Option<TypicalRun>,
}

impl Side {
    pub(super) fn new(counts: Inventory, bytes: u64, run: Option<TypicalRun>) -> Self {
        let Inventory { nodes, operators, parameters, constants, parameter_bytes, constant_bytes, .. } = counts;
        Self { nodes, operators, bytes, parameters, constants, weight_bytes: parameter_bytes + constant_bytes, run }
    }

    /// Returns this side for the page of `--report`.
    pub(super) fn for_report<'s>(&'s self, text: &'s str) -> report::Side<'s> {
        report::Side { operators: &self.operators, counts: self.counts(), text }
    }

    fn counts(&self) -> [(&'static str, u64); 4] {
        let Self { nodes, bytes, parameters, constants, .. } = self;
        [("nodes", *nodes as u64), ("parameters", *parameters), ("constants", *constants), ("bytes", *bytes)]
    }
}

/// How many attentions, normalizations and activations a model has, and how many of them are fused.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Fused {
    attentions: Share,
    normalizations: Share,
    activations: Share,
}

/// A part of a number of sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Share {
    fused: usize,
    of: usize,
}

impl Fused {
    pub(super) fn new(sites: &[Site]) -> Self {
        let counts = counts(sites);
        let of =
            |kind| counts.get(&kind).map_or_else(Share::default, |count| Share { fused: count.fused, of: count.all });
        Self {
            attentions: of(SiteKind::Attention),
            normalizations: of(SiteKind::Normalization),
            activations: of(SiteKind::Activation),
        }
    }

    fn shares(self) -> [(&'static str, Share); 3] {
        [("attention", self.attentions), ("normalization", self.normalizations), ("activation", self.activations)]
    }

    /// Returns whether more of a kind are fused than in another result.
    pub(super) fn is_more_than(self, other: Self) -> bool {
        self.shares().iter().zip(other.shares()).any(|((_, own), (_, other))| own.fused > other.fused)
    }

    /// Returns whether every site is fused.
    pub(super) fn is_all(self) -> bool {
        self.shares().iter().all(|(_, share)| share.fused == share.of)
    }
}

/// What `optimize` did with one model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Summary {
    pub(super) model: PathBuf,
    /// The branch that the model is, with --split-branches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) branch: Option<Branch>,
    /// The file that was written; `null` if none was requested.
    pub(super) output: Option<PathBuf>,
    /// The opset of the result.
    pub(super) opset: i64,
    pub(super) before: Side,
    pub(super) after: Side,
    /// How often each pass was applied.
    pub(super) applied: BTreeMap<&'static str, usize>,
    /// How many attentions, normalizations and activations are fused.
    pub(super) fused: Fused,
    /// Other options that fuse more; absent if the passes were restricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alternatives: Option<Vec<Alternative>>,
    /// Why the model has more bytes than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) growth: Option<String>,
    /// Changes of the inputs and outputs that callers must follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) interface: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explain: Option<Vec<String>>,
    /// The totals of the weights that were quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quantized: Option<Quantized>,
    /// Why no weight was quantized, if some were to be, with the number of weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_quantized: Option<BTreeMap<String, usize>>,
    /// The number of quantized weights that became floats because the target has no operator for them.
    pub(super) dequantized: usize,
    /// Which flags quantize weights with a smaller error.
    #[serde(skip)]
    pub(super) finer: Option<String>,
    #[serde(skip)]
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proofs: Option<Proofs>,
    pub(super) seconds: f64,
    /// Whether `--verify` can compare the result with the input.
    #[serde(skip)]
    pub(super) is_comparable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<Verdict>,
    /// The rewrite that changed the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) culprit: Option<String>,
    /// The smallest model that shows the difference, or why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reproducer: Option<String>,
}

/// The results of proving every rewrite.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Proofs {
    proven: usize,
    /// The number of rewrites that could not be run, by reason.
    not_proven: BTreeMap<String, usize>,
    /// The rewrites that changed a result and were left out.
    pub(super) refuted: Vec<String>,
}

impl Proofs {
    pub(super) fn new(report: &ProofReport) -> Self {
        let mut not_proven = BTreeMap::new();
        for event in &report.unproven {
            *not_proven.entry(event.note.to_string()).or_default() += 1;
        }
        let refuted = report.refuted.iter().map(ToString::to_string).collect();
        Self { proven: report.proven, not_proven, refuted }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("proven    {}", counted(self.proven, "rewrite"))];
        let not_proven =
            |(why, number): (&String, &usize)| format!("not proven {}: {why}", counted(*number, "rewrite"));
        lines.extend(self.not_proven.iter().map(not_proven));
        lines.extend(self.refuted.iter().map(|event| format!("refuted   {event}; the rewrite is left out")));
        lines
    }
}

impl Summary {
    /// Returns the report as text that can be printed: names are escaped, and styled for a terminal.
    pub(super) fn text(&self, output: Output) -> String {
        let paint = Paint::of_stdout();
        let passes = self.applied.iter().map(|(pass, times)| format!("{pass} applied {}", counted(*times, "time")));
        let explain = self.explain.iter().flatten().filter(|line| !is_rewrite(line));
        let is_reason = |line: &&String| line.starts_with("declined ") || line.starts_with("quantized ");
        let (reasons, sites): (Vec<&String>, Vec<&String>) = explain.partition(is_reason);
        let reasons = reasons.into_iter().cloned();
        let sites: String = sites.into_iter().map(|line| format!("{line}\n")).collect();
        let lines = passes
            .chain(self.interface.iter().cloned())
            .chain(reasons)
            .chain(self.quantized.as_ref().map(ToString::to_string))
            .chain(self.proofs.iter().flat_map(Proofs::lines))
            .chain(self.growth.clone())
            .chain(self.dequantized_line())
            .chain([format!("in {:.2} s", self.seconds)]);
        let lines = lines.collect::<Vec<_>>().join("\n") + "\n" + &verify::verdict_text(self.verified.as_ref(), output);
        let next = self.next().map_or_else(String::new, |next| paint.styled(Style::Bold, &next) + "\n");
        printable(&sites) + &self.table(paint) + &printable(&lines) + &next
    }

    fn dequantized_line(&self) -> Option<String> {
        let Self { dequantized: count @ 1.., target, .. } = self else { return None };
        Some(format!(
            "{} became floats: --target {target} has no operator that reads them as they were quantized",
            counted(*count, "quantized weight")
        ))
    }

    /// Returns the sizes, the operators of which there are fewer or more, and the names of the others.
    fn table(&self, paint: Paint) -> String {
        let row = |name: &str, before: u64, after: u64| {
            let change = match after.cmp(&before) {
                Ordering::Less => format!("-{}", thousands(before - after)),
                Ordering::Equal => String::new(),
                Ordering::Greater => format!("+{}", thousands(after - before)),
            };
            vec![name.to_owned(), thousands(before), thousands(after), change]
        };
        let (before, after) = (&self.before, &self.after);
        let operators: BTreeSet<&String> = before.operators.keys().chain(after.operators.keys()).collect();
        let count = |side: &Side, operator: &str| side.operators.get(operator).copied().unwrap_or(0) as u64;
        let group = |order: Ordering| -> Vec<(&str, u64, u64)> {
            let counts = operators.iter().map(|name| (name.as_str(), count(before, name), count(after, name)));
            counts.filter(|(_, before, after)| after.cmp(before) == order).collect()
        };
        let mut rows = vec![vec![String::new(), "before".to_owned(), "after".to_owned(), "change".to_owned()]];
        rows.extend(before.counts().iter().zip(after.counts()).map(|((name, own), (_, other))| row(name, *own, other)));
        let mut styles = vec![Style::Bold];
        styles.extend(before.counts().iter().zip(after.counts()).map(|((_, own), (_, other))| match other.cmp(own) {
            Ordering::Less => Style::Green,
            Ordering::Equal => Style::Plain,
            Ordering::Greater => Style::Yellow,
        }));
        let runs = before.run.as_ref().zip(after.run.as_ref());
        for row in runs.into_iter().flat_map(|(before, after)| TypicalRun::rows(before, after)) {
            styles.push(match row[3].chars().next() {
                Some('-') => Style::Green,
                Some(_) => Style::Yellow,
                None => Style::Plain,
            });
            rows.push(row.to_vec());
        }
        let groups = [("fewer", Ordering::Less, Style::Green), ("more", Ordering::Greater, Style::Cyan)];
        for (title, order, style) in groups {
            let group = group(order);
            if !group.is_empty() {
                rows.push(vec![title.to_owned()]);
                styles.push(Style::Bold);
            }
            for (name, before, after) in group {
                rows.push(row(&format!("  {name}"), before, after));
                styles.push(style);
            }
        }
        let lines = printable(&table(&rows));
        let mut text: String =
            lines.lines().zip(styles).map(|(line, style)| paint.styled(style, line) + "\n").collect();
        let same: Vec<String> =
            group(Ordering::Equal).iter().map(|(name, count, _)| format!("{name} {}", thousands(*count))).collect();
        if !same.is_empty() {
            text += &printable(&format!("unchanged: {}\n", same.join(", ")));
        }
        if let Some((before, after)) = runs {
            text += &printable(&format!("{}\n", TypicalRun::note(before, after)));
        }
        text
    }

    /// Returns what to do next; `None` if the verdict is not fine, which the error says.
    fn next(&self) -> Option<String> {
        if self.verified.as_ref().is_some_and(|verdict| !verdict.is_fine()) {
            return None;
        }
        let mut steps = vec![];
        if let Some(alternatives) = self.alternatives.as_ref().filter(|_| !self.fused.is_all()) {
            steps.push(self.fusing(alternatives));
        }
        steps.extend(self.finer.clone().filter(|_| self.verified.as_ref().is_some_and(is_far)));
        steps.extend(
            match (&self.output, &self.verified) {
                (None, _) => Some("nothing is written, `-o FILE` writes the result"),
                (Some(_), None) if self.is_comparable => Some("`--verify` compares the result with the input"),
                (Some(_), Some(_)) if steps.is_empty() => Some("nothing, the result is verified"),
                (Some(_), None) if steps.is_empty() => Some("nothing, the result is written"),
                _ => None,
            }
            .map(ToOwned::to_owned),
        );
        Some(format!("next: {}", steps.join("; ")))
    }

    /// Returns how many sites are not fused, and which options fuse how many of them.
    fn fusing(&self, alternatives: &[Alternative]) -> String {
        let partly: Vec<_> = self.fused.shares().into_iter().filter(|(_, share)| share.fused < share.of).collect();
        let state: Vec<String> =
            partly.iter().map(|(kind, Share { fused, of })| format!("{fused} of {}", counted(*of, kind))).collect();
        let mut options: Vec<(Vec<String>, String)> = vec![];
        for Alternative { flags, opset, fused } in alternatives {
            let more: Vec<(&str, Share)> = fused
                .shares()
                .into_iter()
                .zip(self.fused.shares())
                .filter(|((_, more), (_, own))| more.fused > own.fused)
                .map(|(more, _)| more)
                .collect();
            let what = match (partly.as_slice(), more.as_slice()) {
                ([_], [(_, share)]) => share.fused.to_string(),
                _ if fused.is_all() => format!("all {}", more.iter().map(|(_, share)| share.fused).sum::<usize>()),
                _ => more.iter().map(|(kind, share)| counted(share.fused, kind)).collect::<Vec<_>>().join(" and "),
            };
            let raised = if *opset == self.opset { String::new() } else { format!(" (opset {opset})") };
            let (flags, effect) = (format!("`{flags}`"), format!("fuses {what}{raised}"));
            match options.iter_mut().find(|(_, known)| *known == effect) {
                Some((same, _)) => same.push(flags),
                None => options.push((vec![flags], effect)),
            }
        }
        let options: Vec<String> =
            options.iter().map(|(flags, effect)| format!("{} {effect}", flags.join(" or "))).collect();
        let options = match (options.is_empty(), &self.explain) {
            (false, _) => options.join(", "),
            (true, None) => "`--explain` gives the reasons".to_owned(),
            (true, Some(_)) => "the first lines give the reasons".to_owned(),
        };
        format!("{} fused: {options}", state.join(", "))
    }
}

/// The cosine of an output below which a verdict is followed by advice.
const FAR: f64 = 0.99;

/// Returns whether an output of a quantized model is close enough for the verdict, but not for every use.
fn is_far(verdict: &Verdict) -> bool {
    let Verdict::Close { cosines, .. } = verdict else { return false };
    cosines.values().flatten().any(|cosine| *cosine < FAR)
}
