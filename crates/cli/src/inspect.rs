//! `netwright inspect`, `check` and `passes`.

use crate::args::{Input, Inspect};
use crate::failure::Failure;
use crate::model_io::read;
use crate::output::{Output, in_line, table, thousands};
use crate::surgery::fix_dims;
use netwright::inventory::inventory;
use netwright::ir::cost::{Estimate, peak_activations};
use netwright::ir::{self, Bindings, Dim, Graph};
use netwright::passes;
use netwright::surgery::symbols;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize, JsonSchema)]
struct Port {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

/// A number, or a formula in symbolic dims.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Amount {
    Number(u64),
    Formula(String),
}

impl Amount {
    /// Returns the amount of a dim; `None` if it is unknown.
    fn new(dim: &Dim) -> Option<Self> {
        match dim {
            Dim::Unknown => None,
            Dim::Known(number) => u64::try_from(*number).ok().map(Self::Number),
            dim => Some(Self::Formula(dim.to_string())),
        }
    }

    fn text(amount: Option<&Self>) -> String {
        match amount {
            Some(Self::Number(number)) => thousands(*number),
            Some(Self::Formula(formula)) => formula.clone(),
            None => "unknown: the formula is too long; give sizes with --dim".to_owned(),
        }
    }
}

/// What a run costs.
#[derive(Debug, Serialize, JsonSchema)]
struct Costs {
    /// The number of arithmetic operations; to multiply and to add are two. `null` if the formula is too long.
    flops: Option<Amount>,
    /// The number of bytes that the nodes read and write, weights included. `null` if the formula is too long.
    bytes_moved: Option<Amount>,
    /// The most bytes that values need at a time in the order of the graph, without weights. `null` if a size is
    /// unknown.
    peak_activation_bytes: Option<u64>,
    /// Why `peak_activation_bytes` is unknown, or else the node that runs then.
    peak_note: String,
    /// The nodes that are not counted, and why.
    uncounted: Vec<String>,
}

impl Costs {
    fn new(graph: &Graph) -> Self {
        let estimate = Estimate::new(graph);
        let total = estimate.total();
        let name =
            |node| graph.results(node).next().map_or_else(String::new, |value| format!("%{}", graph.value_name(value)));
        let peak = peak_activations(graph, &Bindings::new());
        let peak_note = match &peak {
            Ok(Some(peak)) => format!("at {}", name(peak.node)),
            Ok(None) => "the graph has no nodes".to_owned(),
            Err(value) => {
                let open: Vec<String> =
                    symbols(graph).iter().map(|symbol| format!("--dim {}=SIZE", symbol.as_str())).collect();
                match open.as_slice() {
                    [] => format!("the size of %{} is unknown", graph.value_name(*value)),
                    open => format!("give {}", open.join(" ")),
                }
            }
        };
        let uncounted = estimate.uncounted.iter();
        Self {
            flops: Amount::new(&total.flops),
            bytes_moved: Amount::new(&total.moved),
            peak_activation_bytes: peak.ok().flatten().map(|peak| peak.bytes),
            peak_note,
            uncounted: uncounted.map(|((name, why), count)| format!("{name} {count}: {why}")).collect(),
        }
    }

    fn text(&self) -> String {
        let peak = match self.peak_activation_bytes {
            Some(bytes) => format!("{} {}", thousands(bytes), self.peak_note),
            None => format!("unknown: {}", self.peak_note),
        };
        let mut lines = vec![
            format!("FLOPs: {}", Amount::text(self.flops.as_ref())),
            format!("bytes moved: {}", Amount::text(self.bytes_moved.as_ref())),
            format!("bytes of activations: {peak}"),
        ];
        lines.extend(self.uncounted.iter().map(|what| format!("not counted: {what}")));
        table(&lines.into_iter().map(|line| vec![line]).collect::<Vec<_>>())
    }
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
    /// What a run costs, without bodies and called functions.
    costs: Costs,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

pub(crate) fn run(args: &Inspect, output: Output) -> Result<(), Failure> {
    let mut model = read(&args.input, output)?;
    fix_dims(&mut model, &args.dims)?;
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
        costs: Costs::new(graph),
        text: args.text.then(|| graph.to_string()),
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
    table(&rows) + &contents.costs.text()
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
