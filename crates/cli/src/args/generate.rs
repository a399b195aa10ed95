//! The arguments of `netwright generate`.

use super::Runtime;
use clap::{ArgGroup, Args};
use std::path::PathBuf;

const CHOICE: &str = "Choice of tokens";
const BEAMS: &str = "Beam search";
const LENGTH: &str = "Length";
const RUNNING: &str = "Running";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["prompts", "audio"])))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Generate {
    /// A folder that `build` wrote, or the ONNX file of a decoder; or a Hugging Face folder or a GGUF file, which is
    /// built first into the user's cache folder.
    #[arg(value_name = "FOLDER|MODEL")]
    pub(crate) model: PathBuf,
    /// The text to continue, or the source of an encoder-decoder; several are one batch.
    #[arg(short, long = "prompt", value_name = "TEXT")]
    pub(crate) prompts: Vec<String>,
    /// Write each prompt as the message of a user, in the chat template of the model.
    #[arg(long)]
    pub(crate) chat: bool,
    /// The first message of a chat, which says how to answer.
    #[arg(long, value_name = "TEXT", requires = "chat", conflicts_with = "audio")]
    pub(crate) system: Option<String>,
    /// A WAV file with speech of any length to transcribe: one channel, with the rate of the model.
    #[arg(long, value_name = "FILE.wav", conflicts_with = "chat")]
    pub(crate) audio: Option<PathBuf>,
    /// The language of the speech, such as `en` [default: that of generation_config.json, or the detected one].
    #[arg(long, value_name = "NAME", requires = "audio", conflicts_with = "prompts")]
    pub(crate) language: Option<String>,
    /// What to do with the speech, `transcribe` or `translate` [default: that of generation_config.json].
    #[arg(long, value_name = "NAME", requires = "audio", conflicts_with = "prompts")]
    pub(crate) task: Option<String>,
    /// Print when each part of the speech starts and ends, in seconds.
    #[arg(long, requires = "audio", conflicts_with = "prompts")]
    pub(crate) timestamps: bool,
    /// Ignore this unsupported option of generation_config.json; may be given several times.
    #[arg(long = "ignore-option", value_name = "NAME")]
    pub(crate) ignored_options: Vec<String>,

    /// The maximum number of new tokens; for speech, of each window [default: that of generation_config.json, or 128].
    #[arg(help_heading = LENGTH, long, value_name = "N")]
    pub(crate) max_new_tokens: Option<usize>,
    /// The number of new tokens before which no end token is chosen.
    #[arg(help_heading = LENGTH, long, value_name = "N")]
    pub(crate) min_new_tokens: Option<usize>,
    /// End at this text, which is not printed; may be given several times.
    #[arg(help_heading = LENGTH, long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,

    /// Choose the most probable token [default: as generation_config.json says].
    #[arg(help_heading = CHOICE, long, conflicts_with_all = ["sample", "temperature", "top_k", "top_p", "min_p"])]
    pub(crate) greedy: bool,
    /// Draw tokens at random; implied by --temperature, --top-k, --top-p and --min-p.
    #[arg(help_heading = CHOICE, long)]
    pub(crate) sample: bool,
    /// Divide the scores by this before a token is drawn.
    #[arg(help_heading = CHOICE, long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f32>,
    /// Draw from the K most probable tokens; 0 means all.
    #[arg(help_heading = CHOICE, long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Draw from the most probable tokens whose probabilities add up to P.
    #[arg(help_heading = CHOICE, long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,
    /// Draw only tokens with at least P times the largest probability.
    #[arg(help_heading = CHOICE, long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) min_p: Option<f32>,
    /// The seed of random draws.
    #[arg(help_heading = CHOICE, long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Divide positive scores of tokens that occurred by this, and multiply negative ones.
    #[arg(help_heading = CHOICE, long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Never repeat a sequence of N tokens; 0 allows all.
    #[arg(help_heading = CHOICE, long, value_name = "N")]
    pub(crate) no_repeat_ngram_size: Option<usize>,
    /// Never choose these tokens, given by their ids.
    #[arg(help_heading = CHOICE, long, value_name = "ID", value_delimiter = ',')]
    pub(crate) suppress_tokens: Vec<u32>,

    /// Search with this number of beams; the text is printed at the end.
    #[arg(help_heading = BEAMS, long, value_name = "N")]
    pub(crate) num_beams: Option<usize>,
    /// Divide the score of a beam by its length to this power.
    #[arg(help_heading = BEAMS, long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) length_penalty: Option<f64>,
    /// End when there are as many finished sequences as beams.
    #[arg(help_heading = BEAMS, long)]
    pub(crate) early_stopping: bool,

    /// The runtime.
    #[arg(help_heading = RUNNING, long, default_value = "auto")]
    pub(crate) runtime: Runtime,
    /// The shared library of ONNX Runtime [default: ORT_DYLIB_PATH, or the library of an installed Python package
    /// onnxruntime].
    #[arg(help_heading = RUNNING, long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// Build a Hugging Face folder into a temporary folder, not into the user's cache folder, which holds up to 20 GB or
    /// the size in `NETWRIGHT_CACHE_SIZE`.
    #[arg(help_heading = RUNNING, long)]
    pub(crate) no_cache: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// A decoder, a masked language model or an embedding model: a folder that `build` wrote, or an ONNX file with its
    /// tokenizer beside it; or a Hugging Face folder or a GGUF file, which is built first into the user's cache folder.
    #[arg(value_name = "FOLDER|MODEL")]
    pub(crate) model: PathBuf,
    /// A second model to compare, such as a quantized variant.
    #[arg(value_name = "FOLDER|MODEL")]
    pub(crate) other: Option<PathBuf>,
    /// The text: for perplexity one text, for embeddings one sentence per line, of which the first 512 tokens count.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Use only this number of tokens of the text.
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<usize>,
    /// The runtime.
    #[arg(long, default_value = "auto")]
    pub(crate) runtime: Runtime,
    /// The shared library of ONNX Runtime [default: ORT_DYLIB_PATH, or the library of an installed Python package
    /// onnxruntime].
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// Build a Hugging Face folder into a temporary folder, not into the user's cache folder, which holds up to 20 GB or
    /// the size in `NETWRIGHT_CACHE_SIZE`.
    #[arg(long)]
    pub(crate) no_cache: bool,
}
