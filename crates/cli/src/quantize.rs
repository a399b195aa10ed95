//! The flags that quantize weights, and the lines that report it.

use crate::failure::{Failure, Misuse};
use crate::output::{Output, counted, thousands};
use clap::{Args, ValueEnum};
use netwright::ir::tensor::Rounding;
use netwright::ir::{Graph, text};
use netwright::passes::{Event, Options, Quantization, QuantizedWeight, Report, Scheme, Target, quantized_weights};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Which weights are quantized, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Quantization")]
pub(crate) struct Quantize {
    /// Quantize the weights of matrix products and embeddings: int4 or int8 (weights in blocks), int8-dynamic or
    /// uint8-dynamic (activations too, when the model runs), or none.
    #[arg(long = "quantize", value_name = "SCHEME", value_parser = scheme)]
    pub(crate) scheme: Option<Scheme>,
    /// The scheme of the weights whose name matches a regular expression, or the name of a result that is computed with
    /// them; may be given several times, and the last one that matches decides.
    #[arg(long = "quantize-tensor", value_name = "REGEX=SCHEME", value_parser = pattern)]
    pub(crate) patterns: Vec<(String, Scheme)>,
    /// The number of elements that share a scale in int4 and int8: 16, 32 (the default), 64 or 128.
    #[arg(long, value_name = "SIZE")]
    pub(crate) block_size: Option<u64>,
    /// Give the blocks of int4 and int8 a zero point besides the scale.
    #[arg(long)]
    pub(crate) asymmetric: bool,
    /// How the scale of a block, a row or a column is chosen; in all schemes.
    #[arg(long, default_value = "search")]
    pub(crate) rounding: RoundingWord,
    /// Turn quantized weights into floats, exactly as operators compute with them, before any are quantized.
    #[arg(long)]
    pub(crate) dequantize: bool,
    /// Use 7 of the 8 bits of weights in dynamic schemes, for processors whose sums of products of 8 bits saturate:
    /// x86 without VNNI.
    #[arg(long)]
    pub(crate) reduce_range: bool,
}

/// How the scale of a block is chosen.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoundingWord {
    /// The range of the codes covers the block, as in ONNX Runtime's quantizer.
    Nearest,
    /// Of five scales for each block, the one with the smallest squared error.
    Search,
}

fn scheme(word: &str) -> Result<Scheme, String> {
    match word.to_lowercase().as_str() {
        "q4" | "w4" | "4bit" => Ok(Scheme::Int4),
        "q8" | "w8" | "8bit" => Ok(Scheme::Int8),
        "dynamic" => Ok(Scheme::Int8Dynamic),
        "fp16" | "f16" | "float16" | "half" => Err(format!("`{word}` is a float type: use --dtype f16")),
        "bf16" | "bfloat16" => Err(format!("`{word}` is a float type: use --dtype bf16")),
        lower => lower.parse().map_err(|error: netwright::passes::UnknownScheme| error.to_string()),
    }
}

fn pattern(text: &str) -> Result<(String, Scheme), String> {
    let (pattern, scheme) = text.rsplit_once('=').ok_or("expected REGEX=SCHEME, such as lm_head=int8")?;
    Ok((pattern.to_owned(), self::scheme(scheme)?))
}

impl Quantize {
    /// Returns whether weights are to be quantized.
    pub(crate) fn is_requested(&self) -> bool {
        self.scheme.is_some_and(|scheme| scheme != Scheme::None) || !self.patterns.is_empty()
    }

    fn schemes(&self) -> impl Iterator<Item = Scheme> {
        self.patterns.iter().map(|(_, scheme)| *scheme).chain(self.scheme)
    }

    /// Returns whether a scheme with blocks is requested.
    pub(crate) fn has_blocks(&self) -> bool {
        self.schemes().any(|scheme| matches!(scheme, Scheme::Int4 | Scheme::Int8))
    }

    /// Returns which flags quantize weights with a smaller error; `None` if there are none.
    pub(crate) fn finer(&self, target: &Target) -> Option<String> {
        let flags = [
            ("`--asymmetric`", self.has_blocks() && !self.asymmetric),
            // Blocks of tract have one size.
            ("`--block-size 16`", self.has_blocks() && self.block_size != Some(16) && *target != Target::TRACT),
            ("`--quantize int8`", self.schemes().any(Scheme::is_dynamic) && !self.has_blocks()),
            (
                "`--quantize-tensor 'REGEX=int8'` for the weights that `--explain` lists first",
                self.schemes().any(|scheme| scheme == Scheme::Int4),
            ),
        ];
        let mut flags: Vec<&str> = flags.iter().filter(|(_, helps)| *helps).map(|(flag, _)| *flag).collect();
        let last = flags.pop()?;
        let others: String = flags.iter().map(|flag| format!("{flag}, ")).collect();
        let or = if flags.is_empty() { "" } else { "or " };
        Some(format!("for a smaller error, try {others}{or}{last}"))
    }

