//! The arguments of the commands that change a model on request.

use super::{Input, Reading, Sharing, Storage};
use clap::{ArgGroup, Args};
use netwright::ir::Dim;
use std::path::PathBuf;

const INTERFACE: &str = "Inputs and outputs";

/// Changes of inputs, outputs and symbolic dims, made before a model is optimized.
#[derive(Debug, Args)]
pub(crate) struct Interface {
    /// Make these values the outputs, in this order; what no output depends on is removed.
    #[arg(help_heading = INTERFACE, long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) outputs: Vec<String>,
    /// Add these values to the outputs.
    #[arg(help_heading = INTERFACE, long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) add_output: Vec<String>,
    /// Rename an input; may be given several times.
    #[arg(help_heading = INTERFACE, long, value_name = "OLD=NEW", value_parser = pair)]
    pub(crate) rename_input: Vec<(String, String)>,
    /// Rename an output; may be given several times.
    #[arg(help_heading = INTERFACE, long, value_name = "OLD=NEW", value_parser = pair)]
    pub(crate) rename_output: Vec<(String, String)>,
    /// Rename a symbolic dim; may be given several times. --dim may use old and new names.
    #[arg(help_heading = INTERFACE, long, value_name = "OLD=NEW", value_parser = dim_pair)]
    pub(crate) rename_dim: Vec<(String, String)>,
    /// Make two models of one whose input selects a branch: of a merged decoder, the first pass and the later steps.
    /// -o names a folder, or a file NAME.onnx for NAME_false.onnx and NAME_true.onnx. Both share the external data of the
    /// input, which is copied beside them.
    #[arg(help_heading = INTERFACE, long)]
    pub(crate) split_branches: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Extract {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The inputs of the part: inputs, computed values or weights of the model [default: the inputs that it reads].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) from: Option<Vec<String>>,
    /// The outputs of the part [default: the outputs of the model].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) to: Option<Vec<String>>,
    /// The file to write; it may be the input.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) storage: Storage,
    #[command(flatten)]
    pub(crate) sharing: Sharing,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("cut").required(true).args(["after", "size"])))]
pub(crate) struct Split {
    #[command(flatten)]
    pub(crate) input: Input,
    /// End a part with these values: it computes them and what they depend on; may be given several times.
    #[arg(long, value_name = "NAMES")]
    pub(crate) after: Vec<String>,
    /// End a part before its weights exceed this size, such as 500MB, 2GB or 2GiB.
    #[arg(long, value_parser = size)]
    pub(crate) size: Option<u64>,
    /// The folder to write to, which must be new or empty.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) storage: Storage,
}

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The models in the order in which they run, or the folder that `split` wrote, or its file parts.json, which restores
    /// the model.
    #[arg(required = true)]
    pub(crate) models: Vec<PathBuf>,
    /// Connect an output to an input of another name; may be given several times. Without it, an input reads the output
    /// of its own name, if an earlier model has one.
    #[arg(long, value_name = "OUT=IN", value_parser = pair)]
    pub(crate) connect: Vec<(String, String)>,
    /// Also accept models that exchange no values: the result computes them side by side.
    #[arg(long)]
    pub(crate) allow_unconnected: bool,
    /// The file to write.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) storage: Storage,
}

#[derive(Debug, Args)]
pub(crate) struct Rewrite {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The file to write; it may be the input.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((_, new)) if new.split_once(',').is_some_and(|(_, next)| next.contains('=')) => {
            Err("expected one pair of names: give the flag once for each pair".to_owned())
        }
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("expected two names, such as a=b".to_owned()),
    }
}

/// Reads two names of symbolic dims.
fn dim_pair(text: &str) -> Result<(String, String), String> {
    let (old, new) = pair(text)?;
    match new.parse::<Dim>() {
        Ok(Dim::Symbol(_)) | Err(_) => Ok((old, new)),
        Ok(_) => Err(format!("`{new}` is a size, not a name: use --dim {text}")),
    }
}

/// Reads a size in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size, such as 500MB, 2GB or 2GiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(factor).filter(|size| *size > 0).ok_or_else(expected)
}
