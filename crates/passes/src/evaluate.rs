//! Computes operators on constants at compile time. Passes do not depend on a runtime, so the caller provides one.

use netwright_ir::{Op, Tensor};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A runtime that computes operators on tensors.
pub trait Evaluate: fmt::Debug + Send + Sync {
    /// Returns the result of an operator with one result. `None` if the runtime cannot compute it.
    fn evaluate(&self, op: &Op, operands: &[&Tensor]) -> Option<Tensor>;
}

/// A runtime that computes constants.
#[derive(Clone, Debug)]
pub struct Evaluator(Arc<dyn Evaluate>);

impl Evaluator {
    /// Creates an evaluator that calls a runtime.
    pub fn new(runtime: impl Evaluate + 'static) -> Self {
        Self(Arc::new(runtime))
    }
}

/// The maximum number of calls of a runtime in one run: a call takes about 1 ms, and a model may have a million nodes.
const MAX_EVALUATIONS: usize = 2_000;

/// A runtime, and the number of calls that are left in one run.
pub(crate) struct Budget {
    runtime: Arc<dyn Evaluate>,
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(evaluator: Evaluator) -> Self {
        Self { runtime: evaluator.0, left: AtomicUsize::new(MAX_EVALUATIONS) }
    }

    pub(crate) fn evaluate(&self, op: &Op, operands: &[&Tensor]) -> Option<Tensor> {
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        self.runtime.evaluate(op, operands)
    }
}
