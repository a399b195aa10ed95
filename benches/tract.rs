//! A model in tract as it is, and optimized for tract: `cargo bench --bench tract -- FILE.onnx batch=1 seq=128`.
//!
//! Without a file, the unoptimized encoder-decoder of the paper (base) is measured. tract computes in one thread. Runs
//! are interleaved, so that what else the machine does meets both alike; printed are medians, their ratio, and in
//! which range the middle half of the ratios of neighboring runs lies.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use netwright::evaluate::Tract;
use netwright::ir::{Bindings, Model, Symbol};
use netwright::nn::{Config, Part, Transformer, Weights};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{self, Evaluator, Options, Target};
use netwright::verify::{Array, ModelFile, Session, inputs};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench` to what is given.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let folder = tempfile::tempdir()?;
    let (file, sizes) = match arguments.split_first() {
        Some((file, sizes)) => (PathBuf::from(file), sizes.to_vec()),
        None => (declared(folder.path())?, ["batch=1", "source=128", "target=128"].map(str::to_owned).to_vec()),
    };
    let mut bindings = Bindings::new();
    for size in sizes {
        let (symbol, number) = size.split_once('=').ok_or("sizes are given as `seq=128`")?;
        bindings.insert(Symbol::new(symbol), number.parse()?);
    }
    let mut model = onnx::read(&file, &ReadOptions::default())?;
    let evaluator = Some(Evaluator::new(Tract));
    let options = Options { target: Target::TRACT, raise_opset: true, evaluator, ..Options::default() };
    passes::optimize(&mut model, &options)?;
    let optimized = folder.path().join("optimized.onnx");
    onnx::write(&model, &optimized, &WriteOptions::default())?;

    let given = inputs(&ModelFile::open(&file)?, &bindings, 0)?;
    let given: Vec<(&str, &Array)> = given.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let time = |session: &Session| -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        session.run(&given)?;
        Ok(start.elapsed())
    };
    // Some models tract loads only for sizes that it knows; of two ways, the faster counts.
    let load = |path: &Path| -> Result<(Session, &str), Box<dyn Error>> {
        let file = ModelFile::open(path)?;
        let mut best: Option<(Duration, Session, &str)> = None;
        let ways = [("symbolic", Session::new(&file)), ("fixed", Session::for_sizes(&file, &bindings))];
        for (dims, session) in ways {
            let Ok(session) = session else { continue };
            let times = (0..4).map(|_| time(&session)).collect::<Result<Vec<_>, _>>()?;
            let least = times.into_iter().min().unwrap_or_default();
            if best.as_ref().is_none_or(|(other, ..)| least < *other) {
                best = Some((least, session, dims));
            }
        }
        let (_, session, dims) = best.ok_or_else(|| format!("tract does not load {}", path.display()))?;
        Ok((session, dims))
    };
    let ((before, before_dims), (after, after_dims)) = (load(&file)?, load(&optimized)?);
    // The first runs fill caches.
    time(&before)?;
    time(&after)?;
    let mut rounds = vec![];
    for _ in 0..ROUNDS {
        rounds.push((time(&before)?.as_secs_f64(), time(&after)?.as_secs_f64()));
    }
    let [before, after, ratio] = [|(before, _)| before, |(_, after)| after, |(before, after)| after / before].map(
        |of: fn((f64, f64)) -> f64| {
            let mut numbers: Vec<f64> = rounds.iter().copied().map(of).collect();
            numbers.sort_by(f64::total_cmp);
            numbers
        },
    );
    let middle = ROUNDS / 2;
    println!(
        "{}: as it is ({before_dims} dims) {:.2} ms, optimized ({after_dims} dims) {:.2} ms: {:.2} ({:.2} to {:.2})",
        file.display(),
        before[middle] * 1e3,
        after[middle] * 1e3,
        after[middle] / before[middle],
        ratio[ROUNDS / 4],
        ratio[ROUNDS - 1 - ROUNDS / 4],
    );
    Ok(())
}

/// The unoptimized model of the paper, written.
fn declared(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let graph =
        Transformer::new(&Config::transformer_base())?.build(Part::Whole, &Weights::Random { seed: 0 }, false)?;
    let mut model = Model::new(graph);
    passes::lower(&mut model, &Target::ONNX, false)?;
    let path = folder.join("transformer-base.onnx");
    onnx::write(&model, &path, &WriteOptions::default())?;
    Ok(path)
}
