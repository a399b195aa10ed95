//! `netwright build`.

mod branches;
mod variants;

use crate::args::{Build, ExternalData, Float, KvCache};
use crate::failure::{Failure, Misuse};
use crate::layout::{Client, Companion};
use crate::output::{Output, in_line, thousands};
use crate::overflow::{self, Comparing};
use crate::overwrite::{Inputs, expect_place, folder_of};
use crate::quantize::Quantized;
use crate::spinner::Spinner;
use crate::suggest::UseOf;
use crate::{layout, model_io, optimize, quantize, suggest, surgery, verify};
use branches::{joined, write_branches};
use netwright::files::{self, Code, ScratchFolder, Source};
use netwright::inventory::inventory;
use netwright::ir::{ElementType, Model};
use netwright::nn::{Config, OpenError, Part, Pretrained, PretrainedOptions, SettingsError, WeightError};
use netwright::onnx::{self, WriteError, WriteOptions};
use netwright::passes::{self, Precision, PrecisionError, Target};
use netwright::surgery::symbols;
use netwright::verify::{Options, Verdict};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Instant;

/// A file that was built.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Built {
    path: PathBuf,
    nodes: usize,
    parameters: u64,
    constants: u64,
    bytes: u64,
    seconds: f64,
    /// What became of weights that are stored quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<String>,
    /// Changes of the inputs and outputs that callers must follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interface: Vec<String>,
    /// The totals of the weights that were quantized.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantized: Option<Quantized>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verdict>,
    #[serde(skip)]
    is_variant: bool,
    /// Why a variant is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
}

pub(crate) fn run(args: &Build, output: Output) -> Result<(), Failure> {
    let mut all = vec![];
    let result = layout::builds(args)?.into_iter().try_for_each(|args| build_all(args, &mut all, output));
    // What was written before an error is reported.
    if result.is_ok() || !all.is_empty() {
        all.sort_by_key(|one| one.left_out.is_some());
        output.report(&all, || all.iter().map(|one| line(one, output)).collect())?;
    }
    result?;
    let (refused, built): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.left_out.is_some());
    built.iter().filter_map(|one| one.verified.as_ref()).try_for_each(|verdict| {
        let cure = || overflow::cure(verdict, Comparing::Build).filter(|_| args.dtype == Float::F16);
        verify::judge(verdict, output).map_err(|failure| failure.with_help(cure().as_deref()))
    })?;
    match refused.len() {
        0 => Ok(()),
        left_out => {
            let reason = |one: &Built| {
                let why = one.left_out.as_deref().and_then(|why| why.lines().next()).unwrap_or_default();
                format!("\n  {}: {why}", in_line(&one.path))
            };
            // Without --quiet, the output has the reasons.
            let reasons: String = refused.into_iter().filter(|_| output.quiet).map(reason).collect();
            let text = format!("{left_out} of {} models are not written{reasons}", all.len());
            Err(Failure::model_with(Code::VariantLeftOut, text))
        }
    }
}

