//! Tests every pass on graphs that nearly match: those of all snapshots, changed at random. If the checker accepts such a
//! graph, a pass either leaves it alone or turns it into another graph that the checker accepts.

mod program;

use netwright_ir::{Graph, Model, check, parse};
use netwright_passes::{Limits, Options, Target, optimize, passes, pipeline};
use program::{Program, changes, programs};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Parses a graph. `None` if the parser or the checker rejects it.
fn accepted(text: &str) -> Option<Graph> {
    let parsed = catch_unwind(|| parse(text)).unwrap_or_else(|_| panic!("the parser panicked at\n{text}"));
    parsed.ok().filter(|graph| check(graph).is_ok())
}

fn outcome<T>(
    text: &str,
    name: &str,
    run: impl FnOnce() -> Result<T, netwright_passes::PassError>,
) -> Result<(), TestCaseError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(TestCaseError::fail(format!("{name}: {error}\non\n{text}"))),
        Err(_) => Err(TestCaseError::fail(format!("{name} panicked on\n{text}"))),
    }
}

#[test]
fn passes_keep_graphs_valid_on_graphs_that_half_match() {
    let programs = programs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/passes"));
    assert!(programs.len() > 200, "{} texts", programs.len());
    let passes = passes();
    let config = ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let accepted_texts = Cell::new(0);
    let limits = Limits { stop_after: None, check: true };
    let result = TestRunner::new(config).run(&changes(), |(nth, changes)| {
        let text = Program::changed(&programs, nth, changes).text();
        let Some(graph) = accepted(&text) else { return Ok(()) };
        accepted_texts.set(accepted_texts.get() + 1);
        for pass in &passes {
            let mut graph = graph.clone();
            outcome(&text, pass.name, || pipeline::run(std::slice::from_ref(pass), &mut graph, limits))?;
        }
        let target = Target::ALL[nth.index(Target::ALL.len())];
        let mut model = Model::new(graph);
        model.opsets.insert(String::new(), [13, 17, 23, 24][nth.index(4)]);
        outcome(&text, target.name, || optimize(&mut model, &Options::for_target(target).with_limits(limits)))
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted_texts.get() > 100, "only {} were graphs", accepted_texts.get());
}
