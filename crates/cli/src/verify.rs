//! `netwright verify`, and the flag `--verify`.

use crate::args::{self, Judging, Verify, bindings};
use crate::failure::{Failure, Misuse};
use crate::model_io;
use crate::output::Output;
use crate::overflow::{self, Comparing};
use crate::overwrite::Inputs;
use crate::runtimes;
use crate::suggest;
use crate::surgery;
use netwright::files::{self, ScratchFolder};
use netwright::ir::{Bindings, Symbol};
use netwright::onnx::{self, WriteOptions};
use netwright::surgery::{rename_inputs, rename_outputs};
use netwright::verify::{
    self, Array, ModelFile, OnnxRuntime, Options, Outputs, Run, Runtime, Verdict, VerifyError, Worker,
};
use safetensors::{Dtype, tensor::TensorView};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Verify, output: Output) -> Result<(), Failure> {
    let mut options = options(&args.judging, args.input.reading.data_dir.as_deref())?
        .with_seed(args.seed)
        .with_by_layer(args.by_layer);
    options.inputs.clone_from(&args.inputs);
    let spinner = output.spinner("verifying");
    options.on_run = Some(spinner.on_run());
    let paths = || std::iter::once(&args.input.model).chain(&args.other);
    paths().try_for_each(|model| suggest::expect_model(model))?;
    let renamed = renamed(args, output)?;
    let first = renamed.as_ref().map_or(&args.input.model, |(_, path)| path);
    // Messages name the model, not the copy with other names.
    let named = |text: &str| text.replace(&*first.to_string_lossy(), &args.input.model.to_string_lossy());
    let failed = |error: VerifyError| failure(error).map(|text| named(&text));
    if args.input.reading.strict {
        paths().try_for_each(|model| model_io::read_at(model, &args.input.reading, output).map(drop))?;
    }
    let mut verdict = worker()?.verify(first, args.other.as_deref(), &options).map_err(failed)?;
    match &mut verdict {
        Verdict::Fails { file, .. } | Verdict::NotVerifiable { file, .. } => *file = named(file),
        Verdict::OtherInterface { what } => *what = with_old_names(what, args),
        _ => {}
    }
    drop(spinner);
    // A runtime that crashed the worker is not run again in this process.
    if let (
        Some(folder),
        Verdict::Runs { runtime, .. }
        | Verdict::Equal { runtime, .. }
        | Verdict::Close { runtime, .. }
        | Verdict::Differs { runtime, .. },
    ) = (&args.dump, &verdict)
    {
        let judge = options.fallback.as_ref().filter(|fallback| fallback.to_string() == *runtime);
        let mut inputs = Inputs::default();
        for model in paths() {
            inputs.add_model(model, &model_io::read_at(model, &args.input.reading, Output { quiet: true, ..output })?);
        }
        let open = |model: &Path| ModelFile::open_with(model, options.data_dir.as_deref()).map_err(failed);
        let (file, other) = (open(first)?, args.other.as_deref().map(open).transpose()?);
        let runtime = judge.unwrap_or(&options.runtime);
        files::create_folder(folder).map_err(Failure::usage)?;
        let runs = runs(&verdict);
        let reruns = verify::reruns(&file, other.as_ref(), runtime, &runs).map_err(failed)?;
        for (at, run) in reruns.enumerate() {
            let run = run.map_err(failed)?;
            let path = folder.join(format!("run{at}.safetensors"));
            inputs.expect_other("--dump", &path)?;
            save_run(&path, &run)?;
        }
    }
    let is_strict = matches!(verdict, Verdict::Differs { min_cosine: None, .. });
    let judged = judge(&verdict, output).map_err(|failure| {
        let cure = overflow::cure(&verdict, Comparing::Verify { has_inputs: args.inputs.is_some() });
        failure.with_help(cure.as_deref().or(is_strict.then_some(WHERE_IT_GROWS)))
    });
    match judged {
        Ok(()) => output.report(&verdict, || text(&verdict, output)),
        // The table is what was requested, whatever the outputs are.
        Err(failed) if output.json || matches!(verdict, Verdict::ByLayer { .. }) => {
            output.data(&verdict, || text(&verdict, output)).and(Err(failed))
        }
        Err(failed) => Err(failed),
    }
}

/// Writes the first model, with its inputs and outputs renamed as the flags request, to a folder that is removed when the
/// result is dropped; `None` without these flags.
fn renamed(args: &Verify, output: Output) -> Result<Option<(ScratchFolder, PathBuf)>, Failure> {
    if args.rename_input.is_empty() && args.rename_output.is_empty() {
        return Ok(None);
    }
    let mut model = model_io::read_at(&args.input.model, &args.input.reading, output)?;
    rename_inputs(&mut model, &surgery::pairs(&args.rename_input)).map_err(surgery::refused)?;
    rename_outputs(&mut model, &surgery::pairs(&args.rename_output)).map_err(surgery::refused)?;
    let folder = ScratchFolder::create().map_err(Failure::usage)?;
    let path = folder.path().join("renamed.onnx");
    onnx::write(&model, &path, &WriteOptions::default()).map_err(model_io::write_failure)?;
    Ok(Some((folder, path)))
}