/// Builds all files of one call, and adds them to `built`.
fn build_all(mut args: Build, built: &mut Vec<Built>, output: Output) -> Result<(), Failure> {
    model_io::check_opset(args.emit.opset)?;
    let is_verified = args.verify || args.layout.is_verified;
    if args.emit.shares_cache()? && args.no_optimize {
        return Err(
            Misuse::Conflict.failure("--kv-cache shared conflicts with --no-optimize\n  help: leave out one of them")
        );
    }
    if let Some(form) = args.emit.kv_cache.filter(|_| !args.with_past) {
        return Err(
            Misuse::Requires.failure(format!("--kv-cache {form} requires --with-past\n  help: add --with-past"))
        );
    }
    if args.no_optimize && args.emit.quantize.is_requested() {
        return Err(
            Misuse::Conflict.failure("--quantize conflicts with --no-optimize\n  help: leave out --no-optimize")
        );
    }
    if args.is_file() {
        expect_place("the output", &args.output)?;
    }
    if args.dtype == Float::F32 && !args.emit.keep_f32.is_empty() {
        return Err(Misuse::Requires.failure("--keep-f32 requires --dtype"));
    }
    let judging = verify::requested(is_verified, &args.judging, None)?;
    // Both models that are compared have the sizes.
    let judging = judging.map(|options| options.with_dims([]));
    let model = open(&mut args)?;

    if args.client == Some(Client::Genai) && model.is_encoder_decoder() {
        return Err(Misuse::NotFor.failure(
            "onnxruntime-genai runs decoders, and this is an encoder-decoder\n  help: --for optimum writes models of all kinds",
        ));
    }

    let args = &args;
    if !model.heads.is_empty() {
        output.warn(&format!("the weights of heads for other tasks are left out: {}", model.heads.join(", ")))?;
    }
    warn_of_own_classes(&model, output)?;
    for phrase in model.left_to_callers.iter().filter(|_| args.client != Some(Client::SentenceTransformers)) {
        output.warn(&format!("sentence-transformers {phrase}; the model does not, so do it yourself"))?;
    }
    // What the result is compared with: floats, if weights keep their codes.
    let keeps_codes = model.stored.is_some() && !args.emit.quantize.dequantize;
    let floats = (judging.is_some() && keeps_codes).then(|| open_folder(args, true)).transpose().map_err(failed)?;
    let declared = floats.as_ref().or_else(|| (!args.no_optimize).then_some(&model));
    let source = Path::new(&args.model);
    let mut inputs = Inputs::of_source(source);
    args.adapter.iter().for_each(|folder| inputs.add_source(folder));
    let files = files_to_build(args, &model)?;
    let parts: Vec<Part> = files.iter().flat_map(|(piece, _)| piece.parts()).copied().collect();
    expect_matches(args, &model, &parts)?;
    expect_dims(args, &model, &parts)?;
    for (_, path) in &files {
        inputs.expect_other("the output", path)?;
    }
    // A file that is named on the command line may be replaced: its name ends in .onnx.
    let foreign = files.iter().find(|(_, path)| !args.is_file() && path.exists() && !is_built(path));
    if let Some((_, path)) = foreign {
        let text = format!(
            "{} exists and was not written by `netwright build`\n  help: name another folder, or remove the file",
            in_line(path)
        );
        return Err(Misuse::Replaces.failure(text));
    }
    let is_ours = files.iter().any(|(_, path)| path.exists());
    let is_alone = args.is_file() || args.layout.is_further;
    let companions = if is_alone { vec![] } else { layout::companions(args, &model, &inputs, is_ours, output)? };
    let (first, mut unnamed) = (built.len(), vec![]);
    for (piece, path) in files {
        let (start, spinner) = (Instant::now(), output.spinner("building"));
        if !args.is_file() {
            files::create_folder(folder_of(&path)).map_err(Failure::usage)?;
        }
        let scratch = || ScratchFolder::create_in(folder_of(&path)).map_err(Failure::usage);
        // A variant gets its names when all of its files are verified.
        let folder = args.layout.is_verified.then(scratch).transpose()?;
        let place = folder.as_ref().map_or_else(|| path.clone(), |folder| folder.path().join(file_name(&path)));
        let compared = judging.is_some().then(scratch).transpose()?;
        // Branches that are judged are also written on their own, where an error of conversion would not be caught.
        let is_checked = judging.is_some() && piece == Piece::MergedDecoder;
        let mut judged = vec![];
        let (mut one, result) = model_io::write_with_retry(is_checked, |is_checked| {
            let parts = piece.parts().iter().map(|part| optimized(args, &model, *part, &path, is_checked));
            let parts = parts.collect::<Result<Vec<_>, Failure>>()?;
            // Of a merged decoder both branches are judged, each as a model.
            judged = match (&compared, piece) {
                (None, _) => vec![],
                (Some(_), Piece::One(part)) => vec![(part, place.clone())],
                (Some(folder), Piece::MergedDecoder) => write_branches(piece, &parts, folder.path(), &spinner)?,
            };
            build(args, &model, parts, &place, &inputs, (start, &spinner), output)
        })?;
        drop(spinner);
        for (part, file) in judged {
            let (Some(options), Some(folder), None) = (&judging, &compared, &one.left_out) else { break };
            let original = folder.path().join("declared.onnx");
            let shared = Some(&result).filter(|_| shares_cache(args, part));
            let verdict = verified(args, declared, (part, &file, shared), &original, options, output)?;
            let is_fine = verdict.is_fine();
            one.verified = Some(verdict);
            if !is_fine {
                break;
            }
        }
        if let Some(folder) = folder {
            one.path = path;
            match one.verified.as_ref().map(|verdict| verify::judge(verdict, output)) {
                _ if one.left_out.is_some() => {}
                Some(Err(Failure::Model(why) | Failure::NotVerifiable(why))) => {
                    one.left_out = Some(why.text.replace(&in_line(&place), &in_line(&one.path)));
                }
                Some(Err(other)) => return Err(other),
                _ => {}
            }
            unnamed.push(folder);
        }
        built.push(one);
    }
    variants::name_files(&mut built[first..], &unnamed, &inputs)?;
    companions.iter().try_for_each(Companion::write)
}

