//! `cargo bench -p netwright-passes --bench chain`: the time of all passes by the number of nodes, which must be linear.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use netwright_ir::{ElementType, Graph, Model, Op, Tensor, TensorType, Value, shape};
use netwright_passes::{Options, optimize};
use std::time::Instant;

fn main() {
    println!("{:<24}{:>10}{:>10}{:>14}", "", "nodes", "seconds", "us a node");
    for count in [10_000, 100_000, 1_000_000] {
        measure("a chain", count, |graph, x, at| {
            let op = [Op::Neg, Op::Exp, Op::Abs, Op::Tanh][at % 4].clone();
            graph.append("v", op, &[x])
        });
        let mut constant = None;
        measure("one constant for all", count, |graph, x, _| {
            let half = *constant.get_or_insert_with(|| graph.constant("half", Tensor::scalar(0.3)));
            graph.append("v", Op::Mul, &[x, half])
        });
    }
    let mut graph = Graph::new("wide");
    let x = input(&mut graph);
    let y = graph.append("y", Op::Sum, &vec![x; 200_000]).expect("it is defined");
    run("a node of so many operands", 200_000, graph, y);
}

fn input(graph: &mut Graph) -> Value {
    graph.input("x", TensorType::new(ElementType::F32, shape!["n"]))
}

fn measure(
    what: &str,
    count: usize,
    mut node: impl FnMut(&mut Graph, Value, usize) -> Result<Value, netwright_ir::InferError>,
) {
    let mut graph = Graph::new("chain");
    let mut value = input(&mut graph);
    for at in 0..count {
        value = node(&mut graph, value, at).expect("it is defined");
    }
    run(what, count, graph, value);
}

fn run(what: &str, count: usize, mut graph: Graph, output: Value) {
    graph.output("y", output);
    let mut model = Model::new(graph);
    let start = Instant::now();
    optimize(&mut model, &Options::default()).expect("the passes come to an end");
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let each = seconds * 1e6 / count as f64;
    println!("{what:<26}{count:>8}{seconds:>10.2}{each:>14.2}");
}
