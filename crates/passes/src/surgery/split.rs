//! Cuts a model into a chain of parts.

use super::copy::{Copier, Facts, copy_annotations};
use super::extract::without_graph;
use super::{SurgeryError, ValuesByName, expect_no_training, interface_type};
use netwright_ir::{Graph, GraphOutput, HashMap, HashSet, Model, Name, NodeId, Op, Value};
use std::sync::Arc;

/// Where a model is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Each list of names ends a part, which computes these values and what they depend on that no earlier part
    /// computes. A last part computes the rest.
    After(Vec<Vec<String>>),
    /// A part ends before its weights exceed this number of bytes. Nodes stay in program order. A weight counts in each
    /// part that reads it.
    Size(u64),
}

/// A chain of models that compute together what one model computes.
#[derive(Clone, Debug)]
pub struct Split {
    /// The parts, in the order in which they run. The inputs of a part are inputs of the model, under their names, and
    /// values of earlier parts, under the names of the outputs there.
    pub parts: Vec<Model>,
    /// What [`merge`](super::merge()) needs to restore the model exactly.
    pub plan: Plan,
}

/// The order and the declarations of a model that its parts do not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The inputs, in the caller's order.
    pub inputs: Vec<String>,
    /// The outputs, in the caller's order.
    pub outputs: Vec<String>,
    /// The nodes that come earlier in the model than in the chain of parts, in the order of the model.
    pub moved: Vec<Moved>,
    /// The values that parts exchange and whose types the file declares, and the outputs whose shapes it declares.
    pub declared: Vec<String>,
    /// Whether the file declares the types of all values.
    pub types_values: bool,
}

/// A node that the parts have at another place than the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its first result.
    pub node: String,
    /// The first result of the next node of the model that is not moved; `None` at the end.
    pub before: Option<String>,
}

/// Cuts a model into a chain of parts with their weights.
///
/// Each part has all functions and operator sets of the model. A constant or weight that several parts read is in each.
///
/// # Errors
/// If a name is unknown, given twice or in a body, a part would be empty or too large, parts would need each other, the
/// type of a value that parts exchange is unknown, or the model has training steps.
pub fn split(model: &Model, cut: &Cut) -> Result<Split, SurgeryError> {
    expect_no_training(model)?;
    let graph = &model.graph;
    let part_of = match cut {
        Cut::After(groups) => after(graph, groups)?,
        Cut::Size(size) => by_size(graph, *size)?,
    };
    let chain = Chain::new(graph, part_of);
    let mut parts = vec![];
    for at in 0..chain.count {
        parts.push(Model { graph: chain.part(at)?, functions: model.functions.clone(), ..without_graph(model) });
    }
    Ok(Split { parts, plan: chain.plan() })
}

/// Whether a node computes something: it is neither an input nor a tensor.
fn computes(graph: &Graph, id: NodeId) -> bool {
    !graph.node(id).op().kind().is_source()
}

/// Returns the part of each node that computes something, for cuts after named values.
fn after(graph: &Graph, groups: &[Vec<String>]) -> Result<HashMap<NodeId, usize>, SurgeryError> {
    let names = ValuesByName::new(graph);
    let all: Vec<&str> = groups.iter().flatten().map(String::as_str).collect();
    let values = names.find_all(&all)?;
    for (name, value) in all.iter().zip(&values) {
        if !computes(graph, value.node) {
            let what = format!(
                "no part can end after {name:?}, which no node computes: it is an input or a weight\n  help: choose a \
                 value that a node computes"
            );
            return Err(SurgeryError::Cut(what));
        }
    }
    // What each group depends on.
    let mut values = values.into_iter();
    let mut ends: Vec<(&[String], Vec<NodeId>, Vec<NodeId>)> = vec![];
    for group in groups {
        let own: Vec<NodeId> = values.by_ref().take(group.len()).map(|value| value.node).collect();
        let before = before(graph, &own);
        ends.push((group, own, before));
    }
    // A part that another one depends on comes first; otherwise the order is the caller's.
    ends.sort_by_key(|(.., before)| before.len());
    let mut part_of: HashMap<NodeId, usize> = HashMap::default();
    for (at, (group, own, before)) in ends.iter().enumerate() {
        if let Some(done) = own.iter().position(|id| part_of.contains_key(id)) {
            let earlier = part_of.get(&own[done]).and_then(|earlier| ends.get(*earlier));
            let earlier = earlier.map(|(names, ..)| names.join(", ")).unwrap_or_default();
            let what = format!(
                "the parts would need each other: the part that ends after {earlier:?} computes {:?}, which is to end \
                 a part of its own\n  help: leave out one of them, or name them in one list",
                group[done]
            );
            return Err(SurgeryError::Cut(what));
        }
        for id in before {
            part_of.entry(*id).or_insert(at);
        }
    }
    let mut has_rest = false;
    for id in graph.schedule().into_iter().filter(|id| computes(graph, *id)) {
        part_of.entry(id).or_insert_with(|| {
            has_rest = true;
            ends.len()
        });
    }
    if !has_rest {
        let last = ends.last().map(|(names, ..)| names.join(", ")).unwrap_or_default();
        let what = format!("nothing is left to compute after {last:?}\n  help: choose an earlier value");
        return Err(SurgeryError::Cut(what));
    }
    Ok(part_of)
}

