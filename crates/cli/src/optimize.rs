//! `netwright optimize`.

mod advice;
mod branches;
mod costs;
mod jobs;
mod judged;
pub(crate) mod steps;
mod summary;

use crate::args::{ExternalData, Float, Opset, Optimize};
use crate::failure::{Failure, Misuse};
use crate::model_io;
use crate::output::{Output, in_line};
use crate::overflow::{self, Comparing};
use crate::overwrite::{Inputs, expect_place, folder_of, same_file, same_place};
use crate::quantize::{self, Quantized};
use crate::report;
use crate::reproduce;
use crate::suggest::has_extension;
use crate::surgery;
use crate::verify;
use branches::Branch;
use costs::TypicalRun;
use jobs::{Job, jobs};
use judged::{Judged, changes_cache, judged};
use netwright::evaluate::Tract;
use netwright::files::{ScratchFolder, write_file};
use netwright::inventory::inventory;
use netwright::ir::{Detail, ElementType, Graph, Model, Name, Op, OpKind};
use netwright::onnx::{self, WriteOptions};
use netwright::passes::sites::{Site, sites};
use netwright::passes::{self, PassError, Prover, Report};
use netwright::surgery::choose_branch;
use netwright::verify::Verdict;
use schemars::JsonSchema;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;
use summary::{Fused, Proofs, Side, Summary};

pub(crate) fn run(args: &Optimize, output: Output) -> Result<(), Failure> {
    args.emit.expect_cache_of_file()?;
    args.emit.shares_cache()?;
    if args.calibrate.is_some() && args.dtype != Some(Float::F16) {
        let message = "--calibrate requires --dtype f16: f32 and bf16 have a range that values do not leave\n  help: add --dtype f16, or leave out --calibrate";
        return Err(Misuse::Requires.failure(message));
    }
    args.report.as_deref().map(|report| expect_place("the report", report)).transpose()?;
    surgery::expect_comparable(&args.interface, args.verify)?;
    args.reproduce.as_deref().map(reproduce::expect_folder).transpose()?;
    verify::requested(args.verify, &args.judging, None)?;
    let jobs = jobs(args, output)?;
    if args.sharing.share_weights && jobs.iter().any(|job| job.output.is_none()) {
        let message = "--share-weights has no effect without an output\n  help: add -o FILE";
        return Err(Misuse::Requires.failure(message));
    }
    match jobs.as_slice() {
        [job] => {
            let done = optimize(args, job, output)?;
            output.styled_report(&done.summary, || done.summary.text(output))?;
            done.finish(args, output)
        }
        _ => several(args, &jobs, output),
    }
}

