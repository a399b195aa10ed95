//! `netwright optimize`.

use crate::args::{Float, Optimize};
use crate::failure::Failure;
use crate::model_io;
use crate::output::{Output, in_line, table, thousands};
use crate::overwrite::{Inputs, expect_place, same_file, same_place};
use crate::quantize;
use crate::report;
use crate::reproduce;
use crate::verify;
use netwright::bisect::{Culprit, bisect};
use netwright::evaluate::Tract;
use netwright::files::AtomicFile;
use netwright::inventory::{Inventory, inventory};
use netwright::ir::{Detail, ElementType, Graph, Model, Name, OpKind};
use netwright::onnx::{self, WriteError, WriteOptions};
use netwright::passes::sites::Site;
use netwright::passes::{self, PassError, ProofReport, Prover, Report};
use netwright::verify::Verdict;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// The model before or after optimizing.
#[derive(Debug, Serialize)]
struct Side {
    nodes: usize,
    operators: BTreeMap<String, usize>,
    bytes: u64,
    parameters: u64,
    constants: u64,
}

impl Side {
    /// Returns this side for the page of `--report`.
    fn for_report<'s>(&'s self, text: &'s str) -> report::Side<'s> {
        let Self { nodes, operators, bytes, parameters, constants } = self;
        let counts =
            [("nodes", *nodes as u64), ("parameters", *parameters), ("constants", *constants), ("bytes", *bytes)];
        report::Side { operators, counts, text }
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    before: Side,
    after: Side,
    applied: BTreeMap<&'static str, usize>,
    /// Changes of the inputs and outputs that callers must follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interface: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Vec<String>>,
    /// The totals of the weights that were quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantized: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proofs: Option<Proofs>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verdict>,
    /// The rewrite that changed the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    culprit: Option<String>,
    /// The smallest model that shows the difference, or why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reproducer: Option<String>,
}

/// The results of proving every rewrite.
#[derive(Debug, Serialize)]
struct Proofs {
    proven: usize,
    /// The number of rewrites that could not be run, by reason.
    not_proven: BTreeMap<String, usize>,
    /// The rewrites that changed a result and were left out.
    refuted: Vec<String>,
}

impl Proofs {
    fn new(report: &ProofReport) -> Self {
        let mut not_proven = BTreeMap::new();
        for event in &report.unproven {
            *not_proven.entry(event.note.to_string()).or_default() += 1;
        }
        let refuted = report.refuted.iter().map(ToString::to_string).collect();
        Self { proven: report.proven, not_proven, refuted }
    }

