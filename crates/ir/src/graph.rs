//! The graph: nodes, the values that they produce, and the few doors through which it is edited.
//!
//! The edges of a petgraph [`StableDiGraph`] are the only record of operands. petgraph stays inside: its incoming
//! edges come in reverse order, parallel edges (`mul(x, x)`) confuse its look-ups, and an index that was removed is
//! used again. So edits go through [`Graph::insert`], [`Graph::replace`] and [`Graph::sweep`] alone: uses are
//! redirected at once, nodes are removed together, at the end of a pass, when nobody holds an id.

use crate::infer::{InferError, Inferred, NeverZero, Operands};
use crate::{Dialect, Dim, Fact, Kind, Notes, Op, SparseTensor, Tensor, ValueType};
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use smallvec::{SmallVec, smallvec};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

mod window;

use window::Edit;
pub use window::{Mark, Window};

/// The name of a value.
pub type Name = Arc<str>;

/// A node of one graph; valid until that graph is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(NodeIndex);

/// Result `result` of `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// Its producer.
    pub node: NodeId,
    /// Which of the producer's results.
    pub result: u32,
}

/// Position in the program; text and files list nodes by it.
///
/// Nodes inserted beside another share its position and stand in the order of their insertion. Ids could not tell
/// that: petgraph hands out the indices of removed nodes again, so they depend on the graph's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    position: u32,
    insertion: u32,
}

/// An edge: which result feeds which operand.
#[derive(Clone, Copy, Debug)]
struct Use {
    operand: u32,
    result: u32,
}

/// An operator applied to operands, which are the graph's edges.
#[derive(Clone, Debug)]
pub struct Node {
    op: Op,
    label: Name,
    order: Order,
    results: SmallVec<[ResultInfo; 1]>,
    notes: Option<Arc<Notes>>,
    /// Inserted beside another since the last sweep.
    beside: bool,
    /// Replaced, or left without readers by that; removed by the next sweep.
    dead: bool,
}

/// What is known of one result of a node.
#[derive(Clone, Debug)]
struct ResultInfo {
    name: Name,
    fact: Fact,
    /// What a file declares of it; see [`Graph::declared`].
    declared: Option<Arc<ValueType>>,
    notes: Option<Arc<Notes>>,
    /// Whether a file leaves it out; see [`Graph::is_omitted`].
    omitted: bool,
    /// Operands of living nodes and graph outputs that read it: derived from the edges, kept for constant-time asking.
    uses: u32,
}

/// A result of the whole graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The name by which the caller asks for it.
    pub name: Name,
    /// What it is.
    pub value: Value,
    /// The type that the caller was told, which stays whatever more becomes known.
    pub declared: Option<ValueType>,
}

/// Where a new node stands and how its results are called.
#[derive(Clone, Debug)]
pub struct Place {
    /// The node's own name, which ONNX keeps apart from those of its results; often empty. One that another node has gets
    /// a number behind it.
    pub label: Name,
    /// Names of the results; those that are taken get a number behind them.
    pub results: SmallVec<[Name; 1]>,
    /// Behind everything else where it is `None`.
    pub order: Option<Order>,
}

impl Place {
    /// The end of the program, for a node of one result of that name.
    pub fn end(name: &str) -> Self {
        Self { label: "".into(), results: smallvec![name.into()], order: None }
    }
}

/// How a tensor was quantized: what a file says of it beside its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The name of the tensor.
    pub tensor: String,
    /// The names of the tensors that it was quantized with, by what they are, such as `SCALE_TENSOR`.
    pub parameters: Vec<(String, String)>,
}

/// What a file says of nodes and values beside what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conventions {
    /// Whether every node has a name: a node that has none of its own is named after its first result.
    pub names_nodes: bool,
    /// Whether every value has its type, as far as it is known; else only those have that the file
    /// [declares](Graph::declared).
    pub types_values: bool,
}

impl Default for Conventions {
    /// Those of a graph that was not read from a file: everything is said.
    fn default() -> Self {
        Self { names_nodes: true, types_values: true }
    }
}

/// Bodies nest at most this deep: what walks them recurses.
pub const MOST_BODIES: u32 = 32;

