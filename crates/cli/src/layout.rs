//! The folders that other programs open: `build --for`.

use crate::args::{Build, Float, KvCache};
use crate::build::{failed, open_folder};
use crate::failure::{Failure, Misuse};
use crate::overwrite::Inputs;
use clap::ValueEnum;
use netwright::files;
use netwright::nn::{OpenError, Pretrained, SentenceModule, Task, sentence_modules};
use netwright::passes::{Scheme, Target};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

mod genai;

/// A program that opens folders of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// optimum-onnx: a decoder with a KV cache, an encoder-decoder in three files.
    Optimum,
    /// transformers.js: models in the folder `onnx`, an encoder-decoder in two files; in --variants.
    #[value(name = "transformers.js")]
    TransformersJs,
    /// sentence-transformers: onnx/model.onnx with the states of the tokens, and the modules that pool them.
    SentenceTransformers,
    /// onnxruntime-genai: a decoder with a shared cache, in int4 unless --quantize says otherwise, and
    /// genai_config.json.
    Genai,
}

impl Client {
    /// Returns the version with which the folders are tested.
    pub(crate) fn tested(self) -> &'static str {
        match self {
            Client::Optimum => "0.1.0",
            Client::TransformersJs => "4.3.2",
            Client::SentenceTransformers => "5.7.0",
            Client::Genai => "0.18.0",
        }
    }
}

/// A precision of a model, with the name that transformers.js gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Variant {
    /// f32: model.onnx.
    Fp32,
    /// f16: `model_fp16.onnx`.
    Fp16,
    /// int8-dynamic: `model_quantized.onnx`.
    Q8,
    /// int8-dynamic: `model_int8.onnx`.
    Int8,
    /// uint8-dynamic: `model_uint8.onnx`.
    Uint8,
    /// int4: `model_q4.onnx`.
    Q4,
    /// int4 in f16: `model_q4f16.onnx`.
    Q4f16,
    /// Each of these.
    All,
}

impl Variant {
    /// The end of the name of a file.
    fn suffix(self) -> &'static str {
        match self {
            Variant::Fp32 | Variant::All => "",
            Variant::Fp16 => "_fp16",
            Variant::Q8 => "_quantized",
            Variant::Int8 => "_int8",
            Variant::Uint8 => "_uint8",
            Variant::Q4 => "_q4",
            Variant::Q4f16 => "_q4f16",
        }
    }

    fn dtype(self) -> Float {
        if matches!(self, Variant::Fp16 | Variant::Q4f16) { Float::F16 } else { Float::F32 }
    }

    fn scheme(self) -> Option<Scheme> {
        match self {
            Variant::Q8 | Variant::Int8 => Some(Scheme::Int8Dynamic),
            Variant::Uint8 => Some(Scheme::Uint8Dynamic),
            Variant::Q4 | Variant::Q4f16 => Some(Scheme::Int4),
            Variant::Fp32 | Variant::Fp16 | Variant::All => None,
        }
    }
}

/// Where the models of a folder are, and how their names end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// The folder of the models in the output.
    pub(crate) folder: PathBuf,
    /// The end of the names of the models, before `.onnx`.
    pub(crate) suffix: &'static str,
    /// Whether a model is written only if it is verified.
    pub(crate) is_verified: bool,
    /// Whether an earlier build of the call writes what lies beside the models.
    pub(crate) is_further: bool,
}

/// Returns the builds that a call requests: one, or one a variant.
pub(crate) fn builds(args: &Build) -> Result<Vec<Build>, Failure> {
    let Some(client) = args.client else { return Ok(vec![args.clone()]) };
    if args.is_file() || args.part.is_some() || !Path::new(&args.model).is_dir() {
        return Err(Misuse::NotFor.failure(
            "--for turns a Hugging Face folder into a folder with all parts of the model\n  help: name folders, and leave out \
             --part",
        ));
    }
    if args.emit.kv_cache != KvCache::Concat {
        return Err(Misuse::Conflict.failure("--for chooses how the KV cache is written\n  help: leave out --kv-cache"));
    }
    let mut args = args.clone();
    match client {
        Client::Optimum => {}
        Client::TransformersJs => args.layout.folder = "onnx".into(),
        Client::SentenceTransformers => {
            let modules = modules(Path::new(&args.model))?;
            args.layout.folder = Path::new(transformer(&modules)).join("onnx");
            args.task = Some(args.task.unwrap_or(Task::FeatureExtraction));
        }
        Client::Genai => {
            args.with_past = true;
            args.emit.target = Target::ORT;
            args.emit.kv_cache = KvCache::Shared;
            args.emit.quantize.scheme = Some(args.emit.quantize.scheme.unwrap_or(Scheme::Int4));
        }
    }
    if args.variants.is_empty() {
        return Ok(vec![args]);
    }
    if client != Client::TransformersJs {
        return Err(Misuse::Requires.failure("--variants requires --for transformers.js, whose names they have"));
    }
    if args.dtype != Float::F32 || args.emit.quantize.is_requested() {
        return Err(
            Misuse::Conflict.failure("--variants chooses types and schemes\n  help: leave out --dtype and --quantize")
        );
    }
    let mut variants = args.variants.clone();
    if variants.contains(&Variant::All) {
        let all = Variant::value_variants().iter().copied();
        variants = all.filter(|variant| *variant != Variant::All).collect();
    }
    variants.sort_unstable();
    variants.dedup();
    let build = |(at, variant): (usize, Variant)| {
        let mut args = args.clone();
        args.dtype = variant.dtype();
        args.emit.quantize.scheme = variant.scheme();
        // Browsers run the operators of ONNX Runtime.
        args.emit.target = Target::ORT;
        args.layout.suffix = variant.suffix();
        args.layout.is_verified = true;
        args.layout.is_further = at > 0;
        args
    };
    Ok(variants.into_iter().enumerate().map(build).collect())
}

