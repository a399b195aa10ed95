//! `netwright inspect`, `check` and `passes`.

mod costs;
mod glance;
mod node;
mod weights;

use crate::args::{Input, Inspect};
use crate::failure::{Failure, Misuse};
use crate::model_io::{read, read_at};
use crate::output::{Output, counted, in_line, sheet, table, thousands};
use crate::overwrite::Inputs;
use crate::suggest::models_of;
use crate::surgery::fix_dims;
use costs::{Amount, Costs};
use glance::{Branch, Elements, Layers, RunsIn};
use netwright::inventory::inventory;
use netwright::ir::cost::Estimate;
use netwright::ir::{self, Dialect, Dim, Graph, OpKind, Value, ValueType, text};
use netwright::overview::Overview;
use netwright::passes;
use netwright::surgery::symbols;
use netwright::verify::typical_sizes;
use node::NodeView;
use schemars::JsonSchema;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use weights::Weight;

#[derive(Debug, Serialize, JsonSchema)]
struct Port {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    /// The type that the file declares, if inference knows another or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<String>,
}

impl Port {
    fn text(&self) -> String {
        let declared = self.declared.as_ref().map(|declared| format!(", declared {declared}"));
        self.ty.clone() + &declared.unwrap_or_default()
    }
}

/// What the nodes of an operator cost.
#[derive(Debug, Serialize, JsonSchema)]
struct OperatorCost {
    /// The number of nodes that are counted.
    nodes: usize,
    flops: Option<Amount>,
    bytes_moved: Option<Amount>,
    /// The FLOPs with typical sizes, by which operators are sorted.
    #[serde(skip)]
    typical_flops: u64,
}

/// The contents of a model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Contents {
    file: String,
    /// The size of the file, and of its weights in other files.
    bytes: u64,
    graph: String,
    /// The families that the names suggest: a guess.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'static str>,
    opsets: BTreeMap<String, i64>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    layers: Vec<Layers>,
    /// The parameters by module.
    modules: Branch,
    nodes: usize,
    operators: BTreeMap<String, usize>,
    /// The operators that Netwright does not know.
    kept: BTreeMap<String, usize>,
    parameters: u64,
    parameter_bytes: u64,
    /// The parameters by element type.
    elements: BTreeMap<String, Elements>,
    constants: u64,
    /// How weights and activations are quantized, with the number of nodes.
    quantization: BTreeMap<String, usize>,
    /// The bytes of the KV cache that a step reads; `null` without one.
    cache_bytes: Option<Amount>,
    /// What a run costs, without bodies and called functions.
    costs: Costs,
    /// The costs by operator, without nodes that are not counted.
    operator_costs: BTreeMap<String, OperatorCost>,
    runtimes: Vec<RunsIn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<Weight>>,
    /// The nodes that --node requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_nodes: Option<Vec<NodeView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The contents of a model, or of all models of a folder.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Inspected {
    One(Box<Contents>),
    Folder(Vec<Contents>),
}

pub(crate) fn run(args: &Inspect, output: Output) -> Result<(), Failure> {
    let models = models_of(&args.input.model);
    if models.is_empty() {
        let contents = Box::new(contents(&args.input.model, args, output)?);
        let text = text(&contents, args);
        // The text form is exact.
        return if args.text {
            output.exact(&Inspected::One(contents), || text)
        } else {
            output.data(&Inspected::One(contents), || text)
        };
    }
    let forms = [
        ("--ops", args.ops),
        ("--tree", args.tree),
        ("--weights", args.weights),
        ("--node", args.node.is_some()),
        ("--text", args.text),
    ];
    if let Some((flag, _)) = forms.iter().find(|(_, is_given)| *is_given && !output.json) {
        let [folder, first] = [&args.input.model, &models[0]].map(|path| in_line(path));
        let text = format!(
            "{flag} is for one model, but {folder} is a folder with {}\n  help: name a file, such as {first}",
            counted(models.len(), "model")
        );
        return Err(Misuse::NotFor.failure(text));
    }
    let mut all = vec![];
    let mut code = 0;
    for path in &models {
        match contents(path, args, output) {
            Ok(contents) => all.push(contents),
            Err(failure) => {
                let failure = failure.of(path);
                failure.report();
                code = if code == 0 { failure.exit_code() } else { code.min(failure.exit_code()) };
            }
        }
    }
    let text = summary_of(&all);
    output.data(&Inspected::Folder(all), || text)?;
    if code == 0 { Ok(()) } else { Err(Failure::Reported(code)) }
}