/// Optimizes several models, and prints the results in their order; the others are optimized even if one fails.
///
/// The exit code is that of the first kind of failure in the order of the exit codes.
fn several(args: &Optimize, jobs: &[Job], output: Output) -> Result<(), Failure> {
    let (next, total) = (AtomicUsize::new(0), args.jobs.get().min(jobs.len()));
    let mut reports = vec![];
    let mut code = 0;
    let mut print = |job: &Job, done: Result<Done, Failure>| {
        let quiet = Output { quiet: output.quiet || output.json, ..output };
        let name = job.name();
        let text = |done: &Done| format!("{name}\n{}\n", done.summary.text(output));
        let printed = done.and_then(|done| {
            quiet.styled_report(&done.summary, || text(&done))?;
            reports.extend(serde_json::to_value(&done.summary).ok());
            done.finish(args, output)
        });
        match printed.map_err(|failure| failure.of(&job.model)) {
            Ok(()) => Ok(()),
            Err(Failure::BrokenPipe) => Err(Failure::BrokenPipe),
            Err(failure) => {
                failure.report();
                code = if code == 0 { failure.exit_code() } else { code.min(failure.exit_code()) };
                Ok(())
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..total {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((at, job)) = jobs.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = optimize(args, job, Output { model: Some(&job.model), ..output });
                    // The receiver is gone once the output is closed: nobody reads further results.
                    if sender.send((at, done)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut printed = 0;
        for (at, done) in receiver {
            waiting.insert(at, done);
            while let Some(done) = waiting.remove(&printed) {
                print(&jobs[printed], done)?;
                printed += 1;
            }
        }
        Ok::<(), Failure>(())
    })?;
    if output.json {
        output.report(&reports, String::new)?;
    }
    if code == 0 { Ok(()) } else { Err(Failure::Reported(code)) }
}

/// What `optimize` prints with `--json`: a report, or one for each of several models.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum OptimizeReport {
    One(Box<Summary>),
    Several(Vec<Summary>),
}

/// A model that was optimized.
struct Done {
    summary: Summary,
    /// The change of the graph, for `--diff`.
    diff: Option<String>,
}

impl Done {
    /// Prints what follows the summary, and returns the failure that the verdict means for the command, if any.
    fn finish(self, args: &Optimize, output: Output) -> Result<(), Failure> {
        if let (Some(explain), true) = (&self.summary.explain, output.quiet) {
            let lines: Vec<&str> = explain.iter().map(String::as_str).filter(|line| !is_rewrite(line)).collect();
            output.aside(&lines.join("\n"))?;
        }
        if let Some(diff) = self.diff.filter(|_| args.diff) {
            output.aside(&diff)?;
        }
        let Summary { verified, culprit, reproducer, finer, .. } = &self.summary;
        let is_quantized = matches!(verified, Some(Verdict::Differs { min_cosine: Some(_), .. }));
        let differs = matches!(verified, Some(Verdict::Differs { min_cosine: None, .. }));
        let finer = finer.iter().filter(|_| is_quantized).map(|finer| format!("; {finer}")).collect::<String>();
        let comparing = Comparing::Optimize { is_calibrated: args.calibrate.is_some() };
        let verdict = verified.as_ref().filter(|_| args.dtype == Some(Float::F16));
        let cure = verdict.and_then(|verdict| overflow::cure(verdict, comparing));
        let or_cure = |help| cure.as_deref().or(differs.then_some(help));
        verified.iter().try_for_each(|verdict| verify::judge(verdict, output)).map_err(|failure| {
            match (failure.map(|text| text + &finer), culprit) {
                (failure @ Failure::Model(_), Some(culprit)) => {
                    let reproducer = reproducer.iter().map(|line| format!("\n  {line}")).collect::<String>();
                    let help = if reproducer.is_empty() { REPRODUCE } else { EXPECTED };
                    failure.map(|text| format!("{text}\n  {culprit}{reproducer}")).with_help(or_cure(help))
                }
                (failure @ Failure::Model(_), None) => failure.with_help(or_cure(BISECT)),
                (failure, _) => failure,
            }
        })
    }
}

/// What to do about a rewrite that changes a result.
const REPRODUCE: &str =
    "add --reproduce FOLDER for the smallest model that shows the difference; if it is expected, raise --tolerance";
const EXPECTED: &str = "if the difference is expected, raise --tolerance";
const BISECT: &str =
    "leave out --no-bisect for the name of the rewrite at fault; if the difference is expected, raise --tolerance";

/// Optimizes one model, writes the files that are requested, and verifies the result.
fn optimize(args: &Optimize, job: &Job, output: Output) -> Result<Done, Failure> {
    let is_in_place = job.output.as_ref().is_some_and(|output| same_file(&job.model, output));
    if args.verify && is_in_place {
        let message = "--verify compares the result with the input, which writing in place replaces\n  help: write to another file";
        return Err(Misuse::Conflict.failure(message));
    }
    let comparison = verify::requested(args.verify, &args.judging, args.input.reading.data_dir.as_deref())?;
    let spinner = output.spinner("optimizing");
    let start = Instant::now();
    let mut model = model_io::read_at(&job.model, &args.input.reading, output)?;
    let mut inputs = Inputs::of_model(&job.model, &model);
    expect_outputs(args, job, &inputs)?;
    if let (Some(branch), Some(output)) = (&job.branch, &job.output) {
        branch.copies.iter().for_each(|(_, location)| inputs.add(&folder_of(output).join(location)));
    }
    change(&mut model, args, job)?;
    let is_raised = set_opset(&mut model, args)?;
    let run = |model: &Model| if output.quiet { None } else { TypicalRun::new(model) };
    let before = Side::new(inventory(&model), inputs.model_bytes(&job.model)?, run(&model));
    let text = (args.diff || args.report.is_some()).then(|| model.graph.to_text(Detail::Elided));

    let mut options = pass_options(args, job, &model, output)?;
    let external_data = args.emit.storage.external_data;
    // Without an output, only a verification needs the file.
    let scratch = (args.verify && !changes_cache(args) && job.output.is_none()).then(scratch).transpose()?;
    let path = job.output.clone().or_else(|| scratch.as_ref().map(|folder| folder.path().join("optimized.onnx")));
    let may_retry = path.is_some() && (options.quantization.is_some() || options.precision.is_some());
    let mut source = Some(model);
    let (model, events, bytes) = model_io::write_with_retry(!may_retry, |is_checked| {
        // The model is kept as it was only as long as there may be a second attempt.
        let kept = if is_checked { source.take() } else { source.clone() };
        let mut model = kept.expect("the last attempt takes the model");
        quantize::set_checked(&mut options, is_checked);
        let events = optimized(args, job, (&mut model, is_raised), &options, output)?;
        let Some(path) = &path else {
            let bytes = onnx::written_size(&model, external_data.into());
            return Ok(bytes.map(|bytes| (model, events, bytes)));
        };
        let copies = job.branch.as_ref().map(|branch| branch.copies.clone()).unwrap_or_default();
        let write = WriteOptions::default().with_external_data(external_data.into()).with_copies(copies);
        let write = write.with_share_weights(args.sharing.share_weights).with_kept_files(inputs.kept(path, &model));
        let write = write.with_progress(spinner.progress.clone());
        let written = match onnx::write(&model, path, &write) {
            Ok(written) => written,
            Err(error) => return Ok(Err(error)),
        };
        model_io::warn_of_data(&written, output)?;
        Ok(Ok((model, events, written.bytes)))
    })?;
    drop(source);
    let sites = sites(&model, &events, &options);
    let fused = Fused::new(&sites);
    let alternatives = if output.quiet { None } else { advice::alternatives(args, &model, &options, fused) };
    let seconds = start.elapsed().as_secs_f64();
    drop(spinner);

    args.emit.warn_of_type(args.dtype, &model, output)?;
    if let Some(dtype) = args.dtype {
        warn_if_unconverted(&model.graph, dtype.into(), output)?;
    }
    output.rewrites(&events.applied)?;
    output.idle_patterns(&events.idle_patterns)?;
    output.shared_before(events.shared_before.as_ref())?;
    let mut quantized = Quantized::new(&events.quantized);
    if let Some(quantized) = quantized.as_mut().filter(|_| args.explain) {
        quantized.measure(&events.quantized)?;
    }
    let explain = args.explain.then(|| explain(&sites, &events, quantized.as_ref()));
    let named = Output { model: Some(&job.model), ..output };
    quantize::warn_if_none(options.quantization.as_ref(), slice::from_ref(&events), named)?;
    if options.dequantize && options.quantization.is_none() {
        quantize::warn_of_kept(&model.graph, &events, output)?;
    }
    let interface = interface(&model, &events);
    let judged = match &comparison {
        Some(comparison) => judged(args, job, (&model, path.as_deref()), &options, comparison, output)?,
        None => Judged::default(),
    };
    let proofs = events.proofs.as_ref().map(Proofs::new);
    for event in proofs.iter().flat_map(|proofs| &proofs.refuted) {
        output.warn(&format!("a rewrite that changes a result was left out: {event}"))?;
    }
    let mut applied: BTreeMap<&'static str, usize> = BTreeMap::new();
    for event in &events.applied {
        *applied.entry(event.pass).or_default() += 1;
    }
    let after = Side::new(inventory(&model), bytes, run(&model));
    let summary = Summary {
        model: job.model.clone(),
        branch: job.branch.clone(),
        output: job.output.clone(),
        opset: model.opset(),
        growth: advice::growth(&before, &after, &model.graph, &events, matches!(external_data, ExternalData::Always)),
        before,
        after,
        applied,
        fused,
        alternatives,
        interface,
        explain,
        quantized,
        not_quantized: quantize::why_none(options.quantization.as_ref(), slice::from_ref(&events)),
        dequantized: if options.dequantize { 0 } else { dequantized(&model.graph) },
        finer: args.emit.quantize.finer(&args.emit.target()),
        target: args.emit.target().to_string(),
        proofs,
        seconds,
        is_comparable: !is_in_place && surgery::expect_comparable(&args.interface, true).is_ok(),
        verified: judged.verdict,
        culprit: judged.culprit.map(|culprit| culprit.to_string()),
        reproducer: judged.reproducer,
    };
    let Some(before) = text else { return Ok(Done { summary, diff: None }) };
    let after = model.graph.to_text(Detail::Elided);
    if let Some(path) = &args.report {
        let sides = [(&summary.before, &before), (&summary.after, &after)];
        let sides = sides.map(|(side, text)| side.for_report(text));
        let name = job.model.to_string_lossy();
        let page = report::page(&name, [&sides[0], &sides[1]], &sites, &events, seconds);
        write_file(path, page).map_err(Failure::usage)?;
    }
    let diff = args.diff.then(|| passes::diff(&before, &after));
    Ok(Done { summary, diff })
}

/// Returns the options of the passes. With `--calibrate`, the optimized model runs once to measure its values.
fn pass_options(args: &Optimize, job: &Job, model: &Model, output: Output) -> Result<passes::Options, Failure> {
    let mut options = args.emit.options()?.with_skip(&args.skip);
    options.only = args.passes.clone().map(|names| if names == ["none"] { vec![] } else { names });
    options.precision = args.emit.precision(args.dtype, &[])?;
    options.add_cache = args.add_kv_cache;
    // A model in f32 has no quantized weights, unless some are to be quantized.
    options.dequantize |= args.dtype == Some(Float::F32) && !args.emit.quantize.is_requested();
    if let Some(inputs) = &args.calibrate {
        let ranges = calibrate(args, job, model, &options, inputs, output)?;
        options.precision = options.precision.map(|precision| precision.with_ranges(ranges));
    }
    options.prover = args.prove.then(|| Prover::new(Tract));
    options.limits.stop_after = args.stop_after;
    Ok(options)
}

fn failure(job: &Job, error: PassError) -> Failure {
    match error {
        PassError::UnknownPass { .. }
        | PassError::Required(_)
        | PassError::Opposed { .. }
        | PassError::Precision(_) => Failure::usage(error),
        error => Failure::model_at(&job.model, error),
    }
}

/// Returns the largest magnitudes of the values of the optimized model, which runs in a child process.
///
/// An error if no runtime runs the model with the inputs.
fn calibrate(
    args: &Optimize,
    job: &Job,
    model: &Model,
    options: &passes::Options,
    inputs: &Path,
    output: Output,
) -> Result<BTreeMap<Name, f64>, Failure> {
    let folder = scratch()?;
    let file = folder.path().join("optimized.onnx");
    let (model, names) = passes::calibrated(model, options).map_err(|error| failure(job, error))?;
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
            let other = verify::other_runtime(&runtime).map(|help| format!(", or {help}")).unwrap_or_default();
            Err(Failure::not_verifiable(format!(
                "--calibrate cannot run the optimized model in {runtime}{reasons}\n  help: name the nodes that overflow \
                 with --keep-f32{other}"
            )))
        }
        verdict => verify::judge(&verdict, output).map(|()| BTreeMap::new()),
    }
}