    fn lines(&self) -> Vec<String> {
        let count = |number: usize| if number == 1 { "1 rewrite".to_owned() } else { format!("{number} rewrites") };
        let mut lines = vec![format!("proven    {}", count(self.proven))];
        lines.extend(self.not_proven.iter().map(|(why, number)| format!("not proven {}: {why}", count(*number))));
        lines.extend(self.refuted.iter().map(|event| format!("refuted   {event}; the rewrite is left out")));
        lines
    }
}

pub(crate) fn run(args: &Optimize, output: Output) -> Result<(), Failure> {
    if args.verify && same_file(&args.input.model, &args.output) {
        let message = "--verify compares the result with the input, which writing in place replaces\n  help: write to another file";
        return Err(Failure::Usage(message.to_owned()));
    }
    args.emit.shares_cache(args.verify)?;
    if args.calibrate.is_some() && args.dtype != Some(Float::F16) {
        let message = "--calibrate requires --dtype f16: f32 and bf16 have a range that values do not leave\n  help: add --dtype f16, or leave out --calibrate";
        return Err(Failure::Usage(message.to_owned()));
    }
    expect_place("the output", &args.output)?;
    args.report.as_deref().map(|report| expect_place("the report", report)).transpose()?;
    let comparison = verify::requested(args.verify, &args.judging, args.input.data_dir.as_deref())?;
    args.reproduce.as_deref().map(reproduce::expect_folder).transpose()?;
    let spinner = output.spinner("optimizing");
    let start = Instant::now();
    let mut model = model_io::read(&args.input, output)?;
    let inputs = Inputs::of_model(&args.input.model, &model);
    expect_outputs(args, &inputs)?;
    set_opset(&mut model, args)?;
    let before = side(inventory(&model), model_io::file_size(&args.input.model)?);
    let text = (args.diff || args.report.is_some()).then(|| model.graph.to_text(Detail::Elided));

    let mut options = args.emit.options()?.with_skip(&args.skip);
    options.only = args.passes.clone().map(|names| if names == ["none"] { vec![] } else { names });
    options.precision = args.emit.precision(args.dtype, &[])?;
    // A model in f32 has no quantized weights, unless some are to be quantized.
    options.dequantize |= args.dtype == Some(Float::F32) && !args.emit.quantize.is_requested();
    if let Some(inputs) = &args.calibrate {
        let ranges = calibrate(args, &model, &options, inputs, output)?;
        options.precision = options.precision.map(|precision| precision.with_ranges(ranges));
    }
    options.prover = args.prove.then(|| Prover::new(Tract));
    options.limits.stop_after = args.stop_after;
    let events = passes::optimize(&mut model, &options).map_err(|error| failure(args, error))?;
    let written =
        model_io::write(&model, &args.output, args.emit.storage.external_data, args.sharing.share_weights, &inputs)?;
    let seconds = start.elapsed().as_secs_f64();
    drop(spinner);

    args.emit.warn_of_type(args.dtype, output)?;
    if let Some(dtype) = args.dtype {
        warn_if_unconverted(&model.graph, dtype.into(), output)?;
    }
    output.rewrites(&events.applied)?;
    output.idle_patterns(&events.idle_patterns)?;
    let mut applied: BTreeMap<&'static str, usize> = BTreeMap::new();
    for event in &events.applied {
        *applied.entry(event.pass).or_default() += 1;
    }
    let sites = passes::sites::sites(&model, &events, &args.emit.target);
    let explain = args.explain.then(|| explain(&sites, &events)).transpose()?;
    let quantized = quantize::totals(&events.quantized);
    quantize::warn_if_none(options.quantization.as_ref(), &events, output)?;
    let interface = interface(&model, &events);
    let compare = |options| verify::judged(&args.input.model, Some(&args.output), options, output);
    let verified = comparison.as_ref().map(compare).transpose()?;
    let differs = verified.as_ref().is_some_and(|verdict| verify::is_right(verdict) == Some(false));
    let culprit = match &comparison {
        Some(comparison) if differs && !args.no_bisect => Some(culprit(args, &options, comparison, output)?),
        _ => None,
    };
    let reproducer = match (&culprit, &args.reproduce) {
        (Some(culprit), Some(folder)) => Some(reproducer(args, &options, culprit, folder, output)?),
        _ => None,
    };
    let culprit = culprit.map(|culprit| culprit.to_string());
    let after = side(inventory(&model), written.bytes);
    let proofs = events.proofs.as_ref().map(Proofs::new);
    for event in proofs.iter().flat_map(|proofs| &proofs.refuted) {
        output.warn(&format!("a rewrite that changes a result was left out: {event}"))?;
    }
    let done = Summary {
        before,
        after,
        applied,
        interface,
        explain,
        quantized,
        proofs,
        seconds,
        verified,
        culprit,
        reproducer,
    };
    output.report(&done, || summary(&done, output))?;
    if let (Some(explain), true) = (&done.explain, output.quiet) {
        output.aside(&explain.join("\n"))?;
    }
    if let Some(before) = text {
        let after = model.graph.to_text(Detail::Elided);
        if let Some(path) = &args.report {
            let sides = [(&done.before, &before), (&done.after, &after)].map(|(side, text)| side.for_report(text));
            let name = args.input.model.to_string_lossy();
            let page = report::page(&name, [&sides[0], &sides[1]], &sites, &events, seconds);
            let mut file = AtomicFile::create(path).map_err(Failure::usage)?;
            file.append(page.as_bytes()).and_then(|()| file.commit()).map_err(Failure::usage)?;
        }
        if args.diff {
            output.aside(&passes::diff(&before, &after))?;
        }
    }
    done.verified.iter().try_for_each(|verdict| verify::judge(verdict, output)).map_err(|failure| {
        match (failure, &done.culprit) {
            (Failure::Model(message), Some(culprit)) => {
                let reproducer = done.reproducer.iter().map(|line| format!("\n  {line}")).collect::<String>();
                Failure::Model(format!("{message}\n  {culprit}{reproducer}"))
            }
            (failure, _) => failure,
        }
    })
}

fn failure(args: &Optimize, error: PassError) -> Failure {
    match error {
        PassError::UnknownPass { .. }
        | PassError::Required(_)
        | PassError::Opposed { .. }
        | PassError::Precision(_) => Failure::usage(error),
        error => Failure::model_at(&args.input.model, error),
    }
}

/// Returns the largest magnitudes of the values of the optimized model, which runs in a child process.
///
/// An error if no runtime runs the model with the inputs.
fn calibrate(
    args: &Optimize,
    model: &Model,
    options: &passes::Options,
    inputs: &Path,
    output: Output,
) -> Result<BTreeMap<Name, f64>, Failure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("optimized.onnx");
    let (model, names) = passes::calibrated(model, options).map_err(|error| failure(args, error))?;
    onnx::write(&model, &file, &WriteOptions::default()).map_err(model_io::write_failure)?;
    let options =
        verify::options(&args.judging, None)?.with_inputs(inputs).with_ranges_of(names.iter().map(ToString::to_string));
    match verify::judged(&file, None, &options, Output { quiet: true, ..output })? {
        Verdict::Ranges { runtime, ranges, left_out, .. } => {
            if !left_out.is_empty() {
                let names = left_out.join(", ");
                output.warn(&format!("{runtime} cannot return all values; these may overflow in f16: {names}"))?;
            }
            Ok(ranges.into_iter().map(|(name, reach)| (name.into(), reach)).collect())
        }
        Verdict::NotVerifiable { runtime, reasons, .. } => {
            let reasons: String = reasons.iter().map(|reason| format!("\n  {reason}")).collect();
            Err(Failure::NotVerifiable(format!(
                "--calibrate cannot run the optimized model in {runtime}{reasons}\n  help: name what overflows by --keep-f32; \
                 or, if ONNX Runtime was not tried, install it with `pip install onnxruntime` or name its library in \
                 ORT_DYLIB_PATH"
            )))
        }
        verdict => verify::judge(&verdict, output).map(|()| BTreeMap::new()),
    }
}

