//! The graph: nodes, the values that they produce, and the few doors through which it is edited.
//!
//! The edges of a petgraph [`StableDiGraph`] are the only record of operands. petgraph stays inside: its incoming
//! edges come in reverse order, parallel edges (`mul(x, x)`) confuse its look-ups, and an index that was removed is
//! used again. So edits go through [`Graph::insert`], [`Graph::replace`] and [`Graph::sweep`] alone: uses are
//! redirected at once, nodes are removed together, at the end of a pass, when nobody holds an id.

use crate::infer::NeverZero;
use crate::{Dialect, Fact, Notes, Op, Tensor, ValueType};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

mod build;
mod edit;
mod query;
mod sweep;
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
pub struct GraphOutput {
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
pub struct QuantizationAnnotation {
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
pub const MAX_BODY_DEPTH: u32 = 32;

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
    outputs: Vec<GraphOutput>,
    /// How deep bodies nest in it.
    depth: u32,
    conventions: Conventions,
    /// Sets of symbols of which not all are 0 in any run that succeeds.
    never_zero: NeverZero,
    notes: Notes,
    annotations: Vec<QuantizationAnnotation>,
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
    /// Whether nodes were inserted, replaced or left without readers since the last sweep.
    unswept: bool,
    /// What [`Graph::schedule`] gives until that changes.
    scheduled: OnceLock<Vec<NodeId>>,
    /// Nodes that read values of which more became known; see [`Graph::refresh`].
    pub(crate) stale: BTreeSet<(Order, NodeId)>,
    names: Names,
    /// Results of nodes inserted beside others since the last sweep whose wanted name, which is given, was taken.
    numbered: Vec<(Value, Name)>,
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

    fn result(&self, value: Value) -> &ResultInfo {
        &self.node(value.node).results[value.result as usize]
    }

    /// What was known of the order and of what is read holds no longer.
    fn touch(&mut self) {
        self.unswept = true;
        self.scheduled.take();
    }

    fn result_mut(&mut self, value: Value) -> &mut ResultInfo {
        &mut self.dag[value.node.0].results[value.result as usize]
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

    fn count_uses(&mut self, value: Value, by: i64) {
        let uses = &mut self.result_mut(value).uses;
        *uses = u32::try_from((i64::from(*uses) + by).max(0)).unwrap_or(u32::MAX);
    }
}
