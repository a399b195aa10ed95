//! Shows one node: what it reads, what it computes, and which nodes read its results.

use super::costs::Amount;
use crate::failure::Failure;
use crate::output::{counted, sheet};
use crate::surgery::refused;
use netwright::ir::cost::{self, of_node};
use netwright::ir::nearest::suggestion;
use netwright::ir::{Graph, Model, NodeId, Notes, Op, Value};
use netwright::surgery::{SurgeryError, suggestion_for_operator};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The maximum number of readers that are printed.
const MAX_READERS: usize = 20;

/// A node with its neighbors.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NodeView {
    /// The name of the node; empty if it has none.
    name: String,
    /// The operator, with its domain if that is not ONNX's own.
    operator: String,
    /// The body or the function that holds the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    attributes: BTreeMap<String, String>,
    /// The operands in their order; `null` for one that is left out.
    operands: Vec<Option<Operand>>,
    results: Vec<NodeResult>,
    /// The number of arithmetic operations; `null` if it is unknown.
    flops: Option<Amount>,
    /// The number of bytes that the node reads and writes; `null` if it is unknown.
    bytes_moved: Option<Amount>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    /// The metadata that the exporter wrote, such as a stack trace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// What a node reads.
#[derive(Debug, Serialize, JsonSchema)]
struct Operand {
    /// The value, or its elements if it is a small constant.
    value: String,
    #[serde(rename = "type")]
    ty: String,
    /// The node that computes it, or what else it is.
    from: String,
}

/// What a node computes.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeResult {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    /// The nodes that read it, each with the index of the operand.
    readers: Vec<String>,
    /// The names of the graph outputs that are this result.
    outputs: Vec<String>,
}

/// Returns the nodes with a name, or with a result of that name, in the graph, its bodies and the functions.
///
/// # Errors
/// If there is none; the help has the nearest names.
pub(super) fn nodes(model: &Model, name: &str) -> Result<Vec<NodeView>, Failure> {
    let (given, name) = (name, name.strip_prefix('%').filter(|rest| !rest.is_empty()).unwrap_or(name));
    let mut graphs: Vec<(&Graph, Option<String>)> = vec![(&model.graph, None)];
    graphs.extend(
        model.functions.iter().map(|function| (&function.graph, Some(format!("the function {}", function.name)))),
    );
    let mut found = vec![];
    let (mut names, mut operators) = (vec![], vec![]);
    let mut at = 0;
    while let Some((graph, within)) = graphs.get(at).cloned() {
        at += 1;
        for id in graph.schedule() {
            let node = graph.node(id);
            let results = || graph.results(id).map(|result| &**graph.value_name(result));
            let mut own = results().chain([node.label()]).filter(|name| !name.is_empty());
            if own.any(|own| own == name) {
                found.push(NodeView::new(graph, id, within.clone()));
            }
            // Nobody searches for constants, of which exports have many.
            if !matches!(node.op(), Op::Constant(_)) {
                operators.push((cost::name(node.op()), title_name(graph, id)));
                // Exporters name results after their nodes, as `proj_output_0` after `proj`.
                let is_named_after = |result: &&str| {
                    let rest = result.strip_prefix(node.label()).filter(|_| !node.label().is_empty());
                    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
                };
                names.extend(results().filter(|result| !is_named_after(result)).chain([node.label()]));
            }
            let bodies = node.op().bodies().into_iter();
            graphs.extend(bodies.map(|body| (&**body, Some(format!("a body of {}", title(graph, id))))));
        }
    }
    if found.is_empty() {
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !name.is_empty());
        let help = suggestion_for_operator(name, operators).unwrap_or_else(|| suggestion(name, &names));
        return Err(refused(SurgeryError::Unknown { what: "a node or value", name: given.to_owned(), help }));
    }
    Ok(found)
}

/// Returns an operator with the name of its node, or of the first result if the node has none.
fn title(graph: &Graph, id: NodeId) -> String {
    format!("{} {}", cost::name(graph.node(id).op()), title_name(graph, id))
}

