//! The checker: what every graph must hold to, as numbered laws.
//!
//! - **C1** Every operand is a value of the graph; nothing else can be inserted.
//! - **C2** No node is computed from itself.
//! - **C3** Every operator is defined on its operands, by the laws of its own inference.
//! - **C4** What is recorded of a value does not contradict what is inferred.
//! - **C5** No two values have the same name, and every value has one.
//! - **C6** No two outputs have the same name, and no output has the name of another value that is an input.
//! - **C7** The recorded number of uses of a value is the number of its edges.
//! - **C8** A graph that is not a body captures nothing; a body keeps all of these laws.
//! - **C9** No two nodes have the same name, where they have one of their own: runtimes refuse such a graph.
//!
//! All violations are returned, in program order, those of a body before its node's.

use crate::infer::InferError;
use crate::text;
use crate::{Graph, Name, NodeId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

/// A law that a graph breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the law.
    pub law: u8,
    /// The line of the node, in the text form.
    pub node: String,
    /// What is wrong.
    pub what: String,
    /// A way out, where there is a usual one.
    pub help: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}: {}\n  in {}", self.law, self.what, self.node)?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

/// A graph that breaks laws.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Violations(pub Vec<Violation>);

/// Checks the laws.
///
/// # Errors
/// All violations.
pub fn check(graph: &Graph) -> Result<(), Violations> {
    let mut found = vec![];
    if let Some(capture) = graph.captures().next() {
        found.push(violation(8, graph, capture.node, "it is captured, but there is no graph around this one"));
    }
    check_graph(graph, &mut found);
    if found.is_empty() { Ok(()) } else { Err(Violations(found)) }
}

/// Recurses into bodies, which nest at most [`crate::MAX_BODY_DEPTH`] deep.
fn check_graph(graph: &Graph, found: &mut Vec<Violation>) {
    let schedule = graph.schedule();
    for &id in &schedule {
        graph.node(id).op().bodies().into_iter().for_each(|body| check_graph(body, found));
        check_node(graph, id, found);
    }
    if schedule.len() != graph.len() {
        let scheduled: BTreeSet<_> = schedule.into_iter().collect();
        for id in graph.living().filter(|id| !scheduled.contains(id)) {
            found.push(violation(2, graph, id, "the node is computed from itself or from one that is"));
        }
    }
    check_names(graph, found);
}

fn violation(law: u8, graph: &Graph, id: NodeId, what: impl Into<String>) -> Violation {
    Violation { law, node: graph.node_text(id), what: what.into(), help: None }
}

fn check_node(graph: &Graph, id: NodeId, found: &mut Vec<Violation>) {
    let operands = graph.operands(id);
    match graph.infer(graph.node(id).op(), &operands, graph.node(id).result_count()) {
        Err(InferError { word, what, help }) => {
            found.push(Violation { help, ..violation(3, graph, id, format!("{word}: {what}")) });
        }
        Ok(inferred) => {
            for (value, inferred) in graph.results(id).zip(inferred.facts) {
                let recorded = graph.fact(value);
                if recorded.ty.contradicts(&inferred.ty) {
                    let name = text::name(graph.value_name(value));
                    found.push(violation(4, graph, id, format!("{name} is recorded as {recorded}, but is {inferred}")));
                }
            }
        }
    }
    for value in graph.results(id) {
        let (counted, edges) = (graph.use_count(value), graph.uses_by_edges(value));
        if counted != edges {
            let what = format!("{counted} uses are recorded, but {edges} read it");
            found.push(violation(7, graph, id, what));
        }
    }
}

fn check_names(graph: &Graph, found: &mut Vec<Violation>) {
    let mut named: HashMap<Name, NodeId> = HashMap::new();
    for id in graph.schedule() {
        for value in graph.results(id) {
            let name = graph.value_name(value);
            if name.is_empty() {
                found.push(violation(5, graph, id, "a value has no name"));
            } else if named.insert(name.clone(), id).is_some() {
                found.push(violation(5, graph, id, format!("{} is the name of two values", text::name(name))));
            }
        }
    }
    let mut labels = HashSet::new();
    for id in graph.schedule() {
        let label = graph.node(id).label();
        if !label.is_empty() && !labels.insert(label) {
            found.push(violation(9, graph, id, format!("{} is the name of two nodes", text::quoted(label))));
        }
    }
    let mut outputs = HashSet::new();
    for output in graph.outputs() {
        let id = output.value.node;
        if !outputs.insert(&output.name) {
            found.push(violation(6, graph, id, format!("{} is the name of two outputs", text::name(&output.name))));
        }
        let input = graph.inputs().find(|input| *graph.value_name(*input) == output.name);
        if input.is_some_and(|input| input != output.value) {
            let what = format!("{} is the name of an input and of an output", text::name(&output.name));
            found.push(violation(6, graph, id, what));
        }
    }
}