/// A graph: inputs, nodes, outputs.
///
/// A body, the graph that runs as a part of a node such as `If`, also has captures: values of the graph around it. They
/// are operands of the node, behind the operator's own.
///
/// Ids and values are those of the graph that gave them, until it is swept. [`Graph::insert`] refuses any other; the
/// other methods index like a slice: a foreign id panics.
///
/// ```
/// use netwright_ir::{ElementType, Graph, Op, Tensor, TensorType, shape};
/// let mut graph = Graph::new("half");
/// let x = graph.input("x", TensorType::new(ElementType::F32, shape!["batch", 4]));
/// let half = graph.constant("half", Tensor::scalar(0.5));
/// let y = graph.append("y", Op::Mul, &[x, half])?;
/// graph.output("y", y);
/// assert_eq!(graph.to_string(), "\
/// half(%x: f32[batch, 4]) {
///   %y = mul %x, 0.5 : f32[batch, 4]
///   return %y
/// }
/// ");
/// # Ok::<(), netwright_ir::InferError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Graph {
    name: String,
    dag: StableDiGraph<Node, Use>,
    inputs: Vec<NodeId>,
    /// The tensors that inputs are where the caller gives none.
    defaults: BTreeMap<NodeId, Tensor>,
    captures: Vec<NodeId>,
    outputs: Vec<Output>,
    /// How deep bodies nest in it.
    depth: u32,
    conventions: Conventions,
    /// Sets of symbols of which not all are 0 in any run that succeeds.
    never_zero: NeverZero,
    notes: Notes,
    annotations: Vec<Annotation>,
    next_order: u32,
    /// What may be inserted, where that is limited.
    dialect: Option<Dialect>,
    /// Values whose uses were redirected since the last sweep, and to where.
    forward: HashMap<Value, Value>,
    /// The reverse: the values that were redirected to a value.
    absorbed: HashMap<Value, Vec<Value>>,
    /// Nodes inserted since the last sweep, in order.
    recent: Vec<NodeId>,
    /// Other changes since the last sweep, in order.
    edits: Vec<Edit>,
    names: Names,
    /// The names that nodes have of their own.
    labels: Names,
}

/// The names in use, and for a base the number to try next.
#[derive(Clone, Debug, Default)]
struct Names {
    taken: HashSet<Name>,
    next: HashMap<Name, u32>,
}

