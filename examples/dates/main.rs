//! Runs a trained Transformer: turns written dates into ISO dates.
//!
//! `cargo run --release --example dates -- "March 3, 2021"` builds encoder and decoder from the trained weights,
//! optimizes them, writes them as ONNX, loads both files in tract, and decodes greedily.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

mod dates;

use dates::Dates;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::env::args().nth(1).ok_or("usage: dates \"March 3, 2021\"")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dates");
    let out = tempfile::tempdir()?;
    println!("{}", Dates::build(&folder, out.path())?.read(&text)?);
    Ok(())
}
