//! The command line, as clap reads it.

use crate::failure::Failure;
use clap::{Args, Parser, Subcommand, ValueEnum};
use netwright::evaluate::Tract;
use netwright::ir::{Dim, ElementType, Symbol};
use netwright::nn::Task;
use netwright::passes::{self, Target};
use netwright::verify::{OrtLevel, TOLERANCE};
use netwright::{nn, onnx};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// Build, optimize and verify Transformer models in ONNX.
#[derive(Debug, Parser)]
#[command(
    name = "netwright",
    version,
    after_help = "Exit codes: 0 fine; 1 the model fails (invalid, differs, bad external data); \
    2 usage or I/O; 3 not verifiable in the runtimes at hand."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print nothing but errors and asked-for data.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print more: every pass that did something.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a model from a Hugging Face folder (config.json and safetensors), or from a preset.
    Build(Build),
    /// List the families of models that `build` knows.
    Families,
    /// Optimize an ONNX file.
    Optimize(Optimize),
    /// Write a model in a newer version of ONNX's operators, and change nothing else.
    Upgrade(Upgrade),
    /// Run a model in tract or ONNX Runtime, or compare two.
    Verify(Verify),
    /// Check that a file is a sound model.
    Check {
        #[command(flatten)]
        input: Input,
    },
    /// Show what a model is made of.
    Inspect {
        #[command(flatten)]
        input: Input,
        /// Print the graph in the text form.
        #[arg(long)]
        text: bool,
    },
    /// List the passes.
    Passes,
    /// Judge one model for a parent process.
    #[command(name = netwright::verify::WORKER_SUBCOMMAND, hide = true)]
    Worker,
}

/// A float type of weights.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Float {
    F32,
    F16,
    Bf16,
}

impl From<Float> for ElementType {
    fn from(float: Float) -> Self {
        match float {
            Float::F32 => ElementType::F32,
            Float::F16 => ElementType::F16,
            Float::Bf16 => ElementType::BF16,
        }
    }
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Build {
    /// A folder, `transformer-base` or `transformer-big`.
    pub(crate) model: String,
    /// The file, if it ends in `.onnx`; else a folder for a file of each part, and copies of configuration and
    /// tokenizer.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// What the model is for [default: what the architecture in config.json is].
    #[arg(long)]
    pub(crate) task: Option<Task>,
    /// The float type of the weights, and of what is computed.
    #[arg(long, default_value = "f32")]
    pub(crate) dtype: Float,
    /// Decoders take and give the keys and values of earlier tokens; the past may be of length 0.
    #[arg(long)]
    pub(crate) with_past: bool,
    /// Leave tensors out that the model does not use, such as those of another head.
    #[arg(long)]
    pub(crate) allow_unused: bool,
    /// Build without an option of config.json that is not known; may be given several times.
    #[arg(long = "ignore-option", value_name = "NAME")]
    pub(crate) ignored_options: Vec<String>,
    /// Which graph of an encoder-decoder [default: the whole in a file, all others in a folder].
    #[arg(long)]
    pub(crate) part: Option<Part>,
    /// The seed of a preset's random weights [default: 0].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write the operators as they are declared, whatever the target.
    #[arg(long)]
    pub(crate) no_optimize: bool,
    /// Make the attention weights of every layer outputs.
    #[arg(long)]
    pub(crate) outputs_attention: bool,
    #[command(flatten)]
    pub(crate) emit: Emit,
    /// Run the result in tract, or in ONNX Runtime where tract cannot run it and ONNX Runtime is found.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Emit {
    /// The runtime to write for: onnx (standard operators), tract or ort (ONNX Runtime). ONNX Runtime refuses a fused
    /// attention whose batch or length is 0; `optimize --skip fuse-attention` writes a model that takes them.
    #[arg(long, default_value = "onnx")]
    pub(crate) target: Target,
    /// The version of ONNX's operators, or `auto`: raised as far as the operators ask for that the target runs best
    /// [default: auto for tract and ort; for onnx 21, or the file's own].
    #[arg(long)]
    pub(crate) opset: Option<Opset>,
    /// What becomes of the KV cache; shared changes the model's inputs and outputs and says how.
    #[arg(long, default_value = "concat")]
    pub(crate) kv_cache: KvCache,
    /// Whether weights go to a file beside the model: auto does so beyond 2 GiB.
    #[arg(long, default_value = "auto")]
    pub(crate) external_data: ExternalData,
}

impl Emit {
    /// Whether the KV cache becomes a buffer of the caller's, if what else is asked for allows it.
    pub(crate) fn shares_cache(&self, verify: bool) -> Result<bool, Failure> {
        if self.kv_cache == KvCache::Concat {
            return Ok(false);
        }
        let refused = if !self.target.contrib {
            format!("--kv-cache shared is for --target ort; {} has no operator for it", self.target)
        } else if verify {
            "--verify cannot judge --kv-cache shared, which changes what inputs and results are".to_owned()
        } else {
            return Ok(true);
        };
        Err(Failure::Usage(refused))
    }