/// Opens a model, with a KV cache if the program uses one and the model has one.
pub(crate) fn open(args: &mut Build) -> Result<Pretrained, OpenError> {
    let open = |args: &Build| open_folder(args, args.emit.quantize.dequantize);
    let asked = args.with_past;
    args.with_past |= matches!(args.client, Some(Client::Optimum | Client::TransformersJs));
    let model = match open(args) {
        Err(OpenError::NoPast { .. }) if !asked => {
            args.with_past = false;
            open(args)?
        }
        model => model?,
    };
    if args.client == Some(Client::TransformersJs) && model.is_encoder_decoder() && args.with_past {
        args.emit.kv_cache = KvCache::Merged;
    }
    Ok(model)
}

/// The licence and the model card of a folder.
const CARDS: [&str; 7] = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "NOTICE", "README.md", "USE_POLICY.md"];

/// The files of a module after the Transformer.
const MODULE: [&str; 3] = ["config.json", "model.safetensors", "pytorch_model.bin"];

/// Copies what the program reads besides the models.
pub(crate) fn copy_modules(args: &Build, model: &Pretrained, beside: &[&str], inputs: &Inputs) -> Result<(), Failure> {
    let (from, to) = (Path::new(&args.model), args.output.as_path());
    let Some(client) = args.client else { return Ok(()) };
    copy_files(from, to, &CARDS, inputs)?;
    match client {
        Client::Optimum => Ok(()),
        Client::TransformersJs => write_config(&to.join("config.json")),
        Client::Genai => {
            let text = genai::config(from, model)?;
            let path = to.join("genai_config.json");
            inputs.expect_other("genai_config.json", &path)?;
            files::write_file(&path, text).map_err(Failure::usage)
        }
        Client::SentenceTransformers => {
            copy_files(from, to, &["modules.json"], inputs)?;
            let modules = modules(from)?;
            for module in &modules {
                let (from, to) = (from.join(&module.path), to.join(&module.path));
                if from.is_dir() {
                    files::create_folder(&to).map_err(Failure::usage)?;
                    let names = if is_transformer(module) { beside } else { &MODULE };
                    copy_files(&from, &to, names, inputs)?;
                }
            }
            Ok(())
        }
    }
}

/// Copies the files that exist.
pub(crate) fn copy_files(from: &Path, to: &Path, names: &[&str], inputs: &Inputs) -> Result<(), Failure> {
    for name in names {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_file() && from.canonicalize().ok() != to.canonicalize().ok() {
            inputs.expect_other(&format!("the copy of {name}"), &to)?;
            files::copy_file(&from, &to).map_err(Failure::usage)?;
        }
    }
    Ok(())
}

/// Adds to a configuration what transformers.js reads of it: the type of the KV cache by variant.
fn write_config(path: &Path) -> Result<(), Failure> {
    const KEY: &str = "transformers.js_config";
    let text = files::read_text(path, 1 << 24).map_err(Failure::usage)?;
    let Some((body, _)) = text.rsplit_once('}').filter(|_| !text.contains(KEY)) else { return Ok(()) };
    let mut text = body.trim_end().to_owned();
    let of_f16: Vec<_> = [Variant::Fp16, Variant::Q4f16].iter().filter_map(ValueEnum::to_possible_value).collect();
    let types: Vec<_> = of_f16.iter().map(|variant| format!("\"{}\": \"float16\"", variant.get_name())).collect();
    let _ = write!(text, ",\n  \"{KEY}\": {{\"kv_cache_dtype\": {{{}}}}}\n}}\n", types.join(", "));
    files::write_file(path, text).map_err(Failure::usage)
}

/// Reads the modules of a folder of sentence-transformers.
fn modules(folder: &Path) -> Result<Vec<SentenceModule>, Failure> {
    sentence_modules(folder).map_err(failed)?.ok_or_else(|| {
        Misuse::Path.failure(format!(
            "{}: there is no modules.json, so it is not a folder of sentence-transformers\n  help: --for optimum writes any \
             encoder",
            folder.display()
        ))
    })
}

fn is_transformer(module: &SentenceModule) -> bool {
    module.kind() == "Transformer"
}

/// Returns the path of the Transformer among modules.
fn transformer(modules: &[SentenceModule]) -> &str {
    modules.iter().find(|module| is_transformer(module)).map_or("", |module| &module.path)
}
