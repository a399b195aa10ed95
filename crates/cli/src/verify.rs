//! `netwright verify`, and the flag `--verify`.

use crate::args::{self, ExternalData, Input, Optimize, Runtimes, Verify, bindings};
use crate::failure::Failure;
use crate::model_io;
use crate::output::Output;
use crate::overwrite::Inputs;
use netwright::files::{self, AtomicFile};
use netwright::ir::{Bindings, Dim, Symbol};
use netwright::verify::{
    self, Array, ModelFile, OnnxRuntime, Options, Run, Runtime, Session, Verdict, VerifyError, Worker,
};
use safetensors::{Dtype, tensor::TensorView};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Verify, output: Output) -> Result<(), Failure> {
    let mut options = options(&args.runtimes, &args.dims, args.tolerance, args.long, &args.input)?.with_seed(args.seed);
    options.inputs.clone_from(&args.inputs);
    let spinner = output.spinner("verifying");
    let copies = args.input.inline_functions.then(tempfile::tempdir).transpose()?;
    let opened = |path: &Path, side| {
        let folder = copies.as_ref().map(|copies| copies.path().join(side));
        opened(path, &args.input, folder.as_deref(), output)
    };
    let model = opened(&args.input.model, "first")?;
    let other = args.other.as_deref().map(|other| opened(other, "second")).transpose()?;
    let verdict = worker()?.verify(&model, other.as_deref(), &options).map_err(failure)?;
    drop(spinner);
    // A runtime that crashed the worker is not run again in this process.
    if let (
        Some(folder),
        Verdict::Runs { runtime, .. } | Verdict::Equal { runtime, .. } | Verdict::Differs { runtime, .. },
    ) = (&args.dump, &verdict)
    {
        let judge = options.fallback.as_ref().filter(|fallback| fallback.to_string() == *runtime);
        let file = ModelFile::open_with(&model, options.data_dir.as_deref()).map_err(failure)?;
        dump(&file, folder, &runs(&verdict), judge.unwrap_or(&options.runtime))?;
    }
    match judge(&verdict) {
        Ok(()) => output.report(&verdict, || verdict.to_string()),
        Err(failed) if output.json => output.data(&verdict, String::new).and(Err(failed)),
        Err(failed) => Err(failed),
    }
}

/// Returns the file that a runtime opens: the model, or a copy in the folder with its functions inlined.
fn opened(path: &Path, input: &Input, folder: Option<&Path>, output: Output) -> Result<PathBuf, Failure> {
    if !input.strict && folder.is_none() {
        return Ok(path.to_owned());
    }
    let model = model_io::read_at(path, input, output)?;
    let Some(folder) = folder else { return Ok(path.to_owned()) };
    files::create_folder(folder).map_err(Failure::usage)?;
    let copy = folder.join("model.onnx");
    model_io::write(&model, &copy, ExternalData::Auto, false, &Inputs::default())?;
    Ok(copy)
}

/// Runs a model that this command built, in this process.
pub(crate) fn own(path: &Path, output: Output) -> Result<Verdict, Failure> {
    let _spinner = output.spinner("verifying");
    let fallback = match OnnxRuntime::find() {
        Err(VerifyError::NoOnnxRuntime) => None,
        found => Some(Runtime::Ort(found.map_err(failure)?)),
    };
    let mut options = Options::default();
    options.fallback = fallback;
    verify::verify(path, None, &options).map_err(failure)
}

/// Returns the options for comparing the result with the input, or `None` without `--verify`.
pub(crate) fn comparison(args: &Optimize) -> Result<Option<Options>, Failure> {
    if !args.verify {
        let message = "--runtime, --ort-library and --ort-level require --verify";
        return if args.runtimes.is_given() { Err(Failure::Usage(message.to_owned())) } else { Ok(None) };
    }
    options(&args.runtimes, &args.dims, args.tolerance, args.long, &args.input).map(Some)
}

/// Returns the options that `verify` and `optimize --verify` have in common.
fn options(
    args: &Runtimes,
    dims: &[(Symbol, Dim)],
    tolerance: Option<f64>,
    long: bool,
    input: &Input,
) -> Result<Options, Failure> {
    let (runtime, fallback) = runtimes(args)?;
    let mut options =
        Options::default().with_dims(bindings(dims)?).with_tolerance(tolerance).with_long(long).with_runtime(runtime);
    options.data_dir.clone_from(&input.data_dir);
    options.fallback = fallback;
    Ok(options)
}

/// Compares an optimized file with the input, in a child process.
pub(crate) fn compared(args: &Optimize, result: &Path, options: &Options, output: Output) -> Result<Verdict, Failure> {
    let _spinner = output.spinner("verifying");
    worker()?.verify(&args.input.model, Some(result), options).map_err(failure)
}

