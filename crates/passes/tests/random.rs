//! Tests that random nodes are not merged, although they look the same.

use netwright_ir::parse;
use netwright_passes::cleanup::eliminate_common_subexpressions;
use netwright_passes::{Limits, pipeline};

#[test]
fn random_nodes_are_not_merged() {
    for (node, left) in [
        ("random_normal {shape = [2], seed = 1.0}", 2),
        ("random_uniform_like %x", 2),
        ("bernoulli %x", 2),
        ("multinomial %m", 2),
        ("dropout %x, 0.5, bool[] true", 2),
        ("softsign %x", 1),
    ] {
        let ty = if node.starts_with("multinomial") { "i32[2, 1]" } else { "f32[2]" };
        let text = format!(
            "g(%x: f32[2], %m: f32[2, 3]) {{\n%a = {node} : {ty}\n%b = {node} : {ty}\n%c = add %a, %b : {ty}\nreturn %c\n}}"
        );
        let mut graph = parse(&text).expect("it is well-formed");
        let limits = Limits { stop_after: None, check: true };
        pipeline::run(&[eliminate_common_subexpressions()], &mut graph, limits).expect("it ends");
        let word = node.split(' ').next().unwrap_or_default();
        assert_eq!(graph.to_string().matches(&format!("= {word}")).count(), left, "{graph}");
    }
}