fn contents(path: &Path, args: &Inspect, output: Output) -> Result<Contents, Failure> {
    let mut model = read_at(path, &args.input.reading, output)?;
    fix_dims(&mut model, &args.dims)?;
    let overview = Overview::new(&model);
    let runtimes = glance::runtimes(path, args.input.reading.data_dir.as_deref(), &model, &overview);
    let graph = &model.graph;
    let port = |name: &str, value, declared: Option<&ValueType>| {
        let ty = &graph.fact(value).ty;
        let declared = declared.filter(|declared| *declared != ty).map(ToString::to_string);
        Port { name: name.to_owned(), ty: ty.to_string(), declared }
    };
    let counts = inventory(&model);
    let estimate = Estimate::new(graph);
    Ok(Contents {
        file: glance::file_name(path),
        bytes: Inputs::of_model(path, &model).model_bytes(path)?,
        graph: graph.name().to_owned(),
        family: overview.family,
        opsets: model.opsets.clone(),
        inputs: graph.inputs().map(|input| port(graph.value_name(input), input, None)).collect(),
        outputs: graph
            .outputs()
            .iter()
            .map(|output| port(&output.name, output.value, output.declared.as_ref()))
            .collect(),
        layers: glance::layers(&overview),
        modules: glance::branch(String::new(), &overview.modules),
        nodes: counts.nodes,
        operators: counts.operators,
        kept: counts.kept,
        parameters: counts.parameters,
        parameter_bytes: counts.parameter_bytes,
        elements: glance::elements(&overview),
        constants: counts.constants,
        quantization: overview.quantization.clone(),
        cache_bytes: overview.cache_bytes.as_ref().and_then(Amount::new),
        costs: Costs::new(graph, &estimate),
        operator_costs: operator_costs(graph, &estimate),
        runtimes,
        weights: args.weights.then(|| weights::weights(graph)).transpose()?,
        requested_nodes: args.node.as_ref().map(|name| node::nodes(&model, name)).transpose()?,
        text: args.text.then(|| graph.to_string()),
    })
}

fn operator_costs(graph: &Graph, estimate: &Estimate) -> BTreeMap<String, OperatorCost> {
    let mut sums: BTreeMap<String, (usize, Dim, Dim)> = BTreeMap::new();
    for (id, cost) in &estimate.nodes {
        let name = ir::cost::name(graph.node(*id).op());
        let (count, flops, moved) = sums.entry(name).or_insert((0, Dim::Known(0), Dim::Known(0)));
        *count += 1;
        *flops = flops.plus(&cost.flops);
        *moved = moved.plus(&cost.moved);
    }
    let sizes = typical_sizes(&symbols(graph), TYPICAL_TOKENS);
    let cost = |(name, (nodes, flops, moved)): (String, (usize, Dim, Dim))| {
        let typical_flops = flops.evaluate(&sizes).and_then(|flops| u64::try_from(flops).ok()).unwrap_or(0);
        let (flops, bytes_moved) = (Amount::new(&flops), Amount::new(&moved));
        (name, OperatorCost { nodes, flops, bytes_moved, typical_flops })
    };
    sums.into_iter().map(cost).collect()
}

/// Returns what flags request, or a summary.
fn text(contents: &Contents, args: &Inspect) -> String {
    if let Some(text) = &contents.text {
        return text.clone();
    }
    if let Some(nodes) = &contents.requested_nodes {
        return nodes.iter().map(NodeView::text).collect::<Vec<_>>().join("\n");
    }
    let mut parts = vec![];
    if args.tree {
        parts.push(glance::tree(&contents.modules));
    }
    if args.ops {
        parts.push(operators(contents));
    }
    if let Some(weights) = &contents.weights {
        parts.push(weights::rows(weights));
    }
    if parts.is_empty() { summary(contents) } else { parts.join("\n") }
}

fn operators(contents: &Contents) -> String {
    let mut rows = vec![["operator", "nodes", "FLOPs", "%", "bytes moved"].map(str::to_owned).to_vec()];
    let flops = |name: &str| contents.operator_costs.get(name).map_or(0, |cost| cost.typical_flops);
    // Shares are shown only if every cost is a number, because a formula has no share.
    let is_formula = |cost: &OperatorCost| !matches!(cost.flops, Some(Amount::Number(_)));
    let has_shares = !contents.operator_costs.values().any(is_formula);
    let total = if has_shares { contents.operators.keys().map(|name| flops(name)).sum::<u64>() } else { 0 };
    let mut operators: Vec<_> = contents.operators.iter().collect();
    operators.sort_by_key(|(name, count)| (Reverse(flops(name)), Reverse(**count)));
    for (name, count) in operators {
        let cost = contents.operator_costs.get(name);
        let percent =
            if total == 0 { String::new() } else { format!("{:.1}", 100.0 * flops(name) as f64 / total as f64) };
        let amount = |of: fn(&OperatorCost) -> Option<&Amount>| match cost {
            Some(cost) => of(cost).map_or_else(|| "?".to_owned(), |amount| Amount::text(Some(amount))),
            None => "-".to_owned(),
        };
        let note = if contents.kept.contains_key(name) { " (unknown)" } else { "" };
        rows.push(vec![
            format!("{name}{note}"),
            thousands(*count as u64),
            amount(|cost| cost.flops.as_ref()),
            percent,
            amount(|cost| cost.bytes_moved.as_ref()),
        ]);
    }
    if total == 0 {
        for row in &mut rows {
            row.remove(PERCENT);
        }
    }
    table(&rows)
}

