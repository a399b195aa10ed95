//! Tests how often a runtime is called to compute constants.

use netwright_ir::{Model, Op, Tensor, parse};
use netwright_passes::{Evaluate, Options, Target, optimize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A runtime whose every result is 1, and that counts the calls.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

impl Evaluate for Counting {
    fn evaluate(&self, _: &Op, _: &[&Tensor]) -> Option<Tensor> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(Tensor::scalar(1.0))
    }
}

/// Checks that every run may call the runtime 2,000 times, independently of earlier runs with the same or cloned options.
#[test]
fn each_run_has_its_own_budget() {
    let roots: String = (0..2_001).map(|at| format!("%s{at} = sqrt {at}.5 : f32[]\n")).collect();
    let sum: String = (0..2_001).map(|at| format!(", %s{at}")).collect();
    let text = format!("g(%x: f32[n]) {{\n{roots}%y = sum %x{sum} : f32[n]\nreturn %y\n}}");
    let model = Model::new(parse(&text).expect("it is well-formed"));
    let asked = Arc::new(AtomicUsize::new(0));
    let options =
        Options::for_target(Target::ONNX).with_only(["evaluate-constants"]).with_evaluator(Counting(asked.clone()));
    for options in [&options, &options, &options.clone()] {
        asked.store(0, Ordering::Relaxed);
        let mut model = model.clone();
        optimize(&mut model, options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(asked.load(Ordering::Relaxed), 2_000);
        assert_eq!(model.graph.to_string().matches(" = sqrt ").count(), 1);
    }
}
