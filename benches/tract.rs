//! A model in tract as it is, and optimized for tract: `cargo bench --bench tract -- FILE.onnx batch=1 seq=128`.
//!
//! Without a file, the unoptimized encoder-decoder of the paper (base) is measured; each with symbolic dims, and with
//! those that are given. tract multiplies in one thread, and attends in as many as `RAYON_NUM_THREADS` says. Runs are
//! interleaved, so that what else the machine does meets all alike; printed are medians, those of the ratios of
//! neighboring runs to the faster form of the model as it is, and in which range the middle half of these lies.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use netwright::evaluate::Tract;
use netwright::ir::{Bindings, Model, Symbol};
use netwright::nn::{Config, Part, Transformer, Weights};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{self, Evaluator, Options, Target};
use netwright::verify::{Array, ModelFile, Session, inputs};
use std::error::Error;
use std::path::{Path, PathBuf};

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
    // Some models tract loads only for sizes that it knows, and of two ways either may be the faster.
    let mut ways: Vec<(String, Session, Vec<f64>)> = vec![];
    for (path, form) in [(&file, "as it is"), (&optimized, "optimized")] {
        let file = ModelFile::open(path)?;
        for (dims, session) in [("symbolic", Session::new(&file)), ("fixed", Session::for_sizes(&file, &bindings))] {
            match session {
                Ok(session) => ways.push((format!("{form}, {dims} dims"), session, vec![])),
                Err(error) => println!("{form}, {dims} dims: {}", error.to_string().lines().next().unwrap_or_default()),
            }
        }
    }
    for round in 0..=ROUNDS {
        for (_, session, times) in &mut ways {
            let time = session.time(&given)?.as_secs_f64();
            // The first runs fill caches.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let base = ways.iter().filter(|(name, ..)| name.starts_with("as it is")).map(|(.., times)| times.clone());
    let base = base.min_by(|a, b| middle(a).total_cmp(&middle(b)));
    let base = base.ok_or_else(|| format!("tract does not load {}", file.display()))?;
    println!("{}", file.display());
    for (name, _, times) in ways {
        let ratios = sorted(times.iter().zip(&base).map(|(own, base)| own / base));
        println!(
            "{name:26} {:9.2} ms {:6.2} ({:.2} to {:.2})",
            middle(&times) * 1e3,
            ratios[ROUNDS / 2],
            ratios[ROUNDS / 4],
            ratios[ROUNDS - 1 - ROUNDS / 4],
        );
    }
    Ok(())
}

fn middle(times: &[f64]) -> f64 {
    sorted(times.iter().copied())[ROUNDS / 2]
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers
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