/// Optimizes a model. If its opset was raised for weights in blocks, and no weight is quantized, it keeps its own opset.
fn optimized(
    args: &Optimize,
    job: &Job,
    (model, is_raised): (&mut Model, bool),
    options: &passes::Options,
    output: Output,
) -> Result<Report, Failure> {
    let run = |model: &mut Model, options| passes::optimize(model, options).map_err(|error| failure(job, error));
    let report = run(model, options)?;
    if !is_raised || options.quantization.is_none() || !report.quantized.is_empty() {
        return Ok(report);
    }
    let mut kept = model_io::read_at(&job.model, &args.input.reading, Output { quiet: true, ..output })?;
    change(&mut kept, args, job)?;
    set_opset_of_types(&mut kept, args)?;
    let mut plain = options.clone();
    plain.quantization = None;
    let mut again = run(&mut kept, &plain)?;
    *model = kept;
    again.declined.extend(quantize::declined(&report).cloned());
    Ok(again)
}

/// Sets the opset that is requested, or the first that has what was requested. Returns whether weights in blocks raised it.
fn set_opset(model: &mut Model, args: &Optimize) -> Result<bool, Failure> {
    set_opset_of_types(model, args)?;
    let for_blocks = args.emit.opset_for_blocks(model.opset()).filter(|_| args.emit.opset.is_none());
    model_io::set_opset(model, args.emit.opset.or(for_blocks))?;
    Ok(for_blocks.is_some())
}