/// Returns whether the result is correct; `None` if no runtime can judge it.
pub(crate) fn is_right(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::NotVerifiable { .. } => None,
        verdict => Some(verdict.is_fine()),
    }
}

/// Returns the runtime that judges, and the fallback for models that it cannot judge.
fn runtimes(args: &Runtimes) -> Result<(Runtime, Option<Runtime>), Failure> {
    let named = args.ort_library.as_deref().map(OnnxRuntime::at);
    let ort = |found: Result<OnnxRuntime, VerifyError>| {
        let level = args.ort_level.map(Into::into).unwrap_or_default();
        found.map(|runtime| Runtime::Ort(runtime.with_level(level))).map_err(failure)
    };
    match (args.runtime.unwrap_or(args::Runtime::Auto), named) {
        (args::Runtime::Tract, None) if args.ort_level.is_none() => Ok((Runtime::Tract, None)),
        (args::Runtime::Tract, _) => {
            let message = "--runtime tract does not use ONNX Runtime\n  help: leave out --ort-library and --ort-level";
            Err(Failure::Usage(message.to_owned()))
        }
        (args::Runtime::Ort, named) => Ok((ort(named.unwrap_or_else(OnnxRuntime::find))?, None)),
        (args::Runtime::Auto, Some(named)) => Ok((Runtime::Tract, Some(ort(named)?))),
        (args::Runtime::Auto, None) => match OnnxRuntime::find() {
            Err(VerifyError::NoOnnxRuntime) if args.ort_level.is_none() => Ok((Runtime::Tract, None)),
            found => Ok((Runtime::Tract, Some(ort(found)?))),
        },
    }
}

/// Returns the text of a verdict with which the command succeeds; any other verdict is reported as the error.
pub(crate) fn verdict_text(verdict: Option<&Verdict>) -> String {
    verdict.filter(|verdict| verdict.is_fine()).map_or_else(String::new, |verdict| format!("{verdict}\n"))
}

/// Returns the failure that a verdict means for the command, if any.
pub(crate) fn judge(verdict: &Verdict) -> Result<(), Failure> {
    match verdict {
        fine if fine.is_fine() => Ok(()),
        Verdict::NotVerifiable { runtime, .. } => {
            let help = if *runtime == Runtime::Tract.to_string() { INSTALL } else { "" };
            Err(Failure::NotVerifiable(format!("{verdict}{help}")))
        }
        _ => Err(Failure::Model(verdict.to_string())),
    }
}

const INSTALL: &str = "\n  help: try ONNX Runtime: install it with `pip install onnxruntime` in the active Python environment, or \
    pass --ort-library";

/// Verifies one model for a parent process.
pub(crate) fn serve() -> Result<(), Failure> {
    verify::serve(io::BufReader::new(io::stdin()), io::stdout().lock()).map_err(failure)
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
        Verdict::Equal { runs, .. } => runs.iter().map(of).collect(),
        Verdict::Differs { run, .. } => vec![of(run)],
        _ => vec![],
    }
}

/// Writes the inputs and outputs of every run as safetensors, for comparison with other runtimes.
fn dump(file: &ModelFile, folder: &Path, runs: &[(Bindings, u64)], runtime: &Runtime) -> Result<(), Failure> {
    let session = Session::new_in(file, runtime).map_err(failure)?;
    files::create_folder(folder).map_err(Failure::usage)?;
    for (at, (bindings, seed)) in runs.iter().enumerate() {
        let inputs = verify::inputs(file, bindings, *seed).map_err(failure)?;
        let given: Vec<(&str, &Array)> = inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
        let outputs = session.run(&given).map_err(failure)?;
        let inputs = inputs.iter().map(|(name, array)| (format!("input.{name}"), array));
        let named: Vec<_> =
            inputs.chain(outputs.iter().map(|(name, array)| (format!("output.{name}"), array))).collect();
        save(&folder.join(format!("run{at}.safetensors")), &named)?;
    }
    Ok(())
}

/// Writes tensors as safetensors.
pub(crate) fn save(path: &Path, named: &[(String, &Array)]) -> Result<(), Failure> {
    let bytes: Vec<Vec<u8>> = named.iter().map(|(_, array)| array.to_bytes()).collect();
    let views = named.iter().zip(&bytes).map(|((name, array), bytes)| {
        let view = TensorView::new(dtype(array)?, array.shape().to_vec(), bytes).map_err(Failure::usage)?;
        Ok((name, view))
    });
    let views = views.collect::<Result<Vec<_>, Failure>>()?;
    let text = safetensors::serialize(views, None).map_err(Failure::usage)?;
    let mut out = AtomicFile::create(path).map_err(Failure::usage)?;
    out.append(&text).and_then(|()| out.commit()).map_err(Failure::usage)
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
        other => return Err(Failure::Usage(format!("safetensors cannot store element type {other}"))),
    })
}
