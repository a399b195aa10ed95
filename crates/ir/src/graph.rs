//! The graph: nodes, the values that they produce, and the few functions that edit it.
//!
//! The edges of a petgraph [`StableDiGraph`] are the only record of operands. petgraph stays private: it lists incoming
//! edges in reverse order, its edge look-ups ignore parallel edges (`mul(x, x)`), and it reuses removed indices. So all
//! edits go through [`Graph::insert`], [`Graph::replace`] and [`Graph::sweep`]: uses are redirected at once, and nodes
//! are removed together at the end of a pass, when nobody holds an id.

use crate::infer::NeverZero;
use crate::{Dialect, Fact, HashMap, HashSet, Notes, Op, OpKind, Tensor, ValueType};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

mod build;
mod edit;
mod outputs;
mod query;
mod sweep;
mod window;

use outputs::Outputs;
use window::Edit;
pub use window::{Mark, Window};

/// The name of a value.
pub type Name = Arc<str>;

/// The id of a node of one graph; valid until that graph is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(NodeIndex);

/// A value: one result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The node that produces it.
    pub node: NodeId,
    /// The index among the node's results.
    pub result: u32,
}

/// The position of a node in the program; texts and files list nodes in this order.
///
/// Nodes inserted beside another node share its position and follow in the order of insertion. Ids cannot serve for
/// this: petgraph reuses the indices of removed nodes, so ids depend on the graph's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    position: u32,
    insertion: u32,
}

/// An edge: which result is which operand.
#[derive(Clone, Copy, Debug)]
struct Use {
    operand: u32,
    result: u32,
}

/// An operator applied to operands; the operands are the graph's edges.
#[derive(Clone, Debug)]
pub struct Node {
    op: StoredOp,
    label: Name,
    order: Order,
    results: SmallVec<[ResultInfo; 1]>,
    notes: Option<Arc<Notes>>,
    /// Whether it was inserted beside another node since the last sweep.
    beside: bool,
    /// Whether it was replaced, or lost its last reader by that; the next sweep removes it.
    dead: bool,
}

/// An operator as a node stores it. Most are operators without attributes, for which no node needs memory of its own.
#[derive(Clone, Debug)]
enum StoredOp {
    Plain(&'static Op),
    Own(Arc<Op>),
}

impl From<Op> for StoredOp {
    fn from(op: Op) -> Self {
        op.kind().plain().map_or_else(|| Self::Own(Arc::new(op)), Self::Plain)
    }
}

impl Deref for StoredOp {
    type Target = Op;

    fn deref(&self) -> &Op {
        match self {
            Self::Plain(op) => op,
            Self::Own(op) => op,
        }
    }
}

impl StoredOp {
    /// Returns the bodies for editing.
    fn bodies_mut(&mut self) -> Vec<&mut Arc<Graph>> {
        match self {
            Self::Plain(_) => vec![],
            Self::Own(op) if op.bodies().is_empty() => vec![],
            Self::Own(op) => Arc::make_mut(op).bodies_mut(),
        }
    }
}

/// The name, fact and uses of one result of a node.
#[derive(Clone, Debug)]
struct ResultInfo {
    name: Name,
    fact: Fact,
    /// The type that the file declares; see [`Graph::declared`].
    declared: Option<Arc<ValueType>>,
    notes: Option<Arc<Notes>>,
    /// Whether the file leaves it out; see [`Graph::is_omitted`].
    omitted: bool,
    /// The number of operands of living nodes and graph outputs that read it; derived from the edges and kept for
    /// constant-time queries.
    uses: u32,
}

/// An output of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphOutput {
    /// The name by which the caller requests it.
    pub name: Name,
    /// The value.
    pub value: Value,
    /// The type declared to the caller; it stays the same when inference learns more.
    pub declared: Option<ValueType>,
    /// Its metadata, which stays when another value becomes the output.
    pub notes: Option<Arc<Notes>>,
}

/// Where a new node is placed, and how it and its results are named.
#[derive(Clone, Debug)]
pub struct Place {
    /// The node's own name, which ONNX keeps apart from the names of its results; often empty. A name that another node
    /// has gets a numeric suffix.
    pub label: Name,
    /// The names of the results; a name that is taken gets a numeric suffix.
    pub results: SmallVec<[Name; 1]>,
    /// The position; `None` is the end of the program.
    pub order: Option<Order>,
}

impl Place {
    /// Returns the end of the program, for a node with one result of this name.
    pub fn end(name: &str) -> Self {
        Self { label: Name::default(), results: smallvec![name.into()], order: None }
    }
}

