//! `netwright verify`, and what `--verify` does.

use crate::args::{Optimize, Verify, bindings};
use crate::failure::Failure;
use crate::output::Output;
use netwright::files::{self, AtomicFile};
use netwright::verify::{self, Array, Error, ModelFile, Options, Session, Verdict, Worker};
use safetensors::{Dtype, tensor::TensorView};
use std::io;
use std::path::Path;

pub(crate) fn run(args: &Verify, output: Output) -> Result<(), Failure> {
    let options =
        Options { dims: bindings(&args.dims)?, seed: args.seed, tolerance: args.tolerance, ..Options::default() };
    let spinner = output.spinner("verifying in tract");
    let verdict = worker()?.verify(&args.model, args.other.as_deref(), &options).map_err(failure)?;
    drop(spinner);
    // Where tract brought the worker down, it is not asked again, in this process.
    if let (Some(folder), Verdict::Runs { .. } | Verdict::Equal { .. } | Verdict::Differs { .. }) =
        (&args.dump, &verdict)
    {
        dump(&args.model, folder, &options)?;
    }
    match judge(&verdict) {
        Ok(()) => output.report(&verdict, || verdict.to_string()),
        Err(failed) if output.json => output.data(&verdict, String::new).and(Err(failed)),
        Err(failed) => Err(failed),
    }
}

/// Runs a model of our own making, in this process.
pub(crate) fn own(path: &Path, output: Output) -> Result<Verdict, Failure> {
    let _spinner = output.spinner("verifying in tract");
    verify::verify(path, None, &Options::default()).map_err(failure)
}

/// Compares an optimized file with its original, in a child process.
pub(crate) fn compared(args: &Optimize, output: Output) -> Result<Verdict, Failure> {
    let _spinner = output.spinner("verifying in tract");
    let data_dir = args.input.data_dir.clone();
    let options = Options { dims: bindings(&args.dims)?, tolerance: 1e-4, data_dir, ..Options::default() };
    worker()?.verify(&args.input.model, Some(&args.output), &options).map_err(failure)
}

/// What a verdict means for the command.
pub(crate) fn judge(verdict: &Verdict) -> Result<(), Failure> {
    match verdict {
        fine if fine.is_fine() => Ok(()),
        Verdict::NotVerifiable { .. } => Err(Failure::NotVerifiable(verdict.to_string())),
        _ => Err(Failure::Model(verdict.to_string())),
    }
}

/// Judges one model for a parent process.
pub(crate) fn serve() -> Result<(), Failure> {
    verify::serve(io::stdin().lock(), io::stdout().lock()).map_err(failure)
}

/// This program, as a worker.
fn worker() -> Result<Worker, Failure> {
    Ok(Worker::new(std::env::current_exe()?))
}

fn failure(error: Error) -> Failure {
    Failure::usage(error)
}

/// Writes the inputs and outputs of every run as safetensors, for other runtimes to be compared with.
fn dump(model: &Path, folder: &Path, options: &Options) -> Result<(), Failure> {
    let file = ModelFile::open(model).map_err(failure)?;
    let session = Session::new(&file).map_err(failure)?;
    files::create_folder(folder).map_err(Failure::usage)?;
    let runs = verify::bindings(&file.inputs(), &options.dims).map_err(failure)?;
    for (at, bindings) in runs.iter().enumerate() {
        let seed = options.seed.wrapping_add(at as u64);
        let inputs = verify::inputs(&file, bindings, seed).map_err(failure)?;
        let given: Vec<(&str, &Array)> = inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
        let outputs = session.run(&given).map_err(failure)?;
        let inputs = inputs.iter().map(|(name, array)| (format!("input.{name}"), array));
        let named: Vec<_> =
            inputs.chain(outputs.iter().map(|(name, array)| (format!("output.{name}"), array))).collect();
        let bytes: Vec<Vec<u8>> = named.iter().map(|(_, array)| array.to_bytes()).collect();
        let views = named.iter().zip(&bytes).map(|((name, array), bytes)| {
            let view = TensorView::new(dtype(array)?, array.shape().to_vec(), bytes).map_err(Failure::usage)?;
            Ok((name, view))
        });
        let views = views.collect::<Result<Vec<_>, Failure>>()?;
        let text = safetensors::serialize(views, None).map_err(Failure::usage)?;
        let mut out = AtomicFile::create(&folder.join(format!("run{at}.safetensors"))).map_err(Failure::usage)?;
        out.append(&text).and_then(|()| out.commit()).map_err(Failure::usage)?;
    }
    Ok(())
}

fn dtype(array: &Array) -> Result<Dtype, Failure> {
    use netwright::ir::ElementType;
    Ok(match array.element() {
        ElementType::F32 => Dtype::F32,
        ElementType::F64 => Dtype::F64,
        ElementType::F16 => Dtype::F16,
        ElementType::I64 => Dtype::I64,
        ElementType::I32 => Dtype::I32,
        ElementType::I16 => Dtype::I16,
        ElementType::I8 => Dtype::I8,
        ElementType::U64 => Dtype::U64,
        ElementType::U32 => Dtype::U32,
        ElementType::U16 => Dtype::U16,
        ElementType::U8 => Dtype::U8,
        ElementType::Bool => Dtype::BOOL,
        other => return Err(Failure::Usage(format!("safetensors has no {other}"))),
    })
}
