//! `netwright upgrade`.

use crate::args::{Opset, Upgrade};
use crate::failure::{Failure, Misuse};
use crate::model_io;
use crate::output::{Output, in_line, thousands};
use crate::overwrite::{Inputs, expect_place};
use schemars::JsonSchema;
use serde::Serialize;

/// A model that was converted to another opset.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Upgraded {
    opset: i64,
    /// The size of the model and its external data.
    bytes: u64,
}

pub(crate) fn run(args: &Upgrade, output: Output) -> Result<(), Failure> {
    let opset = Some(Opset::Is(args.opset));
    model_io::check_opset(opset)?;
    expect_place("the output", &args.output)?;
    let mut model = model_io::read(&args.input, output)?;
    if args.opset < model.opset() {
        let message = format!(
            "the model has opset {}, and opset {} is older\n  help: choose a newer opset",
            model.opset(),
            args.opset
        );
        return Err(Misuse::Older.failure(message));
    }
    let inputs = Inputs::of_model(&args.input.model, &model);
    inputs.expect_other_output(&args.output, &args.input.model)?;
    model_io::set_opset(&mut model, opset)?;
    let spinner = output.spinner("writing");
    let (external_data, share_weights) = (args.storage.external_data, args.sharing.share_weights);
    let written = model_io::write(&model, &args.output, external_data, share_weights, &inputs, &spinner)?;
    drop(spinner);
    model_io::warn_of_data(&written, output)?;
    output.report(&Upgraded { opset: args.opset, bytes: written.bytes }, || {
        format!("{} has opset {}, {} bytes", in_line(&args.output), args.opset, thousands(written.bytes))
    })
}
