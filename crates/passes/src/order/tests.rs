//! Tests that passes of a stage give the same result in any order in which each comes after those that it declares.

#[path = "../../tests/mutated/program.rs"]
#[expect(dead_code, reason = "another test changes the programs")]
mod program;

use crate::optimize::{lower, lower_by, optimize};
use crate::options::Options;
use crate::pass::{Pass, Stage};
use crate::pipeline::{Limits, run};
use crate::target::Target;
use netwright_ir::{Graph, Model, Value, check, parse};
use netwright_onnx::{ReadOptions, read};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An order in which each pass comes after those that it declares.
#[derive(Clone, Copy, Debug)]
enum Order {
    Usual,
    /// The last of the passes that may come next is next.
    Reversed,
    /// The seed determines which of the passes that may come next is next.
    Shuffled(u64),
}

/// Returns the passes of some stages for a target, reversed or shuffled as far as their declarations allow.
fn ordered(stages: &[Stage], target: &Target, opset: i64, order: Order) -> Vec<Arc<Pass>> {
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
    let mut seed = if let Order::Shuffled(seed) = order { seed } else { 0 };
    while !open.is_empty() {
        let is_next = |pass: &Pass| pass.after.iter().all(|name| open.iter().all(|other| other.name != *name));
        let next: Vec<usize> = (0..open.len()).filter(|at| is_next(&open[*at])).collect();
        assert!(!next.is_empty(), "the declared order has a cycle: {open:?}");
        let place = if let Order::Shuffled(_) = order {
            // The constants of Knuth's generator; its high bits are the random ones.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % next.len()
        } else {
            next.len() - 1
        };
        sorted.push(Arc::new(open.remove(next[place])));
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

/// Runs the passes in an order; returns the optimized graph, and one that is only lowered.
fn results(graph: &Graph, target: Target, opset: i64, order: Order) -> [Graph; 2] {
    let (mut optimized, mut lowered) = (model(graph, opset), model(graph, opset));
    let mut options = Options::for_target(target).with_raise_opset(false);
    let outcome = if let Order::Usual = order {
        lower(&mut lowered, &target, true).and_then(|_| optimize(&mut optimized, &options))
    } else {
        options = options.with_only(Vec::<String>::new());
        options.own = ordered(&[Stage::Optimize, Stage::Share], &target, opset, order);
        let lowering = ordered(&[Stage::Lower], &target, opset, order);
        lower_by(&lowering, &mut lowered).and_then(|_| optimize(&mut optimized, &options))
    };
    outcome.unwrap_or_else(|error| panic!("{error}\non\n{graph}"));
    [optimized.graph, lowered.graph]
}

/// Compares orders with the usual one, and prints each difference when it is found. Returns the results that differ, each
/// once: an order gives an optimized and a lowered graph, which are one result.
#[expect(clippy::print_stderr, reason = "many orders take minutes, so that differences are reported one by one")]
fn differences(name: &str, graph: &Graph, target: Target, opset: i64, orders: &[Order]) -> Vec<String> {
    let expected = results(graph, target, opset, Order::Usual);
    let mut differing = vec![];
    for order in orders {
        let found = results(graph, target, opset, *order);
        let result = format!("{name} {target} {order:?}");
        let mut known = HashMap::new();
        for (expected, found) in expected.iter().zip(&found) {
            if meaning(expected, &mut known) != meaning(found, &mut known) {
                let diff = crate::diff(&expected.to_string(), &found.to_string());
                eprintln!("{result}, opset {opset}:\n{diff}");
                if differing.last() != Some(&result) {
                    differing.push(result.clone());
                }
            }
        }
    }
    differing
}

/// Returns a number that depends on the program alone: a new program does not change the orders of the others.
fn number(graph: &Graph) -> u64 {
    graph.to_string().bytes().fold(0, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()))
}

/// Returns one of `step` programs of the snapshots.
fn programs(step: u64) -> Vec<Graph> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/passes");
    let graphs = program::programs(&folder).into_iter().filter_map(|program| parse(&program.text()).ok());
    let graphs: Vec<Graph> =
        graphs.filter(|graph| check(graph).is_ok() && number(graph).is_multiple_of(step)).collect();
    assert!(graphs.len() > 100, "{} graphs", graphs.len());
    graphs
}

/// Compares one of `step` programs of the snapshots, each in several orders.
fn compare(step: u64, orders: u64) {
    let mut differing = vec![];
    for graph in &programs(step) {
        let first = number(graph) / step % 10_000;
        for seed in first..first + orders {
            let target = Target::ALL[usize::try_from(seed % 3).unwrap_or(0)];
            let opset = if (seed / 3).is_multiple_of(2) { 17 } else { 24 };
            differing.extend(differences("a program", graph, target, opset, &[Order::Shuffled(seed)]));
        }
    }
    assert_eq!(differing, [""; 0], "graphs differ");
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

/// The results over exports that are known to differ, one a line; docs/testing.md has the reasons.
const KNOWN: &str = include_str!("known.txt");

/// Compares orders over the exports of other tools.
#[test]
#[ignore = "takes minutes without optimization"]
#[expect(clippy::print_stderr, reason = "it takes minutes")]
fn orders_over_exports_give_the_same_graph() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/models");
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}"));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    let mut differing = vec![];
    for (path, nth) in paths.iter().zip(0..) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let model = read(path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        for target in Target::ALL {
            let orders = [Order::Reversed, Order::Shuffled(2 * nth), Order::Shuffled(2 * nth + 1)];
            differing.extend(differences(&name, &model.graph, target, model.opset(), &orders));
        }
        eprintln!("{} of {}: {name}", nth + 1, paths.len());
    }
    assert!(paths.len() > 40, "{} exports", paths.len());
    let known: Vec<&str> = KNOWN.lines().collect();
    assert_eq!(differing, known, "the results that differ, and those that are known");
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

#[test]
fn passes_find_nothing_without_the_operators_that_they_need() {
    let passes = || {
        let all = super::all(&Target::ORT, 24, super::Requested::default());
        all.into_iter().filter(|pass| !pass.needs_one_of.is_empty())
    };
    let run = |pass: Pass, graph: &Graph| {
        let mut graph = graph.clone();
        run(&[pass], &mut graph, Limits::default()).map(|report| (report, graph))
    };
    for graph in programs(3) {
        for (pass, mut anywhere) in passes().zip(passes()) {
            anywhere.needs_one_of = &[];
            let name = pass.name;
            assert_eq!(run(pass, &graph), run(anywhere, &graph), "{name}");
        }
    }
}
