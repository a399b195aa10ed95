//! Verifies a cache that `optimize --add-kv-cache` adds: steps with the cache must compute what the model computes for
//! all tokens at once.

use super::scratch;
use crate::failure::Failure;
use crate::model_io;
use crate::output::Output;
use crate::surgery::refused;
use crate::verify;
use netwright::ir::Model;
use netwright::onnx::{self, WriteOptions};
use netwright::surgery::unroll_cache;
use netwright::verify::{Options, Verdict};

/// Compares a model with its form that `--add-kv-cache` gives, in steps.
pub(super) fn judged(plain: &Model, cached: &Model, options: &Options, output: Output) -> Result<Verdict, Failure> {
    let unrolled = unroll_cache(plain, cached).map_err(refused)?;
    for name in &unrolled.left_out {
        output
            .warn(&format!("the output `{name}` is not verified: its size along several axes grows with the past"))?;
    }
    let folder = scratch()?;
    let [whole, steps] = ["whole.onnx", "steps.onnx"].map(|name| folder.path().join(name));
    for (model, path) in [(&unrolled.whole, &whole), (&unrolled.steps, &steps)] {
        onnx::write(model, path, &WriteOptions::default()).map_err(model_io::write_failure)?;
    }
    verify::judged(&whole, Some(&steps), options, output)
}
