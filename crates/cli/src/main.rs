//! The command line of Netwright: its commands, one module each.

mod about;
mod args;
mod attention;
mod bench;
mod build;
mod clients;
mod contents;
mod errors;
mod eval;
mod failure;
mod families;
mod generate;
mod inspect;
mod layout;
mod model_io;
mod optimize;
mod output;
mod overflow;
mod overwrite;
mod quantize;
mod report;
mod reproduce;
mod runtimes;
mod schema;
#[cfg(unix)]
mod signals;
mod source;
mod spinner;
mod suggest;
mod surgery;
mod upgrade;
mod verify;
mod vocabulary;

use args::{Cli, Command, ExternalData};
use clap::Parser;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut answer) => {
            vocabulary::explain(&mut answer);
            return output::print_usage(&answer);
        }
    };
    // Without handlers, signals have their default effect.
    #[cfg(unix)]
    let _ = signals::handle();
    let output = Output { quiet: cli.quiet, verbose: cli.verbose, json: cli.json, model: None };
    match run(cli.command.as_ref(), output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Option<&Command>, output: Output) -> Result<(), Failure> {
    let Some(command) = command else { return about::welcome(output) };
    match command {
        Command::Build(args) => build::run(args, output),
        Command::Generate(args) => generate::run(args, output),
        Command::Eval(args) => eval::run(args, output),
        Command::Attention(args) => attention::run(args, output),
        Command::Families { config: None, .. } => families::run(output),
        Command::Families { config: Some(config), task } => families::plan(config, *task, output),
        Command::Clients => clients::run(output),
        Command::Optimize(args) => optimize::run(args, output),
        Command::Verify(args) => verify::run(args, output),
        Command::Upgrade(args) => upgrade::run(args, output),
        Command::Bench(args) => bench::run(args, output),
        Command::Check { input } => inspect::check(input, output),
        Command::Inspect(args) => inspect::run(args, output),
        Command::Extract(args) => surgery::extract(args, output),
        Command::Split(args) => surgery::split(args, output),
        Command::Merge(args) => surgery::merge(args, output),
        Command::Strip(args) => surgery::strip(args, output),
        Command::Externalize(args) => surgery::store(args, ExternalData::Always, output),
        Command::Embed(args) => surgery::store(args, ExternalData::Never, output),
        Command::Passes => inspect::passes(output),
        Command::Error { code } => errors::run(code.as_deref(), output),
        Command::Completions { shell } => about::completions(*shell, output),
        Command::Schema { command } => schema::run(*command, output),
        Command::Worker => verify::serve(),
        Command::ChatWorker => generate::serve_chat(),
        Command::BenchWorker => bench::serve(),
    }
}