/// Raises the opset to the first that has the requested types, unless another is requested.
fn set_opset_of_types(model: &mut Model, args: &Optimize) -> Result<(), Failure> {
    let since = args.emit.precision(args.dtype, &[])?.map(|precision| precision.since());
    let is_requested = matches!(args.emit.opset, Some(Opset::Is(_)));
    let since = since.filter(|since| !is_requested && model.opset() < *since);
    model_io::set_opset(model, since.map(Opset::Is))
}

/// Chooses a branch, and changes sizes, inputs and outputs.
fn change(model: &mut Model, args: &Optimize, job: &Job) -> Result<(), Failure> {
    if let Some(Branch { condition, value, .. }) = &job.branch {
        *model = choose_branch(model, condition, *value).map_err(surgery::refused)?;
    }
    surgery::change(model, &args.judging.dims, &args.interface)
}

/// Creates a folder for a model that is only run.
fn scratch() -> Result<ScratchFolder, Failure> {
    ScratchFolder::create().map_err(Failure::usage)
}

/// Checks that no output replaces an input; only the model itself may be replaced.
fn expect_outputs(args: &Optimize, job: &Job, inputs: &Inputs) -> Result<(), Failure> {
    if let Some(output) = &job.output {
        inputs.expect_other_output(output, &job.model)?;
    }
    if let Some(folder) = &args.reproduce {
        reproduce::expect_other_files(folder, inputs, [job.output.as_ref(), args.report.as_ref()])?;
    }
    let Some(report) = &args.report else { return Ok(()) };
    inputs.expect_other("--report", report)?;
    if report.is_symlink() && !report.exists() {
        // The link may lead to the output, which does not exist yet.
        let message = format!("--report is a dangling link: {}\n  help: name the page itself", in_line(report));
        return Err(Misuse::Place.failure(message));
    }
    if job.output.as_ref().is_some_and(|output| same_place(report, output)) {
        let message = format!("--report and -o both name {}\n  help: give each a file of its own", in_line(report));
        return Err(Misuse::Replaces.failure(message));
    }
    if has_extension(report, &["html", "htm"]) {
        return Ok(());
    }
    Err(Misuse::Place.failure(format!(
        "--report writes an HTML page, and the name {} does not end in .html\n  help: choose a name that does",
        in_line(report)
    )))
}

