//! Tests each pass on its own: the diff of the IR text, the near misses with their reasons, and equivalence in tract.

mod activation;
mod attention;
mod canonicalize;
#[path = "../common/mod.rs"]
mod common;
mod convolutions;
mod eliminate_common_subexpressions;
mod fold_constants;
mod fold_scale_into_projection;
mod fuse_scale_softmax;
mod lowerings;
mod mutated;
mod normalization;
mod pipeline;
mod precision;
mod precision_of_masks;
mod quantization;
mod resolve_sequences;
mod rotary;
mod runtimes;
mod shapes;

use common::snapshot;
use netwright::ir::{Detail, Dim, Graph, Model, Symbol, parse};
use netwright::onnx::{self, WriteOptions};
use netwright::passes::{self, Event, Limits, Pass, Report, Target, diff, lower};
use netwright::verify::{self, Verdict, verify};
use std::path::Path;
use tempfile::TempDir;

fn pass(name: &str) -> Pass {
    passes::passes().into_iter().find(|pass| pass.name == name).unwrap_or_else(|| panic!("{name} is not a pass"))
}

/// Runs one pass until it no longer applies.
fn run(name: &str, graph: &mut Graph) -> Report {
    passes::pipeline::run(&[pass(name)], graph, Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn attention_inputs(body: &str) -> Graph {
    let inputs = "%x: f32[b, h, q, k], %m: f32[b, 1, 1, k], %y: f32[b, h, q, k], %ids: i64[b, q]";
    let text = format!("g({inputs}) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

fn lines(word: &str, events: &[Event]) -> String {
    events.iter().map(|event| format!("{word}: {event}\n")).collect()
}

/// Cases that tract cannot judge, with the reason.
const NOT_VERIFIABLE: [(&str, &str); 8] = [
    ("transpose_counted_from_the_end", "expected list of non-negative ints"),
    ("reshapes_that_stay", "to [Val(-1), Val(4)]: invalid"),
    ("squeezes_that_stay", "an axis which dimension is not one"),
    ("dropouts_that_stay", "Dropout in training mode"),
    ("random_operators", "its results are random"),
    ("kept_operators", "tract ignores the domain"),
    ("swish_of_another_alpha", "tract ignores alpha = 1.702"),
    ("bf16_projection", "elements of type bf16"),
];

/// The tolerance of a pass.
fn tolerance(name: &str) -> f64 {
    pass(name).exactness.tolerance()
}

/// Lowers and writes at an opset that has every operator except fused ones, so that operators that are decomposed for
/// older opsets are compared with themselves.
fn write(graph: &Graph, path: &Path) {
    try_write(graph, path).unwrap_or_else(|error| panic!("{error}"));
}

fn model(graph: &Graph) -> Model {
    let mut model = Model::new(graph.clone());
    model
        .opsets
        .extend([("", 24), ("my.domain", 1), ("com.microsoft", 1)].map(|(domain, opset)| (domain.to_owned(), opset)));
    model
}

fn try_write(graph: &Graph, path: &Path) -> Result<(), String> {
    let mut model = model(graph);
    // Lowering would remove dead nodes, which is the job of one pass here.
    if graph.schedule().into_iter().any(|id| graph.node(id).op().kind().is_fused()) {
        lower(&mut model, &Target::ONNX, true).map_err(|error| error.to_string())?;
    }
    onnx::write(&model, path, &WriteOptions::default()).map(|_| ()).map_err(|error| error.to_string())
}

/// Symbols that are never 0: the case would be meaningless, and runtimes reject it.
const NEVER_EMPTY: [(&str, &str, i64); 1] = [
    // An empty sequence has no first part.
    ("parts_of_size_one", "q", 3),
];

/// Checks that the graphs before and after a pass are equivalent in tract, unless it is known that tract cannot judge.
fn check_equal(case: &str, name: &str, before: &Graph, after: &Graph) {
    // Masks of -1e4 round scores to a thousandth, in either order: in f64 both are the same.
    let tolerance = if case == "masks_in_two_steps" { 1e-4 } else { tolerance(name) };
    check_near(case, name, before, after, tolerance);
}

fn check_near(case: &str, name: &str, before: &Graph, after: &Graph, tolerance: f64) {
    let folder = TempDir::new().expect("a folder");
    let [a, b] = [("before.onnx", before), ("after.onnx", after)].map(|(file, graph)| {
        let path = folder.path().join(file);
        write(graph, &path);
        path
    });
    let fixed = NEVER_EMPTY.iter().filter(|(other, ..)| *other == case);
    let dims = fixed.map(|(_, symbol, size)| (Symbol::new(*symbol), Dim::Known(*size)));
    let options = verify::Options::default().with_dims(dims).with_tolerance(tolerance);
    let verdict = verify(&a, Some(&b), &options).unwrap_or_else(|error| panic!("{case}: {error}"));
    let expected = NOT_VERIFIABLE.iter().find(|(other, _)| *other == case).map(|(_, why)| *why);
    match (&verdict, expected) {
        (Verdict::Equal { .. }, None) => {}
        (Verdict::NotVerifiable { reasons, .. }, Some(why))
            if reasons.iter().all(|reason| reason.why.contains(why)) => {}
        _ => panic!("{case}@{name}: {verdict}\nexpected: {}", expected.unwrap_or("equal")),
    }
}

/// Checks the diff of one pass and its near misses, and that the function is the same.
fn check_pass(case: &str, name: &str, graph: &Graph) {
    let after = check_diff(case, name, graph.clone());
    check_equal(case, name, graph, &after);
}

/// Checks the diff of one pass and its near misses, that a second run does nothing, and that the text can be parsed.
fn check_diff(case: &str, name: &str, mut graph: Graph) -> Graph {
    // So many changes of one tensor and no more are made at once, and the file holds their result.
    if case != "changed_too_often" {
        _ = common::check_second_run(case, &model(&graph));
    }
    let before = graph.to_string();
    let report = run(name, &mut graph);
    let after = graph.to_string();
    // If nothing changes, the whole text is context.
    let text =
        if before == after { before.lines().map(|line| format!(" {line}\n")).collect() } else { diff(&before, &after) };
    snapshot("passes", &format!("{case}@{name}"), &(text + &lines("declined", &report.declined)));
    assert_eq!(before == after, report.applied.is_empty(), "{case}: what is applied shows in the text");
    let again = run(name, &mut graph);
    assert_eq!((again.applied, again.declined), (vec![], report.declined), "{case}: once is enough");
    assert_eq!(parse(&graph.to_text(Detail::Full)).as_ref(), Ok(&graph), "{case}");
    graph
}

fn check_cases(name: &str, cases: &[(&str, &str)]) {
    for (case, body) in cases {
        check_pass(case, name, &attention_inputs(body));
    }
}

#[test]
fn eliminate_dead_code() {
    check_cases(
        "eliminate-dead-code",
        &[(
            "dead_chain",
            "%a = exp %x : f32[b, h, q, k]
             %b = mul %a, 2.0 : f32[b, h, q, k]
             %c = tanh %b : f32[b, h, q, k]
             return %a",
        )],
    );
}