/// Returns these nodes and the nodes that they depend on, without inputs and tensors.
fn before(graph: &Graph, nodes: &[NodeId]) -> Vec<NodeId> {
    let (mut found, mut before) = (HashSet::default(), vec![]);
    let mut pending = nodes.to_vec();
    while let Some(id) = pending.pop() {
        if computes(graph, id) && found.insert(id) {
            before.push(id);
            pending.extend(graph.operands(id).into_iter().flatten().map(|value| value.node));
        }
    }
    before
}

/// Returns the part of each node that computes something, for parts with weights of at most this size.
fn by_size(graph: &Graph, size: u64) -> Result<HashMap<NodeId, usize>, SurgeryError> {
    let bytes = |id: NodeId| {
        let mut bytes = 0u64;
        add_bytes(graph, id, &mut bytes);
        bytes
    };
    let (mut part_of, mut at, mut total) = (HashMap::default(), 0, 0u64);
    let mut read: HashSet<NodeId> = HashSet::default();
    for id in graph.schedule().into_iter().filter(|id| computes(graph, *id)) {
        let operands: HashSet<NodeId> = graph.operands(id).into_iter().flatten().map(|value| value.node).collect();
        let mut weights: Vec<NodeId> = operands.into_iter().filter(|it| !computes(graph, *it)).collect();
        weights.push(id);
        let all = weights.iter().map(|it| bytes(*it)).fold(0, u64::saturating_add);
        if all > size {
            let name = graph.results(id).next().map(|value| graph.value_name(value).to_string()).unwrap_or_default();
            let what = format!(
                "the node {name:?} alone reads {all} bytes of weights, but a part may have {size}\n  help: allow \
                 larger parts"
            );
            return Err(SurgeryError::Cut(what));
        }
        let new = weights.iter().filter(|it| !read.contains(it)).map(|it| bytes(*it)).fold(0, u64::saturating_add);
        if total.saturating_add(new) > size && !part_of.is_empty() {
            (at, total) = (at + 1, all);
            read.clear();
        } else {
            total = total.saturating_add(new);
        }
        read.extend(weights);
        part_of.insert(id, at);
    }
    Ok(part_of)
}

/// Adds the bytes of the tensors of a node, those in bodies included.
fn add_bytes(graph: &Graph, id: NodeId, bytes: &mut u64) {
    let op = graph.node(id).op();
    op.for_each_tensor(&mut |tensor| *bytes = bytes.saturating_add(tensor.len()));
    for body in op.bodies() {
        body.schedule().into_iter().for_each(|id| add_bytes(body, id, bytes));
    }
}

/// A graph, and the part of each of its nodes.
struct Chain<'g> {
    graph: &'g Graph,
    part_of: HashMap<NodeId, usize>,
    count: usize,
    /// The values that later parts read, with the name under which they are exchanged, in program order.
    exchanged: Vec<(Value, Name)>,
    /// The first part that needs each input and tensor.
    first: HashMap<NodeId, usize>,
}

impl<'g> Chain<'g> {
    fn new(graph: &'g Graph, part_of: HashMap<NodeId, usize>) -> Self {
        let count = part_of.values().max().map_or(1, |last| last + 1);
        let (mut read_later, mut first) = (HashSet::default(), HashMap::default());
        let schedule = graph.schedule();
        for id in &schedule {
            let Some(&part) = part_of.get(id) else { continue };
            for value in graph.operands(*id).into_iter().flatten() {
                match part_of.get(&value.node) {
                    Some(own) if *own < part => _ = read_later.insert(value),
                    Some(_) => {}
                    None => {
                        let own = first.entry(value.node).or_insert(part);
                        *own = part.min(*own);
                    }
                }
            }
        }
        let name = |value: Value| {
            let output = graph.outputs().iter().find(|output| output.value == value);
            output.map_or_else(|| graph.value_name(value).clone(), |output| output.name.clone())
        };
        let exchanged = schedule.iter().flat_map(|id| graph.results(*id)).filter(|value| read_later.contains(value));
        let exchanged = exchanged.map(|value| (value, name(value))).collect();
        Self { graph, part_of, count, exchanged, first }
    }

