//! Words of other tools: commands, flags and values that users try, with what to write instead.

use crate::args::Cli;
use crate::suggest::has_extension;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory};
use netwright::ir::nearest::meant;
use std::path::Path;

/// Commands, with what to write instead.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["compare", "diff", "test", "validate"], "compare two models: `netwright verify A.onnx B.onnx`"),
    (&["quantize", "quant"], "quantize weights: `netwright optimize MODEL.onnx -o NEW.onnx --quantize int8`"),
    (&["convert", "cast"], "convert the weights: `netwright optimize MODEL.onnx -o NEW.onnx --dtype f16`"),
    (&["simplify", "slim", "sim", "opt"], "simplify a model: `netwright optimize MODEL.onnx -o NEW.onnx`"),
    (&["export", "compile", "create", "import"], "build a model: `netwright build FOLDER -o MODEL.onnx`"),
    (
        &["info", "show", "summary", "stats", "view", "print", "dump", "ls"],
        "show a model: `netwright inspect MODEL.onnx`",
    ),
    (
        &["run", "infer", "exec"],
        "generate text: `netwright generate MODEL --prompt TEXT`; run any model: `netwright verify MODEL.onnx`",
    ),
    (&["rename"], "rename an input: `netwright optimize MODEL.onnx -o NEW.onnx --passes none --rename-input OLD=NEW`"),
    (&["benchmark", "profile", "time", "perf"], "measure a model: `netwright bench MODEL.onnx`"),
    (&["evaluate", "perplexity"], "measure how well a model predicts a text: `netwright eval MODEL --text FILE`"),
    (&["visualize", "graph"], "show the graph: `netwright inspect MODEL.onnx --text`"),
    (&["chat", "complete", "serve"], "generate text: `netwright generate MODEL --prompt TEXT`"),
    (&["models", "list", "supported"], "list the supported families: `netwright families`"),
    (
        &["explain"],
        "explain an error: `netwright error CODE`; explain rewrites: `netwright optimize MODEL.onnx --explain`",
    ),
    (&["version"], "print the version: `netwright --version`"),
];

/// Flags, with what to write instead.
const FLAGS: &[(&[&str], &str)] = &[
    (&["--fp16", "--f16", "--half", "--float16"], "use --dtype f16"),
    (&["--bf16", "--bfloat16"], "use --dtype bf16"),
    (&["--fp32", "--f32", "--float32"], "use --dtype f32"),
    (&["--int8", "--q8", "--8bit"], "use --quantize int8"),
    (&["--int4", "--q4", "--4bit"], "use --quantize int4"),
    (
        &["--batch", "--batch-size", "--batch_size", "--batchsize"],
        "use --dim SYMBOL=SIZE, such as --dim batch=1; `inspect` lists the symbols of the inputs",
    ),
    (
        &[
            "--seq",
            "--seq-len",
            "--seq-length",
            "--sequence-length",
            "--max-length",
            "--shape",
            "--input-shape",
            "--overwrite-input-shape",
        ],
        "use --dim SYMBOL=SIZE, such as --dim seq=128; `inspect` lists the symbols of the inputs",
    ),
    (
        &["-O", "-O1", "-O2", "-O3", "--optimization-level", "--level"],
        "`optimize` applies all passes for its --target: leave it out",
    ),
    (&["--dry-run", "--dryrun", "-n"], "without -o, `optimize` only shows what would change"),
    (&["--atol", "--rtol", "--tol"], "use --tolerance"),
    (&["--device", "--gpu", "--cuda", "--provider", "--ep"], "models run on the CPU: leave it out"),
    (&["--onnxruntime", "--ort"], "use --target ort to write for ONNX Runtime, and --runtime ort to run in it"),
    (&["--model", "-m", "--input-model"], "name the model without a flag: `netwright COMMAND MODEL`"),
    (&["--force", "--overwrite", "-f", "-y"], "-o replaces a file that exists: leave it out"),
];

/// How the standard library says that a text is not a number, and what it means.
const NUMBERS: [(&str, &str); 7] = [
    ("number would be zero for non-zero type", "expected 1 or more"),
    ("invalid digit found in string", "expected a whole number"),
    ("cannot parse integer from empty string", "expected a whole number"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
    ("invalid float literal", "expected a number"),
    ("cannot parse float from empty string", "expected a number"),
];

/// Returns an error about the value of a flag in plain words.
pub(crate) fn numbers(error: &str) -> String {
    let from = |(words, _): &&(&str, &str)| error.contains(&format!(": {words}"));
    let replaced = NUMBERS.iter().find(from).map(|(words, plain)| error.replacen(words, plain, 1));
    replaced.unwrap_or_else(|| error.to_owned())
}

/// Adds what to write instead to an error of the command line, and removes suggestions that do not help.
pub(crate) fn explain(error: &mut Error) {
    match error.kind() {
        ErrorKind::InvalidSubcommand => command(error),
        ErrorKind::UnknownArgument => flag(error),
        ErrorKind::InvalidValue => value(error),
        _ => {}
    }
}

fn word(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        _ => None,
    }
}

fn cure(table: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(words, _)| words.contains(&word)).map(|(_, cure)| *cure)
}

fn tip(error: &mut Error, tip: impl Into<String>) {
    let tips = vec![StyledStr::from(tip.into())];
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

fn command(error: &mut Error) {
    let Some(word) = word(error, ContextKind::InvalidSubcommand) else { return };
    error.remove(ContextKind::SuggestedSubcommand);
    error.remove(ContextKind::Suggested);
    let cli = Cli::command();
    let names = cli.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
    if let Some(cure) = cure(COMMANDS, &word.to_lowercase()) {
        tip(error, cure);
    } else if let Some(name) = meant(&word, names) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![name.to_owned()]));
    } else if has_extension(Path::new(&word), &["onnx"]) {
        tip(error, format!("name a command first: `netwright inspect {word}` or `netwright optimize {word}`"));
    }
}

fn flag(error: &mut Error) {
    let Some(word) = word(error, ContextKind::InvalidArg) else { return };
    // That the flag can be passed as a value.
    error.remove(ContextKind::Suggested);
    if let Some(cure) = cure(FLAGS, &word) {
        error.remove(ContextKind::SuggestedArg);
        tip(error, cure);
    }
}

/// Names the flag that accepts a value that was given to another.
fn value(error: &mut Error) {
    let of = |kind| word(error, kind).unwrap_or_default();
    let (flag, value) = (of(ContextKind::InvalidArg), of(ContextKind::InvalidValue).to_lowercase());
    if flag.starts_with("--dtype") && (value.starts_with("int") || value.starts_with("uint") || value.starts_with('q'))
    {
        tip(error, "--dtype is the float type; use --quantize int8 or --quantize int4");
    }
}
