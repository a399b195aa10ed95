//! The arguments of the command line, parsed by clap.

use crate::about::VERSION;
use crate::failure::{Failure, Misuse};
use crate::layout::{Client, Layout, Variant};
use crate::optimize::computes_in;
use crate::output::{Output, counted};
use crate::quantize::Quantize;
use crate::schema::Described;
use crate::suggest;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use netwright::evaluate::Tract;
use netwright::ir::{Dim, ElementType, Model, Symbol};
use netwright::nn::Task;
use netwright::overview::{KERNELS_OF, missing_kernels};
use netwright::passes::{self, BLOCKS_SINCE, Precision, Target};
use netwright::{nn, onnx};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};

mod attention;
mod bench;
mod generate;
mod judging;
mod kv_cache;
mod surgery;
mod values;

pub(crate) use attention::Attention;
pub(crate) use bench::Bench;
pub(crate) use generate::{Eval, Generate};
pub(crate) use judging::{Judging, Runtime};
pub(crate) use kv_cache::KvCache;
use kv_cache::KvCacheParser;
use surgery::pair;
pub(crate) use surgery::{Extract, Interface, Merge, Rewrite, Split, size};
pub(crate) use values::{Float, Opset};
use values::{binding, io_type, target};

const READING: &str = "Reading";
const WEIGHTS: &str = "Weights in files";
const PASSES: &str = "Passes and reports";
const VERIFICATION: &str = "Verification";

/// Build, optimize and verify Transformer models in ONNX.
#[derive(Debug, Parser)]
#[command(
    name = "netwright",
    version,
    long_version = VERSION.as_str(),
    after_help = "Exit codes: 0 success; 1 the model fails (invalid, differs, bad external data); \
    2 usage or I/O; 3 no available runtime runs or judges the model."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Print only errors and requested data.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print more: every rewrite, all figures of a comparison.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a model from a Hugging Face folder (config.json and safetensors), a GGUF file, or a preset.
    Build(Box<Build>),
    /// Generate text with a decoder or an encoder-decoder, or transcribe speech.
    Generate(Box<Generate>),
    /// Measure how well a model predicts a text, or how much a second model differs on it.
    Eval(Eval),
    /// List the model families that `build` supports.
    Families {
        /// Show what `build` would build from a config.json, without weights, or why it cannot
        #[arg(long = "for", value_name = "CONFIG")]
        config: Option<PathBuf>,
        /// The task, instead of that of the configuration
        #[arg(long, requires = "config")]
        task: Option<Task>,
    },
    /// List the programs that `build --for` writes folders for, with the versions that are tested.
    Clients,
    /// Optimize an ONNX file.
    Optimize(Box<Optimize>),
    /// Convert a model to a newer opset, and change nothing else.
    Upgrade(Upgrade),
    /// Run a model in tract or ONNX Runtime, or compare two models.
    Verify(Verify),
    /// Measure the time and memory of a model, or of two in turns, in the available runtimes.
    Bench(Bench),
    /// Show which tokens of a text a pretrained model attends to.
    Attention(Box<Attention>),
    /// Check that a file is a valid model.
    Check {
        #[command(flatten)]
        input: Input,
    },
    /// Show the inputs, outputs and operators of a model, and what a run costs.
    Inspect(Inspect),
    /// Cut the part of a model that computes some values from others.
    Extract(Extract),
    /// Cut a model into a chain of models, with a file parts.json that records how they connect.
    Split(Split),
    /// Connect the outputs of models to the inputs of later ones.
    Merge(Merge),
    /// Remove descriptions, metadata, unused operator sets, and types that inference confirms.
    Strip(Rewrite),
    /// Move the weights of a model to a file of their own.
    Externalize(Rewrite),
    /// Move the weights of a model into its file.
    Embed(Rewrite),
    /// List the passes.
    Passes,
    /// Explain an error by its code, such as NW0101, or list all codes.
    Error {
        /// The code [default: all codes]
        code: Option<String>,
    },
    /// Print the completions for a shell.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the JSON Schema of what a command prints with --json.
    Schema {
        /// The command
        command: Described,
    },
    /// Verify one model for a parent process.
    #[command(name = netwright::verify::WORKER_SUBCOMMAND, hide = true)]
    Worker,
    /// Render one chat template for a parent process.
    #[command(name = netwright::generate::CHAT_SUBCOMMAND, hide = true)]
    ChatWorker,
    /// Measure one model for a parent process.
    #[command(name = netwright::verify::bench::BENCH_SUBCOMMAND, hide = true)]
    BenchWorker,
}