    /// Returns the request; an error if a flag is not valid.
    pub(crate) fn quantization(&self) -> Result<Option<Quantization>, Failure> {
        if self.schemes().next().is_none() {
            let idle = [
                ("--block-size", self.block_size.is_some()),
                ("--asymmetric", self.asymmetric),
                ("--rounding", matches!(self.rounding, RoundingWord::Nearest)),
                ("--reduce-range", self.reduce_range),
            ];
            return match idle.iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(Misuse::Requires.failure(format!(
                    "{flag} has no effect without --quantize\n  help: add --quantize int4 or another scheme"
                ))),
                None => Ok(None),
            };
        }
        let is_dynamic = self.schemes().any(Scheme::is_dynamic);
        let (in_blocks, dynamic) = ("int4 and int8", "int8-dynamic and uint8-dynamic");
        let limited = [
            ("--block-size", self.block_size.is_some() && !self.has_blocks(), in_blocks),
            ("--asymmetric", self.asymmetric && !self.has_blocks(), in_blocks),
            ("--reduce-range", self.reduce_range && !is_dynamic, dynamic),
        ];
        if let Some((flag, _, schemes)) = limited.iter().find(|(_, has_no_effect, _)| *has_no_effect) {
            return Err(Misuse::NotFor.failure(format!("{flag} only affects {schemes}\n  help: leave out {flag}")));
        }
        let rounding = match self.rounding {
            RoundingWord::Nearest => Rounding::Nearest,
            RoundingWord::Search => Rounding::Search,
        };
        let quantization = Quantization::new(self.scheme.unwrap_or(Scheme::None))
            .with_symmetric(!self.asymmetric)
            .with_rounding(rounding)
            .with_reduce_range(self.reduce_range);
        let quantization = match self.block_size {
            Some(size) => quantization.with_block_size(size),
            None => Ok(quantization),
        };
        let overrides = self.patterns.iter();
        let quantization = overrides
            .fold(quantization, |quantization, (pattern, scheme)| quantization?.with_override(pattern, *scheme));
        quantization.map(|quantization| self.is_requested().then_some(quantization)).map_err(Failure::usage)
    }
}

/// Sets whether weights are checked before they are quantized or converted to another type.
pub(crate) fn set_checked(options: &mut Options, is_checked: bool) {
    if let Some(quantization) = &mut options.quantization {
        quantization.is_checked = is_checked;
    }
    if let Some(precision) = &mut options.precision {
        precision.is_checked = is_checked;
    }
}

/// The weights that were quantized. `Display` prints the totals.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Quantized {
    /// The number of weights of each scheme.
    schemes: BTreeMap<&'static str, usize>,
    /// The bytes before.
    bytes_before: u64,
    /// The bytes of codes, scales and zero points.
    bytes_after: u64,
    /// The weights, the one with the largest error first; with `--explain`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weights: Vec<MeasuredWeight>,
}

/// A weight that was quantized, with its error.
#[derive(Debug, Serialize, JsonSchema)]
struct MeasuredWeight {
    name: String,
    role: String,
    scheme: &'static str,
    /// The bits of a code.
    bits: u32,
    bytes_before: u64,
    bytes_after: u64,
    /// The norm of the difference as a share of the norm of the weight.
    relative_error: f64,
}

impl Quantized {
    /// Returns the totals of the weights that were quantized, if any.
    pub(crate) fn new(quantized: &[QuantizedWeight]) -> Option<Self> {
        let mut schemes: BTreeMap<Scheme, usize> = BTreeMap::new();
        for weight in quantized {
            *schemes.entry(weight.scheme).or_default() += 1;
        }
        (!quantized.is_empty()).then(|| Self {
            schemes: schemes.into_iter().map(|(scheme, count)| (scheme.word(), count)).collect(),
            bytes_before: quantized.iter().map(|weight| weight.before.len()).sum(),
            bytes_after: quantized.iter().map(|weight| weight.bytes).sum(),
            weights: vec![],
        })
    }

