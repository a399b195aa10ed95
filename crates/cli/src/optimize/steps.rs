//! Verifies a KV cache that is added or that becomes a buffer: steps with the cache must compute what the model
//! computes, for all tokens at once or in steps with its own cache.

use super::scratch;
use crate::failure::Failure;
use crate::model_io;
use crate::output::Output;
use crate::surgery::refused;
use crate::verify;
use netwright::ir::Model;
use netwright::onnx::{self, WriteError, WriteOptions};
use netwright::surgery::{Unrolled, unroll_cache};
use netwright::verify::{Options, Verdict};

/// Compares a model with its form that `--add-kv-cache` or `--kv-cache shared` gives, in steps.
pub(crate) fn judged(plain: &Model, cached: &Model, options: &Options, output: Output) -> Result<Verdict, Failure> {
    compare(&unroll_cache(plain, cached).map_err(refused)?, options, output)?.map_err(model_io::write_failure)
}

/// Returns whether such a form is correct after some of the rewrites; `None` if it cannot be judged.
pub(super) fn is_right(
    plain: &Model,
    cached: &Model,
    options: &Options,
    output: Output,
) -> Result<Option<bool>, Failure> {
    let Ok(unrolled) = unroll_cache(plain, cached) else { return Ok(None) };
    match compare(&unrolled, options, output)? {
        Ok(verdict) => Ok(verify::is_right(&verdict)),
        Err(WriteError::File(error)) => Err(Failure::usage(error)),
        Err(_) => Ok(None),
    }
}

/// Compares the steps with all tokens at once. The inner error is that of a model that cannot be written.
fn compare(unrolled: &Unrolled, options: &Options, output: Output) -> Result<Result<Verdict, WriteError>, Failure> {
    for name in &unrolled.left_out {
        output
            .warn(&format!("the output `{name}` is not verified: its size along several axes grows with the past"))?;
    }
    let folder = scratch()?;
    let [whole, steps] = ["whole.onnx", "steps.onnx"].map(|name| folder.path().join(name));
    for (model, path) in [(&unrolled.whole, &whole), (&unrolled.steps, &steps)] {
        if let Err(error) = onnx::write(model, path, &WriteOptions::default()) {
            return Ok(Err(error));
        }
    }
    let mut verdict = verify::judged(&whole, Some(&steps), options, output)?;
    // Messages name what the user gave and gets, not these copies.
    if let Verdict::Fails { file, .. } | Verdict::NotVerifiable { file, .. } = &mut verdict {
        for (path, name) in [(&whole, "the model"), (&steps, "the result in steps")] {
            *file = file.replace(&*path.to_string_lossy(), name);
        }
    }
    Ok(Ok(verdict))
}