    fn part_of(&self, value: Value) -> usize {
        // Inputs and weights that are outputs belong to the first part, as do those that nothing reads.
        self.part_of.get(&value.node).copied().unwrap_or(0)
    }

    /// Returns the graph of a part.
    fn part(&self, at: usize) -> Result<Graph, SurgeryError> {
        let graph = self.graph;
        let schedule = graph.schedule();
        let outputs = graph.outputs().iter().filter(|output| self.part_of(output.value) == at);
        let own = schedule.iter().copied().filter(|id| self.part_of.get(id) == Some(&at));
        let mut read: HashSet<Value> = own.flat_map(|id| graph.operands(id)).flatten().collect();
        read.extend(outputs.clone().map(|output| output.value));
        let is_here = |id: NodeId| {
            let is_read = graph.results(id).any(|value| read.contains(&value));
            is_read || (at == 0 && !computes(graph, id) && !self.first.contains_key(&id))
        };
        let mut copier = Copier::new(graph);
        let mut part = copier.empty();
        for input in graph.inputs().filter(|input| is_here(input.node)) {
            copier.input(&mut part, input);
        }
        for (value, name) in &self.exchanged {
            if self.part_of(*value) < at && read.contains(value) {
                copier.cut(&mut part, *value, name, interface_type(graph, *value, name)?);
            }
        }
        for &id in &schedule {
            let is_own = self.part_of.get(&id) == Some(&at);
            let is_tensor = !computes(graph, id) && !matches!(graph.node(id).op(), Op::Input) && is_here(id);
            if is_own || is_tensor {
                copier.node(&mut part, id, Facts::Kept).map_err(|error| SurgeryError::Cut(error.to_string()))?;
            }
        }
        let mut all: Vec<GraphOutput> = outputs.cloned().collect();
        for (value, name) in self.exchanged.iter().filter(|(value, _)| self.part_of(*value) == at) {
            if all.iter().all(|output| output.name != *name) {
                let declared = Some(interface_type(graph, *value, name)?);
                let notes = graph.value_notes(*value).cloned().map(Arc::new);
                all.push(GraphOutput { name: name.clone(), value: *value, declared, notes });
            }
        }
        super::outputs::copy_outputs(&copier, &mut part, &all)?;
        copy_annotations(graph, &mut part);
        Ok(part)
    }

    fn plan(&self) -> Plan {
        let graph = self.graph;
        let first_result = |id: NodeId| graph.value_name(Value { node: id, result: 0 }).to_string();
        let position = |id: &NodeId| {
            let is_constant = matches!(graph.node(*id).op(), Op::Constant(_));
            let part = if is_constant { self.first.get(id).copied() } else { self.part_of.get(id).copied() };
            part.map(|part| (*id, part))
        };
        let ordered: Vec<(NodeId, usize)> = graph.schedule().iter().filter_map(position).collect();
        // From the end: a node stays if no node after it belongs to an earlier part.
        let (mut earliest, mut next, mut moved) = (usize::MAX, None, vec![]);
        for (id, part) in ordered.into_iter().rev() {
            if part > earliest {
                moved.push(Moved { node: first_result(id), before: next.clone() });
            } else {
                (earliest, next) = (part, Some(first_result(id)));
            }
        }
        moved.reverse();
        let declared = self.exchanged.iter().filter(|(value, _)| graph.declared(*value).is_some());
        let has_shape = |output: &&GraphOutput| output.declared.as_ref().is_some_and(|ty| *ty != ty.without_shapes());
        let outputs = graph.outputs().iter().filter(has_shape).map(|output| output.name.to_string());
        Plan {
            inputs: graph.inputs().map(|input| graph.value_name(input).to_string()).collect(),
            outputs: graph.outputs().iter().map(|output| output.name.to_string()).collect(),
            moved,
            declared: declared.map(|(_, name)| name.to_string()).chain(outputs).collect(),
            types_values: graph.conventions().types_values,
        }
    }
}
