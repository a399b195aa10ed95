//! Compares a model in tract before and after optimizing: `cargo bench --bench tract -- FILE.onnx batch=1 seq=128`.
//!
//! Without a file, it measures the unoptimized encoder-decoder of the paper (base). Each form runs with symbolic dims,
//! and with the given ones. The speed of tract depends on the location of its memory, by half and more, so every form
//! runs in several processes in turn, each of which returns the median of its runs. The output is the medians of these,
//! their ratio to the faster form of the original model, and the minimum and maximum of all processes. tract multiplies
//! in one thread, and computes attention in `RAYON_NUM_THREADS` threads. Processes keep freed memory, as a long-running
//! process does.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use netwright::evaluate::Tract;
use netwright::ir::{Bindings, Model, Symbol};
use netwright::nn::{Config, Part, Transformer, Weights};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{self, Options, Target};
use netwright::verify::{Array, ModelFile, Session, inputs};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROCESSES: usize = 7;
const RUNS: usize = 9;

/// The arguments of a measuring process.
const DIMS: [&str; 2] = ["symbolic", "fixed"];

/// Keeps glibc from returning memory to the system.
const MEMORY: [&str; 2] = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"];

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench` to the arguments.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [dims, file, sizes @ ..] = arguments.as_slice()
        && DIMS.contains(&dims.as_str())
    {
        return measure(dims, Path::new(file), sizes);
    }
    let folder = tempfile::tempdir()?;
    let (file, sizes) = match arguments.split_first() {
        Some((file, sizes)) => (PathBuf::from(file), sizes.to_vec()),
        None => (declared(folder.path())?, ["batch=1", "source=128", "target=128"].map(str::to_owned).to_vec()),
    };
    let mut model = onnx::read(&file, &ReadOptions::default())?;
    let options = Options::for_target(Target::TRACT).with_evaluator(Tract);
    passes::optimize(&mut model, &options)?;
    let optimized = folder.path().join("optimized.onnx");
    onnx::write(&model, &optimized, &WriteOptions::default())?;

    println!("{}", file.display());
    let forms = [("as it is", &file), ("optimized", &optimized)];
    let mut ways: Vec<(&str, &str, &PathBuf, Vec<f64>)> =
        forms.iter().flat_map(|(form, path)| DIMS.map(|dims| (*form, dims, *path, vec![]))).collect();
    for _ in 0..PROCESSES {
        for (_, dims, path, times) in &mut ways {
            let mut child = Command::new(std::env::current_exe()?);
            child.envs(MEMORY.map(|name| (name, "4000000000"))).arg(*dims).arg(path).args(&sizes);
            let output = child.stderr(Stdio::null()).output()?;
            // tract loads some models only for fixed sizes.
            if output.status.success() {
                times.push(String::from_utf8(output.stdout)?.trim().parse()?);
            }
        }
    }
    let base = ways.iter().filter(|(form, .., times)| *form == "as it is" && !times.is_empty());
    let base = base.map(|(.., times)| median(times)).min_by(f64::total_cmp).ok_or("tract does not load it")?;
    for (form, dims, _, times) in ways {
        let form = format!("{form}, {dims} dims");
        if times.is_empty() {
            println!("{form:26} is not loaded");
            continue;
        }
        let [least, most] = [f64::min, f64::max].map(|of| times.iter().copied().reduce(of).unwrap_or_default());
        let time = median(&times);
        println!("{form:26} {:9.2} ms {:6.2}  ({least:.2} to {most:.2} ms)", time, time / base);
    }
    Ok(())
}

/// Prints the median of some runs, in milliseconds.
fn measure(dims: &str, file: &Path, sizes: &[String]) -> Result<(), Box<dyn Error>> {
    let mut bindings = Bindings::new();
    for size in sizes {
        let (symbol, number) = size.split_once('=').ok_or("sizes are given as `seq=128`")?;
        bindings.insert(Symbol::new(symbol), number.parse()?);
    }
    let file = ModelFile::open(file)?;
    let given = inputs(&file, &bindings, 0)?;
    let given: Vec<(&str, &Array)> = given.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let session = if dims == "fixed" { Session::for_sizes(&file, &bindings)? } else { Session::new(&file)? };
    // The first runs fill caches.
    let times = (0..RUNS + 2).map(|_| Ok(session.time(&given)?.as_secs_f64() * 1e3));
    let times = times.collect::<Result<Vec<f64>, Box<dyn Error>>>()?;
    println!("{}", median(&times[2..]));
    Ok(())
}

fn median(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Writes the unoptimized model of the paper.
fn declared(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let graph =
        Transformer::new(&Config::transformer_base())?.build(Part::Whole, &Weights::Random { seed: 0 }, false)?;
    let mut model = Model::new(graph);
    passes::lower(&mut model, &Target::ONNX, false)?;
    let path = folder.join("transformer-base.onnx");
    onnx::write(&model, &path, &WriteOptions::default())?;
    Ok(path)
}