/// Whether a file is a model that names Netwright as its producer. That name is in one of the first fields of a file.
fn is_built(path: &Path) -> bool {
    const START: u64 = 64;
    Source::open(path).is_ok_and(|file| {
        let mut start = vec![0; usize::try_from(file.len().min(START)).unwrap_or(0)];
        file.read_at(0, &mut start).is_ok() && String::from_utf8_lossy(&start).contains("netwright")
    })
}

fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    One(Part),
    /// The first pass of a decoder and its later steps, as the branches of an `If`.
    MergedDecoder,
}

impl Piece {
    fn parts(&self) -> &[Part] {
        match self {
            Piece::One(part) => slice::from_ref(part),
            Piece::MergedDecoder => &[Part::Decoder, Part::DecoderWithPast],
        }
    }

    fn stem(self) -> &'static str {
        match self {
            Piece::One(Part::Encoder) => "encoder_model",
            Piece::One(Part::Decoder) => "decoder_model",
            Piece::One(Part::DecoderWithPast) => "decoder_with_past_model",
            Piece::One(Part::Whole) => "model",
            Piece::MergedDecoder => "decoder_model_merged",
        }
    }
}

/// Whether the KV cache of a part becomes a buffer.
fn shares_cache(args: &Build, part: Part) -> bool {
    args.emit.kv_cache == Some(KvCache::Shared) && matches!(part, Part::Whole | Part::DecoderWithPast)
}

/// Runs the result, and compares it with the model as it is declared, not optimized, which is written to `original`; in
/// steps, if its cache is shared. Without such a model, it only runs.
fn verified(
    args: &Build,
    declared: Option<&Pretrained>,
    (part, path, shared): (Part, &Path, Option<&Model>),
    original: &Path,
    options: &Options,
    output: Output,
) -> Result<Verdict, Failure> {
    let Some(declared) = declared else { return verify::judged(path, None, options, output) };
    let mut model = declare(args, declared, part)?;
    // In f32, with the inputs and outputs of the result.
    let mut interface = passes::Options::for_target(Target::ONNX).with_only(Vec::<String>::new());
    interface.precision = precision(args, Float::F32)?;
    passes::optimize(&mut model, &interface).map_err(|error| Failure::model_at(original, error))?;
    if let Some(shared) = shared {
        return optimize::steps::judged(&model, shared, options, output);
    }
    let spinner = output.spinner("writing the declared model");
    model_io::write(&model, original, ExternalData::Auto, false, &Inputs::default(), &spinner)?;
    drop(spinner);
    verify::judged(original, Some(path), options, output)
}

fn line(built: &Built, output: Output) -> String {
    if let Some(why) = &built.left_out {
        return format!("{} is not written: {why}\n", in_line(&built.path));
    }
    let verdict = verify::verdict_text(built.verified.as_ref(), output);
    // Of a variant, what counts is that it may be written.
    let lines = if built.is_variant && !output.verbose { 1 } else { usize::MAX };
    let verdict: String = verdict.split_inclusive('\n').take(lines).collect();
    format!(
        "{}: {} nodes, {} parameters, {} constants, {} bytes in {:.2} s\n{}{}",
        in_line(&built.path),
        built.nodes,
        thousands(built.parameters),
        thousands(built.constants),
        thousands(built.bytes),
        built.seconds,
        built
            .stored
            .iter()
            .chain(&built.interface)
            .cloned()
            .chain(built.quantized.as_ref().map(ToString::to_string))
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
        verdict
    )
}

