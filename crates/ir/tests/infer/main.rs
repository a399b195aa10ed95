//! Shape inference, by text: the inputs of a graph, one node, and the inferred types.

mod convolution;
mod image;
mod normalization;
mod pooling;
mod shape;

use netwright_ir::{Attribute, Graph, parse};

/// Returns the types of the results of a node, separated by `; `; `results` is their number.
fn infer(inputs: &str, node: &str, results: usize) -> Result<String, String> {
    let names: Vec<String> = (0..results).map(|at| format!("%r{at}")).collect();
    let types = vec!["?"; results].join(", ");
    let names = names.join(", ");
    let text = format!("g({inputs}) {{\n{names} = {node} : {types}\nreturn {names}\n}}");
    let graph = parse(&text).map_err(|error| error.what)?;
    let types: Vec<String> = graph.outputs().iter().map(|output| graph.fact(output.value).to_string()).collect();
    Ok(types.join("; "))
}

/// Checks the types of the results.
fn check(inputs: &str, node: &str, expected: &str) {
    let found = infer(inputs, node, expected.split("; ").count());
    assert_eq!(found.as_deref(), Ok(expected), "{node} of {inputs}");
}

/// Checks the error of an operator that is not defined on its operands.
fn check_error(inputs: &str, node: &str, expected: &str) {
    assert_eq!(infer(inputs, node, 1), Err(expected.to_owned()), "{node} of {inputs}");
}

/// Checks that every attribute of the node is parsed and that those equal to their defaults are left out of the text.
fn check_attributes(inputs: &str, node: &str, expected: &[(&str, Attribute)]) {
    let graph: Graph = parse(&format!("g({inputs}) {{\n%y = {node} : ?\nreturn %y\n}}")).unwrap();
    let op = graph.op(graph.outputs()[0].value);
    assert_eq!(op.attributes(), expected, "{node}");
}
