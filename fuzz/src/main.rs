//! `cargo run -p netwright-fuzz -- --count N --seed S`: generates models and judges their optimized forms.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use netwright_fuzz::{Finding, Judge, Kind, Mode, Tally, generate, shrink};
use onnx_protobuf::{Message, ModelProto};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "\
Generates valid ONNX models, optimizes each and judges the result in ONNX Runtime.

Usage: netwright-fuzz [--count N] [--seed S] [--target LIST] [--save DIR] [FILE...]

  --count N      how many models to generate [default: 1000]
  --seed S       the seed of the first model; the others have the seeds that follow [default: 0]
  --target LIST  onnx, tract, ort, opset23, none, separated by commas [default: onnx,tract,ort]
  --save DIR     writes the smallest model of each kind of failure to DIR
  --dump DIR     writes every generated model to DIR, and judges nothing
  FILE...        judges these models instead of generated ones

The library of ONNX Runtime is the one that ORT_DYLIB_PATH names, or that of an installed Python package.";

struct Arguments {
    count: u64,
    seed: u64,
    modes: Vec<Mode>,
    save: Option<PathBuf>,
    dump: Option<PathBuf>,
    files: Vec<PathBuf>,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        count: 1000,
        seed: 0,
        modes: vec![Mode::Onnx, Mode::Tract, Mode::Ort],
        save: None,
        dump: None,
        files: vec![],
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
        match word.as_str() {
            "--count" => arguments.count = number(value()?)?,
            "--seed" => arguments.seed = number(value()?)?,
            "--target" => arguments.modes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--save" => arguments.save = Some(value()?.into()),
            "--dump" => arguments.dump = Some(value()?.into()),
            "--help" | "-h" => return Err(HELP.to_owned()),
            file if !file.starts_with('-') => arguments.files.push(file.into()),
            _ => return Err(format!("`{word}` is not an option\n\n{HELP}")),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the models to judge, with their seeds or numbers.
fn models(arguments: &Arguments) -> Box<dyn Iterator<Item = (u64, ModelProto)> + '_> {
    if arguments.files.is_empty() {
        return Box::new((arguments.seed..arguments.seed + arguments.count).map(|seed| (seed, generate(seed))));
    }
    let read = |file: &PathBuf| ModelProto::parse_from_bytes(&std::fs::read(file).ok()?).ok();
    Box::new(arguments.files.iter().enumerate().filter_map(move |(at, file)| Some((at as u64, read(file)?))))
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    if let Some(folder) = &arguments.dump {
        for (seed, model) in models(arguments) {
            let bytes = model.write_to_bytes().map_err(|error| error.to_string())?;
            std::fs::write(folder.join(format!("{seed}.onnx")), bytes).map_err(|error| error.to_string())?;
        }
        return Ok(true);
    }
    let judge = Judge::new()?;
    let start = Instant::now();
    let (mut valid, mut judged) = (0_u64, 0_u64);
    let mut invalid: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut tally = Tally::default();
    let mut saved: BTreeSet<(Kind, String, String)> = BTreeSet::new();
    for (seed, model) in models(arguments) {
        let reference = match judge.reference(&model) {
            Ok(reference) => reference,
            Err(error) => {
                let short: String = error.chars().filter(|letter| !letter.is_ascii_digit()).take(160).collect();
                invalid.entry(short).or_default().push(seed);
                continue;
            }
        };
        valid += 1;
        for &mode in &arguments.modes {
            judged += 1;
            let Err(finding) = judge.judge(&reference, mode) else { continue };
            tally.add(mode, &finding, seed);
            let key = (finding.kind, finding.pass.clone(), cause(&finding));
            if saved.insert(key) {
                println!("{seed} {mode}: {}: {}: {}", finding.kind, finding.pass, finding.detail);
                if let Some(folder) = &arguments.save {
                    save(&judge, &model, mode, &finding, folder, seed)?;
                }
            }
        }
    }
    for (error, seeds) in &invalid {
        let some: Vec<String> = seeds.iter().take(3).map(ToString::to_string).collect();
        println!("{:6} do not run as generated: {error} (seeds {})", seeds.len(), some.join(" "));
    }
    print!("{tally}");
    let count = |is: fn(Kind) -> bool| -> usize {
        let counted = tally.0.iter().filter(|((_, kind, _), _)| is(*kind));
        counted.map(|(_, seeds)| seeds.len()).sum()
    };
    let failures = count(Kind::is_failure);
    let empty = count(|kind| kind == Kind::EmptyAttention);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{valid} models, {judged} optimizations: {failures} failures, {empty} that refuse empty attention, in {seconds:.1} s"
    );
    Ok(failures == 0)
}

/// Returns the part of a message that distinguishes one refusal or panic from another.
fn cause(finding: &Finding) -> String {
    match finding.kind {
        Kind::Panic | Kind::Refused | Kind::NotLoaded => {
            let words = finding.detail.split(|letter: char| !letter.is_ascii_alphabetic());
            words.filter(|word| word.len() > 2).take(14).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// Writes the smallest model that fails in the same way.
fn save(
    judge: &Judge,
    model: &ModelProto,
    mode: Mode,
    finding: &Finding,
    folder: &std::path::Path,
    seed: u64,
) -> Result<(), String> {
    let small = shrink(model, |candidate| {
        let Ok(reference) = judge.reference(candidate) else { return false };
        let outcome = judge.judge(&reference, mode);
        outcome.is_err_and(|found| {
            found.kind == finding.kind && found.pass == finding.pass && cause(&found) == cause(finding)
        })
    });
    let kind = finding.kind.to_string().replace(' ', "_");
    let pass: String = finding.pass.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let path = folder.join(format!("{kind}.{pass}.{mode}.{seed}.onnx"));
    let bytes = small.write_to_bytes().map_err(|error| error.to_string())?;
    std::fs::write(path, bytes).map_err(|error| error.to_string())
}
