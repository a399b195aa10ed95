//! Tests that passes of a stage give the same result in any order in which each comes after those that it declares.

#[path = "../../tests/mutated/program.rs"]
#[expect(dead_code, reason = "another test changes the programs")]
mod program;

use crate::optimize::{lower, lower_by, optimize};
use crate::options::Options;
use crate::pass::{Pass, Stage};
use crate::target::Target;
use netwright_ir::{Graph, Model, Value, check, parse};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Returns the passes of some stages for a target, in an order that the seed determines.
fn shuffled(stages: &[Stage], target: &Target, opset: i64, mut seed: u64) -> Vec<Arc<Pass>> {
    let mut open = super::all(target, opset, super::Requested::default());
    open.retain(|pass| {
        let is_wanted = if stages.contains(&Stage::Lower) {
            pass.is_required(target, opset, false)
        } else {
            pass.is_for(target, opset)
        };
        is_wanted && pass.stages.iter().any(|stage| stages.contains(stage))
    });
    let mut sorted: Vec<Arc<Pass>> = vec![];
    while !open.is_empty() {
        let is_next = |pass: &Pass| pass.after.iter().all(|name| open.iter().all(|other| other.name != *name));
        let next: Vec<usize> = (0..open.len()).filter(|at| is_next(&open[*at])).collect();
        assert!(!next.is_empty(), "the declared order has a cycle: {open:?}");
        // The constants of Knuth's generator; its high bits are the random ones.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sorted.push(Arc::new(open.remove(next[(seed >> 33) as usize % next.len()])));
    }
    sorted
}

/// Returns what the results of a graph compute, independently of the names and order of nodes, and the number of nodes.
fn meaning(graph: &Graph, known: &mut HashMap<String, usize>) -> (Vec<usize>, usize) {
    let mut numbers: BTreeMap<Value, usize> = BTreeMap::new();
    let schedule = graph.schedule();
    for id in &schedule {
        let operands: Vec<Option<usize>> =
            graph.operands(*id).into_iter().map(|operand| operand.map(|operand| numbers[&operand])).collect();
        let node = graph.node(*id);
        let input = graph.inputs().position(|input| input.node == *id);
        let bodies: Vec<_> = node.op().bodies().into_iter().map(|body| meaning(body, known)).collect();
        for value in graph.results(*id) {
            let what = if bodies.is_empty() { format!("{:?}", node.op()) } else { format!("{:?}", node.op().kind()) };
            let key = format!("{what} {bodies:?} {operands:?} {input:?} {}", value.result);
            let next = known.len();
            numbers.insert(value, *known.entry(key).or_insert(next));
        }
    }
    (graph.outputs().iter().map(|output| numbers[&output.value]).collect(), schedule.len())
}

fn model(graph: &Graph, opset: i64) -> Model {
    let mut model = Model::new(graph.clone());
    model.opsets.insert(String::new(), opset);
    model
}

/// Runs the passes in an order that the seed determines, or in the usual one. Returns the optimized graph, and one that
/// is only lowered.
fn results(graph: &Graph, target: Target, opset: i64, seed: Option<u64>) -> [Graph; 2] {
    let (mut optimized, mut lowered) = (model(graph, opset), model(graph, opset));
    let mut options = Options::for_target(target).with_raise_opset(false);
    let outcome = match seed {
        Some(seed) => {
            options = options.with_only(Vec::<String>::new());
            options.own = shuffled(&[Stage::Optimize, Stage::Share], &target, opset, seed);
            let lowering = shuffled(&[Stage::Lower], &target, opset, seed);
            lower_by(&lowering, &mut lowered).and_then(|_| optimize(&mut optimized, &options))
        }
        None => lower(&mut lowered, &target, true).and_then(|_| optimize(&mut optimized, &options)),
    };
    outcome.unwrap_or_else(|error| panic!("{error}\non\n{graph}"));
    [optimized.graph, lowered.graph]
}

/// Compares every `step`th program of the snapshots, each in several orders.
fn compare(step: usize, orders: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/passes");
    let graphs = program::programs(&folder).into_iter().filter_map(|program| parse(&program.text()).ok());
    let graphs: Vec<Graph> = graphs.filter(|graph| check(graph).is_ok()).step_by(step).collect();
    assert!(graphs.len() > 100, "{} graphs", graphs.len());
    let mut differences = vec![];
    for (graph, nth) in graphs.iter().zip(0..) {
        for order in 0..orders {
            let seed = nth * orders + order;
            let target = Target::ALL[usize::try_from(seed % 3).unwrap_or(0)];
            let opset = if (seed / 3).is_multiple_of(2) { 17 } else { 24 };
            let expected = results(graph, target, opset, None);
            let found = results(graph, target, opset, Some(seed));
            let mut known = HashMap::new();
            for (expected, found) in expected.iter().zip(&found) {
                if meaning(expected, &mut known) != meaning(found, &mut known) {
                    let diff = crate::diff(&expected.to_string(), &found.to_string());
                    differences.push(format!("{target}, opset {opset}, seed {seed}:\n{diff}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn any_order_that_is_declared_gives_the_same_graph() {
    compare(2, 1);
}

#[test]
#[ignore = "takes minutes"]
fn many_orders_give_the_same_graph() {
    compare(1, 6);
}

#[test]
fn the_order_is_one_that_is_declared() {
    let passes = super::all(&Target::ONNX, i64::MIN, super::Requested::default());
    for (at, pass) in passes.iter().enumerate() {
        for name in pass.after {
            assert!(passes[..at].iter().any(|before| before.name == *name), "{} comes before {name}", pass.name);
        }
    }
}