impl Names {
    fn fresh(&mut self, base: &str) -> Name {
        if !base.is_empty() && !self.taken.contains(base) {
            let name: Name = base.into();
            self.taken.insert(name.clone());
            return name;
        }
        let base = if base.is_empty() { "value" } else { base };
        loop {
            let next = self.next.entry(base.into()).or_insert(0);
            *next += 1;
            let name: Name = format!("{base}.{next}").into();
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

impl Node {
    /// What it computes.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// Its own name, which ONNX keeps apart from those of its results; often empty.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its position in the program.
    pub fn order(&self) -> Order {
        self.order
    }

    /// How many results it has.
    pub fn result_count(&self) -> usize {
        self.results.len()
    }

    /// What is said of it, where something is.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.as_deref()
    }
}

impl Graph {
    /// A graph without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    // Building.

    /// Adds an input.
    pub fn input(&mut self, name: &str, ty: impl Into<ValueType>) -> Value {
        let value = self.source(name, Op::Input, Fact::of(ty));
        self.inputs.push(value.node);
        value
    }

    /// Adds an input that is a tensor where the caller gives none.
    pub fn input_with_default(&mut self, name: &str, tensor: Tensor) -> Value {
        // The caller's tensor may have other elements.
        let value = self.input(name, tensor.ty());
        self.defaults.insert(value.node, tensor);
        value
    }

    /// Adds a value of the graph around this one, which becomes the body of a node there.
    pub fn capture(&mut self, name: &str, fact: Fact) -> Value {
        let value = self.source(name, Op::Captured, fact);
        self.captures.push(value.node);
        value
    }

    /// Adds a trained tensor.
    pub fn parameter(&mut self, name: &str, tensor: Tensor) -> Value {
        let fact = tensor.fact();
        self.source(name, Op::Parameter(tensor), fact)
    }

    /// Adds a tensor that was computed.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Value {
        let fact = tensor.fact();
        self.source(name, Op::Constant(tensor), fact)
    }

    /// Adds a trained tensor that is stored by its nonzero elements.
    pub fn sparse_parameter(&mut self, name: &str, tensor: SparseTensor) -> Value {
        let fact = tensor.fact();
        self.source(name, Op::SparseParameter(tensor), fact)
    }

    fn source(&mut self, name: &str, op: Op, fact: Fact) -> Value {
        let node = self.add(Place::end(name), op, &[], smallvec![fact]);
        Value { node, result: 0 }
    }

    /// Adds a node of one result at the end.
    ///
    /// # Errors
    /// When the operator is not defined on such operands.
    pub fn append(&mut self, name: &str, op: Op, operands: &[Value]) -> Result<Value, InferError> {
        let operands: SmallVec<[Option<Value>; 4]> = operands.iter().copied().map(Some).collect();
        Ok(Value { node: self.insert(Place::end(name), op, &operands)?, result: 0 })
    }

    /// Adds a node; it has as many results as the place has names for.
    ///
    /// # Errors
    /// When the operator is not defined on such operands, or the [dialect](Graph::set_dialect) does not have it for them.
    pub fn insert(&mut self, place: Place, op: Op, operands: &[Option<Value>]) -> Result<NodeId, InferError> {
        let inferred = self.infer(&op, operands, place.results.len())?;
        if let Some(dialect) = &self.dialect {
            let elements: SmallVec<[_; 4]> = operands.iter().map(|value| self.fact((*value)?).element()).collect();
            let results: SmallVec<[_; 4]> = inferred.facts.iter().map(Fact::element).collect();
            dialect.allows(&op, &elements, &results).map_err(|what| InferError {
                word: op.word(),
                what: if let Op::Kept(kept) = &op { format!("{}: {what}", kept.op_type) } else { what },
                help: None,
            })?;
        }
        Ok(self.insert_inferred(place, op, operands, inferred))
    }

    /// Adds a node of which the caller has already [inferred](Graph::infer) the results, on the same operands.
    pub fn insert_inferred(&mut self, place: Place, op: Op, operands: &[Option<Value>], inferred: Inferred) -> NodeId {
        self.add(place, op, operands, inferred.facts)
    }

    /// What is known of the results of an operator on these operands.
    ///
    /// # Errors
    /// When the operator is not defined on such operands.
    pub fn infer(&self, op: &Op, operands: &[Option<Value>], results: usize) -> Result<Inferred, InferError> {
        let known = |(at, value): (usize, &Option<Value>)| match value {
            None => Ok(None),
            Some(value) => {
                let node = self.dag.node_weight(value.node.0);
                let result = node.and_then(|node| node.results.get(value.result as usize));
                result.map(|result| Some(&result.fact)).ok_or_else(|| InferError {
                    word: op.word(),
                    what: format!("operand {at} is no value of this graph"),
                    help: None,
                })
            }
        };
        let facts: SmallVec<[Option<&Fact>; 4]> = operands.iter().enumerate().map(known).collect::<Result<_, _>>()?;
        if op.bodies().iter().any(|body| body.depth >= MOST_BODIES) {
            let what = format!("its bodies nest deeper than {MOST_BODIES}");
            return Err(InferError { word: op.word(), what, help: None });
        }
        let tensors: SmallVec<[Option<&Tensor>; 4]> = operands.iter().map(|value| self.tensor((*value)?)).collect();
        op.infer(&Operands { kind: op.kind(), facts: &facts, tensors: &tensors, results, never_zero: &self.never_zero })
    }

    fn add(&mut self, place: Place, op: Op, operands: &[Option<Value>], facts: SmallVec<[Fact; 1]>) -> NodeId {
        let insertion = self.next_order;
        let order = Order { position: place.order.map_or(insertion, |beside| beside.position), insertion };
        self.next_order += 1;
        let names = &mut self.names;
        let results = place.results.iter().zip(facts);
        let results = results
            .map(|(name, fact)| {
                let name = names.fresh(name);
                ResultInfo { name, fact, declared: None, notes: None, omitted: false, uses: 0 }
            })
            .collect();
        let depth = op.bodies().iter().map(|body| body.depth + 1).max().unwrap_or(0);
        self.depth = self.depth.max(depth);
        let beside = place.order.is_some();
        let label = if place.label.is_empty() { place.label } else { self.labels.fresh(&place.label) };
        let node = Node { op, label, order, results, notes: None, beside, dead: false };
        let id = NodeId(self.dag.add_node(node));
        for (operand, value) in (0..).zip(operands) {
            if let Some(value) = value {
                let value = self.resolve(*value);
                self.dag.add_edge(value.node.0, id.0, Use { operand, result: value.result });
                self.count_uses(value, 1);
            }
        }
        self.recent.push(id);
        id
    }

    /// Makes a value a result of the graph.
    pub fn output(&mut self, name: impl Into<Name>, value: Value) {
        let value = self.resolve(value);
        self.count_uses(value, 1);
        self.outputs.push(Output { name: name.into(), value, declared: None });
    }

    /// The same, where the caller was told its type.
    pub fn declared_output(&mut self, name: impl Into<Name>, value: Value, declared: ValueType) {
        self.output(name, value);
        if let Some(output) = self.outputs.last_mut() {
            output.declared = Some(declared);
        }
    }

    /// Changes the type that the caller is told of a value, wherever it is a result of the graph.
    pub fn declare_output(&mut self, value: Value, declared: &ValueType) {
        for output in self.outputs.iter_mut().filter(|output| output.value == value) {
            output.declared = Some(declared.clone());
        }
    }

    // Asking.

    /// The inputs, in the caller's order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.inputs.iter().map(|&node| Value { node, result: 0 })
    }