/// Returns the failure of opening a folder.
pub(crate) fn failed(error: OpenError) -> Failure {
    match error {
        OpenError::Weights(WeightError::File(error)) => {
            let help =
                "download the weights of the model into its folder: model.safetensors, or all files of its index";
            let is_missing = matches!(error, files::FileError::NotFound { .. });
            Failure::usage(error).with_help(is_missing.then_some(help))
        }
        OpenError::Settings(SettingsError::File(error)) | OpenError::File(error) => Failure::usage(error),
        error @ (OpenError::Task { .. } | OpenError::NoPast { .. } | OpenError::Cache { .. }) => Failure::usage(error),
        error => Failure::model(error),
    }
}

/// Opens a folder, a file or a preset. `args` get the KV cache that `--for` implies.
fn open(args: &mut Build) -> Result<Pretrained, Failure> {
    let preset = match args.model.as_str() {
        "transformer-base" if !args.names_path() => Config::transformer_base(),
        "transformer-big" if !args.names_path() => Config::transformer_big(),
        folder => {
            if args.seed.is_some() {
                return Err(Misuse::NotFor
                    .failure("--seed is only for presets, whose weights are random\n  help: leave out --seed"));
            }
            suggest::expect_source(folder, &["transformer-base", "transformer-big"], UseOf::File)?;
            return layout::open(args).map_err(|error| match error {
                OpenError::NoPast { path, .. } if args.client == Some(Client::Genai) => {
                    let text = format!(
                        "{}: the model has no KV cache, with which onnxruntime-genai runs decoders\n  help: --for optimum \
                         writes models of all kinds",
                        path.display()
                    );
                    Failure::usage_with(Code::NoCache, text)
                }
                error => failed(error),
            });
        }
    };
    let asked = [
        ("--task", args.task.is_some()),
        ("--with-past", args.with_past),
        ("--adapter", args.adapter.is_some()),
        ("--dequantize", args.emit.quantize.dequantize),
        ("--dtype", !matches!(args.dtype, Float::F32)),
    ];
    if let Some((flag, _)) = asked.iter().find(|(_, asked)| *asked) {
        return Err(
            Misuse::NotFor.failure(format!("{flag} is only for folders, not for presets\n  help: leave out {flag}"))
        );
    }
    Pretrained::random(&preset, args.seed.unwrap_or(0)).map_err(Failure::model)
}

/// Warns if the model is published with code of its own.
pub(crate) fn warn_of_own_classes(model: &Pretrained, output: Output) -> Result<(), Failure> {
    if model.own_classes.is_empty() {
        return Ok(());
    }
    output.warn(&format!(
        "code that is published with the model is not read: {}; the model is built as transformers computes its model type, \
         so compare its results if that code computes something else",
        model.own_classes.join(", ")
    ))
}

/// Opens a folder or a file with the options of the call.
pub(crate) fn open_folder(args: &Build, dequantize: bool) -> Result<Pretrained, OpenError> {
    let mut options = PretrainedOptions::default()
        .with_past(args.with_past)
        .with_cache(args.emit.cache_form())
        .with_dtype(args.dtype.into())
        .with_dequantize(dequantize)
        .with_allow_unused(args.allow_unused)
        .with_ignored_options(&args.ignored_options);
    options.task = args.task;
    options.adapter.clone_from(&args.adapter);
    Pretrained::open(Path::new(&args.model), &options)
}