/// How a tensor was quantized: ONNX's `quantization_annotation`. It does not affect what the graph computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizationAnnotation {
    /// The name of the tensor.
    pub tensor: String,
    /// The names of the tensors it was quantized with, by role, such as `SCALE_TENSOR`.
    pub parameters: Vec<(String, String)>,
}

/// Which optional names and types a file gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conventions {
    /// Whether every node has a name; a node without a name of its own is then named after its first result.
    pub names_nodes: bool,
    /// Whether the type of every value is written, as far as it is known; otherwise only the types that the file
    /// [declares](Graph::declared).
    pub types_values: bool,
}

impl Default for Conventions {
    /// The conventions of a graph that was not read from a file: all names and types are written.
    fn default() -> Self {
        Self { names_nodes: true, types_values: true }
    }
}

/// The maximum depth of nested bodies; functions that walk them recurse.
pub const MAX_BODY_DEPTH: u32 = 32;

/// A graph: inputs, nodes, outputs.
///
/// A body is a graph that runs as part of a node such as `If` (ONNX's subgraph). It also has captures: values of the
/// graph around it. They are operands of the node, after the operator's own.
///
/// Ids and values belong to the graph that returned them, until it is swept. [`Graph::insert`] refuses any other; the
/// other methods panic on a foreign id, as indexing a slice does.
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
    /// The default tensors of inputs that the caller may omit.
    defaults: BTreeMap<NodeId, Tensor>,
    captures: Vec<NodeId>,
    /// Whether this is a body that [`Graph::edit_bodies`] is editing.
    is_body: bool,
    outputs: Outputs,
    /// How deeply bodies nest in the graph.
    depth: u32,
    conventions: Conventions,
    /// Sets of symbols that are not all 0 in any run that succeeds.
    never_zero: NeverZero,
    notes: Notes,
    annotations: Vec<QuantizationAnnotation>,
    next_order: u32,
    /// The operators that may be inserted, if that is limited.
    dialect: Option<Dialect>,
    /// The values whose uses were redirected since the last sweep, each with its replacement.
    forward: HashMap<Value, Value>,
    /// The inverse of `forward`: the values that each value replaces.
    absorbed: HashMap<Value, Vec<Value>>,
    /// The nodes inserted since the last sweep, in order.
    recent: Vec<NodeId>,
    /// Other changes since the last sweep, in order.
    edits: Vec<Edit>,
    /// Whether nodes were inserted, replaced or left without readers since the last sweep.
    unswept: bool,
    /// The cached order, valid until it or an operator changes.
    scheduled: OnceLock<Schedule>,
    /// The nodes that read values whose facts became more precise; see [`Graph::refresh`].
    pub(crate) stale: BTreeSet<(Order, NodeId)>,
    names: UsedNames,
    /// The results of nodes inserted beside others since the last sweep whose requested name was taken, with that name.
    numbered: Vec<(Value, Name)>,
    /// The nodes' own names.
    labels: UsedNames,
}

/// The living nodes in order, and the kinds of their operators.
#[derive(Clone, Debug)]
struct Schedule {
    nodes: Vec<NodeId>,
    kinds: Vec<OpKind>,
}

/// The names in use, and for each base name the suffix to try next.
#[derive(Clone, Debug, Default)]
struct UsedNames {
    taken: HashSet<Name>,
    next: HashMap<Name, u32>,
}

impl UsedNames {
    fn clear(&mut self) {
        self.taken.clear();
        self.next.clear();
    }

    /// Takes and returns a name, with a numeric suffix if it is taken or empty.
    fn fresh(&mut self, base: &Name) -> Name {
        if !base.is_empty() && self.taken.insert(base.clone()) {
            return base.clone();
        }
        let value;
        let base = if base.is_empty() {
            value = Name::from("value");
            &value
        } else {
            base
        };
        let next = self.next.entry(base.clone()).or_insert(0);
        loop {
            *next += 1;
            let name: Name = format!("{base}.{next}").into();
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

impl Node {
    /// Returns the operator.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// Returns the node's own name, which ONNX keeps apart from the names of its results; often empty.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the position in the program.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Returns the number of results.
    pub fn result_count(&self) -> usize {
        self.results.len()
    }

    /// Returns the node's metadata, if any.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.as_deref()
    }
}

impl Graph {
    /// Creates a graph without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Returns the graph's name.
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

    /// Follows replacements to the value that is read in place of `value` now.
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