#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Build {
    /// A Hugging Face folder, a GGUF file, or one of the presets `transformer-base` and `transformer-big`.
    pub(crate) model: String,
    /// A file, if it ends in `.onnx`; otherwise a folder for one file per part and copies of the configuration and
    /// the tokenizer.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// Write the folder layout that this program expects, with all files that it reads.
    #[arg(long = "for", value_name = "CLIENT")]
    pub(crate) client: Option<Client>,
    /// With --for transformers.js, the precisions to write, separated by commas, each of which is verified first; all
    /// are for --target ort.
    #[arg(long, value_delimiter = ',', requires = "client")]
    pub(crate) variants: Vec<Variant>,
    #[arg(skip)]
    pub(crate) layout: Layout,
    /// The task, which selects the head [default: from `architectures` in config.json].
    #[arg(long)]
    pub(crate) task: Option<Task>,
    /// The float type of the weights, of the computation and of the KV cache. Other inputs and outputs are f32 unless
    /// --io-dtype says otherwise.
    #[arg(long, default_value = "f32")]
    pub(crate) dtype: Float,
    /// Give decoders a KV cache: past keys and values as inputs, present ones as outputs; the past may be empty.
    #[arg(long)]
    pub(crate) with_past: bool,
    /// Ignore tensors that the model does not use, such as those of another head.
    #[arg(long)]
    pub(crate) allow_unused: bool,
    /// Ignore this unsupported option of config.json or of a module's configuration; may be given several times.
    #[arg(long = "ignore-option", value_name = "NAME")]
    pub(crate) ignored_options: Vec<String>,
    /// Merge this PEFT adapter into the weights: a folder with adapter_config.json and adapter_model.safetensors.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) adapter: Option<PathBuf>,
    /// Which graph of an encoder-decoder to build [default: `whole` into a file, all others into a folder].
    #[arg(long)]
    pub(crate) part: Option<Part>,
    /// The seed of a preset's random weights [default: 0].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write the declared operators without optimizing them for the target.
    #[arg(long)]
    pub(crate) no_optimize: bool,
    /// Add the attention weights of every layer to the outputs.
    #[arg(long)]
    pub(crate) outputs_attention: bool,
    #[command(flatten)]
    pub(crate) emit: Emit,
    /// Run the result, and compare its outputs with those of the model as it is declared, not optimized.
    #[arg(help_heading = VERIFICATION, long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) judging: Judging,
}

impl Build {
    /// Returns whether the output is a file, not a folder.
    pub(crate) fn is_file(&self) -> bool {
        suggest::has_extension(&self.output, &["onnx"])
    }

