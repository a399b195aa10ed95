//! Runs a trained Transformer: turns written dates into ISO dates.
//!
//! `cargo run --release --example dates -- "March 3, 2021"` builds encoder and decoder from the trained weights,
//! optimizes them, writes them as ONNX, loads the files in tract, and decodes with a KV cache: greedily, or with several
//! dates by beam search if their number follows, as in `-- "3/4/21" 3`.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

mod dates;

use dates::Dates;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::env::args().nth(1).ok_or("usage: dates \"March 3, 2021\"")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dates");
    let out = tempfile::tempdir()?;
    let dates = Dates::build(&folder, out.path())?;
    match std::env::args().nth(2) {
        None => println!("{}", dates.read(&text)?),
        Some(beams) => {
            for (date, score) in dates.read_all(&text, beams.parse()?)? {
                println!("{date} {:.4}", score.exp());
            }
        }
    }
    Ok(())
}