/// Returns a help that renames an input or output of the first model, with the name that it has before all renaming.
fn with_old_names(what: &str, args: &Verify) -> String {
    let renamed = [("--rename-input", &args.rename_input), ("--rename-output", &args.rename_output)];
    let pairs = renamed.into_iter().flat_map(|(flag, pairs)| pairs.iter().map(move |pair| (flag, pair)));
    pairs.fold(what.to_owned(), |what, (flag, (old, new))| {
        what.replace(&format!("add {flag} {new}="), &format!("instead of {flag} {old}={new}, add {flag} {old}="))
    })
}

/// Returns a verdict as text, with all figures for `--verbose`.
fn text(verdict: &Verdict, output: Output) -> String {
    if output.verbose { format!("{verdict:#}") } else { verdict.to_string() }
}

/// Returns the options of `--verify`, or `None` without it.
pub(crate) fn requested(verify: bool, judging: &Judging, data_dir: Option<&Path>) -> Result<Option<Options>, Failure> {
    match judging.given().filter(|_| !verify) {
        Some(flag) => Err(Misuse::Requires.failure(format!("{flag} requires --verify\n  help: add --verify"))),
        None if verify => options(judging, data_dir).map(Some),
        None => Ok(None),
    }
}

/// Returns the options that the flags request.
pub(crate) fn options(args: &Judging, data_dir: Option<&Path>) -> Result<Options, Failure> {
    let level = args.ort_level.map(Into::into).unwrap_or_default();
    let choice = args.runtime.unwrap_or(args::Runtime::Auto);
    let set_up = |ort: OnnxRuntime| ort.with_level(level);
    let (runtime, fallback) = runtimes::chosen(choice, args.ort_library.as_deref(), args.ort_level.is_some(), set_up)?;
    let mut options = Options::default()
        .with_dims(bindings(&args.dims)?)
        .with_tolerance(args.tolerance)
        .with_min_cosine(args.min_cosine)
        .with_long(args.long)
        .with_runtime(runtime);
    options.data_dir = data_dir.map(Path::to_owned);
    options.fallback = fallback;
    Ok(options)
}

/// Runs a model, or compares two, in a child process.
pub(crate) fn judged(a: &Path, b: Option<&Path>, options: &Options, output: Output) -> Result<Verdict, Failure> {
    let spinner = output.spinner("verifying");
    worker()?.verify(a, b, &options.clone().with_on_run(spinner.on_run())).map_err(failure)
}

/// Returns whether the result is correct; `None` if no runtime can judge it.
pub(crate) fn is_right(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::NotVerifiable { .. } => None,
        verdict => Some(verdict.is_fine()),
    }
}

/// Returns the text of a verdict with which the command succeeds; any other verdict is reported as the error.
pub(crate) fn verdict_text(verdict: Option<&Verdict>, output: Output) -> String {
    let fine = verdict.filter(|verdict| verdict.is_fine());
    fine.map_or_else(String::new, |verdict| format!("{}\n", text(verdict, output)))
}

/// Returns the failure that a verdict means for the command, if any.
pub(crate) fn judge(verdict: &Verdict, output: Output) -> Result<(), Failure> {
    let Some(code) = verdict.code() else { return Ok(()) };
    match verdict {
        Verdict::NotVerifiable { runtime, .. } => {
            let help = if verdict.lacks_bf16() { OTHER_TYPE } else { other_runtime(runtime).unwrap_or(OTHER_SIZES) };
            Err(Failure::not_verifiable(format!("{verdict}\n  help: {help}")))
        }
        Verdict::ByLayer { runtime, outputs: Outputs::NotJudged, .. } => {
            Err(Failure::not_verifiable(format!("the outputs of the models are not judged in {runtime}")))
        }
        Verdict::ByLayer { runtime, outputs: Outputs::Fail, .. } => {
            Err(Failure::model_with(code, format!("a model fails in {runtime}; the note of the table says why")))
        }
        Verdict::ByLayer { runtime, .. } => {
            let text = format!("the outputs of the models differ in {runtime}");
            Err(Failure::model_with(code, text).with_help(Some("the table shows where the error grows.")))
        }
        Verdict::Differs { min_cosine: Some(_), .. } => {
            Err(Failure::model_with(code, text(verdict, output) + BY_LAYER))
        }
        _ => Err(Failure::model_with(code, text(verdict, output))),
    }
}

/// What to do about outputs that differ by more than the tolerance.
const WHERE_IT_GROWS: &str =
    "add --by-layer to see where the error grows; if it is expected, raise --tolerance or give --min-cosine";