/// Returns what to build, and the files.
fn files_to_build(args: &Build, model: &Pretrained) -> Result<Vec<(Piece, PathBuf)>, Failure> {
    let is_merged = args.emit.kv_cache == Some(KvCache::Merged);
    if is_merged && !model.is_encoder_decoder() {
        return Err(Misuse::NotFor.failure(
            "--kv-cache merged is only for encoder-decoders; this decoder takes an empty past in the first pass\n  help: \
             leave out --kv-cache",
        ));
    }
    if is_merged && (args.is_file() || args.part.is_some()) {
        return Err(Misuse::Requires.failure(
            "--kv-cache merged requires a folder as the output, and conflicts with --part\n  help: name a folder with -o, and \
             leave out --part",
        ));
    }
    let asked = args.part.map(Part::from);
    if asked.is_some_and(|part| part != Part::Whole) && !model.is_encoder_decoder() {
        return Err(Misuse::NotFor
            .failure("--part is only for encoder-decoders; this model is one graph\n  help: leave out --part"));
    }
    if asked == Some(Part::DecoderWithPast) && !args.with_past {
        return Err(Misuse::Requires.failure("--part decoder-with-past requires --with-past\n  help: add --with-past"));
    }
    if args.is_file() {
        let part = asked.unwrap_or(Part::Whole);
        if part == Part::Whole && args.with_past && model.is_encoder_decoder() {
            return Err(Misuse::Place.failure(
                "with a past, an encoder-decoder is three graphs, which do not fit in one file\n  help: name a folder with -o, or \
                 select one graph with --part",
            ));
        }
        return Ok(vec![(Piece::One(part), args.output.clone())]);
    }
    let folder = args.output.join(&args.layout.folder);
    let pieces = if is_merged {
        // Decoders that cannot be merged are an error before a file is written.
        vec![Piece::MergedDecoder, Piece::One(Part::Encoder)]
    } else {
        asked.map_or_else(|| model.parts().to_vec(), |part| vec![part]).into_iter().map(Piece::One).collect()
    };
    let file = |piece: Piece| folder.join(format!("{}{}.onnx", piece.stem(), args.layout.suffix));
    Ok(pieces.into_iter().map(|piece| (piece, file(piece))).collect())
}

/// Checks that each pattern of a precision matches something in one of the parts.
fn expect_matches(args: &Build, model: &Pretrained, parts: &[Part]) -> Result<(), Failure> {
    if args.emit.io_dtype.iter().all(|(pattern, _)| pattern.is_none()) && args.emit.keep_f32.is_empty() {
        return Ok(());
    }
    let Some(given) = args.emit.precision(Some(args.dtype), &[])? else { return Ok(()) };
    let mut unmatched: Option<Vec<PrecisionError>> = None;
    for part in parts {
        let graph = model.build(*part, args.outputs_attention).map_err(Failure::model)?;
        let own = given.unmatched(&graph);
        let first_line = |error: &PrecisionError| error.to_string().lines().next().map(ToOwned::to_owned);
        let is_unmatched = |error: &PrecisionError| own.iter().any(|own| first_line(own) == first_line(error));
        unmatched = Some(match unmatched {
            Some(before) => before.into_iter().filter(is_unmatched).collect(),
            None => own,
        });
    }
    unmatched.into_iter().flatten().next().map_or(Ok(()), |error| Err(Failure::usage(error)))
}

/// Checks that each symbol of `--dim` is in one of the parts.
fn expect_dims(args: &Build, model: &Pretrained, parts: &[Part]) -> Result<(), Failure> {
    if args.judging.dims.is_empty() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    for part in parts {
        known.extend(symbols(&model.build(*part, args.outputs_attention).map_err(Failure::model)?));
    }
    let Some((symbol, _)) = args.judging.dims.iter().find(|(symbol, _)| !known.contains(symbol)) else { return Ok(()) };
    let known = known.iter().map(|symbol| format!("`{}`", symbol.as_str())).collect::<Vec<_>>().join(", ");
    let symbol = symbol.as_str();
    let text = format!("the model has no symbolic dim `{symbol}`\n  help: choose from {known}");
    Err(Failure::usage_with(Code::SymbolUnknown, text))
}

/// Writes the sizes of `--dim`, if the part has the symbols.
fn fix_dims(args: &Build, model: &mut Model) -> Result<(), Failure> {
    let known = symbols(&model.graph);
    let dims: Vec<_> = args.judging.dims.iter().filter(|(symbol, _)| known.contains(symbol)).cloned().collect();
    surgery::fix_dims(model, &dims)
}

/// Returns the precision of a result in a type, if one is requested: inputs and outputs stay in `f32`, as clients expect,
/// except those of the KV cache, which only pass through clients.
fn precision(args: &Build, to: Float) -> Result<Option<Precision>, Failure> {
    if args.dtype == Float::F32 && args.emit.io_dtype.is_empty() {
        return Ok(None);
    }
    let defaults = [(None, ElementType::F32), (Some("^(past|present)"), args.dtype.into())];
    let precision = args.emit.precision(Some(to), &defaults)?;
    // Each part has inputs and outputs of its own.
    Ok(precision.map(|precision| precision.with_unmatched_patterns(true)))
}