    /// Returns whether the model is a path that exists, and not a preset.
    pub(crate) fn names_path(&self) -> bool {
        Path::new(&self.model).exists()
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target and types")]
pub(crate) struct Emit {
    /// The runtime to write for: onnx (standard operators), tract or ort (ONNX Runtime). ONNX Runtime refuses a fused
    /// attention whose batch or length is 0; `optimize --skip fuse-attention` writes a model that accepts them
    /// [default: onnx; with --for, ort].
    #[arg(long, value_parser = target)]
    pub(crate) target: Option<Target>,
    /// The opset of the output; `auto` raises it only as far as the best operators for the target need
    /// [default: auto for tract and ort; for onnx 21, or the opset of the input].
    #[arg(long)]
    pub(crate) opset: Option<Opset>,
    /// How the KV cache is written; `shared`, `static` and `sliding` change the inputs and outputs of the model
    /// [default: concat].
    #[arg(long, value_parser = KvCacheParser)]
    pub(crate) kv_cache: Option<KvCache>,
    #[command(flatten)]
    pub(crate) storage: Storage,
    /// The float type of inputs and outputs, f32, f16 or bf16; with a regular expression, only of those whose name
    /// contains a match: --io-dtype 'past|present=f16'. May be given several times; the last match wins.
    #[arg(long, value_name = "[REGEX=]TYPE", value_parser = io_type)]
    pub(crate) io_dtype: Vec<(Option<String>, ElementType)>,
    /// With --dtype, keep in f32 every node whose name, or a name of one of its results or weights, contains a match; may
    /// be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) keep_f32: Vec<String>,
    #[command(flatten)]
    pub(crate) quantize: Quantize,
}

/// How weights are stored.
// Each flag names its heading: next_help_heading would also apply to the flags after this group.
#[derive(Clone, Debug, Args)]
pub(crate) struct Storage {
    /// Write weights to a separate file; auto does so beyond 2 GiB.
    #[arg(help_heading = WEIGHTS, long, default_value = "auto")]
    pub(crate) external_data: ExternalData,
}

/// Whether the output shares the weights of the input.
#[derive(Debug, Args)]
pub(crate) struct Sharing {
    /// Leave weights in the input's files, which must lie in the output's folder and must not change: the output is
    /// small and refers to them by file, offset and length.
    #[arg(help_heading = WEIGHTS, long)]
    pub(crate) share_weights: bool,
}

impl Emit {
    /// Returns the precision that the flags request, after the given types of inputs and outputs.
    pub(crate) fn precision(
        &self,
        dtype: Option<Float>,
        defaults: &[(Option<&str>, ElementType)],
    ) -> Result<Option<Precision>, Failure> {
        let Some(dtype) = dtype else {
            let flags = [("--io-dtype", self.io_dtype.is_empty()), ("--keep-f32", self.keep_f32.is_empty())];
            return match flags.iter().find(|(_, is_empty)| !is_empty) {
                Some((flag, _)) => {
                    Err(Misuse::Requires.failure(format!("{flag} requires --dtype\n  help: add --dtype f16")))
                }
                None => Ok(None),
            };
        };
        let given = self.io_dtype.iter().map(|(pattern, element)| (pattern.as_deref(), *element));
        let precision = Precision::new(dtype.into()).and_then(|precision| {
            let precision = defaults.iter().copied().chain(given).try_fold(precision, |precision, io| match io {
                (Some(pattern), element) => precision.with_io_type_of(pattern, element),
                (None, element) => precision.with_io_type(element),
            })?;
            self.keep_f32.iter().try_fold(precision, |precision, pattern| precision.with_kept_f32(pattern))
        });
        precision.map(Some).map_err(Failure::usage)
    }

    /// Returns the runtime to write for.
    pub(crate) fn target(&self) -> Target {
        self.target.unwrap_or(Target::ONNX)
    }

    /// Warns if the target does not run a model that was converted to bf16.
    pub(crate) fn warn_of_type(&self, dtype: Option<Float>, model: &Model, output: Output) -> Result<(), Failure> {
        if dtype != Some(Float::Bf16) || !computes_in(&model.graph, ElementType::BF16) {
            return Ok(());
        }
        let missing = missing_kernels(model).into_iter().filter(|(why, _)| why.contains("bf16"));
        let nodes = missing.map(|(_, nodes)| nodes).sum::<usize>();
        let why = match self.target() {
            Target::TRACT => "tract does not read bf16, so that it cannot run the model".to_owned(),
            Target::ORT if nodes > 0 => {
                let nodes = counted(nodes, "node");
                format!(
                    "{} has no CPU kernel in bf16 for {nodes}, so that it does not load the model on a CPU",
                    *KERNELS_OF
                )
            }
            _ => return Ok(()),
        };
        output.warn(&format!("{why}; --dtype f16 runs there"))
    }

    /// Returns whether the KV cache becomes a buffer of the caller's; an error if the target has no
    /// operator for that.
    pub(crate) fn shares_cache(&self) -> Result<bool, Failure> {
        if self.kv_cache != Some(KvCache::Shared) {
            return Ok(false);
        }
        if !self.target().contrib {
            return Err(Misuse::NotFor.failure(format!(
                "--kv-cache shared is not available for --target {}, which has no operator for it\n  help: use --target ort",
                self.target()
            )));
        }
        Ok(true)
    }

    /// Returns the opset to which a model must be raised because the target has weights in blocks only as standard
    /// operators.
    pub(crate) fn opset_for_blocks(&self, opset: i64) -> Option<Opset> {
        let is_standard = self.quantize.has_blocks() && self.target() == Target::ONNX;
        (is_standard && opset < BLOCKS_SINCE).then_some(Opset::Is(BLOCKS_SINCE))
    }

    /// Returns the options of the optimizer, with the requested target, opset and KV cache.
    ///
    /// An error if the request to quantize weights is not valid.
    pub(crate) fn options(&self) -> Result<passes::Options, Failure> {
        let mut options = passes::Options::for_target(self.target()).with_evaluator(Tract);
        options.quantization = self.quantize.quantization()?;
        options.dequantize = self.quantize.dequantize;
        if let Some(opset) = self.opset {
            options.raise_opset = opset == Opset::Auto;
        }
        Ok(options.with_share_cache(self.kv_cache == Some(KvCache::Shared)))
    }
}

/// The model that a command opens, and how it is read.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// The ONNX file.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// How models are read.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// An additional folder into which links to external data may lead, such as a download cache.
    #[arg(help_heading = READING, long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Replace every call of a function by the body of the function.
    #[arg(help_heading = READING, long)]
    pub(crate) inline_functions: bool,
    /// Treat warnings as errors: a declared shape that is not the inferred one, a size of -1.
    #[arg(help_heading = READING, long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The size of a symbolic dim, such as batch=1, for which costs are numbers instead of formulas; may be given several
    /// times.
    #[arg(long = "dim", value_name = "SYMBOL=SIZE", value_parser = binding)]
    pub(crate) dims: Vec<(Symbol, Dim)>,
    /// List the operators with what they cost.
    #[arg(long)]
    pub(crate) ops: bool,
    /// Show the parameters by module.
    #[arg(long)]
    pub(crate) tree: bool,
    /// List the weights with their smallest and largest element, their mean, NaN and zeros; reads all weights.
    #[arg(long)]
    pub(crate) weights: bool,
    /// Show the node with this name or with a result of this name: its operands, its results and their readers, its cost,
    /// and the metadata of the exporter. If nothing has this name, the error lists the nodes of the operator of this name, or
    /// the names that contain it.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["ops", "tree", "weights", "text"])]
    pub(crate) node: Option<String>,
    /// Print the graph in the text form. Tensors of more than 16 elements appear as a hash or as their place in the file.
    #[arg(long, conflicts_with_all = ["ops", "tree", "weights"])]
    pub(crate) text: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The file to write; it may be the input.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// The opset to convert to.
    #[arg(long)]
    pub(crate) opset: i64,
    #[command(flatten)]
    pub(crate) storage: Storage,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Optimize {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The file to write, if it does not exist yet; with -o FOLDER, more models.
    #[arg(value_name = "OUTPUT|MODEL")]
    pub(crate) more: Vec<PathBuf>,
    /// The file to write, which may be the input; for several models, a folder in which each keeps its name. Without
    /// an output, the changes are shown and nothing is written.
    #[arg(short, long, value_name = "FILE|FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// The number of models that are optimized at a time.
    #[arg(short, long, value_name = "N", default_value = "1")]
    pub(crate) jobs: NonZero<usize>,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
    #[command(flatten)]
    pub(crate) interface: Interface,
    #[command(flatten)]
    pub(crate) emit: Emit,
    /// Convert the model to this float type. What would lose its meaning stays in f32 and is listed by --explain; inputs
    /// and outputs keep their types unless --io-dtype says otherwise. f32 implies --dequantize without --quantize.
    #[arg(help_heading = "Target and types", long)]
    pub(crate) dtype: Option<Float>,
    /// Give a decoder without a KV cache one: inputs past_key_values.N.key and .value, outputs present.N.key and .value.
    /// A padding mask then covers past and new tokens. The model must attend causally; what cannot be computed step by
    /// step is refused with the reason.
    #[arg(help_heading = "Target and types", long)]
    pub(crate) add_kv_cache: bool,
    /// Run the model with these inputs, and keep in f32 what does not stay within half of the range of f16: a safetensors
    /// file, or a folder with one .npy file per input. Requires --dtype f16; values within If, Loop and Scan are not
    /// measured. --verify compares with these inputs too.
    #[arg(help_heading = "Target and types", long, value_name = "FILE|FOLDER")]
    pub(crate) calibrate: Option<PathBuf>,
    /// Run only these passes, in the order of the pipeline, or `none`.
    #[arg(help_heading = PASSES, long, visible_alias = "only", value_delimiter = ',')]
    pub(crate) passes: Option<Vec<String>>,
    /// Do not run these passes.
    #[arg(help_heading = PASSES, long, value_delimiter = ',', conflicts_with = "passes")]
    pub(crate) skip: Vec<String>,
    /// Stop after this many rewrites, to find the one that changed the result.
    #[arg(help_heading = PASSES, long)]
    pub(crate) stop_after: Option<usize>,
    /// Report what each attention, normalization and activation became, and why a pass declined a near miss; with
    /// --verbose, every rewrite.
    #[arg(help_heading = PASSES, long)]
    pub(crate) explain: bool,
    /// Write a report of all changes as an HTML page.
    #[arg(help_heading = PASSES, long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Print the change of the graph in the text form.
    #[arg(help_heading = PASSES, long)]
    pub(crate) diff: bool,
    /// Run both sides of every rewrite in tract at several shapes, and leave out rewrites that change a result.
    #[arg(help_heading = VERIFICATION, long)]
    pub(crate) prove: bool,
    /// Run the input and the result, and compare their outputs.
    #[arg(help_heading = VERIFICATION, long)]
    pub(crate) verify: bool,
    /// If the outputs differ, find the rewrite that changed the result [default with --verify].
    #[arg(help_heading = VERIFICATION, long, requires = "verify", conflicts_with = "no_bisect")]
    pub(crate) bisect: bool,
    /// Do not search for the rewrite that changed the result.
    #[arg(help_heading = VERIFICATION, long, requires = "verify")]
    pub(crate) no_bisect: bool,
    /// If the outputs differ, write the smallest model that shows the difference: before.onnx, after.onnx,
    /// inputs.safetensors and the outputs of both. The folder must be new or hold only these files.
    #[arg(help_heading = VERIFICATION, long, value_name = "FOLDER", requires = "verify", conflicts_with = "no_bisect")]
    pub(crate) reproduce: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) judging: Judging,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) input: Input,
    /// A second model, whose outputs must be equal.
    pub(crate) other: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) judging: Judging,
    /// The seed of the random inputs.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Compare the values that both models have in common, in the order in which the second model computes them, for the
    /// sizes and inputs for which outputs differ, and name the operator that adds most of the error.
    #[arg(long, requires = "other", conflicts_with_all = ["min_cosine", "dump", "long"])]
    pub(crate) by_layer: bool,
    /// Run with only these inputs: a safetensors file or the folder that holds it, or a folder with one .npy file per input.
    #[arg(long, value_name = "FILE|FOLDER", conflicts_with_all = ["dims", "seed", "long", "dump"])]
    pub(crate) inputs: Option<PathBuf>,
    /// Give an input of the first model the name that it has in the second; may be given several times.
    #[arg(long, value_name = "OLD=NEW", value_parser = pair, requires = "other")]
    pub(crate) rename_input: Vec<(String, String)>,
    /// Give an output of the first model the name that it has in the second; may be given several times.
    #[arg(long, value_name = "OLD=NEW", value_parser = pair, requires = "other")]
    pub(crate) rename_output: Vec<(String, String)>,
    /// Write the inputs of every run and the outputs of the first model to this folder, as safetensors.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dump: Option<PathBuf>,
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

/// Returns the sizes of symbolic dims; an error if one is given twice.
pub(crate) fn bindings(dims: &[(Symbol, Dim)]) -> Result<BTreeMap<Symbol, Dim>, Failure> {
    let mut bindings = BTreeMap::new();
    for (symbol, dim) in dims {
        if bindings.insert(symbol.clone(), dim.clone()).is_some() {
            return Err(Misuse::Twice.failure(format!("--dim gives {symbol} two sizes\n  help: leave out one of them")));
        }
    }
    Ok(bindings)
}