/// Returns the name of a node, or of its first result if it has none.
fn title_name(graph: &Graph, id: NodeId) -> &str {
    let first = graph.results(id).next().map_or("", |result| &**graph.value_name(result));
    let label = graph.node(id).label();
    if label.is_empty() { first } else { label }
}

/// Returns where a value comes from: the node that computes it, or what it is if no node computes it.
fn origin(graph: &Graph, value: Value) -> String {
    match graph.op(value) {
        Op::Input => "an input".to_owned(),
        Op::Captured => "a value of the graph around the body".to_owned(),
        Op::Parameter(_) | Op::SparseParameter(_) => "a parameter".to_owned(),
        Op::Constant(_) => "a constant".to_owned(),
        _ => title(graph, value.node),
    }
}

impl NodeView {
    fn new(graph: &Graph, id: NodeId, within: Option<String>) -> Self {
        let node = graph.node(id);
        let cost = if node.op().kind().is_source() { None } else { of_node(graph, id).ok() };
        let operand = |value: Value| Operand {
            value: graph.operand_text(value),
            ty: graph.fact(value).to_string(),
            from: origin(graph, value),
        };
        let result = |value: Value| NodeResult {
            name: graph.value_name(value).to_string(),
            ty: graph.fact(value).to_string(),
            readers: graph
                .users(value)
                .iter()
                .map(|(user, at)| format!("{}, operand {at}", title(graph, *user)))
                .collect(),
            outputs: graph
                .outputs()
                .iter()
                .filter(|output| output.value == value)
                .map(|output| output.name.to_string())
                .collect(),
        };
        let Notes { doc, metadata, .. } = node.notes().cloned().unwrap_or_default();
        Self {
            name: node.label().to_owned(),
            operator: cost::name(node.op()),
            within,
            attributes: node
                .op()
                .attributes()
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            operands: graph.operands(id).into_iter().map(|value| value.map(operand)).collect(),
            results: graph.results(id).filter(|result| !graph.is_omitted(*result)).map(result).collect(),
            flops: cost.as_ref().and_then(|cost| Amount::new(&cost.flops)),
            bytes_moved: cost.as_ref().and_then(|cost| Amount::new(&cost.moved)),
            description: doc,
            metadata,
        }
    }

    /// Returns a table with a line for each part: node, attributes, operands, results, cost, metadata.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![];
        let mut row = |name: String, text: &str| {
            let mut lines = text.lines();
            rows.push([name, lines.next().unwrap_or_default().to_owned()]);
            rows.extend(lines.map(|line| [String::new(), line.to_owned()]));
        };
        row("node".to_owned(), &self.name);
        row("operator".to_owned(), &self.operator);
        if let Some(within) = &self.within {
            row("within".to_owned(), within);
        }
        for (key, value) in &self.attributes {
            row(format!("attribute {key}"), value);
        }
        for (at, operand) in self.operands.iter().enumerate() {
            let text = match operand {
                Some(Operand { value, ty, from }) => format!("{value}: {ty}, {from}"),
                None => "left out".to_owned(),
            };
            row(format!("operand {at}"), &text);
        }
        for (at, NodeResult { name, ty, readers, outputs }) in self.results.iter().enumerate() {
            row(format!("result {at}"), &format!("%{name}: {ty}"));
            for output in outputs {
                row("  output".to_owned(), output);
            }
            for reader in readers.iter().take(MAX_READERS) {
                row("  read by".to_owned(), reader);
            }
            if let Some(more @ 1..) = readers.len().checked_sub(MAX_READERS) {
                row(String::new(), &format!("and {}", counted(more, "more reader")));
            }
        }
        if let (Some(flops), Some(moved)) = (&self.flops, &self.bytes_moved) {
            row("FLOPs".to_owned(), &Amount::text(Some(flops)));
            row("bytes moved".to_owned(), &Amount::text(Some(moved)));
        }
        if !self.description.is_empty() {
            row("description".to_owned(), &self.description);
        }
        for (key, value) in &self.metadata {
            row(key.clone(), value);
        }
        sheet(&rows)
    }
}
