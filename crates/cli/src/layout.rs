//! The folders that other programs open: `build --for`.

use crate::args::{Build, Float, KvCache};
use crate::build::{failed, open_folder};
use crate::failure::{Failure, Misuse};
use clap::ValueEnum;
use netwright::nn::{OpenError, Pretrained, SentenceModule, Task, sentence_modules};
use netwright::passes::{Scheme, Target};
use std::path::{Path, PathBuf};

mod companions;
mod genai;

pub(crate) use companions::{Companion, companions};

/// A program that opens folders of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// optimum-onnx: a decoder with a KV cache, an encoder-decoder in three files.
    #[value(alias = "optimum-onnx")]
    Optimum,
    /// transformers.js: models in the folder `onnx`, an encoder-decoder in two files; --variants adds precisions.
    #[value(name = "transformers.js")]
    TransformersJs,
    /// sentence-transformers: onnx/model.onnx with the states of the tokens, and the modules that pool them.
    SentenceTransformers,
    /// onnxruntime-genai: a decoder with a shared cache, in int4 unless --quantize says otherwise, and
    /// genai_config.json.
    #[value(alias = "onnxruntime-genai")]
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
    /// Whether the model gets a KV cache if it can have one, as for programs that use one.
    pub(crate) may_have_past: bool,
}

/// Returns the builds that a call requests: one, or one a variant.
pub(crate) fn builds(args: &Build) -> Result<Vec<Build>, Failure> {
    let Some(client) = args.client else { return Ok(vec![args.clone()]) };
    if !Path::new(&args.model).is_dir() {
        let text =
            format!("--for reads a Hugging Face folder, which {} is not\n  help: name such a folder", args.model);
        return Err(Misuse::NotFor.failure(text));
    }
    if args.is_file() {
        return Err(Misuse::Place.failure("--for writes a folder, and -o names a file\n  help: name a folder with -o"));
    }
    if args.part.is_some() {
        return Err(Misuse::Conflict.failure("--for writes all parts of the model\n  help: leave out --part"));
    }
    if args.emit.kv_cache.is_some() {
        return Err(Misuse::Conflict.failure("--for chooses how the KV cache is written\n  help: leave out --kv-cache"));
    }
    // All of them run ONNX Runtime.
    let mut args = args.clone();
    let target = *args.emit.target.get_or_insert(Target::ORT);
    if target != Target::ORT && (client == Client::Genai || !args.variants.is_empty()) {
        let flag = if client == Client::Genai { "--for genai" } else { "--variants" };
        let text =
            format!("{flag} writes operators of ONNX Runtime, and --target is {target}\n  help: leave out --target");
        return Err(Misuse::Conflict.failure(text));
    }
    match client {
        Client::Optimum => {}
        Client::TransformersJs => args.layout.folder = "onnx".into(),
        Client::SentenceTransformers => {
            let modules = modules(Path::new(&args.model))?;
            args.layout.folder = Path::new(transformer(&modules)).join("onnx");
            // Modules after the Transformer read its states; without them, it has a head of its own.
            args.task = args.task.or((modules.len() > 1).then_some(Task::FeatureExtraction));
        }
        Client::Genai => {
            args.with_past = true;
            args.emit.kv_cache = Some(KvCache::Shared);
            args.emit.quantize.scheme = Some(args.emit.quantize.scheme.unwrap_or(Scheme::Int4));
        }
    }
    if args.variants.is_empty() {
        if client == Client::TransformersJs && (args.dtype != Float::F32 || args.emit.quantize.is_requested()) {
            return Err(Misuse::NotFor.failure(
                "transformers.js recognizes types and schemes by file names\n  help: pass --variants, such as --variants \
                 fp16,q4, instead of --dtype and --quantize",
            ));
        }
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
    args.with_past |=
        args.layout.may_have_past || matches!(args.client, Some(Client::Optimum | Client::TransformersJs));
    let model = match open(args) {
        Err(OpenError::NoPast { .. }) if !asked => {
            args.with_past = false;
            open(args)?
        }
        model => model?,
    };
    if args.client == Some(Client::TransformersJs) && model.is_encoder_decoder() && args.with_past {
        args.emit.kv_cache = Some(KvCache::Merged);
    }
    Ok(model)
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