/// Sets the opset that is requested, or the first that has what was requested.
fn set_opset(model: &mut Model, args: &Optimize) -> Result<(), Failure> {
    model_io::set_opset(model, args.emit.opset.or_else(|| args.emit.opset_for_blocks(model.opset())))
}

/// Reads the model again as it was before optimizing.
fn original(args: &Optimize, output: Output) -> Result<Model, Failure> {
    let mut model = model_io::read(&args.input, Output { quiet: true, ..output })?;
    set_opset(&mut model, args)?;
    Ok(model)
}

/// Writes the smallest model that shows the difference, and returns the text to print.
fn reproducer(
    args: &Optimize,
    options: &passes::Options,
    culprit: &Culprit,
    folder: &Path,
    output: Output,
) -> Result<String, Failure> {
    let _spinner = output.spinner("searching for the smallest model that shows the difference");
    match netwright::reproduce::reproduce(&original(args, output)?, options, culprit) {
        Ok(reproducer) => reproduce::write(folder, &reproducer),
        Err(netwright::reproduce::ReproduceError::NotARewrite(_)) => {
            Ok("no reproducer is written: only a difference caused by a rewrite has one".to_owned())
        }
        Err(error) => Ok(format!("no reproducer is written: {error}")),
    }
}

/// Finds the rewrite that changed the result, by comparing the model after each step with the input.
fn culprit(
    args: &Optimize,
    options: &passes::Options,
    comparison: &netwright::verify::Options,
    output: Output,
) -> Result<Culprit, Failure> {
    let _spinner = output.spinner("searching for the rewrite that changed the result");
    let quiet = Output { quiet: true, ..output };
    let model = original(args, output)?;
    let folder = tempfile::tempdir()?;
    let step = folder.path().join("step.onnx");
    bisect(&model, options, |model| {
        match onnx::write(model, &step, &WriteOptions::default()) {
            Ok(_) => {}
            Err(WriteError::File(error)) => return Err(Failure::usage(error)),
            // Between two rewrites that belong together, a model may not be expressible in ONNX.
            Err(_) => return Ok(None),
        }
        Ok(verify::is_right(&verify::judged(&args.input.model, Some(&step), comparison, quiet)?))
    })
}

/// Checks that no output replaces an input; only the model itself may be replaced.
fn expect_outputs(args: &Optimize, inputs: &Inputs) -> Result<(), Failure> {
    inputs.expect_other_output(&args.output, &args.input.model)?;
    if let Some(folder) = &args.reproduce {
        reproduce::expect_other_files(folder, inputs, [Some(&args.output), args.report.as_ref()])?;
    }
    let Some(report) = &args.report else { return Ok(()) };
    inputs.expect_other("--report", report)?;
    if report.is_symlink() && !report.exists() {
        // The link may lead to the output, which does not exist yet.
        let message = format!("--report is a dangling link: {}\n  help: name the page itself", in_line(report));
        return Err(Failure::Usage(message));
    }
    if same_place(report, &args.output) {
        let message = format!("--report and -o both name {}\n  help: give each a file of its own", in_line(report));
        return Err(Failure::Usage(message));
    }
    let is_page = report
        .extension()
        .is_some_and(|extension| ["html", "htm"].iter().any(|known| extension.eq_ignore_ascii_case(known)));
    if is_page {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--report writes an HTML page, and the name {} does not end in .html\n  help: choose a name that does",
        in_line(report)
    )))
}

