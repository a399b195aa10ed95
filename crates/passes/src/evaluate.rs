//! Computing tensors when the model is built: passes know no runtime, so one is handed to them.

use netwright_ir::{Op, Tensor};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A runtime that computes what an operator makes of tensors.
pub trait Evaluate: fmt::Debug + Send + Sync {
    /// The result of an operator of one result; `None` where the runtime cannot tell.
    fn evaluate(&self, op: &Op, operands: &[&Tensor]) -> Option<Tensor>;
}

/// A runtime that computes constants.
#[derive(Clone, Debug)]
pub struct Evaluator(Arc<dyn Evaluate>);

impl Evaluator {
    /// Creates an evaluator that asks this runtime.
    pub fn new(runtime: impl Evaluate + 'static) -> Self {
        Self(Arc::new(runtime))
    }
}

/// How often one run may ask a runtime: it takes about a millisecond, and a model may have a million nodes.
const MOST_EVALUATIONS: usize = 2_000;

/// A runtime, and how often one run may still ask it.
pub(crate) struct Budget {
    runtime: Arc<dyn Evaluate>,
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(evaluator: Evaluator) -> Self {
        Self { runtime: evaluator.0, left: AtomicUsize::new(MOST_EVALUATIONS) }
    }

    pub(crate) fn evaluate(&self, op: &Op, operands: &[&Tensor]) -> Option<Tensor> {
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        self.runtime.evaluate(op, operands)
    }
}
