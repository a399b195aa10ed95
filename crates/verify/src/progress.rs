//! Reports the runs of a verification while it goes on.

use crate::Options;
use crate::interface::sizes;
use netwright_ir::Bindings;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A run that starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunStart {
    /// The runtime that runs the models.
    pub runtime: String,
    /// The number of the run, from 1.
    pub number: usize,
    /// The number of planned runs, of which some may be left out.
    pub planned: usize,
    /// The sizes of the symbols, such as `batch = 2, seq = 7`.
    pub sizes: String,
}

impl fmt::Display for RunStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runtime, number, planned, sizes } = self;
        write!(f, "run {number} of {planned} in {runtime}, {sizes}")
    }
}

/// A function that is called when a run starts, on the thread that verifies.
///
/// ```
/// use netwright_verify::{OnRun, Options};
/// let options = Options::default().with_on_run(OnRun::new(|start| eprintln!("{start}")));
/// ```
#[derive(Clone)]
pub struct OnRun(Arc<dyn Fn(&RunStart) + Send + Sync>);

impl OnRun {
    /// Wraps a function.
    pub fn new(call: impl Fn(&RunStart) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(crate) fn call(&self, start: &RunStart) {
        (self.0)(start);
    }
}

impl Options {
    /// Reports a run that starts: its number, from 1, the number of planned runs, and the sizes of the symbols.
    pub(crate) fn run_starts(&self, (number, planned): (usize, usize), bindings: &Bindings) {
        if let Some(on_run) = &self.on_run {
            on_run.call(&RunStart { runtime: self.runtime.to_string(), number, planned, sizes: sizes(bindings) });
        }
    }
}

impl fmt::Debug for OnRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRun")
    }
}
