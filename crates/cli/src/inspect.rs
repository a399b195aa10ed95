//! `netwright inspect`, `check` and `passes`.

use crate::args::Input;
use crate::failure::Failure;
use crate::model_io::read;
use crate::output::{Output, in_line, table, thousands};
use netwright::inventory::inventory;
use netwright::ir;
use netwright::passes;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize, JsonSchema)]
struct Port {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

/// The contents of a model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Contents {
    graph: String,
    opsets: BTreeMap<String, i64>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    nodes: usize,
    operators: BTreeMap<String, usize>,
    /// The operators that Netwright does not know.
    kept: BTreeMap<String, usize>,
    parameters: u64,
    parameter_bytes: u64,
    constants: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

pub(crate) fn run(input: &Input, text: bool, output: Output) -> Result<(), Failure> {
    let model = read(input, output)?;
    let graph = &model.graph;
    let port = |name: &str, value| Port { name: name.to_owned(), ty: graph.fact(value).to_string() };
    let counts = inventory(&model);
    let contents = Contents {
        graph: graph.name().to_owned(),
        opsets: model.opsets.clone(),
        inputs: graph.inputs().map(|input| port(graph.value_name(input), input)).collect(),
        outputs: graph.outputs().iter().map(|output| port(&output.name, output.value)).collect(),
        nodes: counts.nodes,
        operators: counts.operators,
        kept: counts.kept,
        parameters: counts.parameters,
        parameter_bytes: counts.parameter_bytes,
        constants: counts.constants,
        text: text.then(|| graph.to_string()),
    };
    output.data(&contents, || contents.text.clone().unwrap_or_else(|| summary(&contents)))
}

fn summary(contents: &Contents) -> String {
    let mut rows = vec![vec!["graph".to_owned(), contents.graph.clone()]];
    for (domain, version) in &contents.opsets {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        rows.push(vec![format!("opset {domain}"), version.to_string()]);
    }
    rows.extend(contents.inputs.iter().map(|port| vec![format!("input {}", port.name), port.ty.clone()]));
    rows.extend(contents.outputs.iter().map(|port| vec![format!("output {}", port.name), port.ty.clone()]));
    rows.push(vec!["parameters".to_owned(), thousands(contents.parameters)]);
    rows.push(vec!["constants".to_owned(), thousands(contents.constants)]);
    rows.push(vec!["nodes".to_owned(), thousands(contents.nodes as u64)]);
    let row = |(name, count): (&String, &usize)| vec![format!("  {name}"), thousands(*count as u64)];
    rows.extend(contents.operators.iter().map(row));
    if !contents.kept.is_empty() {
        rows.push(vec!["unknown operators".to_owned()]);
        rows.extend(contents.kept.iter().map(row));
    }
    table(&rows)
}

/// A model that is valid; an invalid one is an error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    valid: bool,
}

/// A pass.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PassRow {
    name: &'static str,
    summary: &'static str,
}

pub(crate) fn check(input: &Input, output: Output) -> Result<(), Failure> {
    let model = read(input, output)?;
    let path = &input.model;
    ir::check(&model.graph).map_err(|violations| Failure::Model(format!("{}:\n{violations}", in_line(path))))?;
    output.report(&Checked { valid: true }, || format!("{} is valid", in_line(path)))
}

pub(crate) fn passes(output: Output) -> Result<(), Failure> {
    let passes = passes::passes();
    let data: Vec<_> = passes.iter().map(|pass| PassRow { name: pass.name, summary: pass.summary }).collect();
    let width = passes.iter().map(|pass| pass.name.len()).max().unwrap_or(0);
    let line = |pass: &passes::Pass| format!("{:width$}  {}\n", pass.name, pass.summary);
    output.data(&data, || passes.iter().map(line).collect())
}