/// The number of tokens for which operators are sorted by their costs.
const TYPICAL_TOKENS: i64 = 128;

/// The column of shares in the list of operators.
const PERCENT: usize = 3;

fn summary(contents: &Contents) -> String {
    let row = |name: &str, text: String| [name.to_owned(), text];
    let mut rows = vec![row("graph", contents.graph.clone()), row("bytes", thousands(contents.bytes))];
    rows.extend(contents.family.map(|family| row("family", format!("{family} (a guess from the names)"))));
    for (domain, version) in &contents.opsets {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        rows.push([format!("opset {domain}"), version.to_string()]);
    }
    rows.extend(contents.inputs.iter().map(|port| [format!("input {}", port.name), port.ty.clone()]));
    rows.extend(contents.outputs.iter().map(|port| [format!("output {}", port.name), port.text()]));
    rows.extend(contents.layers.iter().map(|layers| row("layers", layers.text())));
    rows.push(row("parameters", thousands(contents.parameters)));
    rows.extend(contents.elements.iter().map(|(element, of)| row("", of.text(element))));
    rows.push(row("constants", thousands(contents.constants)));
    rows.extend(
        contents
            .quantization
            .iter()
            .map(|(what, count)| row("quantized", format!("{what}: {}", counted(*count, "node")))),
    );
    let operators = counted(contents.operators.len(), "operator");
    rows.push(row("nodes", format!("{} of {operators}, which --ops lists", thousands(contents.nodes as u64))));
    let unknown = contents
        .kept
        .iter()
        .map(|(name, count)| row("unknown operator", format!("{name}: {}", counted(*count, "node"))));
    rows.extend(unknown);
    if let Some(bytes) = &contents.cache_bytes {
        rows.push(row("bytes of KV cache", Amount::text(Some(bytes))));
    }
    rows.extend(contents.costs.rows());
    rows.extend(contents.runtimes.iter().flat_map(RunsIn::rows));
    sheet(&rows)
}

/// Returns a line for each model of a folder.
fn summary_of(all: &[Contents]) -> String {
    let mut rows = vec![["model", "nodes", "parameters", "bytes of parameters"].map(str::to_owned).to_vec()];
    if let Some(first) = all.first() {
        rows[0].extend(first.runtimes.iter().map(|runs| runs.runtime.clone()));
    }
    rows[0].push("family".to_owned());
    rows.extend(all.iter().map(|contents| {
        let mut row = vec![
            contents.file.clone(),
            thousands(contents.nodes as u64),
            thousands(contents.parameters),
            thousands(contents.parameter_bytes),
        ];
        row.extend(contents.runtimes.iter().map(|runs| runs.word().to_owned()));
        row.push(contents.family.unwrap_or("-").to_owned());
        row
    }));
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
    ir::check(&model.graph)
        .map_err(|violations| Failure::model_with(violations.code(), format!("{}:\n{violations}", in_line(path))))?;
    let dialect = Dialect { opset: model.opset(), with_kernels: false, lowered: &[] };
    let refused = refused_types(&model.graph, &dialect);
    if let Some(first) = refused.first() {
        let nodes = counted(refused.len(), "node");
        output.warn(&format!("the standard does not allow the types of {nodes}; the first is {first}"))?;
    }
    output.report(&Checked { valid: true }, || format!("{} is valid", in_line(path)))
}

/// Returns the nodes, in the graph and its bodies, with types that their operator does not have at the opset, with the
/// reason. Operators that the opset does not have at all run in some runtimes.
fn refused_types(graph: &Graph, dialect: &Dialect) -> Vec<String> {
    let mut found = vec![];
    for id in graph.schedule() {
        let op = graph.node(id).op();
        let element = |value: Value| graph.fact(value).element();
        let operands: Vec<_> = graph.operands(id).into_iter().map(|operand| operand.and_then(element)).collect();
        let operands = &operands[..operands.len().saturating_sub(op.capture_count())];
        let results: Vec<_> = graph.results(id).map(element).collect();
        let has_operator = op.kind() != OpKind::Opaque && op.kind().since().is_none_or(|since| since <= dialect.opset);
        let name = graph.results(id).next().map_or_else(String::new, |result| text::name(graph.value_name(result)));
        if let Some(why) = dialect.allows(op, operands, &results).err().filter(|_| has_operator) {
            found.push(format!("{} ({}): {why}", name, op.kind().name()));
        }
        found.extend(op.bodies().into_iter().flat_map(|body| refused_types(body, dialect)));
    }
    found
}

pub(crate) fn passes(output: Output) -> Result<(), Failure> {
    let passes = passes::passes();
    let data: Vec<_> = passes.iter().map(|pass| PassRow { name: pass.name, summary: pass.summary }).collect();
    let width = passes.iter().map(|pass| pass.name.len()).max().unwrap_or(0);
    let line = |pass: &passes::Pass| format!("{:width$}  {}\n", pass.name, pass.summary);
    output.data(&data, || passes.iter().map(line).collect())
}
