//! What the command says of itself: its version, the welcome, completions for shells.

use crate::args::Cli;
use crate::failure::Failure;
use crate::model_io::NEWEST_OPSET;
use crate::output::Output;
use clap::CommandFactory;
use clap_complete::Shell;
use netwright::onnx::READ_OPSETS;
use std::sync::LazyLock;

/// The text of `--version`: the commit and the versions of tract and of ONNX's opset.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("NETWRIGHT_COMMIT").map_or_else(String::new, |commit| format!(" ({commit})"));
    let tract = option_env!("NETWRIGHT_TRACT").map_or_else(String::new, |version| format!("\ntract {version}"));
    let (version, newest) = (env!("CARGO_PKG_VERSION"), READ_OPSETS.end());
    format!("{version}{commit}{tract}\nopset {NEWEST_OPSET}, reads up to {newest}")
});

const WELCOME: &str = "\
Netwright builds, optimizes and verifies Transformer models in ONNX.

  netwright optimize model.onnx                         show what would change
  netwright optimize model.onnx new.onnx --target ort   write it for ONNX Runtime
  netwright verify model.onnx new.onnx                  compare two models
  netwright build FOLDER -o model.onnx                  build from a Hugging Face folder or a GGUF file
  netwright inspect model.onnx                          show inputs, outputs and operators

`netwright --help` lists all commands, and `netwright optimize --help` the flags of one.
";

/// Prints what to try first.
pub(crate) fn welcome(output: Output) -> Result<(), Failure> {
    output.aside(WELCOME)
}

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell, output: Output) -> Result<(), Failure> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "netwright", &mut text);
    output.aside(&String::from_utf8_lossy(&text))
}