const BY_LAYER: &str =
    "\n  help: `netwright verify --by-layer` of the two models shows which operators add most of the error";

/// What to do about a model that no runtime can judge.
const OTHER_SIZES: &str = "if the runtimes refuse the sizes, choose others with --dim; else run the model in the runtime that it was made for";

/// What to do about a model in bf16.
const OTHER_TYPE: &str = "neither tract nor ONNX Runtime on a CPU computes in bf16; verify the same model with --dtype f16, and run this one in the runtime that it was made for";

/// Returns how another runtime can judge a model that the runtimes `tried` cannot judge; `None` if these are all.
pub(crate) fn other_runtime(tried: &str) -> Option<&'static str> {
    let tract = Runtime::Tract.to_string();
    match (tried.starts_with(&tract), tried == tract) {
        (true, false) => None,
        (false, _) => Some("leave out --runtime: tract may judge the model"),
        _ if OnnxRuntime::find().is_ok() => {
            Some("leave out --runtime tract: ONNX Runtime is installed and may judge the model")
        }
        _ => Some(
            "try ONNX Runtime: install it with `pip install onnxruntime` in the active Python environment, or pass \
             --ort-library",
        ),
    }
}

/// Verifies one model for a parent process.
pub(crate) fn serve() -> Result<(), Failure> {
    verify::serve(io::BufReader::new(io::stdin()), io::stdout()).map_err(failure)
}

/// Returns this program as a worker.
fn worker() -> Result<Worker, Failure> {
    Ok(Worker::new(std::env::current_exe()?))
}

fn failure(error: VerifyError) -> Failure {
    Failure::usage(error)
}

/// Returns the sizes and the seed of every run.
fn runs(verdict: &Verdict) -> Vec<(Bindings, u64)> {
    fn of<T>(run: &Run<T>) -> (Bindings, u64) {
        (run.bindings.iter().map(|(symbol, size)| (Symbol::new(symbol.as_str()), *size)).collect(), run.seed)
    }
    match verdict {
        Verdict::Runs { runs, .. } => runs.iter().map(of).collect(),
        Verdict::Equal { runs, .. } | Verdict::Close { runs, .. } => runs.iter().map(of).collect(),
        Verdict::Differs { run, .. } => vec![of(run)],
        _ => vec![],
    }
}

/// Writes the inputs and outputs of a run as safetensors, for comparison with other runtimes.
fn save_run(path: &Path, [inputs, outputs]: &[Vec<(String, Array)>; 2]) -> Result<(), Failure> {
    let named = |kind: &str, arrays: &'_ [(String, Array)]| {
        arrays.iter().map(|(name, array)| (format!("{kind}.{name}"), array.clone())).collect::<Vec<_>>()
    };
    let all = [named("input", inputs), named("output", outputs)].concat();
    save(path, &all.iter().map(|(name, array)| (name.clone(), array)).collect::<Vec<_>>())
}

/// Writes tensors as safetensors.
pub(crate) fn save(path: &Path, named: &[(String, &Array)]) -> Result<(), Failure> {
    let bytes: Vec<Vec<u8>> = named.iter().map(|(_, array)| array.to_bytes()).collect();
    let views = named.iter().zip(&bytes).map(|((name, array), bytes)| {
        let view = TensorView::new(dtype(array)?, array.shape().to_vec(), bytes).map_err(unstorable)?;
        Ok((name, view))
    });
    let views = views.collect::<Result<Vec<_>, Failure>>()?;
    let text = safetensors::serialize(views, None).map_err(unstorable)?;
    files::write_file(path, text).map_err(Failure::usage)
}

fn dtype(array: &Array) -> Result<Dtype, Failure> {
    use netwright::ir::ElementType;
    Ok(match array.element() {
        ElementType::F32 => Dtype::F32,
        ElementType::F64 => Dtype::F64,
        ElementType::F16 => Dtype::F16,
        ElementType::BF16 => Dtype::BF16,
        ElementType::I64 => Dtype::I64,
        ElementType::I32 => Dtype::I32,
        ElementType::I16 => Dtype::I16,
        ElementType::I8 => Dtype::I8,
        ElementType::U64 => Dtype::U64,
        ElementType::U32 => Dtype::U32,
        ElementType::U16 => Dtype::U16,
        ElementType::U8 => Dtype::U8,
        ElementType::Bool => Dtype::BOOL,
        other => return Err(unstorable(format!("safetensors cannot store element type {other}"))),
    })
}

fn unstorable(why: impl Display) -> Failure {
    Misuse::Output.failure(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_that_is_left_is_suggested() {
        assert_eq!(other_runtime("ONNX Runtime 1.32.0"), Some("leave out --runtime: tract may judge the model"));
        assert_eq!(other_runtime("tract or ONNX Runtime 1.32.0"), None);
        assert!(other_runtime("tract").is_some_and(|help| help.contains("ONNX Runtime")));
    }
}