    /// Returns how a model is optimized for the target, with the opset and the KV cache that are asked for.
    pub(crate) fn options(&self) -> passes::Options {
        let mut options = passes::Options::for_target(self.target).with_evaluator(Tract);
        if let Some(opset) = self.opset {
            options.raise_opset = opset == Opset::Auto;
        }
        options.with_share_cache(self.kv_cache == KvCache::Shared)
    }
}

/// A version of ONNX's operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opset {
    Auto,
    Is(i64),
}

impl FromStr for Opset {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Opset::Auto),
            number => number.parse().map(Opset::Is).map_err(|_| "it is a number or `auto`".to_owned()),
        }
    }
}

/// The model that a command opens, and how.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// The ONNX file.
    pub(crate) model: PathBuf,
    /// A folder in which external data may lie that the model's folder only has links to, such as a cache.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Put the functions of the model in place of the nodes that call them.
    #[arg(long)]
    pub(crate) inline_functions: bool,
    /// Refuse what is otherwise a warning: a declared shape that is not the inferred one, a size of -1.
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The file to write; it may be the input.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// The version of ONNX's operators.
    #[arg(long)]
    pub(crate) opset: i64,
    /// Whether weights go to a file beside the model: auto does so beyond 2 GiB.
    #[arg(long, default_value = "auto")]
    pub(crate) external_data: ExternalData,
    /// Leave weights in the input's files, which must lie in the output's folder and stay as they are.
    #[arg(long)]
    pub(crate) share_weights: bool,
}

/// What becomes of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KvCache {
    /// Stays as it is: a step gives the past with its keys and values behind.
    Concat,
    /// Is a buffer that the caller preallocates and a step adds to in place; for the target ort. The length of the past
    /// follows from the padding mask; a model without one gets an input `past_sequence_length`, i64 of one element.
    Shared,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Optimize {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The file to write; it may be the input.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// Leave weights in the input's files, which must lie in the output's folder and stay as they are: the output is
    /// small and names them by file, offset and length.
    #[arg(long)]
    pub(crate) share_weights: bool,
    #[command(flatten)]
    pub(crate) emit: Emit,
    /// The passes to run, by name and in the pipeline's order, or `none`.
    #[arg(long, visible_alias = "only", value_delimiter = ',')]
    pub(crate) passes: Option<Vec<String>>,
    /// Passes to leave out.
    #[arg(long, value_delimiter = ',', conflicts_with = "passes")]
    pub(crate) skip: Vec<String>,
    /// Stop after so many rewrites, to find the one that is to blame.
    #[arg(long)]
    pub(crate) stop_after: Option<usize>,
    /// Say of every near miss why the pass declined.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write a page that tells what became of the model, for a browser.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Print what changed in the text form.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Run both sides of every rewrite in tract, at several shapes, and leave out the rewrites that change a result.
    #[arg(long)]
    pub(crate) prove: bool,
    /// Run the result and the input, and compare what they compute.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Where they differ, find the rewrite that changed the result [default with --verify].
    #[arg(long, requires = "verify", conflicts_with = "no_bisect")]
    pub(crate) bisect: bool,
    /// Do not search for the rewrite that changed the result.
    #[arg(long, requires = "verify")]
    pub(crate) no_bisect: bool,
    /// Where they differ, write the smallest model that shows it there: before.onnx and after.onnx, and what both
    /// compute for inputs.safetensors. The folder is created, or holds nothing but these files.
    #[arg(long, value_name = "FOLDER", requires = "verify", conflicts_with = "no_bisect")]
    pub(crate) reproduce: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) runtimes: Runtimes,
    /// What a symbol stands for in that, such as batch=2 or past_plus_seq=past+seq; may be given several times.
    #[arg(long = "dim", value_name = "SYMBOL=SIZE", value_parser = binding, requires = "verify")]
    pub(crate) dims: Vec<(Symbol, Dim)>,
    /// How far elements may differ there, as in `verify`.
    #[arg(long, default_value_t = TOLERANCE, value_parser = tolerance, requires = "verify")]
    pub(crate) tolerance: f64,
    /// Try lengths of 512 there, as in `verify`.
    #[arg(long, requires = "verify")]
    pub(crate) long: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) input: Input,
    /// A second one, which must compute the same.
    pub(crate) other: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) runtimes: Runtimes,
    /// What a symbol stands for, such as batch=2 or past_plus_seq=past+seq; may be given several times.
    #[arg(long = "dim", value_name = "SYMBOL=SIZE", value_parser = binding)]
    pub(crate) dims: Vec<(Symbol, Dim)>,
    /// The seed of the inputs.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How far elements may differ: |a - b| <= t * max(|a|, scale), where the scale is the median magnitude of the
    /// output's elements.
    #[arg(long, default_value_t = TOLERANCE, value_parser = tolerance)]
    pub(crate) tolerance: f64,
    /// Also try lengths of 512, and lengths of 64 where the model has more than 300 million parameters.
    #[arg(long)]
    pub(crate) long: bool,
    /// Run with these inputs only: a safetensors file, or a folder with an .npy file for each input.
    #[arg(long, value_name = "FILE|FOLDER", conflicts_with_all = ["dims", "seed", "long", "dump"])]
    pub(crate) inputs: Option<PathBuf>,
    /// Write the inputs of every run and the first model's outputs there, as safetensors.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dump: Option<PathBuf>,
}