/// Writes a file with its parts, and returns the model that it holds. The inner error is that of the writer, so that the
/// caller can convert again.
fn build(
    args: &Build,
    pretrained: &Pretrained,
    parts: Vec<(Model, passes::Report)>,
    path: &Path,
    inputs: &Inputs,
    (start, spinner): (Instant, &Spinner),
    output: Output,
) -> Result<Result<(Built, Model), WriteError>, Failure> {
    let (mut models, mut reports, mut interface, mut quantized) = (vec![], vec![], vec![], vec![]);
    for (model, report) in parts {
        interface.extend(optimize::interface(&model, &report));
        quantized.extend(report.quantized.iter().cloned());
        models.push(model);
        reports.push(report);
    }
    let model = joined(models)?;
    // What both branches have is stored once.
    let mut seen = BTreeSet::new();
    quantized.retain(|weight| seen.insert(weight.name.clone()));
    interface.dedup();
    let external_data = args.emit.storage.external_data.into();
    let options = WriteOptions::default().with_external_data(external_data).with_kept_files(inputs.kept(path, &model));
    let options = options.with_progress(spinner.progress.clone());
    let written = match onnx::write(&model, path, &options) {
        Ok(written) => written,
        Err(error) => return Ok(Err(error)),
    };
    model_io::warn_of_data(&written, output)?;
    args.emit.warn_of_type(Some(args.dtype), &model, output)?;
    let quantization = args.emit.quantize.quantization()?;
    for report in &reports {
        output.rewrites(&report.applied)?;
        output.idle_patterns(&report.idle_patterns)?;
    }
    // What the name of a variant says must be true; weights that are stored in codes stay so.
    let is_named_by_scheme = args.layout.is_verified && pretrained.stored.is_none();
    let why_none = quantize::why_none(quantization.as_ref(), &reports).filter(|_| is_named_by_scheme);
    if why_none.is_none() {
        quantize::warn_if_none(quantization.as_ref(), &reports, output)?;
    }
    let counts = inventory(&model);
    let built = Built {
        path: path.to_owned(),
        nodes: counts.nodes,
        parameters: counts.parameters,
        constants: counts.constants,
        bytes: written.bytes,
        seconds: start.elapsed().as_secs_f64(),
        stored: pretrained.stored.clone(),
        interface,
        quantized: Quantized::new(&quantized),
        verified: None,
        is_variant: args.layout.is_verified,
        left_out: why_none.map(|reasons| format!("no weight can be quantized: {}", quantize::list(&reasons))),
    };
    Ok(Ok((built, model)))
}

/// Returns a part as it is declared.
fn declare(args: &Build, pretrained: &Pretrained, part: Part) -> Result<Model, Failure> {
    let mut model = Model::new(pretrained.build(part, args.outputs_attention).map_err(Failure::model)?);
    fix_dims(args, &mut model)?;
    model_io::set_opset(&mut model, args.emit.opset_for_cache())?;
    model.metadata.insert("task".to_owned(), pretrained.task.name().to_owned());
    Ok(model)
}

fn optimized(
    args: &Build,
    model: &Pretrained,
    part: Part,
    path: &Path,
    is_checked: bool,
) -> Result<(Model, passes::Report), Failure> {
    let mut model = declare(args, model, part)?;
    model_io::set_opset(&mut model, args.emit.opset)?;
    let mut options = args.emit.options()?;
    options.precision = precision(args, args.dtype)?;
    quantize::set_checked(&mut options, is_checked);
    let report = if args.no_optimize && options.precision.is_none() {
        passes::lower(&mut model, &args.emit.target(), false)
    } else {
        options.only = args.no_optimize.then(Vec::new);
        options.share_cache = shares_cache(args, part);
        // Only one branch of a merged decoder could pack its projections, and the branches share their weights.
        options.target.packs_projections &= args.emit.kv_cache != Some(KvCache::Merged);
        passes::optimize(&mut model, &options)
    };
    let mut report = report.map_err(|error| Failure::model_at(path, error))?;
    // The types of the result are those that build is documented to give.
    report.interface.clear();
    Ok((model, report))
}