fn side(counts: Inventory, bytes: u64) -> Side {
    let Inventory { nodes, operators, parameters, constants, .. } = counts;
    Side { nodes, operators, bytes, parameters, constants }
}

/// Returns the changes of the inputs and outputs that callers must follow.
pub(crate) fn interface(model: &Model, report: &Report) -> Vec<String> {
    let inputs: BTreeSet<_> = model.graph.inputs().map(|input| model.graph.value_name(input)).collect();
    let changed = report.applied.iter().filter(|event| inputs.contains(&event.node)).chain(&report.interface);
    changed.map(|event| format!("changed   {event}")).collect()
}

/// Returns the lines of `--explain`: every attention, normalization and activation, every rewrite, with merged common
/// subexpressions in one line, and every near miss.
/// Warns if a conversion to a type leaves no node that computes in it.
fn warn_if_unconverted(graph: &Graph, to: ElementType, output: Output) -> Result<(), Failure> {
    if computes_in(graph, to) {
        return Ok(());
    }
    let why = if computes_in(graph, ElementType::F64) {
        "the model computes in f64, which --dtype does not convert; export it in f32"
    } else {
        "--explain gives the reasons"
    };
    output.warn(&format!("no node of the result computes in {to}: {why}"))
}

/// Whether a node other than a cast has a result of a type, in the graph or in a body.
fn computes_in(graph: &Graph, element: ElementType) -> bool {
    graph.schedule().into_iter().any(|id| {
        let op = graph.node(id).op();
        let is_computed = !op.kind().is_source() && op.kind() != OpKind::Cast;
        is_computed && graph.results(id).any(|result| graph.fact(result).element() == Some(element))
            || op.bodies().into_iter().any(|body| computes_in(body, element))
    })
}

fn explain(sites: &[Site], report: &Report) -> Result<Vec<String>, Failure> {
    let mut lines: Vec<String> = sites.iter().map(ToString::to_string).collect();
    lines.push(passes::sites::summary(sites));
    let mut merged = 0;
    for event in &report.applied {
        if event.pass == "eliminate-common-subexpressions" {
            merged += 1;
        } else {
            lines.push(format!("applied   {event}"));
        }
    }
    if merged > 0 {
        lines.push(format!("applied   eliminate-common-subexpressions: {merged} values equal another and are merged"));
    }
    lines.extend(report.declined.iter().map(|event| format!("declined  {event}")));
    lines.extend(quantize::explain(&report.quantized)?);
    Ok(lines)
}

fn summary(done: &Summary, output: Output) -> String {
    let row = |name: &str, before: u64, after: u64| {
        let change = match after.cmp(&before) {
            Ordering::Less => format!("-{}", thousands(before - after)),
            Ordering::Equal => String::new(),
            Ordering::Greater => format!("+{}", thousands(after - before)),
        };
        vec![name.to_owned(), thousands(before), thousands(after), change]
    };
    let (before, after) = (&done.before, &done.after);
    let mut rows = vec![vec![String::new(), "before".to_owned(), "after".to_owned(), "change".to_owned()]];
    rows.push(row("nodes", before.nodes as u64, after.nodes as u64));
    let operators: BTreeSet<&String> = before.operators.keys().chain(after.operators.keys()).collect();
    for operator in operators {
        let count = |side: &Side| side.operators.get(operator).copied().unwrap_or(0) as u64;
        rows.push(row(&format!("  {operator}"), count(before), count(after)));
    }
    rows.push(row("parameters", before.parameters, after.parameters));
    rows.push(row("constants", before.constants, after.constants));
    rows.push(row("bytes", before.bytes, after.bytes));
    let passes = done.applied.iter().map(|(pass, times)| format!("{pass} applied {times} times"));
    let lines = passes
        .chain(done.interface.iter().cloned())
        .chain(done.explain.iter().flatten().cloned())
        .chain(done.quantized.clone())
        .chain(done.proofs.iter().flat_map(Proofs::lines))
        .chain([format!("in {:.2} s", done.seconds)]);
    table(&rows) + &lines.collect::<Vec<_>>().join("\n") + "\n" + &verify::verdict_text(done.verified.as_ref(), output)
}