/// Returns the changes of the inputs and outputs that callers must follow.
pub(crate) fn interface(model: &Model, report: &Report) -> Vec<String> {
    let inputs: BTreeSet<_> = model.graph.inputs().map(|input| model.graph.value_name(input)).collect();
    let changed = report.applied.iter().filter(|event| inputs.contains(&event.node)).chain(&report.interface);
    changed.map(|event| format!("changed   {event}")).collect()
}

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

/// Returns the number of weights in floats that are computed from quantized ones, in the graph and its bodies.
fn dequantized(graph: &Graph) -> usize {
    let count = |id| {
        let op = graph.node(id).op();
        let own = usize::from(matches!(op, Op::Parameter(tensor) if tensor.is_dequantized()));
        own + op.bodies().into_iter().map(|body| dequantized(body)).sum::<usize>()
    };
    graph.schedule().into_iter().map(count).sum()
}

/// Whether a node other than a cast has a result of a type, in the graph or in a body.
pub(crate) fn computes_in(graph: &Graph, element: ElementType) -> bool {
    graph.schedule().into_iter().any(|id| {
        let op = graph.node(id).op();
        let is_computed = !op.kind().is_source() && op.kind() != OpKind::Cast;
        is_computed && graph.results(id).any(|result| graph.fact(result).element() == Some(element))
            || op.bodies().into_iter().any(|body| computes_in(body, element))
    })
}

/// Returns whether a line of `--explain` is that of a rewrite, which `--verbose` prints.
fn is_rewrite(line: &str) -> bool {
    line.starts_with("applied ")
}

/// Returns the lines of `--explain`: every attention, normalization and activation, every rewrite, with merged common
/// subexpressions in one line, and every near miss.
fn explain(sites: &[Site], report: &Report, quantized: Option<&Quantized>) -> Vec<String> {
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
    lines.extend(quantized.into_iter().flat_map(Quantized::lines));
    lines
}
