//! `netwright build`.

use crate::args::Build;
use crate::failure::Failure;
use crate::output::{Output, thousands};
use crate::{optimize, verify};
use netwright::files;
use netwright::inventory::inventory;
use netwright::ir::Model;
use netwright::nn::{Config, ConfigError, OpenError, Part, Transformer, WeightError, Weights};
use netwright::onnx::{self, WriteOptions};
use netwright::passes;
use netwright::verify::Verdict;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// One file that was built.
#[derive(Debug, Serialize)]
struct Built {
    path: PathBuf,
    nodes: usize,
    parameters: u64,
    constants: u64,
    bytes: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verdict>,
}

pub(crate) fn run(args: &Build, output: Output) -> Result<(), Failure> {
    optimize::check_opset(args.emit.opset)?;
    let (transformer, weights) = open(args)?;
    let mut built = vec![];
    for (part, path) in parts(args)? {
        let spinner = output.spinner("building");
        let mut one = build(args, (&transformer, &weights), part, &path, output)?;
        drop(spinner);
        if args.verify {
            one.verified = Some(verify::own(&path, output)?);
        }
        built.push(one);
    }
    output.report(&built, || built.iter().map(line).collect())?;
    built.iter().filter_map(|one| one.verified.as_ref()).try_for_each(verify::judge)
}

fn line(built: &Built) -> String {
    format!(
        "{}: {} nodes, {} parameters, {} constants, {} bytes in {:.2} s\n{}",
        built.path.display(),
        built.nodes,
        thousands(built.parameters),
        thousands(built.constants),
        thousands(built.bytes),
        built.seconds,
        optimize::verdict_text(built.verified.as_ref())
    )
}

fn open(args: &Build) -> Result<(Transformer, Weights), Failure> {
    let preset = match args.model.as_str() {
        "transformer-base" => Config::transformer_base(),
        "transformer-big" => Config::transformer_big(),
        folder => {
            if args.seed.is_some() {
                return Err(Failure::Usage("--seed is for presets; the weights of a folder are its own".to_owned()));
            }
            return Transformer::open(Path::new(folder)).map_err(|error| match error {
                OpenError::Config(ConfigError::File(error)) if !Path::new(folder).exists() => Failure::Usage(format!(
                    "{error}\n  help: the presets are transformer-base and transformer-big; a folder must hold \
                     config.json and model.safetensors"
                )),
                OpenError::Weights(WeightError::File(error)) | OpenError::Config(ConfigError::File(error)) => {
                    Failure::usage(error)
                }
                error => Failure::model(error),
            });
        }
    };
    let transformer = Transformer::new(&preset).map_err(Failure::model)?;
    Ok((transformer, Weights::Random { seed: args.seed.unwrap_or(0) }))
}

/// Which graphs go to which files.
fn parts(args: &Build) -> Result<Vec<(Part, PathBuf)>, Failure> {
    if args.output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        return Ok(vec![(args.part.map_or(Part::Both, Part::from), args.output.clone())]);
    }
    files::create_folder(&args.output).map_err(Failure::usage)?;
    let file = |part: Part| {
        let name = match part {
            Part::Encoder => "encoder_model.onnx",
            Part::Decoder => "decoder_model.onnx",
            Part::Both => "model.onnx",
        };
        (part, args.output.join(name))
    };
    Ok(match args.part {
        Some(part) => vec![file(part.into())],
        None => vec![file(Part::Encoder), file(Part::Decoder)],
    })
}

fn build(
    args: &Build,
    (transformer, weights): (&Transformer, &Weights),
    part: Part,
    path: &Path,
    output: Output,
) -> Result<Built, Failure> {
    let start = Instant::now();
    let graph = transformer.build(part, weights, args.outputs_attention).map_err(Failure::model)?;
    let mut model = Model::new(graph);
    optimize::set_opset(&mut model, args.emit.opset)?;
    let report = if args.no_optimize {
        passes::lower(&mut model, &args.emit.target, false)
    } else {
        passes::optimize(
            &mut model,
            &passes::Options {
                target: args.emit.target,
                raise_opset: args.emit.raises_opset(),
                evaluator: Some(passes::Evaluator::new(netwright::evaluate::Tract)),
                ..passes::Options::default()
            },
        )
    };
    output.rewrites(&report.map_err(Failure::model)?.applied)?;
    let options = WriteOptions { external_data: args.emit.external_data.into(), share_weights: false };
    let written = onnx::write(&model, path, &options).map_err(optimize::write_failure)?;
    let counts = inventory(&model);
    Ok(Built {
        path: path.to_owned(),
        nodes: counts.nodes,
        parameters: counts.parameters,
        constants: counts.constants,
        bytes: written.bytes,
        seconds: start.elapsed().as_secs_f64(),
        verified: None,
    })
}