/// Where models run to be verified.
#[derive(Debug, Args)]
pub(crate) struct Runtimes {
    /// The runtime in which models are verified [default: auto].
    #[arg(long)]
    pub(crate) runtime: Option<Runtime>,
    /// The shared library of ONNX Runtime [default: the one that ORT_DYLIB_PATH names, or that of the Python package
    /// onnxruntime where it is installed].
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// How far ONNX Runtime optimizes a model before it runs it [default: disable].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) ort_level: Option<Level>,
}

impl Runtimes {
    /// Whether any of it is given.
    pub(crate) fn is_given(&self) -> bool {
        self.runtime.is_some() || self.ort_library.is_some() || self.ort_level.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// tract, and ONNX Runtime for what tract cannot judge, where its library is found.
    Auto,
    /// tract alone.
    Tract,
    /// ONNX Runtime alone.
    Ort,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// Not at all.
    Disable,
    /// Constant folding and removal of redundant nodes.
    Basic,
    /// Fusions, too.
    Extended,
    /// Everything that it has.
    All,
}

impl From<Level> for OrtLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Disable => OrtLevel::Disable,
            Level::Basic => OrtLevel::Basic,
            Level::Extended => OrtLevel::Extended,
            Level::All => OrtLevel::All,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    Encoder,
    Decoder,
    DecoderWithPast,
    #[value(alias = "both")]
    Whole,
}

impl From<Part> for nn::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Encoder => nn::Part::Encoder,
            Part::Decoder => nn::Part::Decoder,
            Part::DecoderWithPast => nn::Part::DecoderWithPast,
            Part::Whole => nn::Part::Whole,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExternalData {
    Auto,
    Always,
    Never,
}

impl From<ExternalData> for onnx::ExternalData {
    fn from(external: ExternalData) -> Self {
        match external {
            ExternalData::Auto => onnx::ExternalData::Auto,
            ExternalData::Always => onnx::ExternalData::Always,
            ExternalData::Never => onnx::ExternalData::Never,
        }
    }
}

fn binding(text: &str) -> Result<(Symbol, Dim), String> {
    let (symbol, size) = text.split_once('=').ok_or("expected SYMBOL=SIZE, such as batch=2")?;
    let size = size.parse::<Dim>().map_err(|error| error.to_string())?;
    Ok((Symbol::new(symbol.trim()), size))
}

fn tolerance(text: &str) -> Result<f64, String> {
    let tolerance: f64 = text.parse().map_err(|_| "expected a number, such as 1e-4")?;
    if tolerance.is_finite() && tolerance >= 0.0 { Ok(tolerance) } else { Err("expected 0 or more".to_owned()) }
}

/// What symbols are to stand for, each once.
pub(crate) fn bindings(dims: &[(Symbol, Dim)]) -> Result<BTreeMap<Symbol, Dim>, Failure> {
    let mut bindings = BTreeMap::new();
    for (symbol, dim) in dims {
        if bindings.insert(symbol.clone(), dim.clone()).is_some() {
            return Err(Failure::Usage(format!("--dim says twice what {symbol} stands for")));
        }
    }
    Ok(bindings)
}