    /// The tensor that an input is where the caller gives none.
    pub fn default_of(&self, input: Value) -> Option<&Tensor> {
        self.defaults.get(&input.node)
    }

    /// What a body sees of the graph around it, in the order of the operands of its node.
    pub fn captures(&self) -> impl ExactSizeIterator<Item = Value> + '_ {
        self.captures.iter().map(|&node| Value { node, result: 0 })
    }

    /// What a file of it says of nodes and values.
    pub fn conventions(&self) -> Conventions {
        self.conventions
    }

    /// Sets of symbols of which not all are 0 in any run that succeeds; see [`Graph::settle_sizes`].
    pub fn never_zero(&self) -> &NeverZero {
        &self.never_zero
    }

    /// What is said of the graph.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What is said of a value, where something is.
    pub fn value_notes(&self, value: Value) -> Option<&Notes> {
        self.result(value).notes.as_deref()
    }

    /// Whether a node has a body, or had one since the graph was made.
    pub fn has_bodies(&self) -> bool {
        self.depth > 0
    }

    /// How tensors were quantized, in the order of the file.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }

    /// The outputs, in the caller's order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The node of that id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id.0]
    }

    /// The operator that makes a value.
    pub fn op(&self, value: Value) -> &Op {
        &self.node(value.node).op
    }

    /// The kind of the operator that makes a value.
    pub fn kind(&self, value: Value) -> Kind {
        self.op(value).kind()
    }

    /// The tensor that a value is, where it is known when the model is built.
    pub fn tensor(&self, value: Value) -> Option<&Tensor> {
        self.op(value).tensor()
    }

    /// The name of a value.
    pub fn value_name(&self, value: Value) -> &Name {
        &self.result(value).name
    }

    /// What is known of a value.
    pub fn fact(&self, value: Value) -> &Fact {
        &self.result(value).fact
    }

    /// The type that a file declares for a value and that nothing proves: no rule may rely on it.
    ///
    /// It does not contradict the [fact](Graph::fact) that was known when it was read.
    pub fn declared(&self, value: Value) -> Option<&ValueType> {
        self.result(value).declared.as_deref()
    }

    /// The shape of a value, where it is a tensor of known rank.
    pub fn shape(&self, value: Value) -> Option<&[Dim]> {
        self.fact(value).shape().map(|shape| &**shape)
    }

    fn result(&self, value: Value) -> &ResultInfo {
        &self.node(value.node).results[value.result as usize]
    }

    /// The results of a node.
    pub fn results(&self, id: NodeId) -> impl Iterator<Item = Value> + use<> {
        (0..self.node(id).results.len()).zip(0..).map(move |(_, result)| Value { node: id, result })
    }

    /// The operands of a node in order; `None` for one that is absent.
    pub fn operands(&self, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        let edges = self.dag.edges_directed(id.0, Incoming);
        let mut found: SmallVec<[(u32, Value); 4]> =
            edges.map(|edge| (edge.weight().operand, self.source_of(edge.source(), *edge.weight()))).collect();
        found.sort_unstable_by_key(|(operand, _)| *operand);
        let mut operands = SmallVec::new();
        for (operand, value) in found {
            operands.resize(operand as usize, None);
            operands.push(Some(value));
        }
        operands
    }

    /// One operand of a node, where it is present.
    pub fn operand(&self, id: NodeId, at: usize) -> Option<Value> {
        let mut edges = self.dag.edges_directed(id.0, Incoming);
        let edge = edges.find(|edge| edge.weight().operand as usize == at)?;
        Some(self.source_of(edge.source(), *edge.weight()))
    }

    fn source_of(&self, source: NodeIndex, edge: Use) -> Value {
        self.resolve(Value { node: NodeId(source), result: edge.result })
    }

    /// How many operands and graph outputs read a value.
    pub fn use_count(&self, value: Value) -> usize {
        self.result(self.resolve(value)).uses as usize
    }

    /// Whether a file leaves a result out, and nothing reads it: a runtime need not compute it.
    pub fn is_omitted(&self, value: Value) -> bool {
        let result = self.result(value);
        result.omitted && result.uses == 0
    }

    /// Whether a value is a result of the graph.
    pub fn is_output(&self, value: Value) -> bool {
        self.outputs.iter().any(|output| output.value == value)
    }

    /// The nodes that read a value, each with the operand at which it does, in program order.
    pub fn users(&self, value: Value) -> Vec<(NodeId, usize)> {
        let mut users = vec![];
        let mut pending = vec![value];
        while let Some(value) = pending.pop() {
            let edges = self.dag.edges_directed(value.node.0, Outgoing);
            let edges = edges.filter(|edge| edge.weight().result == value.result && !self.dag[edge.target()].dead);
            users.extend(edges.map(|edge| (NodeId(edge.target()), edge.weight().operand as usize)));
            pending.extend(self.absorbed.get(&value).into_iter().flatten());
        }
        users.sort_unstable_by_key(|&(id, operand)| (self.node(id).order, id, operand));
        users
    }

    /// The living nodes, each behind its operands, else in program order.
    ///
    /// Nodes of a cycle are left out; the checker tells (law C2).
    pub fn schedule(&self) -> Vec<NodeId> {
        let bound = self.dag.node_indices().map(NodeIndex::index).max().map_or(0, |last| last + 1);
        let mut waiting = vec![0u32; bound];
        let mut ready = BinaryHeap::new();
        for id in self.dag.node_indices().filter(|&id| !self.dag[id].dead) {
            let operands = self.dag.edges_directed(id, Incoming).count();
            waiting[id.index()] = u32::try_from(operands).unwrap_or(u32::MAX);
            if operands == 0 {
                ready.push(Reverse((self.dag[id].order, NodeId(id))));
            }
        }
        let mut order = Vec::with_capacity(self.dag.node_count());
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for user in self.readers(id) {
                let left = &mut waiting[user.index()];
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ready.push(Reverse((self.dag[user].order, NodeId(user))));
                }
            }
        }
        order
    }

    /// The living nodes that read any result of a node, as often as they do.
    fn readers(&self, id: NodeId) -> SmallVec<[NodeIndex; 4]> {
        let mut readers = SmallVec::new();
        let mut direct = |source: NodeIndex, result: Option<u32>| {
            let edges = self.dag.edges_directed(source, Outgoing);
            let edges = edges.filter(|edge| {
                result.is_none_or(|result| edge.weight().result == result) && !self.dag[edge.target()].dead
            });
            // What was redirected elsewhere is read there, not here.
            let elsewhere = |edge: &Use| {
                result.is_none() && self.forward.contains_key(&Value { node: NodeId(source), result: edge.result })
            };
            readers.extend(edges.filter(|edge| !elsewhere(edge.weight())).map(|edge| edge.target()));
        };
        direct(id.0, None);
        let mut pending: Vec<Value> = self.results(id).filter(|_| !self.absorbed.is_empty()).collect();
        while let Some(value) = pending.pop() {
            for &absorbed in self.absorbed.get(&value).into_iter().flatten() {
                direct(absorbed.node.0, Some(absorbed.result));
                pending.push(absorbed);
            }
        }
        readers
    }

    /// How many nodes live, tensors and inputs included.
    pub fn len(&self) -> usize {
        self.dag.node_weights().filter(|node| !node.dead).count()
    }

    /// Whether no node lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the node lives: it was neither replaced nor left without users by that.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.dag.node_weight(id.0).is_some_and(|node| !node.dead)
    }

    // Editing.

    /// The place beside a node: its position, and the name of its first result with a word behind it.
    pub fn beside(&self, root: NodeId, word: &str) -> Place {
        let node = self.node(root);
        let name = node.results.first().map_or("", |result| &*result.name);
        Place { label: "".into(), results: smallvec![format!("{name}.{word}").into()], order: Some(node.order) }
    }

    /// Redirects every use of `old` to `new`.
    ///
    /// A `new` that was inserted beside another node since the last sweep takes over the name of `old`, so that texts
    /// before and after differ in what changed alone, and the name of its node where `old` is the first result in use. Producers that nothing reads any more die. A value cannot
    /// replace one that it is computed from: that makes a cycle, which the checker reports.
    pub fn replace(&mut self, old: Value, new: Value) {
        let (old, new) = (self.resolve(old), self.resolve(new));
        if old == new {
            return;
        }
        if self.node(new.node).beside && !matches!(self.op(old), Op::Input | Op::Captured) {
            let old_name = std::mem::replace(&mut self.result_mut(old).name, "".into());
            let new_name = std::mem::replace(&mut self.result_mut(new).name, old_name);
            self.names.taken.remove(&new_name);
            self.result_mut(old).name = new_name;
            let notes = self.node(old.node).notes.clone();
            let value_notes = self.result(old).notes.clone();
            // A value that readers broadcast may have another shape than the one it replaces.
            let declared = self.result(old).declared.clone().filter(|declared| self.fact(new).ty.keeps(declared));
            // The node's own name goes with its first result, or where nothing reads that, with the next: once.
            let is_first = old.result == 0 || self.result(Value { result: 0, ..old }).uses == 0;
            if is_first && !self.node(old.node).label.is_empty() {
                self.dag[new.node.0].label = std::mem::replace(&mut self.dag[old.node.0].label, "".into());
            }
            self.dag[new.node.0].notes = notes;
            self.result_mut(new).notes = value_notes;
            self.result_mut(new).declared = declared;
        }
        let uses = self.result(old).uses;
        self.edits.push(Edit::Redirected { old, uses, is_output: self.is_output(old) });
        self.count_uses(new, i64::from(uses));
        self.forward.insert(old, new);
        self.absorbed.entry(new).or_default().push(old);
        for output in &mut self.outputs {
            if output.value == old {
                output.value = new;
            }
        }
        self.result_mut(old).uses = 0;
        self.bury(old.node);
    }

    /// Changes the operator of a node in place; its operands and the facts of its results must stay true.
    pub fn set_op(&mut self, id: NodeId, op: Op) {
        let op = std::mem::replace(&mut self.dag[id.0].op, op);
        self.edits.push(Edit::Op { node: id, op });
    }

    /// Replaces what is known of a value, by a caller that knows more than inference.
    pub fn set_fact(&mut self, value: Value, fact: Fact) {
        self.result_mut(value).fact = fact;
    }

    /// Records what a file declares of a value.
    pub fn declare(&mut self, value: Value, declared: ValueType) {
        self.result_mut(value).declared = Some(Arc::new(declared));
    }

    /// Limits which operators [`Graph::insert`] takes, or no longer does. Those that are there already stay.
    pub fn set_dialect(&mut self, dialect: Option<Dialect>) {
        self.dialect = dialect;
    }

    /// The operators that may be inserted, where that is limited.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Records that a file leaves a result out.
    pub fn omit(&mut self, value: Value) {
        self.result_mut(value).omitted = true;
    }

    /// Records what the file that it was read from says of nodes and values.
    pub fn set_conventions(&mut self, conventions: Conventions) {
        self.conventions = conventions;
    }

    /// Says something of the graph.
    pub fn set_notes(&mut self, notes: Notes) {
        self.notes = notes;
    }

    /// Says something of a node.
    pub fn set_node_notes(&mut self, id: NodeId, notes: Notes) {
        self.dag[id.0].notes = (!notes.is_empty()).then(|| Arc::new(notes));
    }

    /// Says something of a value.
    pub fn set_value_notes(&mut self, value: Value, notes: Notes) {
        self.result_mut(value).notes = (!notes.is_empty()).then(|| Arc::new(notes));
    }

    /// Says how tensors were quantized.
    pub fn set_annotations(&mut self, annotations: Vec<Annotation>) {
        self.annotations = annotations;
    }

    /// Changes the bodies of a node, one after the other; the node loses the operands that they no longer read.
    ///
    /// A body's inputs, the number of its outputs, and what it captures must stay.
    pub fn edit_bodies(&mut self, id: NodeId, mut edit: impl FnMut(&mut Graph)) {
        let operands = self.operands(id);
        let mut op = std::mem::replace(&mut self.dag[id.0].op, Op::Identity);
        let mut bodies = op.bodies_mut();
        let captured: usize = bodies.iter().map(|body| body.captures.len()).sum();
        let (own, mut outer) = operands.split_at(operands.len().saturating_sub(captured));
        let mut kept: SmallVec<[Option<Value>; 4]> = own.into();
        for body in &mut bodies {
            let body = Arc::make_mut(body);
            edit(body);
            let (its, rest) = outer.split_at(body.captures.len().min(outer.len()));
            outer = rest;
            kept.extend(body.drop_unread_captures(its));
        }
        if kept.len() == operands.len() {
            self.dag[id.0].op = op;
            return;
        }
        self.put_in_place(id, op, &kept);
    }

    /// Replaces values in the bodies of a node with captures of values of this graph: each is the body by its place,
    /// the value in it, and the value to capture.
    ///
    /// The values are of one type; one of a body must be none of its outputs.
    pub fn capture_in_bodies(&mut self, id: NodeId, captured: &[(usize, Value, Value)]) {
        let operands = self.operands(id);
        let mut op = std::mem::replace(&mut self.dag[id.0].op, Op::Identity);
        let mut bodies = op.bodies_mut();
        let old: usize = bodies.iter().map(|body| body.captures.len()).sum();
        let (own, mut outer) = operands.split_at(operands.len().saturating_sub(old));
        let mut kept: SmallVec<[Option<Value>; 4]> = own.into();
        for (place, body) in bodies.iter_mut().enumerate() {
            let body = Arc::make_mut(body);
            let (its, rest) = outer.split_at(body.captures.len().min(outer.len()));
            outer = rest;
            let mut its = its.to_vec();
            for (_, inner, value) in captured.iter().filter(|(at, ..)| *at == place) {
                // Where the value stood, so that what waits for it is computed when it was.
                let order = Some(body.node(inner.node).order);
                let place = Place { order, ..Place::end(self.value_name(*value)) };
                let node = body.add(place, Op::Captured, &[], smallvec![self.fact(*value).clone()]);
                body.captures.push(node);
                body.replace(*inner, Value { node, result: 0 });
                its.push(Some(*value));
            }
            kept.extend(body.drop_unread_captures(&its));
            body.sweep();
        }
        self.put_in_place(id, op, &kept);
    }

    /// Puts a node of other operands in the place of a node: edges are not removed one by one.
    fn put_in_place(&mut self, id: NodeId, op: Op, operands: &[Option<Value>]) {
        let node = self.node(id);
        let names = node.results.iter().map(|result| result.name.clone()).collect();
        let place = Place { label: node.label.clone(), results: names, order: Some(node.order) };
        let facts = node.results.iter().map(|result| result.fact.clone()).collect();
        let new = self.add(place, op, operands, facts);
        for (old, new) in self.results(id).zip(self.results(new)) {
            self.replace(old, new);
        }
    }

    /// Drops the captures that nothing reads, and of their operands, given in order, returns those of the others.
    fn drop_unread_captures(&mut self, operands: &[Option<Value>]) -> Vec<Option<Value>> {
        let read = |id: &NodeId| self.use_count(Value { node: *id, result: 0 }) > 0;
        let kept = self.captures.iter().zip(operands).filter(|(id, _)| read(id)).map(|(_, value)| *value).collect();
        let (read, unread): (Vec<NodeId>, Vec<NodeId>) = self.captures.iter().partition(|id| read(id));
        self.captures = read;
        if !unread.is_empty() {
            self.sweep();
        }
        kept
    }

    /// Puts the nodes of another graph beside a node of this one, its inputs and captures replaced by values of this
    /// one, in that order. Returns what its outputs are.
    pub fn splice(&mut self, beside: NodeId, body: &Graph, operands: &[Option<Value>]) -> Vec<Option<Value>> {
        let mut values: HashMap<Value, Value> = HashMap::new();
        for (inner, outer) in body.inputs().chain(body.captures()).zip(operands) {
            values.extend(outer.map(|outer| (inner, outer)));
        }
        let order = self.node(beside).order;
        for id in body.schedule() {
            let node = body.node(id);
            if matches!(node.op, Op::Input | Op::Captured) {
                continue;
            }
            let operands = body.operands(id).into_iter();
            let operands: SmallVec<[Option<Value>; 4]> =
                operands.map(|operand| operand.and_then(|value| values.get(&value).copied())).collect();
            let names = node.results.iter().map(|result| result.name.clone()).collect();
            let place = Place { label: node.label.clone(), results: names, order: Some(order) };
            let facts = node.results.iter().map(|result| result.fact.clone()).collect();
            let new = self.add(place, node.op.clone(), &operands, facts);
            self.dag[new.0].notes.clone_from(&node.notes);
            values.extend(body.results(id).zip(self.results(new)));
        }
        body.outputs.iter().map(|output| values.get(&output.value).copied()).collect()
    }

    /// Gives a value another name; one that is taken gets a number behind it.
    pub fn rename(&mut self, value: Value, name: &str) {
        let value = self.resolve(value);
        let old = self.value_name(value).clone();
        if *old != *name {
            self.names.taken.remove(&old);
            let fresh = self.names.fresh(name);
            self.result_mut(value).name = fresh;
        }
    }

    /// A mark for [`Graph::undo_to`] and [`Graph::window`].
    pub fn mark(&self) -> Mark {
        Mark { nodes: self.recent.len(), edits: self.edits.len() }
    }

    /// Lets the nodes die that were inserted since the mark and that nothing reads.
    pub fn undo_to(&mut self, mark: Mark) {
        while self.recent.len() > mark.nodes {
            if let Some(id) = self.recent.pop() {
                self.bury(id);
            }
        }
    }

    /// Removes what no output depends on; inputs stay. Returns how many nodes went that were not dead before.
    ///
    /// Ids of removed nodes are used again, so none may be held across a sweep.
    pub fn sweep(&mut self) -> usize {
        let bound = self.dag.node_indices().map(NodeIndex::index).max().map_or(0, |last| last + 1);
        let mut needed = vec![false; bound];
        let mut pending: Vec<NodeId> = self.outputs.iter().map(|output| output.value.node).collect();
        pending.extend(self.inputs.iter().chain(&self.captures));
        while let Some(id) = pending.pop() {
            if !std::mem::replace(&mut needed[id.0.index()], true) {
                let edges = self.dag.edges_directed(id.0, Incoming);
                pending.extend(edges.map(|edge| self.source_of(edge.source(), *edge.weight()).node));
            }
        }
        let removed = self.dag.node_indices().filter(|&id| !needed[id.index()] && !self.dag[id].dead).count();
        self.edits.clear();
        for id in self.recent.drain(..) {
            if let Some(node) = self.dag.node_weight_mut(id.0) {
                node.beside = false;
            }
        }
        if needed.iter().filter(|needed| **needed).count() == self.dag.node_count() && self.forward.is_empty() {
            return 0;
        }
        // Edges whose source was redirected are made anew; the others stay.
        let mut moved = vec![];
        let edges = self.dag.edge_indices().map(EdgeIndex::index).max().map_or(0, |last| last + 1);
        let mut stale = vec![false; edges];
        for edge in self.dag.edge_indices() {
            let Some((source, target)) = self.dag.edge_endpoints(edge) else { continue };
            let Use { operand, result } = self.dag[edge];
            let from = Value { node: NodeId(source), result };
            let to = self.resolve(from);
            if to != from && needed[target.index()] {
                moved.push((to, target, operand));
                stale[edge.index()] = true;
            }
        }
        self.dag = std::mem::take(&mut self.dag).filter_map_owned(
            |id, node| needed[id.index()].then_some(node),
            |id, edge| (!stale[id.index()]).then_some(edge),
        );
        for (to, target, operand) in moved {
            self.dag.add_edge(to.node.0, target, Use { operand, result: to.result });
        }
        self.forward.clear();
        self.absorbed.clear();
        self.names.taken =
            self.dag.node_weights().flat_map(|node| node.results.iter().map(|r| r.name.clone())).collect();
        self.names.next.clear();
        let labels = self.dag.node_weights().map(|node| node.label.clone());
        self.labels.taken = labels.filter(|label| !label.is_empty()).collect();
        self.labels.next.clear();
        self.recount();
        removed
    }

    pub(crate) fn set_never_zero(&mut self, never_zero: NeverZero) {
        self.never_zero = never_zero;
    }

    pub(crate) fn bodies_mut(&mut self, id: NodeId) -> Vec<&mut Arc<Graph>> {
        self.dag[id.0].op.bodies_mut()
    }

    /// Counts the uses anew: those by nodes that were removed while they lived are gone.
    fn recount(&mut self) {
        for node in self.dag.node_weights_mut() {
            node.results.iter_mut().for_each(|result| result.uses = 0);
        }
        let used: Vec<Value> = self
            .dag
            .edge_indices()
            .filter_map(|edge| {
                Some(Value { node: NodeId(self.dag.edge_endpoints(edge)?.0), result: self.dag[edge].result })
            })
            .chain(self.outputs.iter().map(|output| output.value))
            .collect();
        for value in used {
            self.count_uses(value, 1);
        }
    }

    /// Where the uses of a value went.
    fn resolve(&self, mut value: Value) -> Value {
        if !self.forward.is_empty() {
            while let Some(&next) = self.forward.get(&value) {
                value = next;
            }
        }
        value
    }

    fn result_mut(&mut self, value: Value) -> &mut ResultInfo {
        &mut self.dag[value.node.0].results[value.result as usize]
    }

    fn count_uses(&mut self, value: Value, by: i64) {
        let uses = &mut self.result_mut(value).uses;
        *uses = u32::try_from((i64::from(*uses) + by).max(0)).unwrap_or(u32::MAX);
    }

    /// Lets a node die that nothing reads, and what it alone read with it.
    fn bury(&mut self, id: NodeId) {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let node = &self.dag[id.0];
            let unread = node.results.iter().all(|result| result.uses == 0);
            if node.dead || !unread || matches!(node.op, Op::Input | Op::Captured) {
                continue;
            }
            self.dag[id.0].dead = true;
            for operand in self.operands(id).into_iter().flatten() {
                self.count_uses(operand, -1);
                pending.push(operand.node);
            }
        }
    }

    pub(crate) fn uses_by_edges(&self, value: Value) -> usize {
        self.users(value).len() + self.outputs.iter().filter(|output| output.value == value).count()
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.node_indices().filter(|&id| !self.dag[id].dead).map(NodeId)
    }
}
