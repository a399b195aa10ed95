//! Tests of the pipeline: bounds, errors that name the pass, counts and reports.

use netwright_ir::{Fact, Graph, Op, OpKind, parse};
use netwright_passes::pattern::any;
use netwright_passes::rewrite::become_op;
use netwright_passes::{Exactness, Limits, Log, Pass, PassError, Skip, pipeline};

fn chain(length: usize) -> Graph {
    let line = |at: usize| format!("%n{} = neg %n{at} : f32[b]\n", at + 1);
    let body: String = (0..length).map(line).collect();
    parse(&format!("g(%n0: f32[b]) {{\n{body} return %n{length}\n}}")).expect("it is well-formed")
}

/// Returns a pass that replaces one unary operator with another.
fn exchange(name: &'static str, from: OpKind, to: Op) -> Pass {
    Pass::new(name, "a -> b", Exactness::Rounding).at([from], move |graph, root| {
        let operand = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        become_op(graph, root, to.clone(), &[operand], "exchanged")
    })
}

fn run(passes: &[Pass], graph: &mut Graph, stop_after: Option<usize>) -> Result<pipeline::Report, PassError> {
    pipeline::run(passes, graph, Limits { stop_after, check: true })
}

#[test]
fn every_rewrite_counts() {
    let mut graph = chain(5);
    let report = run(&[exchange("neg-to-abs", OpKind::Neg, Op::Abs)], &mut graph, None).expect("it ends");
    assert_eq!(report.applied.len(), 5);
    assert_eq!(report.applied[0].to_string(), "neg-to-abs: %n1: exchanged");
    assert_eq!(graph.to_string().matches("abs").count(), 5);
}

#[test]
fn stop_after_counts_across_passes() {
    let passes = || [exchange("neg-to-abs", OpKind::Neg, Op::Abs), exchange("abs-to-exp", OpKind::Abs, Op::Exp)];
    let counts =
        |graph: &Graph| ["neg", "abs", "exp"].map(|word| graph.to_string().matches(&format!(" {word} ")).count());
    for (stop_after, expected) in [(0, [3, 0, 0]), (2, [1, 2, 0]), (4, [0, 2, 1]), (9, [0, 0, 3])] {
        let mut graph = chain(3);
        run(&passes(), &mut graph, Some(stop_after)).expect("it ends");
        assert_eq!(counts(&graph), expected, "{stop_after}");
    }
}

/// Two passes that undo each other, and one that undoes itself.
#[test]
fn an_exhausted_bound_names_the_pass() {
    let cases = [
        (
            vec![exchange("neg-to-abs", OpKind::Neg, Op::Abs), exchange("abs-to-neg", OpKind::Abs, Op::Neg)],
            "abs-to-neg",
        ),
        (vec![exchange("neg-to-neg", OpKind::Neg, Op::Neg)], "neg-to-neg"),
    ];
    for (passes, expected) in cases {
        assert_eq!(run(&passes, &mut chain(1), None), Err(PassError::Endless { pass: expected }));
    }
}

#[test]
fn a_broken_graph_names_the_pass() {
    fn lie(graph: &mut Graph, log: &mut Log) {
        let value = graph.outputs()[0].value;
        if log.may_apply() && graph.shape(value).is_some_and(|shape| shape.len() == 1) {
            graph.set_fact(value, Fact::tensor(netwright_ir::ElementType::F32, netwright_ir::shape!["b", "b"]));
            log.applied("n1".into(), "lied");
        }
    }
    let liar = || Pass::new("lie", "", Exactness::Bits).on_graph(lie);
    let mut graph = chain(1);
    let error = run(&[liar()], &mut graph, None).expect_err("the shape is wrong").to_string();
    assert!(
        error.starts_with("the pass `lie` left a graph that violates invariants:\nC4: %n1 is recorded as"),
        "{error}"
    );
    let error = run(&[liar()], &mut graph, None).expect_err("it is still wrong").to_string();
    assert!(error.starts_with("the graph violates invariants before any pass has run:\nC4"), "{error}");
}

/// A near miss of one round that is applied in a later one is not reported; one that remains is reported once.
#[test]
fn near_misses_are_those_of_the_end() {
    let last = |graph: &Graph, value| graph.is_output(value);
    let pass =
        Pass::new("exp-the-last", "a -> exp(a)", Exactness::Rounding).matching(any("x").into(), move |graph, found| {
            let root = found.root();
            match graph.op(root) {
                Op::Neg => Err(Skip::rejected("it is still negated")),
                Op::Abs if last(graph, root) => {
                    let operand = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
                    become_op(graph, root, Op::Exp, &[operand], "done")
                }
                Op::Abs => Err(Skip::rejected("it is not the last")),
                _ => Err(Skip::NoMatch),
            }
        });
    let passes = [pass, exchange("neg-to-abs", OpKind::Neg, Op::Abs)];
    let report = run(&passes, &mut chain(2), None).expect("it ends");
    let declined: Vec<String> = report.declined.iter().map(ToString::to_string).collect();
    assert_eq!(declined, ["exp-the-last: %n1: it is not the last"]);
}
