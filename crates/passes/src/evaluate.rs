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

/// A runtime, and how often it may still be asked for one model: it takes about a millisecond, and a model may have a
/// million nodes.
#[derive(Clone, Debug)]
pub struct Evaluator {
    runtime: Arc<dyn Evaluate>,
    left: Arc<AtomicUsize>,
}

/// How often a runtime is asked at most.
const MOST_EVALUATIONS: usize = 2_000;

impl Evaluator {
    /// An evaluator that asks this runtime.
    pub fn new(runtime: impl Evaluate + 'static) -> Self {
        Self { runtime: Arc::new(runtime), left: Arc::new(AtomicUsize::new(MOST_EVALUATIONS)) }
    }

    /// The same runtime, to be asked as often as at first.
    pub(crate) fn anew(&self) -> Self {
        Self { runtime: self.runtime.clone(), left: Arc::new(AtomicUsize::new(MOST_EVALUATIONS)) }
    }

    pub(crate) fn evaluate(&self, op: &Op, operands: &[&Tensor]) -> Option<Tensor> {
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        self.runtime.evaluate(op, operands)
    }
}
