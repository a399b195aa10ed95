//! `netwright schema`: the JSON Schema of what a command prints with `--json`.

use crate::attention::Attended;
use crate::bench;
use crate::build::Built;
use crate::clients::ClientRow;
use crate::errors::Entry;
use crate::eval::Evaluation;
use crate::failure::Failure;
use crate::generate::Generated;
use crate::inspect::{Checked, Inspected, PassRow};
use crate::optimize::OptimizeReport;
use crate::output::Output;
use crate::surgery;
use crate::upgrade::Upgraded;
use clap::ValueEnum;
use netwright::verify::Verdict;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

/// A command that prints JSON.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Described {
    Build,
    Generate,
    Eval,
    Clients,
    Optimize,
    Upgrade,
    Verify,
    Bench,
    Check,
    Inspect,
    Extract,
    Split,
    Merge,
    Strip,
    Externalize,
    Embed,
    Passes,
    Attention,
    Error,
}

/// Prints the schema of a command.
pub(crate) fn run(command: Described, output: Output) -> Result<(), Failure> {
    let schema = match command {
        Described::Build => schema::<Vec<Built>>(),
        Described::Generate => schema::<Generated>(),
        Described::Eval => schema::<Evaluation>(),
        Described::Clients => schema::<Vec<ClientRow>>(),
        Described::Optimize => schema::<OptimizeReport>(),
        Described::Upgrade => schema::<Upgraded>(),
        Described::Verify => schema::<Verdict>(),
        Described::Bench => schema::<bench::Report>(),
        Described::Check => schema::<Checked>(),
        Described::Inspect => schema::<Inspected>(),
        Described::Extract | Described::Merge | Described::Strip | Described::Externalize | Described::Embed => {
            schema::<surgery::Summary>()
        }
        Described::Split => schema::<Vec<surgery::Summary>>(),
        Described::Passes => schema::<Vec<PassRow>>(),
        Described::Attention => schema::<Attended>(),
        Described::Error => schema::<Vec<Entry>>(),
    };
    Output { json: true, ..output }.data(&schema, String::new)
}

/// Returns the schema of what is printed; fields that may be left out are not required.
fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
