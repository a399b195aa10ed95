//! Verifies the result of `netwright optimize`, and finds the rewrite that changed it.

use super::jobs::Job;
use super::{change, scratch, set_opset, steps};
use crate::args::{KvCache, Optimize};
use crate::failure::Failure;
use crate::output::Output;
use crate::{model_io, reproduce, verify};
use netwright::bisect::{Culprit, bisect};
use netwright::ir::Model;
use netwright::onnx::{self, WriteError, WriteOptions};
use netwright::passes;
use netwright::reproduce::{ReproduceError, Symptom};
use netwright::verify::Verdict;
use std::path::Path;

/// Notes about runs with the inputs of `--calibrate`.
const OWN: &str = "with the inputs of --calibrate";
const OWN_DIFFER: &str = "these are the inputs of --calibrate";
const OWN_AGREE: &str = "with the inputs of --calibrate, the models agree";
const NOT_IN_STEPS: &str = "the inputs of --calibrate are not verified: the KV cache has another form";

/// The verdict on the result. If it differs, also the rewrite that changed it, and what is printed about a reproducer.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) verdict: Option<Verdict>,
    pub(super) culprit: Option<Culprit>,
    pub(super) reproducer: Option<String>,
}

/// Compares the result with the model. `path` is the file of the result; if its KV cache has another form, both are
/// compared in steps, without the file.
pub(super) fn judged(
    args: &Optimize,
    job: &Job,
    (model, path): (&Model, Option<&Path>),
    options: &passes::Options,
    comparison: &netwright::verify::Options,
    output: Output,
) -> Result<Judged, Failure> {
    let compare = |comparison: &netwright::verify::Options| {
        if changes_cache(args) {
            return steps::judged(&original(args, job, output)?, model, comparison, output);
        }
        let mut verdict = verify::judged(&job.model, path, comparison, output)?;
        // Nobody can open a file that is removed.
        if let (None, Some(path), Verdict::Fails { file, .. } | Verdict::NotVerifiable { file, .. }) =
            (&job.output, path, &mut verdict)
            && Path::new(file) == path
        {
            "the optimized model".clone_into(file);
        }
        Ok::<_, Failure>(verdict)
    };
    let mut comparison = comparison.clone();
    let mut verdict = compare(&comparison)?;
    if let Some(inputs) = &args.calibrate {
        let with_inputs = comparison.clone().with_inputs(inputs);
        let own = if changes_cache(args) { None } else { Some(compare(&with_inputs)?) };
        verdict = match own {
            None => verdict.noted(NOT_IN_STEPS.to_owned()),
            Some(own) if verify::is_right(&own) == Some(false) => {
                comparison = with_inputs;
                own.noted(OWN_DIFFER.to_owned())
            }
            Some(own) if own.is_fine() && !verdict.is_fine() => verdict.noted(OWN_AGREE.to_owned()),
            Some(own) => verdict.and(own.noted(OWN.to_owned())),
        };
    }
    let mut judged = Judged::default();
    if verify::is_right(&verdict) == Some(false) && !args.no_bisect {
        let culprit = culprit(args, job, options, &comparison, output)?;
        if let Some(folder) = &args.reproduce {
            let symptom = Symptom::of(&verdict);
            judged.reproducer = Some(reproducer((args, job), options, &culprit, symptom, folder, output)?);
        }
        judged.culprit = Some(culprit);
    }
    Ok(Judged { verdict: Some(verdict), ..judged })
}

/// Whether the KV cache of the result has another form than that of the model, so that both are compared in steps.
pub(super) fn changes_cache(args: &Optimize) -> bool {
    args.add_kv_cache || args.emit.kv_cache == Some(KvCache::Shared)
}

/// Reads the model again as it was before optimizing.
fn original(args: &Optimize, job: &Job, output: Output) -> Result<Model, Failure> {
    let mut model = model_io::read_at(&job.model, &args.input.reading, Output { quiet: true, ..output })?;
    change(&mut model, args, job)?;
    set_opset(&mut model, args)?;
    Ok(model)
}

/// Writes the smallest model that shows the difference, and returns the text to print.
fn reproducer(
    (args, job): (&Optimize, &Job),
    options: &passes::Options,
    culprit: &Culprit,
    symptom: Option<Symptom>,
    folder: &Path,
    output: Output,
) -> Result<String, Failure> {
    let _spinner = output.spinner("searching for the smallest model that shows the difference");
    match netwright::reproduce::reproduce(&original(args, job, output)?, options, culprit, symptom) {
        Ok(reproducer) => reproduce::write(folder, &reproducer),
        Err(ReproduceError::NotARewrite(_)) => {
            Ok("no reproducer is written: only a difference caused by a rewrite has one".to_owned())
        }
        Err(error) => Ok(format!("no reproducer is written: {error}")),
    }
}

/// Finds the rewrite that changed the result, by comparing the model after each step with the input.
fn culprit(
    args: &Optimize,
    job: &Job,
    options: &passes::Options,
    comparison: &netwright::verify::Options,
    output: Output,
) -> Result<Culprit, Failure> {
    let _spinner = output.spinner("searching for the rewrite that changed the result");
    let quiet = Output { quiet: true, ..output };
    let model = original(args, job, output)?;
    let folder = scratch()?;
    let step = folder.path().join("step.onnx");
    bisect(&model, options, |changed| {
        if changes_cache(args) {
            return steps::is_right(&model, changed, comparison, quiet);
        }
        match onnx::write(changed, &step, &WriteOptions::default()) {
            Ok(_) => {}
            Err(WriteError::File(error)) => return Err(Failure::usage(error)),
            // Between two rewrites that belong together, a model may not be expressible in ONNX.
            Err(_) => return Ok(None),
        }
        Ok(verify::is_right(&verify::judged(&job.model, Some(&step), comparison, quiet)?))
    })
}
