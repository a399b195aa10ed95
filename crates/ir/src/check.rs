//! The checker: the invariants of every graph, numbered C1 to C9.
//!
//! - **C1** Every operand is a value of the graph; [`Graph::insert`] already refuses any other.
//! - **C2** No node depends on itself.
//! - **C3** Shape inference accepts the operands of every operator.
//! - **C4** The recorded fact of a value does not contradict the inferred one.
//! - **C5** No two values have the same name, and every value has one.
//! - **C6** No two outputs have the same name unless they are one value, and no output has the name of an input unless it is that input.
//! - **C7** The recorded number of uses of a value is the number of edges that read it.
//! - **C8** A graph that is not a body captures nothing; a body has all of these invariants too.
//! - **C9** No two nodes have the same name of their own: runtimes refuse such a graph.
//!
//! All violations are returned, in program order; those of a body come before those of its node.

use crate::files::Code;
use crate::infer::InferError;
use crate::text;
use crate::{Graph, HashMap, HashSet, Name, NodeId, Value};
use std::collections::BTreeSet;
use std::fmt;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant.
    pub invariant: u8,
    /// The node's line in the text form.
    pub node: String,
    /// What is wrong.
    pub what: String,
    /// How to fix it, if there is a usual way.
    pub help: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}: {}\n  in {}", self.invariant, self.what, self.node)?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

/// All violations of a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    /// Returns the code of the first violation; invariants that only a bug violates share one code.
    pub fn code(&self) -> Code {
        match self.0.first().map(|violation| violation.invariant) {
            Some(2) => Code::CyclicNode,
            Some(3) => Code::Undefined,
            Some(4) => Code::Contradiction,
            Some(6) => Code::SameOutput,
            Some(8) => Code::Captures,
            _ => Code::Inconsistent,
        }
    }
}

/// Checks the invariants of a graph.
///
/// # Errors
/// Returns all violations.
pub fn check(graph: &Graph) -> Result<(), Violations> {
    let mut found = vec![];
    if let Some(capture) = graph.captures().next() {
        found.push(violation(8, graph, capture.node, "the value is captured, but the graph is not a body"));
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
    check_uses(graph, found);
    if schedule.len() != graph.len() {
        let scheduled: BTreeSet<_> = schedule.into_iter().collect();
        for id in graph.living().filter(|id| !scheduled.contains(id)) {
            found.push(violation(2, graph, id, "the node depends on itself, or on a node that does"));
        }
    }
    check_names(graph, found);
}

fn violation(invariant: u8, graph: &Graph, id: NodeId, what: impl Into<String>) -> Violation {
    Violation { invariant, node: graph.node_text(id), what: what.into(), help: None }
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
                    found.push(violation(
                        4,
                        graph,
                        id,
                        format!("{name} is recorded as {recorded}, but inferred as {inferred}"),
                    ));
                }
            }
        }
    }
}

fn check_uses(graph: &Graph, found: &mut Vec<Violation>) {
    let mut reads: HashMap<Value, usize> = HashMap::default();
    let operands = graph.living().flat_map(|id| graph.operands(id)).flatten();
    for value in operands.chain(graph.outputs().iter().map(|output| output.value)) {
        *reads.entry(value).or_default() += 1;
    }
    for id in graph.living() {
        for value in graph.results(id) {
            let (counted, read) = (graph.use_count(value), reads.get(&value).copied().unwrap_or_default());
            if counted != read {
                let what =
                    format!("the recorded number of uses is {counted}, but {read} operands and outputs read the value");
                found.push(violation(7, graph, id, what));
            }
        }
    }
}

fn check_names(graph: &Graph, found: &mut Vec<Violation>) {
    let mut named: HashMap<Name, NodeId> = HashMap::default();
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
    let mut labels = HashSet::default();
    for id in graph.schedule() {
        let label = graph.node(id).label();
        if !label.is_empty() && !labels.insert(label) {
            found.push(violation(9, graph, id, format!("{} is the name of two nodes", text::quoted(label))));
        }
    }
    let mut outputs: HashMap<&Name, Value> = HashMap::default();
    for output in graph.outputs() {
        let id = output.value.node;
        if *outputs.entry(&output.name).or_insert(output.value) != output.value {
            found.push(violation(6, graph, id, format!("{} is the name of two outputs", text::name(&output.name))));
        }
        let input = graph.inputs().find(|input| *graph.value_name(*input) == output.name);
        if input.is_some_and(|input| input != output.value) {
            let what = format!("{} is the name of an input and of an output", text::name(&output.name));
            found.push(violation(6, graph, id, what));
        }
    }
}