    /// Adds the relative error of each weight, worst first; each is read once more.
    pub(crate) fn measure(&mut self, quantized: &[QuantizedWeight]) -> Result<(), Failure> {
        let measured = |weight: &QuantizedWeight| {
            Ok(MeasuredWeight {
                name: weight.name.to_string(),
                role: weight.role.to_string(),
                scheme: weight.scheme.word(),
                bits: weight.bits,
                bytes_before: weight.before.len(),
                bytes_after: weight.bytes,
                relative_error: weight.relative_error().map_err(Failure::usage)?,
            })
        };
        self.weights = quantized.iter().map(measured).collect::<Result<Vec<_>, Failure>>()?;
        self.weights.sort_by(|a, b| b.relative_error.total_cmp(&a.relative_error));
        Ok(())
    }

    /// Returns a line for each weight that was measured.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |weight: &MeasuredWeight| {
            let MeasuredWeight { name, role, scheme, bits, bytes_before, bytes_after, relative_error } = weight;
            let (name, before, after) = (text::name(name), thousands(*bytes_before), thousands(*bytes_after));
            format!(
                "quantized {name}: {role}, {scheme}, {bits} bits, {before} bytes became {after}, relative error \
                 {relative_error:.4}"
            )
        };
        let mut lines: Vec<String> = self.weights.iter().map(line).collect();
        lines.extend(self.weights.first().map(|worst| format!("worst relative error {:.4}", worst.relative_error)));
        lines
    }
}

impl fmt::Display for Quantized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes: Vec<String> = self.schemes.iter().map(|(scheme, count)| format!("{count} {scheme}")).collect();
        let (before, after) = (thousands(self.bytes_before), thousands(self.bytes_after));
        write!(f, "quantized weights: {}; {before} bytes became {after}", schemes.join(", "))
    }
}

/// Returns the weights that were not quantized, with the reasons.
pub(crate) fn declined(report: &Report) -> impl Iterator<Item = &Event> {
    report.declined.iter().filter(|event| event.pass == "quantize-weights")
}

/// Returns why weights were not quantized, each reason with the number of weights, if some were to be and none was. Parts
/// that share weights have several reports.
pub(crate) fn why_none(quantization: Option<&Quantization>, reports: &[Report]) -> Option<BTreeMap<String, usize>> {
    let is_requested = quantization.is_some_and(Quantization::quantizes);
    let weights: BTreeSet<_> = reports.iter().flat_map(declined).map(|event| (&event.node, &event.note)).collect();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (_, note) in weights {
        *reasons.entry(note.strip_prefix("it has ").unwrap_or(note).to_owned()).or_default() += 1;
    }
    (is_requested && reports.iter().all(|report| report.quantized.is_empty())).then_some(reasons)
}

/// Returns reasons as text: `12 skipped (fewer than 4,096 elements)`.
pub(crate) fn list(reasons: &BTreeMap<String, usize>) -> String {
    if reasons.is_empty() {
        return "products and look-ups read none".to_owned();
    }
    reasons.iter().map(|(why, count)| format!("{count} skipped ({why})")).collect::<Vec<_>>().join(", ")
}

/// Warns of quantized weights that were to become floats and did not, with a reason.
pub(crate) fn warn_of_kept(graph: &Graph, report: &Report, output: Output) -> Result<(), Failure> {
    let kept = quantized_weights(graph, report);
    let Some(first) = kept.first() else { return Ok(()) };
    let why = first.why.as_deref().unwrap_or("--dequantize does not know its form");
    let (count, name) = (counted(kept.len(), "quantized weight"), text::name(&first.node));
    output.warn(&format!("not in floats: {count}; the first is that of {name} ({}): {why}", first.operator))
}

/// Warns that weights were to be quantized and none was, with the reasons.
pub(crate) fn warn_if_none(
    quantization: Option<&Quantization>,
    reports: &[Report],
    output: Output,
) -> Result<(), Failure> {
    let Some((quantization, reasons)) = quantization.zip(why_none(quantization, reports)) else { return Ok(()) };
    let overrides = quantization.overrides.iter().map(|(_, scheme)| *scheme);
    let scheme = [quantization.scheme].into_iter().chain(overrides).find(|scheme| *scheme != Scheme::None);
    let help = scheme
        .filter(|_| !reasons.is_empty() && quantization.overrides.is_empty())
        .map_or_else(String::new, |scheme| {
            format!("; --quantize-tensor 'REGEX={scheme}' also quantizes small weights that it names")
        });
    output.warn(&format!("no weight was quantized: {}{help}", list(&reasons)))
}
