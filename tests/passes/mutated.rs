//! Tests that every pass keeps the function of graphs that nearly match, if tract can judge them.

use super::{run, tolerance, try_write};
use netwright::ir::{Dim, Graph, OpKind, check, parse};
use netwright::passes::passes;
use netwright::verify::{self, Verdict, verify};
use program::{Program, changes, programs};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::cell::Cell;
use std::path::Path;
use tempfile::TempDir;

#[path = "../../crates/passes/tests/mutated/program.rs"]
mod program;

/// Whether every attention provably has as many values as keys; tract reads past the end if there are fewer.
fn has_a_value_for_each_key(graph: &Graph) -> bool {
    let mut attentions = graph.schedule().into_iter().filter(|id| graph.node(*id).op().kind() == OpKind::Attention);
    attentions.all(|id| {
        let length = |at: usize| {
            let shape = graph.shape(graph.operand(id, at)?)?;
            shape.get(shape.len().checked_sub(2)?)
        };
        length(1).zip(length(2)).is_some_and(|(keys, values)| keys.same(values) == Some(true))
    })
}

/// Whether no image of a convolution may be empty: tract computes addresses before the start of such an image, which ends
/// a debug build.
fn has_no_empty_image(graph: &Graph) -> bool {
    let mut convolutions = graph.schedule().into_iter().filter(|id| graph.node(*id).op().kind() == OpKind::Conv);
    convolutions.all(|id| {
        let shape = graph.operand(id, 0).and_then(|image| graph.shape(image));
        shape
            .and_then(|shape| shape.get(2..))
            .is_some_and(|sizes| sizes.iter().all(|size| matches!(size, Dim::Known(1..))))
    })
}

#[test]
fn passes_keep_the_function_of_graphs_that_half_match() {
    let programs = programs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/passes"));
    let config = ProptestConfig {
        cases: 160,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let equal = Cell::new(0);
    let result = TestRunner::new(config).run(&changes(), |(nth, changes)| {
        let text = Program::changed(&programs, nth, changes).text();
        let Some(before) = parse(&text).ok().filter(|graph| check(graph).is_ok()) else { return Ok(()) };
        if !has_a_value_for_each_key(&before) || !has_no_empty_image(&before) {
            return Ok(());
        }
        for pass in passes() {
            let mut after = before.clone();
            if run(pass.name, &mut after).applied.is_empty() {
                continue;
            }
            let folder = TempDir::new().expect("a folder");
            let [a, b] = ["before.onnx", "after.onnx"].map(|file| folder.path().join(file));
            // A file must say the types of its results.
            if try_write(&before, &a).is_err() {
                break;
            }
            let written = try_write(&after, &b);
            prop_assert_eq!(written, Ok(()), "{}: {}", pass.name, text);
            // A unit in the last place of an f16.
            let own = if text.contains("f16") { 3e-3 } else { 1e-4 };
            let options = verify::Options::default().with_tolerance(tolerance(pass.name).max(own));
            match verify(&a, Some(&b), &options) {
                Ok(Verdict::Equal { .. }) => equal.set(equal.get() + 1),
                Ok(verdict @ Verdict::Differs { .. }) => {
                    return Err(TestCaseError::fail(format!("{}: {verdict}\n{text}\n{after}", pass.name)));
                }
                // It does not run in tract, before or after.
                _ => {}
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(equal.get() > 50, "only {} could be judged", equal.get());
}
